"""MicroExpSTCNN: one 3-D convolution over all frames (Reddy et al., Table I)."""

import math
from collections.abc import Sequence

import jax
from flax import nnx

from mer_jax.models.sizes import require
from mer_jax.nn import GLOROT, Conv, conv_relu_pool

POOL = (3, 3, 3)


class ConvReLUPool(Conv):
    """3-D convolution, ReLU and max pool of 3 as one operation: [B, T, H, W, C] -> [B, ..., F]."""

    def __call__(self, x: jax.Array) -> jax.Array:  # type: ignore[override]  # nobody shards it
        assert self.bias is not None
        return conv_relu_pool(x, self.kernel[...], self.bias[...], POOL)


class PooledConv(nnx.Module):
    """3-D convolution, ReLU, max pool of 3, dropout, flattened: [B, T, H, W, C] -> [B, features].

    The stream that MicroExpSTCNN and MicroExpFuseNet are made of. `out_shape` is (T', H', W',
    filters) before flattening, `features` their product.
    """

    def __init__(
        self,
        shape: Sequence[int],
        *,
        filters: int,
        kernel: Sequence[int],
        dropout: float,
        rngs: nnx.Rngs,
    ):
        *sizes, channels = shape
        self.conv = ConvReLUPool(channels, filters, tuple(kernel), rngs=rngs, **GLOROT)
        self.dropout = nnx.Dropout(dropout, rngs=rngs)
        pooled = [(n - k + 1) // p for n, k, p in zip(sizes, kernel, POOL)]
        self.out_shape = (*pooled, filters)
        self.features = math.prod(self.out_shape)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.dropout(self.conv(x)).reshape(len(x), -1)


def smallest(kernel: Sequence[int]) -> list[int]:
    """The smallest (T, H, W, C) for which a `PooledConv` has an output."""
    return [k + p - 1 for k, p in zip(kernel, POOL)] + [1]


class STCNN(nnx.Module):
    """3-D convolution of 32 maps, ReLU, pool, dropout, dense 128, dropout, dense K.

    64 x 64 x 96 (T = 96 on CAS(ME)^2, 18 on SMIC) -> 62 x 62 x 82 -> 20 x 20 x 27 -> 345,600 ->
    128 -> 3. The paper's Table I has a last dropout behind the classifier, which would set class
    scores to 0 at random; it is left out, as in the authors' code. Initial weights, which are not
    printed, are Glorot's uniform ones; the authors' code has them in the convolution, and in the
    dense layers normal ones of deviation 0.05.

    Args:
      num_classes, rngs: as in `models.create`.
      shape: (T, H, W, C) of one example.
      filters: maps of the convolution.
      kernel: (kt, kh, kw); Table IX sweeps twelve, printed there as kh x kw x kt.
      hidden: width of the dense layer.
      dropout: its rate, which is not printed: 0.5 decided.

    Raises:
      UserError: for a `shape` of another rank, or smaller than the layers need.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        rngs: nnx.Rngs,
        shape: Sequence[int] = (96, 64, 64, 1),
        filters: int = 32,
        kernel: Sequence[int] = (15, 3, 3),
        hidden: int = 128,
        dropout: float = 0.5,
    ):
        self.input_shape = require("MicroExpSTCNN", shape, smallest(kernel))
        self.stream = PooledConv(
            self.input_shape, filters=filters, kernel=kernel, dropout=dropout, rngs=rngs
        )
        self.hidden = nnx.Linear(self.stream.features, hidden, rngs=rngs, **GLOROT)
        self.dropout = nnx.Dropout(dropout, rngs=rngs)
        self.classifier = nnx.Linear(hidden, num_classes, rngs=rngs, **GLOROT)

    def __call__(self, x: jax.Array, *, mask: jax.Array | None = None) -> jax.Array:
        """x [B, T, H, W, C] -> logits [B, K]; `mask` is not used."""
        del mask
        return self.classifier(self.dropout(nnx.relu(self.hidden(self.stream(x)))))
