"""Batch normalization whose statistics exclude padding samples; layer normalization."""

import math
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from mer_jax.nn.dispatch import accumulator_dtype, current_formulation


class LayerNorm(nnx.Module):
    """(x - mean) / sqrt(var + eps) scale + bias, mean and variance over the last axis (Ba 2016).

    As `nnx.LayerNorm`, but also of float64 under strict dtype promotion. 16-bit inputs are
    normalized in float32.

    Args:
      features: C, of the last axis.
      epsilon: added to the variance.

    >>> import jax.numpy as jnp
    >>> from mer_jax import nn
    >>> nn.LayerNorm(2, epsilon=0.0)(jnp.array([[1.0, 3.0]]))
    Array([[-1.,  1.]], dtype=float32)
    """

    def __init__(self, features: int, *, epsilon: float = 1e-5):
        self.scale = nnx.Param(jnp.ones(features))
        self.bias = nnx.Param(jnp.zeros(features))
        self.epsilon = epsilon

    def __call__(self, x: jax.Array) -> jax.Array:
        """x [..., C] -> [..., C]."""
        z, scale, bias = (
            lax.broadcast_to_rank(a.astype(accumulator_dtype(x.dtype)), x.ndim)
            for a in (x, self.scale[...], self.bias[...])
        )
        centered = z - z.mean(-1, keepdims=True)
        factor = lax.rsqrt((centered * centered).mean(-1, keepdims=True) + self.epsilon)
        return (centered * factor * scale + bias).astype(x.dtype)


class BatchNorm(nnx.Module):
    """(x - mean) / sqrt(var + eps) scale + bias over all axes but the last (Ioffe & Szegedy 2015).

    In training the mean and the biased variance are those of the samples whose `mask` is not 0, by
    two passes; the running statistics move by `momentum` towards them, the running variance towards
    the unbiased one, as in PyTorch. The output of padding samples is 0, even if they are NaN.
    `eval()` uses the running statistics. A batch without samples does not change them.
    Differentiable as `conv` is. 16-bit inputs are normalized in float32.

    Args:
      features: C, of the last axis.
      momentum: weight of a batch in the running statistics.
      epsilon: added to the variance.
      use_running_average: normalize by the running statistics, as after `eval()`.
      rngs: not used; all layers have the same signature.

    >>> import jax.numpy as jnp
    >>> from flax import nnx
    >>> from mer_jax import nn
    >>> norm = nn.BatchNorm(1, epsilon=0.0, rngs=nnx.Rngs(0))
    >>> x = jnp.array([[1.0], [3.0], [jnp.nan]])
    >>> norm(x, mask=jnp.array([1.0, 1.0, 0.0])).ravel()  # the last sample is padding
    Array([-1.,  1.,  0.], dtype=float32)
    """

    def __init__(
        self,
        features: int,
        *,
        momentum: float = 0.1,
        epsilon: float = 1e-5,
        use_running_average: bool = False,
        rngs: nnx.Rngs,
    ):
        del rngs
        self.scale = nnx.Param(jnp.ones(features))
        self.bias = nnx.Param(jnp.zeros(features))
        self.mean = nnx.BatchStat(jnp.zeros(features))
        self.var = nnx.BatchStat(jnp.ones(features))
        self.momentum = momentum
        self.epsilon = epsilon
        self.use_running_average = use_running_average

    def set_view(self, *, use_running_average: bool | None = None) -> None:
        """Called by `nnx.view(model, use_running_average=...)`, `train()` and `eval()`."""
        if use_running_average is not None:
            self.use_running_average = use_running_average

    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        """x [B, ..., C], mask [B] or None (no padding) -> [B, ..., C]."""
        dtype = accumulator_dtype(x.dtype)
        z, scale, bias = (a.astype(dtype) for a in (x, self.scale[...], self.bias[...]))
        if self.use_running_average:
            mean, var = self.mean[...].astype(dtype), self.var[...].astype(dtype)
            factor = lax.rsqrt(var + self.epsilon) * scale
            mean, factor, bias = (lax.broadcast_to_rank(a, x.ndim) for a in (mean, factor, bias))
            return ((z - mean) * factor + bias).astype(x.dtype)
        weights = jnp.ones(x.shape[0], dtype) if mask is None else (mask != 0).astype(dtype)
        if current_formulation() == "xla":
            y, mean, var, count = _forward(self.epsilon, z, scale, bias, weights)[0]
        else:
            y, mean, var, count = _normalize(self.epsilon, z, scale, bias, weights)
        self.track(mean, var, count)
        return y.astype(x.dtype)

    def track(self, mean: jax.Array, var: jax.Array, count: jax.Array) -> None:
        """Moves the running statistics towards those [C] of a batch of `count` values a channel."""
        step = jnp.where(count > 0, self.momentum, 0.0)
        unbiased = var * (count / jnp.maximum(count - 1, 1))
        for running, current in ((self.mean, mean), (self.var, unbiased)):
            current = lax.stop_gradient(current.astype(running.dtype))
            running[...] += step.astype(running.dtype) * (current - running[...])


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _normalize(epsilon, x, scale, bias, weights):
    return _forward(epsilon, x, scale, bias, weights)[0]


def _forward(epsilon, x, scale, bias, weights):
    axes = tuple(range(x.ndim - 1))
    expand = partial(lax.broadcast_to_rank, rank=x.ndim)  # [C] -> [1, ..., 1, C]
    # Selected, not multiplied: 0 times the NaN of a padding sample would be NaN.
    real = (weights != 0).reshape(-1, *(1,) * (x.ndim - 1))
    count = weights.sum() * math.prod(x.shape[1:-1])
    each = 1 / jnp.maximum(count, 1)
    mean = jnp.where(real, x, 0).sum(axes) * each
    centered = jnp.where(real, x - expand(mean), 0)
    var = (centered * centered).sum(axes) * each
    inverse = lax.rsqrt(var + epsilon)
    y = jnp.where(real, centered * expand(inverse * scale) + expand(bias), 0)
    return (y, mean, var, count), (x, mean, inverse, scale, real, each)


def _backward(epsilon, residuals, cotangents):
    """The closed form: three sums over the batch where automatic differentiation takes six.

    The cotangents of the statistics are ignored: these only update the running averages, which no
    loss depends on.
    """
    x, mean, inverse, scale, real, each = residuals
    axes = tuple(range(x.ndim - 1))
    expand = partial(lax.broadcast_to_rank, rank=x.ndim)
    g = jnp.where(real, cotangents[0], 0)
    normal = jnp.where(real, (x - expand(mean)) * expand(inverse), 0)
    d_bias = g.sum(axes)
    d_scale = (g * normal).sum(axes)
    shared = jnp.where(real, expand(d_bias * each) + normal * expand(d_scale * each), 0)
    dx = expand(inverse * scale) * (g - shared)
    return dx, d_scale, d_bias, None


_normalize.defvjp(_forward, _backward)
