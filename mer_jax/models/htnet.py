"""HTNet: a hierarchy of channel networks over flow maps (Wang et al. 2024, authors' code)."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx

from mer_jax.errors import UserError
from mer_jax.models.sizes import require
from mer_jax.nn import Conv, LayerNorm, linear, max_pool, pytorch_init


class Block(nnx.Module):
    """Attention over one token, then two dense layers; each behind a norm and beside its input.

    The softmax of one token is 1 whatever its query and key are, so that attention is its value.
    """

    def __init__(self, features: int, values: int, *, rngs: nnx.Rngs):
        self.norms = nnx.List([LayerNorm(features) for _ in range(2)])
        self.value = linear(features, values, use_bias=False, rngs=rngs)
        self.out = linear(values, features, rngs=rngs)
        self.wide = linear(features, 4 * features, rngs=rngs)
        self.narrow = linear(4 * features, features, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """x [B, H, W, C] -> [B, H, W, C]."""
        x = x + self.out(self.value(self.norms[0](x)))
        return x + self.narrow(jax.nn.gelu(self.wide(self.norms[1](x)), approximate=False))


class Merge(nnx.Module):
    """A 3 x 3 convolution to twice the channels, their norm, and a max pool of stride 2."""

    def __init__(self, features: int, *, rngs: nnx.Rngs):
        init = pytorch_init(9 * features)
        self.conv = Conv(features, 2 * features, (3, 3), padding=1, rngs=rngs, **init)
        self.norm = LayerNorm(2 * features)

    def __call__(self, x: jax.Array) -> jax.Array:
        """x [B, H, W, C] -> [B, H / 2, W / 2, 2 C]."""
        return max_pool(self.norm(self.conv(x)), 3, strides=2, padding=1)


class HTNet(nnx.Module):
    """4 x 4 patches, blocks of 256 channels on each; merged to 2 x 2 of 512, and to one of 1024.

    As published each level attends within blocks of one token (4 x 4 patches in 4 x 4 blocks, 2 x 2
    in 2 x 2, 1 in 1), where queries and keys change nothing: they are left out here, with their
    22,195,200 of the 139,582,982 published parameters. What is left is a channel network with two
    convolutions, of 117,387,782 for three classes.

    Args:
      num_classes, rngs: as in `models.create`.
      shape: (H, W, C) of one example; H and W multiples of the patches along them.
      dim: channels of the first level; each further one has twice as many.
      heads: of the first level; each further one has twice as many. They only round the number of
        values down to a multiple.
      depths: blocks of each level.

    Raises:
      UserError: for a `shape` that the patches do not divide, or more heads than channels.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        rngs: nnx.Rngs,
        shape: Sequence[int] = (28, 28, 3),
        dim: int = 256,
        heads: int = 3,
        depths: Sequence[int] = (2, 2, 10),
    ):
        self.side = 2 ** (len(depths) - 1)
        self.input_shape = require("HTNet", shape, (self.side, self.side, 1))
        if any(n % self.side for n in self.input_shape[:2]):
            raise UserError(f"HTNet needs sides that are multiples of {self.side}, not {shape}")
        if heads > dim:
            raise UserError(f"HTNet cannot divide {dim} channels among {heads} heads")
        self.embed = linear(math.prod(self.input_shape) // self.side**2, dim, rngs=rngs)
        self.positions = nnx.Param(jax.random.normal(rngs.params(), (len(depths),)))
        values = dim // heads * heads
        self.levels = nnx.List(
            nnx.List([Block(dim << level, values << level, rngs=rngs) for _ in range(depth)])
            for level, depth in enumerate(depths)
        )
        self.merges = nnx.List([Merge(dim << n, rngs=rngs) for n in range(len(depths) - 1)])
        last = dim << (len(depths) - 1)
        self.norm = LayerNorm(last)
        self.classifier = linear(last, num_classes, rngs=rngs)

    def __call__(self, x: jax.Array, *, mask: jax.Array | None = None) -> jax.Array:
        """x [B, H, W, C], mask [B] -> logits [B, K]."""
        rows, columns = (n // self.side for n in x.shape[1:3])
        x = x.reshape(len(x), self.side, rows, self.side, columns, x.shape[-1])
        x = jnp.moveaxis(x, 3, 2).reshape(len(x), self.side, self.side, -1)
        x = self.embed(x)
        for number, blocks in enumerate(self.levels):
            x = x + self.positions[number].astype(x.dtype)
            for block in blocks:
                x = block(x)
            if number < len(self.merges):
                x = self.merges[number](x)
        return self.classifier(self.norm(x).mean((1, 2)))
