"""The papers' handcrafted descriptors as examples [D], one vector a clip, for `model.name=svm`.

lbp_top, lbp_sip  binary patterns of the clip
lbp_tics          of its color components, in a color space fitted on a fold's training clips
stlbp_ip          of the integral projections of its differences to the first frame
bi_woof           the flow from onset to apex
mdmo              the flow from the first frame to every frame, in 36 regions between landmarks

Common options
    size    (H, W) px of the resized frames; papers use the resolution of the face crop
    frames  number of frames after resampling by TIM; 0: not resampled (SMIC's baseline: 10)
    alpha   above 0: factor of motion magnification, applied first
"""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from mer_jax import descriptors
from mer_jax.clips import Clip
from mer_jax.datasets import folders
from mer_jax.descriptors import tics
from mer_jax.errors import DataError, Problem
from mer_jax.methods import frame_selection, per_clip
from mer_jax.methods.examples import Examples
from mer_jax.methods.flow_maps import onset_to_apex
from mer_jax.options import checked
from mer_jax.video import magnify, optical_flow
from mer_jax.video.resample import apply


@checked
def lbp_top(
    clips: Sequence[Clip],
    *,
    size: Sequence[int] = (64, 64),
    frames: int = 0,
    alpha: float = 0.0,
    radii: Sequence[int] = (1, 1, 4),
    points: int = 8,
    blocks: Sequence[int] = (5, 5),
    mapping: str = "uniform",
    interpolate: bool = False,
) -> Examples:
    """Local binary patterns on three planes; other options as in `descriptors.lbp_top`."""
    describe = functools.partial(
        descriptors.lbp_top, radii=tuple(radii), points=points, blocks=tuple(blocks),
        mapping=mapping, interpolate=interpolate,
    )  # fmt: skip
    _check_lengths("lbp_top", clips, frames, 2 * radii[2] + 1)
    return _examples(_videos(describe, frames, alpha), clips, size)


@checked
def lbp_sip(
    clips: Sequence[Clip],
    *,
    size: Sequence[int] = (64, 64),
    frames: int = 0,
    alpha: float = 0.0,
    radii: Sequence[int] = (1, 1, 4),
    blocks: Sequence[int] = (5, 5),
) -> Examples:
    """Local binary patterns of six points; other options as in `descriptors.lbp_sip`."""
    describe = functools.partial(descriptors.lbp_sip, radii=tuple(radii), blocks=tuple(blocks))
    _check_lengths("lbp_sip", clips, frames, 2 * radii[2] + 1)
    return _examples(_videos(describe, frames, alpha), clips, size)


@checked
def lbp_tics(
    clips: Sequence[Clip],
    *,
    size: Sequence[int] = (64, 64),
    frames: int = 0,
    alpha: float = 0.0,
    radii: Sequence[int] = (1, 1, 4),
    points: int = 8,
    blocks: Sequence[int] = (5, 5),
    mapping: str = "uniform",
    interpolate: bool = False,
) -> Examples:
    """Local binary patterns of independent color components; options as for `lbp_top`.

    The color space is a statistic of the training clips of each fold (the papers name no set of
    clips): gray levels are stored, and every fold describes all clips in its own space.
    """

    _check_lengths("lbp_tics", clips, frames, 2 * radii[2] + 1)

    def store(video, *, length):
        levels = tics.color_levels(video, length=length)
        return {"levels": levels, "length": jnp.asarray(length, jnp.int32)}

    inputs = per_clip.compute_on_device(clips, _videos(store, frames, alpha), size=size, chunk=8)

    def fit_statistics(inputs, weights):
        real = jnp.arange(inputs["levels"].shape[1])[None, :] < inputs["length"][:, None]
        return tics.independent_colors(inputs["levels"], jnp.where(real, weights[:, None], 0))

    def describe(example, colors):
        return descriptors.lbp_tics(
            example["levels"], colors, radii=tuple(radii), points=points, blocks=tuple(blocks),
            mapping=mapping, interpolate=interpolate, length=example["length"],
        )  # fmt: skip

    example = jax.tree.map(lambda a: a[0], inputs)
    return Examples(
        inputs=inputs,
        fit_statistics=fit_statistics,
        augment=lambda key, example, colors: describe(example, colors),
        eval_transform=describe,
        input_shape=jax.eval_shape(describe, example, jnp.eye(3)).shape,
    )


@checked
def stlbp_ip(
    clips: Sequence[Clip],
    *,
    size: Sequence[int] = (64, 64),
    frames: int = 0,
    alpha: float = 0.0,
    span: int = 9,
    radii: Sequence[int] = (3, 3, 3),
    points: int = 8,
    blocks: Sequence[int] = (1, 1),
    mapping: str = "uniform",
    interpolate: bool = False,
) -> Examples:
    """Binary patterns of integral projections; other options as in `descriptors.stlbp_ip`."""
    describe = functools.partial(
        descriptors.stlbp_ip, span=span, radii=tuple(radii), points=points, blocks=tuple(blocks),
        mapping=mapping, interpolate=interpolate,
    )  # fmt: skip
    _check_lengths("stlbp_ip", clips, frames, 2 * radii[2] + 2)
    return _examples(_videos(describe, frames, alpha), clips, size)


@checked
def bi_woof(
    clips: Sequence[Clip],
    *,
    size: Sequence[int] = (64, 64),
    alpha: float = 0.0,
    preset: str = "tv_l1",
    apex: str = "given",
    blocks: Sequence[int] = (5, 5),
    bins: int = 8,
) -> Examples:
    """Histograms of flow directions weighted by magnitude and strain, as `descriptors.bi_woof`.

    preset: of `video.optical_flow`; apex: as in method flow_maps.
    """
    flow = onset_to_apex(preset=preset, alpha=alpha, apex=apex)
    describe = lambda clip: descriptors.bi_woof(flow(clip), blocks=tuple(blocks), bins=bins)
    return _examples(describe, clips, size)


@checked
def mdmo(
    clips: Sequence[Clip],
    *,
    size: Sequence[int] = (64, 64),
    frames: int = 0,
    alpha: float = 0.0,
    preset: str = "tv_l1",
    brow: float = 1 / 3,
    align: bool = True,
) -> Examples:
    """Main directional mean flow; `brow` and `align` as in `descriptors.mdmo`.

    Raises:
      DataError: with every clip that has no 68 landmarks.
    """
    without = [clip.key for clip in clips if clip.landmarks is None]
    if without:
        what = "has no 68 landmarks of its first frame"
        raise DataError("method mdmo", [Problem(key, what) for key in without])

    def points(clip):
        return jnp.asarray(_resized(np.asarray(clip.landmarks), clip.frames.shape[1:3], size))

    def describe(video, points, *, length):
        flows = jax.lax.map(lambda frame: optical_flow(video[0], frame, preset=preset), video)
        return descriptors.mdmo(flows, points, brow=brow, align=align, length=length)

    return _examples(_videos(describe, frames, alpha), clips, size, more=points)


def _resized(points: np.ndarray, shape: Sequence[int], size: Sequence[int]) -> np.ndarray:
    """[68, 2] px (x, y) of frames of `shape` in frames of `size`."""
    scale = np.array([size[1] / shape[1], size[0] / shape[0]])
    return ((points + 0.5) * scale - 0.5).astype(np.float32)


def _check_lengths(method: str, clips: Sequence[Clip], frames: int, least: int) -> None:
    """Raises `DataError` with the clips that have no pattern over time, whose numbers would be 0.

    A machine would take "is short" for a class. The descriptors themselves refuse too few `frames`.
    """
    lengths = {} if frames else {clip.key: folders.length(clip) for clip in clips}
    problems = [
        Problem(key, f"has {length} frames, and a pattern over time {least}")
        for key, length in lengths.items()
        if length < least
    ]
    if problems:
        hint = "resample the clips (method.frames=10), or set a smaller last of method.radii"
        raise DataError(f"method {method} ({hint})", problems, max_per_kind=10)


def _videos(describe: Callable, frames: int, alpha: float) -> Callable:
    """`describe(video, ..., length=)` as a function of a clip of a batch."""

    def of_clip(clip, *more):
        video, length = clip.frames, clip.length
        if alpha:
            video = magnify(video, alpha=alpha)
        if frames:
            table = frame_selection.tables(len(video), frames, ["tim"])[0]
            weights = frame_selection.all_frames(jnp.asarray(table), length)
            video = apply(weights, video)
            length = frames
        return describe(video, *more, length=length)

    return of_clip


def _examples(
    describe: Callable,
    clips: Sequence[Clip],
    size: Sequence[int],
    *,
    more: Callable[[Clip], jax.Array] | None = None,
) -> Examples:
    """One vector a clip."""
    found = per_clip.compute_on_device(clips, describe, size=size, chunk=8, more=more)
    return Examples(inputs=found, input_shape=found.shape[1:])
