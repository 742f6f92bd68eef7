"""Length and direction of flow vectors, with finite gradients where nothing moves.

Vectors shorter than `FLOOR` are no motion: the flow between two equal or nearly equal frames is
rounding, in any direction, which a normalization would scale up to that of a real movement.
"""

import jax.numpy as jnp
from jax import Array

from mer_jax.options import checked

FLOOR = 1e-4  # px; likewise of strain, px per px
# In bins: rounding of a direction on the edge between two.
_SLACK = 1e-5


def polar(flow: Array) -> tuple[Array, Array]:
    """Lengths and angles of flow vectors.

    Args:
      flow: [..., 2] px, (u, v).

    Returns:
      Lengths [...] px, and angles [...] in [-pi, pi] from +u towards +v. Of a vector shorter than
      `FLOOR` both are 0, and so are the derivatives.

    >>> [x.tolist() for x in polar(jnp.array([[2.0, 0.0], [1e-5, 0.0]]))]
    [[2.0, 0.0], [0.0, 0.0]]
    """
    u, v = flow[..., 0], flow[..., 1]
    squared = u * u + v * v
    still = squared < FLOOR**2
    length = jnp.where(still, 0, jnp.sqrt(jnp.where(still, 1, squared)))
    return length, jnp.arctan2(jnp.where(still, 0, v), jnp.where(still, 1, u))


@checked
def bin_of(angle: Array, *, bins: int, start: float) -> Array:
    """The sector of an angle.

    Args:
      angle: [...] radians.
      bins: number of equal sectors.
      start: radians, where sector 0 begins.

    Returns:
      [...] int32 in 0..bins - 1.

    >>> bin_of(jnp.array([0.0, 1.6, -0.1]), bins=4, start=0.0)
    Array([0, 1, 3], dtype=int32)
    """
    position = (angle - start) / (2 * jnp.pi / bins)
    return jnp.floor(position + _SLACK).astype(jnp.int32) % bins
