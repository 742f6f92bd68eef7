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

_TAPS = 128  # of a tile that are written one by one; their number fits one byte


def max_pool(
    x: jax.Array,
    window: int | Sequence[int],
    *,
    strides: int | Sequence[int] | None = None,
    padding: Padding = "VALID",
) -> jax.Array:
    """The maximum over windows.

    The gradient goes to the first maximum of a window in row-major order, as in
    `lax.reduce_window`; its index in the window is stored, one byte for each output, so that the
    backward pass neither searches again nor stores `x`. NaN propagates. A ReLU gives the same
    values and gradients before and after it; after it costs less.

    Args:
      x: [B, spatial, C] float.
      window: one size, or one for each spatial axis.
      strides: likewise; None: those of the window.
      padding: as in `conv`; of minus infinity, so that it is never the maximum.

    Returns:
      [B, pooled, C], sizes rounded down; differentiable as `conv` is.

    >>> import jax, numpy as np
    >>> from mer_jax import nn
    >>> x = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    >>> np.asarray(nn.max_pool(x, 2))[0, ..., 0]
    array([[ 5.,  7.],
           [13., 15.]], dtype=float32)
    >>> gradient = jax.jit(jax.grad(lambda x: nn.max_pool(x, 2).sum()))(x)
    >>> np.asarray(gradient)[0, :2, :2, 0]
    array([[0., 0.],
           [0., 1.]], dtype=float32)
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
    """The search in a loop over blocks of samples, whose results XLA stores. Without a loop its CPU
    compiler fuses the search, and the producer of x, into the backward pass, where they are
    recomputed for each tap of a window; it removes optimization barriers before it fuses."""
    (blocks,) = in_blocks(x, width=math.prod(x.shape[1:]), least=2)
    return jax.tree.map(
        lambda a: a.reshape(a.shape[0] * a.shape[1], *a.shape[2:]), lax.map(search, blocks)
    )


def max_and_argmax(
    window: tuple[int, ...],
    strides: tuple[int, ...],
    pads: tuple[tuple[int, int], ...],
    x: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """The maxima [B, pooled, C] of windows and the index of each in its window, as in `largest`."""
    if math.prod(window) > _TAPS and window == strides and not np.any(pads):
        return _largest_of_tiles(window, x)
    sliding = Window(strides, pads, (1,) * len(window), None)
    sizes = sliding.sizes(x.shape[1:-1], window)
    taps = sliding.taps(sliding.pad(x, value=-jnp.inf), window, sizes)
    return largest(enumerate(taps), math.prod(window))


def _largest_of_tiles(window, x):
    """The same of windows that tile, by a search within each."""
    axes = range(1, x.ndim - 1)
    tiles = [n // k for n, k in zip(x.shape[1:], window)]
    for axis, n, k in zip(axes, tiles, window):
        x = lax.slice_in_dim(x, 0, n * k, axis=axis)
    x = x.reshape(len(x), *(size for tile in zip(tiles, window) for size in tile), x.shape[-1])
    x = jnp.moveaxis(x, range(2, x.ndim - 1, 2), range(-len(window) - 1, -1))
    x = x.reshape(*x.shape[: len(window) + 1], -1, x.shape[-1])  # [B, pooled, taps, C]
    argmax = jnp.argmax(x, -2, keepdims=True)
    maxima = jnp.take_along_axis(x, argmax, -2)
    return maxima.squeeze(-2), argmax.squeeze(-2).astype(_numbers(math.prod(window)))


def _numbers(count):
    """The dtype of numbers below `count`."""
    return jnp.int8 if count <= _TAPS else jnp.int16 if count <= 2**15 else jnp.int32


def largest(candidates: Iterable[tuple[int, jax.Array]], count: int) -> tuple[jax.Array, jax.Array]:
    """The elementwise maxima of numbered arrays of one shape, and the number of each.

    Args:
      candidates: pairs of a number below `count` and an array; one is used at a time.
      count: numbers there may be.

    Returns:
      The maxima, and int8 numbers (int16 or int32 for a large `count`). Of equals the first is
      taken, and NaN before all others.
    """
    dtype = _numbers(count)
    candidates = iter(candidates)
    number, maxima = next(candidates)
    argmax = jnp.full(maxima.shape, jnp.asarray(number, dtype))
    for number, value in candidates:
        better = (value > maxima) | jnp.isnan(value)
        maxima = jnp.where(better, value, maxima)
        argmax = jnp.where(better, jnp.asarray(number, dtype), argmax)
    return maxima, argmax


def gradient(
    window: tuple[int, ...],
    strides: tuple[int, ...],
    pads: tuple[tuple[int, int], ...],
    sizes: tuple[int, ...],
    argmax: jax.Array,
    g: jax.Array,
) -> jax.Array:
    """The gradient [B, *sizes, C] of what was pooled: g, of the maxima, at `argmax`, and zeros."""
    if window == strides:
        scattered = scatter_tiles(window, argmax, g)
    else:
        scattered = _scatter_overlapping(window, strides, argmax, g)
    # zeros behind the last window; the padding is cut off
    config = [
        (-before, n + before - size, 0)
        for n, (before, _), size in zip(sizes, pads, scattered.shape[1:])
    ]
    return lax.pad(scattered, jnp.zeros((), g.dtype), [(0, 0, 0), *config, (0, 0, 0)])


_max_pool.defvjp(_forward, lambda *arguments: (gradient(*arguments),))


def scatter_tiles(window: Sequence[int], argmax: jax.Array, g: jax.Array) -> jax.Array:
    """The gradient of windows that tile: each tap's is that of its window where it was the maximum.

    Args:
      window: sizes.
      argmax: [B, pooled, C], index of the maximum in its window.
      g: [B, pooled, C], gradient of the maxima.

    Returns:
      [B, pooled x window, C].
    """
    axes = tuple(range(2, 2 + 2 * len(window), 2))  # a tap axis behind each pooled axis
    taps = np.arange(math.prod(window)).reshape(window)
    taps = np.expand_dims(taps, (*(a - 1 for a in axes), 2 * len(window) + 1, 0))
    chosen = jnp.expand_dims(argmax, axes) == jnp.asarray(taps, argmax.dtype)
    scattered = jnp.where(chosen, jnp.expand_dims(g, axes), 0)
    sizes = [n * k for n, k in zip(g.shape[1:], window)]
    return scattered.reshape(g.shape[0], *sizes, g.shape[-1])


def _scatter_overlapping(window, strides, argmax, g):
    """The gradient of windows that overlap: the sum over taps, each shifted by its own offset."""
    sizes = [(n - 1) * s + k for n, s, k in zip(g.shape[1:], strides, window)]
    zero = jnp.zeros((), g.dtype)
    total = jnp.zeros((g.shape[0], *sizes, g.shape[-1]), g.dtype)
    for tap, offset in enumerate(np.ndindex(*window)):
        value = jnp.where(argmax == jnp.asarray(tap, argmax.dtype), g, zero)
        config = [(o, k - 1 - o, s - 1) for o, k, s in zip(offset, window, strides)]
        total = total + lax.pad(value, zero, [(0, 0, 0), *config, (0, 0, 0)])
    return total


def avg_pool(
    x: jax.Array,
    window: int | Sequence[int],
    *,
    strides: int | Sequence[int] | None = None,
    padding: int = 0,
) -> jax.Array:
    """The mean over windows: x [B, spatial, C] -> [B, pooled, C], sizes rounded down.

    Args:
      x: [B, spatial, C] float.
      window, strides: as in `max_pool`.
      padding: zeros before and after each axis; they count.

    >>> import jax.numpy as jnp
    >>> from mer_jax import nn
    >>> x = jnp.arange(5.0).reshape(1, 5, 1)
    >>> nn.avg_pool(x, 2).ravel(), nn.avg_pool(x, 3, strides=2, padding=1).ravel()
    (Array([0.5, 2.5], dtype=float32), Array([0.33333334, 2.        , 2.3333335 ], dtype=float32))
    """
    window = per_axis(window, x.ndim - 2)
    strides = window if strides is None else per_axis(strides, x.ndim - 2)
    bounds = []
    for n, k, s in zip(x.shape[1:], window, strides):
        start = np.arange((n + 2 * padding - k) // s + 1) * s - padding
        bounds.append((start, start + k))
    return _average(x, bounds)


def adaptive_avg_pool(x: jax.Array, sizes: int | Sequence[int]) -> jax.Array:
    """The mean over `sizes` nearly equal windows an axis: x [B, spatial, C] -> [B, *sizes, C].

    Window i of m over n samples is [floor(i n / m), ceil((i + 1) n / m)), as in PyTorch.

    >>> import jax.numpy as jnp
    >>> from mer_jax import nn
    >>> nn.adaptive_avg_pool(jnp.arange(5.0).reshape(1, 5, 1), 2).ravel()  # means of 0..2 and 2..4
    Array([1., 3.], dtype=float32)
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
