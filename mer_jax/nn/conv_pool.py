"""Convolution, ReLU and max pooling as one operation, for a first layer with few channels.

On accelerators it is the three in turn, on CPUs the formulation of `nn.cpu.fused_pool` for clips
and of `nn.cpu.lanes` for images.
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from mer_jax.nn.convolution import conv
from mer_jax.nn.cpu import fused_pool, lanes
from mer_jax.nn.dispatch import by_platform, current_formulation, formulation
from mer_jax.nn.pooling import gradient, max_and_argmax, max_pool
from mer_jax.nn.windows import Padding, per_axis, sliding


def conv_relu_pool(
    x: jax.Array,
    kernel: jax.Array,
    bias: jax.Array,
    window: int | Sequence[int],
    *,
    padding: Padding = "VALID",
) -> jax.Array:
    """`max_pool(relu(conv(x, kernel, padding=padding) + bias), window)`, windows that tile.

    Args:
      x: [B, (T,) H, W, C] float.
      kernel: [(kt,) kh, kw, C, O], of the dtype of `x`.
      bias: [O], likewise.
      window: of the pool, one size or one for each spatial axis.
      padding: of the convolution, as in `conv`.

    Returns:
      [B, (T',) H', W', O], differentiable as `conv` is. Among equal maxima of a window the gradient
      goes to the first.

    >>> import jax, jax.numpy as jnp
    >>> from mer_jax import nn
    >>> x, kernel = jnp.ones((2, 8, 8, 8, 1)), jnp.ones((3, 3, 3, 1, 4))
    >>> f = lambda x, kernel: nn.conv_relu_pool(x, kernel, jnp.zeros(4), (3, 3, 3))
    >>> jax.eval_shape(f, x, kernel).shape  # 8 -> 6 -> 2
    (2, 2, 2, 2, 4)
    """
    axes = x.ndim - 2
    window = per_axis(window, axes)
    slide = sliding(x.shape[1:-1], kernel.shape, padding=padding)
    x = slide.pad(x)
    if current_formulation() == "xla" or (axes == 2 and not lanes.narrow(x, kernel)):
        return max_pool(nnx.relu(conv(x, kernel) + lax.broadcast_to_rank(bias, x.ndim)), window)
    return _conv_relu_pool(current_formulation() == "matmul", window, x, kernel, bias)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _conv_relu_pool(forced, window, x, kernel, bias):
    return _forward(forced, window, x, kernel, bias)[0]


def _forward(forced, window, x, kernel, bias):
    search = fused_pool.forward if x.ndim == 5 else lanes.pooled
    on_cpu, elsewhere = partial(search, window), partial(_pool_of_maps, window)
    maxima, argmax = by_platform(forced, on_cpu, elsewhere, x, kernel)
    # Both are monotonic, so they may follow the maximum.
    y = nnx.relu(maxima + lax.broadcast_to_rank(bias, x.ndim))
    return y, (x, kernel, y > 0, argmax)


def _backward(forced, window, residuals, g):
    x, kernel, active, argmax = residuals
    g = jnp.where(active, g, 0)
    own = fused_pool.kernel_gradient if x.ndim == 5 else lanes.pooled_kernel_gradient
    on_cpu = partial(own, window)
    elsewhere = partial(_kernel_gradient_of_maps, window)
    d_kernel = by_platform(forced, on_cpu, elsewhere, x, kernel, argmax, g)
    (dx,) = jax.vjp(lambda x: conv(x, kernel), x)[1](_maps_gradient(window, x, kernel, argmax, g))
    return dx, d_kernel, g.sum(range(x.ndim - 1))


_conv_relu_pool.defvjp(_forward, _backward)


def _xla_conv(x, kernel):
    with formulation("xla"):
        return conv(x, kernel)


def _pool_of_maps(window, x, kernel):
    """The pooled convolution and the argmax in each window, by way of the maps."""
    return max_and_argmax(window, window, ((0, 0),) * len(window), _xla_conv(x, kernel))


def _maps_gradient(window, x, kernel, argmax, g):
    """The gradient of the convolution's maps: that of the pool, at its argmax, and zeros."""
    sizes = tuple(n - k + 1 for n, k in zip(x.shape[1:-1], kernel.shape))
    return gradient(window, window, ((0, 0),) * len(window), sizes, argmax, g)


def _kernel_gradient_of_maps(window, x, kernel, argmax, g):
    maps_gradient = _maps_gradient(window, x, kernel, argmax, g)
    return jax.vjp(partial(_xla_conv, x), kernel)[1](maps_gradient)[0]
