"""PEM: the proposal network on the flow of twelve facial regions (ABPN, MEGC 2022).

"ABPN: Apex and Boundary Perception Network for Micro- and Macro-Expression Spotting", ACM MM 2022;
wenhaocold/USTC_ME_Spotting.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from mer_jax.errors import UserError
from mer_jax.models.sizes import require
from mer_jax.nn import BatchNorm, Conv

_HE: dict[str, Any] = {"kernel_init": nnx.initializers.variance_scaling(2.0, "fan_in", "normal")}


class FrameClassifier(nnx.Module):
    """Four convolutions over time without bias, of 64 maps and of the outputs: 1 wide, 3 wide, 3
    wide with dilation 2, each with normalization and ReLU, and 3 wide with dilation 2.

    A frame's output depends on 5 frames before and 5 behind it. Frames outside of the window are 0
    in each layer.
    """

    def __init__(self, features: int, maps: int, outputs: int, *, rngs: nnx.Rngs):
        def conv(ins, outs, size, dilation):
            pad = ((dilation * (size // 2),) * 2, (0, 0))
            layer: dict[str, Any] = {
                "padding": pad,
                "kernel_dilation": (dilation, 1),
                "use_bias": False,
            }
            return Conv(ins, outs, (size, 1), rngs=rngs, **layer, **_HE)

        widths = ((features, 1, 1), (maps, 3, 1), (maps, 3, 2))
        self.convs = nnx.List([conv(ins, maps, *width) for ins, *width in widths])
        self.norms = nnx.List([BatchNorm(maps, rngs=rngs) for _ in widths])
        self.classifier = conv(maps, outputs, 3, 2)

    def __call__(self, x: jax.Array, mask: jax.Array | None) -> jax.Array:
        """x [B, T, C] -> [B, T outputs], frame by frame."""
        x = x[:, :, None, :]
        for layer, norm in zip(self.convs, self.norms, strict=True):
            x = nnx.relu(norm(layer(x), mask))
        return jnp.reshape(self.classifier(x), (len(x), -1))


def outputs_per_frame(network: str, num_classes: int, frames: int) -> int:
    """K / T. Raises `UserError` unless it is an integer."""
    outputs, rest = divmod(num_classes, frames)
    if rest:
        raise UserError(
            f"{network} has the same outputs for each of {frames} frames; {num_classes} is no "
            f"multiple of {frames}"
        )
    return outputs


class PEM(nnx.Module):
    """The regions' flow vectors of a window of frames, through `FrameClassifier`: 28,416 parameters
    for ten outputs a frame.

    The outputs of a frame are `spotting.targets.OUTPUTS`, logits: start, end or neither of a micro-
    and of a macro-expression; apex and action of each. In training the normalizations use the
    statistics of the batch, over all frames.

    The authors' code multiplies the regions by the softmax of twelve weights, which its optimizer
    does not own (they descend by hand, and their gradients add up over all steps): `region_weights`
    trains them as any other parameter, 28,428 in all.

    Args:
      num_classes, rngs: as in `models.create`; K is T times the outputs of a frame.
      shape: (T, regions, 2) of one example, from `spotting.region_flows`; T changes no parameter.
      maps: feature maps of the convolutions.
      region_weights: one weight a region.

    Raises:
      UserError: for a `shape` of another rank, or a K that is no multiple of T.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        rngs: nnx.Rngs,
        shape: Sequence[int] = (270, 12, 2),
        maps: int = 64,
        region_weights: bool = False,
    ):
        self.input_shape = frames, regions, components = require("PEM", shape, (1, 1, 1))
        self.region_weights = nnx.Param(jnp.ones(regions)) if region_weights else None
        outputs = outputs_per_frame("PEM", num_classes, frames)
        self.frames = FrameClassifier(regions * components, maps, outputs, rngs=rngs)

    def __call__(self, x: jax.Array, *, mask: jax.Array | None = None) -> jax.Array:
        """x [B, T, regions, 2], mask [B] -> logits [B, K], [T, outputs] of each example."""
        if self.region_weights is not None:
            x = x * nnx.softmax(self.region_weights[...]).astype(x.dtype)[None, None, :, None]
        return self.frames(jnp.reshape(x, (*x.shape[:2], -1)), mask)
