"""MER-RCNN: the central pixels of the magnified clip against time (Xia, Feng, Hong, Zhao 2018)."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from mer_jax.clips import Clip
from mer_jax.methods import frame_selection, per_clip
from mer_jax.methods.examples import Examples
from mer_jax.options import checked
from mer_jax.video import core_region, magnify
from mer_jax.video.resample import IMRESIZE_KERNELS

PERCENTS = (100, 90, 80, 70, 60, 50)


@checked
def mer_rcnn(
    clips: Sequence[Clip],
    *,
    size: Sequence[int] = (64, 48),
    length: int = 30,
    num_pixels: int = 1966,
    alpha: float = 10.0,
    percents: Sequence[float] = PERCENTS,
    kernels: Sequence[str] = IMRESIZE_KERNELS,
    kernel: str = "bicubic",
    repeats_per_epoch: int = 48,
    wavelength: float = 16.0,
) -> Examples:
    """[num_pixels, length, C]: the pixels nearest the center, magnified by min(alpha, bound).

    A training sample has a random percentage of the frames and one of eight resampling kernels, at
    random (6 x 8 = 48 repeats); a test clip has all frames and is resampled by `kernel`.

    Args:
      clips: videos.
      size: (H, W) px of the resized frames.
      length: frames after resampling.
      num_pixels: as `video.core_region`.
      alpha, wavelength: of `video.magnify`.
      percents: of the frames of a training sample.
      kernels, kernel: resampling kernels of training samples and of test clips.
      repeats_per_epoch: samples of a training clip in an epoch.
    """
    pixels = core_region(*size, num_pixels=num_pixels)

    def compute(clip):
        moved = magnify(clip.frames, alpha=alpha, wavelength=wavelength, saturate=False)
        moved = moved.reshape(len(moved), -1, moved.shape[-1])[:, pixels]
        return {"frames": moved, "length": clip.length}

    # frames [N, T, P, C], length [N]
    inputs = per_clip.compute_on_device(clips, compute, size=size, chunk=4, time_axes={"frames": 0})
    longest, channels = inputs["frames"].shape[1], inputs["frames"].shape[-1]
    table = jnp.asarray(frame_selection.tables(longest, length, [*kernels, kernel]))
    percentages = jnp.asarray(percents, jnp.float32)

    def resample(time, example):
        return jnp.einsum("st,tpc->psc", time, example["frames"], precision="highest")

    def augment(key, example, statistics):
        del statistics
        for_kernel, for_percent, for_frames = jax.random.split(key, 3)
        chosen = table[jax.random.randint(for_kernel, (), 0, len(kernels))]
        percent = jax.random.choice(for_percent, percentages)
        return resample(
            frame_selection.random_frames(for_frames, chosen, example["length"], percent), example
        )

    def eval_transform(example, statistics):
        del statistics
        return resample(frame_selection.all_frames(table[-1], example["length"]), example)

    return Examples(
        inputs=inputs,
        augment=augment,
        eval_transform=eval_transform,
        repeats_per_epoch=repeats_per_epoch,
        input_shape=(num_pixels, length, channels),
    )
