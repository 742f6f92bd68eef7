"""Convolution by patches: the receptive field of each output times the kernel as a matrix."""

import math
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from mer_jax.nn.cpu.products import in_blocks, product, rows, zeros_varying_like
from mer_jax.nn.windows import Window


def convolve(window: Window, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """x [B, spatial, C] * kernel [window, C, O] -> [B, spatial', O]; JAX derives its gradients.

    In blocks of samples whose patches fit a core's cache or have as many numbers as the weights,
    which are read once for each block.
    """
    sizes = window.sizes(x.shape[1:-1], kernel.shape)
    width = math.prod(sizes) * math.prod(kernel.shape[:-1])
    (blocks,) = in_blocks(window.pad(x), width=width, block_size=kernel.size)
    block = partial(convolve_padded, window, sizes, kernel=kernel)
    return lax.map(block, blocks).reshape(-1, *sizes, kernel.shape[-1])


def convolve_padded(
    window: Window, sizes: Sequence[int], x: jax.Array, kernel: jax.Array
) -> jax.Array:
    """`convolve` of a padded x, with `sizes` positions along each spatial axis, at once."""
    patches = jnp.concatenate(window.taps(x, kernel.shape, sizes), -1)
    return product(patches, rows(kernel), precision=window.precision).astype(x.dtype)


def kernel_gradient(window: Window, x: jax.Array, kernel: jax.Array, g: jax.Array) -> jax.Array:
    """dL/dkernel: g = dL/dy, transposed, times patches of x, in blocks of samples."""
    sizes, (*spatial, channels, maps) = g.shape[1:-1], kernel.shape
    width = math.prod(spatial) * channels

    def block(total, arrays):
        x, g = arrays
        patches = rows(jnp.concatenate(window.taps(x, kernel.shape, sizes), -1))
        return total + product(rows(g).T, patches, precision=window.precision), None

    # The patches of one tap are x itself: one block.
    each = 1 if width == channels else math.prod(sizes) * width
    start = zeros_varying_like((maps, width), x, g)
    total = lax.scan(block, start, in_blocks(window.pad(x), g, width=each))[0]
    return total.T.reshape(kernel.shape).astype(kernel.dtype)
