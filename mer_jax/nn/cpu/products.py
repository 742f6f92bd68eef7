"""Matrix products over the rows of an array, and the blocks of samples that a loop takes."""

import jax
import jax.numpy as jnp
from jax import lax

from mer_jax.nn.dispatch import accumulator_dtype


def rows(a: jax.Array) -> jax.Array:
    """The rows of a [..., K] as one matrix."""
    return a.reshape(-1, a.shape[-1])


def product(a: jax.Array, b: jax.Array, *, precision: lax.PrecisionLike = None) -> jax.Array:
    """The rows of a [..., K] times the matrix b [K, O], in the `accumulator_dtype` of a.

    16-bit numbers are converted first: XLA's CPU products of 16 bits into 32 lack some shapes. The
    rows make one matrix: with more axes the gradients would be transposed in memory.
    """
    dtype = accumulator_dtype(a.dtype)
    y = jnp.matmul(rows(a.astype(dtype)), b.astype(dtype), precision=precision)
    return y.reshape(*a.shape[:-1], b.shape[-1])


def zeros_varying_like(shape: tuple[int, ...], *arrays: jax.Array) -> jax.Array:
    """Zeros to which a loop may add products of `arrays`, also within `jax.shard_map`.

    There the type of a loop's carry says over which axes of the mesh it varies: those of `arrays`,
    from which the zeros are therefore selected.
    """
    dtype = accumulator_dtype(arrays[0].dtype)
    zero = sum(jnp.where(False, a.ravel()[0].astype(dtype), jnp.zeros((), dtype)) for a in arrays)
    return jnp.broadcast_to(zero, shape)


# Numbers that a loop over a batch takes at a time: few enough for a core's cache.
_BLOCK = 2**19


def in_blocks(*arrays: jax.Array, width: int, least: int = 0) -> tuple[jax.Array, ...]:
    """Arrays [B, ...] as [blocks, b, ...]: b samples of `width` numbers each within _BLOCK, or
    within `least` numbers where those are more."""
    batch, most = len(arrays[0]), max(_BLOCK, least)
    size = max(b for b in range(1, batch + 1) if batch % b == 0 and (b == 1 or b * width <= most))
    return tuple(a.reshape(batch // size, size, *a.shape[1:]) for a in arrays)
