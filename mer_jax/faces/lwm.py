"""Local weighted mean: a smooth map of the plane from pairs of points (Goshtasby 1988).

Around each control point a polynomial of the second degree is fitted to the nearest pairs; at any
other point the polynomials whose discs contain it are averaged. The map is an inverse one: from a
point of the output image to the point of the input image that is sampled.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mer_jax.errors import UserError

TERMS = 6  # 1, x, y, x y, x^2, y^2


class LocalWeightedMean(NamedTuple):
    """A fitted map of K control points."""

    centers: jax.Array  # [K, 2] px, the fixed control points
    radii: jax.Array  # [K] px, of the discs: the distance to the farthest neighbor
    polynomials: jax.Array  # [K, 6, 2] of the offset from the center, in radii
    affine: jax.Array  # [3, 2] used outside of all discs


def lwm_fit(fixed: jax.Array, moving: jax.Array, *, neighbors: int = 12) -> LocalWeightedMean:
    """Fits the map from `fixed` to `moving`; for use under jit and vmap too.

    For control point i, with the N fixed points nearest to it (itself among them) and R_i the
    distance of the farthest: least squares of both moving coordinates on 1, x, y, x y, x^2, y^2 of
    ((p - c_i) / R_i). Goshtasby's polynomials are of p itself, which is the same map, but badly
    conditioned (10^7 against 10^2 on faces): float32 could not solve for them.

    Args:
      fixed: [K, 2] px (x, y) in the output image, no two equal.
      moving: [K, 2] px, the same points in the input image.
      neighbors: N, from 6 (through every pair, and wild in between) to K. 12 is the papers' and
        MATLAB's; landmark noise of 1 px becomes 2.8 px with 12 and 1.6 px with 16.

    Raises:
      UserError: other shapes, or neighbors out of range.
    """
    fixed, moving = jnp.asarray(fixed, jnp.float32), jnp.asarray(moving, jnp.float32)
    if fixed.shape != moving.shape or fixed.ndim != 2 or fixed.shape[1] != 2:
        raise UserError(
            f"local weighted mean: fixed points {fixed.shape} and moving points {moving.shape} "
            "should both be (K, 2)"
        )
    if not TERMS <= neighbors <= len(fixed):
        raise UserError(
            f"local weighted mean: neighbors={neighbors} is not within {TERMS} and the "
            f"{len(fixed)} control points"
        )
    squares = jnp.sum((fixed[:, None] - fixed[None]) ** 2, -1)
    near, order = jax.lax.top_k(-squares, neighbors)
    radii = jnp.sqrt(-near[:, -1])

    def polynomial(center, radius, order):
        terms = _terms((fixed[order] - center[None]) / radius)
        # Displacements from the center are solved for: float32 keeps more of their digits.
        solved = _least_squares(terms, moving[order] - center[None])
        return solved.at[0].add(center)

    polynomials = jax.vmap(polynomial)(fixed, radii, order)
    mean = fixed.mean(0)
    away = fixed - mean[None]
    scale = jnp.sqrt(jnp.mean(away**2))
    slopes = _least_squares(away / scale, moving - moving.mean(0)[None]) / scale
    shift = moving.mean(0) - _multiply(mean, slopes)
    return LocalWeightedMean(fixed, radii, polynomials, jnp.concatenate([shift[None], slopes]))


def lwm_apply(fitted: LocalWeightedMean, points: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The points mapped, and which of them a disc covers.

    f(p) = sum_i w_i U_i(p) / sum_i w_i with w = 1 - 3 r^2 + 2 r^3 for r = |p - c_i| / R_i < 1, else
    0. Where no disc covers p (MATLAB leaves such pixels black) the least-squares affine map of all
    control points is used: the surroundings of the face keep position and size, with a seam at the
    discs' rim.

    Args:
      fitted: of `lwm_fit`.
      points: [..., 2] px (x, y) in the output image.

    Returns:
      [..., 2] px in the input image, and [...] bool.
    """
    flat = jnp.asarray(points, jnp.float32).reshape(-1, 2)

    def add(total, disc):
        center, radius, polynomial = disc
        offset = (flat - center[None]) / radius
        r = jnp.sqrt(jnp.maximum(jnp.sum(offset * offset, -1), 1e-20))
        weight = jnp.where(r < 1, 1 - 3 * r * r + 2 * r * r * r, 0.0)[:, None]
        value = _multiply(_terms(offset), polynomial)
        return (total[0] + weight * value, total[1] + weight), None

    empty = jnp.zeros_like(flat), jnp.zeros_like(flat[:, :1])
    (values, weights), _ = jax.lax.scan(
        add, empty, (fitted.centers, fitted.radii, fitted.polynomials)
    )
    covered = weights > 0
    outside = fitted.affine[:1] + _multiply(flat, fitted.affine[1:])
    found = jnp.where(covered, values / jnp.where(covered, weights, 1.0), outside)
    return found.reshape(points.shape), covered.reshape(points.shape[:-1])


def _terms(offset: jax.Array) -> jax.Array:
    x, y = offset[..., 0], offset[..., 1]
    return jnp.stack([jnp.ones_like(x), x, y, x * y, x * x, y * y], -1)


def _least_squares(terms: jax.Array, values: jax.Array) -> jax.Array:
    """The solution of the smallest norm, which exists for collinear and equal points too."""
    return _multiply(jnp.linalg.pinv(terms, rtol=1e-5), values)


def _multiply(left: jax.Array, right: jax.Array) -> jax.Array:
    return jnp.matmul(left, right, precision=jax.lax.Precision.HIGHEST)
