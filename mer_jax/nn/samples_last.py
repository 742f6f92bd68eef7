"""Several layers as one operation on blocks of samples, the samples in the last axis.

For networks of few maps, which are bound by memory: layer by layer each map is written and read
again. On CPUs (`nn.cpu.lanes`) all layers of 16 samples are computed while their maps are in a
core's cache; elsewhere the batch is one block. Both compute the layers again for the gradient.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from mer_jax.nn.cpu import lanes
from mer_jax.nn.cpu.convolution_2d import adjoint
from mer_jax.nn.cpu.products import zeros_varying_like
from mer_jax.nn.dispatch import accumulator_dtype, by_platform, current_formulation
from mer_jax.nn.windows import Window, sliding

Layers = Callable[[Any, jax.Array], jax.Array]


def apply_samples_last(
    layers: Layers, parameters: Any, x: jax.Array, mask: jax.Array | None = None
) -> jax.Array:
    """`layers(parameters, x)` with the samples in the last axis of x and of the result.

    Args:
      layers: a hashable function of `parameters` and [C, spatial, b], b samples, to
        [C', spatial', b]. It must treat each sample by itself, and convolve by `conv`.
      parameters: a tree of arrays.
      x: [B, spatial, C].
      mask: [B], 0 for padding, whose results and gradients are 0; on CPUs blocks of nothing else
        are not computed.

    Returns:
      [B, spatial', C'], differentiable as `nn.conv` is.

    >>> import jax.numpy as jnp
    >>> from mer_jax.nn import samples_last
    >>> layers = lambda kernel, x: samples_last.conv(x, kernel, padding=1)
    >>> x, kernel = jnp.ones((20, 4, 4, 3)), jnp.ones((3, 3, 3, 2))
    >>> samples_last.apply_samples_last(layers, kernel, x).shape
    (20, 4, 4, 2)
    """
    real = jnp.ones(len(x), bool) if mask is None else mask.astype(bool)
    x = _selected(real, x)
    if current_formulation() == "xla":
        return _selected(real, _at_once(layers, parameters, x, real))
    return _selected(real, _apply(current_formulation() == "matmul", layers, parameters, x, real))


def _selected(real, y):
    return jnp.where(jnp.expand_dims(real, range(1, y.ndim)), y, 0)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _apply(forced, layers, parameters, x, real):
    ways = partial(_in_blocks, layers), partial(_at_once, layers)
    return by_platform(forced, *ways, parameters, x, real)


def _at_once(layers, parameters, x, real):
    del real
    return layers(parameters, x.swapaxes(0, -1)).swapaxes(0, -1)


def _in_blocks(layers, parameters, x, real):
    block = _where_real(layers, parameters)
    y = lax.map(lambda arrays: block(*arrays), (lanes.blocks(real), lanes.blocks(x)))
    return lanes.joined(y, len(x))


def _where_real(function, parameters):
    """(real, *arrays) -> `function(parameters, *arrays)`, or zeros for a block of padding."""

    def block(real, *arrays):
        compute = partial(function, parameters)
        leaves = (*arrays, *jax.tree.leaves(parameters))
        zero = lambda a: zeros_varying_like(a.shape, *leaves).astype(a.dtype)
        zeros = jax.tree.map(zero, jax.eval_shape(compute, *arrays))
        return lax.cond(real.any(), compute, lambda *_: zeros, *arrays)

    return block


def _forward(forced, layers, parameters, x, real):
    return _apply(forced, layers, parameters, x, real), (parameters, x, real)


def _backward(forced, layers, residuals, g):
    ways = partial(_gradients_in_blocks, layers), partial(_gradients_at_once, layers)
    return *by_platform(forced, *ways, *residuals, g), None


_apply.defvjp(_forward, _backward)


def _gradients_at_once(layers, parameters, x, real, g):
    return jax.vjp(lambda p, x: _at_once(layers, p, x, real), parameters, x)[1](g)


def _gradients_in_blocks(layers, parameters, x, real, g):
    block = _where_real(lambda p, x, g: jax.vjp(layers, p, x)[1](g), parameters)
    leaves, tree = jax.tree.flatten(parameters)

    def add(total, arrays):
        d_parameters, dx = block(*arrays)
        parts = zip(total, jax.tree.leaves(d_parameters), strict=True)
        return [sum_ + part.astype(sum_.dtype) for sum_, part in parts], dx

    start = [zeros_varying_like(a.shape, x, g, *leaves) for a in leaves]
    total, dx = lax.scan(add, start, tuple(map(lanes.blocks, (real, x, g))))
    total = [sum_.astype(a.dtype) for sum_, a in zip(total, leaves)]
    return jax.tree.unflatten(tree, total), lanes.joined(dx, len(x))


def conv(x: jax.Array, kernel: jax.Array, *, padding: int = 0) -> jax.Array:
    """`nn.conv` of stride 1 with the samples last, and less padding than the kernel's size:
    x [C, H, W, b] * kernel [kh, kw, C, O] -> [O, H', W', b]."""
    window = sliding(x.shape[1:-1], kernel.shape, padding=padding)
    if current_formulation() == "xla":
        return _xla_conv(window, x, kernel)
    return _conv(current_formulation() == "matmul", window, x, kernel)


def _xla_conv(window: Window, x, kernel):
    return lax.conv_general_dilated(
        x, kernel, window.strides, window.padding, dimension_numbers=("CHWN", "HWIO", "CHWN")
    )


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _conv(forced, window, x, kernel):
    on_cpu = lambda x, kernel: lanes.maps(window, x, kernel).astype(x.dtype)
    return by_platform(forced, on_cpu, partial(_xla_conv, window), x, kernel)


def _conv_backward(forced, window, residuals, g):
    elsewhere = lambda x, kernel, g: jax.vjp(partial(_xla_conv, window), x, kernel)[1](g)
    return by_platform(forced, partial(_conv_gradients, window), elsewhere, *residuals, g)


_conv.defvjp(lambda *arguments: (_conv(*arguments), arguments[2:]), _conv_backward)


def _conv_gradients(window, x, kernel, g):
    around, flipped = adjoint(window, kernel, x.shape[1:-1], g.shape[1:-1])
    # A map at a time: the loop keeps XLA from computing them within the layer before.
    one = lambda kernel: lanes.maps(around, g, kernel[..., None])[0]
    dx = lax.map(one, jnp.moveaxis(flipped, -1, 0))
    g = g.astype(accumulator_dtype(g.dtype))
    d_kernel = lanes.maps_kernel_gradient(window, x, kernel.shape, g)
    return dx.astype(x.dtype), d_kernel.astype(kernel.dtype)
