"""Dual-Inception: two inception blocks for each component of the flow (Zhou et al. 2019)."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx

from mer_jax.models.sizes import require
from mer_jax.nn import GLOROT, Conv, max_pool


class Inception(nnx.Module):
    """1 x 1; 1 x 1 then 3 x 3; 1 x 1 then 5 x 5; pool 3 then 1 x 1: concatenated, without the last
    ReLU of each."""

    def __init__(self, in_features: int, features: int, *, rngs: nnx.Rngs):
        conv = lambda n, k: Conv(n, features, (k, k), padding="SAME", rngs=rngs, **GLOROT)
        self.points = nnx.List([conv(in_features, 1) for _ in range(4)])
        self.wide = nnx.List([conv(features, k) for k in (3, 5)])

    def __call__(self, x: jax.Array) -> jax.Array:
        """x [B, H, W, C] -> [B, H, W, 4 features]."""
        ins = (x, x, x, max_pool(x, 3, strides=1, padding=1))
        narrow, third, fifth, pooled = (point(a) for point, a in zip(self.points, ins, strict=True))
        third, fifth = (w(nnx.relu(a)) for w, a in zip(self.wide, (third, fifth), strict=True))
        return jnp.concatenate([narrow, third, fifth, pooled], -1)


class DualInception(nnx.Module):
    """Per component: inception of 6, pool 2, inception of 16, pool 2; then 6272 -> 1024 -> K.

    6,449,867 parameters for 28 x 28 and three classes: the paper's 6.45 million. The layers are
    those of the challenge entry's public code, too (xly135846/MEGC2019), which takes another input;
    initial weights are its framework's, Glorot's uniform ones.

    Args:
      num_classes, rngs: as in `models.create`.
      shape: (H, W, C) of one example; each channel, u and v, has its own stream.
      maps: of each branch of the two blocks.
      hidden: width of the dense layer.

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
        self.input_shape = require("Dual-Inception", shape, (4, 4, 1))
        height, width, streams = self.input_shape
        first, second = maps
        self.first = nnx.List([Inception(1, first, rngs=rngs) for _ in range(streams)])
        self.second = nnx.List([Inception(4 * first, second, rngs=rngs) for _ in range(streams)])
        joined = streams * 4 * second * (height // 4) * (width // 4)
        self.dense = nnx.Linear(joined, hidden, rngs=rngs, **GLOROT)
        self.classifier = nnx.Linear(hidden, num_classes, rngs=rngs, **GLOROT)

    def __call__(self, x: jax.Array, *, mask: jax.Array | None = None) -> jax.Array:
        """x [B, H, W, C] -> logits [B, K]; `mask` is not used."""
        del mask
        streams = []
        for channel, (first, second) in enumerate(zip(self.first, self.second, strict=True)):
            y = nnx.relu(max_pool(first(x[..., channel : channel + 1]), 2))
            streams.append(nnx.relu(max_pool(second(y), 2)).reshape(len(x), -1))
        return self.classifier(nnx.relu(self.dense(jnp.concatenate(streams, -1))))
