"""3-D convolution on CPUs, by 2-D ones or by one product of matrices.

XLA's CPU convolutions are slow in three dimensions. Which of three ways serves follows from the
shapes and the dtype alone; all of them can be differentiated.
"""

import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp

from mer_jax.nn.formulation import product
from mer_jax.nn.windows import Window, shifted

Flat = Callable[[Window, jax.Array, jax.Array], jax.Array]


def convolve(flat: Flat, window: Window, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """x [B, T, H, W, C] * kernel [kt, kh, kw, C, O] -> [B, T', H', W', O].

    `flat` is the 2-D convolution, differentiable in both arrays.
    """
    sizes = window.sizes(x.shape[1:-1], kernel.shape)
    if len(x) * math.prod(sizes) <= kernel.shape[-1]:
        return _by_patches(window, x, kernel, sizes)
    (stride, *_), (pads, *_), (dilation, *_) = window[:3]
    x = jnp.pad(x, ((0, 0), pads, (0, 0), (0, 0), (0, 0)))
    # 16-bit numbers would lose a bit in the differences of frames
    if (len(kernel), stride, dilation) == (3, 1, 1) and sizes[0] > 1 and x.dtype.itemsize >= 4:
        return _two_frames_at_once(flat, window, x, kernel, sizes[0])
    return _stacked(flat, window, x, kernel, sizes[0])


def _by_patches(window, x, kernel, sizes):
    """Where the patches are fewer numbers than the weights, which are then moved least: one
    product with the kernel as it lies in memory."""
    x = jnp.pad(x, ((0, 0), *window.padding, (0, 0)))
    taps = shifted(x, kernel.shape[:3], window.strides, window.dilation, sizes)
    patches = jnp.concatenate(taps, -1)
    matrices = (a.reshape(-1, a.shape[-1]) for a in (patches, kernel))
    y = product(*matrices, precision=window.precision)
    return y.astype(x.dtype).reshape(*patches.shape[:-1], kernel.shape[-1])


def _two_frames_at_once(flat, window, x, kernel, frames):
    """Three taps, two output frames, by four products where six are asked for.

    Minimal filtering F(2, 3) of Winograd, 1980 (in networks: Lavin & Gray 2016) along time: with
    a, b, c, d four frames in a row, s = (k0 + k2) / 2 and h = k1 / 2

        y0 = (a - c) k0 + (b + c) (s + h) + (c - b) (s - h)
        y1 = (b + c) (s + h) - (c - b) (s - h) - (b - d) k2.
    """
    pairs = -(-frames // 2)
    x = jnp.pad(x, ((0, 0), (0, 2 * pairs - frames), (0, 0), (0, 0), (0, 0)))
    a, b, c, d = (_images(tap) for tap in shifted(x, (4,), (2,), (1,), (pairs,)))
    k0, k1, k2 = kernel
    s, h = (k0 + k2) / 2, k1 / 2
    flat = partial(flat, window.without_time())
    first, last = flat(a - c, k0), flat(b - d, k2)
    plus, minus = flat(b + c, s + h), flat(c - b, s - h)
    y = jnp.stack([first + plus + minus, plus - minus - last], axis=1)
    return y.reshape(-1, 2 * pairs, *y.shape[2:])[:, :frames]


def _stacked(flat, window, x, kernel, frames):
    """The time taps of each output frame stacked on channels."""
    kt, kh, kw, channels, maps = kernel.shape
    taps = shifted(x, (kt,), window.strides[:1], window.dilation[:1], (frames,))
    kernel = kernel.transpose(1, 2, 0, 3, 4).reshape(kh, kw, kt * channels, maps)
    y = flat(window.without_time(), _images(jnp.concatenate(taps, -1)), kernel)
    return y.reshape(-1, frames, *y.shape[1:])


def _images(clips):
    return clips.reshape(-1, *clips.shape[2:])
