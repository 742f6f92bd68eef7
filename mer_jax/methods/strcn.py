"""STRCN's two temporal connectivities (Xia, Hong, Gao, Feng, Zhao 2019, section III).

strcn_a  the pixels that move most over all training clips, against time: [P, T, C]
strcn_g  the robust flow from onset to apex: [H, W, 2] px

Both start from motion magnified by min(alpha, lambda / (8 delta) - 1). Augmentation samples alpha
and the percentage of the frames that is used (section III-D: 10 x 5 = 50 repeats).
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from mer_jax.clips import Clip, stack
from mer_jax.methods import frame_selection
from mer_jax.methods.examples import Examples
from mer_jax.options import checked
from mer_jax.video import (
    apex_index,
    bands,
    combine,
    difference_heatmap,
    gains,
    magnify,
    optical_flow,
    top_pixels,
)

ALPHAS = tuple(range(5, 15))  # ten factors in [5, 14]
PERCENTS = (100, 90, 80, 70, 60)


@checked
def strcn_a(
    clips: Sequence[Clip],
    *,
    size: Sequence[int] = (64, 48),
    length: int = 30,
    mask_fraction: float = 0.3,
    alpha: float = 8.0,
    alphas: Sequence[float] = ALPHAS,
    percents: Sequence[float] = PERCENTS,
    kernel: str = "tim",
    repeats_per_epoch: int = 50,
    wavelength: float = 16.0,
) -> Examples:
    """Appearance: the top `mask_fraction` of a fold's difference heat map, all channels.

    A test clip is magnified by `alpha` and has all frames; for a training sample both are random.
    Set alphas=(alpha,), percents=(100,), repeats_per_epoch=1 for Table IV's "without DA". The heat
    map (Eq. 4) sums over the training clips of the fold; with `train.statistics_on_all_clips` over
    all, as in the paper.

    Args:
      clips: videos.
      size: (H, W) px of the resized frames.
      length: frames after resampling.
      mask_fraction: share of the pixels, P = mask_fraction x H x W.
      alpha, wavelength: of `video.magnify`, of a test clip.
      alphas, percents: of a training sample; percents of the frames.
      kernel: of resampling, see `video.resample`.
      repeats_per_epoch: samples of a training clip in an epoch.
    """
    height, width = size
    batch = stack(clips, size=tuple(size))
    channels = batch.frames.shape[-1]
    num_pixels = int(mask_fraction * height * width)
    gain = lambda a: gains(height, width, alpha=a, wavelength=wavelength)

    def prepare(clip):
        frames, count = clip
        parts = bands(frames)
        heat = difference_heatmap(combine(frames, parts, gain(alpha), saturate=False), length=count)
        flat = lambda a: a.reshape(*a.shape[:-3], height * width, channels)
        return {"frames": flat(frames), "bands": flat(parts), "heat": heat.ravel(), "length": count}

    inputs = jax.jit(lambda f, n: jax.lax.map(prepare, (f, n)))(batch.frames, batch.length)
    table = jnp.asarray(frame_selection.tables(batch.frames.shape[1], length, [kernel])[0])
    factors, percentages = jnp.asarray(alphas, jnp.float32), jnp.asarray(percents, jnp.float32)

    def fit_statistics(inputs, weights):
        heat = jnp.einsum("n,np->p", weights, inputs["heat"], precision="highest")
        return top_pixels(heat.reshape(height, width), num_pixels=num_pixels)

    def tensor(example, pixels, factor, time):
        frames = example["frames"][:, pixels]
        motion = jnp.einsum("l,ltpc->tpc", gain(factor), example["bands"][:, :, pixels])
        return jnp.einsum("st,tpc->psc", time, frames + motion, precision="highest")

    def augment(key, example, pixels):
        for_alpha, for_percent, for_frames = jax.random.split(key, 3)
        time = frame_selection.random_frames(
            for_frames, table, example["length"], jax.random.choice(for_percent, percentages)
        )
        return tensor(example, pixels, jax.random.choice(for_alpha, factors), time)

    def eval_transform(example, pixels):
        return tensor(example, pixels, alpha, frame_selection.all_frames(table, example["length"]))

    return Examples(
        inputs=inputs,
        fit_statistics=fit_statistics,
        augment=augment,
        eval_transform=eval_transform,
        repeats_per_epoch=repeats_per_epoch,
        input_shape=(num_pixels, length, channels),
    )


@checked
def strcn_g(
    clips: Sequence[Clip],
    *,
    size: Sequence[int] = (300, 245),
    alpha: float = 8.0,
    alphas: Sequence[float] = ALPHAS,
    percents: Sequence[float] = PERCENTS,
    repeats_per_epoch: int = 50,
    wavelength: float = 16.0,
    preset: str = "classic_l",
    seed: int = 0,
) -> Examples:
    """Geometry: the flow from the first frame to the apex (Eq. 5) of the magnified clip, in px.

    The first of a clip's maps is the test sample: magnified by `alpha`, all frames. The others are
    one for each pair of `alphas` and `percents`: a random part of the frames is used, which moves
    the onset and the apex. A training sample is one of these at random.

    Args:
      clips: videos.
      size: (H, W) px of the resized frames.
      preset: of `video.optical_flow`.
      seed: of the random frames.
      alpha, alphas, percents, repeats_per_epoch, wavelength: as in `strcn_a`.
    """
    batch = stack(clips, size=tuple(size))
    longest = batch.frames.shape[1]
    rng = np.random.default_rng(seed)
    variants = [(alpha, 100.0)] + [(float(a), float(p)) for a in alphas for p in percents]
    # The frames of each clip that a variant uses, [N, V, T], sampled on the host.
    selected = np.zeros((len(clips), len(variants), longest), bool)
    for row, count in zip(selected, np.asarray(batch.length)):
        for mask, (_, percent) in zip(row, variants):
            used = max(2, round(count * percent / 100))
            mask[np.sort(rng.choice(count, min(used, count), replace=False))] = True

    factors = jnp.asarray([a for a, _ in variants], jnp.float32)
    options = dict(wavelength=float(wavelength), preset=preset)

    def augment(key, example, statistics):
        del statistics
        return example[jax.random.randint(key, (), 1, len(variants))]

    return Examples(
        inputs=_flows(batch.frames, jnp.asarray(selected), factors, **options),  # [N, V, H, W, 2]
        augment=augment,
        eval_transform=lambda example, statistics: example[0],
        repeats_per_epoch=repeats_per_epoch,
        input_shape=(*size, 2),
    )


@functools.partial(jax.jit, static_argnames=("wavelength", "preset"))
def _flows(
    frames: jax.Array, selected: jax.Array, factors: jax.Array, *, wavelength: float, preset: str
) -> jax.Array:
    """[N, T, H, W, C], [N, V, T] and [V] -> [N, V, H, W, 2] px."""
    longest = frames.shape[1]

    def one(frames, mask, factor):
        moved = magnify(frames, alpha=factor, wavelength=wavelength)
        # An unused frame repeats the used one before it, so that it cannot be the apex.
        order = jnp.arange(longest, dtype=jnp.int32)
        first = jnp.argmax(mask)
        source = jax.lax.cummax(jnp.where(mask, order, first.astype(jnp.int32)))
        used = moved[jnp.maximum(source, first)]
        onset, apex = used[0], used[apex_index(used)]
        return optical_flow(onset, apex, preset=preset)

    def every(clip):
        frames, masks = clip
        variant = lambda v: one(frames, *v)
        return jax.lax.map(variant, (masks, factors), batch_size=min(8, len(factors)))

    return jax.lax.map(every, (frames, selected))
