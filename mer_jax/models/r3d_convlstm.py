"""R3D-ConvLSTM: a 3-D ResNet-18 and an auto-encoder of convolutional LSTMs (Islam et al.)."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from mer_jax.errors import UserError
from mer_jax.models.residual import BasicBlock, ConvNorm
from mer_jax.models.sizes import require, scaled
from mer_jax.nn import Conv, adaptive_avg_pool
from mer_jax.nn.conv_lstm import ConvLSTM, State

# Mean and standard deviation of Kinetics-400's RGB in [0, 1], with which torchvision trained.
_KINETICS_MEAN = np.array([[[[[0.43216, 0.394666, 0.37645]]]]], np.float32)
_KINETICS_STD = np.array([[[[[0.22803, 0.22145, 0.216989]]]]], np.float32)


class R3D18(nnx.Module):
    """The 3-D ResNet-18 of Tran et al. 2018, tensor for tensor torchvision's, without classifier.

    12 x 64 x 64 x 3 becomes 2 x 4 x 4 x 512; 33,166,272 parameters.

    Args:
      width: multiplies the maps of every layer.
      rngs: random streams of the initializers.
    """

    def __init__(self, *, width: float = 1.0, rngs: nnx.Rngs):
        maps = scaled(64, width)
        stem: dict[str, Any] = {"strides": (1, 2, 2), "padding": (1, 3, 3)}
        self.stem = ConvNorm(3, maps, (3, 7, 7), **stem, rngs=rngs)
        blocks = []
        for wide, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
            before, maps = maps, scaled(wide, width)
            blocks.append(BasicBlock(before, maps, stride=stride, axes=3, rngs=rngs))
            blocks.append(BasicBlock(maps, maps, stride=1, axes=3, rngs=rngs))
        self.blocks = nnx.List(blocks)
        self.features = maps

    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        """x [B, T, H, W, 3], mask [B] -> [B, T / 8, H / 16, W / 16, features], rounded up."""
        x = nnx.relu(self.stem(x, mask))
        for block in self.blocks:
            x = block(x, mask)
        return x


class R3DConvLSTM(nnx.Module):
    """`R3D18`, a 2-1-2 auto-encoder of `ConvLSTM`s, a 1 x 3 x 3 convolution and the average.

    Two encoder cells read the features over time; the last h of the second one is the code. Two
    decoder cells start from zero states; their input is the code, then the previous output of the
    second one, for as many steps as the features have. Their maps become one map for each class,
    whose average is the logit. The paper's "structural regulariser" is this adaptive average pool
    instead of a dense layer: it adds no term to the loss.

    Decided: the h of the second decoder cell is classified; the paper stacks an h_3 and calls that
    of the second encoder cell h_2, so that h_3 would be the first decoder cell's.

    Decided, where the paper gives no value: cells of 100 maps (37,552,975 parameters for three
    classes are its "about 37.6 million"), and the input is standardized by Kinetics-400's mean and
    deviation, as the pre-trained backbone expects.

    Args:
      num_classes: K.
      rngs: random streams of the initializers.
      shape: (T, H, W, C) of one clip in [0, 1]; C is 3, or 1 (gray, repeated three times).
      cells: maps of each of the four cells.
      width: multiplies the maps of the backbone and of the cells.

    Raises:
      UserError: for a shape of another rank, an empty one, or other channels.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        rngs: nnx.Rngs,
        shape: Sequence[int] = (12, 64, 64, 3),
        cells: int = 100,
        width: float = 1.0,
    ):
        self.input_shape = require("R3D-ConvLSTM", shape, (1, 1, 1, 1))
        _, height, columns, channels = self.input_shape
        if channels not in (1, 3):
            raise UserError(f"R3D-ConvLSTM takes clips of 1 or 3 channels, not {channels}")
        maps = scaled(cells, width)
        self.backbone = R3D18(width=width, rngs=rngs)
        size = (math.ceil(height / 16), math.ceil(columns / 16))
        self.encoder = nnx.List(
            [ConvLSTM(n, maps, size=size, rngs=rngs) for n in (self.backbone.features, maps)]
        )
        self.decoder = nnx.List([ConvLSTM(maps, maps, size=size, rngs=rngs) for _ in range(2)])
        self.head = Conv(maps, num_classes, (1, 3, 3), padding=(0, 1, 1), rngs=rngs)

    def __call__(self, x: jax.Array, *, mask: jax.Array | None = None) -> jax.Array:
        """x [B, T, H, W, C], mask [B] -> logits [B, K]."""
        return self.classify(
            self.backbone(
                (x - _KINETICS_MEAN.astype(x.dtype)) / _KINETICS_STD.astype(x.dtype), mask
            )
        )

    def classify(self, features: jax.Array) -> jax.Array:
        """Features [B, T, H, W, F] -> logits [B, K]."""
        for cell in self.encoder:
            features = cell(features)
        maps = self.head(self.decode(features[:, -1], steps=features.shape[1]))
        return adaptive_avg_pool(maps, 1).reshape(len(maps), -1)

    def decode(self, code: jax.Array, *, steps: int) -> jax.Array:
        """The code [B, H, W, F] -> the second decoder cell's h [B, steps, H, W, F]."""
        states: list[State | None] = [None] * len(self.decoder)
        outputs, x = [], code
        for _ in range(steps):
            for number, cell in enumerate(self.decoder):
                projected = cell.input(x)
                before = states[number] or cell.initial_state(projected)
                states[number] = state = cell.step(before, projected)
                x = state.h
            outputs.append(x)
        return jnp.stack(outputs, axis=1)
