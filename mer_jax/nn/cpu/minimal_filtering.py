"""Minimal filtering F(2, 3): two outputs of a filter of three taps by four products, not six.

Winograd, Arithmetic Complexity of Computations, 1980; in networks Lavin & Gray 2016. With a, b, c
and d four inputs in a row, s = (k0 + k2) / 2 and h = k1 / 2

    y0 = (a - c) k0 + (b + c) (s + h) + (c - b) (s - h)
    y1 = (b + c) (s + h) - (c - b) (s - h) - (b - d) k2.

Along two axes it takes 16 products instead of 36.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from mer_jax.nn.windows import Window

# k0, s + h, s - h and k2 from k0, k1 and k2
_FACTORS = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])


def applies(window: Window, x: jax.Array, kernel: jax.Array, *, axes: int) -> bool:
    """Whether `convolve` applies: three taps, stride and dilation 1 along the first `axes` spatial
    axes, and 32 bits or more (16-bit numbers would lose a bit in the differences)."""
    slides = zip(kernel.shape[:axes], window.strides, window.dilation)
    return x.dtype.itemsize >= 4 and set(slides) == {(3, 1, 1)}


def convolve(
    rest: Callable[[jax.Array, jax.Array], jax.Array],
    window: Window,
    x: jax.Array,
    kernel: jax.Array,
    *,
    axes: int,
    stacked: bool = False,
) -> jax.Array:
    """x [B, spatial, C] * kernel [3, ..., C, O], filtered along the first `axes` spatial axes.

    Args:
      rest: convolves along the other spatial axes, padding included: (x, kernel without the first
        `axes` axes) -> y.
      axes: 1 or 2.
      stacked: the four calls of `rest` for the last of these axes are one, by `jax.vmap`: a
        smaller program, and as fast where `rest` is a product.

    Returns:
      [B, spatial', O], differentiable as `rest` is.
    """
    sizes = window.sizes(x.shape[1:-1], kernel.shape)[:axes]
    pads = [(before, after + n % 2) for (before, after), n in zip(window.padding, sizes)]
    x = jnp.pad(x, [(0, 0), *pads, *[(0, 0)] * (x.ndim - 1 - axes)])
    # Of all axes at once: one product for the factors.
    matrix = jnp.asarray(functools.reduce(np.kron, [_FACTORS] * axes), kernel.dtype)
    factors = jnp.matmul(matrix, kernel.reshape(3**axes, -1), precision="highest")
    factors = factors.reshape(*[4] * axes, *kernel.shape[axes:])

    def along(axis, x, factors):
        if axis > axes:
            return rest(x, factors)
        if stacked and axis == axes:
            first, plus, minus, last = jax.vmap(rest)(jnp.stack(_inputs(x, axis)), factors)
        else:
            pairs = zip(_inputs(x, axis), factors)
            first, plus, minus, last = (along(axis + 1, *pair) for pair in pairs)
        y = jnp.stack([first + plus + minus, plus - minus - last], axis + 1)
        return y.reshape(*y.shape[:axis], -1, *y.shape[axis + 2 :])

    return along(1, x, factors)[(slice(None), *map(slice, sizes))]


def _inputs(x, axis):
    """a - c, b + c, c - b, b - d along an axis of even length."""
    # As even and odd entries, not by slices of stride 2, whose gradients are slower.
    pairs = x.reshape(*x.shape[:axis], -1, 2, *x.shape[axis + 1 :])
    a, b = jnp.unstack(lax.slice_in_dim(pairs, 0, -1, axis=axis), axis=axis + 1)
    c, d = jnp.unstack(lax.slice_in_dim(pairs, 1, None, axis=axis), axis=axis + 1)
    return a - c, b + c, c - b, b - d
