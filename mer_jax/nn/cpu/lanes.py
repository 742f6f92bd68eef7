"""Convolution with few channels and maps on CPUs: samples in the lanes of vectors.

With channels last three maps fill three lanes of sixteen, and a product of patches is too narrow to
be fast. With samples last every sum over the kernel is one of full vectors, and shifts, strides and
windows of a pool are offsets between them. The gradient of the kernel is a product of matrices for
a tile of outputs at once: all of them read one patch.

Arrays in lanes are [C, spatial, b], b samples; what works on [B, spatial, C] works on them, as
`nn.pooling` does. Batches are divided into blocks of b samples, and padded by zeros.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from mer_jax.nn.cpu.products import zeros_varying_like
from mer_jax.nn.dispatch import accumulator_dtype
from mer_jax.nn.pooling import gradient, max_and_argmax
from mer_jax.nn.windows import Window, sliding

_TAPS = 256  # terms of a sum
_TERMS = 32  # that are written one by one, or those of a channel; more are several times slower
_TILE = 3  # outputs of one patch along each axis


def narrow(x: jax.Array, kernel: jax.Array) -> bool:
    """Whether a convolution of x [B, H, W, C] of stride 1 is the fastest by `convolve`."""
    return len(x) >= 8 and not _wide(kernel.shape)


def _wide(kernel_shape):
    """Whether a product of matrices for each output is faster than sums and tiles."""
    return kernel_shape[-1] > 8 or math.prod(kernel_shape[:-1]) > _TAPS


def count(samples: int) -> int:
    """b for a batch: two blocks or more where it has more than 8 samples, as XLA's CPU compiler
    dissolves a loop of one."""
    return 16 if samples > 16 else 8


def blocks(a: jax.Array) -> jax.Array:
    """a [B, spatial, C] as [blocks, C, spatial, b].

    Outside of a loop: within one XLA would not store it, but read samples across memory.
    """
    size = count(len(a))
    a = jnp.pad(a, ((0, -len(a) % size), *[(0, 0)] * (a.ndim - 1)))
    a = a.reshape(-1, size, *a.shape[1:])
    return a.swapaxes(1, -1)


def joined(a: jax.Array, samples: int) -> jax.Array:
    """[blocks, C, spatial, b] as [samples, spatial, C]."""
    a = a.swapaxes(1, -1)
    return a.reshape(a.shape[0] * a.shape[1], *a.shape[2:])[:samples]


def maps(window: Window, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """x [C, spatial, b] * kernel [window, C, O] -> [O, spatial', b], in the accumulator's dtype."""
    dtype = accumulator_dtype(x.dtype)
    sizes, (channels, outputs) = window.sizes(x.shape[1:-1], kernel.shape), kernel.shape[-2:]
    x, weights = window.pad(x.astype(dtype)), kernel.astype(dtype).reshape(-1, channels, outputs)
    if _wide(kernel.shape):
        taps = window.taps(x, kernel.shape, sizes)
        lines = jnp.stack(taps).reshape(len(taps) * channels, -1)
        y = jnp.matmul(weights.reshape(len(lines), -1).T, lines, precision=window.precision)
        return y.reshape(outputs, *sizes, x.shape[-1])
    allowed = max(_TERMS // len(weights), 1)
    group = max(n for n in range(1, channels + 1) if channels % n == 0 and n <= allowed)

    def add(total, arrays):
        x, weights = arrays
        terms = [
            jnp.expand_dims(weights[n, c], range(1, x.ndim)) * tap[c][None]
            for n, tap in enumerate(window.taps(x, kernel.shape, sizes))
            for c in range(group)
        ]
        return total + sum(terms[1:], terms[0]), None

    start = zeros_varying_like((outputs, *sizes, x.shape[-1]), x, weights)
    by_group = weights.reshape(len(weights), -1, group, outputs).swapaxes(0, 1)
    return lax.scan(add, start, (x.reshape(-1, group, *x.shape[1:]), by_group))[0]


def maps_kernel_gradient(
    window: Window, x: jax.Array, kernel_shape: Sequence[int], g: jax.Array
) -> jax.Array:
    """dL/dkernel of `maps` from g = dL/dmaps [O, spatial', b]."""
    spatial, (channels, count) = tuple(kernel_shape[:-2]), kernel_shape[-2:]
    shifts = zip(spatial, window.strides, window.dilation)
    shared = [
        (_TILE, k + _TILE - 1) if s == d == 1 and not _wide(kernel_shape) else (1, k)
        for k, s, d in shifts
    ]
    tile, extent = zip(*shared)
    sizes = [-(-n // t) for n, t in zip(g.shape[1:-1], tile)]
    rest = [(0, n * t - size) for n, t, size in zip(sizes, tile, g.shape[1:-1])]
    # Zeros behind the last output, and behind the input as far as its patch reaches.
    g = jnp.pad(g, ((0, 0), *rest, (0, 0)))
    further = [(0, after * s) for (_, after), s in zip(rest, window.strides)]
    x = jnp.pad(window.pad(x.astype(g.dtype)), ((0, 0), *further, (0, 0)))
    steps = tuple(t * s for t, s in zip(tile, window.strides))
    ones = (1,) * len(tile)
    patches = window._replace(strides=steps).taps(x, extent, sizes)
    outputs = Window(tile, window.padding, ones, None).taps(g, tile, sizes)
    lines = lambda parts: jnp.stack(parts).reshape(len(parts) * len(parts[0]), -1)
    d = lax.dot_general(
        lines(patches), lines(outputs), (((1,), (1,)), ((), ())), precision=window.precision
    )
    d = d.reshape(*extent, channels, math.prod(tile), count)
    total = jnp.zeros((*spatial, channels, count), d.dtype)
    for n, at in enumerate(np.ndindex(*tile)):
        index = tuple(slice(i, i + k) for i, k in zip(at, spatial))
        total = total + d[index][..., n, :]
    return total


def convolve(window: Window, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """x [B, spatial, C] * kernel [window, C, O] -> [B, spatial', O]."""
    block = lambda x: maps(window, x, kernel).astype(x.dtype)
    return joined(lax.map(block, blocks(x)), len(x))


def kernel_gradient(window: Window, x: jax.Array, kernel: jax.Array, g: jax.Array) -> jax.Array:
    """dL/dkernel of `convolve` from g = dL/dy."""
    return _summed(lambda x, g: (x, g), window, kernel, x, g)


def pooled(pool: tuple[int, ...], x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The maxima of `convolve` without padding in windows that tile, and the index of each."""
    window = sliding(x.shape[1:-1], kernel.shape)

    def block(x):
        y = maps(window, x, kernel).astype(x.dtype)
        return max_and_argmax(pool, pool, _no_pads(pool), y)

    return jax.tree.map(lambda a: joined(a, len(x)), lax.map(block, blocks(x)))


def pooled_kernel_gradient(
    pool: tuple[int, ...],
    x: jax.Array,
    kernel: jax.Array,
    argmax: jax.Array,
    g: jax.Array,
) -> jax.Array:
    """dL/dkernel from the `argmax` of `pooled` and g, the gradient of its maxima."""
    window = sliding(x.shape[1:-1], kernel.shape)
    sizes = window.sizes(x.shape[1:-1], kernel.shape)
    spread = lambda x, argmax, g: (x, gradient(pool, pool, _no_pads(pool), sizes, argmax, g))
    return _summed(spread, window, kernel, x, argmax, g)


def _no_pads(pool):
    return ((0, 0),) * len(pool)


def _summed(maps_gradient: Callable[..., Any], window, kernel, *arrays):
    """`maps_kernel_gradient` summed over blocks; maps_gradient: arrays in lanes -> (x, g)."""

    def add(total, block):
        x, g = maps_gradient(*block)
        return total + maps_kernel_gradient(window, x, kernel.shape, g.astype(total.dtype)), None

    start = zeros_varying_like(kernel.shape, arrays[0], arrays[-1])
    return lax.scan(add, start, tuple(map(blocks, arrays)))[0].astype(kernel.dtype)
