"""Residual blocks (He et al. 2016) over two or three spatial axes."""

from collections.abc import Sequence

import jax
from flax import nnx

from mer_jax.nn import BatchNorm, Conv

_FAN_OUT = nnx.initializers.variance_scaling(2.0, "fan_out", "normal")


class ConvNorm(nnx.Module):
    """A convolution without bias, then batch normalization."""

    def __init__(
        self,
        in_features: int,
        features: int,
        kernel: Sequence[int],
        *,
        strides: int | Sequence[int] = 1,
        padding: int | Sequence[int] = 0,
        kernel_init: nnx.Initializer = _FAN_OUT,
        rngs: nnx.Rngs,
    ):
        self.conv = Conv(
            in_features,
            features,
            kernel,
            strides=strides,
            padding=padding,
            use_bias=False,
            kernel_init=kernel_init,
            rngs=rngs,
        )
        self.norm = BatchNorm(features, rngs=rngs)

    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        """x [B, spatial, C], mask [B] -> [B, spatial, F]."""
        return self.norm(self.conv(x), mask)


class BasicBlock(nnx.Module):
    """ReLU(second(ReLU(first(x))) + shortcut(x)), two convolutions of width 3 on each axis.

    The shortcut is x, or its projection by a 1-wide convolution where the shape changes. Padding is
    1 before and after, also with a stride (XLA's "SAME" would shift the maps).
    """

    def __init__(self, in_features: int, features: int, *, stride: int, axes: int, rngs: nnx.Rngs):
        wide, narrow = (3,) * axes, (1,) * axes
        self.first = ConvNorm(in_features, features, wide, strides=stride, padding=1, rngs=rngs)
        self.second = ConvNorm(features, features, wide, padding=1, rngs=rngs)
        same = stride == 1 and in_features == features
        self.shortcut = (
            None if same else ConvNorm(in_features, features, narrow, strides=stride, rngs=rngs)
        )

    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        """x [B, spatial, C], mask [B] -> [B, spatial / stride, F]."""
        y = self.second(nnx.relu(self.first(x, mask)), mask)
        return nnx.relu(y + (x if self.shortcut is None else self.shortcut(x, mask)))
