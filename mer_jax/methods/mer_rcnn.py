"""MER-RCNN: the central pixels of the magnified clip against time (Xia, Feng, Hong, Zhao 2018)."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from mer_jax.clips import Clip, stack
from mer_jax.methods import selection
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
    """[keep, length, C]: the `keep` pixels nearest the centre, magnified by min(alpha, bound).

    A training sample draws a share of the frames and one of eight resampling kernels (six by eight
    copies); a test clip keeps all frames and is resampled by `kernel`.
    """
    batch = stack(clips, size=tuple(size))
    channels = batch.frames.shape[-1]
    pixels = core_region(*size, num_pixels=num_pixels)

    def prepare(frames):
        moved = magnify(frames, alpha=alpha, wavelength=wavelength, saturate=False)
        return moved.reshape(len(frames), -1, channels)[:, pixels]

    inputs = {
        "frames": jax.jit(lambda f: jax.lax.map(prepare, f))(batch.frames),  # [N, T, P, C]
        "length": batch.length,
    }
    table = jnp.asarray(selection.tables(batch.frames.shape[1], length, [*kernels, kernel]))
    shares = jnp.asarray(percents, jnp.float32)

    def tensor(time, example):
        return jnp.einsum("st,tpc->psc", time, example["frames"], precision="highest")

    def augment(key, example, statistics):
        del statistics
        for_kernel, for_percent, for_frames = jax.random.split(key, 3)
        chosen = table[jax.random.randint(for_kernel, (), 0, len(kernels))]
        percent = jax.random.choice(for_percent, shares)
        return tensor(selection.drawn(for_frames, chosen, example["length"], percent), example)

    def eval_transform(example, statistics):
        del statistics
        return tensor(selection.whole(table[-1], example["length"]), example)

    return Examples(
        inputs=inputs,
        augment=augment,
        eval_transform=eval_transform,
        repeats_per_epoch=repeats_per_epoch,
        input_shape=(num_pixels, length, channels),
    )
