"""Clips as arrays of one size, and the rotations, flips and shifts that augment them."""

from collections.abc import Sequence
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np

from mer_jax.clips import Clip, resize, to_float
from mer_jax.datasets import folders
from mer_jax.errors import DataError, Problem
from mer_jax.options import checked
from mer_jax.video import apex_index, to_gray
from mer_jax.video.resample import matrix
from mer_jax.video.warp import warp

_PADDED = 64  # frames
TIMES = ("first", "resample")
FLIPS = {"vertical": (-1, 1), "horizontal": (1, -1), "none": (1, 1)}  # signs of (row, column)


@checked
def to_size(frames: np.ndarray, size: Sequence[int], *, gray: bool) -> np.ndarray:
    """Frames of one size and number of channels.

    Args:
      frames: [T, H, W, 1 or 3].
      size: (H, W) px of the result.
      gray: convert to gray; else gray frames are repeated over three channels.

    Returns:
      [T, *size, C] float32 in [0, 1], C = 1 if `gray`, else 3.
    """
    frames = to_float(frames)
    if gray:
        frames = np.asarray(to_gray(cast(jax.Array, frames)))
    frames = resize(frames, tuple(size))
    return frames if gray or frames.shape[-1] == 3 else np.repeat(frames, 3, axis=-1)


@checked
def require_length(method: str, clips: Sequence[Clip], length: int, *, time: str) -> None:
    """Raises `DataError` with every clip that is too short for `to_length` with time="first".

    Args:
      method: its name, for the message.
      clips: N clips.
      length: frames that are needed.
      time: as in `to_length`; "resample" needs no length.
    """
    counts = [(clip.key, folders.length(clip)) for clip in clips] if time == "first" else []
    short = [
        Problem(key, f"has {count} frames of the {length} needed")
        for key, count in counts
        if count < length
    ]
    if short:
        raise DataError(f"method {method}, which takes such clips with method.time=resample", short)


@checked
def to_length(video: np.ndarray, length: int, *, time: str) -> np.ndarray:
    """A video of one length.

    Args:
      video: [T, ...].
      length: frames of the result.
      time: "first": the first `length` frames; "resample": all frames, resampled by TIM.

    Returns:
      [length, ...] float32.
    """
    return resample_frames(video, length) if time == "resample" else video[:length]


def choose_apex(clip: Clip, frames: np.ndarray, *, apex: str) -> int:
    """The apex frame of a clip, which may have more frames than from onset to offset.

    Args:
      clip: with its annotated apex.
      frames: [T, H, W, C] of the clip, of any size.
      apex: "given": the annotated one where there is one, else that of STRCN's Eq. 5
        (`video.apex_index`) between onset and offset; "found": always the latter.
    """
    if apex == "given" and clip.apex is not None:
        return clip.apex
    stop = len(frames) if clip.offset is None else clip.offset + 1
    moving = to_float(frames[clip.onset : stop])
    # Padded to a multiple, for few compilations.
    padded = moving[np.minimum(np.arange(-(-len(moving) // _PADDED) * _PADDED), len(moving) - 1)]
    return clip.onset + int(apex_index(jnp.asarray(padded), length=len(moving)))


def resample_frames(video: np.ndarray, length: int) -> np.ndarray:
    """[T, ...] -> [length, ...] by the temporal interpolation model (TIM).

    >>> resample_frames(np.array([[1.0], [2.0], [5.0]]), 2).round(6)
    array([[1.],
           [5.]])
    """
    return np.tensordot(matrix(len(video), length), video, axes=1)


def transform(video: jax.Array, matrix_2x2: jax.Array, shift: jax.Array | None = None) -> jax.Array:
    """[T, H, W, C]: all frames under one linear map about their center, and a shift.

    The output at (row, column) from the center is the input at matrix_2x2 @ (row, column) + shift,
    shift [2] px, by cubic convolution; edge pixels are repeated beyond the edges.

    >>> from mer_jax.methods import preprocessing
    >>> video = jnp.arange(9.0).reshape(1, 3, 3, 1)
    >>> preprocessing.transform(video, preprocessing.flip_matrix("vertical"))[0, ..., 0]
    Array([[6., 7., 8.],
           [3., 4., 5.],
           [0., 1., 2.]], dtype=float32)
    """
    frames, height, width, channels = video.shape
    rows, columns = jnp.meshgrid(
        jnp.arange(height, dtype=video.dtype) - (height - 1) / 2,
        jnp.arange(width, dtype=video.dtype) - (width - 1) / 2,
        indexing="ij",
    )
    positions = jnp.stack([rows, columns], -1)
    away = jnp.einsum("ij,hwj->hwi", matrix_2x2, positions, precision="highest") - positions
    away = away if shift is None else away + shift[None, None]
    side_by_side = jnp.moveaxis(video, 0, 2).reshape(height, width, frames * channels)
    out, _ = warp(side_by_side, away[..., ::-1], kernel="keys")
    return jnp.moveaxis(out.reshape(height, width, frames, channels), 2, 0)


@checked
def moved_at_random(
    key: jax.Array,
    video: jax.Array,
    *,
    mirror: bool = False,
    rotation: float = 0.0,
    shift: Sequence[int] = (0, 0),
) -> jax.Array:
    """[T, H, W, C]: all frames moved alike, by `transform`; unchanged without an option.

    Args:
      key: decides.
      video: [T, H, W, C].
      mirror: exchange left and right with probability 1/2.
      rotation: degrees; turn by up to so many, either way.
      shift: px; move by up to so many whole ones along H and along W, either way.
    """
    if not (mirror or rotation or any(shift)):
        return video
    for_mirror, for_angle, for_shift = jax.random.split(key, 3)
    matrix = rotation_matrix(rotation * jax.random.uniform(for_angle, minval=-1, maxval=1))
    if mirror:
        flipped = matrix @ flip_matrix("horizontal")
        matrix = jnp.where(jax.random.bernoulli(for_mirror), flipped, matrix)
    most = jnp.asarray(shift, jnp.int32)
    away = jax.random.randint(for_shift, (2,), -most, most + 1)
    return transform(video, matrix, away.astype(video.dtype))


def to_unit_range(maps: jax.Array) -> jax.Array:
    """Each channel of each map [..., H, W, C] scaled to [0, 1]; a constant one becomes 0.

    One that varies only in the last bits of a float32 is constant.
    """
    low, high = (reduce(maps, (-3, -2), keepdims=True) for reduce in (jnp.min, jnp.max))
    span = high - low
    varies = span > 1e-6 * jnp.maximum(jnp.abs(low), jnp.abs(high))
    return jnp.where(varies, (maps - low) / jnp.where(varies, span, 1), 0)


def rotation_matrix(degrees: jax.Array | float) -> jax.Array:
    """The matrix that rotates frames counter-clockwise on the screen, [2, 2] float32."""
    angle = jnp.deg2rad(jnp.asarray(degrees, jnp.float32))
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return jnp.stack([jnp.stack([cos, sin]), jnp.stack([-sin, cos])])


def flip_matrix(flip: str) -> np.ndarray:
    """[2, 2] float32: "vertical" exchanges top and bottom, "horizontal" left and right."""
    return np.diag(np.array(FLIPS[flip], np.float32))
