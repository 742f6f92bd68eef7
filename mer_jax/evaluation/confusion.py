"""Confusion matrices: rows are true classes, columns are predictions; merging is addition.

A matrix is the mergeable state of every score in `scores`: add the matrices of folds, batches or
devices (`+`, `jnp.sum`, `lax.psum`), then score the sum once. Scores are never averaged.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np


def confusion(
    labels: jax.Array,
    predicted: jax.Array,
    *,
    num_classes: int,
    weights: jax.Array | None = None,
) -> jax.Array:
    """Counts how often class j was said where class i was true; jit and vmap clean.

    labels, predicted: [N] integers. A row of which either lies outside [0, K) is not counted, so
    that -1 can mark padding. weights: [N], what a row counts for; 0 leaves it out.

    Returns [K, K], int32 counts without `weights`, float32 sums of weights with them. Counts are
    exact; sums of whole weights are exact below 2^24.
    """
    dtype = jnp.int32 if weights is None else jnp.float32
    true = jax.nn.one_hot(labels, num_classes, dtype=dtype)
    said = jax.nn.one_hot(predicted, num_classes, dtype=dtype)
    if weights is not None:
        true = true * jnp.asarray(weights, dtype)[:, None]
    return jnp.einsum("ni,nj->ij", true, said, precision=jax.lax.Precision.HIGHEST)


def grouped(
    labels: np.ndarray, predicted: np.ndarray, groups: Sequence[str], *, num_classes: int
) -> tuple[tuple[str, ...], np.ndarray]:
    """One matrix a group (a subject, a fold, a database), on the host.

    labels, predicted: [N] integers in [0, K); groups: [N] names.
    Returns the names [G] in the order in which they first occur, and int64 counts [G, K, K].
    """
    names = tuple(dict.fromkeys(map(str, groups)))
    place = {name: index for index, name in enumerate(names)}
    out = np.zeros((len(names), num_classes, num_classes), np.int64)
    rows = np.array([place[str(group)] for group in groups], np.int64)
    np.add.at(out, (rows, np.asarray(labels, np.int64), np.asarray(predicted, np.int64)), 1)
    return names, out
