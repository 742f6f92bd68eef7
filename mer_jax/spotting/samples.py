"""Samples of long videos for networks: flow and strain between frames.

A sample belongs to one frame of a recording; it is computed on the device, block by block. Those of
the pairs "regions" are windows of frames, each with the flow of twelve facial regions from the
frame before (PEM, AUW-GCN). `targets` has what networks learn of them.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jax import Array

from mer_jax.clips import reading_from, resize
from mer_jax.io import large_arrays
from mer_jax.methods.examples import Examples
from mer_jax.methods.preprocessing import to_unit_range
from mer_jax.options import check, checked, defaults
from mer_jax.recordings import Recording
from mer_jax.spotting import targets
from mer_jax.spotting.evidence import check_length, flow_between, halves, over_frames, without_head
from mer_jax.spotting.region_flows import landmarks, region_flows
from mer_jax.spotting.targets import MARGIN
from mer_jax.training import rng
from mer_jax.video import optical_strain

REGIONS = "regions"
_BLOCK = 256  # frames that are read at a time
# The regions of `region_flow` in a mirrored face.
_MIRRORED = np.array([5, 4, 3, 2, 1, 0, 6, 7, 10, 9, 8, 11])
NORMALIZATIONS = ("none", "training", "sample")


class Pairs(NamedTuple):
    """Which frames a sample compares."""

    offsets: Callable[[int], tuple[int, ...]]  # span -> frames relative to its own, ascending
    flows: tuple[tuple[int, int], ...]  # from and to, indices into the offsets


PAIRS = {
    "one": Pairs(halves, ((0, 1),)),
    "two": Pairs(lambda span: (-span, 0, span), ((1, 0), (1, 2))),
    "two_spans": Pairs(lambda span: (0, 1, max(2, span)), ((0, 2), (0, 1))),
    REGIONS: Pairs(lambda span: tuple(range(-MARGIN - 1, span + MARGIN)), ()),
}


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How samples are made of the frames of a recording.

    Attributes:
      span: frames between the frames that are compared; of "regions" those that a window scores.
      pairs: "one": two frames half a span before and after (SOFTNet's, at its middle); "two": each
        frame with those one span before and after it, two flows; "two_spans": each frame with
        those one span and one frame after it, two flows (MTSN); "regions": windows of
        `region_flows`, one after the other.
      stride: frames from one sample to the next.
      size: (H, W) px that frames are resized to for the flow.
      map_size: (H, W) px of a sample.
      preset: of `video.optical_flow`.
      head: the motion of the head that is subtracted: "affine", "quadratic" or "none"
        (of "regions" always that of the nose).
      radius: px, of "regions".
      landmarks: the file of a landmark model for "regions"; "": those that the recording knows.
    """

    span: int
    pairs: str = "two"
    stride: int = 1
    size: tuple[int, int] = (64, 64)
    map_size: tuple[int, int] = (42, 42)
    preset: str = "horn_schunck"
    head: str = "affine"
    radius: int = 5
    landmarks: str = ""

    @property
    def offsets(self) -> tuple[int, ...]:
        """The frames, relative to its own, that a sample depends on."""
        return PAIRS[self.pairs].offsets(self.span)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of a sample; of "regions" frames, regions and components of the flow."""
        if self.pairs == REGIONS:
            return self.span + 2 * MARGIN, len(_MIRRORED), 2
        return (*self.map_size, 3 * len(PAIRS[self.pairs].flows))


@dataclasses.dataclass(frozen=True)
class NetworkEvidence(Sampling):
    """The options of the evidence "network"; values are checked by the constructor.

    Attributes:
      span: a published one (frames); 0: that of the training subjects' mean duration
        (`networks.grid`; of "regions" 256).
      stride: frames from one sample to the next; 0: a sixth of the span, and 2 or more.
      pairs, size, map_size, preset, head, radius, landmarks: as in `Sampling`.
      normalize, mirror, reverse: as in `examples`.
      targets: a member of `targets.TARGETS`: "overlap" of the sample's frames with an expression;
        "any", 1 where there is an overlap, as in SOFTNet's code; "soft", `targets.soft_labels` of
        the sample's own frame (MTSN); "boundaries", `targets.boundaries` of the frames of a window
        (PEM, AUW-GCN: of the pairs "regions" alone, with the loss "boundary_focal").
      drop_zeros: share of the training samples without an expression that a fold leaves out at
        random.
    """

    span: int = 0
    stride: int = 0
    normalize: str = "training"
    mirror: bool = True
    reverse: bool = False
    targets: str = "overlap"
    drop_zeros: float = 0.0

    def __post_init__(self):
        given = dataclasses.asdict(self)
        for name, value in check("evidence", "network", given, defaults(type(self))).items():
            object.__setattr__(self, name, value)  # plain, as in JSON

    def sampling(self, span: int) -> Sampling:
        """The samples of a span (frames)."""
        given = {each.name: getattr(self, each.name) for each in dataclasses.fields(Sampling)}
        return Sampling(**given | {"span": span, "stride": self.stride or max(2, span // 6)})

    def examples(self, inputs: np.ndarray) -> Examples:
        """`examples` of samples [N, H, W, C]."""
        names = ("normalize", "mirror", "reverse", "pairs")
        return examples(inputs, **{name: getattr(self, name) for name in names})


def resized(
    recordings: Sequence[Recording], size: Sequence[int], storage: large_arrays.Storage
) -> list[Recording]:
    """The recordings with frames of `size` (H, W), read once, when needed: in memory, or mapped."""
    if 3 * math.prod(size) * sum(video.length for video in recordings) > storage.limit_bytes:
        storage = storage._replace(limit_bytes=0)

    def read_once(video: Recording) -> Recording:
        @functools.cache
        def frames() -> np.ndarray:
            blocks = (resize(block, size) for _, block in video.blocks(_BLOCK))
            return large_arrays.joined(blocks, video.length, storage=storage)

        read = reading_from(video.read, lambda start, stop: frames()[start:stop])
        return dataclasses.replace(video, read=read)

    return [read_once(video) for video in recordings]


def frames_of(recording: Recording, sampling: Sampling) -> np.ndarray:
    """[M] int64: the frames that `stream` gives with the samples of all blocks."""
    if sampling.pairs == REGIONS:
        return np.arange(0, recording.length, sampling.span)
    first, last = sampling.offsets[0], sampling.offsets[-1]
    return np.arange(-first, recording.length - last, sampling.stride)


def stream(recording: Recording, sampling: Sampling) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The samples of a recording, block after block: (frames [M], maps [M, H, W, C] float32).

    C is 3 (u, v in px, strain in px per px) for each flow. Of "regions": the first frame that each
    window scores, and the windows [M, span + 14, 12, 2].

    Raises `UserError` for a recording that is shorter than what one sample of flow depends on;
    windows are filled with zeros.
    """
    if sampling.pairs == REGIONS:
        values = region_flows(
            recording,
            landmarks(recording, model=sampling.landmarks),
            size=sampling.size,
            radius=sampling.radius,
            preset=sampling.preset,
        )
        windows = targets.windows(values, length=sampling.span, margin=MARGIN)
        yield np.arange(len(windows)) * sampling.span, windows
        return
    offsets = sampling.offsets
    check_length(recording, offsets, f"a span of {sampling.span} frames")
    flows = PAIRS[sampling.pairs].flows
    compute = _compiled(flows, sampling.map_size, sampling.preset, sampling.head)
    yield from over_frames(
        recording, compute, offsets=offsets, size=sampling.size, stride=sampling.stride
    )


def collected(recording: Recording, **options: Any) -> dict[str, np.ndarray]:
    """All samples of `stream`: "maps" [M, H, W, C].

    options: fields of `Sampling`.
    """
    sampling = Sampling(**options)
    blocks = (maps for _, maps in stream(recording, sampling))
    return {"maps": large_arrays.joined(blocks, len(frames_of(recording, sampling)))}


@functools.lru_cache(maxsize=16)
def _compiled(
    flows: tuple[tuple[int, int], ...], map_size: tuple[int, int], preset: str, head: str
) -> Callable[[Array], Array]:
    def one(frames):  # [offsets, H, W, 1] -> [*map_size, 3 len(flows)]
        planes = []
        for first, second in flows:
            flow = flow_between(frames[first], frames[second], preset=preset)
            flow = without_head(flow, head=head)
            planes += [flow, optical_strain(flow)[..., None]]
        joined = jnp.concatenate(planes, -1)
        return jax.image.resize(joined, (*map_size, joined.shape[-1]), "linear", antialias=True)

    return jax.jit(lambda frames: jax.lax.map(one, frames))


@checked
def of_frames(
    parts: Iterable[tuple[np.ndarray, np.ndarray]], length: int, sampling: Sampling, *, kind: str
) -> np.ndarray:
    """The outputs of a network for samples as the evidence of each frame.

    Args:
      parts: (frames [M], outputs [M, K]) in ascending order.
      length: T.
      sampling: of the samples.
      kind: of the expressions.

    Returns:
      [T] float32: output 0, linear between samples and NaN beyond them. Of "regions" [T, 3] in
      [0, 1]: start, end and apex of an expression of `kind`.

    >>> parts = [(np.array([1, 3]), np.array([[1.0], [2.0]]))]
    >>> of_frames(parts, 5, Sampling(2), kind="micro").tolist()
    [nan, 1.0, 1.5, 2.0, nan]
    """
    frames, scores = map(np.concatenate, zip(*parts))
    if sampling.pairs != REGIONS:
        at, beyond = np.arange(length), {"left": np.nan, "right": np.nan}
        return np.interp(at, frames, scores[:, 0], **beyond).astype(np.float32)
    shown = sampling.span + 2 * MARGIN
    outputs = scores.reshape(len(scores), shown, -1)[:, MARGIN:-MARGIN]
    return targets.read(outputs.reshape(-1, outputs.shape[-1])[:length], kind=kind)


def emotions_of_frames(parts: Iterable[tuple[np.ndarray, np.ndarray]], length: int) -> np.ndarray:
    """The emotions in the outputs of a network that recognizes as well (SFAMNet).

    Args:
      parts: (frames [M], outputs [M, 1 + K + 1]: score, logits of the emotions and of neutral) in
        ascending order.
      length: T.

    Returns:
      [T, K] float64 probabilities of the nearest sample; neutral takes the rest.

    >>> parts = [(np.array([1, 4]), np.log(np.array([[1.0, 3, 1, 4], [1.0, 1, 3, 4]])))]
    >>> emotions_of_frames(parts, 5).round(3).tolist()[2:4]
    [[0.375, 0.125], [0.125, 0.375]]
    """
    frames, outputs = map(np.concatenate, zip(*parts))
    nearest = np.interp(np.arange(length), frames, np.arange(len(frames)))
    probabilities = scipy.special.softmax(outputs[:, 1:].astype(np.float64), axis=1)[:, :-1]
    return probabilities[np.rint(nearest).astype(int)]


@checked
def examples(
    inputs: np.ndarray,
    *,
    normalize: str = "training",
    mirror: bool = True,
    reverse: bool = False,
    pairs: str = "two",
) -> Examples:
    """Samples as `Examples`.

    Args:
      inputs: [N, H, W, C] float32, of `stream`; of "regions" H is T and W the regions.
      normalize: "training": each channel divided by its root mean square over the training
        samples; "sample": each channel of each sample scaled to [0, 1] (SOFTNet's code), which
        loses how far a face moves; "none".
      mirror: exchange left and right in half of the training samples.
      reverse: run time backwards in half of them; of the pairs "two", whose flows it exchanges.
      pairs: of their `Sampling`.
    """

    def fit(inputs, weights):
        if normalize != "training":
            return ()
        total = jnp.maximum(jnp.sum(weights), 1.0) * inputs.shape[1] * inputs.shape[2]
        square = jnp.einsum("n,nhwc,nhwc->c", weights, inputs, inputs, precision="highest")
        return jnp.sqrt(jnp.maximum(square / total, 1e-12))

    def scaled(sample, statistics):
        if normalize == "training":
            return sample / statistics[None, None, :]
        if normalize == "sample":
            return to_unit_range(sample)
        return sample

    order = _MIRRORED if pairs == REGIONS else np.arange(inputs.shape[2])[::-1]
    signs = np.where(np.arange(inputs.shape[-1]) % 3 == 0, -1, 1).astype(np.float32)

    def augment(key, sample, statistics):
        if mirror:
            mirrored = sample[:, order] * signs[None, None, :]
            sample = jnp.where(jax.random.bernoulli(key), mirrored, sample)
        if reverse:
            key = rng.fold_in_name(key, "reverse")
            sample = jnp.where(jax.random.bernoulli(key), jnp.roll(sample, 3, axis=-1), sample)
        return scaled(sample, statistics)

    return Examples(
        inputs=inputs,
        fit_statistics=fit,
        augment=augment,
        eval_transform=scaled,
        input_shape=inputs.shape[1:],
    )
