"""Frames resampled at given positions: the one way in which this package moves pixels."""

import math

import jax
import jax.numpy as jnp

from mer_jax.clips import to_float
from mer_jax.errors import unknown_name

ORDERS = ("nearest", "bilinear")


def sample(frames: jax.Array, grid: jax.Array, *, order: str = "bilinear") -> jax.Array:
    """The frames at the places of a grid, the same in every frame; clean under jit and vmap.

    Args:
      frames: [T, H, W, C], floats of any range, which stays: nothing is but weighed. "bilinear"
        returns float32, of uint8 and its like in [0, 1] (`clips.to_float`), and is differentiable
        in both arguments; "nearest" keeps the dtype.
      grid: [h, w, 2] px (x, y), pixel centers at whole numbers. What is outside of the frame
        repeats its edge.
      order: "nearest" (halves are rounded up) or "bilinear".

    Returns:
      [T, h, w, C].

    Raises:
      UserError: the order is unknown.
    """
    if order not in ORDERS:
        raise unknown_name("order of interpolation", order, ORDERS)
    if order == "bilinear":
        frames = to_float(frames, axes="THWc", margin=math.inf)
    length, height, width, channels = frames.shape
    flat = frames.reshape(length, height * width, channels)
    x = jnp.clip(grid[..., 0], 0, width - 1)
    y = jnp.clip(grid[..., 1], 0, height - 1)

    def at(row, column):
        return jnp.take(flat, row.astype(jnp.int32) * width + column.astype(jnp.int32), axis=1)

    if order == "nearest":
        return at(jnp.floor(y + 0.5), jnp.floor(x + 0.5))
    flat = flat.astype(jnp.float32)
    left = jnp.clip(jnp.floor(x), 0, max(width - 2, 0))
    top = jnp.clip(jnp.floor(y), 0, max(height - 2, 0))
    right, bottom = jnp.minimum(left + 1, width - 1), jnp.minimum(top + 1, height - 1)
    across, down = (x - left)[None, ..., None], (y - top)[None, ..., None]
    upper = at(top, left) * (1 - across) + at(top, right) * across
    lower = at(bottom, left) * (1 - across) + at(bottom, right) * across
    return upper * (1 - down) + lower * down
