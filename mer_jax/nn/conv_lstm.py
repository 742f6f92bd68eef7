"""The convolutional LSTM with peepholes (Shi et al. 2015), as R3D-ConvLSTM uses it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from mer_jax.nn.convolution import Conv

_UNROLL = 4  # a convolution inside a loop is slow on CPUs; so many steps are laid out instead


class Memory(NamedTuple):
    """What a cell carries from one step to the next."""

    h: jax.Array  # [B, H, W, F], what the cell says
    c: jax.Array  # [B, H, W, F], what it keeps


class ConvLSTM(nnx.Module):
    """R3D-ConvLSTM (Islam et al.), Equations 1 to 5; "*" convolves, "." is an entry-wise product.

        i_t = sigmoid(W_xi * x_t + W_hi * h_(t-1) + W_ci . c_(t-1) + b_i)
        f_t = sigmoid(W_xf * x_t + W_hf * h_(t-1) + W_cf . c_(t-1) + b_f)
        c_t = f_t . c_(t-1) + i_t . tanh(W_xc * x_t + W_hc * h_(t-1) + b_c)
        o_t = sigmoid(W_xo * x_t + W_ho * h_(t-1) + W_co . c_t + b_o)
        h_t = o_t . tanh(c_t)

    Convolutions keep the size. A peephole (W_ci, W_cf, W_co) has one weight for each pixel and
    feature, 0 at first. The maps of the two convolutions stand in the order i, f, o, c.

    Args:
      in_features: C.
      features: F.
      size: (H, W) of the maps, which the peepholes need.
      kernel: height and width of the convolutions, odd.
    """

    def __init__(
        self,
        in_features: int,
        features: int,
        *,
        size: Sequence[int],
        kernel: int = 3,
        rngs: nnx.Rngs,
    ):
        window: dict[str, Any] = dict(kernel_size=(kernel, kernel), padding=kernel // 2, rngs=rngs)
        self.input = Conv(in_features, 4 * features, **window)
        self.hidden = Conv(features, 4 * features, use_bias=False, **window)
        self.peepholes = nnx.Param(jnp.zeros((3, *size, features)))

    def start(self, x: jax.Array) -> Memory:
        """The empty memory for inputs like x [B, ..., H, W, C]."""
        zeros = jnp.zeros((x.shape[0], *self.peepholes.shape[1:]), x.dtype)
        return Memory(zeros, zeros)

    def step(self, memory: Memory, projected: jax.Array) -> Memory:
        """One step; `projected` [B, H, W, 4 F] is `self.input` of x_t."""
        i, f, o, candidate = jnp.split(projected + self.hidden(memory.h), 4, axis=-1)
        to_i, to_f, to_o = self.peepholes[...][:, None]
        i = nnx.sigmoid(i + to_i * memory.c)
        f = nnx.sigmoid(f + to_f * memory.c)
        c = f * memory.c + i * jnp.tanh(candidate)
        o = nnx.sigmoid(o + to_o * c)
        return Memory(o * jnp.tanh(c), c)

    def __call__(self, x: jax.Array) -> jax.Array:
        """All steps from an empty memory: x [B, T, H, W, C] -> h [B, T, H, W, F]."""
        batch, time = x.shape[:2]
        projected = self.input(x.reshape(batch * time, *x.shape[2:]))
        projected = projected.reshape(batch, time, *projected.shape[1:])

        def step(memory, projected):
            memory = self.step(memory, projected)
            return memory, memory.h

        unroll = time if time <= _UNROLL else 1
        _, h = lax.scan(step, self.start(x), projected.swapaxes(0, 1), unroll=unroll)
        return h.swapaxes(0, 1)
