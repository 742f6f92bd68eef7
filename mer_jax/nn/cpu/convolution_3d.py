"""3-D convolution on CPUs, by 2-D ones or by one product of matrices.

XLA's CPU convolutions are slow in three dimensions. The shapes and the dtype decide which of three
formulations is used; all of them are differentiable.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from mer_jax.nn.cpu import minimal_filtering, patches
from mer_jax.nn.windows import Window

Flat = Callable[[Window, jax.Array, jax.Array], jax.Array]


def convolve(flat: Flat, window: Window, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """x [B, T, H, W, C] * kernel [kt, kh, kw, C, O] -> [B, T', H', W', O].

    Args:
      flat: the 2-D convolution (window, x [B, H, W, C], kernel [kh, kw, C, O]), differentiable in
        both arrays.
      window: strides, padding and dilation along T, H and W.
    """
    sizes = window.sizes(x.shape[1:-1], kernel.shape)
    if len(x) * math.prod(sizes) <= kernel.shape[-1]:
        return patches.convolve(window, x, kernel)  # reads the weights once
    over = Window(window.strides[1:], window.padding[1:], window.dilation[1:], window.precision)

    def each_frame(x, kernel):
        y = flat(over, x.reshape(-1, *x.shape[2:]), kernel)
        return y.reshape(*x.shape[:2], *y.shape[1:])

    if sizes[0] > 1 and minimal_filtering.applies(window, x, kernel, axes=1):
        return minimal_filtering.convolve(each_frame, window, x, kernel, axes=1)
    return each_frame(*_stacked(window, x, kernel, sizes[0]))


def _stacked(window, x, kernel, frames):
    """The time taps of each output frame concatenated on channels, and the kernel for them."""
    kt, kh, kw, channels, maps = kernel.shape
    x = jnp.pad(x, ((0, 0), window.padding[0], (0, 0), (0, 0), (0, 0)))
    taps = window.taps(x, kernel.shape, (frames,))
    kernel = kernel.transpose(1, 2, 0, 3, 4).reshape(kh, kw, kt * channels, maps)
    return jnp.concatenate(taps, -1), kernel
