"""MicroExpFuseNet: eyes and mouth in two 3-D streams (Reddy et al., Tables II and III)."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from mer_jax.models.sizes import require
from mer_jax.models.stcnn import PooledConv, smallest
from mer_jax.nn import GLOROT

REGIONS = ("eyes", "mouth")


class _Dense(nnx.Module):
    """Dense layers, each followed by ReLU and dropout."""

    def __init__(self, features: int, widths: Sequence[int], *, dropout: float, rngs: nnx.Rngs):
        ins = (features, *widths)
        self.layers = nnx.List([nnx.Linear(a, b, rngs=rngs, **GLOROT) for a, b in zip(ins, widths)])
        self.dropouts = nnx.List([nnx.Dropout(dropout, rngs=rngs) for _ in widths])

    def __call__(self, x: jax.Array) -> jax.Array:
        for layer, dropout in zip(self.layers, self.dropouts, strict=True):
            x = dropout(nnx.relu(layer(x)))
        return x


class _FuseNet(nnx.Module):
    """Two streams and dense layers of `widths`, on the joined streams or on each of them.

    Per stream: 32 x 32 x 96 -> 30 x 30 x 82 -> 10 x 10 x 27 -> 86,400.

    Decided: ReLU follows each of the dense layers, which the paper adds for "more non-linearity";
    in the authors' code only dropout is between them, so that they are one linear map.

    Args:
      num_classes, rngs: as in `models.create`.
      shape: (T, H, W, C) of one region of one example.
      filters, kernel, dropout: as in `STCNN`.
      widths: of the dense layers.

    Raises:
      UserError: for a `shape` of another rank, or smaller than the layers need.
    """

    late: bool

    def __init__(
        self,
        *,
        num_classes: int,
        rngs: nnx.Rngs,
        shape: Sequence[int] = (96, 32, 32, 1),
        filters: int = 32,
        kernel: Sequence[int] = (15, 3, 3),
        widths: Sequence[int] = (1024, 128),
        dropout: float = 0.5,
    ):
        self.shape = require("MicroExpFuseNet", shape, smallest(kernel))
        stream: dict[str, Any] = dict(filters=filters, kernel=kernel, dropout=dropout, rngs=rngs)
        self.streams = nnx.List([PooledConv(self.shape, **stream) for _ in REGIONS])
        features = self.streams[0].features
        ins = [features] * len(REGIONS) if self.late else [features * len(REGIONS)]
        self.dense = nnx.List([_Dense(n, widths, dropout=dropout, rngs=rngs) for n in ins])
        joined = len(ins) * widths[-1]
        self.classifier = nnx.Linear(joined, num_classes, rngs=rngs, **GLOROT)

    @property
    def input_shape(self) -> dict[str, tuple[int, ...]]:
        """The shape of one example of each region, without B."""
        return dict.fromkeys(REGIONS, self.shape)

    def __call__(self, x: dict[str, jax.Array], *, mask: jax.Array | None = None) -> jax.Array:
        """{"eyes": [B, T, H, W, C], "mouth": the same} -> logits [B, K]; `mask` is not used."""
        del mask
        maps = [stream(x[region]) for region, stream in zip(REGIONS, self.streams, strict=True)]
        ins = maps if self.late else [jnp.concatenate(maps, -1)]
        joined = jnp.concatenate([dense(a) for dense, a in zip(self.dense, ins, strict=True)], -1)
        return self.classifier(joined)


class FuseNetIntermediate(_FuseNet):
    """Concatenated before the dense layers: 172,800 -> 1024 -> 128 -> K.

    The paper prints 86,400 for the concatenation, which is one stream's.
    """

    late = False


class FuseNetLate(_FuseNet):
    """Concatenated behind the dense layers: twice 86,400 -> 1024 -> 128, then 256 -> K."""

    late = True
