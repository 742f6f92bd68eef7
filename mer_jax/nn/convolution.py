"""Convolution in the formulation that is fast on the platform.

Networks call `conv` or build `Conv`. On accelerators it is XLA's convolution. On CPUs the gradients
of that, its 3-D kernels and some shapes are many times slower than the matrix products by which
`nn.cpu` computes them. All formulations agree up to rounding; where an input is infinite, some have
NaN for another one's infinity.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jax.ad_checkpoint import checkpoint_name

from mer_jax.errors import UserError
from mer_jax.nn.cpu import convolution_2d, convolution_3d
from mer_jax.nn.dispatch import by_platform, current_formulation
from mer_jax.nn.windows import Padding, Window, sliding

# A policy of `jax.checkpoint`: saves the outputs of convolutions and products, recomputes all else.
SAVEABLE = jax.checkpoint_policies.save_from_both_policies(
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
) -> jax.Array:
    """Cross-correlates `x` with `kernel` over two or three spatial axes.

    Args:
      x: [B, (T,) H, W, C] float.
      kernel: [(kt,) kh, kw, C, O], of the dtype of `x`.
      strides, dilation: one number, or one for each spatial axis.
      padding: "SAME", "VALID", one number, or a number or a (before, after) pair for each axis.
      precision: of the products, as in `lax.conv_general_dilated`.

    Returns:
      [B, (T',) H', W', O]. Differentiable once, in reverse mode; within `nn.formulation("xla")` in
      both modes and to any order.

    Raises:
      UserError: for a kernel of other channels, and as `nn.windows.sliding`.

    >>> import jax.numpy as jnp
    >>> from mer_jax import nn
    >>> x = jnp.arange(16.0).reshape(1, 4, 4, 1)
    >>> nn.conv(x, jnp.ones((2, 2, 1, 1)), strides=2)[0, ..., 0]  # sums over 2 x 2
    Array([[10., 18.],
           [42., 50.]], dtype=float32)
    """
    if x.ndim != kernel.ndim or x.shape[-1] != kernel.shape[-2]:
        raise UserError(f"a kernel {kernel.shape} does not convolve {x.shape}")
    window = sliding(
        x.shape[1:-1],
        kernel.shape,
        strides=strides,
        padding=padding,
        dilation=dilation,
        precision=precision,
    )
    if current_formulation() == "xla":
        y = xla_convolution(window, x, kernel)
    else:
        y = _conv(current_formulation() == "matmul", window, x, kernel)
    return checkpoint_name(y, "convolution")


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _conv(forced, window, x, kernel):
    return _values(forced, window, x, kernel)


def _conv_forward(forced, window, x, kernel):
    return _values(forced, window, x, kernel), (x, kernel)


def _conv_backward(forced, window, residuals, g):
    return _gradients(forced, window, *residuals, g)


# Compiled functions of their own: layers of the same shapes are traced and lowered once.
@partial(jax.jit, static_argnums=(0, 1))
def _values(forced, window, x, kernel):
    on_cpu = _forward_3d if x.ndim == 5 else convolution_2d.forward(window, x, kernel)
    if on_cpu is None:
        return xla_convolution(window, x, kernel)
    return by_platform(forced, partial(on_cpu, window), partial(xla_convolution, window), x, kernel)


@partial(jax.jit, static_argnums=(0, 1))
def _gradients(forced, window, x, kernel, g):
    on_cpu = partial(_derived, _forward_3d) if g.ndim == 5 else convolution_2d.gradients
    elsewhere = partial(_derived, xla_convolution, window)
    return by_platform(forced, partial(on_cpu, window), elsewhere, x, kernel, g)


_conv.defvjp(_conv_forward, _conv_backward)


def xla_convolution(window: Window, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """XLA's own convolution: x [B, spatial, C] * kernel [window, C, O] -> [B, spatial', O]."""
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


def _forward_3d(window, x, kernel):
    return convolution_3d.convolve(partial(_conv, True), window, x, kernel)


def _hook(
    x,
    kernel,
    strides,
    padding,
    *,
    lhs_dilation,
    rhs_dilation,
    feature_group_count,
    precision,
    **_,
):
    if feature_group_count != 1 or set(lhs_dilation) != {1}:
        raise UserError("nn.Conv has no feature_group_count and no input_dilation; use nnx.Conv")
    return conv(
        x, kernel, strides=strides, padding=padding, dilation=rhs_dilation, precision=precision
    )


class Conv(nnx.Conv):
    """`nnx.Conv` by way of `conv`: no groups, no input dilation, "VALID" padding by default.

    Args:
      in_features: C.
      out_features: O.
      kernel_size: ((kt,) kh, kw).
      strides, padding, kernel_dilation: as in `conv`.
      **options: of `nnx.Conv`: `use_bias`, `kernel_init`, `bias_init`, `precision`, and `rngs`.

    >>> import jax, jax.numpy as jnp
    >>> from flax import nnx
    >>> from mer_jax import nn
    >>> layer = nnx.eval_shape(lambda: nn.Conv(2, 8, (3, 3), padding="SAME", rngs=nnx.Rngs(0)))
    >>> layer.kernel.shape, layer.bias.shape
    ((3, 3, 2, 8), (8,))
    """

    bias: Any  # a parameter, or None without `use_bias`

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


# Glorot's uniform initializer, that of Keras' layers: keyword arguments of `Conv` and `nnx.Linear`.
GLOROT: dict[str, Any] = {"kernel_init": nnx.initializers.glorot_uniform()}


def pytorch_init(fan_in: int) -> dict:
    """The initializers of PyTorch's layers: kernel and bias uniform in +-1/sqrt(fan_in).

    Args:
      fan_in: inputs of one output: C for a dense layer, kh kw C for a convolution.

    Returns:
      `kernel_init` and `bias_init` as keyword arguments of `Conv` and `nnx.Linear`.

    >>> import jax
    >>> from mer_jax import nn
    >>> kernel = nn.pytorch_init(16)["kernel_init"](jax.random.key(0), (4, 4))
    >>> bool(abs(kernel).max() <= 1 / 4)
    True
    """
    bound = 1 / math.sqrt(fan_in)

    def uniform(key, shape, dtype=jnp.float32, **_):
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return {"kernel_init": uniform, "bias_init": uniform}


def linear(inputs: int, outputs: int, *, use_bias: bool = True, rngs: nnx.Rngs) -> nnx.Linear:
    """A dense layer [..., inputs] -> [..., outputs] initialized by `pytorch_init`."""
    return nnx.Linear(inputs, outputs, use_bias=use_bias, rngs=rngs, **pytorch_init(inputs))
