"""OFF-ApexNet: one stream for each component of the flow to the apex (Gan et al. 2019)."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from mer_jax.models.sizes import require
from mer_jax.nn import Conv, max_pool


class OFFApexNet(nnx.Module):
    """Per component: 5 x 5 convolution of 6, pool 2, 5 x 5 convolution of 16, pool 2;
    concatenated 1568 -> 1024 -> 1024 -> K. 2,664,475 parameters for 28 x 28 and three classes.

    Args:
      num_classes, rngs: as in `models.create`.
      shape: (H, W, C) of one example; each channel, u and v, has its own stream.
      maps: of the two convolutions.
      hidden: width of the two dense layers.

    Raises:
      UserError: for a `shape` of another rank, or smaller than the layers need.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        rngs: nnx.Rngs,
        shape: Sequence[int] = (28, 28, 2),
        maps: Sequence[int] = (6, 16),
        hidden: int = 1024,
    ):
        self.input_shape = require("OFF-ApexNet", shape, (4, 4, 1))
        height, width, streams = self.input_shape
        wide: dict[str, Any] = {"padding": "SAME", "rngs": rngs}
        first, second = maps
        self.first = nnx.List([Conv(1, first, (5, 5), **wide) for _ in range(streams)])
        self.second = nnx.List([Conv(first, second, (5, 5), **wide) for _ in range(streams)])
        joined = streams * second * (height // 4) * (width // 4)
        self.dense = nnx.List([nnx.Linear(n, hidden, rngs=rngs) for n in (joined, hidden)])
        self.classifier = nnx.Linear(hidden, num_classes, rngs=rngs)

    def __call__(self, x: jax.Array, *, mask: jax.Array | None = None) -> jax.Array:
        """x [B, H, W, C] -> logits [B, K]; `mask` is not used."""
        del mask
        streams = []
        for channel, (first, second) in enumerate(zip(self.first, self.second, strict=True)):
            y = nnx.relu(max_pool(first(x[..., channel : channel + 1]), 2))
            y = nnx.relu(max_pool(second(y), 2))
            streams.append(y.reshape(len(x), -1))
        y = jnp.concatenate(streams, -1)
        for dense in self.dense:
            y = nnx.relu(dense(y))
        return self.classifier(y)
