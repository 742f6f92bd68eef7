"""The content of metrics.json: all scores of a job, and whether they are strict or as published."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mer_jax.metrics import intervals, multilabel
from mer_jax.metrics.predictions import Predictions
from mer_jax.metrics.scores import OVERALL, PER_CLASS, alternative_scores, majority, scores
from mer_jax.protocols import repetition_name


def _score_functions(
    predictions: Predictions | multilabel.MultiLabelPredictions,
) -> tuple[Callable, Callable]:
    """`scores` and `alternative_scores` for one label a clip, or for several."""
    if isinstance(predictions, multilabel.MultiLabelPredictions):
        return multilabel.scores, multilabel.alternative_scores
    return scores, alternative_scores


def summary(
    predictions: Predictions | multilabel.MultiLabelPredictions,
    *,
    protocol: str,
    leaks: Sequence[Mapping[str, Any]] = (),
    strict: Predictions | None = None,
    remaining_leaks: Sequence[Mapping[str, Any]] = (),
    history: Mapping[str, Any] | None = None,
    draws: int = intervals.DRAWS,
    seed: int = 0,
) -> dict[str, Any]:
    """Scores with intervals for all clips and for each database, strict or as published.

    Args:
      predictions: of all tested clips.
      protocol: its name, as in `protocols`.
      leaks: the ways in which test clips influenced training (`leakage.Leak.to_json`); none means
        strict.
      strict: predictions of the same job without the leaks but `remaining_leaks`; the difference
        is given as `inflation`.
      remaining_leaks: those of `leaks` that `strict` has, too.
      history: curves as from `io.learning_curves.read`; adds mean and deviation of the test
        accuracy over the last ten epochs.
      draws, seed: of the bootstrap.

    Returns:
      Numbers in nested dicts, for `saving.write_json`. `over_folds` is the mean and deviation of
      the folds' accuracies; with repeats, `over_repeats` that of the repeats' scores (in `overall`
      a clip counts once per repeat). Of `MultiLabelPredictions` the per-class scores are those of
      each class by itself, and `confusion` is [K, 2, 2].

    >>> rows = {name: np.array(["a", "b", "c"]) for name in ("subject", "clip", "fold")}
    >>> label, database = np.array([0, 1, 1]), np.array(["casme2"] * 3)
    >>> probabilities = np.float32([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    >>> predictions = Predictions(
    ...     ("negative", "positive"), database, **rows, label=label, probabilities=probabilities
    ... )
    >>> found = summary(predictions, protocol="loso", draws=20)
    >>> found["verdict"], found["confusion"], round(found["overall"]["uar"]["value"], 4)
    ({'strict': True, 'leaks': []}, [[1, 0], [1, 1]], 0.75)
    """
    _, subjects = predictions.by_subject()
    _, folds = predictions.by_fold()
    pooled = predictions.confusion()
    scores_of, alternatives = _score_functions(predictions)
    found = scores_of(pooled)
    databases = predictions.by_database()
    out = {
        "verdict": {"strict": not leaks, "leaks": list(leaks)},
        "protocol": {
            "name": protocol,
            "folds": len(folds),
            "subjects": len(subjects),
            "clips": _num_clips(predictions),
        },
        "classes": list(predictions.classes),
        "multi_label": isinstance(predictions, multilabel.MultiLabelPredictions),
        "overall": scores_with_intervals(predictions, draws=draws, seed=seed),
        "databases": {
            name: scores_with_intervals(part, draws=draws, seed=seed)
            for name, part in databases.items()
        },
        "per_class": {
            name: {score: float(found[score][index]) for score in PER_CLASS}
            for index, name in enumerate(predictions.classes)
        },
        "confusion": pooled.tolist(),
        "majority": majority(pooled, scores=scores_of),
        "over_folds": intervals.mean_and_std(scores_of(folds)["accuracy"]),
        "alternative_scores": alternatives(folds),
        "intervals": {
            "method": "percentile bootstrap over subjects",
            "level": intervals.LEVEL,
            "draws": draws,
            "seed": seed,
        },
    }
    if over_repeats := _over_repeats(predictions, scores_of):
        out["over_repeats"] = over_repeats
    if strict is not None:
        assert isinstance(predictions, Predictions)  # as `strict` has one label a clip
        out["inflation"] = {
            "removed_leaks": [leak for leak in leaks if leak not in remaining_leaks],
            "remaining_leaks": list(remaining_leaks),
        } | inflation(strict, predictions, draws=draws, seed=seed)
    if history is not None and "test_accuracy" in history:
        weights = predictions.fold_sizes(history["folds"])
        if weights.any():
            curve = history["test_accuracy"]
            out["last_epochs"] = intervals.last_epochs(curve, weights=weights)
    return out


def _num_clips(predictions: Predictions | multilabel.MultiLabelPredictions) -> int:
    if isinstance(predictions, multilabel.MultiLabelPredictions):
        predictions = predictions.units[0]
    return len(set(predictions.keys))


def _over_repeats(
    predictions: Predictions | multilabel.MultiLabelPredictions, scores_of: Callable
) -> dict[str, Any]:
    """Mean and deviation of the scores of a protocol's repeats; empty for a single one."""
    repeats = np.array([repetition_name(fold) for fold in predictions.fold.tolist()])
    names = sorted(set(repeats.tolist()))
    if len(names) < 2:
        return {}
    each = [scores_of(predictions.take(repeats == name).confusion()) for name in names]
    return {
        score: intervals.mean_and_std([found[score] for found in each])
        for score in intervals.COMPARED
    }


def inflation(
    strict: Predictions, published: Predictions, *, draws: int, seed: int
) -> dict[str, Any]:
    """The strict scores, and what the published ones are above them, with its interval."""
    gap = intervals.compare_paired(strict, published, draws=draws, seed=seed)
    return {
        "strict": scores_with_intervals(strict, draws=draws, seed=seed),
        "difference": gap.difference,
        "interval": {name: list(pair) for name, pair in gap.interval.items()},
    }


def combine_variants(summaries: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Mean and deviation over summaries of the same clips (seeds, learning rates).

    Args:
      summaries: `summary` of each variant, by its name; scores that one of them lacks are left out.

    Returns:
      The names; for every overall score the values in this order, their mean and sample deviation,
      over all clips and for each database.
    """

    def combined(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        shared = [name for name in OVERALL if all(name in part for part in parts)]
        values = {name: [part[name]["value"] for part in parts] for name in shared}
        return {name: {"values": v} | intervals.mean_and_std(v) for name, v in values.items()}

    variants = list(summaries.values())
    return {
        "names": list(summaries),
        "overall": combined([each["overall"] for each in variants]),
        "databases": {
            name: combined([each["databases"][name] for each in variants])
            for name in variants[0]["databases"]
        },
    }


def scores_with_intervals(
    predictions: Predictions | multilabel.MultiLabelPredictions,
    *,
    draws: int = intervals.DRAWS,
    seed: int = 0,
) -> dict[str, Any]:
    """Overall scores with their confidence intervals.

    Args:
      predictions: of R clips.
      draws, seed: of the bootstrap.

    Returns:
      For each name of `scores.OVERALL` its "value", "low" and "high"; and the numbers of "clips"
      and "subjects". A clip that several repeats test is one.
    """
    names, subjects = predictions.by_subject()
    score = _score_functions(predictions)[0]
    found = score(predictions.confusion())
    bounds = intervals.bootstrap(subjects, draws=draws, seed=seed, scores=score)
    counts = {"clips": _num_clips(predictions), "subjects": len(names)}
    return counts | {
        name: {"value": float(found[name]), "low": bounds[name][0], "high": bounds[name][1]}
        for name in OVERALL
    }
