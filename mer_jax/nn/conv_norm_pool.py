"""Convolution, ReLU, batch normalization and max pooling of images as one operation.

For a first layer with few channels, which is bound by memory: its maps are many times as large as
the image and as what is pooled. Normalization is monotonic in each channel, rising or falling with
the sign of its scale, so that it may follow the maximum, and the maps are only needed for their
mean and variance. On CPUs they are computed a few samples at a time (`nn.cpu.lanes`), while they
are in a core's cache, forwards and again backwards; elsewhere at once.
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

from mer_jax.nn.convolution import Conv, xla_convolution
from mer_jax.nn.cpu import lanes
from mer_jax.nn.cpu.products import zeros_varying_like
from mer_jax.nn.dispatch import accumulator_dtype, by_platform, current_formulation
from mer_jax.nn.normalization import BatchNorm
from mer_jax.nn.pooling import gradient, max_and_argmax, max_pool
from mer_jax.nn.windows import Padding, per_axis, resolve, sliding


def conv_relu_norm_pool(
    convs: Conv | Sequence[Conv],
    norm: BatchNorm,
    x: jax.Array,
    mask: jax.Array | None,
    window: int,
    *,
    padding: Padding = "VALID",
) -> jax.Array:
    """`max_pool(norm(nnx.relu(conv(x)), mask), window, padding=padding)`.

    The running statistics of `norm` are updated as by `norm`; in `eval()` the layers are applied
    one after the other.

    Args:
      convs: a layer, or one for each of equal parts of the channels, whose maps are concatenated.
      norm: of all maps.
      x: [B, H, W, C] float.
      mask: [B] or None, as in `BatchNorm`.
      window: of the pool, whose windows tile.
      padding: of the pool.

    Returns:
      [B, H', W', O], differentiable as `nn.conv` is. Where a scale is 0 the gradient goes to the
      maximum before the normalization.

    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from mer_jax import nn
    >>> conv, norm = nn.Conv(3, 8, (3, 3), rngs=nnx.Rngs(0)), nn.BatchNorm(8, rngs=nnx.Rngs(0))
    >>> nn.conv_relu_norm_pool(conv, norm, jnp.ones((2, 8, 8, 3)), None, 2).shape  # 8 -> 6 -> 3
    (2, 3, 3, 8)
    """
    layers = [convs] if isinstance(convs, Conv) else list(convs)
    parts = jnp.split(x, len(layers), -1)
    tiles = per_axis(window, 2)
    # What the formulation for CPUs does not have: masked kernels, windows without a pixel.
    plain = any(conv.mask is not None for conv in layers) or _too_wide(padding, tiles)
    if norm.use_running_average or plain or current_formulation() == "xla":
        maps = jnp.concatenate([conv(part) for conv, part in zip(layers, parts)], -1)
        return max_pool(norm(nnx.relu(maps), mask), window, padding=padding)
    dtype = accumulator_dtype(x.dtype)
    weights = jnp.ones(len(x), dtype) if mask is None else (mask != 0).astype(dtype)
    found, begin = [], 0
    for conv, part in zip(layers, parts):
        end = begin + conv.kernel.shape[-1]
        scale, shift = (a[...][begin:end].astype(dtype) for a in (norm.scale, norm.bias))
        found.append(_pooled(conv, part, weights, scale, shift, norm.epsilon, window, padding))
        begin = end
    y, mean, var = (jnp.concatenate(each, -1) for each in list(zip(*found))[:3])
    norm.track(mean, var, found[0][3])
    return y.astype(x.dtype)


def _too_wide(padding, tiles):
    """Whether a window of the pool may lie in its padding."""
    if isinstance(padding, str):
        return False
    return any(np.max(each) >= tile for each, tile in zip(per_axis(padding, 2), tiles))


def _pooled(conv, x, weights, scale, shift, epsilon, window, padding):
    kernel = conv.kernel[...]
    bias = jnp.zeros_like(scale) if conv.bias is None else conv.bias[...].astype(scale.dtype)
    slide = sliding(
        x.shape[1:-1],
        kernel.shape,
        strides=conv.strides or 1,
        padding=conv.padding,
        dilation=conv.kernel_dilation or 1,
        precision=conv.precision,
    )
    sizes = slide.sizes(x.shape[1:-1], kernel.shape)
    tiles = per_axis(window, 2)
    pool = (tiles, resolve(padding, sizes, tiles, tiles))
    forced = current_formulation() == "matmul"
    return _fused(forced, slide, pool, epsilon, x, kernel, bias, scale, shift, weights)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2, 3))
def _fused(forced, slide, pool, epsilon, x, kernel, bias, scale, shift, weights):
    return _forward(forced, slide, pool, epsilon, x, kernel, bias, scale, shift, weights)[0]


def _forward(forced, slide, pool, epsilon, x, kernel, bias, scale, shift, weights):
    arrays = (x, weights, kernel, bias, jnp.where(scale < 0, -1, 1).astype(scale.dtype))
    ways = partial(_search_in_lanes, slide, pool), partial(_search_at_once, slide, pool)
    pooled, argmax, mean, var, count = by_platform(forced, *ways, *arrays)
    inverse = lax.rsqrt(var + epsilon)
    normal = (pooled - _along(mean)) * _along(inverse)
    y = jnp.where(_real(weights), normal * _along(scale) + _along(shift), 0)
    residuals = (x, weights, argmax, kernel, bias, normal, mean, inverse, scale, count)
    return (y, mean, var, count), residuals


def _backward(forced, slide, pool, epsilon, residuals, cotangents):
    """The closed form of `BatchNorm`. Its sums over the maps are those over the pooled ones, for
    the gradient is 0 elsewhere; the cotangents of the statistics are ignored, as there."""
    x, weights, argmax, kernel, bias, normal, mean, inverse, scale, count = residuals
    g = jnp.where(_real(weights), cotangents[0], 0)
    d_shift, d_scale = g.sum(_LAST), jnp.where(_real(weights), g * normal, 0).sum(_LAST)
    factor, each = inverse * scale, 1 / jnp.maximum(count, 1)
    coefficients = (mean, inverse, factor * d_shift * each, factor * d_scale * each)
    arrays = (x, weights, argmax, g * _along(factor), kernel, bias, *coefficients)
    ways = partial(_layer_in_lanes, slide, pool), partial(_layer_at_once, slide, pool)
    d_kernel, d_bias = by_platform(forced, *ways, *arrays)
    # By itself, so that nothing is computed for the first layer's input.
    ways = partial(_input_in_lanes, slide, pool), partial(_input_at_once, slide, pool)
    dx = by_platform(forced, *ways, *arrays)
    return dx, d_kernel, d_bias, d_scale, d_shift, None


_fused.defvjp(_forward, _backward)

# All axes but that of the maps, which is the last or, in lanes, the first one.
_LAST, _FIRST = (0, 1, 2), (1, 2, 3)


def _along(a, axes=_LAST):
    """a [O] along the axis of the maps."""
    return jnp.expand_dims(a, axes)


def _real(weights, axes=_LAST):
    """Which samples are no padding, along their axis, the last or the first one."""
    return jnp.expand_dims(weights != 0, [3 - axis for axis in axes])


def _search_at_once(slide, pool, x, weights, kernel, bias, sign):
    convolve = partial(xla_convolution, slide)
    maxima, argmax, *sums = _search(convolve, _LAST, pool, kernel, bias, sign, (x, weights))
    return maxima, argmax, *_merged(*(a[None] for a in sums))


def _search_in_lanes(slide, pool, x, weights, kernel, bias, sign):
    search = partial(_search, partial(lanes.maps, slide), _FIRST, pool, kernel, bias, sign)
    maxima, argmax, *sums = lax.map(search, (lanes.blocks(x), lanes.blocks(weights)))
    return *(lanes.joined(a, len(x)) for a in (maxima, argmax)), *_merged(*sums)


def _search(convolve, axes, pool, kernel, bias, sign, samples):
    """(maxima of the maps times `sign`, times `sign`, argmax, mean, squares about it, count)."""
    x, weights = samples
    real, along = _real(weights, axes), partial(_along, axes=axes)
    maps = nnx.relu(convolve(x, kernel).astype(bias.dtype) + along(bias))
    tiles, pads = pool
    maxima, argmax = max_and_argmax(tiles, tiles, pads, maps * along(sign))
    count = weights.sum() * (maps.size // (len(weights) * len(bias)))
    mean = jnp.where(real, maps, 0).sum(axes) / jnp.maximum(count, 1)
    centered = jnp.where(real, maps - along(mean), 0)
    return maxima * along(sign), argmax, mean, (centered * centered).sum(axes), count


def _merged(means, squares, counts):
    """Mean, variance and count of blocks as one (Chan, Golub and LeVeque 1983, (2.1))."""
    count = counts.sum()
    each = 1 / jnp.maximum(count, 1)
    mean = (means * counts[:, None]).sum(0) * each
    between = (means - mean[None]) ** 2 * counts[:, None]
    return mean, (squares + between).sum(0) * each, count


def _layer_at_once(slide, pool, x, weights, argmax, g, kernel, bias, *coefficients):
    convolve = partial(xla_convolution, slide)
    shared = (kernel, bias, *coefficients)
    d = _maps_gradient(convolve, _LAST, pool, shared, (x, weights, argmax, g))
    return _pulled(partial(convolve, x), kernel, d), d.sum(_LAST)


def _layer_in_lanes(slide, pool, x, weights, argmax, g, kernel, bias, *coefficients):
    convolve, shared = partial(lanes.maps, slide), (kernel, bias, *coefficients)

    def add(total, block):
        d = _maps_gradient(convolve, _FIRST, pool, shared, block)
        d_kernel = lanes.maps_kernel_gradient(slide, block[0], kernel.shape, d)
        return (total[0] + d_kernel, total[1] + d.sum(_FIRST)), None

    start = tuple(zeros_varying_like(a.shape, bias, x, g) for a in (kernel, bias))
    every = tuple(map(lanes.blocks, (x, weights, argmax, g)))
    (d_kernel, d_bias), _ = lax.scan(add, start, every)
    return d_kernel.astype(kernel.dtype), d_bias


def _input_at_once(slide, pool, x, weights, argmax, g, kernel, *shared):
    convolve = partial(xla_convolution, slide)
    d = _maps_gradient(convolve, _LAST, pool, (kernel, *shared), (x, weights, argmax, g))
    return _pulled(lambda x: convolve(x, kernel), x, d)


def _input_in_lanes(slide, pool, x, weights, argmax, g, kernel, *shared):
    convolve = partial(lanes.maps, slide)

    def one(block):
        d = _maps_gradient(convolve, _FIRST, pool, (kernel, *shared), block)
        return _pulled(lambda x: convolve(x, kernel), block[0], d)

    every = tuple(map(lanes.blocks, (x, weights, argmax, g)))
    return lanes.joined(lax.map(one, every), len(x))


def _pulled(function, a, d):
    """The gradient of a from d, that of the function's value."""
    y, pull = jax.vjp(function, a)
    return pull(d.astype(y.dtype))[0]


def _maps_gradient(convolve, axes, pool, shared, samples):
    """The gradient of the convolution's maps from g, that of the maxima."""
    kernel, bias, mean, inverse, by_shift, by_scale = shared
    x, weights, argmax, g = samples
    along = partial(_along, axes=axes)
    maps = nnx.relu(convolve(x, kernel).astype(bias.dtype) + along(bias))
    normal = (maps - along(mean)) * along(inverse)
    tiles, pads = pool
    spread = gradient(tiles, tiles, pads, maps.shape[1:-1], argmax, g)
    d_maps = spread - along(by_shift) - normal * along(by_scale)
    return jnp.where(_real(weights, axes) & (maps > 0), d_maps, 0)
