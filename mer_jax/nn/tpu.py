"""The Temporal Perception Unit: a recurrent layer, its state scaled by the motion of a frame."""

import math
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from mer_jax.errors import unknown_name

Perception = Literal["computed", "one", "none"]

PERCEPTIONS = ("computed", "one", "none")


def temporal_perception(x: jax.Array) -> jax.Array:
    """The standard deviation of each frame's change from the previous one (PSN, Equation 7).

    Args:
      x: [B, T, ...] float.

    Returns:
      tp [B, T] in the units of `x`: tp_t = std(x_t - x_(t-1)) over all axes of a frame; tp_0 = 0.
      Where two frames are equal the gradient is 0.

    >>> import jax.numpy as jnp
    >>> from mer_jax.nn.tpu import temporal_perception
    >>> temporal_perception(jnp.array([[[1.0, 1.0], [3.0, 1.0], [3.0, 1.0]]]))
    Array([[0., 1., 0.]], dtype=float32)
    """
    change = jnp.diff(x, axis=1).reshape(x.shape[0], x.shape[1] - 1, math.prod(x.shape[2:]))
    variance = jnp.var(change, axis=-1)
    moved = variance > 0
    deviation = jnp.where(moved, jnp.sqrt(jnp.where(moved, variance, 1)), 0)
    return jnp.pad(deviation, ((0, 0), (1, 0)))


class TPU(nnx.Module):
    """PSN (Li et al.), Equations 4 and 7 to 9, over all frames of a clip.

        h~_t = tanh(W_I x_t + W_H h_(t-1))
        h_t  = tanh(W_h (tp_t h~_t))
        y_t  = tanh(W_O h_t)

    W_I, W_h and W_O have a bias (the paper leaves them out "for simplicity"); h before the first
    frame is 0.

    Args:
      in_features: D, numbers in a frame.
      features: E, numbers in h_t and y_t.
      perception: "computed" is tp_t above; "one" fixes tp_t = 1; "none" is the plain recurrent
        network of Equations 3 and 4, where h_t = h~_t.
      unit: factor on tp_t; 255 gives gray levels for frames in [0, 1].
      rngs: random streams of the initializers.

    Raises:
      UserError: for an unknown `perception`.
    """

    def __init__(
        self,
        in_features: int,
        features: int,
        *,
        perception: Perception = "computed",
        unit: float = 1.0,
        rngs: nnx.Rngs,
    ):
        if perception not in PERCEPTIONS:
            raise unknown_name("perception", perception, PERCEPTIONS)
        self.perception = perception
        self.unit = unit
        self.input = nnx.Linear(in_features, features, rngs=rngs)
        self.hidden = nnx.Linear(features, features, use_bias=False, rngs=rngs)
        plain = perception == "none"
        self.modulated = None if plain else nnx.Linear(features, features, rngs=rngs)
        self.output = nnx.Linear(features, features, rngs=rngs)

    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """x [B, T, D] -> (y [B, T, E], tp [B, T]); tp is 1 unless it is computed."""
        if self.perception == "computed":
            tp = temporal_perception(x) * self.unit
        else:
            tp = jnp.ones(x.shape[:2], x.dtype)

        def step(h, frame):
            projected, tp = frame
            h = jnp.tanh(projected + self.hidden(h))
            if self.modulated is not None:
                h = jnp.tanh(self.modulated(tp[:, None] * h))
            return h, h

        projected = self.input(x)  # of all frames at once: one product, outside the loop
        start = jnp.zeros_like(projected[:, 0])
        _, h = lax.scan(step, start, (projected.swapaxes(0, 1), tp.T))
        return jnp.tanh(self.output(h.swapaxes(0, 1))), tp
