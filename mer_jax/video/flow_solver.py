"""The problem that one warp of a variational flow method solves, linearized about a flow.

`Linearized` is the data term around the current flow; `Robust.refine` and `TotalVariation.refine`
compute the next flow from it, by a fixed number of elementwise sweeps: a batch of pairs does the
same work as each pair alone.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from mer_jax.options import checked


class Linearized(NamedTuple):
    """A pair near a flow w0: I2(x + w) - I1(x) is about it + ix (u - u0) + iy (v - v0)."""

    it: jax.Array  # [H, W], gray levels of 0..255; 0 where w0 leaves the image
    ix: jax.Array  # [H, W], gray levels per px
    iy: jax.Array  # [H, W]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Fields of every energy: preparation of a pair, warps and levels."""

    texture: float  # share of the ROF structure subtracted from the images; 0: none
    blend: float  # share of the first image's gradient in the linearization
    warps: int  # per level
    kernel: str = "spline"  # of `warp.KERNELS`
    median: int  # window of the filter after each warp, px; 1: none
    stages: tuple[float, ...] = (0.0,)  # graduated non-convexity: weight of the quadratic energy
    spacing: float = 2.0  # between levels of the first stage
    late_spacing: float = 1.25  # between the two levels of the later ones


def _pad(x: jax.Array, *, axis: int, before: int = 0, after: int = 0) -> jax.Array:
    """Zeros along one axis."""
    widths = [(0, 0)] * x.ndim
    widths[axis] = (before, after)
    return jnp.pad(x, widths)


def _face_differences(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Between neighbors, right [..., H, W - 1] and down [..., H - 1, W]."""
    return jnp.diff(x, axis=-1), jnp.diff(x, axis=-2)


def gradient(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Forward differences along W and along H, 0 at the last column and row.

    Two arrays, not one: stacked in every iteration of a loop, the loop takes five times as long.

    Args:
      x: [..., H, W].

    Returns:
      Two of [..., H, W].

    >>> along_w, along_h = gradient(jnp.array([[0.0, 1.0, 3.0]]))
    >>> along_w.tolist(), along_h.tolist()
    ([[1.0, 2.0, 0.0]], [[0.0, 0.0, 0.0]])
    """
    right, down = _face_differences(x)
    return _pad(right, axis=-1, after=1), _pad(down, axis=-2, after=1)


def divergence(along_w: jax.Array, along_h: jax.Array) -> jax.Array:
    """The negative adjoint of `gradient`.

    Args:
      along_w, along_h: [..., H, W].

    Returns:
      [..., H, W].

    >>> divergence(*gradient(jnp.array([[0.0, 1.0, 3.0]]))).tolist()
    [[1.0, 1.0, -2.0]]
    """
    across, down = along_w[..., :-1], along_h[..., :-1, :]
    return (
        _pad(across, axis=-1, after=1)
        - _pad(across, axis=-1, before=1)
        + _pad(down, axis=-2, after=1)
        - _pad(down, axis=-2, before=1)
    )


class _Color(NamedTuple):
    """The equations of the pixels of one color of the checkerboard, row after row, flat: [L].

    A pixel's four neighbors have the other color. In that color's flat order they are at the same
    index, one row above, one row below, and at the next index on one side: left in every other row,
    right in the rest.
    """

    weights: jax.Array  # [2, 4, L] for u and v: same index, beside, above, below; 0 outside
    right: jax.Array  # [2, L] right-hand side
    inverse: jax.Array  # [3, L] of the pixel's own 2 x 2 block: uu, uv, vv


def _split(planes: jax.Array) -> tuple[jax.Array, jax.Array]:
    """[..., H, W] to its two colors, each [..., H * ceil(W / 2)]; a last odd column gets a 0."""
    height, width = planes.shape[-2:]
    planes = _pad(planes, axis=-1, after=width % 2)
    planes = planes.reshape(*planes.shape[:-1], -1, 2)
    even = (jnp.arange(height) % 2 == 0)[:, None]
    first, second = planes[..., 0], planes[..., 1]
    flat = (*planes.shape[:-3], -1)
    return (
        jnp.where(even, first, second).reshape(flat),
        jnp.where(even, second, first).reshape(flat),
    )


def _join(red: jax.Array, black: jax.Array, height: int, width: int) -> jax.Array:
    """The inverse of `_split`."""
    shape = (*red.shape[:-1], height, -1)
    red, black = red.reshape(shape), black.reshape(shape)
    even = (jnp.arange(height) % 2 == 0)[:, None]
    planes = jnp.stack([jnp.where(even, red, black), jnp.where(even, black, red)], axis=-1)
    return planes.reshape(*planes.shape[:-2], -1)[..., :width]


@checked
def solve(
    data: jax.Array,
    faces: tuple[jax.Array, jax.Array],
    linear: Linearized,
    flow: jax.Array,
    *,
    sweeps: int,
    omega: float,
) -> jax.Array:
    """Minimizes data (it + ix (u - u0) + iy (v - v0))^2 + sum of faces (difference of u or v)^2.

    Successive over-relaxation of the pixels' 2 x 2 blocks, red and black, from (u0, v0). Each color
    is stored apart and flat, so that a sweep is long elementwise products without masks and visits
    each pixel once.

    Args:
      data: [H, W], at least 0.
      faces: weights above 0 between neighbors, for u and v: along W, [2, H, W - 1], and along H,
        [2, H - 1, W].
      linear: the data term around `flow`.
      flow: [2, H, W], (u0, v0) px.
      sweeps: over both colors.
      omega: relaxation factor in (0, 2); 1.6 to 1.8 is fastest on faces.

    Returns:
      [2, H, W] px.
    """
    it, ix, iy = linear
    height, width = it.shape
    even_column = np.arange(width) % 2 == 0
    across, down = faces
    left, right = _pad(across, axis=-1, before=1), _pad(across, axis=-1, after=1)
    above, below = _pad(down, axis=-2, before=1), _pad(down, axis=-2, after=1)
    # An even and the next odd column have the same index in the flat order.
    same, beside = jnp.where(even_column, right, left), jnp.where(even_column, left, right)
    weights = jnp.stack([same, beside, above, below], axis=1)
    sum_u, sum_v = weights.sum(axis=1)
    known = data * (ix * flow[0] + iy * flow[1] - it)
    # Written out, the determinant is a sum of positive terms: nothing cancels.
    determinant = data * (ix * ix * sum_v + iy * iy * sum_u) + sum_u * sum_v
    inverse = jnp.stack([data * iy * iy + sum_v, -data * ix * iy, data * ix * ix + sum_u])

    red, black = (
        _Color(*parts)
        for parts in zip(
            _split(weights),
            _split(jnp.stack([known * ix, known * iy])),
            _split(omega * inverse / determinant[None]),
            strict=True,
        )
    )
    row = (width + 1) // 2
    margin, length = row + 1, height * row
    even_row = np.arange(length) // row % 2 == 0

    def shifted(x: jax.Array, by: int) -> jax.Array:
        return lax.slice_in_dim(x, margin + by, margin + by + length, axis=-1)

    def relaxed(own: jax.Array, other: jax.Array, color: _Color, beside_left: np.ndarray):
        beside = jnp.where(beside_left, shifted(other, -1), shifted(other, 1))
        neighbors = (shifted(other, 0), beside, shifted(other, -row), shifted(other, row))
        total = color.right + sum(color.weights[:, i] * x for i, x in enumerate(neighbors))
        uu, uv, vv = color.inverse
        step = jnp.stack([uu * total[0] + uv * total[1], uv * total[0] + vv * total[1]])
        new = (1 - omega) * shifted(own, 0) + step
        return lax.dynamic_update_slice_in_dim(own, new, margin, axis=-1)

    def sweep(_, state):
        r, b = state
        r = relaxed(r, b, red, even_row)
        b = relaxed(b, r, black, ~even_row)
        return r, b

    # The margins of zeros are never written and the pixels are updated in place: half the time
    # of padding the other color in every sweep.
    state = tuple(_pad(part, axis=-1, before=margin, after=margin) for part in _split(flow))
    red_flow, black_flow = (shifted(part, 0) for part in lax.fori_loop(0, sweeps, sweep, state))
    return _join(red_flow, black_flow, height, width)


PENALTIES = {
    # rho'(x) / x of x^2 and the scale: the weight of x^2 in an equivalent quadratic.
    "quadratic": lambda square, scale: 2 / scale**2 + 0 * square,
    "lorentzian": lambda square, scale: 2 / (2 * scale**2 + square),
    "charbonnier": lambda square, scale: lax.rsqrt(scale**2 + square),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Robust(Settings):
    """rho_D(I2(x + w) - I1(x)) + smoothness (rho_S(u_x) + rho_S(u_y) + rho_S(v_x) + rho_S(v_y)).

    Sun, Roth & Black 2010, eq. 1; each warp solves one linear system, with the penalties replaced
    by the tangent quadratics at the current flow. In a stage of weight a the energy is
    1 - a times this one plus a times a quadratic one, of data scale sigma_data / sigma_smooth and
    smoothness scale 1.
    """

    penalty: str  # of PENALTIES
    sigma_data: float  # gray levels of 0..255
    sigma_smooth: float  # px per px
    smoothness: float
    limit: float = 1.0  # largest change of u or v in a warp, px
    sweeps: int = 30
    omega: float = 1.7

    def refine(
        self, linear: Linearized, flow: jax.Array, memory: jax.Array, stage: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """The next flow, [2, H, W], and `memory` unchanged.

        Args:
          linear: the data term around `flow`.
          flow: [2, H, W] px.
          memory: not used.
          stage: [], the weight a of the quadratic energy.
        """
        penalty = PENALTIES[self.penalty]
        quadratic = PENALTIES["quadratic"]

        def mixed(x, sigma, wide):
            return stage * quadratic(x * x, wide) + (1 - stage) * penalty(x * x, sigma)

        data = mixed(linear.it, self.sigma_data, self.sigma_data / self.sigma_smooth)
        faces = tuple(
            self.smoothness * mixed(difference, self.sigma_smooth, 1.0)
            for difference in _face_differences(flow)
        )
        new = solve(data, faces, linear, flow, sweeps=self.sweeps, omega=self.omega)
        return flow + jnp.clip(new - flow, -self.limit, self.limit), memory


@dataclasses.dataclass(frozen=True, kw_only=True)
class TotalVariation(Settings):
    """attachment |I2(x + w) - I1(x)| + |grad u| + |grad v|, by duality.

    Zach, Pock & Bischof 2007 in the form of Sanchez, Meinhardt-Llopis & Facciolo 2013 (IPOL,
    algorithm 1), with a fixed number of iterations a warp in place of their stopping rule.
    """

    attachment: float  # lambda
    tightness: float  # theta: coupling of the data term's flow to the smooth one
    step: float  # tau
    iterations: int  # per warp

    def refine(
        self, linear: Linearized, flow: jax.Array, memory: jax.Array, stage: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """The next flow, [2, H, W], and the dual variables, [2 (x, y), 2 (u, v), H, W].

        Args:
          linear: the data term around `flow`.
          flow: [2, H, W] px.
          memory: the dual variables of the last warp.
          stage: not used.
        """
        it, slope = linear.it, jnp.stack([linear.ix, linear.iy])
        squared = (slope * slope).sum(axis=0)
        bound = self.attachment * self.tightness
        offset = it - (slope * flow).sum(axis=0)

        def iterate(_, state):
            smooth, along_w, along_h = state
            residual = offset + (slope * smooth).sum(axis=0)
            # The minimizer of the data term: a full step to zero residual where that is short.
            share = jnp.clip(residual / jnp.maximum(squared, 1e-9), -bound, bound)
            fitted = smooth - share[None] * slope
            smooth = fitted + self.tightness * divergence(along_w, along_h)
            x, y = gradient(smooth)
            ratio = self.step / self.tightness
            size = 1 + ratio * jnp.sqrt(x * x + y * y + 1e-30)
            return smooth, (along_w + ratio * x) / size, (along_h + ratio * y) / size

        flow, *dual = lax.fori_loop(0, self.iterations, iterate, (flow, *memory))
        return flow, jnp.stack(dual)
