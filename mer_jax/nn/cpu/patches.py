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
    """dL/dkernel = patches of x, transposed, times g = dL/dy, in blocks of samples."""
    sizes, width = g.shape[1:-1], math.prod(kernel.shape[:-1])

    def block(total, arrays):
        x, g = arrays
        taps = [rows(tap).T for tap in window.taps(x, kernel.shape, sizes)]
        patches = jnp.concatenate(taps)  # already transposed: no copy
        return total + product(patches, rows(g), precision=window.precision), None

    blocks = in_blocks(window.pad(x), g, width=math.prod(sizes) * width)
    start = zeros_varying_like((width, g.shape[-1]), x, g)
    return lax.scan(block, start, blocks)[0].reshape(kernel.shape).astype(kernel.dtype)
