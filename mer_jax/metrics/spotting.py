"""Scores of spotted intervals, and of their recognition, as the MEGC challenges define them.

A prediction hits a truth of the same video and kind if their intersection over union, counted in
frames with onset and offset included, is at least 0.5. A truth and a prediction take part in one
hit at most. Hits (TP), further predictions (FP) and further truths (FN) are summed over all videos,
those without a truth or without a prediction included:

    precision = TP / (TP + FP)   recall = TP / (TP + FN)   F1 = 2 TP / (2 TP + FP + FN)

and 0 where the denominator is. "both" sums the counts of micro- and macro-expressions (MEGC 2021).
Recognition is scored on the hits: UF1 and UAR of the predicted emotions. The challenge of 2024
ranks by STRS = F1 * F1_a, with F1_a = 2 P R / (P + R) of the means P and R of the classes'
precisions and recalls over the hits, 0 for a class without any (Liong, See & Chan, Signal
Processing: Image Communication 110, 2023).
"""

import dataclasses
import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from mer_jax.clips import normalize_key
from mer_jax.errors import UserError, unknown_name
from mer_jax.metrics.intervals import DRAWS, percentile, resampled
from mer_jax.metrics.scores import ratio, scores_from_counts

KINDS = ("micro", "macro")
RULES = ("optimal", "greedy", "first")
OVERLAP = 0.5


class Event(NamedTuple):
    """An interval of a video, marked or predicted: frames onset to offset, both included.

    Names are those of a file or a recording; `identify` compares them.
    """

    subject: str
    video: str
    onset: int
    offset: int
    kind: str = ""  # "micro", "macro"; "" where a file has none
    emotion: str = ""
    database: str = ""


def events(recordings: Iterable[Any]) -> list[Event]:
    """The marked intervals of recordings (`mer_jax.recordings.Recording`)."""
    return [
        Event(video.subject, video.name, i.onset, i.offset, i.kind, i.emotion or "", video.database)
        for video in recordings
        for i in video.intervals
    ]


@functools.lru_cache(maxsize=8192)
def identify(subject: str, video: str, *, by_number: bool = True) -> tuple[str, str]:
    """(subject, video) in one spelling, as files differ in theirs.

    Names lose leading zeros and capitals, a video's that of its subject. by_number: the number in
    the name of a subject stands for it.

    >>> identify("006", "006_1"), identify("s15", "s15_0401"), identify("casme_015", "0401")
    (('6', '1'), ('15', '401'), ('15', '401'))
    """
    name, video = (normalize_key(text.strip()) for text in (subject, video))
    numbers = re.findall(r"\d+", name)
    number = numbers[0] if by_number and len(numbers) == 1 else name
    return number, video.removeprefix(f"{name}_").removeprefix(f"{number}_")


def iou(first: ArrayLike, second: ArrayLike) -> np.ndarray:
    """Intersection over union of intervals, in frames with both ends included.

    Args:
      first: [M, 2] integers, onset and offset.
      second: [N, 2].

    Returns:
      [M, N] float64.

    >>> iou([[0, 9]], [[5, 9], [9, 9], [10, 12]])
    array([[0.5, 0.1, 0. ]])
    """
    a = np.asarray(first, np.int64).reshape(-1, 1, 2)
    b = np.asarray(second, np.int64).reshape(1, -1, 2)
    shared = np.minimum(a[..., 1], b[..., 1]) - np.maximum(a[..., 0], b[..., 0]) + 1
    shared = np.maximum(shared, 0)
    lengths = a[..., 1] - a[..., 0] + b[..., 1] - b[..., 0] + 2
    return ratio(shared, lengths - shared, empty=0.0)


def match(overlap: ArrayLike, *, threshold: float = OVERLAP, rule: str = "optimal") -> np.ndarray:
    """The hits of one video: pairs (truth, prediction), each index once at most.

    Args:
      overlap: [M, N] of M truths and N predictions, from `iou`.
      threshold: the smallest overlap of a hit.
      rule: "optimal" takes the most hits that are possible and, of these, those of the largest
        summed overlap; "greedy" the pair of the largest overlap first (equal ones in the order of
        truths, then of predictions); "first" the predictions in their order, each with the first
        truth that is free.

    Returns:
      [K, 2] int64, sorted by truth.

    >>> match([[0.6, 0.9], [0.0, 0.7]]).tolist()
    [[0, 0], [1, 1]]
    >>> match([[0.6, 0.9], [0.0, 0.7]], rule="greedy").tolist()
    [[0, 1]]
    """
    if rule not in RULES:
        raise unknown_name("rule of matching", rule, RULES)
    overlap = np.asarray(overlap, np.float64)
    allowed = overlap >= threshold
    if rule == "optimal":
        from scipy.optimize import linear_sum_assignment

        value = allowed * (1 + overlap / (1 + min(overlap.shape)))  # one more hit outweighs any sum
        rows, columns = linear_sum_assignment(value, maximize=True)
        pairs = [(int(r), int(c)) for r, c in zip(rows, columns) if allowed[r, c]]
    else:
        pairs = [(int(r), int(c)) for r, c in zip(*allowed.nonzero())]
        if rule == "greedy":
            pairs.sort(key=lambda pair: (-overlap[pair], pair))
        else:
            pairs.sort(key=lambda pair: (pair[1], pair[0]))
        pairs = _take_free(pairs)
    return np.array(sorted(pairs), np.int64).reshape(-1, 2)


def _take_free(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Of pairs in the order of preference, those whose two members are still free."""
    rows, columns, found = set(), set(), []
    for row, column in pairs:
        if row not in rows and column not in columns:
            rows.add(row)
            columns.add(column)
            found.append((row, column))
    return found


@dataclasses.dataclass(frozen=True, eq=False)
class Spotting:
    """Hits and counts of predicted intervals; counts of subjects are added, never their scores."""

    subjects: tuple[str, ...]  # [S] those with a truth or a prediction
    kinds: tuple[str, ...]  # [G] ("micro", "macro"), or ("",) where kinds are not given
    counts: np.ndarray  # [S, G, 3] int64: TP, FP, FN
    hits: tuple[tuple[Event, Event, float], ...]  # (truth, prediction, overlap)
    key: Callable[[Event], tuple[str, str]]  # (subject, video) of an event

    def by_kind(self) -> dict[str, np.ndarray]:
        """[S, 3] TP, FP, FN of "micro", "macro" and "both", or of "all"."""
        if self.kinds == ("",):
            return {"all": self.counts[:, 0]}
        named = {kind: self.counts[:, at] for at, kind in enumerate(self.kinds)}
        return {**named, "both": self.counts.sum(1)}


def match_events(
    truths: Sequence[Event],
    predictions: Sequence[Event],
    *,
    threshold: float = OVERLAP,
    rule: str = "optimal",
) -> Spotting:
    """Matches predicted intervals with the true ones, video by video and kind by kind.

    Kinds count only if all truths and all predictions have one.

    Args:
      threshold, rule: as for `match`.

    Raises:
      UserError: an event that ends before it begins, or an unknown kind.
    """
    pairing = lambda overlap: match(overlap, threshold=threshold, rule=rule)
    return _match_events(truths, predictions, iou, pairing)


def _match_events(
    truths: Sequence[Event],
    predictions: Sequence[Event],
    overlap: Callable[[np.ndarray, np.ndarray], np.ndarray],
    pairing: Callable[[np.ndarray], np.ndarray],
) -> Spotting:
    for event in (*truths, *predictions):
        if event.offset < event.onset:
            raise UserError(f"{event}: the interval ends before it begins")
        if event.kind not in ("", *KINDS):
            raise unknown_name("kind of expression", event.kind, KINDS)
    known = all(event.kind for event in (*truths, *predictions)) and bool(truths or predictions)
    kinds = KINDS if known else ("",)
    key = _key(truths, predictions)
    subjects = tuple(dict.fromkeys(key(event)[0] for event in (*truths, *predictions)))
    groups: dict[tuple[str, str, str], tuple[list[Event], list[Event]]] = {}
    for at, side in enumerate((truths, predictions)):
        for event in side:
            group = (*key(event), event.kind if known else "")
            groups.setdefault(group, ([], []))[at].append(event)
    counts = np.zeros((len(subjects), len(kinds), 3), np.int64)
    hits = []
    for (subject, _, kind), (true, predicted) in groups.items():
        ends = [
            np.array([(e.onset, e.offset) for e in side], np.int64).reshape(-1, 2)
            for side in (true, predicted)
        ]
        shared = overlap(*ends)
        pairs = pairing(shared)
        found = len(set(pairs[:, 1].tolist()))  # a prediction counts once
        counts[subjects.index(subject), kinds.index(kind)] += (
            len(pairs),
            len(predicted) - found,
            len(true) - len(set(pairs[:, 0].tolist())),
        )
        hits += [
            (true[row], predicted[column], float(shared[row, column])) for row, column in pairs
        ]
    return Spotting(subjects, kinds, counts, tuple(hits), key)


def _key(*sides: Sequence[Event]) -> Callable[[Event], tuple[str, str]]:
    """(subject, video) of an event, one spelling for both sides.

    The database is part of the subject if all events have one. Numbers stand for subjects unless
    two subjects of one side have the same.
    """
    named = all(event.database for side in sides for event in side)

    def key(event: Event, by_number: bool) -> tuple[str, str]:
        subject, video = identify(event.subject, event.video, by_number=by_number)
        return (f"{event.database}/{subject}" if named else subject), video

    count = lambda side, by_number: len({key(event, by_number)[0] for event in side})
    distinct = all(count(side, True) == count(side, False) for side in sides)
    return functools.partial(key, by_number=distinct)


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


def confusions(spotting: Spotting, *, classes: Sequence[str], kind: str = "") -> np.ndarray:
    """Emotions of the hits of each subject, [S, K, K + 1] int64; the last column is no class.

    Rows are true classes; hits whose truth is of no class are left out. kind: those of one kind.
    """
    out = np.zeros((len(spotting.subjects), len(classes), len(classes) + 1), np.int64)
    column = {name: at for at, name in enumerate(classes)}
    for truth, prediction, _ in spotting.hits:
        if truth.emotion in column and kind in ("", truth.kind):
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
    threshold: float = OVERLAP,
    rule: str = "optimal",
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, Any]:
    """All scores with percentile intervals of a bootstrap over subjects.

    Args:
      classes: emotions that count; by default those of the truths. None of them, or no emotion
        among the predictions: recognition is not scored.
      threshold, rule: as for `match`.
      draws, seed: of the bootstrap.

    Returns:
      Numbers in nested dicts: spotting (of each kind: tp, fp, fn, and precision, recall, f1 as
      value, low and high), recognition (classes, confusion, uf1, uar, accuracy, f1_a), strs,
      videos (counts), subjects, alternative_scores.
    """
    found = match_events(truths, predictions, threshold=threshold, rule=rule)
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
        total = counts.sum(0)
        bounds = _bounds(counts, scores, draws, seed)
        out["spotting"][name] = {
            **dict(zip(("tp", "fp", "fn"), total.tolist())),
            **{key: _value(value, bounds[key]) for key, value in scores(total).items()},
        }
    if classes is None:
        classes = sorted({event.emotion for event in truths} - {""})
    if classes and any(event.emotion for event in predictions):
        matrices = confusions(found, classes=classes)
        pooled = matrices.sum(0)
        bounds = _bounds(matrices, recognition, draws, seed)
        out["recognition"] = {
            "classes": list(classes),
            "confusion": pooled.tolist(),
            **{key: _value(value, bounds[key]) for key, value in recognition(pooled).items()},
        }
        counts = found.counts.sum(1)
        both = np.concatenate([counts, matrices.reshape(len(matrices), -1)], 1)
        size = matrices.shape[1:]

        def strs(flat: np.ndarray) -> dict[str, np.ndarray]:
            analysis = recognition(flat[..., 3:].reshape(*flat.shape[:-1], *size))
            return {"strs": scores(flat[..., :3])["f1"] * analysis["f1_a"]}

        value = strs(both.sum(0))["strs"]
        out["strs"] = _value(value, _bounds(both, strs, draws, seed)["strs"])
    out["alternative_scores"] = alternative_scores(truths, predictions, classes=classes)
    return out


def _value(value: ArrayLike, bounds: tuple[float, float]) -> dict[str, float]:
    return {"value": float(np.asarray(value)), "low": bounds[0], "high": bounds[1]}


def _bounds(
    per_subject: np.ndarray, scored: Callable[[np.ndarray], Mapping], draws: int, seed: int
) -> dict[str, tuple[float, float]]:
    """Percentile interval of each score of the summed rows [S, ...], subjects resampled."""
    if len(per_subject) < 2:
        return dict.fromkeys(scored(np.asarray(per_subject).sum(0)), (np.nan, np.nan))
    found = scored(resampled(per_subject, draws=draws, seed=seed))
    return {name: percentile(values) for name, values in found.items()}


def alternative_scores(
    truths: Sequence[Event], predictions: Sequence[Event], *, classes: Sequence[str] = ()
) -> dict[str, float]:
    """Scores of the same intervals as other programs in use count them: description -> value.

    They explain why published numbers differ; do not report them.
    """

    def f1(predicted: Sequence[Event] = predictions, overlap=iou, pairing=match) -> float:
        counts = _match_events(truths, predicted, overlap, pairing).counts.sum((0, 1))
        return float(scores(counts)["f1"])

    key = _key(truths, predictions)
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
            overlap=_iou_of_lengths, pairing=more_than_half
        ),
        "F1, several truths to one prediction": f1(pairing=_several_truths),
        **_scores_by_side(truths, predictions),
        "F1, videos without truth left out": f1(inside),
    }
    if classes and any(event.emotion for event in predictions):
        matrix = confusions(match_events(truths, predictions), classes=classes).sum(0)
        hit, predicted = np.diagonal(matrix), matrix[:, :-1].sum(0)
        precision = ratio(hit, predicted, empty=0.0).mean()
        strs = _challenge_strs(truths, predictions, classes)
        out["STRS with UF1 for F1_a"] = f1() * float(recognition(matrix)["uf1"])
        out["STRS, as the code of the challenge counts"] = strs
        out['macro precision of the hits, printed as "UAR"'] = float(precision)
    return out


def _iou_of_lengths(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The overlap of intervals as lengths: the last frame is not in them."""
    a, b = first[:, None], second[None, :]
    shared = np.minimum(a[..., 1], b[..., 1]) - np.maximum(a[..., 0], b[..., 0])
    shared = np.maximum(shared, 0)
    return ratio(shared, (a[..., 1] - a[..., 0]) + (b[..., 1] - b[..., 0]) - shared, empty=0.0)


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
    found = _match_events(truths, predictions, iou, lambda overlap: np.argwhere(overlap >= OVERLAP))
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
    key = _key(truths, predictions)
    subjects = {key(event)[0] for event in predictions}
    videos = {key(event) for event in truths}
    found = _match_events(
        [event for event in truths if key(event)[0] in subjects],
        [event for event in predictions if key(event) in videos],
        iou,
        _several_truths,
    )
    score = recognition(confusions(found, classes=classes).sum(0))
    return float(scores(found.counts.sum((0, 1)))["f1"]) * float(score["f1_a"])
