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

from mer_jax import runtime
from mer_jax.clips import Clip, stack
from mer_jax.datasets import folders
from mer_jax.io import saving
from mer_jax.methods import frame_selection, per_clip
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
from mer_jax.video.difference import num_pixels_of

ALPHAS = tuple(range(5, 15))  # ten factors in [5, 14]
PERCENTS = (100, 90, 80, 70, 60)
_FLOW_BATCH = 8  # pairs of frames of one call


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
    num_pixels = num_pixels_of(mask_fraction, height * width)
    gain = lambda a: gains(height, width, alpha=a, wavelength=wavelength)

    def prepare(clip):
        parts = bands(clip.frames)
        magnified = combine(clip.frames, parts, gain(alpha), saturate=False)
        heat = difference_heatmap(magnified, length=clip.length)
        flat = lambda a: a.reshape(*a.shape[:-3], height * width, a.shape[-1])
        return {
            "frames": flat(clip.frames),
            "bands": flat(parts),
            "heat": heat.ravel(),
            "length": clip.length,
        }

    inputs = per_clip.compute_on_device(
        clips, prepare, size=size, chunk=4, time_axes={"frames": 0, "bands": 1}
    )
    longest, channels = inputs["frames"].shape[1], inputs["frames"].shape[-1]
    table = jnp.asarray(frame_selection.tables(longest, length, [kernel])[0])
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
    """Geometry: the flow from onset to apex (Eq. 5) of the magnified clip, in px.

    The apex is found between onset and offset, if the clip has other frames, too.
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
    longest = max(folders.length(clip) for clip in clips)
    # A group of variants has one factor; the first group is the test sample.
    groups = [(float(alpha), (100.0,))] + [(float(a), tuple(map(float, percents))) for a in alphas]
    groups = [(factor, group) for factor, group in groups if group]
    widest = max(len(group) for _, group in groups)

    def compute(clip):
        batch = stack([clip], size=size, length=longest)
        rng = np.random.default_rng([seed, int(saving.digest(clip.key)[:8], 16)])
        onsets, apexes = [], []
        for factor, group in groups:
            selected = np.zeros((widest, longest), bool)  # the frames that a variant uses
            first, last = int(batch.onset[0]), int(batch.offset[0])
            for mask, percent in zip(selected, group):
                count = last - first + 1
                used = min(count, max(2, round(count * percent / 100)))
                mask[first + np.sort(rng.choice(count, used, replace=False))] = True
            selected[len(group) :] = selected[0]
            pair = _onset_and_apex(
                batch.frames[0], jnp.asarray(selected), jnp.float32(factor), wavelength=wavelength
            )
            onsets.append(pair[0][: len(group)])
            apexes.append(pair[1][: len(group)])
        return _flows(np.concatenate(onsets), np.concatenate(apexes), preset=preset)

    flows = per_clip.compute(clips, compute, depends_on=longest)  # [N, V, H, W, 2]
    num_variants = flows.shape[1]

    def augment(key, example, statistics):
        del statistics
        return example[jax.random.randint(key, (), 1, num_variants)]

    return Examples(
        inputs=flows,
        augment=augment,
        eval_transform=lambda example, statistics: example[0],
        repeats_per_epoch=repeats_per_epoch,
        input_shape=(*size, 2),
    )


@functools.partial(jax.jit, static_argnames="wavelength")
def _onset_and_apex(
    frames: jax.Array, selected: jax.Array, factor: jax.Array, *, wavelength: float
) -> tuple[jax.Array, jax.Array]:
    """[T, H, W, C] magnified by `factor` and each selection [V, T]: two frames [V, H, W, C]."""
    moved = magnify(frames, alpha=factor, wavelength=wavelength)

    def one(mask):
        # An unused frame repeats the used one before it, so that it cannot be the apex.
        order = jnp.arange(len(mask), dtype=jnp.int32)
        first = jnp.argmax(mask).astype(jnp.int32)
        used = moved[jnp.maximum(jax.lax.cummax(jnp.where(mask, order, first)), first)]
        return used[0], used[apex_index(used)]

    return jax.lax.map(one, selected)


def _flows(onsets: np.ndarray, apexes: np.ndarray, *, preset: str) -> np.ndarray:
    """[V, H, W, C] twice -> [V, H, W, 2] px, in batches of one size.

    A CPU's cache has room for one pair, and its cores take one each.
    """
    count = len(onsets)
    size = 1 if jax.default_backend() == "cpu" else min(_FLOW_BATCH, count)
    pairs = np.arange(-(-count // size) * size).reshape(-1, size) % count
    compute = runtime.pinned()(
        lambda pair: np.asarray(_flow(onsets[pair], apexes[pair], preset=preset))
    )
    with runtime.threads() as threads:
        return np.concatenate(list(threads.map(compute, pairs)))[:count]


@functools.partial(jax.jit, static_argnames="preset")
def _flow(onsets: jax.Array, apexes: jax.Array, *, preset: str) -> jax.Array:
    return jax.vmap(lambda onset, apex: optical_flow(onset, apex, preset=preset))(onsets, apexes)
