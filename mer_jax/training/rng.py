"""Random streams of a fold.

Every draw depends on the seed, the fold's name, the purpose and the epoch only: a fold does not
depend on other folds, and a resumed job draws what an uninterrupted one draws.
"""

import zlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

SAMPLERS = ("shuffle", "balanced", "sequential")


def map_key_data(function: Callable[[Any], Any], leaf: Any) -> Any:
    """`function` of an array; of a typed key, the key of `function` of its data."""
    if jax.numpy.issubdtype(getattr(leaf, "dtype", int), jax.dtypes.prng_key):
        return jax.random.wrap_key_data(function(jax.random.key_data(leaf)))
    return function(leaf)


def fold_key(seed: int, fold: str) -> jax.Array:
    """The key of one fold: a function of the seed and of the fold's name.

    >>> a, b = fold_key(0, "casme2/sub01"), fold_key(0, "casme2/sub02")
    >>> bool((jax.random.key_data(a) == jax.random.key_data(b)).all())
    False
    """
    return fold_in_name(jax.random.key(seed), fold)


def fold_in_name(key: jax.Array, purpose: str) -> jax.Array:
    """The stream of `key` for one purpose ("init", "batches", ...)."""
    return jax.random.fold_in(key, zlib.crc32(purpose.encode()))


def steps_and_batch_size(
    clips: int, batch_size: int, repeats_per_epoch: int, *, sampler: str = "shuffle"
) -> tuple[int, int]:
    """Steps of an epoch and rows of a batch, for N clips visited `repeats_per_epoch` times.

    Both depend on the number of all clips, not on a fold's training clips, so that every fold of
    every job over these clips runs the same program.

    Args:
      clips: N.
      batch_size: the largest number of rows.
      repeats_per_epoch: visits of each clip.
      sampler: one of `SAMPLERS`.

    Returns:
      (S, B): S = ceil(N repeats_per_epoch / batch_size), and B rows, at most `batch_size`: as few
      as do, but those of all batches but the last for "sequential".

    >>> steps_and_batch_size(100, 32, 1), steps_and_batch_size(100, 32, 1, sampler="sequential")
    ((4, 25), (4, 32))
    """
    samples = clips * repeats_per_epoch
    steps = -(-samples // batch_size)
    return steps, min(batch_size, samples) if sampler == "sequential" else -(-samples // steps)


# Eight parameters: those of all samplers.
def batches(
    key: jax.Array,
    train: jax.Array,
    labels: jax.Array,
    *,
    sampler: str,
    num_classes: int,
    steps: int,
    batch_size: int,
    repeats_per_epoch: int,
) -> tuple[jax.Array, jax.Array]:
    """One epoch's batches by `sampler`, one of `SAMPLERS`; parameters and result as there."""
    size = {"steps": steps, "batch_size": batch_size}
    if sampler == "balanced":
        return balanced(key, train, labels, num_classes=num_classes, **size)
    if sampler == "sequential":
        return sequential(train, labels, repeats_per_epoch=repeats_per_epoch, **size)
    return shuffled(key, train, repeats_per_epoch=repeats_per_epoch, **size)


def shuffled(
    key: jax.Array, train: jax.Array, *, steps: int, batch_size: int, repeats_per_epoch: int = 1
) -> tuple[jax.Array, jax.Array]:
    """One epoch's batches: each training clip `repeats_per_epoch` times, in batches of equal size.

    The visits are divided over the steps evenly (sizes differ by at most one) instead of leaving
    a short last batch.

    Args:
      key: of the epoch.
      train: [N] bool, the fold's training clips.
      steps, batch_size: S and B of `steps_and_batch_size`.
      repeats_per_epoch: visits of each clip.

    Returns:
      Index [S, B] int32 into the clips, and mask [S, B] float32, 0 where a row is padding.

    >>> train = jnp.array([True, True, False, True])
    >>> index, mask = shuffled(jax.random.key(0), train, steps=2, batch_size=2)
    >>> sorted(index[mask > 0].tolist())
    [0, 1, 3]
    """
    clips = train.shape[0]
    order = jax.random.uniform(key, (clips * repeats_per_epoch,))
    order = jnp.argsort(
        jnp.where(jnp.tile(train, repeats_per_epoch), order, 2.0)
    )  # held-out clips last
    visits = jnp.sum(train, dtype=jnp.int32) * repeats_per_epoch
    base, extra = visits // steps, visits % steps
    step = jnp.arange(steps, dtype=jnp.int32)
    start = step * base + jnp.minimum(step, extra)
    size = base + (step < extra).astype(jnp.int32)
    row = jnp.arange(batch_size, dtype=jnp.int32)
    mask = row[None, :] < size[:, None]
    visit = jnp.where(mask, start[:, None] + row[None, :], 0)  # padding repeats the first visit
    return (order[visit] % clips).astype(jnp.int32), mask.astype(jnp.float32)


def balanced(
    key: jax.Array,
    train: jax.Array,
    labels: jax.Array,
    *,
    num_classes: int,
    steps: int,
    batch_size: int,
) -> tuple[jax.Array, jax.Array]:
    """Batches drawn with replacement so that every class is equally likely.

    R3D-ConvLSTM's class-weighted sampling: a clip's weight is one over the number of training clips
    of its class.

    Args:
      key: of the epoch.
      train: [N] bool, the fold's training clips.
      labels: [N] int32.
      num_classes: K.
      steps, batch_size: S and B.

    Returns:
      As `shuffled`; no row is padding.
    """
    counts = jnp.zeros(num_classes).at[labels].add(train.astype(jnp.float32))
    weight = jnp.where(train, 1.0 / jnp.maximum(counts[labels], 1.0), 0.0)
    index = jax.random.categorical(key, jnp.log(weight), shape=(steps, batch_size))
    return index.astype(jnp.int32), jnp.ones((steps, batch_size), jnp.float32)


def sequential(
    train: jax.Array, labels: jax.Array, *, steps: int, batch_size: int, repeats_per_epoch: int = 1
) -> tuple[jax.Array, jax.Array]:
    """The same batches in every epoch: class by class, each in the order of the clips.

    This is PyTorch's DataLoader without shuffling over a folder of classes, as in the public code
    of STSTNet and HTNet: full batches, and what remains in a short last one.

    Args:
      train: [N] bool, the fold's training clips.
      labels: [N] int32.
      steps, batch_size: S and B of `steps_and_batch_size`.
      repeats_per_epoch: visits of each clip, one pass after the other.

    Returns:
      As `shuffled`; the batches of a small fold's last steps can be empty.

    >>> train, labels = jnp.array([True, True, False, True]), jnp.array([1, 0, 0, 0])
    >>> index, mask = sequential(train, labels, steps=2, batch_size=2)
    >>> index.tolist(), mask.tolist()
    ([[1, 3], [0, 1]], [[1.0, 1.0], [1.0, 0.0]])
    """
    order = jnp.lexsort((labels, ~train))  # stable; held-out clips last
    count = jnp.sum(train, dtype=jnp.int32)
    visit = jnp.arange(steps * batch_size, dtype=jnp.int32).reshape(steps, batch_size)
    mask = visit < count * repeats_per_epoch
    index = order[jnp.where(mask, visit % count, 0)]  # padding repeats the first clip
    return index.astype(jnp.int32), mask.astype(jnp.float32)
