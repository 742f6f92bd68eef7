"""Clips as arrays of one size: what the methods that look at whole frames start from."""

from collections.abc import Callable, Iterator, Sequence
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np

from mer_jax.clips import Clip, resize, to_float
from mer_jax.errors import DataError, Problem
from mer_jax.options import checked
from mer_jax.video import to_gray
from mer_jax.video.resample import matrix
from mer_jax.video.warp import warp

TIMES = ("first", "resample")
FLIPS = {"vertical": (-1, 1), "horizontal": (1, -1), "none": (1, 1)}  # signs of (row, column)


@checked
def resampled_clips(
    clips: Sequence[Clip],
    size: Sequence[int],
    *,
    gray: bool,
    region: Callable[[Clip, tuple[int, int]], tuple[slice, slice]] | None = None,
) -> Iterator[np.ndarray]:
    """Each clip's frames in turn: [T, *size, C] float32 in [0, 1], C = 1 if `gray`, else 3.

    region: (clip, its height and width) to the rows and columns that are cut out before resizing.
    A grey clip stands for all three channels where colour is asked for. Raises `UserError` for a
    frame that holds NaN or infinity.
    """
    for clip in clips:
        frames = to_float(clip.frames)
        if region:
            frames = frames[:, *region(clip, frames.shape[1:3])]
        if gray:
            frames = np.asarray(to_gray(cast(jax.Array, frames)))
        frames = resize(frames, tuple(size))
        yield frames if gray or frames.shape[-1] == 3 else np.repeat(frames, 3, axis=-1)


def same_length(
    method: str,
    clips: Sequence[Clip],
    resampled_clips: Iterator[np.ndarray],
    length: int,
    time: str,
) -> np.ndarray:
    """[N, length, H, W, C]: the first `length` frames, or all frames resampled by TIM.

    Raises `DataError` with every clip that is too short for "first".
    """
    out, short = [], []
    for clip, video in zip(clips, resampled_clips, strict=True):
        if time == "resample":
            out.append(resampled(video, length))
        elif len(video) >= length:
            out.append(video[:length])
        else:
            short.append(Problem(clip.key, f"has {len(video)} frames of the {length} needed"))
    if short:
        raise DataError(f"method {method}, which takes such clips with method.time=resample", short)
    return np.stack(out)


def resampled(video: np.ndarray, length: int) -> np.ndarray:
    """[T, ...] -> [length, ...] by the temporal interpolation model."""
    return np.tensordot(matrix(len(video), length), video, axes=1)


def rotate(video: jax.Array, rotation_matrix: jax.Array) -> jax.Array:
    """[T, H, W, C]: all frames by one linear map about their centre.

    What the output shows at (row, column) from the centre is the input at turn @ (row, column),
    by cubic convolution; beyond the edge, the edge pixel repeated. turn: [2, 2].
    """
    frames, height, width, channels = video.shape
    rows, columns = jnp.meshgrid(
        jnp.arange(height, dtype=video.dtype) - (height - 1) / 2,
        jnp.arange(width, dtype=video.dtype) - (width - 1) / 2,
        indexing="ij",
    )
    place = jnp.stack([rows, columns], -1)
    shift = jnp.einsum("ij,hwj->hwi", rotation_matrix, place, precision="highest") - place
    side_by_side = jnp.moveaxis(video, 0, 2).reshape(height, width, frames * channels)
    out, _ = warp(side_by_side, shift[..., ::-1], kernel="keys")
    return jnp.moveaxis(out.reshape(height, width, frames, channels), 2, 0)


def rotation(degrees: jax.Array | float) -> jax.Array:
    """The `rotation_matrix` that shows a film rotated counter-clockwise as seen on the screen."""
    angle = jnp.deg2rad(jnp.asarray(degrees, jnp.float32))
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return jnp.stack([jnp.stack([cos, sin]), jnp.stack([-sin, cos])])


def mirror(how: str) -> np.ndarray:
    """The `rotation_matrix` of a flip: "vertical" (top and bottom change places), "horizontal" or "none"."""
    return np.diag(np.array(FLIPS[how], np.float32))
