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
    """Resampling matrices for clips of every length.

    Args:
      longest: frames of the longest clip.
      length_out: frames after resampling.
      kernels: of `video.resample.matrix`.

    Returns:
      [kernels, longest + 1, length_out, longest] float32: entry n resamples n frames; its columns
      from n on are 0, and so is entry 0.

    >>> from mer_jax.methods import frame_selection
    >>> frame_selection.tables(3, 2, ["tim"])[0, 3].round(3) + 0  # the first and the last of three
    array([[1., 0., 0.],
           [0., 0., 1.]], dtype=float32)
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
    """[length_out, T]: resamples a random part of a clip's first `length` frames, in their order.

    Args:
      key: PRNG key.
      table: of one kernel, [T + 1, length_out, T], from `tables`.
      length: [] int32, frames of the clip.
      percent: [] float32, of the frames that are used; at least one is.
    """
    longest = table.shape[-1]
    frame = jnp.arange(longest, dtype=jnp.int32)
    count = jnp.maximum(1, jnp.round(length.astype(jnp.float32) * percent / 100)).astype(jnp.int32)
    order = jnp.where(frame < length, jax.random.uniform(key, (longest,)), 2.0)
    selected = jnp.argsort(jnp.argsort(order)) < count
    rank = jnp.where(selected, jnp.cumsum(selected, dtype=jnp.int32) - 1, longest - 1)
    columns = jnp.take(table[count], rank, axis=1)
    return jnp.where(selected, columns, 0.0)
