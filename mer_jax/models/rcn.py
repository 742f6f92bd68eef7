"""RCN-A, RCN-S and RCN-W: shallow recurrent networks for flow images (Xia et al. 2020).

"Revealing the Invisible with Model and Data Shrinking for Composite-Database Micro-Expression
Recognition", with the layers of the authors' code.
"""

from collections.abc import Callable, Sequence
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

from mer_jax.models.sizes import require
from mer_jax.nn import BatchNorm, Conv, adaptive_avg_pool, max_pool, pytorch_init

_FAN_OUT = nnx.initializers.variance_scaling(2.0, "fan_out", "normal")


class _Unit(nnx.Module):
    """Convolution and normalization, with ReLU between them if `relu`."""

    def __init__(self, in_features, features, kernel, *, relu=False, rngs, **options):
        if relu:  # a bias that no normalization takes out: as PyTorch initializes it
            options["bias_init"] = pytorch_init(kernel * kernel * in_features)["bias_init"]
        size = (kernel, kernel)
        self.conv = Conv(in_features, features, size, kernel_init=_FAN_OUT, rngs=rngs, **options)
        self.norm = BatchNorm(features, rngs=rngs)
        self.relu = relu

    def __call__(self, x: jax.Array, mask: jax.Array | None) -> jax.Array:
        x = self.conv(x)
        return self.norm(nnx.relu(x) if self.relu else x, mask)


class _Recurrent(nnx.Module):
    """y = f(x), twice y = r(x + y), pool 2; `dense`: three times, of the sum of all before.

    f and r end in a ReLU; the last one follows the pool, which is equivalent and costs less.
    """

    def __init__(self, maps: int, *, dense: bool, rngs: nnx.Rngs):
        self.feedforward = _Unit(maps, maps, 1, rngs=rngs)
        self.recurrent = _Unit(maps, maps, 3, padding=1, rngs=rngs)
        self.dense = dense

    def __call__(self, x: jax.Array, mask: jax.Array | None) -> jax.Array:
        y = self.feedforward(x, mask)
        total = x
        for _ in range(3 if self.dense else 2):
            carried = total + nnx.relu(y)
            if self.dense:
                total = carried
            y = self.recurrent(carried, mask)
        return nnx.relu(max_pool(y, 2))


class _Stem(nnx.Module):
    """5 x 5 convolution without padding, normalization, ReLU, pool 2."""

    def __init__(self, in_features: int, features: int, *, rngs: nnx.Rngs):
        self.unit = _Unit(in_features, features, 5, rngs=rngs)

    def __call__(self, x: jax.Array, mask: jax.Array | None) -> jax.Array:
        return nnx.relu(max_pool(self.unit(x, mask), 2))


class _WideStem(nnx.Module):
    """Three 3 x 3 convolutions of stride 3, dilated by 1, 2 and 3, concatenated."""

    def __init__(self, in_features: int, features: int, *, rngs: nnx.Rngs):
        parts = (features - 2 * (features // 4), features // 4, features // 4)
        self.units = nnx.List(
            [
                _Unit(
                    in_features,
                    part,
                    3,
                    strides=3,
                    padding=dilation,
                    kernel_dilation=dilation,
                    relu=True,
                    rngs=rngs,
                )
                for dilation, part in enumerate(parts, 1)
            ]
        )

    def __call__(self, x: jax.Array, mask: jax.Array | None) -> jax.Array:
        return jnp.concatenate([unit(x, mask) for unit in self.units], -1)


class RCN(nnx.Module):
    """A stem, a recurrent block, an average over P x P, a classifier; dropout behind each pool.

    Args:
      num_classes, rngs: as in `models.create`.
      shape: (H, W, C) of one example: a flow image.
      maps: feature maps (F).
      pool: side of the last average (P).
      dropout: its rate.

    Raises:
      UserError: for a `shape` of another rank, or smaller than the layers need.
    """

    stem_type: ClassVar[Callable[..., nnx.Module]] = _Stem
    smallest: ClassVar[tuple[int, int, int]] = (8, 8, 1)
    dense: ClassVar[bool] = False

    def __init__(
        self,
        *,
        num_classes: int,
        rngs: nnx.Rngs,
        shape: Sequence[int] = (60, 60, 3),
        maps: int = 32,
        pool: int = 5,
        dropout: float = 0.5,
    ):
        self.input_shape = require(type(self).__name__, shape, self.smallest)
        self.stem = self.stem_type(self.input_shape[-1], maps, rngs=rngs)
        self.block = _Recurrent(maps, dense=self.dense, rngs=rngs)
        self.dropouts = nnx.List([nnx.Dropout(dropout, rngs=rngs) for _ in range(2)])
        self.pool = pool
        small = nnx.initializers.normal(0.01)
        self.classifier = nnx.Linear(pool * pool * maps, num_classes, kernel_init=small, rngs=rngs)

    def attend(self, features: jax.Array, stem: jax.Array) -> jax.Array:
        """The input of the classifier, [B, P, P, maps], from the average and the stem's maps.

        Args:
          features: [B, P, P, maps].
          stem: [B, H', W', maps].
        """
        del stem
        return features

    def __call__(self, x: jax.Array, *, mask: jax.Array | None = None) -> jax.Array:
        """x [B, H, W, C], mask [B] -> logits [B, K]."""
        stem = self.dropouts[0](self.stem(x, mask))
        y = self.dropouts[1](self.block(stem, mask))
        y = self.attend(adaptive_avg_pool(y, self.pool), stem)
        return self.classifier(y.reshape(len(x), -1))


class RCNA(RCN):
    """RCN-A: attention from the classifier's own weights. 15,331 parameters.

    The stem's features, averaged to P x P and weighted by a class's weights, are that class's
    activation map; each map is scaled to [0, 1], and the features are multiplied by their mean.
    """

    def attend(self, features: jax.Array, stem: jax.Array) -> jax.Array:
        """Features times the mean class activation map of the stem."""
        weights = self.classifier.kernel[...].reshape(*features.shape[1:], -1)
        coarse = adaptive_avg_pool(stem, self.pool)
        maps = jnp.einsum("bhwc,hwck->bhwk", coarse, weights, precision="highest")
        maps = maps - maps.min((1, 2), keepdims=True)
        maps = maps / jnp.maximum(maps.max((1, 2), keepdims=True), 1e-12)
        return features * maps.mean(-1, keepdims=True)


class RCNS(RCN):
    """RCN-S: the input of every step is the sum of all earlier ones. 15,331 parameters.

    The authors' code declares a third convolution that it never runs (24,643 with it).
    """

    dense = True


class RCNW(RCN):
    """RCN-W: a wide stem of three receptive fields. 13,795 parameters."""

    stem_type = _WideStem
    smallest = (4, 4, 1)
