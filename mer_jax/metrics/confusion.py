"""Confusion matrices: rows are true classes, columns are predictions; merging is addition.

A matrix is the mergeable state of every score in `scores`: add the matrices of folds, batches or
devices (`+`, `jnp.sum`, `lax.psum`), then score the sum once. Scores are never averaged.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from mer_jax.errors import UserError


def confusion(
    labels: jax.Array,
    predicted: jax.Array,
    *,
    num_classes: int,
    weights: jax.Array | None = None,
) -> jax.Array:
    """Counts how often class j was said where class i was true; jit and vmap clean.

    Args:
      labels, predicted: [N] integers of any dtype, in [0, K). Where either is -1, which marks
        padding, the row is not counted.
      num_classes: K.
      weights: [N], what a row counts for; 0 leaves it out.

    Returns:
      [K, K], int32 counts without `weights`, float32 sums of weights with them. Counts are exact;
      sums of whole weights are exact below 2^24.

    Raises:
      UserError: for arrays of unlike lengths or of no integers, and for other values outside
        [0, K), as far as values are known: under a transformation such a row is not counted.
    """
    labels, predicted = (_integers(each, num_classes, least=-1) for each in (labels, predicted))
    _alike(labels, predicted, labels if weights is None else weights)
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
    Raises `UserError` for values outside [0, K) and for unlike lengths.
    """
    names = tuple(dict.fromkeys(map(str, groups)))
    place = {name: index for index, name in enumerate(names)}
    out = np.zeros((len(names), num_classes, num_classes), np.int64)
    rows = np.array([place[str(group)] for group in groups], np.int64)
    labels, predicted = (_integers(each, num_classes, least=0) for each in (labels, predicted))
    _alike(labels, predicted, rows)
    np.add.at(out, (rows, labels, predicted), 1)
    return names, out


def _integers(values, num_classes: int, *, least: int):
    """`values` in a dtype that holds every class: one of 8 bits would wrap around at 256."""
    values = values if isinstance(values, jax.Array) else np.asarray(values)
    if not np.issubdtype(values.dtype, np.integer) and values.size:
        raise UserError(f"confusion: labels are {values.dtype}; they must be integers")
    if not isinstance(values, jax.core.Tracer):
        outside = np.asarray(values)
        outside = outside[(outside < least) | (outside >= num_classes)]
        if outside.size:
            raise UserError(f"confusion: label {outside[0]} is outside 0..{num_classes - 1}")
    return values.astype(np.int32)


def _alike(*arrays) -> None:
    if len({np.shape(each) for each in arrays}) > 1 or np.ndim(arrays[0]) != 1:
        shapes = ", ".join(str(np.shape(each)) for each in arrays)
        raise UserError(f"confusion: labels and what stands beside them have shapes {shapes}")
