"""Scores of spotted intervals, and of their recognition, as the MEGC challenges define them.

Hits (TP, see `matching`), further predictions (FP) and further truths (FN) are summed over all
videos, those without a truth or without a prediction included:

    precision = TP / (TP + FP)   recall = TP / (TP + FN)   F1 = 2 TP / (2 TP + FP + FN)

and 0 where the denominator is. "both" sums the counts of micro- and macro-expressions (MEGC 2021).
Recognition is scored on the hits: UF1 and UAR of the predicted emotions. The challenge of 2024
ranks by STRS = F1 * F1_a, with F1_a = 2 P R / (P + R) of the means P and R of the classes'
precisions and recalls over the hits, 0 for a class without any (Liong, See & Chan, Signal
Processing: Image Communication 110, 2023); F1 leaves out a kind of which no truth has an emotion.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mer_jax.metrics.intervals import DRAWS, bootstrap
from mer_jax.metrics.matching import OVERLAP, Event, Spotting, event_key, iou, match, match_events
from mer_jax.metrics.scores import ratio, scores_from_counts


def scores(counts: ArrayLike) -> dict[str, np.ndarray]:
    """Precision, recall and F1 of counts [..., 3] (TP, FP, FN), float64; 0 where undefined.

    >>> {name: float(value) for name, value in scores([3, 1, 3]).items()}
    {'precision': 0.75, 'recall': 0.5, 'f1': 0.6}
    """
    hit, extra, missed = np.moveaxis(np.asarray(counts, np.float64), -1, 0)
    return {
        "precision": ratio(hit, hit + extra, empty=0.0),
        "recall": ratio(hit, hit + missed, empty=0.0),
        "f1": ratio(2 * hit, 2 * hit + extra + missed, empty=0.0),
    }


def confusions(spotting: Spotting, *, classes: Sequence[str]) -> np.ndarray:
    """Emotions of the hits of each subject, [S, K, K + 1] int64; the last column is no class.

    Rows are true classes; hits whose truth is of no class are left out.
    """
    out = np.zeros((len(spotting.subjects), len(classes), len(classes) + 1), np.int64)
    column = {name: at for at, name in enumerate(classes)}
    for truth, prediction, _ in spotting.hits:
        if truth.emotion in column:
            row = spotting.subjects.index(spotting.key(truth)[0]), column[truth.emotion]
            out[(*row, column.get(prediction.emotion, len(classes)))] += 1
    return out


def recognition(matrix: ArrayLike) -> dict[str, np.ndarray]:
    """UF1, UAR, accuracy and the challenge's F1_a of matrices [..., K, K + 1] from `confusions`.

    F1_a counts 0 for a class without a hit, UAR leaves it out. Without any hit all are 0.
    """
    matrix = np.asarray(matrix, np.float64)
    size = matrix.shape[-2]
    hit = np.diagonal(matrix[..., :size], axis1=-2, axis2=-1)
    support, predicted = matrix.sum(-1), matrix[..., :size].sum(-2)
    found = scores_from_counts(np.stack([hit, support, predicted], -2))
    precision = ratio(hit, predicted, empty=0.0).mean(-1)
    recall = ratio(hit, support, empty=0.0).mean(-1)
    scored = {name: np.nan_to_num(found[name]) for name in ("uf1", "uar", "accuracy")}
    scored["f1_a"] = ratio(2 * precision * recall, precision + recall, empty=0.0)
    return scored


def summary(
    truths: Sequence[Event],
    predictions: Sequence[Event],
    *,
    classes: Sequence[str] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, Any]:
    """All scores with percentile intervals of a bootstrap over subjects.

    Args:
      classes: emotions that count; by default those of the truths. None of them, or no emotion
        among the predictions: recognition is not scored.
      draws, seed: of the bootstrap.

    Returns:
      Numbers in nested dicts: spotting (of each kind: tp, fp, fn, and precision, recall, f1 as
      value, low and high), recognition (classes, confusion, uf1, uar, accuracy, f1_a), strs,
      videos (counts), subjects, alternative_scores.
    """
    found = match_events(truths, predictions)
    with_truth, predicted = ({found.key(e) for e in side} for side in (truths, predictions))
    out: dict[str, Any] = {
        "spotting": {},
        "subjects": len(found.subjects),
        "videos": {
            "with truth": len(with_truth),
            "with truth and predictions": len(with_truth & predicted),
            "without truth, with predictions": len(predicted - with_truth),
        },
    }
    for name, counts in found.by_kind().items():
        out["spotting"][name] = {
            **dict(zip(("tp", "fp", "fn"), counts.sum(0).tolist())),
            **_scored(counts, scores, draws, seed),
        }
    if classes is None:
        classes = sorted({event.emotion for event in truths} - {""})
    if classes and any(event.emotion for event in predictions):
        matrices = confusions(found, classes=classes)
        out["recognition"] = {
            "classes": list(classes),
            "confusion": matrices.sum(0).tolist(),
            **_scored(matrices, recognition, draws, seed),
        }
        labeled = _labeled(found, truths, classes)
        counts = found.counts[:, [kind in labeled for kind in found.kinds]].sum(1)
        both = np.concatenate([counts, matrices.reshape(len(matrices), -1)], 1)
        size = matrices.shape[1:]

        def strs(flat: np.ndarray) -> dict[str, np.ndarray]:
            analysis = recognition(flat[..., 3:].reshape(*flat.shape[:-1], *size))
            return {"strs": scores(flat[..., :3])["f1"] * analysis["f1_a"]}

        out |= _scored(both, strs, draws, seed)
    out["alternative_scores"] = alternative_scores(truths, predictions, classes=classes)
    return out


def _labeled(found: Spotting, truths: Sequence[Event], classes: Sequence[str]) -> set[str]:
    """The kinds without those of which no truth has one of the emotions, though there are some."""
    kind_of = lambda event: event.kind if all(found.kinds) else ""
    with_truth = {kind_of(event) for event in truths}
    with_emotion = {kind_of(event) for event in truths if event.emotion in classes}
    return {kind for kind in found.kinds if kind in with_emotion or kind not in with_truth}


def _scored(
    per_subject: np.ndarray, scored: Callable[[np.ndarray], dict], draws: int, seed: int
) -> dict[str, dict[str, float]]:
    """Each score of the sum of [S, ...], with the interval of its bootstrap."""
    bounds = bootstrap(per_subject, scores=scored, draws=draws, seed=seed)
    return {
        key: {"value": float(value), "low": bounds[key][0], "high": bounds[key][1]}
        for key, value in scored(per_subject.sum(0)).items()
    }


def alternative_scores(
    truths: Sequence[Event], predictions: Sequence[Event], *, classes: Sequence[str] = ()
) -> dict[str, float]:
    """Scores of the same intervals as other programs in use count them: description -> value.

    They explain why published numbers differ; do not report them.
    """

    def f1(predicted: Sequence[Event] = predictions, overlap=iou, pairing=match) -> float:
        found = match_events(truths, predicted, overlap=overlap, pairing=pairing, name_of=key)
        return float(scores(found.counts.sum((0, 1)))["f1"])

    key = event_key(truths, predictions)
    with_truth = {key(event) for event in truths}
    inside = [event for event in predictions if key(event) in with_truth]
    more_than_half = functools.partial(match, threshold=np.nextafter(0.5, 1))
    out = {
        "F1, pairs of the largest overlap first": f1(
            pairing=functools.partial(match, rule="greedy")
        ),
        "F1, predictions in the order of the file": f1(
            pairing=functools.partial(match, rule="first")
        ),
        "F1, overlap of more than 0.5 without the last frame": f1(
            overlap=functools.partial(iou, inclusive=False), pairing=more_than_half
        ),
        "F1, several truths to one prediction": f1(pairing=_several_truths),
        **_scores_by_side(truths, predictions),
        "F1, videos without truth left out": f1(inside),
    }
    if classes and any(event.emotion for event in predictions):
        found = match_events(truths, predictions)
        matrix = confusions(found, classes=classes).sum(0)
        if all(found.kinds):
            labeled = _labeled(found, truths, classes)
            truths = [event for event in truths if event.kind in labeled]
            predictions = [event for event in predictions if event.kind in labeled]
        hit, predicted = np.diagonal(matrix), matrix[:, :-1].sum(0)
        precision = ratio(hit, predicted, empty=0.0).mean()
        strs = _challenge_strs(truths, predictions, classes)
        out["STRS with UF1 for F1_a"] = f1(predictions) * float(recognition(matrix)["uf1"])
        out["STRS, as the code of the challenge counts"] = strs
        out['macro precision of the hits, printed as "UAR"'] = float(precision)
    return out


def _several_truths(overlap: np.ndarray) -> np.ndarray:
    """Every prediction, in order, takes all truths that are free."""
    free, pairs = set(range(len(overlap))), []
    for column in range(overlap.shape[1]):
        taken = [row for row in sorted(free) if overlap[row, column] >= OVERLAP]
        free -= set(taken)
        pairs += [(row, column) for row in taken]
    return np.array(pairs, np.int64).reshape(-1, 2)


def _scores_by_side(truths: Sequence[Event], predictions: Sequence[Event]) -> dict[str, float]:
    """Scores by the share of intervals of each side that overlap with any of the other side."""
    every = lambda overlap: np.argwhere(overlap >= OVERLAP)
    found = match_events(truths, predictions, pairing=every)
    hit, taken = ({id(pair[at]) for pair in found.hits} for at in (0, 1))
    precision = ratio(len(taken), len(predictions), empty=0.0)
    recall = ratio(len(hit), len(truths), empty=0.0)
    both = ratio(2 * precision * recall, precision + recall, empty=0.0)
    baseline = ratio(2 * len(hit), len(truths) + len(predictions), empty=0.0)
    return {
        "F1, each prediction and each truth by itself": float(both),
        "F1, found truths as hits (baseline of MEGC 2020)": float(baseline),
    }


def _challenge_strs(
    truths: Sequence[Event], predictions: Sequence[Event], classes: Sequence[str]
) -> float:
    """Several truths to a prediction, in order; a subject without predictions and a video without
    truth do not count."""
    key = event_key(truths, predictions)
    subjects = {key(event)[0] for event in predictions}
    videos = {key(event) for event in truths}
    found = match_events(
        [event for event in truths if key(event)[0] in subjects],
        [event for event in predictions if key(event) in videos],
        pairing=_several_truths,
        name_of=key,
    )
    score = recognition(confusions(found, classes=classes).sum(0))
    return float(scores(found.counts.sum((0, 1)))["f1"]) * float(score["f1_a"])
