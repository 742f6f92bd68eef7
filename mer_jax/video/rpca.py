"""Robust principal components: what stays in a clip and what moves.

The inexact augmented Lagrange multiplier method of Lin, Chen & Ma 2010 (arXiv:1009.5055), algorithm
5. PSN gives the sparse part to its spatial sub-network.
"""

import math
import numbers

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from mer_jax.clips import to_float
from mer_jax.errors import UserError
from mer_jax.options import checked


def _product(subscripts: str, *operands: jax.Array) -> jax.Array:
    return jnp.einsum(subscripts, *operands, precision=lax.Precision.HIGHEST)


def _shrink(x: jax.Array, by: jax.Array) -> jax.Array:
    return x - jnp.clip(x, -by, by)


def _shrink_spectrum(x: jax.Array, by: jax.Array) -> jax.Array:
    """Takes `by` from the singular values of x, [T, P] with T the short side; none goes under 0.

    All decompositions are T x T. The Gram matrix alone squares the condition, and in float32 the
    singular values under 3e-4 of the largest drown; so its eigenvectors only turn x to rows that
    are nearly orthogonal, these are scaled to length 1, and what is left to turn is well
    conditioned: with x = V diag(d) N and N N' = R' R, the singular values of x are those of
    diag(d) R', which has them to the precision of x itself.
    """
    _, v = jnp.linalg.eigh(_product("ip,jp->ij", x, x))
    rows = _product("ij,ip->jp", v, x)
    d = jnp.sqrt(_product("ip,ip->i", rows, rows))
    # Rows this short are rounding errors, and may all point the same way.
    real = d > 1e-6 * d.max()
    unit = jnp.where(real[:, None], rows / jnp.where(real, d, 1)[:, None], 0)
    d = jnp.where(real, d, 0)
    w, q = jnp.linalg.eigh(_product("ip,jp->ij", unit, unit))
    root = jnp.sqrt(jnp.maximum(w, 1e-6))
    left, s, right = jnp.linalg.svd(d[:, None] * (q * root[None, :]))
    kept = (left * jnp.maximum(s - by, 0)[None, :]) @ (right @ (q / root[None, :]).T)
    return _product("ij,jp->ip", _product("ij,jk->ik", v, kept), unit)


@checked
def rpca(
    matrix: jax.Array,
    *,
    lam: float | None = None,
    tol: float = 1e-6,
    max_iter: int = 100,
) -> tuple[jax.Array, jax.Array]:
    """Splits a matrix D into low-rank + sparse: min |A|_* + lam |E|_1 with D = A + E.

    Args:
        matrix: [P, T] float32, one column a frame (any shape works; the short side costs). Of any
            range, with which A and E scale; integers are converted by theirs (`clips.to_float`).
        lam: the price of the sparse part; 1 / sqrt(max(P, T)) by default. On 8-bit video that
            leaves hardly an exact zero in E; 1.5 times as much leaves about a third non-zero.
        tol: stops when |D - A - E|_F < tol |D|_F. float32 does not reach 1e-7.
        max_iter: stops then at the latest; about 30 are needed.

    Returns:
        (A, E), each as `matrix`. Zeros for a matrix of zeros. Not differentiable in reverse.

    Raises:
        UserError: the matrix holds NaN or infinity; under jit and vmap, where nobody can tell, A
            and E are then NaN throughout.
    """
    matrix = to_float(matrix, beyond=math.inf)
    _refuse_bad(matrix)
    if matrix.shape[0] > matrix.shape[1]:
        low_rank, sparse = rpca(matrix.T, lam=lam, tol=tol, max_iter=max_iter)
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
        sparse = _shrink(shifted - low_rank, lam / mu)
        low_rank = _shrink_spectrum(shifted - sparse, 1 / mu)
        left_over = matrix - low_rank - sparse
        residual = jnp.linalg.norm(left_over) / frobenius
        dual = dual + mu * left_over
        mu = jnp.minimum(1.5 * mu, 1e7 * first)
        return iteration + 1, low_rank, sparse, dual, mu, residual

    zero = jnp.zeros_like(matrix)
    start = (0, zero, zero, dual, first, jnp.full((), jnp.inf, matrix.dtype))
    _, low_rank, sparse, *_, residual = lax.while_loop(unfinished, improve, start)
    sound = jnp.isfinite(residual)
    return jnp.where(sound, low_rank, jnp.nan), jnp.where(sound, sparse, jnp.nan)


@checked
def keep_quantiles(sparse: jax.Array, *, low: float = 0.7, high: float = 1.0) -> jax.Array:
    """Keeps the non-zero entries whose size lies between two quantiles; the others become 0.

    PSN is best with "20-30 % of the non-zero information" kept and does not say how (Fig. 10). Read
    as the strongest 30 % of the m entries that are not 0: the default. Of these, ranked by size
    from 0 to m - 1, ceil(low m) to ceil(high m) - 1 stay, and what is as large as one of them. The
    figure's ten ratios are low = 0.9, 0.8, ..., 0.0 at high = 1; as ten bands of one tenth each,
    low = i / 10 and high = (i + 1) / 10. The other reading, a larger `lam` in `rpca`, needs no
    `keep_quantiles`.

    Args:
        sparse: E of `rpca`, any shape and range; the quantiles are over all of it.
        low, high: of [0, 1], low at most high.

    Raises:
        UserError: low is above high, or an entry is NaN or infinite; under jit and vmap such an
            entry stays as it is, and has no rank among the others.
    """
    known = isinstance(low, numbers.Real) and isinstance(high, numbers.Real)
    if known and low > high:
        raise UserError(f"low is {low} and high is {high}; low must be at most high")
    sparse = to_float(sparse, beyond=math.inf)
    _refuse_bad(sparse)
    size = lax.stop_gradient(jnp.abs(sparse))
    finite = jnp.isfinite(size)
    ranked = jnp.sort(jnp.where(finite, size, jnp.inf), axis=None)  # zeros, the m, bad ones
    zeros = jnp.sum(ranked == 0, dtype=jnp.int32)
    count = jnp.sum(finite, dtype=jnp.int32) - zeros

    def rank(share: float) -> jax.Array:
        some = jnp.ceil(share * count.astype(jnp.float32)).astype(jnp.int32)
        return zeros + jnp.minimum(some, count)

    least, most = (jnp.take(ranked, at, mode="clip") for at in (rank(low), rank(high) - 1))
    return jnp.where((size >= least) & (size <= most) | ~finite, sparse, 0)


def _refuse_bad(matrix: jax.Array) -> None:
    """Raises `UserError` with the first entry that is no number, unless `matrix` is traced."""
    if isinstance(matrix, jax.core.Tracer):
        return
    bad = np.argwhere(~np.isfinite(np.asarray(matrix)))
    if len(bad):
        raise UserError(
            f"RPCA takes finite numbers, and entry {bad[0].tolist()} of {list(matrix.shape)} is "
            f"{matrix[tuple(bad[0])]}; leave out or mend the frame it comes from"
        )
