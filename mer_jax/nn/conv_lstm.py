"""The convolutional LSTM with peepholes (Shi et al. 2015), as R3D-ConvLSTM uses it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from mer_jax.errors import UserError
from mer_jax.nn.convolution import Conv

_UNROLL = 4  # up to so many steps are unrolled: a convolution inside a loop is slow on CPUs


class State(NamedTuple):
    """The state of a cell between two steps."""

    h: jax.Array  # [B, H, W, F], hidden state, which is the output
    c: jax.Array  # [B, H, W, F], cell state


class ConvLSTM(nnx.Module):
    """R3D-ConvLSTM (Islam et al.), Equations 1 to 5; "*" convolves, "." is an entry-wise product.

        i_t = sigmoid(W_xi * x_t + W_hi * h_(t-1) + W_ci . c_(t-1) + b_i)
        f_t = sigmoid(W_xf * x_t + W_hf * h_(t-1) + W_cf . c_(t-1) + b_f)
        c_t = f_t . c_(t-1) + i_t . tanh(W_xc * x_t + W_hc * h_(t-1) + b_c)
        o_t = sigmoid(W_xo * x_t + W_ho * h_(t-1) + W_co . c_t + b_o)
        h_t = o_t . tanh(c_t)

    Convolutions preserve the size. A peephole (W_ci, W_cf, W_co) has one weight for each pixel and
    feature, initially 0. The gates of the two convolutions are in the order i, f, o, c.

    Args:
      in_features: C.
      features: F.
      size: (H, W) of the maps, which the peepholes need.
      kernel: height and width of the convolutions, odd.
      rngs: random streams of the initializers.

    >>> import jax, jax.numpy as jnp
    >>> from flax import nnx
    >>> from mer_jax.nn.conv_lstm import ConvLSTM
    >>> make = lambda: ConvLSTM(3, 5, size=(4, 4), rngs=nnx.Rngs(0))
    >>> jax.eval_shape(lambda x: make()(x), jnp.zeros((2, 6, 4, 4, 3))).shape
    (2, 6, 4, 4, 5)
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
        if kernel % 2 == 0:
            raise UserError(
                f"a ConvLSTM keeps the size of its maps: its kernel is odd, not {kernel}"
            )
        window: dict[str, Any] = dict(kernel_size=(kernel, kernel), padding=kernel // 2, rngs=rngs)
        self.input = Conv(in_features, 4 * features, **window)
        self.hidden = Conv(features, 4 * features, use_bias=False, **window)
        self.peepholes = nnx.Param(jnp.zeros((3, *size, features)))

    def initial_state(self, projected: jax.Array) -> State:
        """The zero state for `step`: projected [B, H, W, 4 F]."""
        dtype = jnp.promote_types(projected.dtype, self.peepholes.dtype)
        zeros = jnp.zeros_like(projected[..., : self.peepholes.shape[-1]], dtype=dtype)
        return State(zeros, zeros)

    def step(self, state: State, projected: jax.Array) -> State:
        """The state after x_t; `projected` [B, H, W, 4 F] is `self.input(x_t)`."""
        i, f, o, candidate = jnp.split(projected + self.hidden(state.h), 4, axis=-1)
        to_i, to_f, to_o = self.peepholes[...][:, None]
        i = nnx.sigmoid(i + to_i * state.c)
        f = nnx.sigmoid(f + to_f * state.c)
        c = f * state.c + i * jnp.tanh(candidate)
        o = nnx.sigmoid(o + to_o * c)
        return State(o * jnp.tanh(c), c)

    def __call__(self, x: jax.Array) -> jax.Array:
        """All steps from the zero state: x [B, T, H, W, C] -> h [B, T, H, W, F]."""
        batch, time = x.shape[:2]
        projected = self.input(x.reshape(batch * time, *x.shape[2:]))
        projected = projected.reshape(batch, time, *projected.shape[1:])

        def step(state, projected):
            state = self.step(state, projected)
            return state, state.h

        unroll = time if time <= _UNROLL else 1
        start = self.initial_state(projected[:, 0])
        _, h = lax.scan(step, start, projected.swapaxes(0, 1), unroll=unroll)
        return h.swapaxes(0, 1)
