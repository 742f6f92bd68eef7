"""SKD-TSTSAN: three streams of magnified frames and flow (Zhu et al. 2024, authors' code)."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from mer_jax.errors import UserError
from mer_jax.models.sizes import require, scaled
from mer_jax.nn import BatchNorm, Conv, avg_pool, linear, max_pool, pytorch_init

_FLOWS = 4  # u and v from onset to apex, u and v from apex to offset


def _conv(inputs: int, features: int, side: int, **options: Any) -> Conv:
    init = pytorch_init(side * side * inputs)
    return Conv(inputs, features, (side, side), use_bias=False, **init, **options)


def _reflected(conv: Conv, x: jax.Array) -> jax.Array:
    """`conv` of x [B, H, W, C], which is reflected beyond its edges by half the kernel."""
    pad = (conv.kernel_size[0] // 2,) * 2
    return conv(jnp.pad(x, ((0, 0), pad, pad, (0, 0)), mode="reflect"))


class ResidualConv(nnx.Module):
    """x + second(ReLU(first(x))), without normalization."""

    def __init__(self, features: int, *, rngs: nnx.Rngs):
        self.first = _conv(features, features, 3, rngs=rngs)
        self.second = _conv(features, features, 3, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """x [B, H, W, C] -> [B, H, W, C]."""
        return x + _reflected(self.second, nnx.relu(_reflected(self.first, x)))


class Magnifier(nnx.Module):
    """The motion features of a picture, and `alpha` times their change since another one.

    Encoder of shape and manipulator of Oh et al. 2018, "Learning-based video motion magnification",
    whose decoder of pictures is not used.
    """

    def __init__(self, inputs: int, *, alpha: float, width: float, rngs: nnx.Rngs):
        wide, self.alpha = scaled(32, width), alpha
        conv = lambda side: _conv(wide, wide, side, rngs=rngs)
        residual = lambda: ResidualConv(wide, rngs=rngs)
        first = _conv(inputs, scaled(16, width), 7, rngs=rngs)
        half = _conv(scaled(16, width), wide, 3, strides=2, rngs=rngs)
        # A ReLU follows each convolution that is not of a residual block.
        self.encoder = nnx.List(
            [first, half, residual(), residual(), residual(), conv(3), residual(), residual()]
        )
        self.before, self.after, self.residual = conv(7), conv(3), residual()

    def __call__(self, x: jax.Array, since: jax.Array | None = None) -> jax.Array:
        """x, since [B, H, W, C] -> [B, H / 2, W / 2, F]; `since` None: zeros, whose code is 0."""
        code = x if since is None else jnp.concatenate([x, since])
        for layer in self.encoder:
            if isinstance(layer, Conv):
                code = nnx.relu(_reflected(layer, code))
            else:
                code = layer(code)
        change = code
        if since is not None:
            code, of_since = jnp.split(code, 2)
            change = code - of_since
        change = self.alpha * nnx.relu(_reflected(self.before, change))
        return code + self.residual(_reflected(self.after, change))


class ChannelAttention(nnx.Module):
    """Each map times the sigmoid of a convolution along the maps' means plus maxima.

    The kernel grows with the number of maps (ECA, Wang et al. 2020): 3 for 64 of them, 5 for 128.
    """

    def __init__(self, features: int, *, rngs: nnx.Rngs):
        side = int((math.log2(features) + 1) / 2) // 2 * 2 + 1
        pads = ((0, 0), (side // 2, side // 2))
        init = pytorch_init(side)
        self.conv = Conv(1, 1, (1, side), padding=pads, use_bias=False, rngs=rngs, **init)

    def __call__(self, x: jax.Array) -> jax.Array:
        """x [B, H, W, C] -> [B, H, W, C]."""
        flat = x.reshape(len(x), -1, x.shape[-1])
        # By index: the gradient of a maximum compares, and XLA can compute x anew for that.
        top = jnp.take_along_axis(flat, jnp.argmax(flat, 1, keepdims=True), 1)
        # Without bias, the convolution of the sum is the sum of the two that are published.
        seen = flat.mean(1, keepdims=True) + top
        return x * jax.nn.sigmoid(jnp.swapaxes(self.conv(seen[..., None]), 2, 3))


class Layer(nnx.Module):
    """Convolution, batch normalization, ReLU, and attention over the maps."""

    def __init__(self, inputs: int, features: int, side: int, *, attention: bool, rngs: nnx.Rngs):
        padding = 0 if side == 5 else 1
        self.conv = _conv(inputs, features, side, padding=padding, rngs=rngs)
        self.norm = BatchNorm(features, rngs=rngs)
        self.attention = ChannelAttention(features, rngs=rngs) if attention else None

    def __call__(self, x: jax.Array, mask: jax.Array | None) -> jax.Array:
        """x [B, H, W, C], mask [B] -> [B, H', W', F]."""
        x = nnx.relu(self.norm(self.conv(x), mask))
        return x if self.attention is None else self.attention(x)


def shifted(x: jax.Array) -> jax.Array:
    """An eighth of the maps from the next instant, an eighth from the one before (Lin et al. 2019).

    x [B, T, H, W, C] -> [B, T, H, W, C]; zeros from beyond the ends.

    >>> x = jnp.arange(1.0, 17.0).reshape(1, 2, 1, 1, 8)
    >>> shifted(x)[0, :, 0, 0, :3].tolist()
    [[9.0, 0.0, 3.0], [0.0, 2.0, 11.0]]
    """
    eighth = x.shape[-1] // 8
    late, early, same = x[..., :eighth], x[..., eighth : 2 * eighth], x[..., 2 * eighth :]
    one = lambda before, after: ((0, 0), (before, after), (0, 0), (0, 0), (0, 0))
    ahead = jnp.pad(late[:, 1:], one(0, 1))
    return jnp.concatenate([ahead, jnp.pad(early[:, :-1], one(1, 0)), same], -1)


class Stream(nnx.Module):
    """A convolution of 5 x 5, four of 3 x 3, with pools; the mean over positions and instants.

    instants: T; with several, maps are shifted between them in front of each 3 x 3 convolution.
    """

    def __init__(self, *, width: float, attention: bool, instants: int, rngs: nnx.Rngs):
        self.instants, layers, before = instants, [], scaled(32, width)
        for count, side in ((64, 5), (64, 3), (64, 3), (128, 3), (128, 3)):
            features = scaled(count, width)
            layers.append(Layer(before, features, side, attention=attention, rngs=rngs))
            before = features
        self.layers = nnx.List(layers)

    def __call__(self, x: jax.Array, mask: jax.Array | None) -> jax.Array:
        """x [B T, H, W, C], mask [B] -> [B, F]."""
        parts = (-1, self.instants)
        if mask is not None:
            mask = jnp.repeat(mask, self.instants)
        for number, layer in enumerate(self.layers):
            if number and self.instants > 1:
                x = shifted(x.reshape(*parts, *x.shape[1:])).reshape(x.shape)
            x = layer(x, mask)
            if number == 0:
                x = max_pool(x, 5, strides=2, padding=2)
            elif number == 2:
                x = avg_pool(x, 3, strides=2, padding=1)
        return x.reshape(*parts, *x.shape[1:]).mean((1, 2, 3))


class SKDTSTSAN(nnx.Module):
    """Apex blocks, apex and flows, each magnified in the features of a network, in three streams.

    48 x 48 -> 24 x 24 x 32 (magnified) -> 10 x 10 x 64 -> 5 x 5 x 128, averaged, 384 in all. The
    blocks' stream has attention over the maps; that of the flows takes onset to apex and apex to
    offset as two instants, compared with no flow. 1,609,288 parameters for five classes.

    This is the recognizer. Two further classifiers, on the streams' 10 x 10 and 5 x 5 maps
    (1,335,582 of the 2,946,214 published parameters), serve self-distillation in training and
    change no output; they and that loss are not here. 1,344 biases in front of batch
    normalizations change nothing and are left out.

    Args:
      num_classes, rngs: as in `models.create`.
      shape: (H, W, 2 L + 6) of one example: apex and onset; L blocks of the apex, L of the onset; u
        and v from onset to apex, u and v from apex to offset, as `methods` "skd_tstsan" makes it.
      alpha: factor of magnification.
      width: multiplies the number of maps of every layer.
      dropout: rate in front of the classifier.

    Raises:
      UserError: for a `shape` that is too small or has an odd number of channels.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        rngs: nnx.Rngs,
        shape: Sequence[int] = (48, 48, 38),
        alpha: float = 2.0,
        width: float = 1.0,
        dropout: float = 0.2,
    ):
        self.input_shape = require("SKD-TSTSAN", shape, (9, 9, 2 + 2 + _FLOWS))
        blocks, odd = divmod(self.input_shape[-1] - 2 - _FLOWS, 2)
        if odd:
            raise UserError(f"SKD-TSTSAN needs an even number of channels, not {shape}")
        self.magnifiers = nnx.List(
            [Magnifier(n, alpha=alpha, width=width, rngs=rngs) for n in (blocks, 1, _FLOWS // 2)]
        )
        kinds = ((True, 1), (False, 1), (False, 2))
        self.streams = nnx.List(
            [Stream(width=width, attention=a, instants=n, rngs=rngs) for a, n in kinds]
        )
        self.dropout = nnx.Dropout(dropout, rngs=rngs)
        total = 3 * scaled(128, width)
        self.classifier = linear(total, num_classes, rngs=rngs)

    def __call__(self, x: jax.Array, *, mask: jax.Array | None = None) -> jax.Array:
        """x [B, H, W, C], mask [B] -> logits [B, K]."""
        blocks = (x.shape[-1] - 2 - _FLOWS) // 2
        apex, onset, apex_blocks, onset_blocks, flows = jnp.split(
            x, (1, 2, 2 + blocks, 2 + 2 * blocks), -1
        )
        flows = jnp.moveaxis(flows.reshape(*flows.shape[:3], 2, -1), 3, 1)
        flows = flows.reshape(-1, *flows.shape[2:])
        pairs = ((apex_blocks, onset_blocks), (apex, onset), (flows, None))
        features = [
            stream(magnifier(*pair), mask)
            for magnifier, stream, pair in zip(self.magnifiers, self.streams, pairs)
        ]
        return self.classifier(self.dropout(jnp.concatenate(features, -1)))
