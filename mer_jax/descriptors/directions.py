"""Length and direction of flow vectors, with finite gradients where nothing moves.

Vectors shorter than `FLOOR` are no motion: the flow between two equal or nearly equal frames is
rounding, of any direction, and a normalization would make it as long as a real movement.
"""

import jax.numpy as jnp
from jax import Array

from mer_jax.options import checked

FLOOR = 1e-4  # px; likewise of strain, px per px
# Bins by which rounding may move a direction that lies on an edge.
_SLACK = 1e-5


def polar(flow: Array) -> tuple[Array, Array]:
    """[..., 2] (u, v) px -> lengths [...] px and angles [...] in [-pi, pi] from +u towards +v.

    A vector shorter than `FLOOR` has the length and the angle 0; the derivatives there are 0.
    """
    u, v = flow[..., 0], flow[..., 1]
    squared = u * u + v * v
    still = squared < FLOOR**2
    length = jnp.where(still, 0, jnp.sqrt(jnp.where(still, 1, squared)))
    return length, jnp.arctan2(jnp.where(still, 0, v), jnp.where(still, 1, u))


@checked
def bin_of(angle: Array, *, bins: int, start: float) -> Array:
    """[...] int32 in 0..bins - 1: which of `bins` equal sectors; the first begins at `start`."""
    place = (angle - start) / (2 * jnp.pi / bins)
    return jnp.floor(place + _SLACK).astype(jnp.int32) % bins
