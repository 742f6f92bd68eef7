"""Clips of another length: every way to resample time is a fixed matrix, applied as one product.

`matrix` builds it in NumPy, [length out, length in]; matrices compose, so that leaving out frames
and resampling the rest (the temporal jittering of MER-RCNN and STRCN) is one matrix again, and an
augmentation on the device is the choice of a row of `jitter_matrices`.

Kernels
    tim        Temporal interpolation model: the frames' samples of the smooth curve through them
    nearest    box without antialiasing: the nearest frame, whatever `antialias` says
    box        1 within half a frame; shrinking averages the frames under the box
    bilinear = triangle        1 - |x|
    bicubic = cubic            Keys' cubic convolution with a = -1/2
    lanczos2, lanczos3         sinc(x) sinc(x / n) for |x| < n

The last eight are the names, and the list, of MATLAB's imresize, which MER-RCNN used in time.
There 'bilinear' and 'bicubic' are names of methods, 'triangle' and 'cubic' names of kernels, of the
same weights: the list of eight has six members when shrinking and five when enlarging, where box
and nearest coincide too. A jittering over all eight draws the doubled ones twice as often.

Negative lobes (tim, cubic, lanczos) can leave [0, 1] by a little; nothing is clipped.
"""

import math
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from mer_jax.clips import to_float
from mer_jax.errors import UserError
from mer_jax.options import checked


def _box(x: np.ndarray) -> np.ndarray:
    return ((x >= -0.5) & (x < 0.5)).astype(np.float64)


def _triangle(x: np.ndarray) -> np.ndarray:
    return np.maximum(1 - np.abs(x), 0)


def _cubic(x: np.ndarray) -> np.ndarray:
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


def _lanczos(lobes: int):
    return lambda x: np.where(np.abs(x) < lobes, np.sinc(x) * np.sinc(x / lobes), 0)


# Each with half its width, beyond which it is zero.
_IMRESIZE = {
    "nearest": (_box, 0.5),
    "bilinear": (_triangle, 1),
    "bicubic": (_cubic, 2),
    "box": (_box, 0.5),
    "triangle": (_triangle, 1),
    "cubic": (_cubic, 2),
    "lanczos2": (_lanczos(2), 2),
    "lanczos3": (_lanczos(3), 3),
}
IMRESIZE_KERNELS = tuple(_IMRESIZE)  # MER-RCNN's eight
KERNELS = ("tim", *IMRESIZE_KERNELS)


@checked
def matrix(
    length_in: int, length_out: int, *, kernel: str = "tim", antialias: bool = True
) -> np.ndarray:
    """[length_out, length_in] float32: the weights of every input frame in every output frame.

    Rows sum to 1. `antialias` widens a kernel of imresize by length_in / length_out when that is
    above 1 (MATLAB's default, except for 'nearest', which is never widened). Beyond the ends, the
    clip is mirrored with its end frames repeated, as imresize does. TIM keeps the first and the
    last frame, places the rest evenly between them, and does not antialias.

    Zhou, Zhao, Pietikäinen, "Towards a practical lipreading system" (2011) for TIM: its manifold
    of a path graph is the DCT-II basis, the same for every clip, so that no decomposition is left.
    Raises `UserError` for an unknown kernel or a length below 1.
    """
    if length_in < 1 or length_out < 1:
        raise UserError(f"cannot resample {length_in} frames to {length_out}: 1 is the least")
    if kernel == "tim":
        return _tim(length_in, length_out).astype(np.float32)
    antialias = antialias and kernel != "nearest"
    return _imresize(length_in, length_out, *_IMRESIZE[kernel], antialias).astype(np.float32)


@checked
def resample(clip: Array, length: int, *, kernel: str = "tim", antialias: bool = True) -> Array:
    """[T, ...] -> [length, ...]: `clip` at another length; see `matrix`."""
    return apply(matrix(len(clip), length, kernel=kernel, antialias=antialias), clip)


def apply(matrix: Array | np.ndarray, clip: Array) -> Array:
    """matrix [length out, T] times clip [T, ...], of any range: it is linear.

    Integers are converted by the range of their dtype (`clips.to_float`). A frame whose column is 0
    is not looked at.
    """
    clip = to_float(clip, beyond=math.inf)
    seen = jnp.any(jnp.asarray(matrix) != 0, axis=0)  # 0 times NaN would be NaN
    clip = jnp.where(seen.reshape(-1, *(1,) * (clip.ndim - 1)), clip, 0)
    return jnp.einsum("ot,t...->o...", matrix, clip, precision=lax.Precision.HIGHEST)


@checked
def select(length: int, *, percent: float, rng: np.random.Generator | None = None) -> np.ndarray:
    """[M] int32, ascending: which M = length percent / 100 frames (rounded, at least 1) to keep.

    Spread evenly from the first to the last frame; with `rng`, drawn at random without replacement,
    as STRCN and MER-RCNN say. Raises `UserError` unless 0 < percent <= 100.
    """
    count = max(1, int(length * percent / 100 + 0.5))
    if rng is not None:
        return np.sort(rng.choice(length, count, replace=False)).astype(np.int32)
    # Whole numbers, rounded half up: the same frames on every machine.
    spaces = max(count - 1, 1)
    return ((2 * np.arange(count) * (length - 1) + spaces) // (2 * spaces)).astype(np.int32)


@checked
def jitter_matrices(
    length: int,
    length_out: int,
    *,
    percents: Sequence[float] = (100, 90, 80, 70, 60, 50),
    kernels: Sequence[str] = IMRESIZE_KERNELS,
    pad_to: int | None = None,
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    """[P K, length_out, pad_to] float32: every selection followed by every kernel, one matrix each.

    Row p K + k keeps `percents[p]` of the `length` frames (by `select`, all kernels of the same
    frames) and resamples them by `kernels[k]`. Columns from `length` on are zero, so that frames
    that pad a clip to `pad_to` take no part. The defaults are MER-RCNN's 48; STRCN uses the
    percents down to 60. Raises `UserError` where `pad_to` is less than `length`.
    """
    pad_to = length if pad_to is None else pad_to
    if pad_to < length:
        raise UserError(f"cannot pad {length} frames to {pad_to}; pad_to must be {length} or more")
    out = np.zeros((len(percents), len(kernels), length_out, pad_to), np.float32)
    for row, percent in zip(out, percents):
        frames = select(length, percent=percent, rng=rng)
        for weights, kernel in zip(row, kernels):
            weights[:, frames] = matrix(len(frames), length_out, kernel=kernel)
    return out.reshape(-1, length_out, pad_to)


def _tim(length_in: int, length_out: int) -> np.ndarray:
    n = length_in
    at = np.linspace(0, 1, length_out) * (1 - 1 / n) + 1 / n
    frequency = np.pi * np.arange(1, n)
    there = np.cos(np.outer(at - 1 / (2 * n), frequency))
    here = np.cos(np.outer(2 * np.arange(1, n + 1) - 1, frequency) / (2 * n))
    return (1 + 2 * there @ here.T) / n


def _imresize(length_in, length_out, kernel, half_width, antialias) -> np.ndarray:
    stretch = max(length_in / length_out, 1) if antialias else 1
    # Frames out to where the kernel of the outermost output frame ends.
    margin = int(np.ceil(half_width * stretch)) + 1
    frames = np.arange(-margin, length_in + margin)
    # The centre of output frame i is (i + 1/2) length_in / length_out - 1/2 in input frames. Over
    # the common denominator everything is a whole number: a frame exactly on a box's edge stays so.
    centers = (2 * np.arange(length_out)[:, None] + 1) * length_in - length_out
    distance = centers - 2 * length_out * frames
    scale = 2 * (length_in if stretch > 1 else length_out)
    weights = kernel(distance / scale)
    weights /= weights.sum(1, keepdims=True)
    cycle = frames % (2 * length_in)
    mirrored = np.where(cycle < length_in, cycle, 2 * length_in - 1 - cycle)
    out = np.zeros((length_out, length_in))
    np.add.at(out, (slice(None), mirrored), weights)  # type: ignore[arg-type]  # NumPy takes it
    return out
