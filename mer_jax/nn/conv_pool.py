"""Convolution, ReLU and max pooling as one operation, for the first layer of a 3-D network.

On accelerators it is the three in turn. On CPUs the convolution of a clip with one channel is
bound by memory, and its maps are 27 times what the pool keeps. There each pooled frame is made in
one go: the kernel, shifted along time once for each frame of the pool, is one matrix; for each of
the pool's places in the image the patches of the clip, split into the phases of the pool's stride,
are another; their product is compared with the best so far and forgotten. One sample at a time, all
of it stays in a core's cache.
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

from mer_jax.nn.convolution import conv
from mer_jax.nn.dispatch import Formulation, dispatch, product, zeros_varying_like
from mer_jax.nn.pooling import largest, max_with_place, spread_tiles


def conv_relu_pool(
    x: jax.Array,
    kernel: jax.Array,
    bias: jax.Array,
    window: Sequence[int],
    *,
    formulation: Formulation | None = None,
) -> jax.Array:
    """`max_pool(relu(conv(x, kernel) + bias), window)` with "VALID" padding, windows that tile.

    Args:
      x: [B, T, H, W, C].
      kernel: [kt, kh, kw, C, O].
      bias: [O].
      window: (pt, ph, pw) of the pool.
      formulation: as in `conv`.

    Returns:
      [B, T', H', W', O]. Among equal maxima of a window the gradient goes to one of them; which
      one may differ between formulations.
    """
    return _conv_relu_pool(formulation, tuple(window), x, kernel, bias)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _conv_relu_pool(formulation, window, x, kernel, bias):
    return _forward(formulation, window, x, kernel, bias)[0]


def _forward(formulation, window, x, kernel, bias):
    plain = partial(_pool_of_maps, window)
    if formulation == "plain":
        best, place = plain(x, kernel)
    else:
        by_phases = partial(_pool_by_phases, window)
        best, place = dispatch(formulation == "dots", by_phases, plain, x, kernel)
    y = nnx.relu(best + bias)  # both rise with their argument, so they may follow the maximum
    return y, (x, kernel, y > 0, place)


def _backward(formulation, window, residuals, g):
    x, kernel, active, place = residuals
    g = jnp.where(active, g, 0)
    plain = partial(_kernel_gradient_of_maps, window)
    if formulation == "plain":
        d_kernel = plain(x, kernel, place, g)
    else:
        by_phases = partial(_kernel_gradient_by_phases, window)
        d_kernel = dispatch(formulation == "dots", by_phases, plain, x, kernel, place, g)
    (dx,) = jax.vjp(lambda x: conv(x, kernel), x)[1](_maps_gradient(window, x, kernel, place, g))
    return dx, d_kernel, g.sum((0, 1, 2, 3))


_conv_relu_pool.defvjp(_forward, _backward)


def _pool_of_maps(window, x, kernel):
    """The pooled convolution and the place of each maximum in its window, by way of the maps."""
    return max_with_place(window, window, ((0, 0),) * 3, conv(x, kernel, formulation="plain"))


def _maps_gradient(window, x, kernel, place, g):
    """The gradient of the convolution's maps: that of the pool, at its place, and zeros."""
    sizes = [n - k + 1 for n, k in zip(x.shape[1:-1], kernel.shape)]
    rest = [(0, n - p * k) for n, p, k in zip(sizes, g.shape[1:-1], window)]
    return jnp.pad(spread_tiles(window, place, g), ((0, 0), *rest, (0, 0)))


def _kernel_gradient_of_maps(window, x, kernel, place, g):
    plain = partial(conv, x, formulation="plain")
    return jax.vjp(plain, kernel)[1](_maps_gradient(window, x, kernel, place, g))[0]


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
    """A sample's patches of frames from a first one on, `at` (sample, first), at place (i, j) of
    the pool: [rows of band, P]."""
    kt, kh, kw, channels, _ = kernel_shape
    sample, start = at
    first = (sample, i, j, start, 0, 0)
    sizes = (1, kh, kw, kt + window[0] - 1, channels, phases.shape[-1])
    return lax.dynamic_slice(phases, first, sizes).reshape(-1, phases.shape[-1])


def _pooled_frames(window, samples, frames):
    """(sample, first frame of the clip) of each pooled frame: two of [B T'] int."""
    return np.repeat(np.arange(samples), frames), np.tile(np.arange(frames) * window[0], samples)


def _places(window):
    """(i, j) of each place of the pool in the image, and its number at the pool's first frame."""
    _, ph, pw = window
    return [(i, j, i * pw + j) for i in range(ph) for j in range(pw)]


def _pool_by_phases(window, x, kernel):
    pt, ph, pw = window
    frames, rows, columns = _sizes(window, x, kernel)
    phases = _phases(window, x, kernel)
    band = _band(pt, kernel)

    def candidates(at):
        for i, j, number in _places(window):
            patches = _patches(window, kernel.shape, phases, at, i, j)
            y = product(patches.T, band).astype(x.dtype)
            for t, value in enumerate(jnp.split(y, pt, -1)):
                yield t * ph * pw + number, value

    def pooled_frame(at):
        return largest(candidates(at), pt * ph * pw)

    found = lax.map(pooled_frame, _pooled_frames(window, len(x), frames))
    shape = (len(x), frames, rows, columns, kernel.shape[-1])
    return jax.tree.map(lambda a: a.reshape(shape), found)


def _kernel_gradient_by_phases(window, x, kernel, place, g):
    pt, ph, pw = window
    phases = _phases(window, x, kernel)
    samples, frames, rows, columns, maps = g.shape
    by_frame = lambda a: a.reshape(samples * frames, rows * columns, maps)

    def pooled_frame(total, frame):
        at, place, g = frame
        for i, j, number in _places(window):
            here = jnp.asarray(np.arange(pt) * ph * pw + number, place.dtype)
            dy = jnp.where(place[:, None] == here[:, None], g[:, None], 0).reshape(len(g), -1)
            total += product(_patches(window, kernel.shape, phases, at, i, j), dy)
        return total, None

    band, fold = jax.vjp(partial(_band, pt), kernel)
    every = _pooled_frames(window, samples, frames)
    start = zeros_varying_like(band.shape, x, g)
    total, _ = lax.scan(pooled_frame, start, (every, by_frame(place), by_frame(g)))
    return fold(total.astype(band.dtype))[0]
