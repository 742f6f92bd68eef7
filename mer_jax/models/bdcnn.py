"""BDCNN: convolutions within blocks of four flow pictures (Chen et al. 2022, authors' code)."""

import itertools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx

from mer_jax.errors import UserError
from mer_jax.models.sizes import by, require, scaled
from mer_jax.nn import Conv, linear, max_pool, pytorch_init

# Maps of the 1 x 1 convolution, by the side of a block; as in the authors' table of sizes.
FUSED = {8: 512, 10: 512, 20: 256, 30: 128, 40: 32}


class BDCNN(nnx.Module):
    """Each block of each picture: 3 x 3 convolution of 8 maps, ReLU, pool; all blocks fused.

    120 x 120 in blocks of 10: 4 x 144 x 8 maps of 4 x 4, a 1 x 1 convolution to 512 of them, dense
    layers of 1024 and 128, ReLU behind each. 10,881,251 parameters for three classes. The
    convolution is the same for all blocks and pictures, and pads each block with zeros.

    The authors' module also names a CBAM that its file does not define and nothing calls. Their
    loss augments features implicitly (ISDA), and their fourth picture, "vis", is not described:
    neither is here.

    Args:
      num_classes, rngs: as in `models.create`.
      shape: (H, W, C) of one example: the pictures' channels one after another.
      pictures: P; C is a multiple of it.
      block: side of a block, px; one of `FUSED`.
      width: multiplies the number of maps and units of every layer.

    Raises:
      UserError: for a `shape` that the blocks or the pictures do not divide.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        rngs: nnx.Rngs,
        shape: Sequence[int] = (120, 120, 12),
        pictures: int = 4,
        block: int = 10,
        width: float = 1.0,
    ):
        self.input_shape = require("BDCNN", shape, (block, block, pictures))
        self.pictures, self.block = pictures, block
        height, columns, channels = self.input_shape
        if height % block or columns % block or channels % pictures:
            raise UserError(
                f"BDCNN needs sides that are multiples of {block} and channels that are one of "
                f"{pictures}, not {by(self.input_shape)}"
            )
        maps, fused = scaled(8, width), scaled(FUSED[block], width)
        inputs = channels // pictures
        self.conv = Conv(inputs, maps, (3, 3), padding=1, rngs=rngs, **pytorch_init(9 * inputs))
        joined = pictures * (height // block) * (columns // block) * maps
        self.fuse = linear(joined, fused, rngs=rngs)
        flat = fused * ((block - 1) // 3 + 1) ** 2  # pool 3 with padding 1
        sizes = (flat, scaled(1024, width), scaled(128, width))
        self.dense = nnx.List([linear(a, b, rngs=rngs) for a, b in itertools.pairwise(sizes)])
        self.classifier = linear(sizes[-1], num_classes, rngs=rngs)

    def __call__(self, x: jax.Array, *, mask: jax.Array | None = None) -> jax.Array:
        """x [B, H, W, C], mask [B] -> logits [B, K]."""
        batch, height, columns, _ = x.shape
        rows, across, side = height // self.block, columns // self.block, self.block
        x = x.reshape(batch, rows, side, across, side, self.pictures, -1)
        blocks = x.transpose(0, 5, 1, 3, 2, 4, 6).reshape(-1, side, side, x.shape[-1])
        maps = max_pool(nnx.relu(self.conv(blocks)), 3, padding=1)
        pooled = maps.shape[1:3]
        # The channels of the fused maps: picture by picture, block by block, map by map.
        x = jnp.moveaxis(maps.reshape(batch, -1, *pooled, maps.shape[-1]), 1, 3)
        x = nnx.relu(self.fuse(x.reshape(batch, *pooled, -1)))
        x = x.reshape(batch, math.prod(x.shape[1:]))
        for layer in self.dense:
            x = nnx.relu(layer(x))
        return self.classifier(x)
