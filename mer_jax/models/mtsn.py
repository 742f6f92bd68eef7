"""MTSN: a frame's flow over two spans in one network (Liong, Liong, See & Chan 2022).

"MTSN: A Multi-Temporal Stream Network for Spotting Facial Macro- and Micro-Expression with Hard and
Soft Pseudo-labels", FME 2022; genbing99/MTSN-Spot-ME-MaE.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx

from mer_jax.errors import UserError
from mer_jax.models.sizes import require
from mer_jax.nn import GLOROT, Conv, conv_relu_pool, max_pool


class MTSN(nnx.Module):
    """Per span, with the same weights: a 5 x 5 convolution and ReLU of each channel, pool 3,
    concatenated, pool 2; then 512 -> 128 -> 1 with ReLU and sigmoid. 66,209 parameters for two
    spans of 28 x 28 x 3.

    The output is the spotting score in (0, 1), trained by the squared error against
    `spotting.targets.soft_labels`. Nothing differs in training.

    Args:
      num_classes, rngs: as in `models.create`; the paper's has one output.
      shape: (H, W, C) of one example: u, v and strain of each span, one span after the other (half
        a micro-expression and 1 frame, in the paper).
      maps: feature maps of each stream: of u, v and strain.
      hidden: width of the dense layer.

    Raises:
      UserError: for a `shape` of another rank, smaller than the layers need, or with channels that
        are no multiple of three.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        rngs: nnx.Rngs,
        shape: Sequence[int] = (28, 28, 6),
        maps: Sequence[int] = (3, 5, 8),
        hidden: int = 128,
    ):
        self.input_shape = height, width, channels = require("MTSN", shape, (6, 6, 3))
        spans, rest = divmod(channels, len(maps))
        if rest:
            raise UserError(f"MTSN takes u, v and strain of each span; examples have {channels}")
        self.convs = nnx.List(
            [Conv(1, count, (5, 5), padding=2, rngs=rngs, **GLOROT) for count in maps]
        )
        flat = spans * sum(maps) * (height // 6) * (width // 6)
        self.dense = nnx.Linear(flat, hidden, rngs=rngs, **GLOROT)
        self.classifier = nnx.Linear(hidden, num_classes, rngs=rngs, **GLOROT)

    def __call__(self, x: jax.Array, *, mask: jax.Array | None = None) -> jax.Array:
        """x [B, H, W, C] -> scores [B, K]; `mask` is not used."""
        del mask
        spans = jnp.split(x, x.shape[-1] // len(self.convs), -1)
        flows = jnp.concatenate(spans, 0)
        streams = [
            conv_relu_pool(flows[..., n : n + 1], conv.kernel[...], conv.bias[...], 3, padding=2)
            for n, conv in enumerate(self.convs)
        ]
        maps = max_pool(jnp.concatenate(streams, -1), 2)
        maps = jnp.reshape(maps, (len(spans), len(x), -1))
        hidden = nnx.relu(self.dense(jnp.concatenate(list(maps), -1)))
        return nnx.sigmoid(self.classifier(hidden))
