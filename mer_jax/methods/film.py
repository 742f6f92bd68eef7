"""Clips as arrays of one size: what the methods that look at whole frames start from."""

from collections.abc import Callable, Iterator, Sequence
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np

from mer_jax.clips import Clip, resize, to_float
from mer_jax.options import checked
from mer_jax.problems import DataError, Problem
from mer_jax.video import to_grey
from mer_jax.video.resample import matrix
from mer_jax.video.warp import warp

TIMES = ("first", "resample")
FLIPS = {"vertical": (-1, 1), "horizontal": (1, -1), "none": (1, 1)}  # signs of (row, column)


@checked
def films(
    clips: Sequence[Clip],
    size: Sequence[int],
    *,
    grey: bool,
    region: Callable[[Clip, tuple[int, int]], tuple[slice, slice]] | None = None,
) -> Iterator[np.ndarray]:
    """Each clip's frames in turn: [T, *size, C] float32 in [0, 1], C = 1 if `grey`, else 3.

    region: (clip, its height and width) to the rows and columns that are cut out before resizing.
    A grey clip stands for all three channels where colour is asked for. Raises `UserError` for a
    frame that holds NaN or infinity.
    """
    for clip in clips:
        frames = to_float(clip.frames)
        if region:
            frames = frames[:, *region(clip, frames.shape[1:3])]
        if grey:
            frames = np.asarray(to_grey(cast(jax.Array, frames)))
        frames = resize(frames, tuple(size))
        yield frames if grey or frames.shape[-1] == 3 else np.repeat(frames, 3, axis=-1)


def same_length(
    method: str, clips: Sequence[Clip], films: Iterator[np.ndarray], length: int, time: str
) -> np.ndarray:
    """[N, length, H, W, C]: the first `length` frames, or all frames resampled by TIM.

    Raises `DataError` with every clip that is too short for "first".
    """
    out, short = [], []
    for clip, film in zip(clips, films, strict=True):
        if time == "resample":
            out.append(resampled(film, length))
        elif len(film) >= length:
            out.append(film[:length])
        else:
            short.append(Problem(clip.key, f"has {len(film)} frames of the {length} needed"))
    if short:
        raise DataError(f"method {method}, which takes such clips with method.time=resample", short)
    return np.stack(out)


def resampled(film: np.ndarray, length: int) -> np.ndarray:
    """[T, ...] -> [length, ...] by the temporal interpolation model."""
    return np.tensordot(matrix(len(film), length), film, axes=1)


def turned(film: jax.Array, turn: jax.Array) -> jax.Array:
    """[T, H, W, C]: all frames by one linear map about their centre.

    What the output shows at (row, column) from the centre is the input at turn @ (row, column),
    by cubic convolution; beyond the edge, the edge pixel repeated. turn: [2, 2].
    """
    frames, height, width, channels = film.shape
    rows, columns = jnp.meshgrid(
        jnp.arange(height, dtype=film.dtype) - (height - 1) / 2,
        jnp.arange(width, dtype=film.dtype) - (width - 1) / 2,
        indexing="ij",
    )
    place = jnp.stack([rows, columns], -1)
    shift = jnp.einsum("ij,hwj->hwi", turn, place, precision="highest") - place
    side_by_side = jnp.moveaxis(film, 0, 2).reshape(height, width, frames * channels)
    out, _ = warp(side_by_side, shift[..., ::-1], kernel="keys")
    return jnp.moveaxis(out.reshape(height, width, frames, channels), 2, 0)


def rotation(degrees: jax.Array | float) -> jax.Array:
    """The `turn` that shows a film rotated counter-clockwise as seen on the screen."""
    angle = jnp.deg2rad(jnp.asarray(degrees, jnp.float32))
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return jnp.stack([jnp.stack([cos, sin]), jnp.stack([-sin, cos])])


def mirror(how: str) -> np.ndarray:
    """The `turn` of a flip: "vertical" (top and bottom change places), "horizontal" or "none"."""
    return np.diag(np.array(FLIPS[how], np.float32))
