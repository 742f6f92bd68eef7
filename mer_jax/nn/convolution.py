"""Convolution, and the one place where its formulation is chosen.

Networks call `conv` (or build `Conv`) and know nothing else. On accelerators it is the compiler's
own convolution. On CPUs that convolution is good forwards and for the input gradient, but its
weight gradient is many times slower than a matrix product, a hundred times inside a loop, and its
3-D kernels are slow throughout. There the weight gradient is a sum of matrix products, and a 3-D
convolution is a 2-D one over the stacked time taps. Both are the same sums in another order.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from mer_jax.nn.windows import Padding, per_axis, resolve, shifted

Formulation = Literal["plain", "dots"]


class _Window(NamedTuple):
    """How a kernel slides: one entry for each spatial axis."""

    strides: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    precision: lax.PrecisionLike


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
    window = _Window(strides, pads, dilation, precision)
    if formulation == "plain":
        return _plain(window, x, kernel)
    return _conv(formulation == "dots", window, x, kernel)


def _choose(forced: bool, on_cpu, elsewhere, *arrays):
    """`on_cpu(*arrays)` where the program is lowered for a CPU, otherwise `elsewhere(*arrays)`.

    Decided at lowering, so that a program exported from here for an accelerator takes its branch.
    """
    if forced:
        return on_cpu(*arrays)
    return lax.platform_dependent(*arrays, cpu=on_cpu, default=elsewhere)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _conv(forced, window, x, kernel):
    plain = partial(_plain, window)
    if x.ndim == 4:
        return plain(x, kernel)
    return _choose(forced, partial(_stacked, window), plain, x, kernel)


def _conv_forward(forced, window, x, kernel):
    return _conv(forced, window, x, kernel), (x, kernel)


def _conv_backward(forced, window, residuals, g):
    by_dots = partial(_gradients_2d if g.ndim == 4 else _gradients_3d, window)
    return _choose(forced, by_dots, partial(_gradients_plain, window), *residuals, g)


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


def _gradients_plain(window, x, kernel, g):
    return jax.vjp(partial(_plain, window), x, kernel)[1](g)


def _gradients_2d(window, x, kernel, g):
    (dx,) = jax.vjp(lambda x: _plain(window, x, kernel), x)[1](g)
    return dx, _kernel_gradient(window, x, kernel.shape, g)


def _kernel_gradient(window, x, shape, g):
    """dL/dkernel [kh, kw, C, O] for x [B, H, W, C] and g = dL/dy [B, H', W', O], by products.

    dw[i, j] = sum over b, y, x of x[b, y s + i d, x s + j d]^T g[b, y, x]. One product for each
    kernel row, with the columns of a row stacked on the side that has fewer channels; on the side
    of `g` that needs no stride along W.
    """
    kh, kw, channels, maps = shape
    sh, sw = window.strides
    dh, dw = window.dilation
    rows, columns = g.shape[1:3]
    x = jnp.pad(x, ((0, 0), *window.padding, (0, 0)))
    product = partial(jnp.matmul, precision=window.precision)
    flat = lambda a: a.reshape(-1, a.shape[-1])

    if channels * kw <= maps or sw > 1:
        taps = shifted(x, (kh, kw), (sh, sw), (dh, dw), (rows, columns))
        stacked = flat(jnp.concatenate(taps, -1))
        return product(stacked.T, flat(g)).reshape(shape)
    reach = (kw - 1) * dw
    wide = columns + reach
    g = jnp.pad(g, ((0, 0), (0, 0), (reach, reach), (0, 0)))
    stacked = flat(jnp.concatenate([g[:, :, reach - j * dw :][:, :, :wide] for j in range(kw)], -1))
    taps = shifted(x, (kh, 1), (sh, 1), (dh, 1), (rows, wide))
    out = jnp.stack([product(flat(tap).T, stacked) for tap in taps])
    return out.reshape(kh, channels, kw, maps).swapaxes(1, 2)


def _stacked(window, x, kernel):
    """A 3-D convolution as a 2-D one: the time taps of each output frame stacked on channels."""
    time, *space = zip(window.strides, window.padding, window.dilation)
    stride, pad, dilation = time
    batch, _, height, width, channels = x.shape
    kt, kh, kw, _, maps = kernel.shape
    x = jnp.pad(x, ((0, 0), pad, (0, 0), (0, 0), (0, 0)))
    frames = (x.shape[1] - (kt - 1) * dilation - 1) // stride + 1
    taps = shifted(x, (kt,), (stride,), (dilation,), (frames,))
    x = jnp.concatenate(taps, -1).reshape(batch * frames, height, width, kt * channels)
    kernel = kernel.transpose(1, 2, 0, 3, 4).reshape(kh, kw, kt * channels, maps)
    y = _conv(True, _Window(*zip(*space), window.precision), x, kernel)
    return y.reshape(batch, frames, *y.shape[1:])


def _gradients_3d(window, x, kernel, g):
    return jax.vjp(partial(_stacked, window), x, kernel)[1](g)


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
