"""The image CNN of STRCN's Table II: VGG16 with VGGFace's classifier, frame by frame."""

import math
from collections.abc import Sequence
from typing import Any

import jax
from flax import nnx

from mer_jax.models.backbones import VGG16
from mer_jax.models.sizes import require, scaled


class ImageCNN(nnx.Module):
    """VGG16 on one frame, dense 4096, 4096, K with dropout (Parkhi et al. 2015).

    A clip's class is the majority of its frames' predictions (outside the network).
    134,276,932 parameters for 224 x 224 x 3 and four classes.

    Args:
      num_classes, rngs: as in `models.create`.
      shape: (H, W, C) of one frame.
      width: multiplies the number of maps and of hidden units of every layer.
      dropout: its rate.

    Raises:
      UserError: for a `shape` of another rank, or smaller than the layers need.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        rngs: nnx.Rngs,
        shape: Sequence[int] = (224, 224, 3),
        width: float = 1.0,
        dropout: float = 0.5,
    ):
        self.input_shape = require("the image CNN", shape, (32, 32, 1))
        self.backbone = VGG16(self.input_shape, width=width, rngs=rngs)
        hidden = scaled(4096, width)
        ins = (math.prod(self.backbone.out_shape), hidden)
        dense: dict[str, Any] = {"kernel_init": nnx.initializers.he_normal(), "rngs": rngs}
        self.dense = nnx.List([nnx.Linear(n, hidden, **dense) for n in ins])
        self.dropouts = nnx.List([nnx.Dropout(dropout, rngs=rngs) for _ in ins])
        self.classifier = nnx.Linear(hidden, num_classes, rngs=rngs)

    def __call__(self, x: jax.Array, *, mask: jax.Array | None = None) -> jax.Array:
        """x [B, H, W, C] -> logits [B, K]; `mask` is not used."""
        x = self.backbone(x, mask).reshape(len(x), -1)
        for dense, dropout in zip(self.dense, self.dropouts, strict=True):
            x = dropout(nnx.relu(dense(x)))
        return self.classifier(x)
