"""Resampling in time: every way to do it is a fixed matrix, applied as one product.

`matrix` builds it in NumPy, [length out, length in]. Matrices compose: leaving out frames and
resampling the rest (the temporal jittering of MER-RCNN and STRCN, `methods.frame_selection`) is one
matrix again.

Kernels
    tim        temporal interpolation model: samples of the smooth curve through the frames
    nearest    box without antialiasing: the nearest frame, whatever `antialias`
    box        1 within half a frame; shrinking averages the frames under the box
    bilinear = triangle        1 - |x|
    bicubic = cubic            Keys' cubic convolution with a = -1/2
    lanczos2, lanczos3         sinc(x) sinc(x / n) for |x| < n

The last eight are the list of MATLAB's imresize, which MER-RCNN used in time. There 'bilinear' and
'bicubic' are names of methods, 'triangle' and 'cubic' names of kernels, of the same weights: the
list of eight has six members when shrinking and five when enlarging, where box and nearest coincide
too. A jittering over all eight draws the doubled ones twice as often.

Negative lobes (tim, cubic, lanczos) can leave [0, 1] by a little; nothing is clipped.
"""

import math

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from mer_jax.clips import check_axes, to_float
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


# Kernel and half its width, beyond which it is zero.
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
    """The weights of every input frame in every output frame; rows sum to 1.

    Beyond its ends the clip is mirrored with its end frames repeated, as imresize does. TIM has
    the first and the last frame (of one alone the first), spaces the rest evenly, and does not
    antialias: its manifold of a path graph is the DCT-II basis, the same for every clip, so that no
    decomposition is needed.

    Args:
      length_in, length_out: frames.
      kernel: one of the module's.
      antialias: widen a kernel of imresize by length_in / length_out if that is above 1 (MATLAB's
        default, except for 'nearest', which is never widened).

    Returns:
      [length_out, length_in] float32.

    Raises:
      UserError: for an unknown kernel or a length below 1.

    Zhou, Zhao, Pietikäinen, "Towards a practical lipreading system" (2011), for TIM.

    >>> matrix(4, 2, kernel="box")
    array([[0.5, 0.5, 0. , 0. ],
           [0. , 0. , 0.5, 0.5]], dtype=float32)
    """
    if kernel == "tim":
        return _tim(length_in, length_out).astype(np.float32)
    antialias = antialias and kernel != "nearest"
    return _imresize(length_in, length_out, *_IMRESIZE[kernel], antialias).astype(np.float32)


@checked
def resample(clip: Array, length: int, *, kernel: str = "tim", antialias: bool = True) -> Array:
    """A clip at another length.

    Args:
      clip: [T, ...], floats of any range; integers are converted by theirs (`clips.to_float`).
      length: frames of the result.
      kernel, antialias: see `matrix`.

    Returns:
      [length, ...].

    Raises:
      UserError: as `matrix`.

    >>> resample(jnp.array([0.0, 1.0, 2.0]), 6, kernel="nearest")
    Array([0., 0., 1., 1., 2., 2.], dtype=float32)
    """
    check_axes(clip, "T...")
    return apply(matrix(len(clip), length, kernel=kernel, antialias=antialias), clip)


def apply(matrix: Array | np.ndarray, clip: Array) -> Array:
    """Multiplies a matrix and a clip.

    Args:
      matrix: [length out, T], as of `matrix`.
      clip: [T, ...], floats of any range (it is linear); integers are converted by theirs. Frames
        whose column is 0 may be NaN.

    Returns:
      [length out, ...].

    Raises:
      UserError: for another number of frames.

    >>> apply(matrix(4, 2, kernel="box"), jnp.array([0.0, 1.0, 2.0, 3.0]))
    Array([0.5, 2.5], dtype=float32)
    """
    check_axes(matrix, "OT", name="matrix")
    clip = to_float(clip, axes=f"{matrix.shape[1]}...", margin=math.inf)
    used = jnp.any(jnp.asarray(matrix) != 0, axis=0)  # 0 times NaN would be NaN
    clip = jnp.where(used.reshape(-1, *(1,) * (clip.ndim - 1)), clip, 0)
    return jnp.einsum("ot,t...->o...", matrix, clip, precision=lax.Precision.HIGHEST)


def _tim(length_in: int, length_out: int) -> np.ndarray:
    n = length_in
    at = np.linspace(0, 1, length_out) * (1 - 1 / n) + 1 / n
    frequency = np.pi * np.arange(1, n)
    output_basis = np.cos(np.outer(at - 1 / (2 * n), frequency))
    input_basis = np.cos(np.outer(2 * np.arange(1, n + 1) - 1, frequency) / (2 * n))
    return (1 + 2 * output_basis @ input_basis.T) / n


def _imresize(length_in, length_out, kernel, half_width, antialias) -> np.ndarray:
    stretch = max(length_in / length_out, 1) if antialias else 1
    # Frames out to where the kernel of the outermost output frame ends.
    margin = int(np.ceil(half_width * stretch)) + 1
    frames = np.arange(-margin, length_in + margin)
    # The center of output frame i is (i + 1/2) length_in / length_out - 1/2 in input frames. Over
    # the common denominator all are integers: a frame exactly on a box's edge stays there.
    centers = (2 * np.arange(length_out)[:, None] + 1) * length_in - length_out
    distance = centers - 2 * length_out * frames
    scale = 2 * (length_in if stretch > 1 else length_out)
    weights = kernel(distance / scale)
    weights /= weights.sum(1, keepdims=True)
    cycle = frames % (2 * length_in)
    mirrored = np.where(cycle < length_in, cycle, 2 * length_in - 1 - cycle)
    out = np.zeros((length_out, length_in))
    np.add.at(out, (slice(None), mirrored), weights)  # type: ignore[arg-type]  # valid in NumPy
    return out
