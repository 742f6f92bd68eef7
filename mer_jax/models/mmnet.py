"""MMNet: attention on the difference of apex and onset, positions from the onset (Li et al. 2022,
authors' code)."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from mer_jax.errors import UserError
from mer_jax.models.residual import ConvNorm
from mer_jax.models.sizes import require, scaled
from mer_jax.nn import LayerNorm, linear, max_pool, pytorch_init


class CABlock(nnx.Module):
    """Continuous attention: a residual block, times an attention map that it hands on.

    The map is the sigmoid of a normalized 1 x 1 convolution of the mean and the maximum over the
    channels, times that of the block before, which is pooled to the same size.
    """

    def __init__(self, inputs: int, features: int, *, stride: int, rngs: nnx.Rngs):
        self.first = ConvNorm(inputs, features, (3, 3), strides=stride, padding=1, rngs=rngs)
        self.second = ConvNorm(features, features, (1, 1), rngs=rngs)
        same = stride == 1 and inputs == features
        self.shortcut = (
            None if same else ConvNorm(inputs, features, (1, 1), strides=stride, rngs=rngs)
        )
        self.attention = ConvNorm(2, 1, (1, 1), rngs=rngs)

    def __call__(
        self, x: jax.Array, before: jax.Array | None, mask: jax.Array | None
    ) -> tuple[jax.Array, jax.Array]:
        """x [B, H, W, C], before [B, H', W', 1] -> [B, H', W', F] and its map [B, H', W', 1]."""
        y = self.second(nnx.relu(self.first(x, mask)), mask)
        y = nnx.relu(y + (x if self.shortcut is None else self.shortcut(x, mask)))
        # By index: the gradient of a maximum compares, and XLA can compute y anew for that.
        top = jnp.take_along_axis(y, jnp.argmax(y, -1, keepdims=True), -1)
        seen = jnp.concatenate([y.mean(-1, keepdims=True), top], -1)
        attention = jax.nn.sigmoid(self.attention(seen, mask))
        attention = attention if before is None else attention * before
        return y * attention, attention


class EncoderBlock(nnx.Module):
    """A block of a vision transformer: attention and two dense layers, each beside its input.

    drop_path: the rate at which a branch of a sample is left out in training.
    """

    def __init__(self, features: int, heads: int, *, drop_path: float, rngs: nnx.Rngs):
        init: dict[str, Any] = {"kernel_init": nnx.initializers.normal(0.02)}
        init["rngs"] = rngs
        self.norms = nnx.List([LayerNorm(features, epsilon=1e-6) for _ in range(2)])
        self.heads = heads
        self.qkv = nnx.Linear(features, 3 * features, **init)
        self.out = nnx.Linear(features, features, **init)
        self.wide = nnx.Linear(features, 4 * features, **init)
        self.narrow = nnx.Linear(4 * features, features, **init)
        self.drop_path = nnx.Dropout(drop_path, broadcast_dims=(1, 2), rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """x [B, N, C] -> [B, N, C]."""
        batch, count, features = x.shape
        qkv = self.qkv(self.norms[0](x)).reshape(batch, count, 3, self.heads, -1)
        query, key, value = jnp.moveaxis(qkv, 2, 0)
        scores = jnp.einsum("bqhd,bkhd->bhqk", query, key) / math.sqrt(query.shape[-1])
        mixed = jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(scores), value)
        x = x + self.drop_path(self.out(mixed.reshape(batch, count, features)))
        hidden = jax.nn.gelu(self.wide(self.norms[1](x)), approximate=False)
        return x + self.drop_path(self.narrow(hidden))


class MMNet(nnx.Module):
    """Four `CABlock`s on apex minus onset, plus a transformer of the onset at the same size.

    224 x 224 -> 112 x 112 x 128 -> 14 x 14 x 512, flattened. 9,438,841 parameters for five classes,
    without the tensors that the authors' file makes and never uses (class token, heads, masks). The
    file for three classes asks for two groups of three channels, which PyTorch refuses, and has a
    transformer of three narrower blocks: here it is the one for five. The onset is interpolated
    linearly without antialiasing, as torchvision's `Resize` did of tensors then.

    Args:
      num_classes, rngs: as in `models.create`.
      shape: (2, H, W, 3): onset and apex, standardized by ImageNet's mean and deviation.
      width: multiplies the number of maps of every layer.
      heads, depth: of the transformer, depth its blocks.
      drop_path: the rate of its last block; the first has none.

    Raises:
      UserError: for a `shape` of another rank, or maps that the heads do not divide.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        rngs: nnx.Rngs,
        shape: Sequence[int] = (2, 224, 224, 3),
        width: float = 1.0,
        heads: int = 4,
        depth: int = 2,
        drop_path: float = 0.0,
    ):
        self.input_shape = require("MMNet", shape, (2, 16, 16, 1))
        frames, height, columns, channels = self.input_shape
        if frames != 2:
            raise UserError(f"MMNet takes two frames, the onset and the apex, not {frames}")
        action, maps = scaled(180, width), scaled(128, width)
        init = {"kernel_init": pytorch_init(9 * channels)["kernel_init"]}
        self.action = ConvNorm(channels, action, (3, 3), strides=2, padding=1, rngs=rngs, **init)
        self.stem = ConvNorm(action, maps, (3, 3), padding=1, rngs=rngs)
        blocks = []
        for wide, stride in ((128, 1), (128, 2), (256, 2), (512, 2)):
            before, maps = maps, scaled(wide, width)
            blocks.append(CABlock(before, maps, stride=stride, rngs=rngs))
        if maps % heads:
            raise UserError(f"MMNet cannot divide {maps} maps among {heads} heads")
        self.blocks = nnx.List(blocks)
        self.size = (-(-height // 16), -(-columns // 16))
        tokens = math.prod(self.size)
        self.embed = linear(channels, maps, rngs=rngs)
        self.positions = nnx.Param(nnx.initializers.normal(0.02)(rngs.params(), (tokens, maps)))
        rates = [drop_path * n / max(1, depth - 1) for n in range(depth)]
        self.encoder = nnx.List(
            [EncoderBlock(maps, heads, drop_path=rate, rngs=rngs) for rate in rates]
        )
        self.norm = LayerNorm(maps, epsilon=1e-6)
        flat = tokens * maps
        self.classifier = linear(flat, num_classes, rngs=rngs)

    def __call__(self, x: jax.Array, *, mask: jax.Array | None = None) -> jax.Array:
        """x [B, 2, H, W, C], mask [B] -> logits [B, K]."""
        onset, apex = x[:, 0], x[:, 1]
        small = (len(x), *self.size, x.shape[-1])
        tokens = jax.image.resize(onset, small, "linear", antialias=False)
        tokens = self.embed(tokens).reshape(len(x), -1, self.positions.shape[-1])
        tokens = tokens + self.positions[...].astype(tokens.dtype)[None]
        for encoder in self.encoder:
            tokens = encoder(tokens)
        y = nnx.relu(self.stem(nnx.relu(self.action(apex - onset, mask)), mask))
        attention = None
        for block in self.blocks:
            if attention is not None:
                attention = max_pool(attention, 3, strides=2, padding=1)
            y, attention = block(y, attention, mask)
        y = y + self.norm(tokens).reshape(y.shape)
        return self.classifier(y.reshape(len(y), -1))
