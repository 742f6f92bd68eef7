"""MEAN: spotting and recognition by one shallow trunk (Liong, See & Chan 2023, authors' code).

Signal Processing: Image Communication 110, "Spot-then-recognize: a micro-expression analysis
network for seamless evaluation of long videos"; genbing99/MEAN_Spot-then-recognize.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx

from mer_jax.errors import UserError
from mer_jax.models.sizes import require
from mer_jax.nn import GLOROT, BatchNorm, Conv, conv_relu_norm_pool, max_pool


class Frozen(nnx.Variable):
    """A weight that training does not change; it comes from another run (`train.init_from`)."""


class _FixedNorm(BatchNorm):
    """Batch normalization by its running statistics, in training, too."""

    use_running_average = property(lambda self: True, lambda self, value: None)


class Trunk(nnx.Module):
    """Per channel a 5 x 5 convolution and ReLU; then normalization, pool 3 and dropout, in that
    order; the maps of all channels concatenated."""

    def __init__(self, maps: Sequence[int], dropout: float, *, frozen: bool, rngs: nnx.Rngs):
        self.convs = nnx.List(
            [Conv(1, count, (5, 5), padding=2, rngs=rngs, **GLOROT) for count in maps]
        )
        norm = _FixedNorm if frozen else BatchNorm
        self.norm = norm(
            sum(maps), momentum=0.01, epsilon=1e-3, use_running_average=frozen, rngs=rngs
        )
        self.dropout = nnx.Dropout(dropout, rngs=rngs)
        for layer in (*self.convs, self.norm) if frozen else ():
            for name, weight in list(vars(layer).items()):
                if isinstance(weight, nnx.Param):
                    setattr(layer, name, Frozen(weight[...]))

    def __call__(self, x: jax.Array, mask: jax.Array | None) -> jax.Array:
        """x [B, H, W, C] -> [B, ceil(H / 3), ceil(W / 3), sum of maps]."""
        dtype = x.dtype
        x = x.astype(self.convs[0].kernel[...].dtype)  # frozen weights are float32 in any precision
        x = conv_relu_norm_pool(self.convs, self.norm, x, mask, 3, padding="SAME")
        return self.dropout(x.astype(dtype))


class MEANSpotting(nnx.Module):
    """Trunk, 5 x 5 convolution of 8 with ReLU, pool 2, dropout, one linear output: 3,593
    parameters for 42 x 42 x 3.

    The output is the spotting score of the pair of frames, trained by the squared error against 0
    and 1 in the paper. In training the trunk normalizes by the batch (epsilon 1e-3; the running
    statistics move by 0.01) and both dropouts are active. The authors' loss adds 0.001 |w|^2 of the
    trunk's kernels and 0.1 |w|^2 of the last convolution's kernel; networks have no loss.

    Args:
      num_classes, rngs: as in `models.create`; the paper's spotting has one output.
      shape: (H, W, C) of one example: u, v and strain, each scaled to [0, 1], the region of the
        brows above that of the mouth.
      maps: feature maps of each channel's stream.
      filters: of the last convolution.
      dropout: rate behind the trunk.
      head_dropout: rate in front of the output.

    Raises:
      UserError: for a `shape` of another rank or with another number of channels than `maps`.
    """

    frozen_trunk = False

    def __init__(
        self,
        *,
        num_classes: int,
        rngs: nnx.Rngs,
        shape: Sequence[int] = (42, 42, 3),
        maps: Sequence[int] = (3, 3, 8),
        filters: int = 8,
        dropout: float = 0.3,
        head_dropout: float = 0.2,
    ):
        self.input_shape = height, width, channels = require("MEAN", shape, (1, 1, 1))
        if channels != len(maps):
            raise UserError(f"MEAN takes u, v and strain; examples have {channels} channels")
        self.trunk = Trunk(maps, dropout, frozen=self.frozen_trunk, rngs=rngs)
        self.conv = Conv(sum(maps), filters, (5, 5), padding=2, rngs=rngs, **GLOROT)
        self.dropout = nnx.Dropout(head_dropout, rngs=rngs)
        flat = filters * -(-height // 6) * -(-width // 6)  # pools 3 and 2, both "SAME"
        self.classifier = nnx.Linear(flat, num_classes, rngs=rngs, **GLOROT)

    def __call__(self, x: jax.Array, *, mask: jax.Array | None = None) -> jax.Array:
        """x [B, H, W, C], mask [B] -> [B, K]."""
        x = max_pool(nnx.relu(self.conv(self.trunk(x, mask))), 2, padding="SAME")
        return self.classifier(self.dropout(jnp.reshape(x, (len(x), -1))))


class MEANRecognition(MEANSpotting):
    """The spotting network with a frozen trunk, a new last convolution and K outputs: 3,987
    trainable parameters for 42 x 42 x 3 and three classes, and 392 frozen ones.

    Give the trunk by `train.init_from`, a run of `mean_spotting`. In training the trunk normalizes
    by its running statistics, which do not move; both dropouts are active, as in the authors' code.
    The examples are flow from onset to apex. Options are those of `MEANSpotting`.
    """

    frozen_trunk = True
