"""Matrix products over the rows of an array, and blocks of samples for loops."""

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

    There a loop's carry must have the type of what is added to it, the mesh axes over which it
    varies included; the zeros are selected from `arrays` to vary over the same.
    """
    dtype = accumulator_dtype(arrays[0].dtype)
    zero = sum(jnp.where(False, a.ravel()[0].astype(dtype), jnp.zeros((), dtype)) for a in arrays)
    return jnp.broadcast_to(zero, shape)


# Numbers that a loop over a batch processes at a time; they fit a core's cache.
_BLOCK = 2**19


def in_blocks(
    *arrays: jax.Array, width: int, block_size: int = 0, least: int = 1
) -> tuple[jax.Array, ...]:
    """Arrays [B, ...] as [blocks, b, ...] for `lax.map` and `lax.scan`.

    Args:
      arrays: of equal B.
      width: numbers that the loop makes of a sample.
      block_size: a block may have so many numbers where that is more than _BLOCK.
      least: blocks, if B allows: XLA's CPU compiler dissolves a loop of one.

    Returns:
      Each array with b = the largest divisor of B that is allowed, at least 1.

    >>> import numpy as np
    >>> from mer_jax.nn.cpu.products import in_blocks
    >>> in_blocks(np.zeros((12, 3)), width=2**17)[0].shape
    (3, 4, 3)
    """
    batch = len(arrays[0])
    largest = max(1, min(max(_BLOCK, block_size) // max(width, 1), batch // least))
    size = max(b for b in range(1, min(batch, largest) + 1) if batch % b == 0)
    return tuple(a.reshape(batch // size, size, *a.shape[1:]) for a in arrays)
