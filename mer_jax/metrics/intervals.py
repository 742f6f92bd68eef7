"""How sure a score is: resampled subjects, two runs compared, spread over epochs and seeds.

Clips of one subject are alike, so subjects are what is drawn, not clips: an interval over clips
would be too narrow. A subject enters through its confusion matrix, and a draw of S subjects with
replacement is a row of counts [S], so that all draws are one product, counts @ matrices.

Sources: Efron and Tibshirani (1993), An Introduction to the Bootstrap, chapter 13 (percentile
interval); McNemar (1947), Psychometrika 12, in its exact binomial form; Good (2005), Permutation,
Parametric and Bootstrap Tests of Hypotheses, chapter 3 (swapping what is exchangeable).
"""

import collections
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from mer_jax.errors import UserError
from mer_jax.metrics.confusion import grouped
from mer_jax.metrics.predictions import Predictions
from mer_jax.metrics.scores import OVERALL, margins, of_margins
from mer_jax.metrics.scores import scores as matrix_scores

DRAWS, LEVEL = 2000, 0.95
COMPARED = ("uf1", "uar", "accuracy")


class Paired(NamedTuple):
    """Second run minus first run, on the same clips."""

    difference: dict[str, float]  # of uf1, uar, accuracy
    interval: dict[str, tuple[float, float]]  # of each difference, by subject
    p_permutation: dict[
        str, float
    ]  # the runs swapped subject by subject: chance of a larger difference
    p_mcnemar: float  # exact, two-sided, on clips that one run has right and the other wrong
    only_first: int  # clips that only the first run has right
    only_second: int


def resampled(confusions: np.ndarray, *, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """Pooled matrices [draws, ...] of S subjects drawn with replacement from [S, ...]."""
    count = len(confusions)
    chosen = np.random.default_rng(seed).integers(count, size=(draws, count))
    return np.tensordot(_counts(chosen, count), np.asarray(confusions, np.float64), 1)


def bootstrap(
    confusions: np.ndarray,
    *,
    draws: int = DRAWS,
    level: float = LEVEL,
    seed: int = 0,
    scores: Callable[[np.ndarray], dict[str, np.ndarray]] = matrix_scores,
) -> dict[str, tuple[float, float]]:
    """Percentile interval of every overall score of subjects' matrices [S, K, K].

    scores: what reads the matrices; `several.scores` reads [S, K, 2, 2].
    A draw is scored as `scores` defines it: where a rare class is not drawn, UF1 counts 0 for it.
    One subject or none gives (NaN, NaN): there is nothing to resample.
    """
    if len(confusions) < 2:
        return dict.fromkeys(OVERALL, (math.nan, math.nan))
    if scores is matrix_scores:  # of matrices they need 3 K numbers only
        confusions, scores = margins(confusions), of_margins
    found = scores(resampled(confusions, draws=draws, seed=seed))
    return {name: percentile(found[name], level=level) for name in OVERALL}


def percentile(values: np.ndarray, *, level: float = LEVEL) -> tuple[float, float]:
    """The central interval that holds `level` of the values."""
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def paired(
    first: Predictions,
    second: Predictions,
    *,
    draws: int = DRAWS,
    level: float = LEVEL,
    seed: int = 0,
) -> Paired:
    """Compares two runs that tested the same clips, in any order.

    Raises `UserError` where classes, clips or labels differ.
    """
    second = aligned(first, second)
    number = len(first.classes)
    _, one = first.by_subject()
    _, two = grouped(second.label, second.predicted, first.subjects, num_classes=number)
    one, two = margins(one), margins(two)
    rng = np.random.default_rng(seed)
    counts = _counts(rng.integers(len(one), size=(draws, len(one))), len(one))
    swap = rng.integers(2, size=(draws, len(one))).astype(np.float64)

    def gain(left: np.ndarray, right: np.ndarray) -> dict[str, np.ndarray]:
        before, after = of_margins(left), of_margins(right)
        return {name: after[name] - before[name] for name in COMPARED}

    here = gain(one.sum(0), two.sum(0))
    drawn = gain(np.tensordot(counts, one, 1), np.tensordot(counts, two, 1))
    moved = np.tensordot(swap, two - one, 1)
    swapped = gain(one.sum(0) + moved, two.sum(0) - moved)
    # A hair below the observed difference, so that rounding hides no tie.
    beyond = {n: np.abs(swapped[n]) >= abs(here[n]) - 1e-12 for n in COMPARED}
    only_first = int((first.correct & ~second.correct).sum())
    only_second = int((second.correct & ~first.correct).sum())
    return Paired(
        difference={name: float(here[name]) for name in COMPARED},
        interval={name: percentile(drawn[name], level=level) for name in COMPARED},
        p_permutation={name: float((beyond[name].sum() + 1) / (draws + 1)) for name in COMPARED},
        p_mcnemar=mcnemar(only_first, only_second),
        only_first=only_first,
        only_second=only_second,
    )


def aligned(first: Predictions, second: Predictions) -> Predictions:
    """`second` with its rows in the order of `first` and its classes numbered alike."""
    if set(first.classes) != set(second.classes):
        raise UserError(
            f"the runs do not know the same classes: {', '.join(first.classes)} against "
            f"{', '.join(second.classes)}"
        )
    place = {key: row for row, key in enumerate(_occurrences(second))}
    keys = _occurrences(first)
    lost = [key for key in keys if key not in place]
    if lost or len(place) != len(keys):
        extra = sorted(set(place) - set(keys))
        example = (lost or extra)[0][0]
        raise UserError(
            f"the runs did not test the same clips: {len(lost)} only in the first, {len(extra)} "
            f"only in the second, for example {example}"
        )
    second = second.take(np.array([place[key] for key in keys]))
    order = np.array([second.classes.index(name) for name in first.classes])
    label = np.argsort(order)[second.label].astype(np.int32)
    second = Predictions(
        first.classes,
        second.database,
        second.subject,
        second.clip,
        second.fold,
        label,
        second.probabilities[:, order],
    )
    other = np.flatnonzero(second.label != first.label)
    if other.size:
        raise UserError(
            f"the runs label {other.size} clip(s) differently, for example {first.keys[other[0]]}"
        )
    return second


def mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided exact p: are the clips that one run alone has right split as by a fair coin?"""
    only_first, only_second = int(only_first), int(only_second)  # 8 bits would wrap around
    total, few = only_first + only_second, min(only_first, only_second)
    tail = sum(math.comb(total, count) for count in range(few + 1))
    return min(1.0, 2 * tail / 2**total)


def holm(p_values: Sequence[float]) -> list[float]:
    """p values of several comparisons, adjusted (Holm 1979) to keep their level together."""
    out, floor = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(np.argsort(p_values, kind="stable")):
        floor = max(floor, min(1.0, p_values[index] * (len(p_values) - rank)))
        out[index] = floor
    return out


def spread(values: ArrayLike) -> dict[str, float]:
    """Mean and sample standard deviation (n - 1) of seeds, repeats or epochs; one value has no
    deviation (NaN)."""
    values = np.asarray(values, np.float64)
    deviation = float(values.std(ddof=1)) if values.size > 1 else math.nan
    return {"mean": float(values.mean()), "std": deviation, "count": int(values.size)}


def last_epochs(curve: np.ndarray, *, weights: np.ndarray, last: int = 10) -> dict[str, float]:
    """`spread` of a curve [F, E] over its last epochs, folds pooled.

    weights: [F] test clips of each fold; with them a mean of accuracies over folds is the accuracy
    of the pooled clips. A fold without a value (NaN) is left out of its epoch's mean. STCNN, Table
    VIII has `last` = 10.
    """
    curve = np.ma.masked_invalid(np.asarray(curve, np.float64)[:, -last:])
    return spread(np.ma.filled(np.ma.average(curve, axis=0, weights=weights), np.nan))


def _counts(chosen: np.ndarray, count: int) -> np.ndarray:
    """How often each of `count` subjects is in each draw: [draws, count] float64."""
    offset = np.arange(len(chosen))[:, None] * count
    return (
        np.bincount((chosen + offset).ravel(), minlength=chosen.shape[0] * count)
        .reshape(-1, count)
        .astype(np.float64)
    )


def _occurrences(predictions: Predictions) -> list[tuple[str, int]]:
    """Keys made unique: a clip that several folds test is counted through."""
    seen = collections.Counter[str]()
    out = []
    for key in predictions.keys:
        out.append((key, seen[key]))
        seen[key] += 1
    return out
