"""CapsuleNet for apex frames (Van Quang et al. 2019), with the layers of the authors' code."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from mer_jax.models.residual import BasicBlock, ConvNorm
from mer_jax.models.sizes import require, scaled
from mer_jax.nn import Conv, pytorch_init

PRIMARY, DIGIT = 8, 16  # length of a primary and of a class capsule


def squash(v: jax.Array) -> jax.Array:
    """v |v| / (1 + |v|^2) along the last axis: the direction of v, with a length below 1.

    >>> import jax.numpy as jnp
    >>> from mer_jax.models.capsule import squash
    >>> squash(jnp.array([3.0, 4.0])) * 26  # length 25 / 26
    Array([15., 20.], dtype=float32)
    """
    norm = jnp.sqrt(jnp.maximum((v * v).sum(-1, keepdims=True), 1e-16))
    return v * (norm / (1 + norm * norm))


class CapsuleNet(nnx.Module):
    """ResNet-18 up to its third stage without its pool, two 9 x 9 convolutions, class capsules.

    224 x 224 x 3 -> 28 x 28 x 256 -> 20 x 20 x 256 -> 6 x 6 x 256 = 1152 capsules of 8 -> K of 16
    by dynamic routing (Sabour et al. 2017). 13,842,496 parameters for three classes.

    The outputs are the lengths of the class capsules, in [0, 1), the input of the margin loss; the
    longest one is the predicted class, but they are no logits of a softmax.

    Args:
      num_classes, rngs: as in `models.create`.
      shape: (H, W, C) of one example.
      width: multiplies the number of maps of every layer.
      routings: rounds of routing; gradients flow through the last one only.

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
        # behind three strides of 2 the two 9 x 9 kernels need 17 pixels
        self.input_shape = require("CapsuleNet", shape, (129, 129, 1))
        self.routings = routings
        maps = scaled(64, width)
        self.stem = ConvNorm(self.input_shape[-1], maps, (7, 7), strides=2, padding=3, rngs=rngs)
        blocks = []
        for stage, stride in ((64, 1), (128, 2), (256, 2)):
            for step in (stride, 1):
                before, maps = maps, scaled(stage, width)
                blocks.append(BasicBlock(before, maps, stride=step, axes=2, rngs=rngs))
        self.blocks = nnx.List(blocks)
        init = pytorch_init(81 * maps)
        capsules = PRIMARY * scaled(32, width)
        self.wide = Conv(maps, maps, (9, 9), rngs=rngs, **init)
        self.primary = Conv(maps, capsules, (9, 9), strides=2, rngs=rngs, **init)
        sides = [((-(-n // 8) - 8) - 9) // 2 + 1 for n in self.input_shape[:2]]
        count = sides[0] * sides[1] * capsules // PRIMARY
        weights = 0.01 * jax.random.normal(rngs.params(), (num_classes, count, DIGIT, PRIMARY))
        self.transformations = nnx.Param(weights)

    def __call__(self, x: jax.Array, *, mask: jax.Array | None = None) -> jax.Array:
        """x [B, H, W, C], mask [B] -> lengths [B, K] of the class capsules."""
        x = nnx.relu(self.stem(x, mask))
        for block in self.blocks:
            x = block(x, mask)
        x = self.primary(nnx.relu(self.wide(x)))
        capsules = squash(x.reshape(len(x), -1, PRIMARY))
        predictions = jnp.einsum("kidp,bip->bkid", self.transformations[...], capsules)
        v = route(predictions, self.routings)
        return jnp.sqrt(jnp.maximum((v * v).sum(-1), 1e-16))


def route(predictions: jax.Array, routings: int) -> jax.Array:
    """Routing by agreement (Sabour et al. 2017, procedure 1).

    Args:
      predictions: [B, K, I, D], the prediction of each class capsule by each primary capsule.
      routings: rounds; only the last one is differentiated.

    Returns:
      [B, K, D], the class capsules. Coupling coefficients are a softmax over classes.
    """
    fixed = lax.stop_gradient(predictions)
    logits = jnp.zeros(predictions.shape[:3], predictions.dtype)
    for _ in range(routings - 1):
        v = _round(logits, fixed)
        logits = logits + jnp.einsum("bkd,bkid->bki", v, fixed)
    return _round(logits, predictions)


def _round(logits, predictions):
    return squash(jnp.einsum("bki,bkid->bkd", jax.nn.softmax(logits, 1), predictions))
