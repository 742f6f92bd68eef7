"""PSN, the Parallel Spatiotemporal Network (Li et al.): two sub-networks, fused frame by frame."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx

from mer_jax.models.backbones import BACKBONES
from mer_jax.models.sizes import require, scaled
from mer_jax.nn.tpu import TPU, Perception

Streams = Literal["both", "spatial", "temporal", "swapped"]

FUSIONS = {
    "sum": lambda maps: sum(maps[1:], maps[0]),
    "prod": lambda maps: math.prod(maps[1:], start=maps[0]),
    "concat": lambda maps: jnp.concatenate(maps, axis=-1),
}
# the inputs of the spatial and of the temporal sub-network
STREAMS = {
    "both": ("sparse", "gray"),
    "spatial": ("sparse", None),
    "temporal": (None, "gray"),
    "swapped": ("gray", "sparse"),
}
_GRID = 4  # a frame's features are 4 x 4 pixels
_OUT = 4  # maps of a frame for the classifier: 64 numbers


class PSN(nnx.Module):
    """Image features of the sparse frames and recurrent features of the gray ones, frame by frame.

    The spatial sub-network is an image backbone and a dense layer of 4096; the temporal one the
    Temporal Perception Unit over flattened frames and a dense layer of 4096. Both are reshaped to
    4 x 4 x 256, fused, reduced to 4 x 4 x 4 by a 1 x 1 convolution (1,028 weights), concatenated
    over all frames and classified, with dropout before the classifier.

    Decided: ReLU follows each dense layer and the 1 x 1 convolution after the fusion, and all of
    these and the TPU's layers have biases; the paper prints no activations and omits biases "for
    simplicity".

    The inputs are {"sparse": E of the robust PCA, "gray": the frames}, each [B, *shape].

    Args:
      num_classes, rngs: as in `models.create`.
      shape: (T, H, W, C) of either input.
      backbone: "alexnet", "vgg16" or "resnet10" (Table 9).
      fusion: "sum", "prod" or "concat" (Table 9).
      streams: "both", one sub-network alone ("spatial", "temporal"), or "swapped": each with the
        other's input (Fig. 7).
      perception: "computed", "one" (PSN_tp1) or "none" (AlexNet + RNN), see `TPU`.
      pointwise: False replaces the 1 x 1 convolution by a dense layer of 64 (PSN_no_conv; 262,208
        weights, the paper's 64 x 4097).
      hidden: units of the TPU. Decided: 512; the paper prints none.
      unit: see `TPU`. Decided: 255, gray levels (the paper prints none): adjacent frames in [0, 1]
        differ by less than 0.01, at which the temporal sub-network is almost constant and does not
        learn.
      width: multiplies every number of maps and units above.
      dropout: its rate.

    Raises:
      UserError: for a `shape` of another rank, or smaller than the layers need.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        rngs: nnx.Rngs,
        shape: Sequence[int] = (16, 112, 112, 1),
        backbone: str = "alexnet",
        fusion: str = "sum",
        streams: Streams = "both",
        perception: Perception = "computed",
        pointwise: bool = True,
        hidden: int = 512,
        unit: float = 255.0,
        width: float = 1.0,
        dropout: float = 0.5,
    ):
        time, *frame = shape = require("PSN", shape, (1, 32, 32, 1))
        self.shape = shape
        self.fusion = fusion
        self.sees_spatial, self.sees_temporal = STREAMS[streams]
        maps = scaled(256, width)
        dense: dict[str, Any] = {"kernel_init": nnx.initializers.he_normal(), "rngs": rngs}

        nothing: Any = nnx.data(None)
        self.backbone = self.spatial_dense = self.tpu = self.temporal_dense = nothing
        if self.sees_spatial:
            self.backbone = BACKBONES[backbone](frame, width=width, rngs=rngs)
            flat = math.prod(self.backbone.out_shape)
            self.spatial_dense = nnx.Linear(flat, _GRID**2 * maps, **dense)
        if self.sees_temporal:
            hidden = scaled(hidden, width)
            self.tpu = TPU(math.prod(frame), hidden, perception=perception, unit=unit, rngs=rngs)
            self.temporal_dense = nnx.Linear(hidden, _GRID**2 * maps, **dense)

        if streams in ("both", "swapped") and fusion == "concat":
            maps *= 2
        self.pointwise = pointwise
        pixels = 1 if pointwise else _GRID**2  # in one output of the layer
        self.mix = nnx.Linear(pixels * maps, pixels * _OUT, **dense)
        self.dropout = nnx.Dropout(dropout, rngs=rngs)
        self.classifier = nnx.Linear(time * _GRID**2 * _OUT, num_classes, rngs=rngs)

    @property
    def input_shape(self) -> dict[str, tuple[int, ...]]:
        """Shapes of one example; a property: a dict attribute would make the graph unhashable."""
        return {"sparse": self.shape, "gray": self.shape}

    def __call__(self, x: dict[str, jax.Array], *, mask: jax.Array | None = None) -> jax.Array:
        """x {"sparse", "gray"}: [B, T, H, W, C], mask [B] -> logits [B, K]."""
        fused = []
        if self.sees_spatial:
            fused.append(self._spatial(x[self.sees_spatial], mask))
        if self.sees_temporal:
            fused.append(self._temporal(x[self.sees_temporal]))
        x = FUSIONS[self.fusion](fused)  # [B, T, 16, maps]
        if not self.pointwise:
            x = x.reshape(*x.shape[:2], -1)
        x = nnx.relu(self.mix(x))
        return self.classifier(self.dropout(x.reshape(len(x), -1)))

    def _spatial(self, x, mask):
        batch, time = x.shape[:2]
        each = None if mask is None else jnp.repeat(mask, time)
        maps = self.backbone(x.reshape(batch * time, *x.shape[2:]), each)
        features = nnx.relu(self.spatial_dense(maps.reshape(batch * time, -1)))
        return features.reshape(batch, time, _GRID**2, -1)

    def _temporal(self, x):
        y, _ = self.tpu(x.reshape(*x.shape[:2], -1))
        features = nnx.relu(self.temporal_dense(y))
        return features.reshape(*features.shape[:2], _GRID**2, -1)
