"""Random streams of a fold.

Every draw depends on the seed, the fold's name, the purpose and the epoch only: a fold does not
depend on other folds, and a resumed job draws what an uninterrupted one draws.
"""

import zlib

import jax
import jax.numpy as jnp


def fold_key(seed: int, fold: str) -> jax.Array:
    """The key of one fold: a function of the seed and of the fold's name."""
    return fold_in_name(jax.random.key(seed), fold)


def fold_in_name(key: jax.Array, purpose: str) -> jax.Array:
    """The stream of `key` for one purpose ("init", "batches", ...)."""
    return jax.random.fold_in(key, zlib.crc32(purpose.encode()))


def steps_and_batch_size(clips: int, batch_size: int, repeats_per_epoch: int) -> tuple[int, int]:
    """Steps an epoch takes and rows a batch has, for N clips visited `repeats_per_epoch` times.

    Both depend on the whole number of clips, not on a fold's share of it, so that every fold of
    every job over these clips runs the same program.
    """
    samples = clips * repeats_per_epoch
    steps = -(-samples // batch_size)
    return steps, -(-samples // steps)


def shuffled(
    key: jax.Array, train: jax.Array, *, steps: int, batch_size: int, repeats_per_epoch: int = 1
) -> tuple[jax.Array, jax.Array]:
    """One epoch's batches: each training clip `repeats_per_epoch` times, in batches of equal size.

    The visits are divided over the steps evenly (sizes differ by at most one) instead of leaving
    a short last batch. train: [N] bool. Returns index [S, B] int32 into the clips and mask [S, B]
    float32, 0 where a row is padding.
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
    of its class. Same returns as `shuffled`.
    """
    counts = jnp.zeros(num_classes).at[labels].add(train.astype(jnp.float32))
    weight = jnp.where(train, 1.0 / jnp.maximum(counts[labels], 1.0), 0.0)
    index = jax.random.categorical(key, jnp.log(weight), shape=(steps, batch_size))
    return index.astype(jnp.int32), jnp.ones((steps, batch_size), jnp.float32)
