"""TICS: binary patterns in a color space whose components are as independent as possible.

Wang, Yan, Li, Zhao, Fu, "Micro-expression recognition using dynamic textures on tensor independent
color space", ICPR 2014, and with Zhou, Yang, Tao, "Micro-expression recognition using color
spaces", IEEE Transactions on Image Processing 24 (2015).
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from mer_jax.clips import check_axes, check_finite
from mer_jax.descriptors import lbp
from mer_jax.errors import UserError
from mer_jax.options import checked

_SWEEPS = 8  # of Jacobi rotations; they converge quadratically
_PAIRS = ((0, 1), (0, 2), (1, 2))
# Of the largest variance; a smaller one, as of gray frames in RGB, is rounding.
_LEAST_VARIANCE = 1e-6


@checked
def color_levels(clip: Array, *, length: int | Array | None = None) -> Array:
    """The gray levels of each channel; of C = 1 three times the same.

    Args:
      clip, length: as for `lbp_top`.

    Returns:
      [T, H, W, 3] uint8.

    Raises:
      UserError: as `lbp_top`.
    """
    of_frame = lambda frame: jnp.broadcast_to(frame, (*frame.shape[:2], 3))
    return lbp.to_levels(clip, of_frame, length=length)


def independent_colors(levels: Array, weights: Array) -> Array:
    """The transform of RGB into the independent color space of clips.

    The clips' tensors, unfolded along the color mode, are three signals of all their pixels, which
    independent component analysis separates. Which analysis is decided here, from the papers'
    abstracts: the signals are whitened, and the rotation diagonalizes their fourth-order cumulants
    jointly (JADE: Cardoso & Souloumiac, "Blind beamforming for non-Gaussian signals", IEE
    Proceedings F 140, 1993). Order and signs, which patterns depend on, are Comon's ("Independent
    component analysis, a new concept?", Signal Processing 36, 1994): by descending norm of the
    columns of the mixing matrix, whose largest entries are positive.

    Args:
      levels: [N, T, H, W, 3] uint8, see `color_levels`.
      weights: [N, T] of each frame; 0 for those of other clips and for padding.

    Returns:
      [3, 3] float32: rows are components, of Euclidean norm 1, or 0 for one that does not vary;
      columns R, G, B. Gray frames give one component along (1, 1, 1), weights of 0 none.

    Raises:
      UserError: for other axes, and, in arrays with values (not under `jit`), weights below 0, NaN
        or infinite.
    """
    check_axes(levels, "NTHW3", name="levels")
    check_axes(weights, f"{levels.shape[0]} {levels.shape[1]}", name="weights")
    check_finite(weights, axis="row")
    if not isinstance(weights, jax.core.Tracer) and (np.asarray(weights) < 0).any():
        raise UserError("weights are below 0; a frame counts 0 or more")
    total = jnp.maximum(weights.sum() * levels.shape[2] * levels.shape[3], 1)

    def moments(signals: Callable[[Array], Array]) -> Array:
        """The mean over all pixels of s s^T, of signals s of the colors: [P, 3] -> [P, D]."""

        def of_clip(clip):
            colors, weight = clip
            s = signals(colors.reshape(-1, 3).astype(jnp.float32))
            s = s.reshape(*colors.shape[:3], -1)
            # Row by row: one product over 1e6 pixels is summed in order and loses three digits.
            rows = jnp.einsum("thwi,thwj->thij", s, s, precision=lax.Precision.HIGHEST)
            return (weight[:, None, None] * rows.sum(1)).sum(0)

        return lax.map(of_clip, (levels, weights)).sum(0) / total

    mean = moments(lambda x: jnp.concatenate([jnp.ones_like(x[:, :1]), x], axis=1))[0, 1:]
    variance, axes = jnp.linalg.eigh(moments(lambda x: x - mean[None]))
    variance = jnp.where(variance > _LEAST_VARIANCE * variance[-1], variance, 0)
    deviation = jnp.sqrt(variance)
    # A component that does not vary is scaled as the largest one, not to the variance 1.
    divisor = jnp.sqrt(jnp.where(variance > 0, variance, jnp.maximum(variance[-1], 1)))
    matrix = axes / divisor[None, :]

    def products(x):
        z = jnp.matmul(x - mean[None], matrix, precision=lax.Precision.HIGHEST)
        return (z[:, :, None] * z[:, None, :]).reshape(-1, 9)

    fourth = moments(products).reshape(3, 3, 3, 3)
    rotation = _diagonalizing(_cumulants(fourth, variance / divisor**2))
    mixing = jnp.matmul(axes * deviation[None, :], rotation, precision=lax.Precision.HIGHEST)
    separating = jnp.matmul(matrix, rotation, precision=lax.Precision.HIGHEST).T
    largest = jnp.take_along_axis(mixing, jnp.argmax(jnp.abs(mixing), axis=0)[None], axis=0)[0]
    separating = separating * jnp.where(largest < 0, -1, 1)[:, None]
    power = jnp.sum(mixing**2, axis=0)
    # No component of three that vary has less than the smallest variance.
    separating = jnp.where((power > _LEAST_VARIANCE * variance[-1])[:, None], separating, 0)
    return _of_norm_1(separating[jnp.argsort(-power)])


def _of_norm_1(rows: Array) -> Array:
    """[K, 3] -> the same, each row of Euclidean norm 1, or 0."""
    # By the largest entry first: squares overflow or vanish where entries do not.
    largest = jnp.max(jnp.abs(rows), axis=1, keepdims=True)
    rows = rows / jnp.where(largest > 0, largest, 1)
    return rows / jnp.sqrt(jnp.maximum(jnp.sum(rows**2, axis=1, keepdims=True), 1))


def _cumulants(fourth: Array, second: Array) -> Array:
    """[3, 3, 3, 3] fourth moments and [3] variances of uncorrelated signals -> cumulants."""
    c = jnp.diag(second)
    pairs = (
        c[:, :, None, None] * c[None, None, :, :],
        c[:, None, :, None] * c[None, :, None, :],
        c[:, None, None, :] * c[None, :, :, None],
    )
    return fourth - sum(pairs)


def _diagonalizing(cumulants: Array) -> Array:
    """The rotation [3, 3] that makes the slices [:, :, k, l] as diagonal as possible."""

    def sweep(_, state):
        slices, rotation = state  # [9, 3, 3], [3, 3]
        for p, q in _PAIRS:
            apart = slices[:, p, p] - slices[:, q, q]
            across = slices[:, p, q] + slices[:, q, p]
            angle = jnp.arctan2(
                2 * jnp.sum(apart * across), jnp.sum(apart * apart) - jnp.sum(across * across)
            )
            cos, sin = jnp.cos(angle / 4), jnp.sin(angle / 4)
            step = jnp.eye(3).at[(p, p, q, q), (p, q, p, q)].set(jnp.stack([cos, -sin, sin, cos]))
            slices = jnp.einsum("ki,nkl,lj->nij", step, slices, step, precision="highest")
            rotation = jnp.matmul(rotation, step, precision="highest")
        return slices, rotation

    slices = jnp.moveaxis(cumulants.reshape(3, 3, 9), -1, 0)
    return lax.fori_loop(0, _SWEEPS, sweep, (slices, jnp.eye(3)))[1]


@checked
def lbp_tics(
    clip: Array,
    colors: Array,
    *,
    radii: Sequence[int] = (1, 1, 4),
    points: int = 8,
    blocks: Sequence[int] = (5, 5),
    mapping: str = "uniform",
    interpolate: bool = False,
    length: int | Array | None = None,
) -> Array:
    """`lbp_top` of each component of a color space, one after the other.

    A component is a weighted sum of the gray levels of R, G and B. The papers' histograms are of
    regions around facial action units, which they draw; here they are of `blocks`.

    Args:
      clip, radii, points, blocks, mapping, interpolate, length: as for `lbp_top`; of C = 1, R, G
        and B are equal.
      colors: [K, 3], the weights of R, G and B in each component, see `independent_colors`. Each
        row is divided by its norm; a row of 0 is a constant component.

    Returns:
      [K x rows x columns x 3 x bins] float32, C order; 13275 for K = 3 and the defaults.

    Raises:
      UserError: as `lbp_top`; for `colors` of another shape, with NaN or infinity.

    The color space of two clips, and the description of one of them in it:

    >>> import functools
    >>> clips = np.random.default_rng(0).integers(0, 256, (2, 5, 6, 6, 3), np.uint8)
    >>> colors = jax.jit(independent_colors)(clips, np.ones((2, 5), np.float32))
    >>> describe = functools.partial(lbp_tics, radii=(1, 1, 1), points=4, blocks=(1, 1))
    >>> jax.jit(describe)(clips[0], colors).shape  # 3 components, 3 planes, 15 bins
    (135,)
    """
    colors = _checked_colors(colors)
    levels = color_levels(clip, length=length)
    patterns = lbp.top_patterns(radii, points, mapping, interpolate)

    def of_component(weights):
        mixed = lambda frame: sum(weights[c] * frame[..., c].astype(jnp.float32) for c in range(3))
        return lbp.describe(lax.map(mixed, levels), patterns, radii, blocks, length)

    return lax.map(of_component, _of_norm_1(colors)).reshape(-1)


def _checked_colors(colors: Any) -> Array:
    """`colors` as [K, 3] float32. Raises `UserError` as `lbp_tics`."""
    try:
        given = colors if isinstance(colors, jax.Array) else np.asarray(colors)
    except ValueError:  # rows of unlike length
        given = np.zeros(0, object)
    real = any(jnp.issubdtype(given.dtype, kind) for kind in (jnp.floating, jnp.integer))
    if not real or given.ndim != 2 or given.shape[1] != 3 or not len(given):
        raise UserError(
            f"colors are {list(given.shape)} {given.dtype}; they must be [K, 3] real numbers, the "
            "weights of R, G and B in each component"
        )
    if not isinstance(given, jax.core.Tracer) and not np.isfinite(given).all():
        row = int(np.argmin(np.isfinite(given).all(1)))
        raise UserError(f"row {row} of colors holds NaN or infinity; give finite weights")
    return jnp.asarray(given, jnp.float32)
