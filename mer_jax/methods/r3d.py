"""R3D-ConvLSTM: the frames from onset to apex (Islam, Gao, Ji, Lv, Mohammed, Sang; section 2.1)."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mer_jax.clips import Clip
from mer_jax.methods import resampled
from mer_jax.methods.examples import Examples
from mer_jax.options import checked


@checked
def r3d(
    clips: Sequence[Clip],
    *,
    size: Sequence[int] = (64, 64),
    length: int = 12,
    flip: str = "vertical",
    rotation: float = 8.0,
    smooth: bool = False,
    repeats_per_epoch: int = 3,
) -> Examples:
    """[length, H, W, 3]: from onset to apex, the last frame repeated to fill `length`.

    Where there are more frames, `length` of them at equal intervals, both ends among them (section
    3.2). A clip whose apex nobody marked (SMIC, the macro-expressions) goes on to its offset. A
    training sample is the clip, the clip flipped (top and bottom exchanged, as "vertical flipping"
    says) or the clip rotated counter-clockwise by `rotation` degrees, with equal chances; the paper
    adds the two to the training data, which `repeats_per_epoch` = 3 visits in an epoch amount to. With
    `smooth` and copies=4 there is the clip smoothed, too, as for the macro-expressions (decided: by
    the mean of 3 x 3 pixels).
    """
    resampled_clips = resampled.resampled_clips(clips, size, gray=False)
    frames = np.stack(
        [each[chosen(clip, len(each), length)] for clip, each in zip(clips, resampled_clips)]
    )
    turns = jnp.stack([jnp.eye(2), resampled.mirror(flip), resampled.rotation(rotation)])

    def augment(key, example, statistics):
        del statistics
        number = jax.random.randint(key, (), 0, len(turns) + smooth)
        rotate = resampled.rotate(example, turns[number % len(turns)])
        return jnp.where(number < len(turns), rotate, smoothed(example)) if smooth else rotate

    return Examples(
        inputs=jnp.asarray(frames),
        augment=augment,
        repeats_per_epoch=repeats_per_epoch,
        input_shape=frames.shape[1:],
    )


def smoothed(frames: jax.Array) -> jax.Array:
    """[T, H, W, C]: each pixel the mean of the 3 x 3 around it, the edge repeated."""
    padded: Any = jnp.pad(frames, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    height, width = frames.shape[1:3]
    shifts = [(i, j) for i in range(3) for j in range(3)]
    return sum(padded[:, i : i + height, j : j + width] for i, j in shifts) / 9


def chosen(clip: Clip, frames: int, length: int) -> np.ndarray:
    """[length] int: the frames of `clip`, which has `frames`, that `r3d` shows."""
    offset = frames - 1 if clip.offset is None else clip.offset
    last, first = offset if clip.apex is None else clip.apex, clip.onset
    count = last - first + 1
    if count <= length:
        return first + np.minimum(np.arange(length), count - 1)
    return first + np.round(np.linspace(0, count - 1, length)).astype(int)
