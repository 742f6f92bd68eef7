"""Random frame selection followed by resampling, as one matrix, drawn on the device.

STRCN and MER-RCNN enrich their training clips by keeping a random part of the frames and bringing
what is left to a fixed length. Both steps are linear in time, so one sample costs one small matrix
and one product with the clip, whatever the clip's length.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from mer_jax.video.resample import matrix


def tables(longest: int, length_out: int, kernels: Sequence[str]) -> np.ndarray:
    """[kernels, longest + 1, length_out, longest]: entry n brings n frames to `length_out`.

    Columns from n on are zero; so is entry 0, which nobody asks for.
    """
    out = np.zeros((len(kernels), longest + 1, length_out, longest), np.float32)
    for rows, kernel in zip(out, kernels):
        for n in range(1, longest + 1):
            rows[n, :, :n] = matrix(n, length_out, kernel=kernel)
    return out


def whole(table: jax.Array, length: jax.Array) -> jax.Array:
    """[length_out, T]: all `length` frames of a clip, by one kernel's table."""
    return table[length]


def drawn(key: jax.Array, table: jax.Array, length: jax.Array, percent: jax.Array) -> jax.Array:
    """[length_out, T]: a random `percent` of a clip's first `length` frames, in their order.

    table: one kernel's, [T + 1, length_out, T]. At least one frame is kept.
    """
    longest = table.shape[-1]
    frame = jnp.arange(longest, dtype=jnp.int32)
    count = jnp.maximum(1, jnp.round(length.astype(jnp.float32) * percent / 100)).astype(jnp.int32)
    lot = jnp.where(frame < length, jax.random.uniform(key, (longest,)), 2.0)
    keeps = jnp.argsort(jnp.argsort(lot)) < count
    place = jnp.where(keeps, jnp.cumsum(keeps, dtype=jnp.int32) - 1, longest - 1)
    columns = jnp.take(table[count], place, axis=1)  # the kept frames' columns, in place
    return jnp.where(keeps, columns, 0.0)
