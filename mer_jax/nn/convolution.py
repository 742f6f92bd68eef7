"""Convolution, and the one place where its formulation is chosen.

Networks call `conv` (or build `Conv`) and know nothing else. On accelerators it is the compiler's
own convolution. On CPUs that convolution is good forwards, but its weight gradient is many times
slower than a matrix product, a hundred times inside a loop; its input gradient is four times
slower in a loop than the same convolution written out; its 3-D kernels are slow throughout, and so
are kernels with more places than the image, long sums and few maps. There the weight gradient is a
sum of matrix products, the input gradient is written out, a 3-D convolution is made of 2-D ones
(`convolution_3d`), kernels of 3 x 3 with many maps take fewer products (`minimal_filtering`), and
what has a small image, a deep kernel or few maps is a product of `patches`. All give the same
numbers but for rounding.
"""

import math
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jax.ad_checkpoint import checkpoint_name

from mer_jax.nn import convolution_3d, minimal_filtering, patches
from mer_jax.nn.dispatch import Formulation, dispatch, in_blocks, product, rows, zeros_varying_like
from mer_jax.nn.windows import Padding, Window, per_axis, resolve

# For `jax.checkpoint`: what convolutions and products make is kept, all else is computed again.
KEPT = jax.checkpoint_policies.save_from_both_policies(
    jax.checkpoint_policies.dots_saveable,
    jax.checkpoint_policies.save_only_these_names("convolution"),
)


def conv(
    x: jax.Array,
    kernel: jax.Array,
    *,
    strides: int | Sequence[int] = 1,
    padding: Padding = "VALID",
    dilation: int | Sequence[int] = 1,
    precision: lax.PrecisionLike = None,
    formulation: Formulation | None = None,
) -> jax.Array:
    """Cross-correlates `x` with `kernel` over two or three spatial axes.

    Args:
      x: [B, (T,) H, W, C].
      kernel: [(kt,) kh, kw, C, O], of the dtype of `x`.
      strides, dilation: one number, or one for each spatial axis.
      padding: "SAME", "VALID", one number, or a number or a (before, after) pair for each axis.
      formulation: None lets the platform that the program is lowered for decide. "plain" is the
        compiler's convolution and "dots" the matrix products, on any platform.

    Returns:
      [B, (T',) H', W', O]. Reverse-mode differentiable once, except "plain", which is as
      differentiable as `lax.conv_general_dilated`.
    """
    axes = x.ndim - 2
    strides, dilation = per_axis(strides, axes), per_axis(dilation, axes)
    extent = [(k - 1) * d + 1 for k, d in zip(kernel.shape, dilation)]
    pads = resolve(padding, x.shape[1:-1], extent, strides)
    window = Window(strides, pads, dilation, precision)
    if formulation == "plain":
        y = _plain(window, x, kernel)
    else:
        y = _conv(formulation == "dots", window, x, kernel)
    return checkpoint_name(y, "convolution")


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _conv(forced, window, x, kernel):
    if x.ndim == 5:
        on_cpu = _forward_3d
    elif _by_filtering(window, x, kernel):
        on_cpu = _filtered
    elif _by_patches(window, x, kernel):
        on_cpu = patches.convolve
    else:
        return _plain(window, x, kernel)
    return dispatch(forced, partial(on_cpu, window), partial(_plain, window), x, kernel)


def _conv_forward(forced, window, x, kernel):
    return _conv(forced, window, x, kernel), (x, kernel)


def _conv_backward(forced, window, residuals, g):
    if g.ndim == 5:
        on_cpu = partial(_derived, _forward_3d)
    elif _by_filtering(window, *residuals):
        on_cpu = partial(_derived, _filtered)
    else:
        on_cpu = _gradients_2d
    plain = partial(_derived, _plain, window)
    return dispatch(forced, partial(on_cpu, window), plain, *residuals, g)


_conv.defvjp(_conv_forward, _conv_backward)


def _plain(window, x, kernel):
    letters = "THW"[-(x.ndim - 2) :]
    return lax.conv_general_dilated(
        x,
        kernel,
        window.strides,
        window.padding,
        rhs_dilation=window.dilation,
        dimension_numbers=(f"N{letters}C", f"{letters}IO", f"N{letters}C"),
        precision=window.precision,
    )


def _derived(forward, window, x, kernel, g):
    """The gradients that JAX derives from a formulation."""
    return jax.vjp(partial(forward, window), x, kernel)[1](g)


def _by_patches(window, x, kernel):
    narrow = _few_channels(kernel) or _few_maps(kernel)
    return (narrow and window.strides[1] == 1) or _larger(kernel, x) or _deep(kernel)


def _by_filtering(window, x, kernel):
    """Whether products weigh more than moving what `minimal_filtering` makes of their factors:
    with 64 maps it gains nothing once an image has left the caches, with 128 a third and more."""
    positions = len(x) * math.prod(window.sizes(x.shape[1:-1], kernel.shape))
    wide = min(kernel.shape[2:]) >= 128 and positions >= 512
    return wide and minimal_filtering.serves(window, x, kernel, axes=2)


def _few_maps(kernel):
    """Whether the output's maps do not fill what a processor works on at a time."""
    return kernel.shape[-1] < 16


def _deep(kernel):
    """Whether an output sums so many numbers that XLA's CPU convolution falls to a third of the
    rate of products."""
    return math.prod(kernel.shape[:-1]) > 2048


def _few_channels(kernel):
    """Whether the patches of one kernel row are no wider than the output."""
    _, kw, channels, maps = kernel.shape
    return kw * channels <= maps


def _larger(kernel, image):
    """Whether the kernel has more places than the image: XLA then slides the image over the kernel,
    for which its CPU backend has naive loops only, hundreds of times slower."""
    return math.prod(kernel.shape[:2]) > math.prod(image.shape[1:3])


def _forward_3d(window, x, kernel):
    return convolution_3d.convolve(partial(_conv, True), window, x, kernel)


def _gradients_2d(window, x, kernel, g):
    if _few_channels(kernel) or window.strides[1] > 1:
        kernel_gradient = patches.kernel_gradient
    else:
        kernel_gradient = _kernel_gradient_by_rows
    return _input_gradient(window, x, kernel, g), kernel_gradient(window, x, kernel, g)


def _input_gradient(window, x, kernel, g):
    """dL/dx: g, spread out by the strides, convolved with the kernel turned round.

    The compiler derives the same convolution, but with the kernel's axes swapped in place rather
    than in memory, for which XLA's CPU loops have no fast path.
    """
    if _larger(kernel, g) or _deep(kernel.swapaxes(2, 3)):
        return jax.vjp(lambda x: patches.convolve(window, x, kernel), x)[1](g)[0]
    pads = []
    for axis, (before, _) in enumerate(window.padding):
        reach = (kernel.shape[axis] - 1) * window.dilation[axis]
        spread = (g.shape[axis + 1] - 1) * window.strides[axis] + 1
        pads.append((reach - before, x.shape[axis + 1] + before - spread))
    turned = kernel[::-1, ::-1].swapaxes(2, 3)
    if _few_maps(turned) and window.strides == (1, 1) and np.min(pads) >= 0:
        return patches.convolve(window._replace(padding=pads), g, turned)
    return lax.conv_general_dilated(
        g,
        turned,
        (1, 1),
        pads,
        lhs_dilation=window.strides,
        rhs_dilation=window.dilation,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=window.precision,
    )


def _filtered(window, x, kernel):
    rest = partial(product, precision=window.precision)
    return minimal_filtering.convolve(rest, window, x, kernel, axes=2)


def _kernel_gradient_by_rows(window, x, kernel, g):
    """dL/dkernel, one product for each kernel row, for stride 1 along W.

    dw[i, j] = sum of x[b, y s + i d, p]^T g[b, y, p - j d] over b, y, p. The copies of g that are
    shifted by j d stand side by side, so that x is read once for a row.
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


def _hook(x, kernel, strides, padding, *, rhs_dilation, precision, **_):
    return conv(
        x, kernel, strides=strides, padding=padding, dilation=rhs_dilation, precision=precision
    )


class Conv(nnx.Conv):
    """`nnx.Conv` by way of `conv`: no groups, no input dilation, "VALID" unless told."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        kernel_size: Sequence[int],
        *,
        strides: int | Sequence[int] = 1,
        padding: Padding = "VALID",
        kernel_dilation: int | Sequence[int] = 1,
        **options,
    ):
        super().__init__(
            in_features,
            out_features,
            kernel_size,
            strides,
            padding=padding,
            kernel_dilation=kernel_dilation,
            conv_general_dilated=_hook,
            **options,
        )


def pytorch_init(fan_in: int) -> dict:
    """The initialisers of PyTorch's layers: kernel and bias uniform in +-1/sqrt(fan_in)."""
    bound = 1 / math.sqrt(fan_in)

    def uniform(key, shape, dtype=jnp.float32, **_):
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return {"kernel_init": uniform, "bias_init": uniform}
