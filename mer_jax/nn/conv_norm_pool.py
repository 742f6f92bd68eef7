"""Convolution, ReLU, batch normalization and max pooling of images as one operation.

For a first layer with few channels, which is bound by memory: its maps are many times as large as
the image and as what is pooled. Normalization is monotonic in each channel, rising or falling with
the sign of its scale, so that it may follow the maximum, and the maps are only needed for their
mean and variance. On CPUs they are computed a sample at a time, while they are in a core's cache,
forwards and again backwards; elsewhere at once.
"""

from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from mer_jax.nn.convolution import Conv, xla_convolution
from mer_jax.nn.cpu import patches
from mer_jax.nn.cpu.products import zeros_varying_like
from mer_jax.nn.dispatch import accumulator_dtype, by_platform, current_formulation
from mer_jax.nn.normalization import BatchNorm
from mer_jax.nn.pooling import gradient, max_and_argmax, max_pool
from mer_jax.nn.windows import Padding, per_axis, resolve, sliding


def conv_relu_norm_pool(
    conv: Conv,
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
      conv, norm: the layers.
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
    if norm.use_running_average or current_formulation() == "xla":
        return max_pool(norm(nnx.relu(conv(x)), mask), window, padding=padding)
    dtype = accumulator_dtype(x.dtype)
    kernel = conv.kernel[...]
    bias = jnp.zeros(kernel.shape[-1], dtype) if conv.bias is None else conv.bias[...].astype(dtype)
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
    scale, shift = norm.scale[...].astype(dtype), norm.bias[...].astype(dtype)
    weights = jnp.ones(len(x), dtype) if mask is None else mask.astype(dtype)
    forced = current_formulation() == "matmul"
    y, *statistics = _fused(
        forced, slide, pool, norm.epsilon, x, kernel, bias, scale, shift, weights
    )
    norm.track(*statistics)
    return y.astype(x.dtype)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2, 3))
def _fused(forced, slide, pool, epsilon, x, kernel, bias, scale, shift, weights):
    return _forward(forced, slide, pool, epsilon, x, kernel, bias, scale, shift, weights)[0]


def _forward(forced, slide, pool, epsilon, x, kernel, bias, scale, shift, weights):
    arrays = (x, weights, kernel, bias, jnp.where(scale < 0, -1, 1).astype(scale.dtype))
    ways = partial(_search_by_sample, slide, pool), partial(_search_at_once, slide, pool)
    pooled, argmax, mean, var, count = by_platform(forced, *ways, *arrays)
    inverse = lax.rsqrt(var + epsilon)
    normal = (pooled - _expand(mean)) * _expand(inverse)
    y = jnp.where(_real(weights), normal * _expand(scale) + _expand(shift), 0)
    residuals = (x, weights, argmax, kernel, bias, normal, mean, inverse, scale, count)
    return (y, mean, var, count), residuals


def _backward(forced, slide, pool, epsilon, residuals, cotangents):
    """The closed form of `BatchNorm`. Its sums over the maps are those over the pooled ones, for
    the gradient is 0 elsewhere; the cotangents of the statistics are ignored, as there."""
    x, weights, argmax, kernel, bias, normal, mean, inverse, scale, count = residuals
    g = jnp.where(_real(weights), cotangents[0], 0)
    d_shift, d_scale = g.sum((0, 1, 2)), jnp.where(_real(weights), g * normal, 0).sum((0, 1, 2))
    factor, each = inverse * scale, 1 / jnp.maximum(count, 1)
    coefficients = (mean, inverse, factor * d_shift * each, factor * d_scale * each)
    arrays = (x, weights, argmax, g * _expand(factor), kernel, bias, *coefficients)
    ways = partial(_gradients_by_sample, slide, pool), partial(_gradients_at_once, slide, pool)
    dx, d_kernel, d_bias = by_platform(forced, *ways, *arrays)
    return dx, d_kernel, d_bias, d_scale, d_shift, None


_fused.defvjp(_forward, _backward)


def _expand(a):
    return jnp.expand_dims(a, (0, 1, 2))


def _real(weights):
    """Which samples are no padding: [B, 1, 1, 1]."""
    return jnp.expand_dims(weights != 0, (1, 2, 3))


def _search_at_once(slide, pool, x, weights, kernel, bias, sign):
    part = _search(partial(xla_convolution, slide), pool, kernel, bias, sign, (x, weights))
    return _merged(jax.tree.map(lambda a: a[None], part))


def _search_by_sample(slide, pool, x, weights, kernel, bias, sign):
    search = partial(_search, partial(_by_patches, slide), pool, kernel, bias, sign)
    return _merged(lax.map(search, (x[:, None], weights[:, None])))


def _search(convolve, pool, kernel, bias, sign, samples):
    """(maxima of the maps times `sign`, times `sign`, argmax, mean, squares about it, count)."""
    x, weights = samples
    maps = _maps(convolve, x, kernel, bias)
    tiles, pads = pool
    maxima, argmax = max_and_argmax(tiles, tiles, pads, maps * _expand(sign))
    count = weights.sum() * (maps.size // (len(maps) * maps.shape[-1]))
    mean = jnp.where(_real(weights), maps, 0).sum((0, 1, 2)) / jnp.maximum(count, 1)
    centered = jnp.where(_real(weights), maps - _expand(mean), 0)
    return maxima * _expand(sign), argmax, mean, (centered * centered).sum((0, 1, 2)), count


def _merged(parts):
    """Blocks of samples as one: statistics by Chan, Golub and LeVeque 1983, (2.1)."""
    maxima, argmax, means, squares, counts = parts
    count = counts.sum()
    each = 1 / jnp.maximum(count, 1)
    mean = (means * counts[:, None]).sum(0) * each
    between = (means - mean[None]) ** 2 * counts[:, None]
    together = lambda a: a.reshape(-1, *a.shape[2:])
    return together(maxima), together(argmax), mean, (squares + between).sum(0) * each, count


def _gradients_at_once(slide, pool, x, weights, argmax, g, *shared):
    convolve = partial(xla_convolution, slide)
    return _gradients(convolve, pool, shared, (x, weights, argmax, g))


def _gradients_by_sample(slide, pool, x, weights, argmax, g, kernel, bias, *coefficients):
    def add(total, sample):
        shared = (kernel, bias, *coefficients)
        dx, *more = _gradients(partial(_by_patches, slide), pool, shared, sample)
        return jax.tree.map(jnp.add, total, more), dx

    start = [zeros_varying_like(a.shape, x, g).astype(a.dtype) for a in (kernel, bias)]
    total, dx = lax.scan(add, start, tuple(a[:, None] for a in (x, weights, argmax, g)))
    return dx[:, 0], *total


def _gradients(convolve, pool, shared, samples):
    """(dx, d_kernel, d_bias) of samples, from g, the gradient of their maxima."""
    kernel, bias, mean, inverse, by_shift, by_scale = shared
    x, weights, argmax, g = samples
    maps, pull = jax.vjp(partial(_maps, convolve), x, kernel, bias)
    normal = (maps - _expand(mean)) * _expand(inverse)
    tiles, pads = pool
    spread = gradient(tiles, tiles, pads, maps.shape[1:-1], argmax, g)
    d_maps = spread - _expand(by_shift) - normal * _expand(by_scale)
    return pull(jnp.where(_real(weights), d_maps, 0))


def _maps(convolve, x, kernel, bias):
    return nnx.relu(convolve(x, kernel).astype(bias.dtype) + _expand(bias))


def _by_patches(slide, x, kernel):
    sizes = slide.sizes(x.shape[1:-1], kernel.shape)
    return patches.convolve_padded(slide, sizes, slide.pad(x), kernel)
