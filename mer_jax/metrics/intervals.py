"""Confidence intervals, comparisons of two runs, mean and deviation over epochs and seeds.

Clips of one subject are correlated, so subjects are resampled, not clips: an interval over clips
would be too narrow. A subject enters through its confusion matrix; a draw of S subjects with
replacement is a row of counts [S], so that all draws are one product, counts @ matrices.

Sources: Efron and Tibshirani (1993), An Introduction to the Bootstrap, chapter 13 (percentile
interval); McNemar (1947), Psychometrika 12, in its exact binomial form; Good (2005), Permutation,
Parametric and Bootstrap Tests of Hypotheses, chapter 3 (permutation of paired samples).
"""

import collections
import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from mer_jax.errors import UserError
from mer_jax.metrics.confusion import grouped
from mer_jax.metrics.predictions import Predictions
from mer_jax.metrics.scores import class_counts, scores_from_counts
from mer_jax.metrics.scores import scores as matrix_scores

DRAWS, LEVEL = 2000, 0.95
LAST_EPOCHS = 10  # STCNN, Table VIII
COMPARED = ("uf1", "uar", "accuracy")


class PairedComparison(NamedTuple):
    """Second run minus first run, on the same clips."""

    difference: dict[str, float]  # of uf1, uar, accuracy
    interval: dict[str, tuple[float, float]]  # of each difference, by subject
    p_permutation: dict[str, float]  # two-sided, runs swapped subject by subject
    # exact, two-sided, on clips that only one run has right; NaN where clips are tested repeatedly,
    # so that the pairs are not independent
    p_mcnemar: float
    only_first: int  # clips that only the first run has right
    only_second: int


def resampled(confusions: np.ndarray, *, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """Pooled matrices of S subjects drawn with replacement.

    Args:
      confusions: [S, ...], a matrix (or its counts) per subject.
      draws: number of bootstrap samples.
      seed: of NumPy's generator.

    Returns:
      [draws, ...] float64.

    >>> resampled(np.array([[1, 0], [0, 1]]), draws=3).sum(1)
    array([2., 2., 2.])
    """
    count = len(confusions)
    chosen = np.random.default_rng(seed).integers(count, size=(draws, count))
    return np.tensordot(_counts(chosen, count), np.asarray(confusions, np.float64), 1)


def bootstrap(
    matrices: np.ndarray,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    scores: Callable[[np.ndarray], dict[str, np.ndarray]] = matrix_scores,
) -> dict[str, tuple[float, float]]:
    """Percentile interval of every overall score, by resampling subjects.

    Where a rare class is not drawn, UF1 counts 0 for it, as `scores` defines; draws for which a
    score is not defined (NaN) do not count for it.

    Args:
      matrices: [S, ...], [K, K] or what else `scores` takes, of each subject.
      draws: number of bootstrap samples.
      seed: of NumPy's generator.
      scores: of sums over subjects; `multilabel.scores` for [S, K, 2, 2].

    Returns:
      (low, high) of each score that is one number; (NaN, NaN) for fewer than two subjects.

    >>> subjects = np.array([[[3, 1], [0, 2]], [[2, 0], [1, 3]], [[4, 0], [0, 1]]])
    >>> low, high = bootstrap(subjects, draws=200)["accuracy"]
    >>> low < 0.88 < high
    True
    """
    if scores is matrix_scores:  # these need only 3 K numbers of a matrix
        matrices, scores = class_counts(matrices), scores_from_counts
    names = [name for name, value in scores(matrices.sum(0)).items() if not np.ndim(value)]
    if len(matrices) < 2:
        return dict.fromkeys(names, (math.nan, math.nan))
    found = scores(resampled(matrices, draws=draws, seed=seed))
    return {name: percentile(found[name]) for name in names}


def percentile(values: np.ndarray) -> tuple[float, float]:
    """The central interval that contains the share `LEVEL` of the values that are not NaN.

    >>> np.round(percentile(np.arange(1001)), 9).tolist()
    [25.0, 975.0]
    """
    values = values[~np.isnan(values)]
    if not len(values):
        return math.nan, math.nan
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def compare_paired(
    first: Predictions, second: Predictions, *, draws: int = DRAWS, seed: int = 0
) -> PairedComparison:
    """Compares two runs that tested the same clips, in any order.

    Args:
      first, second: predictions of the runs.
      draws: number of bootstrap samples, and of permutations.
      seed: of NumPy's generator.

    Returns:
      Differences `second` - `first`, their intervals (NaN for fewer than two subjects), p values.

    Raises:
      UserError: if classes, clips or labels differ.
    """
    second = aligned(first, second)
    number = len(first.classes)
    _, one = first.by_subject()
    _, two = grouped(second.label, second.predicted, first.subjects, num_classes=number)
    one, two = class_counts(one), class_counts(two)
    rng = np.random.default_rng(seed)
    counts = _counts(rng.integers(len(one), size=(draws, len(one))), len(one))
    swap = rng.integers(2, size=(draws, len(one))).astype(np.float64)

    def differences(left: np.ndarray, right: np.ndarray) -> dict[str, np.ndarray]:
        before, after = scores_from_counts(left), scores_from_counts(right)
        return {name: after[name] - before[name] for name in COMPARED}

    observed = differences(one.sum(0), two.sum(0))
    drawn = differences(np.tensordot(counts, one, 1), np.tensordot(counts, two, 1))
    moved = np.tensordot(swap, two - one, 1)
    swapped = differences(one.sum(0) + moved, two.sum(0) - moved)
    # The tolerance counts ties that differ by rounding.
    beyond = {n: np.abs(swapped[n]) >= abs(observed[n]) - 1e-12 for n in COMPARED}
    only_first = int((first.correct & ~second.correct).sum())
    only_second = int((second.correct & ~first.correct).sum())
    once = len(set(first.keys)) == len(first.keys)
    return PairedComparison(
        difference={name: float(observed[name]) for name in COMPARED},
        interval={
            name: percentile(drawn[name]) if len(one) > 1 else (math.nan, math.nan)
            for name in COMPARED
        },
        p_permutation={name: float((beyond[name].sum() + 1) / (draws + 1)) for name in COMPARED},
        p_mcnemar=mcnemar(only_first, only_second) if once else math.nan,
        only_first=only_first,
        only_second=only_second,
    )


def aligned(first: Predictions, second: Predictions) -> Predictions:
    """`second` with rows and classes in the order of `first`.

    Raises:
      UserError: if classes, clips or labels differ.
    """
    if set(first.classes) != set(second.classes):
        raise UserError(
            f"the runs have different classes: {', '.join(first.classes)} against "
            f"{', '.join(second.classes)}"
        )
    row_of = {key: row for row, key in enumerate(_occurrences(second))}
    keys = _occurrences(first)
    missing = [key for key in keys if key not in row_of]
    if missing or len(row_of) != len(keys):
        extra = sorted(set(row_of) - set(keys))
        example = (missing or extra)[0][0]
        raise UserError(
            f"the runs did not test the same clips: {len(missing)} only in the first, {len(extra)} "
            f"only in the second, for example {example}"
        )
    second = second.take(np.array([row_of[key] for key in keys]))
    order = np.array([second.classes.index(name) for name in first.classes])
    number = np.argsort(order).astype(np.int32)
    predicted, probabilities = number[second.predicted], second.probabilities[:, order]
    # Of equal probabilities the first class of a file is predicted, in whatever order it has them.
    tied = np.flatnonzero(probabilities.argmax(1) != predicted)
    chosen = predicted[tied]
    probabilities[tied, chosen] = np.nextafter(probabilities[tied, chosen], np.float32(np.inf))
    second = dataclasses.replace(
        second, classes=first.classes, label=number[second.label], probabilities=probabilities
    )
    other = np.flatnonzero(second.label != first.label)
    if other.size:
        raise UserError(
            f"the runs label {other.size} clip(s) differently, for example {first.keys[other[0]]}"
        )
    return second


def mcnemar(only_first: int, only_second: int) -> float:
    """McNemar's exact test, two-sided (the binomial test of discordant pairs against 1/2).

    Args:
      only_first, only_second: clips that only one of the runs has right.

    Returns:
      The p value.

    >>> mcnemar(1, 8)
    0.0390625
    """
    only_first, only_second = int(only_first), int(only_second)  # 8 bits would wrap around
    total, few = only_first + only_second, min(only_first, only_second)
    tail = sum(math.comb(total, count) for count in range(few + 1))
    return min(1.0, 2 * tail / 2**total)


def holm(p_values: Sequence[float]) -> list[float]:
    """p values adjusted for their number (Holm 1979), in the same order.

    NaN is no test: it stays NaN, and does not count.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    >>> holm([0.01, math.nan, 0.03])
    [0.02, nan, 0.03]
    """
    found, floor = np.array(p_values, np.float64), 0.0
    order = np.argsort(found, kind="stable")  # NaN last
    tests = int(np.isfinite(found).sum())
    for rank, index in enumerate(order[:tests]):
        floor = found[index] = max(floor, min(1.0, found[index] * (tests - rank)))
    return found.tolist()


def mean_and_std(values: ArrayLike) -> dict[str, float]:
    """Mean, sample standard deviation (n - 1; NaN for one value) and count of `values`.

    >>> mean_and_std([0.5, 0.75, 1.0])
    {'mean': 0.75, 'std': 0.25, 'count': 3}
    """
    values = np.asarray(values, np.float64)
    deviation = float(values.std(ddof=1)) if values.size > 1 else math.nan
    return {"mean": float(values.mean()), "std": deviation, "count": int(values.size)}


def last_epochs(curve: np.ndarray, *, weights: np.ndarray) -> dict[str, float]:
    """`mean_and_std` of a curve over its `LAST_EPOCHS`, averaged over folds.

    Args:
      curve: [F, E]; a fold's NaN does not count in the epoch's mean.
      weights: [F] test clips of each fold: the weighted mean of accuracies is the accuracy of the
        pooled clips.

    >>> last_epochs(np.array([[1.0, 0.5], [0.5, 0.5]]), weights=np.array([3, 1]))
    {'mean': 0.6875, 'std': 0.2651650429449553, 'count': 2}
    """
    curve = np.ma.masked_invalid(np.asarray(curve, np.float64)[:, -LAST_EPOCHS:])
    return mean_and_std(np.ma.filled(np.ma.average(curve, axis=0, weights=weights), np.nan))


def _counts(chosen: np.ndarray, count: int) -> np.ndarray:
    """How often each of `count` subjects occurs in each draw: [draws, count] float64."""
    offset = np.arange(len(chosen))[:, None] * count
    return (
        np.bincount((chosen + offset).ravel(), minlength=chosen.shape[0] * count)
        .reshape(-1, count)
        .astype(np.float64)
    )


def _occurrences(predictions: Predictions) -> list[tuple[str, int]]:
    """Keys made unique by the number of earlier occurrences, as several folds may test a clip."""
    seen = collections.Counter[str]()
    out = []
    for key in predictions.keys:
        out.append((key, seen[key]))
        seen[key] += 1
    return out
