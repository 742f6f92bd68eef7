"""What goes into metrics.json: every number of a job, and whether it is strict or as published."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mer_jax.evaluation import intervals, several
from mer_jax.evaluation.predictions import Predictions
from mer_jax.evaluation.scores import OVERALL, PER_CLASS, habits, majority, scores
from mer_jax.protocols import repeat_of

STRICT = "Nothing that was trained, measured or chosen saw a test clip."
PUBLISHED = "Not strict: test clips had a part in this score."


class _Judge(NamedTuple):
    """What reads the matrices of a job."""

    scores: Callable
    majority: Callable
    habits: Callable


_ONE = _Judge(scores, majority, habits)
_SEVERAL = _Judge(several.scores, several.majority, several.habits)


def _judge(predictions: Predictions | several.Several) -> _Judge:
    return _SEVERAL if isinstance(predictions, several.Several) else _ONE


def summary(
    predictions: Predictions | several.Several,
    *,
    protocol: str,
    leaks: Sequence[str] = (),
    strict: Predictions | None = None,
    left: Sequence[str] = (),
    history: Mapping[str, Any] | None = None,
    draws: int = intervals.DRAWS,
    seed: int = 0,
) -> dict[str, Any]:
    """Scores with intervals for all clips and for each database, and how they are to be read.

    protocol: its name, as in `protocols`. leaks: one sentence for each way in which test clips had
    a part ("The epoch was chosen on the test subject."); none means strict. strict: what the same
    job predicts without the leaks, all but those `left`; the difference is given as `inflation`.
    history: the curves that `history.read` describes; adds mean and deviation over the last ten
    epochs.

    Of `several.Several` the per-class scores are those of each class by itself, and `confusion` is
    [K, 2, 2]. `over_folds` is the mean and deviation of the folds' accuracies, as some tables print
    them; with `protocol.repeats` there is `over_repeats`, the mean and deviation of the repeats'
    scores, where `overall` counts a clip once for each.

    Returns plain numbers in dicts, ready for `files.write_json`.
    """
    _, subjects = predictions.by_subject()
    _, folds = predictions.by_fold()
    pooled = predictions.confusion()
    judge = _judge(predictions)
    found = judge.scores(pooled)
    databases = predictions.by_database()
    out = {
        "verdict": {
            "strict": not leaks,
            "words": PUBLISHED if leaks else STRICT,
            "leaks": list(leaks),
        },
        "protocol": {
            "name": protocol,
            "folds": len(folds),
            "subjects": len(subjects),
            "clips": len(predictions),
        },
        "classes": list(predictions.classes),
        "several": isinstance(predictions, several.Several),
        "overall": rated(predictions, draws=draws, seed=seed),
        "databases": {
            name: rated(part, draws=draws, seed=seed) for name, part in databases.items()
        },
        "per_class": {
            name: {score: float(found[score][index]) for score in PER_CLASS}
            for index, name in enumerate(predictions.classes)
        },
        "confusion": pooled.tolist(),
        "majority": judge.majority(pooled),
        "over_folds": intervals.spread(judge.scores(folds)["accuracy"]),
        "habits": judge.habits(folds),
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
        honest = rated(strict, draws=draws, seed=seed)
        assert isinstance(predictions, Predictions)  # as `strict` has one label a clip
        gap = intervals.paired(strict, predictions, draws=draws, seed=seed)
        gone = " ".join(leak for leak in leaks if leak not in left)
        out["inflation"] = {
            "words": f"UF1 {gap.difference['uf1']:+.4f} against the same job without this: {gone}",
            "left": list(left),
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


def over_variants(summaries: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
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


def rated(
    predictions: Predictions | several.Several, *, draws: int = intervals.DRAWS, seed: int = 0
) -> dict[str, Any]:
    """Overall scores, each as value, low and high, with the numbers of clips and subjects."""
    names, subjects = predictions.by_subject()
    score = _judge(predictions).scores
    found = score(predictions.confusion())
    sure = intervals.bootstrap(subjects, draws=draws, seed=seed, scores=score)
    counts = {"clips": len(predictions), "subjects": len(names)}
    return counts | {
        name: {"value": float(found[name]), "low": sure[name][0], "high": sure[name][1]}
        for name in OVERALL
    }
