"""CapsuleNet for apex frames (Van Quang et al., FG 2019); layers as in the authors' code."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from mer_jax.models.residual import BasicBlock, ConvNorm
from mer_jax.models.sizes import require, scaled
from mer_jax.nn import Conv, pytorch_init

# Values of a primary and of a class capsule (Sabour et al. 2017, section 4); initial scale.
PRIMARY_SIZE, CLASS_SIZE, _WEIGHTS_STD = 8, 16, 0.01
_LEAST_SQUARE = 1e-16  # keeps the gradient of a norm finite at 0


def squash(v: jax.Array) -> jax.Array:
    """v |v| / (1 + |v|^2) along the last axis: the direction of v, with a norm below 1.

    >>> import jax.numpy as jnp
    >>> from mer_jax.models.capsule import squash
    >>> squash(jnp.array([3.0, 4.0])) * 26  # of norm 25 / 26
    Array([15., 20.], dtype=float32)
    """
    norm = jnp.sqrt(jnp.maximum((v * v).sum(-1, keepdims=True), _LEAST_SQUARE))
    return v * (norm / (1 + norm * norm))


class CapsuleNet(nnx.Module):
    """The first three stages of ResNet-18 without its max pool, two 9 x 9 convolutions, capsules.

    224 x 224 x 3 -> 28 x 28 x 256 -> 20 x 20 x 256 -> 6 x 6 x 256, read as I = 1152 primary
    capsules of 8 values -> K class capsules of 16 values by dynamic routing (Sabour et al. 2017).
    13,842,496 parameters for K = 3.

    The outputs are the norms of the class capsules, in [0, 1), which the loss "capsule_margin"
    takes; the largest is the predicted class. They are not logits of a softmax.

    Args:
      num_classes, rngs: as in `models.create`.
      shape: (H, W, C) of one example.
      width: factor of the number of maps of every layer; capsules keep 8 and 16 values.
      routings: iterations of routing, 1 or more; gradients flow through the last one only.

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
        routings: int = 3,
    ):
        # Three strides of 2 divide a side by 8, rounded up; two 9 x 9 kernels need 17 pixels.
        self.input_shape = require("CapsuleNet", shape, (129, 129, 1))
        self.routings = routings
        maps = scaled(64, width)
        self.stem = ConvNorm(self.input_shape[-1], maps, (7, 7), strides=2, padding=3, rngs=rngs)
        blocks = []
        for stage_maps, stage_stride in ((64, 1), (128, 2), (256, 2)):
            for stride in (stage_stride, 1):
                before, maps = maps, scaled(stage_maps, width)
                blocks.append(BasicBlock(before, maps, stride=stride, axes=2, rngs=rngs))
        self.blocks = nnx.List(blocks)
        init = pytorch_init(9 * 9 * maps)
        primary_maps = PRIMARY_SIZE * scaled(32, width)
        self.wide = Conv(maps, maps, (9, 9), rngs=rngs, **init)
        self.primary = Conv(maps, primary_maps, (9, 9), strides=2, rngs=rngs, **init)
        sides = [((-(-n // 8) - 8) - 9) // 2 + 1 for n in self.input_shape[:2]]
        num_primary = sides[0] * sides[1] * primary_maps // PRIMARY_SIZE
        shape = (num_classes, num_primary, CLASS_SIZE, PRIMARY_SIZE)
        self.transformations = nnx.Param(_WEIGHTS_STD * jax.random.normal(rngs.params(), shape))

    def __call__(self, x: jax.Array, *, mask: jax.Array | None = None) -> jax.Array:
        """x [B, H, W, C], mask [B] (0: padding) -> norms [B, K] of the class capsules."""
        x = nnx.relu(self.stem(x, mask))
        for block in self.blocks:
            x = block(x, mask)
        x = self.primary(nnx.relu(self.wide(x)))
        capsules = squash(x.reshape(len(x), -1, PRIMARY_SIZE))  # [B, I, 8]: 8 maps of one pixel
        predictions = jnp.einsum("kidp,bip->bkid", self.transformations[...], capsules)
        v = route(predictions, self.routings)
        return jnp.sqrt(jnp.maximum((v * v).sum(-1), _LEAST_SQUARE))


def route(predictions: jax.Array, routings: int) -> jax.Array:
    """Routing by agreement (Sabour et al. 2017, procedure 1).

    Args:
      predictions: [B, K, I, D], the vector that a primary capsule predicts of a class capsule.
      routings: iterations; only the last one is differentiated.

    Returns:
      [B, K, D], the class capsules. Coupling coefficients are a softmax over classes.
    """
    detached = lax.stop_gradient(predictions)
    coupling_logits = jnp.zeros(predictions.shape[:3], predictions.dtype)
    for _ in range(routings - 1):
        v = _class_capsules(coupling_logits, detached)
        coupling_logits = coupling_logits + jnp.einsum("bkd,bkid->bki", v, detached)
    return _class_capsules(coupling_logits, predictions)


def _class_capsules(coupling_logits: jax.Array, predictions: jax.Array) -> jax.Array:
    """[B, K, I], [B, K, I, D] -> [B, K, D]."""
    couplings = jax.nn.softmax(coupling_logits, 1)
    return squash(jnp.einsum("bki,bkid->bkd", couplings, predictions))
