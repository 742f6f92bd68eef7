"""Random frame selection followed by resampling, as one matrix, sampled on the device.

STRCN and MER-RCNN augment their training clips by selecting a random part of the frames and
resampling it to a fixed length. Both steps are linear in time, so one sample costs one small matrix
and one product with the clip, for any length of the clip.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from mer_jax.video.resample import matrix


def tables(longest: int, length_out: int, kernels: Sequence[str]) -> np.ndarray:
    """[kernels, longest + 1, length_out, longest]: entry n resamples n frames to `length_out`.

    Columns from n on are zero, and so is entry 0.
    """
    out = np.zeros((len(kernels), longest + 1, length_out, longest), np.float32)
    for rows, kernel in zip(out, kernels):
        for n in range(1, longest + 1):
            rows[n, :, :n] = matrix(n, length_out, kernel=kernel)
    return out


def all_frames(table: jax.Array, length: jax.Array) -> jax.Array:
    """[length_out, T]: all `length` frames of a clip, by one kernel's table."""
    return table[length]


def random_frames(
    key: jax.Array, table: jax.Array, length: jax.Array, percent: jax.Array
) -> jax.Array:
    """[length_out, T]: a random `percent` of a clip's first `length` frames, in their order.

    table: one kernel's, [T + 1, length_out, T]. At least one frame is selected.
    """
    longest = table.shape[-1]
    frame = jnp.arange(longest, dtype=jnp.int32)
    count = jnp.maximum(1, jnp.round(length.astype(jnp.float32) * percent / 100)).astype(jnp.int32)
    order = jnp.where(frame < length, jax.random.uniform(key, (longest,)), 2.0)
    selected = jnp.argsort(jnp.argsort(order)) < count
    rank = jnp.where(selected, jnp.cumsum(selected, dtype=jnp.int32) - 1, longest - 1)
    columns = jnp.take(table[count], rank, axis=1)
    return jnp.where(selected, columns, 0.0)
