"""SOFTNet: three shallow streams that score a frame of a long video (Liong et al. 2021)."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx

from mer_jax.errors import UserError
from mer_jax.models.sizes import require
from mer_jax.nn import GLOROT, Conv, conv_relu_pool, max_pool


class SOFTNet(nnx.Module):
    """Streams over u, v and strain, of 3, 5 and 8 maps: 5 x 5 convolution, ReLU, pool over 3;
    concatenated, pooled over 2, a layer of 400 units and one linear output. 314,817 parameters for
    42 x 42 x 3 and one output (Liong, See & Wong, "Shallow optical flow three-stream
    CNN for macro- and micro-expression spotting from long videos", ICIP 2021; authors' code).

    Args:
      num_classes, rngs: as in `models.create`; num_classes is the number of outputs.
      shape: (H, W, C) of one example: u, v and strain of C / 3 flows, one after the other.
      maps: feature maps of each stream.
      hidden: units of the layer before the output.

    Raises:
      UserError: for a `shape` of another rank or smaller than the layers need, or a C that is no
        multiple of 3.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        rngs: nnx.Rngs,
        shape: Sequence[int] = (42, 42, 3),
        maps: Sequence[int] = (3, 5, 8),
        hidden: int = 400,
    ):
        self.input_shape = height, width, channels = require("SOFTNet", shape, (6, 6, 3))
        if channels % 3:
            raise UserError(
                f"SOFTNet takes u, v and strain of each flow; examples have {channels} channels"
            )
        self.streams = nnx.List(
            Conv(channels // 3, out, (5, 5), padding=2, rngs=rngs, **GLOROT) for out in maps
        )
        flat = sum(maps) * (height // 6) * (width // 6)
        self.dense = nnx.Linear(flat, hidden, rngs=rngs, **GLOROT)
        self.classifier = nnx.Linear(hidden, num_classes, rngs=rngs, **GLOROT)

    def __call__(self, x: jax.Array, *, mask: jax.Array | None = None) -> jax.Array:
        """x [B, H, W, C], mask [B] -> scores [B, K]."""
        del mask
        maps = [
            conv_relu_pool(x[..., at::3], conv.kernel[...], conv.bias[...], 3, padding=2)
            for at, conv in enumerate(self.streams)
        ]
        x = max_pool(jnp.concatenate(maps, axis=-1), 2)
        return self.classifier(nnx.relu(self.dense(x.reshape(len(x), -1))))
