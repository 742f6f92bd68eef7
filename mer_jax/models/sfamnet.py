"""SFAMNet: attention over scene flow, spotting and recognition at once (Liong et al. 2024).

"SFAMNet: A scene flow attention-based micro-expression network", Neurocomputing 566;
genbing99/SFAMNet. The block is that of CBAM (Woo, Park, Lee & Kweon, ECCV 2018).
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx

from mer_jax.errors import UserError
from mer_jax.models.sizes import require
from mer_jax.nn import BatchNorm, Conv, linear, max_pool, pytorch_init, samples_last


class Attention(nnx.Module):
    """CBAM: each map times sigmoid(f(mean) + f(max)), f a dense layer of one unit with ReLU and one
    of all; then each pixel times the sigmoid of a 7 x 7 convolution of the maximum and the mean
    over maps."""

    def __init__(self, maps: int, *, batch_norm: bool, rngs: nnx.Rngs):
        self.squeeze = linear(maps, 1, rngs=rngs)
        self.excite = linear(1, maps, rngs=rngs)
        init = {"kernel_init": pytorch_init(2 * 49)["kernel_init"]}
        self.conv = Conv(2, 1, (7, 7), padding=3, use_bias=False, rngs=rngs, **init)
        self.norm = BatchNorm(1, momentum=0.01, rngs=rngs) if batch_norm else None

    def __call__(self, x: jax.Array, mask: jax.Array | None) -> jax.Array:
        """x [C, H, W, b] -> the same shape."""
        # Pools, which store where the maximum was. The gradient of `x.max` looks for it again: XLA
        # may compute x anew for that, rounded differently.
        pooled = (x.mean((1, 2)), max_pool(x, x.shape[1:3])[:, 0, 0])  # [C, b]
        gate = sum(self.excite(nnx.relu(self.squeeze(each.T))) for each in pooled)
        x = x * nnx.sigmoid(gate).T[:, None, None, :]
        largest = max_pool(x.reshape(1, len(x), -1), len(x)).reshape(1, *x.shape[1:])
        y = _convolve(self.conv, jnp.concatenate([largest, x.mean(0, keepdims=True)]))
        return x * nnx.sigmoid(_normalized(self.norm, y, mask))


class Stream(nnx.Module):
    """ReLU(Attention(conv(ReLU(conv(x)))) + shortcut(x)), 5 x 5 and 1 x 1 convolutions without
    bias; pool 3."""

    def __init__(self, maps: int, *, batch_norm: bool, rngs: nnx.Rngs):
        def conv(ins, size):
            init = {"kernel_init": pytorch_init(ins * size * size)["kernel_init"]}
            pad = size // 2
            return Conv(ins, maps, (size, size), padding=pad, use_bias=False, rngs=rngs, **init)

        self.first, self.second, self.shortcut = conv(1, 5), conv(maps, 5), conv(1, 1)
        norm = lambda: BatchNorm(maps, rngs=rngs) if batch_norm else None
        self.first_norm, self.second_norm = norm(), norm()
        self.attention = Attention(maps, batch_norm=batch_norm, rngs=rngs)

    def __call__(self, x: jax.Array, mask: jax.Array | None) -> jax.Array:
        """x [1, H, W, b] -> [maps, H // 3, W // 3, b]."""
        y = nnx.relu(_normalized(self.first_norm, _convolve(self.first, x), mask))
        y = _normalized(self.second_norm, _convolve(self.second, y), mask)
        return nnx.relu(max_pool(self.attention(y, mask) + _convolve(self.shortcut, x), 3))


def _convolve(layer: Conv, x: jax.Array) -> jax.Array:
    """A layer of padding "SAME" of x [C, H, W, b]."""
    y = samples_last.conv(x, layer.kernel[...].astype(x.dtype), padding=layer.kernel_size[0] // 2)
    return y if layer.bias is None else y + layer.bias[...].astype(y.dtype)[:, None, None, None]


def _normalized(norm: BatchNorm | None, x: jax.Array, mask: jax.Array | None) -> jax.Array:
    return x if norm is None else norm(x.swapaxes(0, -1), mask).swapaxes(0, -1)


class Head(nnx.Module):
    """5 x 5 convolution, pool 3 of stride 2, dense."""

    def __init__(self, shape: Sequence[int], filters: int, outputs: int, *, rngs: nnx.Rngs):
        height, width, maps = shape
        init = pytorch_init(25 * maps)
        self.conv = Conv(maps, filters, (5, 5), padding=2, rngs=rngs, **init)
        flat = filters * -(-height // 2) * -(-width // 2)
        self.dense = linear(flat, outputs, rngs=rngs)

    def pooled(self, x: jax.Array) -> jax.Array:
        """x [C, H, W, b] -> [filters, H', W', b]."""
        return max_pool(_convolve(self.conv, x), 3, strides=2, padding=1)

    def __call__(self, pooled: jax.Array) -> jax.Array:
        """[B, H', W', filters] -> [B, outputs]."""
        return self.dense(jnp.reshape(pooled, (len(pooled), -1)))


class SFAMNet(nnx.Module):
    """A stream with attention for each channel, concatenated 14 x 14 x 9, and a head for each task.

    7,207 parameters for 42 x 42 x 3, the spotting score and five emotions (one is neutral). The
    authors' code also builds 42 parameters of batch normalization in the streams, 7,249 in all, and
    does not apply them; `batch_norm` applies them, where CBAM's block has them. Nothing differs in
    training, but for `batch_norm`, which then uses the statistics of the batch.

    Column 0 of the output is the spotting score in (0, 1), which the authors train by the squared
    error; the others are the logits of the emotions, trained by cross-entropy with class
    weights inverse to the clips and 0 for neutral; the loss is 0.9 of the first and 0.1 of the
    second.

    Args:
      num_classes, rngs: as in `models.create`; K is 1 for the spotting score, and the emotions.
      shape: (H, W, C) of one example: u, v and flow of the depth, the region of the brows above
        that of the mouth.
      maps: feature maps of each stream.
      filters: of the heads' convolutions.
      batch_norm: batch normalization behind the streams' convolutions.

    Raises:
      UserError: for a `shape` of another rank, or smaller than the layers need, or K below 2.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        rngs: nnx.Rngs,
        shape: Sequence[int] = (42, 42, 3),
        maps: int = 3,
        filters: int = 8,
        batch_norm: bool = False,
    ):
        self.input_shape = height, width, channels = require("SFAMNet", shape, (3, 3, 1))
        if num_classes < 2:
            raise UserError("SFAMNet has a spotting score and emotions: two outputs or more")
        self.streams = nnx.List(
            [Stream(maps, batch_norm=batch_norm, rngs=rngs) for _ in range(channels)]
        )
        joined = (height // 3, width // 3, channels * maps)
        self.spotting = Head(joined, filters, 1, rngs=rngs)
        self.recognition = Head(joined, filters, num_classes - 1, rngs=rngs)

    def __call__(self, x: jax.Array, *, mask: jax.Array | None = None) -> jax.Array:
        """x [B, H, W, C], mask [B] -> [B, K]: spotting score, logits of the emotions."""
        if self.streams[0].first_norm is None:
            graph, state = nnx.split(self)
            pooled = samples_last.apply_samples_last(partial(_layers, graph), state, x, mask)
        else:  # the statistics are those of the whole batch
            pooled = self._pooled(x.swapaxes(0, -1), mask).swapaxes(0, -1)
        spotting, recognition = jnp.split(pooled, 2, -1)
        return jnp.concatenate(
            [nnx.sigmoid(self.spotting(spotting)), self.recognition(recognition)], -1
        )

    def _pooled(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        """x [C, H, W, b] -> [2 filters, H', W', b], the heads' one after the other."""
        maps = jnp.concatenate(
            [stream(x[n : n + 1], mask) for n, stream in enumerate(self.streams)]
        )
        return jnp.concatenate([head.pooled(maps) for head in (self.spotting, self.recognition)])


def _layers(graph: nnx.GraphDef[SFAMNet], state: nnx.State, x: jax.Array) -> jax.Array:
    return nnx.merge(graph, state)._pooled(x)
