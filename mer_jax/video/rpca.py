"""Robust principal components: the static (low-rank) and the moving (sparse) part of a clip.

The inexact augmented Lagrange multiplier method of Lin, Chen & Ma 2010 (arXiv:1009.5055), algorithm
5. PSN gives the sparse part to its spatial sub-network.
"""

import math
from collections.abc import Callable
from fractions import Fraction

import jax
import jax.numpy as jnp
from jax import lax

from mer_jax.clips import check_finite, to_float
from mer_jax.options import checked


def _product(subscripts: str, *operands: jax.Array) -> jax.Array:
    return jnp.einsum(subscripts, *operands, precision=lax.Precision.HIGHEST)


def _soft_threshold(x: jax.Array, threshold: jax.Array) -> jax.Array:
    return x - jnp.clip(x, -threshold, threshold)


def _threshold_singular_values(x: jax.Array, threshold: jax.Array) -> jax.Array:
    """Subtracts `threshold` from the singular values of x [T, P], T <= P; none becomes negative.

    All decompositions are T x T. The Gram matrix alone squares the condition number, and in float32
    singular values under 3e-4 of the largest are lost. So its eigenvectors only rotate x to rows
    that are nearly orthogonal, these are scaled to length 1, and the remaining rotation is well
    conditioned: with x = V diag(d) N and N N' = R' R, the singular values of x are those of
    diag(d) R', which has them to the precision of x itself.
    """
    _, v = jnp.linalg.eigh(_product("ip,jp->ij", x, x))
    rows = _product("ij,ip->jp", v, x)
    d = jnp.sqrt(_product("ip,ip->i", rows, rows))
    # Shorter rows are rounding errors, and may all be parallel.
    nonzero = d > 1e-6 * d.max()
    unit = jnp.where(nonzero[:, None], rows / jnp.where(nonzero, d, 1)[:, None], 0)
    d = jnp.where(nonzero, d, 0)
    w, q = jnp.linalg.eigh(_product("ip,jp->ij", unit, unit))
    root = jnp.sqrt(jnp.maximum(w, 1e-6))
    left, s, right = jnp.linalg.svd(d[:, None] * (q * root[None, :]))
    back = _product("ik,jk->ij", right, q / root[None, :])
    reduced = _product("ij,jk->ik", left * jnp.maximum(s - threshold, 0)[None, :], back)
    return _product("ij,jp->ip", _product("ij,jk->ik", v, reduced), unit)


@checked
def rpca(
    matrix: jax.Array,
    *,
    lam: float | None = None,
    tol: float = 1e-6,
    max_iter: int = 100,
    progress: Callable[[float], None] | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Splits a matrix D into low-rank + sparse: min |A|_* + lam |E|_1 with D = A + E.

    Args:
      matrix: [P, T], one column a frame; any shape works, and time grows with the cube of the
        shorter side. Floats of any range, with which A and E scale; integers are converted by
        their range (`clips.to_float`).
      lam: the weight of the sparse part; default 1 / sqrt(max(P, T)). On 8-bit video that leaves
        hardly an exact zero in E; 1.5 times as much leaves about a third non-zero.
      tol: stops when |D - A - E|_F < tol |D|_F. float32 does not reach 1e-7.
      max_iter: largest number of iterations; about 30 are needed.
      progress: called after each iteration with the share of the way to `tol`, log(residual) /
        log(tol) in [0, 1].

    Returns:
      (A, E), each as `matrix`; zeros for a matrix of zeros. Not differentiable in reverse.

    Raises:
      UserError: for other axes, NaN or infinity; of a traced matrix with these, A and E are NaN.

    >>> import numpy as np
    >>> still = np.linspace(0.1, 0.9, 12, dtype=np.float32)[:, None] * np.ones((1, 5), np.float32)
    >>> clip = still.copy()
    >>> clip[3, 2] += 0.5  # one pixel of one frame changes
    >>> low_rank, sparse = map(np.asarray, jax.jit(rpca)(clip))
    >>> print(f"{sparse[3, 2]:.2f} {np.abs(low_rank - still).max():.2f}")
    0.50 0.00
    """
    matrix = to_float(matrix, axes="PT", margin=math.inf, name="matrix")
    check_finite(jnp.moveaxis(matrix, 1, 0), axis="column")
    if matrix.shape[0] > matrix.shape[1]:
        low_rank, sparse = rpca(matrix.T, lam=lam, tol=tol, max_iter=max_iter, progress=progress)
        return low_rank.T, sparse.T
    if lam is None:
        lam = 1 / math.sqrt(matrix.shape[1])

    gram = _product("ip,jp->ij", matrix, matrix)
    spectral = jnp.sqrt(jnp.maximum(jnp.linalg.eigvalsh(gram)[-1], 0))
    spectral = jnp.where(spectral > 0, spectral, 1)
    frobenius = jnp.linalg.norm(matrix)
    frobenius = jnp.where(frobenius > 0, frobenius, 1)
    dual = matrix / jnp.maximum(spectral, jnp.abs(matrix).max() / lam)
    first = 1.25 / spectral

    def unfinished(state):
        iteration, *_, residual = state
        return (iteration < max_iter) & (residual >= tol)

    def improve(state):
        iteration, low_rank, _, dual, mu, _ = state
        shifted = matrix + dual / mu
        sparse = _soft_threshold(shifted - low_rank, lam / mu)
        low_rank = _threshold_singular_values(shifted - sparse, 1 / mu)
        remainder = matrix - low_rank - sparse
        residual = jnp.linalg.norm(remainder) / frobenius
        if progress is not None:
            jax.debug.callback(progress, jnp.clip(jnp.log(residual) / math.log(tol), 0, 1))
        dual = dual + mu * remainder
        mu = jnp.minimum(1.5 * mu, 1e7 * first)
        return iteration + 1, low_rank, sparse, dual, mu, residual

    zero = jnp.zeros_like(matrix)
    start = (0, zero, zero, dual, first, jnp.full((), jnp.inf, matrix.dtype))
    _, low_rank, sparse, *_, residual = lax.while_loop(unfinished, improve, start)
    finite = jnp.isfinite(residual)
    return jnp.where(finite, low_rank, jnp.nan), jnp.where(finite, sparse, jnp.nan)


@checked
def keep_quantiles(sparse: jax.Array, *, low: float = 0.7, high: float = 1.0) -> jax.Array:
    """Keeps the non-zero entries whose magnitude lies between two quantiles; others become 0.

    PSN is best with "20-30 % of the non-zero information" and does not define it (Fig. 10). Read as
    the strongest 30 % of the m entries that are not 0: the default. Ranked by magnitude from 0 to m
    - 1, the entries ceil(low m) to ceil(high m) - 1 are kept, and those equal to one of them. The
    figure's ten ratios are low = 0.9, 0.8, ..., 0.0 at high = 1; as ten bands of one tenth each,
    low = i / 10 and high = (i + 1) / 10. The other reading, a larger `lam` in `rpca`, needs no
    `keep_quantiles`.

    Args:
      sparse: E of `rpca`, any shape and range; the quantiles are over all entries.
      low, high: in [0, 1], low below high.

    Returns:
      As `sparse`.

    Raises:
      UserError: for low not below high, an empty array, NaN or infinity; in a traced array, NaN and
        infinity are kept and have no rank.

    >>> keep_quantiles(jnp.array([0.0, 4.0, -1.0, -3.0, 2.0]), low=0.5)
    Array([ 0.,  4.,  0., -3.,  0.], dtype=float32)
    """
    sparse = to_float(sparse, axes="N...", margin=math.inf, name="sparse")
    check_finite(sparse, axis="row")
    magnitude = lax.stop_gradient(jnp.abs(sparse))
    finite = jnp.isfinite(magnitude)
    ranked = jnp.sort(jnp.where(finite, magnitude, jnp.inf), axis=None)  # zeros, the m, not finite
    zeros = jnp.sum(ranked == 0, dtype=jnp.int32)
    count = jnp.sum(finite, dtype=jnp.int32) - zeros

    def rank(share: float | jax.Array) -> jax.Array:
        if isinstance(share, jax.core.Tracer):
            some = jnp.ceil(share * count.astype(jnp.float32)).astype(jnp.int32)
        else:  # ceil(count p / q) in whole numbers, which have no rounding and here no overflow
            p, q = Fraction(str(float(share))).limit_denominator(10_000).as_integer_ratio()
            some = count // q * p - (count % q * -p) // q
        return zeros + jnp.minimum(some, count)

    least, most = (jnp.take(ranked, at, mode="clip") for at in (rank(low), rank(high) - 1))
    return jnp.where((magnitude >= least) & (magnitude <= most) | ~finite, sparse, 0)
