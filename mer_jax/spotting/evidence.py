"""How much a face moves in each frame of a long video: one number a frame, in constant memory.

strain  mean optical strain between two frames `span` apart, half of it before and half after the
        frame (Shreve et al. 2009, 2011: strain is free of the head's translation)
flow    mean length of the flow between them less the flow of the head, an affine field
mdmd    main directional maximal difference (Wang, Wu, Qian, Li, Fu, Neurocomputing 230, 2017): is
        there a block that moves from frame i - span to i and is back at i + span?

A frame whose neighbors lie outside of the video has the evidence NaN: not computed.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from mer_jax import runtime
from mer_jax.clips import resize
from mer_jax.descriptors.directions import bin_of, polar
from mer_jax.errors import UserError
from mer_jax.options import checked
from mer_jax.recordings import Recording
from mer_jax.video import optical_flow, optical_strain, to_gray
from mer_jax.video.flow import PRESETS

# Movements within a span are a pixel or so, of faces some 64 px high: two warps a level find them,
# and each begins so near to its solution that ten sweeps differ from thirty by 1e-3 px.
_FLOW = {"texture": 0.0, "warps": 2, "median": 1, "sweeps": 10}
_CHUNK = 16  # frames of one call: the same compiled program computes every frame
_BLOCK = 256  # frames that are read at a time
_BLOCKS, _DIRECTIONS = 6, 4  # of `maximal_difference`


@checked
def flow_between(first: Array, second: Array, *, preset: str) -> Array:
    """[H, W, 1] each -> [H, W, 2]: `video.optical_flow` with the settings of small movements."""
    options = {name: value for name, value in _FLOW.items() if hasattr(PRESETS[preset], name)}
    return optical_flow(first, second, preset=preset, **options)


def strain_difference(frames: Array, *, preset: str) -> Array:
    """[2, H, W, 1] -> []: the mean optical strain of the flow between two frames, px per px."""
    return jnp.mean(optical_strain(flow_between(frames[0], frames[1], preset=preset)))


def flow_difference(frames: Array, *, preset: str) -> Array:
    """[2, H, W, 1] -> []: the mean length of the flow less its affine part, px."""
    return jnp.mean(polar(without_head(flow_between(frames[0], frames[1], preset=preset)))[0])


# How many terms of 1, x, y, x^2, xy, y^2 are the flow of the head. A face that turns about an axis
# moves by quadratic terms as well, if it is seen as a plane (Adiv, PAMI 7(4), 1985).
HEADS = {"none": 0, "affine": 3, "quadratic": 6}


@checked
def without_head(flow: Array, *, head: str = "affine") -> Array:
    """[H, W, 2] px: what a motion of the head, a member of HEADS by least squares, does not
    explain."""
    if not HEADS[head]:
        return flow
    height, width, _ = flow.shape
    y, x = jnp.meshgrid(jnp.linspace(-1, 1, height), jnp.linspace(-1, 1, width), indexing="ij")
    terms = [jnp.ones_like(x), x, y, x * x, x * y, y * y][: HEADS[head]]
    basis = jnp.stack(terms, -1).reshape(-1, len(terms))
    product = functools.partial(jnp.einsum, precision="highest")
    flat = flow.reshape(-1, 2)
    found = jnp.linalg.solve(product("pi,pj->ij", basis, basis), product("pi,pc->ic", basis, flat))
    return (flat - product("pi,ic->pc", basis, found)).reshape(flow.shape)


def maximal_difference(frames: Array, *, preset: str) -> Array:
    """[3, H, W, 1], head, current and tail frame -> []: the mean d of the most moved blocks, px.

    In each of 6 x 6 parts of the face, the main direction is the one of four sectors with the most
    vectors of the flow from head to current frame. Of these vectors' lengths the lengths of the
    flow from head to tail at the same points are subtracted; d is the mean of the largest third of
    the differences. Of the parts the largest third counts as well, and thirds are rounded, as in
    the authors' code. The sectors begin at the angle 0 (the paper's Fig. 2).
    """
    to_current = flow_between(frames[0], frames[1], preset=preset)
    to_tail = flow_between(frames[0], frames[2], preset=preset)
    length, angle = polar(to_current)
    difference = length - polar(to_tail)[0]
    sector = bin_of(angle, bins=_DIRECTIONS, start=0.0)
    blocks = _BLOCKS
    height, width = (side - side % blocks for side in length.shape)

    def split(plane):  # [H, W] -> [blocks^2, pixels]
        parts = plane[:height, :width].reshape(blocks, height // blocks, blocks, width // blocks)
        return parts.transpose(0, 2, 1, 3).reshape(blocks * blocks, -1)

    sector, difference = split(sector), split(difference)
    counts = (sector[..., None] == jnp.arange(_DIRECTIONS, dtype=sector.dtype)[None, None]).sum(1)
    main = sector == jnp.argmax(counts, axis=-1, keepdims=True)
    third = jnp.maximum((main.sum(-1, keepdims=True) + 1) // 3, 1)
    ordered = -jnp.sort(jnp.where(main, -difference, jnp.inf), axis=-1)
    order = jnp.arange(ordered.shape[-1], dtype=third.dtype)[None, :]
    total = jnp.sum(jnp.where(order < third, ordered, 0.0), axis=-1)
    d = total / third[:, 0].astype(total.dtype)
    return jnp.mean(jax.lax.top_k(d, (len(d) + 1) // 3)[0])


def relative_difference(values: np.ndarray, span: int) -> np.ndarray:
    """[T] -> [T]: each value less the mean of those `span` - 1 frames before and after it.

    The first and the last `span` values were not computed: they are NaN, and so are frames with
    such a neighbor.
    """
    out = np.full_like(values, np.nan)
    step, first = span - 1, 2 * span - 1
    if len(values) > 2 * first:
        middle = values[first : len(values) - first]
        sides = values[span : len(values) - first - step] + values[first + step : -span]
        out[first : len(values) - first] = middle - 0.5 * sides
    return out


class Evidence(NamedTuple):
    """One kind of evidence."""

    offsets: Callable[[int], tuple[int, ...]]  # span -> the frames that frame 0 depends on
    score: Callable[..., Array]  # (frames [len(offsets), H, W, 1], *, preset) -> []
    share: float  # span / mean duration of the expressions
    finish: Callable[[np.ndarray, int], np.ndarray] | None = None  # ([T], span) -> [T]


def halves(span: int) -> tuple[int, ...]:
    """Frames half a span before and half a span after frame 0."""
    return (-(span // 2), span - span // 2)


EVIDENCE = {
    "strain": Evidence(halves, strain_difference, 0.5),
    "flow": Evidence(halves, flow_difference, 0.5),
    "mdmd": Evidence(lambda span: (-span, 0, span), maximal_difference, 1.0, relative_difference),
}


@checked
@runtime.pinned()
def compute(
    recording: Recording,
    *,
    evidence: str = "mdmd",
    span: int = 12,
    size: tuple[int, int] = (64, 64),
    preset: str = "horn_schunck",
) -> np.ndarray:
    """The evidence of every frame, [T] float32; NaN where a frame that it needs is lacking.

    Args:
      recording: a cropped face; it is read in blocks and never held in memory.
      evidence: a member of EVIDENCE.
      span: frames between the frames that are compared. Of mdmd it is halved for a video shorter
        than six spans, as in the baseline of MEGC 2020.
      size: (H, W) px that frames are resized to.
      preset: of `video.optical_flow`.

    Raises:
      UserError: an unknown name, a span too short to compare frames, or a video that is shorter
        than what one frame depends on.
    """
    kind = EVIDENCE[evidence]
    if span < (least := 2 if kind.finish else 1):
        raise UserError(f"{evidence}: the span is {span} frames; give {least} or more")
    while kind.finish and recording.length < 6 * span and span > least:
        span = (span + 1) // 2
    offsets, more = kind.offsets(span), span - 1 if kind.finish else 0
    reach = (offsets[0] - more, offsets[-1] + more)
    check_length(recording, reach, f"{evidence} with a span of {span}")
    score = _compiled(kind.score, preset)
    values = np.full(recording.length, np.nan, np.float32)
    for frames, found in over_frames(recording, score, offsets=offsets, size=size):
        values[frames] = found
    return kind.finish(values, span) if kind.finish else values


def collected(recording: Recording, **options: Any) -> dict[str, np.ndarray]:
    """{"values": `compute` with these `options`}."""
    return {"values": compute(recording, **options)}


def check_length(recording: Recording, offsets: Sequence[int], name: str) -> None:
    """Raises `UserError` if a recording is shorter than what one frame of evidence depends on."""
    reach = offsets[-1] - offsets[0]
    if recording.length <= reach:
        raise UserError(
            f"{recording.key}: has {recording.length} frames; {name} compares frames {reach} "
            f"apart, so that {reach + 1} or more are needed"
        )


@checked
def over_frames(
    recording: Recording,
    function: Callable[..., Array],
    *,
    offsets: Sequence[int],
    size: tuple[int, int],
    stride: int = 1,
    per_frame: Sequence[np.ndarray] = (),
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """What `function` computes of a recording, block after block, in constant memory.

    Args:
      recording: a cropped face.
      function: compiled, of gray frames [C, len(offsets), H, W, 1], and a row [C, ...] of each
        of `per_frame`, to [C, ...]; C is always the same.
      offsets: ascending; the frames, relative to each frame, that it depends on.
      size: (H, W) px that frames are resized to.
      stride: frames from one value to the next; the first is that of the first frame with all
        neighbors.
      per_frame: arrays [T, ...], such as landmarks.

    Yields:
      (frames [M] int64, values [M, ...]).
    """
    first, reach = offsets[0], offsets[-1] - offsets[0]
    # One thread's calls run one after the other: one for each core, while the next block is read.
    compute = runtime.pinned()(lambda *given: np.asarray(function(*given)))
    waiting: tuple[np.ndarray, list[futures.Future]] | None = None
    with runtime.threads() as threads:
        gray = np.zeros((0, *size, 1), np.float32)
        for start, frames in recording.blocks(_BLOCK):
            kept = gray[max(0, len(gray) - reach) :]  # later frames are compared with these
            start -= len(kept)
            gray = np.concatenate([kept, to_gray(jnp.asarray(resize(frames, size)))])
            centers = np.arange(start - first, start - first + len(gray) - reach)
            centers = centers[(centers + first) % stride == 0]
            calls = []
            for begin in range(0, len(centers), _CHUNK):
                part = centers[np.minimum(np.arange(begin, begin + _CHUNK), len(centers) - 1)]
                rows = part[:, None] + np.asarray(offsets)[None, :] - start
                calls.append(
                    threads.submit(compute, gray[rows], *(array[part] for array in per_frame))
                )
            if waiting:
                yield _values(*waiting)
            waiting = (centers, calls) if calls else None
        if waiting:
            yield _values(*waiting)


def _values(centers: np.ndarray, calls: list[futures.Future]) -> tuple[np.ndarray, np.ndarray]:
    return centers, np.concatenate([call.result() for call in calls])[: len(centers)]


@functools.lru_cache(maxsize=16)
def _compiled(score: Callable[..., Array], preset: str) -> Callable[[Array], Array]:
    return jax.jit(lambda frames: jax.lax.map(functools.partial(score, preset=preset), frames))
