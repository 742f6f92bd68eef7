"""Confusion matrices: rows are true classes, columns are predictions.

A matrix is the mergeable state of every score in `scores`: add the matrices of folds or batches,
then score the sum once. Scores are never averaged.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from mer_jax.errors import UserError
from mer_jax.options import checked


@checked
def confusion(labels: ArrayLike, predicted: ArrayLike, *, num_classes: int) -> np.ndarray:
    """Counts how often class j was predicted where class i was true.

    Args:
      labels, predicted: [N] integers of any dtype, in [0, K).
      num_classes: K.

    Returns:
      [K, K] int64.

    Raises:
      UserError: for arrays of different lengths, of no integers, of values outside [0, K), and for
        K < 1.

    >>> confusion([0, 1, 1], [0, 0, 1], num_classes=2)
    array([[1, 0],
           [1, 1]])
    """
    _, counts = grouped(labels, predicted, [""] * np.size(labels), num_classes=num_classes)
    return counts.sum(0)


@checked
def grouped(
    labels: ArrayLike, predicted: ArrayLike, groups: Sequence[str], *, num_classes: int
) -> tuple[tuple[str, ...], np.ndarray]:
    """One matrix per group (a subject, a fold, a database).

    Args:
      labels, predicted: [N] integers in [0, K).
      groups: [N] names.
      num_classes: K.

    Returns:
      The G names in order of first occurrence, and int64 counts [G, K, K].

    Raises:
      UserError: as `confusion`.
    """
    names = tuple(dict.fromkeys(map(str, groups)))
    index = {name: number for number, name in enumerate(names)}
    rows = np.array([index[str(group)] for group in groups], np.int64)
    labels, predicted = (_class_indices(each, num_classes) for each in (labels, predicted))
    shapes = [labels.shape, predicted.shape, rows.shape]
    if len({*shapes}) > 1 or labels.ndim != 1:
        text = ", ".join(map(str, shapes))
        raise UserError(f"confusion: labels, predictions and groups have shapes {text}")
    counts = np.zeros((len(names), num_classes, num_classes), np.int64)
    np.add.at(counts, (rows, labels, predicted), 1)
    return names, counts


def _class_indices(values: ArrayLike, num_classes: int) -> np.ndarray:
    values = np.asarray(values)
    if not np.issubdtype(values.dtype, np.integer) and values.size:
        raise UserError(f"confusion: labels are {values.dtype}; they must be integers")
    outside = values[(values < 0) | (values >= num_classes)]
    if outside.size:
        raise UserError(f"confusion: label {outside[0]} is outside 0..{num_classes - 1}")
    return values.astype(np.int64)
