"""R3D-ConvLSTM: the frames from onset to apex (Islam, Gao, Ji, Lv, Mohammed, Sang; section 2.1)."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mer_jax.clips import Clip
from mer_jax.methods import per_clip, preprocessing
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

    Longer clips give `length` frames at equal intervals, both ends included (section 3.2). A clip
    without an apex (SMIC, the macro-expressions) ends at its offset. A training sample is the clip,
    the clip flipped or the clip rotated, with equal probabilities; the paper adds the last two to
    the training data, as `repeats_per_epoch` = 3 does.

    Args:
      clips: videos.
      size: (H, W) px of the resized frames.
      length: frames of an example.
      flip: "vertical" (top and bottom exchanged, as in the paper), "horizontal" or "none".
      rotation: degrees, counter-clockwise.
      smooth: a training sample may also be the smoothed clip (then `repeats_per_epoch` = 4), as for
        the macro-expressions (our choice: the mean of 3 x 3 pixels).
      repeats_per_epoch: samples of a training clip in an epoch.
    """

    def compute(clip):
        video = clip.frames
        chosen = video[frame_indices(clip, len(video), length)]
        return preprocessing.to_size(chosen, size, gray=False)

    frames = per_clip.compute(clips, compute)
    matrices = jnp.stack(
        [jnp.eye(2), preprocessing.flip_matrix(flip), preprocessing.rotation_matrix(rotation)]
    )

    def augment(key, example, statistics):
        del statistics
        number = jax.random.randint(key, (), 0, len(matrices) + smooth)
        moved = preprocessing.transform(example, matrices[number % len(matrices)])
        return jnp.where(number < len(matrices), moved, smoothed(example)) if smooth else moved

    return Examples(
        inputs=frames,
        augment=augment,
        repeats_per_epoch=repeats_per_epoch,
        input_shape=frames.shape[1:],
    )


def smoothed(frames: jax.Array) -> jax.Array:
    """[T, H, W, C]: the mean of the 3 x 3 pixels around each, edge pixels repeated."""
    padded: Any = jnp.pad(frames, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    height, width = frames.shape[1:3]
    shifts = [(i, j) for i in range(3) for j in range(3)]
    return sum(padded[:, i : i + height, j : j + width] for i, j in shifts) / 9


def frame_indices(clip: Clip, frames: int, length: int) -> np.ndarray:
    """[length] int: indices of the frames of an example of `r3d`, of a clip of `frames` frames.

    >>> frame_indices(Clip("db", "s1", "c1", None, "surprise", onset=2, apex=4), 9, 5)
    array([2, 3, 4, 4, 4])
    """
    offset = frames - 1 if clip.offset is None else clip.offset
    last, first = offset if clip.apex is None else clip.apex, clip.onset
    count = last - first + 1
    if count <= length:
        return first + np.minimum(np.arange(length), count - 1)
    return first + np.round(np.linspace(0, count - 1, length)).astype(int)
