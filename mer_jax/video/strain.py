"""Optical strain: how a flow deforms the skin, free of the head's translation.

Shreve et al. 2011; the magnitude and the backward differences of Liong et al. 2014 (OSW).
"""

from typing import cast

import jax
import jax.numpy as jnp

from mer_jax.errors import UserError
from mer_jax.options import checked


def _backward(x: jax.Array, axis: int) -> jax.Array:
    return jnp.diff(x, axis=axis, prepend=jax.lax.slice_in_dim(x, 0, 1, axis=axis))


def _central(x: jax.Array, axis: int) -> jax.Array:
    return cast(jax.Array, jnp.gradient(x, axis=axis))  # of several axes it would be a list


SCHEMES = {"backward": _backward, "central": _central}


def to_flow(flow: jax.Array, *, axes: str = "HW") -> jax.Array:
    """A flow as float32 px, of any length; integers are px as well, whatever their dtype.

    Args:
        flow: [*axes, 2], (u, v) px along W and H.
        axes: a letter for each axis before the last.

    Raises:
        UserError: other axes.
    """
    flow = jnp.asarray(flow, jnp.float32)
    if flow.ndim != len(axes) + 1 or flow.shape[-1] != 2:
        raise UserError(f"a flow of shape {flow.shape}: it is [{', '.join(axes)}, 2], (u, v) last")
    return flow


@checked
def strain_tensor(flow: jax.Array, *, scheme: str = "backward") -> jax.Array:
    """The infinitesimal strain (grad w + grad w^T) / 2 of a flow.

    Args:
        flow: [H, W, 2] px, (u, v) along W and H.
        scheme: "backward" (x[i] - x[i - 1]; 0 in the first column or row) or "central" ((x[i + 1] -
            x[i - 1]) / 2; one-sided at the edge).

    Returns:
        [H, W, 3], px per px: e_xx = u_x, e_yy = v_y and e_xy = (u_y + v_x) / 2.

    Raises:
        UserError: the scheme is unknown, or the flow has other axes.
    """
    flow = to_flow(flow)
    difference = SCHEMES[scheme]
    u, v = flow[..., 0], flow[..., 1]
    shear = (difference(u, 0) + difference(v, 1)) / 2
    return jnp.stack([difference(u, 1), difference(v, 0), shear], axis=-1)


@checked
def optical_strain(flow: jax.Array, *, scheme: str = "backward") -> jax.Array:
    """The magnitude sqrt(e_xx^2 + e_yy^2 + 2 e_xy^2) of `strain_tensor`.

    Args:
        flow: [H, W, 2] px.
        scheme: as in `strain_tensor`.

    Returns:
        [H, W], px per px, at least 0. Its derivative at zero strain is 0.
    """
    squares = strain_tensor(flow, scheme=scheme) ** 2
    total = squares[..., 0] + squares[..., 1] + 2 * squares[..., 2]
    moved = total > 0
    return jnp.where(moved, jnp.sqrt(jnp.where(moved, total, 1)), 0)
