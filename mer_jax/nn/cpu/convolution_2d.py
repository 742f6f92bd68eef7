"""2-D convolution on CPUs: the formulation for each shape.

XLA's CPU convolution is fast forwards. Its weight gradient is many times slower than a matrix
product, a hundred times inside a loop; its input gradient is four times slower in a loop than the
same convolution written explicitly; kernels larger than the image and long sums are slow as well.
Here the weight gradient is a sum of matrix products, the input gradient an explicit convolution,
kernels of 3 x 3 with many maps use fewer products (`minimal_filtering`), few channels and maps have
the samples last (`lanes`), and small images and deep kernels are a product of `patches`.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from mer_jax.nn.cpu import lanes, minimal_filtering, patches
from mer_jax.nn.cpu.products import in_blocks, product, rows, zeros_varying_like
from mer_jax.nn.windows import Window

# Numbers that the products of a block of samples read in `minimal_filtering`.
_FILTERED = 2**21


def forward(window: Window, x: jax.Array, kernel: jax.Array) -> Callable | None:
    """The function (window, x, kernel) -> y for these shapes; None: XLA's own."""
    if _by_filtering(window, x, kernel):
        return _filtered
    if _by_lanes(window, x, kernel):
        return lanes.convolve
    return patches.convolve if _by_patches(x, kernel) else None


def gradients(
    window: Window, x: jax.Array, kernel: jax.Array, g: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """(dL/dx, dL/dkernel) from g = dL/dy [B, H', W', O]."""
    if _by_filtering(window, x, kernel):
        return jax.vjp(partial(_filtered, window), x, kernel)[1](g)
    if _by_lanes(window, x, kernel):
        kernel_gradient = lanes.kernel_gradient
    elif kernel.shape[1] == 1 or _few_channels(kernel) or window.strides[1] > 1:
        kernel_gradient = patches.kernel_gradient
    else:
        kernel_gradient = _kernel_gradient_by_rows
    return _input_gradient(window, x, kernel, g), kernel_gradient(window, x, kernel, g)


def _by_patches(x, kernel):
    return _larger(kernel, x) or _deep(kernel)


def _by_lanes(window, x, kernel):
    return window.strides == (1, 1) and lanes.narrow(x, kernel)


def _by_filtering(window, x, kernel):
    """Whether products cost more than the memory traffic of `minimal_filtering`: with 32 maps it
    gains for small images only, with 64 a fifth to a half."""
    positions = len(x) * math.prod(window.sizes(x.shape[1:-1], kernel.shape))
    wide = min(kernel.shape[2:]) >= 64 and positions >= 512
    return wide and minimal_filtering.applies(window, x, kernel, axes=2)


def _deep(kernel):
    """Whether an output is a sum of so many products that XLA's CPU convolution runs at a third of
    the rate of a matrix product."""
    return math.prod(kernel.shape[:-1]) > 2048


def _few_channels(kernel):
    """Whether the patches of one kernel row are at most as wide as the output."""
    _, kw, channels, maps = kernel.shape
    return kw * channels <= maps


def _larger(kernel, image):
    """Whether the kernel has more taps than the image has pixels: XLA then slides the image over
    the kernel, in naive loops on CPUs, hundreds of times slower."""
    return math.prod(kernel.shape[:2]) > math.prod(image.shape[1:3])


def _input_gradient(window, x, kernel, g):
    """dL/dx: g, dilated by the strides, convolved with the flipped kernel.

    JAX derives the same convolution, but with the kernel's axes swapped in its dimension numbers
    instead of in memory, for which XLA's CPU loops have no fast path.
    """
    if _larger(kernel, g) or _deep(kernel.swapaxes(2, 3)):
        return jax.vjp(lambda x: patches.convolve(window, x, kernel), x)[1](g)[0]
    around, flipped = adjoint(window, kernel, x.shape[1:-1], g.shape[1:-1])
    if np.min(around.padding) >= 0 and _by_lanes(window, g, flipped):
        return lanes.convolve(around, g, flipped)
    return lax.conv_general_dilated(
        g,
        flipped,
        around.strides,
        around.padding,
        lhs_dilation=window.strides,
        rhs_dilation=window.dilation,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=window.precision,
    )


def adjoint(
    window: Window, kernel: jax.Array, sizes: Sequence[int], outputs: Sequence[int]
) -> tuple[Window, jax.Array]:
    """The window and kernel by which g = dL/dy, dilated by the strides, is convolved to dL/dx.

    Args:
      sizes: of x along H, W.
      outputs: of g.
    """
    pads = []
    for axis, (before, _) in enumerate(window.padding):
        reach = (kernel.shape[axis] - 1) * window.dilation[axis]
        dilated = (outputs[axis] - 1) * window.strides[axis] + 1
        pads.append((reach - before, sizes[axis] + before - dilated))
    around = window._replace(padding=tuple(pads), strides=(1, 1))
    return around, kernel[::-1, ::-1].swapaxes(2, 3)


def _filtered(window, x, kernel):
    rest = partial(product, precision=window.precision)
    filtered = lambda x: minimal_filtering.convolve(rest, window, x, kernel, axes=2, stacked=True)
    factors, width = 4 * kernel.size, 4 * math.prod(x.shape[1:])
    count = -(-len(x) // max(1, max(_FILTERED, factors) // width))
    if count <= 1:
        return filtered(x)
    # Equal blocks, the last one padded: the largest divisor of a prime number of samples is 1.
    size = -(-len(x) // count)
    blocks = jnp.pad(x, ((0, count * size - len(x)), *[(0, 0)] * (x.ndim - 1)))
    # What the products read is four times as large as x: made again backwards, not kept.
    y = lax.map(jax.checkpoint(filtered), blocks.reshape(count, size, *x.shape[1:]))
    return y.reshape(-1, *y.shape[2:])[: len(x)]


def _kernel_gradient_by_rows(window, x, kernel, g):
    """dL/dkernel, one product for each kernel row, for stride 1 along W.

    dw[i, j] = sum of x[b, y s + i d, p]^T g[b, y, p - j d] over b, y, p. The shifts of g by j d are
    concatenated on channels, so that x is read once for a row.
    """
    kh, kw, channels, maps = kernel.shape
    height, columns = g.shape[1:3]
    reach = (kw - 1) * window.dilation[1]
    extent = columns + reach

    def block(total, arrays):
        x, g = arrays
        g = jnp.pad(g, ((0, 0), (0, 0), (reach, reach), (0, 0)))
        side = [g[:, :, reach - j * window.dilation[1] :][:, :, :extent] for j in range(kw)]
        side = rows(jnp.concatenate(side, -1))
        taps = window.taps(x, (kh, 1), (height, extent))
        products = [product(rows(t).T, side, precision=window.precision) for t in taps]
        return total + jnp.stack(products), None

    blocks = in_blocks(window.pad(x), g, width=height * extent * kw * maps)
    start = zeros_varying_like((kh, channels, kw * maps), x, g)
    total = lax.scan(block, start, blocks)[0].reshape(kh, channels, kw, maps)
    return total.swapaxes(1, 2).astype(kernel.dtype)
