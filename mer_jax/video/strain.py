"""Optical strain: the deformation of the skin by a flow, independent of the head's translation.

Shreve et al. 2011; the magnitude and the backward differences of Liong et al. 2014 (OSW).
"""

from typing import cast

import jax
import jax.numpy as jnp

from mer_jax.clips import check_axes
from mer_jax.options import checked


def _backward(x: jax.Array, axis: int) -> jax.Array:
    return jnp.diff(x, axis=axis, prepend=jax.lax.slice_in_dim(x, 0, 1, axis=axis))


def _central(x: jax.Array, axis: int) -> jax.Array:
    return cast(jax.Array, jnp.gradient(x, axis=axis))  # of several axes it would be a list


SCHEMES = {"backward": _backward, "central": _central}


def to_flow(flow: jax.Array, *, axes: str = "HW", min_size: int = 1) -> jax.Array:
    """A flow as float32 px, of any length; integers are px as well, whatever their dtype.

    Args:
      flow: [*axes, 2], (u, v) px along W and H.
      axes: those before the last, see `clips.check_axes`.
      min_size: the smallest H and W, px.

    Raises:
      UserError: for other axes.

    >>> to_flow([[[1, -2]]]).tolist()
    [[[1.0, -2.0]]]
    """
    check_axes(flow, f"{axes} 2", name="flow", min_size=min_size)
    return jnp.asarray(flow, jnp.float32)


@checked
def strain_tensor(flow: jax.Array, *, scheme: str = "backward") -> jax.Array:
    """The infinitesimal strain (grad w + grad w^T) / 2 of a flow w.

    Args:
      flow: [H, W, 2] px, (u, v) along W and H, which are at least 2.
      scheme: "backward" (x[i] - x[i - 1]; 0 in the first column or row) or "central" ((x[i + 1] -
        x[i - 1]) / 2; one-sided at the edge).

    Returns:
      [H, W, 3], px per px: e_xx = u_x, e_yy = v_y and e_xy = (u_y + v_x) / 2.

    Raises:
      UserError: for an unknown scheme or other axes.

    >>> import numpy as np
    >>> x = np.tile(np.arange(4), (3, 1))
    >>> stretch = np.stack([0.25 * x, 0 * x], axis=-1)  # u = x / 4
    >>> tensor = jax.jit(lambda flow: strain_tensor(flow, scheme="central"))
    >>> np.asarray(tensor(stretch))[1, 1].tolist()
    [0.25, 0.0, 0.0]
    """
    flow = to_flow(flow, min_size=2)
    difference = SCHEMES[scheme]
    u, v = flow[..., 0], flow[..., 1]
    shear = (difference(u, 0) + difference(v, 1)) / 2
    return jnp.stack([difference(u, 1), difference(v, 0), shear], axis=-1)


@checked
def optical_strain(flow: jax.Array, *, scheme: str = "backward") -> jax.Array:
    """The magnitude sqrt(e_xx^2 + e_yy^2 + 2 e_xy^2) of `strain_tensor`.

    Args:
      flow: [H, W, 2] px.
      scheme: as for `strain_tensor`.

    Returns:
      [H, W], px per px, at least 0. Its derivative at zero strain is 0.

    Raises:
      UserError: as `strain_tensor`.

    >>> import numpy as np
    >>> x = np.tile(np.arange(4), (3, 1))
    >>> np.asarray(jax.jit(optical_strain)(np.stack([0.25 * x, 0 * x], axis=-1)))[1].tolist()
    [0.0, 0.25, 0.25, 0.25]
    """
    squares = strain_tensor(flow, scheme=scheme) ** 2
    total = squares[..., 0] + squares[..., 1] + 2 * squares[..., 2]
    moved = total > 0
    return jnp.where(moved, jnp.sqrt(jnp.where(moved, total, 1)), 0)
