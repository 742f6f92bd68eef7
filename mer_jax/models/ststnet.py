"""STSTNet: three shallow streams over flow and strain (Liong et al. 2019, authors' code)."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx

from mer_jax.models.sizes import require
from mer_jax.nn import BatchNorm, Conv, avg_pool, conv_relu_norm_pool, linear, pytorch_init


class STSTNet(nnx.Module):
    """Streams of 3, 5 and 8 maps: 3 x 3 convolution, ReLU, normalization, pool, dropout, in that
    order; concatenated [10, 10, 16], averaged over 2 x 2, classified. 1,683 parameters for
    28 x 28 x 3 and three classes.

    The streams differ only in their number of maps, so they are one convolution of 16 maps.

    Args:
      num_classes, rngs: as in `models.create`.
      shape: (H, W, C) of one example: u, v and strain.
      maps: feature maps of each stream.
      dropout: its rate.

    Raises:
      UserError: for a `shape` of another rank, or smaller than the layers need.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        rngs: nnx.Rngs,
        shape: Sequence[int] = (28, 28, 3),
        maps: Sequence[int] = (3, 5, 8),
        dropout: float = 0.5,
    ):
        self.input_shape = height, width, channels = require("STSTNet", shape, (2, 2, 1))
        joined = sum(maps)
        init = pytorch_init(9 * channels)
        self.conv = Conv(channels, joined, (3, 3), padding=2, rngs=rngs, **init)
        self.norm = BatchNorm(joined, rngs=rngs)
        self.dropout = nnx.Dropout(dropout, rngs=rngs)
        # convolution 3 with padding 2, pool 3 with padding 1, average over 2
        flat = joined * math.prod((n + 4) // 3 // 2 for n in (height, width))
        self.classifier = linear(flat, num_classes, rngs=rngs)

    def __call__(self, x: jax.Array, *, mask: jax.Array | None = None) -> jax.Array:
        """x [B, H, W, C], mask [B] -> logits [B, K]."""
        x = self.dropout(conv_relu_norm_pool(self.conv, self.norm, x, mask, 3, padding=1))
        x = avg_pool(x, 2)
        return self.classifier(jnp.reshape(x, (len(x), -1)))
