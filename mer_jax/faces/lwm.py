"""Local weighted mean: a smooth map of the plane from pairs of points (Goshtasby 1988).

Around each control point a polynomial of the second degree is fitted to the nearest pairs; at any
other place the polynomials whose discs reach it are averaged. The map is an inverse one: it says
for a place in the new image where in the old one to look.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mer_jax.errors import UserError

TERMS = 6  # 1, x, y, x y, x^2, y^2


class LocalWeightedMean(NamedTuple):
    """A fitted map of K control points."""

    centers: jax.Array  # [K, 2] px, the fixed control points
    radii: jax.Array  # [K] px, of the discs: the distance to the farthest neighbour
    polynomials: jax.Array  # [K, 6, 2] of the place relative to the centre, in radii
    affine: jax.Array  # [3, 2] what stands in where no disc reaches


def lwm_fit(fixed: jax.Array, moving: jax.Array, *, neighbors: int = 12) -> LocalWeightedMean:
    """Fits the map from `fixed` to `moving`; clean under jit and vmap.

    For control point i, with the N fixed points nearest to it (itself among them) and R_i the
    distance of the farthest: least squares of both moving coordinates on 1, x, y, x y, x^2, y^2 of
    ((p - c_i) / R_i). Goshtasby's polynomials are of p itself, which is the same map, but badly
    conditioned (10^7 against 10^2 on faces): float32 could not solve for them.

    Args:
      fixed: [K, 2] px (x, y) in the image to be made, no two at one place.
      moving: [K, 2] px, the same points in the image at hand.
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
        # The middle is taken out so that float32 is left with the displacements' digits.
        solved = _least_squares(terms, moving[order] - center[None])
        return solved.at[0].add(center)

    polynomials = jax.vmap(polynomial)(fixed, radii, order)
    middle = fixed.mean(0)
    away = fixed - middle[None]
    spread = jnp.sqrt(jnp.mean(away**2))
    slopes = _least_squares(away / spread, moving - moving.mean(0)[None]) / spread
    shift = moving.mean(0) - _multiply(middle, slopes)
    return LocalWeightedMean(fixed, radii, polynomials, jnp.concatenate([shift[None], slopes]))


def lwm_apply(fitted: LocalWeightedMean, points: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Where the map sends points, and which of them a disc covers.

    f(p) = sum_i w_i U_i(p) / sum_i w_i with w = 1 - 3 r^2 + 2 r^3 for r = |p - c_i| / R_i < 1, else
    0. Where no disc covers p (MATLAB leaves such pixels black) the affine map that fits all control
    points best stands in: what lies beyond the jaw or the hair keeps its place and size, at the
    price of a seam at the discs' rim.

    Args:
      points: [..., 2] px (x, y) in the image to be made.

    Returns:
      [..., 2] px in the image at hand, and [...] bool.
    """
    flat = jnp.asarray(points, jnp.float32).reshape(-1, 2)

    def add(total, disc):
        center, radius, polynomial = disc
        place = (flat - center[None]) / radius
        r = jnp.sqrt(jnp.maximum(jnp.sum(place * place, -1), 1e-20))
        weight = jnp.where(r < 1, 1 - 3 * r * r + 2 * r * r * r, 0.0)[:, None]
        value = _multiply(_terms(place), polynomial)
        return (total[0] + weight * value, total[1] + weight), None

    empty = jnp.zeros_like(flat), jnp.zeros_like(flat[:, :1])
    (values, weights), _ = jax.lax.scan(
        add, empty, (fitted.centers, fitted.radii, fitted.polynomials)
    )
    covered = weights > 0
    outside = fitted.affine[:1] + _multiply(flat, fitted.affine[1:])
    found = jnp.where(covered, values / jnp.where(covered, weights, 1.0), outside)
    return found.reshape(points.shape), covered.reshape(points.shape[:-1])


def _terms(place: jax.Array) -> jax.Array:
    x, y = place[..., 0], place[..., 1]
    return jnp.stack([jnp.ones_like(x), x, y, x * y, x * x, y * y], -1)


def _least_squares(terms: jax.Array, values: jax.Array) -> jax.Array:
    """The shortest solution, so that points in a line, or at one place, break nothing."""
    return _multiply(jnp.linalg.pinv(terms, rtol=1e-5), values)


def _multiply(left: jax.Array, right: jax.Array) -> jax.Array:
    return jnp.matmul(left, right, precision=jax.lax.Precision.HIGHEST)
