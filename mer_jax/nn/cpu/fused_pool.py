"""Convolution and max pooling of a clip at once, for the first layer of a 3-D network on CPUs.

The convolution of a clip with one channel is bound by memory, and its maps are 27 times as large as
the pooled ones. Here a pooled frame is computed at once: the kernel, shifted along time for each
frame of the pool, is one matrix; for each pixel of the pool the patches of the clip, split into the
phases of the pool's stride, are another; the running maximum of their products is all that is
stored. A sample at a time, everything fits a core's cache.
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from mer_jax.nn.cpu.products import product, zeros_varying_like
from mer_jax.nn.pooling import largest


def _sizes(window, x, kernel):
    """Pooled sizes along T, H, W."""
    return [(n - k + 1) // p for n, k, p in zip(x.shape[1:-1], kernel.shape, window)]


def _phases(window, x, kernel):
    """x as [B, I, J, T, C, P]: entry (i, j) of every window's image patch; P = H' W' windows."""
    (_, kh, kw), (_, ph, pw) = kernel.shape[:3], window
    _, rows, columns = _sizes(window, x, kernel)
    x = x.transpose(0, 1, 4, 2, 3)  # B T C H W
    phase = lambda i, j: x[..., i::ph, j::pw][..., :rows, :columns]
    stacked = [[phase(i, j) for j in range(kw + pw - 1)] for i in range(kh + ph - 1)]
    stacked = jnp.stack([jnp.stack(row, 1) for row in stacked], 1)
    return stacked.reshape(*stacked.shape[:5], -1)


def _band(pooled, kernel):
    """The kernel at each frame of a pooled frame: [kh kw (kt + pt - 1) C, pt O]."""
    rest = [(0, 0)] * 4
    shifted = [jnp.pad(kernel, ((t, pooled - 1 - t), *rest)) for t in range(pooled)]
    band = jnp.stack(shifted, -2).transpose(1, 2, 0, 3, 4, 5)
    return band.reshape(-1, pooled * kernel.shape[-1])


def _patches(window, kernel_shape, phases, at, i, j):
    """The patches of the frames from `at` = (sample, first frame) on, at pixel (i, j) of the pool:
    [rows of the band, P]."""
    kt, kh, kw, channels, _ = kernel_shape
    sample, start = at
    first = (sample, i, j, start, 0, 0)
    sizes = (1, kh, kw, kt + window[0] - 1, channels, phases.shape[-1])
    return lax.dynamic_slice(phases, first, sizes).reshape(-1, phases.shape[-1])


def _pooled_frames(window, samples, frames):
    """(sample, first frame of the clip) of each pooled frame: two of [B T'] int."""
    return np.repeat(np.arange(samples), frames), np.tile(np.arange(frames) * window[0], samples)


def _offsets(window):
    """(i, j) of each pixel of the pool, and its number in the pool's first frame."""
    _, ph, pw = window
    return [(i, j, i * pw + j) for i in range(ph) for j in range(pw)]


def forward(window: Sequence[int], x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The maxima of the convolution's maps and the index of each in its window.

    Args:
      window: (pt, ph, pw) of the pool.
      x: [B, T, H, W, C].
      kernel: [kt, kh, kw, C, O].

    Returns:
      Two arrays [B, T', H', W', O], the second int8 or int16.
    """
    pt, ph, pw = window
    frames, rows, columns = _sizes(window, x, kernel)
    phases = _phases(window, x, kernel)
    band = _band(pt, kernel)

    def candidates(at):
        for i, j, number in _offsets(window):
            patches = _patches(window, kernel.shape, phases, at, i, j)
            y = product(patches.T, band).astype(x.dtype)
            for t, value in enumerate(jnp.split(y, pt, -1)):
                yield t * ph * pw + number, value

    def pooled_frame(at):
        return largest(candidates(at), pt * ph * pw)

    pooled = lax.map(pooled_frame, _pooled_frames(window, len(x), frames))
    shape = (len(x), frames, rows, columns, kernel.shape[-1])
    return jax.tree.map(lambda a: a.reshape(shape), pooled)


def kernel_gradient(
    window: Sequence[int], x: jax.Array, kernel: jax.Array, argmax: jax.Array, g: jax.Array
) -> jax.Array:
    """dL/dkernel from `argmax` of `forward` and the gradient g of its maxima."""
    pt, ph, pw = window
    phases = _phases(window, x, kernel)
    samples, frames, rows, columns, maps = g.shape
    by_frame = lambda a: a.reshape(samples * frames, rows * columns, maps)

    def pooled_frame(total, frame):
        at, argmax, g = frame
        for i, j, number in _offsets(window):
            numbers = jnp.asarray(np.arange(pt) * ph * pw + number, argmax.dtype)
            dy = jnp.where(argmax[:, None] == numbers[None, :, None], g[:, None], 0)
            dy = dy.reshape(len(g), -1)
            total += product(_patches(window, kernel.shape, phases, at, i, j), dy)
        return total, None

    band, unband = jax.vjp(partial(_band, pt), kernel)
    every = _pooled_frames(window, samples, frames)
    start = zeros_varying_like(band.shape, x, g)
    total, _ = lax.scan(pooled_frame, start, (every, by_frame(argmax), by_frame(g)))
    return unband(total.astype(band.dtype))[0]
