"""Pooling: maximum with a stored argmax, and averages as fixed matrices."""

import math
from collections.abc import Iterable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from mer_jax.nn.cpu.products import in_blocks
from mer_jax.nn.dispatch import by_platform, current_formulation
from mer_jax.nn.windows import Padding, Window, per_axis, resolve


def max_pool(
    x: jax.Array,
    window: int | Sequence[int],
    *,
    strides: int | Sequence[int] | None = None,
    padding: Padding = "VALID",
) -> jax.Array:
    """The maximum over windows, floor rounding: x [B, spatial, C] -> [B, pooled, C].

    `strides` defaults to the window. Padding never wins. The gradient goes to the first maximum
    of a window in row-major order, as in `lax.reduce_window`; its number is stored as one byte for
    each output, so that the backward pass neither searches again nor stores `x`. NaN propagates. A
    ReLU before it may as well follow: the same values and gradients, of fewer numbers.
    Differentiable as `conv` is.
    """
    axes = x.ndim - 2
    window = per_axis(window, axes)
    strides = window if strides is None else per_axis(strides, axes)
    pads = resolve(padding, x.shape[1:-1], window, strides)
    if current_formulation() == "xla":
        return max_and_argmax(window, strides, pads, x)[0]
    return _max_pool(window, strides, pads, x.shape[1:-1], x)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2, 3))
def _max_pool(window, strides, pads, sizes, x):
    return max_and_argmax(window, strides, pads, x)[0]


def _forward(window, strides, pads, sizes, x):
    search = partial(max_and_argmax, window, strides, pads)
    return by_platform(False, partial(_stored, search), search, x)


def _stored(search, x):
    """The search in a loop over blocks of samples: a loop's results are stored. Without one, XLA's
    CPU compiler merges the search, and what made x, into the loops of the backward pass, where it
    runs again for each tap of a window; it removes optimization barriers before it merges."""
    (blocks,) = in_blocks(x, width=math.prod(x.shape[1:]))
    return jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), lax.map(search, blocks))


def max_and_argmax(
    window: tuple[int, ...],
    strides: tuple[int, ...],
    pads: tuple[tuple[int, int], ...],
    x: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """The maxima and the tap of its window that each came from, as in `largest`."""
    sliding = Window(strides, pads, (1,) * len(window), None)
    sizes = sliding.sizes(x.shape[1:-1], window)
    taps = sliding.taps(sliding.pad(x, value=-jnp.inf), window, sizes)
    return largest(enumerate(taps), math.prod(window))


def largest(candidates: Iterable[tuple[int, jax.Array]], count: int) -> tuple[jax.Array, jax.Array]:
    """The maxima of numbered arrays of one shape, and the number that each came from.

    Numbers lie under `count` and come as int8, int16 where they do not fit. The first of equals
    wins, and NaN over all.
    """
    dtype = jnp.int8 if count <= 128 else jnp.int16
    candidates = iter(candidates)  # one at a time: none of them need be stored
    number, maxima = next(candidates)
    argmax = jnp.full(maxima.shape, jnp.asarray(number, dtype))
    for number, value in candidates:
        better = (value > maxima) | jnp.isnan(value)
        maxima = jnp.where(better, value, maxima)
        argmax = jnp.where(better, jnp.asarray(number, dtype), argmax)
    return maxima, argmax


def _backward(window, strides, pads, sizes, argmax, g):
    if window == strides:
        scattered = scatter_tiles(window, argmax, g)
    else:
        scattered = _scatter_overlapping(window, strides, argmax, g)
    # what lies past the last window has no gradient; what lies in the padding is cut away
    config = [
        (-before, n + before - size, 0)
        for n, (before, _), size in zip(sizes, pads, scattered.shape[1:])
    ]
    return (lax.pad(scattered, jnp.zeros((), g.dtype), [(0, 0, 0), *config, (0, 0, 0)]),)


_max_pool.defvjp(_forward, _backward)


def scatter_tiles(window: Sequence[int], argmax: jax.Array, g: jax.Array) -> jax.Array:
    """Windows that tile: each tap reads its own window's gradient if it was the maximum."""
    axes = tuple(range(2, 2 + 2 * len(window), 2))  # a tap axis behind each pooled axis
    taps = np.arange(math.prod(window)).reshape(window)
    taps = np.expand_dims(taps, (*(a - 1 for a in axes), 2 * len(window) + 1, 0))
    chosen = jnp.expand_dims(argmax, axes) == jnp.asarray(taps, argmax.dtype)
    scattered = jnp.where(chosen, jnp.expand_dims(g, axes), 0)
    sizes = [n * k for n, k in zip(g.shape[1:], window)]
    return scattered.reshape(g.shape[0], *sizes, g.shape[-1])


def _scatter_overlapping(window, strides, argmax, g):
    """Windows that overlap: the taps' gradients, each laid out at its own offset, add up."""
    sizes = [(n - 1) * s + k for n, s, k in zip(g.shape[1:], strides, window)]
    zero = jnp.zeros((), g.dtype)
    total = jnp.zeros((g.shape[0], *sizes, g.shape[-1]), g.dtype)
    for tap, offset in enumerate(np.ndindex(*window)):
        value = jnp.where(argmax == jnp.asarray(tap, argmax.dtype), g, zero)
        config = [(o, k - 1 - o, s - 1) for o, k, s in zip(offset, window, strides)]
        total = total + lax.pad(value, zero, [(0, 0, 0), *config, (0, 0, 0)])
    return total


def avg_pool(x: jax.Array, window: int | Sequence[int]) -> jax.Array:
    """The mean over windows that tile, floor rounding: x [B, spatial, C] -> [B, pooled, C]."""
    window = per_axis(window, x.ndim - 2)
    starts = [np.arange(n // k) * k for n, k in zip(x.shape[1:], window)]
    return _average(x, [(s, s + k) for s, k in zip(starts, window)])


def adaptive_avg_pool(x: jax.Array, sizes: int | Sequence[int]) -> jax.Array:
    """The mean over `sizes` nearly equal windows an axis: x [B, spatial, C] -> [B, *sizes, C].

    Window i of m over n samples runs from floor(i n / m) to ceil((i + 1) n / m), PyTorch's rule.
    """
    bounds = []
    for n, m in zip(x.shape[1:], per_axis(sizes, x.ndim - 2)):
        i = np.arange(m)
        bounds.append((i * n // m, -(-(i + 1) * n // m)))
    return _average(x, bounds)


def _average(x, bounds):
    """Means over [start, stop) along each spatial axis in turn, each a fixed matrix."""
    for axis, (start, stop) in enumerate(bounds, 1):
        sample = np.arange(x.shape[axis])
        inside = (sample[:, None] >= start) & (sample[:, None] < stop)
        matrix = jnp.asarray(inside / (stop - start), x.dtype)
        x = jnp.moveaxis(jnp.tensordot(x, matrix, (axis, 0), precision="highest"), -1, axis)
    return x
