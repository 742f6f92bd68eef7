"""Minimal filtering F(2, 3): two outputs of a filter of three taps by four products, not six.

Winograd, Arithmetic Complexity of Computations, 1980; in networks Lavin & Gray 2016. With a, b, c
and d four inputs in a row, s = (k0 + k2) / 2 and h = k1 / 2

    y0 = (a - c) k0 + (b + c) (s + h) + (c - b) (s - h)
    y1 = (b + c) (s + h) - (c - b) (s - h) - (b - d) k2.

Along two axes it takes 16 products instead of 36.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from mer_jax.nn.windows import Window


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
) -> jax.Array:
    """x [B, spatial, C] * kernel [3, ..., C, O], filtered along the first `axes` spatial axes.

    Args:
      rest: convolves along the other spatial axes, padding included: (x, kernel without the first
        `axes` axes) -> y.
      axes: 1 or 2.

    Returns:
      [B, spatial', O], differentiable as `rest` is.
    """
    sizes = window.sizes(x.shape[1:-1], kernel.shape)[:axes]
    pads = [(before, after + n % 2) for (before, after), n in zip(window.padding, sizes)]
    x = jnp.pad(x, [(0, 0), *pads, *[(0, 0)] * (x.ndim - 1 - axes)])
    return _along(1, rest, x, kernel, axes)[(slice(None), *map(slice, sizes))]


def _along(axis, rest, x, kernel, axes):
    if axis > axes:
        return rest(x, kernel)
    after = x.shape[axis] - 3
    a, b, c, d = (lax.slice_in_dim(x, i, i + after, 2, axis) for i in range(4))
    k0, k1, k2 = kernel
    s, h = (k0 + k2) / 2, k1 / 2
    first, last = (_along(axis + 1, rest, *pair, axes) for pair in ((a - c, k0), (b - d, k2)))
    plus = _along(axis + 1, rest, b + c, s + h, axes)
    minus = _along(axis + 1, rest, c - b, s - h, axes)
    y = jnp.stack([first + plus + minus, plus - minus - last], axis + 1)
    return y.reshape(*y.shape[:axis], -1, *y.shape[axis + 2 :])
