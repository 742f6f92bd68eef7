"""What goes into metrics.json: every number of a job, and whether it is strict or as published."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mer_jax.metrics import intervals, multilabel
from mer_jax.metrics.predictions import Predictions
from mer_jax.metrics.scores import OVERALL, PER_CLASS, alternative_scores, majority, scores
from mer_jax.protocols import repeat_of

STRICT = "Nothing that was trained, measured or chosen saw a test clip."
PUBLISHED = "Not strict: test clips had a part in this score."


class _ScoreFunctions(NamedTuple):
    """What reads the matrices of a job."""

    scores: Callable
    majority: Callable
    alternative_scores: Callable


_SINGLE_LABEL = _ScoreFunctions(scores, majority, alternative_scores)
_MULTI_LABEL = _ScoreFunctions(
    multilabel.scores, multilabel.majority, multilabel.alternative_scores
)


def _score_functions(
    predictions: Predictions | multilabel.MultiLabelPredictions,
) -> _ScoreFunctions:
    return (
        _MULTI_LABEL if isinstance(predictions, multilabel.MultiLabelPredictions) else _SINGLE_LABEL
    )


def summary(
    predictions: Predictions | multilabel.MultiLabelPredictions,
    *,
    protocol: str,
    leaks: Sequence[str] = (),
    strict: Predictions | None = None,
    remaining_leaks: Sequence[str] = (),
    history: Mapping[str, Any] | None = None,
    draws: int = intervals.DRAWS,
    seed: int = 0,
) -> dict[str, Any]:
    """Scores with intervals for all clips and for each database, and how they are to be read.

    protocol: its name, as in `protocols`. leaks: one sentence for each way in which test clips had
    a part ("The epoch was chosen on the test subject."); none means strict. strict: what the same
    job predicts without the leaks, all but those `remaining_leaks`; the difference is given as `inflation`.
    history: the curves that `history.read` describes; adds mean and deviation over the last ten
    epochs.

    Of `several.MultiLabelPredictions` the per-class scores are those of each class by itself, and `confusion` is
    [K, 2, 2]. `over_folds` is the mean and deviation of the folds' accuracies, as some tables print
    them; with `protocol.repeats` there is `over_repeats`, the mean and deviation of the repeats'
    scores, where `overall` counts a clip once for each.

    Returns plain numbers in dicts, ready for `files.write_json`.
    """
    _, subjects = predictions.by_subject()
    _, folds = predictions.by_fold()
    pooled = predictions.confusion()
    judge = _score_functions(predictions)
    found = judge.scores(pooled)
    databases = predictions.by_database()
    out = {
        "verdict": {
            "strict": not leaks,
            "text": PUBLISHED if leaks else STRICT,
            "leaks": list(leaks),
        },
        "protocol": {
            "name": protocol,
            "folds": len(folds),
            "subjects": len(subjects),
            "clips": len(predictions),
        },
        "classes": list(predictions.classes),
        "several": isinstance(predictions, multilabel.MultiLabelPredictions),
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
        "majority": judge.majority(pooled),
        "over_folds": intervals.spread(judge.scores(folds)["accuracy"]),
        "alternative_scores": judge.alternative_scores(folds),
        "intervals": {
            "method": "percentile bootstrap over subjects",
            "level": intervals.LEVEL,
            "draws": draws,
            "seed": seed,
        },
    }
    repeats = np.array([repeat_of(fold) for fold in predictions.fold.tolist()])
    if len(names := sorted(set(repeats.tolist()))) > 1:
        each = [judge.scores(predictions.take(repeats == name).confusion()) for name in names]
        out["over_repeats"] = {
            name: intervals.spread([found[name] for found in each]) for name in intervals.COMPARED
        }
    if strict is not None:
        honest = scores_with_intervals(strict, draws=draws, seed=seed)
        assert isinstance(predictions, Predictions)  # as `strict` has one label a clip
        gap = intervals.paired(strict, predictions, draws=draws, seed=seed)
        gone = " ".join(leak for leak in leaks if leak not in remaining_leaks)
        out["inflation"] = {
            "text": f"UF1 {gap.difference['uf1']:+.4f} against the same job without this: {gone}",
            "remaining_leaks": list(remaining_leaks),
            "strict": honest,
            "difference": gap.difference,
            "interval": {name: list(pair) for name, pair in gap.interval.items()},
        }
    if history is not None and "test_accuracy" in history:
        weights = predictions.fold_sizes(history["folds"])
        if weights.any():
            curve = history["test_accuracy"]
            out["last_epochs"] = intervals.last_epochs(curve, weights=weights)
    return out


def combine_variants(summaries: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What several summaries of the same clips (seeds, learning rates) say together.

    Returns the names; of every overall score the values in their order, their mean and sample
    deviation, over all clips and for each database.
    """

    def together(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        values = {name: [part[name]["value"] for part in parts] for name in OVERALL}
        return {name: {"values": v} | intervals.spread(v) for name, v in values.items()}

    every = list(summaries.values())
    return {
        "names": list(summaries),
        "overall": together([each["overall"] for each in every]),
        "databases": {
            name: together([each["databases"][name] for each in every])
            for name in every[0]["databases"]
        },
    }


def scores_with_intervals(
    predictions: Predictions | multilabel.MultiLabelPredictions,
    *,
    draws: int = intervals.DRAWS,
    seed: int = 0,
) -> dict[str, Any]:
    """Overall scores, each as value, low and high, with the numbers of clips and subjects."""
    names, subjects = predictions.by_subject()
    score = _score_functions(predictions).scores
    found = score(predictions.confusion())
    sure = intervals.bootstrap(subjects, draws=draws, seed=seed, scores=score)
    counts = {"clips": len(predictions), "subjects": len(names)}
    return counts | {
        name: {"value": float(found[name]), "low": sure[name][0], "high": sure[name][1]}
        for name in OVERALL
    }
