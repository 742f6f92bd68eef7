"""STRCN-A and STRCN-G: spatiotemporal recurrent convolutional networks (Xia et al., Table I)."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import jax
from flax import nnx

from mer_jax.models.sizes import require
from mer_jax.nn import BatchNorm, Conv, RecurrentConv, max_pool
from mer_jax.nn.recurrent_convolution import Statistics

Window = tuple[int, int]


class RecurrentNetwork(nnx.Module):
    """5 x 5 convolution, then recurrent layers with max pools between them, then a classifier.

    Table I of STRCN and Table 1 of MER-RCNN, which differ in `pools` and in the input; subclasses
    define both. Pools round down. Global average pooling follows the last layer.

    Args:
      num_classes, rngs: as in `models.create`.
      shape: (H, W, C) of one example.
      maps: feature maps of every layer (M, which is not printed: 64 decided; Fig. 7 sweeps it).
      recurrent_layers: 1 to 4: so many from RCL2 on, each with the pool before it; 0 replaces
        all four by plain 3 x 3 convolutions (Fig. 8).
      steps: recurrent 3 x 3 convolutions of a layer.
      statistics: "separate" batch statistics for each step, or "shared" (see `RecurrentConv`).

    Raises:
      UserError: for a `shape` of another rank, or smaller than the layers need.
    """

    pools: ClassVar[tuple[Window, Window, Window, Window]]

    def __init__(
        self,
        *,
        num_classes: int,
        rngs: nnx.Rngs,
        shape: Sequence[int],
        maps: int = 64,
        recurrent_layers: int = 4,
        steps: int = 3,
        statistics: Statistics = "separate",
    ):
        depth = recurrent_layers or 4
        self.windows = self.pools[:depth]
        smallest = [4 + math.prod(axis) for axis in zip(*self.windows)]
        self.input_shape = require(type(self).__name__, shape, [*smallest, 1])

        self.conv = Conv(
            self.input_shape[-1],
            maps,
            (5, 5),
            use_bias=False,  # the normalization that follows would remove it
            kernel_init=nnx.initializers.he_normal(),
            rngs=rngs,
        )
        self.norm = BatchNorm(maps, rngs=rngs)
        layer: dict[str, Any] = {"statistics": statistics, "rngs": rngs}
        if recurrent_layers == 0:
            layer |= {"steps": 0, "feedforward": (3, 3)}
        else:
            layer |= {"steps": steps}
        self.layers = nnx.List([RecurrentConv(maps, maps, **layer) for _ in range(depth)])
        self.classifier = nnx.Linear(maps, num_classes, rngs=rngs)

    def __call__(self, x: jax.Array, *, mask: jax.Array | None = None) -> jax.Array:
        """x [B, H, W, C], mask [B] -> logits [B, K]."""
        x = nnx.relu(self.norm(self.conv(x), mask))
        for window, layer in zip(self.windows, self.layers, strict=True):
            x = layer(max_pool(x, window), mask=mask)
        return self.classifier(x.mean((1, 2)))


class STRCNA(RecurrentNetwork):
    """STRCN-A: the appearance of the moving pixels over time, [P, T, 3] (Table I, left).

    921 pixels are the top 30 % of 64 x 48. Maps: 917 x 26, 229 x 26, 57 x 26, 14 x 6, 7 x 3.
    """

    pools = ((4, 1), (4, 1), (4, 4), (2, 2))

    def __init__(self, *, shape: Sequence[int] = (921, 30, 3), **sizes):
        super().__init__(shape=shape, **sizes)


class STRCNG(RecurrentNetwork):
    """STRCN-G: the flow from onset to apex in px, [H, W, 2] (Table I, right).

    Maps at 300 x 245: 296 x 241, 74 x 60, 18 x 15, 4 x 3, 2 x 1.
    """

    pools = ((4, 4), (4, 4), (4, 4), (2, 2))

    def __init__(self, *, shape: Sequence[int] = (300, 245, 2), **sizes):
        super().__init__(shape=shape, **sizes)
