"""The problem that one warp of a variational flow method solves, linearized about a flow.

`Linearized` is the data term around the current flow; `Robust.refine` and `TotalVariation.refine`
compute the next flow from it, by a fixed number of elementwise sweeps: a batch of pairs does the
same work as each pair alone.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
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

    Successive over-relaxation from (u0, v0): u and v of the red pixels of the checkerboard, then of
    the black ones. Each color is stored apart. Rows of an odd length, one after the other, have the
    colors in turn, so that the neighbors of all pixels of a color are at the same four offsets in
    the other: a sweep is elementwise products of long contiguous slices, without masks.

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
    row = width + 1 - width % 2
    half = row // 2
    # Two rows of zeros, or more, on both sides: the neighbors outside of the image.
    rows = height + 4 + height % 2
    start, length = row, (rows - 4) * row // 2  # of a color's pixels

    def split(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """[H or less, W or less] to red and black, each [rows * row / 2]."""
        zeros = jnp.zeros((rows, row), x.dtype)
        both = lax.dynamic_update_slice(zeros, x, (2, 0)).reshape(-1, 2)
        return both[:, 0], both[:, 1]

    def at(x: jax.Array, offset: int = 0) -> jax.Array:
        return lax.slice_in_dim(x, start + offset, start + offset + length)

    # Of the neighbors right of and below a pixel, and of those left of and above it.
    ahead, behind = ((0, half), (1, half + 1)), ((-1, -half - 1), (0, -half))
    weights = [[split(face[component]) for face in faces] for component in (0, 1)]

    def neighbors(component: int, color: int) -> list[tuple[jax.Array, int]]:
        """The weight and the offset of each: a face belongs to the pixel left of or above it."""
        return [
            *((at(face[color]), by) for face, by in zip(weights[component], ahead[color])),
            *((at(face[1 - color], by), by) for face, by in zip(weights[component], behind[color])),
        ]

    # The data term is (p u + q v - known)^2.
    root = jnp.sqrt(jnp.maximum(data, 1e-30))  # the root's slope at 0 is infinite
    p, q = root * ix, root * iy
    known = p * flow[0] + q * flow[1] - root * it
    slopes = [[at(part) for part in split(plane)] for plane in (p, q)]
    known_parts = [at(part) for part in split(known)]
    right = [[slope * k for slope, k in zip(slopes[c], known_parts)] for c in (0, 1)]
    cross = [a * b for a, b in zip(*slopes)]

    def relaxation(component: int, color: int) -> jax.Array:
        slope = slopes[component][color]
        diagonal = slope * slope + sum(weight for weight, _ in neighbors(component, color))
        return omega / jnp.where(diagonal > 0, diagonal, 1)  # 0 beside the image

    step = [[relaxation(c, color) for color in (0, 1)] for c in (0, 1)]

    def sweep(_, state):
        parts = [list(plane) for plane in state]
        for color in (0, 1):
            for c in (0, 1):
                others = sum(w * at(parts[c][1 - color], by) for w, by in neighbors(c, color))
                residual = right[c][color] - cross[color] * at(parts[1 - c][color]) + others
                new = (1 - omega) * at(parts[c][color]) + step[c][color] * residual
                # In place; the margins stay 0.
                parts[c][color] = lax.dynamic_update_slice_in_dim(parts[c][color], new, start, 0)
        return tuple(map(tuple, parts))

    state = lax.fori_loop(0, sweeps, sweep, tuple(split(plane) for plane in flow))

    def join(red: jax.Array, black: jax.Array) -> jax.Array:
        return jnp.stack([red, black], axis=-1).reshape(rows, row)[2 : 2 + height, :width]

    return jnp.stack([join(*parts) for parts in state])


PENALTIES = {
    # rho'(x) / x of x^2 and the scale: the weight of x^2 in an equivalent quadratic.
    "quadratic": lambda square, scale: jnp.full_like(square, 2 / scale**2),
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
