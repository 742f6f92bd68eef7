"""Leave-one-subject-out spotting: what is learned, is learned from the other subjects.

Of each kind (micro, macro) and fold, the training subjects give the mean duration of an expression,
and with it the span of the evidence (all of it for mdmd, whose published spans are 12 of 30 Hz and
80 of 200 Hz for micro-expressions; half of it for two frames); the shortest and the longest
duration; and the p of the threshold whose intervals have the best F1 on their own videos.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from mer_jax.errors import UserError
from mer_jax.metrics import spotting as scoring
from mer_jax.metrics.spotting import Event
from mer_jax.options import checked
from mer_jax.recordings import KINDS, Recording
from mer_jax.spotting import evidence as evidences
from mer_jax.spotting import intervals

RULES = ("peaks", "runs")
_P = tuple(np.round(np.arange(0.05, 1.0, 0.05), 2).tolist())


class Fold(NamedTuple):
    """What one fold has learned for one kind from its training subjects."""

    subject: str  # the test subject
    kind: str
    duration: int  # frames, the mean of the training subjects' expressions
    shortest: int  # frames
    longest: int
    span: int  # frames
    p: float
    train_f1: float  # of that p


@dataclasses.dataclass(frozen=True, eq=False)
class Found:
    """The intervals of all test subjects, and how they came about."""

    events: list[Event]
    folds: list[Fold]
    evidence: Mapping[tuple[str, str], np.ndarray]  # (Recording.key, kind) -> [T]


@checked
def leave_one_subject_out(
    recordings: Sequence[Recording],
    *,
    method: str = "mdmd",
    rule: str = "peaks",
    p: float | None = None,
    kinds: Sequence[str] = KINDS,
    size: tuple[int, int] = (64, 64),
    preset: str = "horn_schunck",
    quiet: bool = True,
) -> Found:
    """Spots the expressions of each subject with what the other subjects taught.

    Args:
      recordings: of one database; those without an expression count as well.
      method: the evidence, a member of `spotting.EVIDENCE`.
      rule: how evidence becomes intervals: "peaks" (`around_peaks`, of the mean duration) or
        "runs" (`above_threshold`, from the shortest to the longest duration).
      p: the threshold's p; None: learned from the training subjects. A given p is a published
        setting, such as MEGC 2020's 0.01.
      kinds: "micro", "macro" or both; each is spotted by itself.
      size, preset: as in `spotting.compute`.
      quiet: no progress bar.

    Raises:
      UserError: fewer than two subjects, or no expression of a kind among the training subjects.
    """
    subjects = tuple(dict.fromkeys(video.subject_key for video in recordings))
    if len(subjects) < 2:
        raise UserError("leave-one-subject-out needs recordings of two subjects or more")
    compute = functools.cache(
        lambda at, span: evidences.compute(
            recordings[at], evidence=method, span=span, size=size, preset=preset
        )
    )
    events: list[Event] = []
    folds: list[Fold] = []
    smoothed: dict[tuple[str, str], np.ndarray] = {}
    pairs = [(subject, kind) for subject in subjects for kind in kinds]
    for subject, kind in tqdm(pairs, "folds", disable=quiet, leave=False):
        train = [at for at, video in enumerate(recordings) if video.subject_key != subject]
        known = _durations([recordings[at] for at in train], subject, kind, method)
        width = known["duration"] if rule == "peaks" else 1
        curve = lambda at, span=known["span"], width=width: intervals.smooth(
            compute(at, span), width=width
        )
        candidates = _P if p is None else (p,)
        best, f1 = _best_p(
            [recordings[at] for at in train], map(curve, train), known, rule, kind, candidates
        )
        folds.append(Fold(subject, kind, **known, p=best, train_f1=f1))
        for at, video in enumerate(recordings):
            if video.subject_key == subject:
                values = smoothed[video.key, kind] = curve(at)
                events += _events(video, values, known, rule, kind, best)
    return Found(events, folds, smoothed)


def _durations(train: Sequence[Recording], subject: str, kind: str, method: str) -> dict[str, int]:
    """Durations of the training subjects' expressions and the span that follows, in frames."""
    durations = [each.duration for video in train for each in video.of_kind(kind)]
    if not durations:
        raise UserError(
            f"the training subjects of {subject} have no {kind}-expression; "
            "give more recordings, or the other kind alone"
        )
    mean = max(1, round(float(np.mean(durations))))
    return {
        "duration": mean,
        "shortest": min(durations),
        "longest": max(durations),
        "span": max(2, round(mean * evidences.EVIDENCE[method].share)),
    }


def _events(
    video: Recording, values: np.ndarray, known: Mapping[str, int], rule: str, kind: str, p: float
) -> list[Event]:
    if rule == "peaks":
        ends = intervals.around_peaks(values, p=p, duration=known["duration"])
    else:
        ends = intervals.above_threshold(
            values, p=p, shortest=known["shortest"], longest=known["longest"]
        )
    return [
        Event(video.subject, video.name, int(a), int(b), kind, database=video.database)
        for a, b in ends
    ]


def _best_p(
    train: Sequence[Recording],
    curves: Any,
    known: Mapping[str, int],
    rule: str,
    kind: str,
    candidates: Sequence[float],
) -> tuple[float, float]:
    """(p, F1): the candidate with the best F1 on the training videos; of equal ones the highest."""
    curves = list(curves)
    truths = [event for event in scoring.events(train) if event.kind == kind]
    found = []
    for p in candidates:
        predicted = [
            event
            for video, values in zip(train, curves)
            for event in _events(video, values, known, rule, kind, p)
        ]
        counts = scoring.match_events(truths, predicted).counts.sum((0, 1))
        found.append((float(scoring.scores(counts)["f1"]), p))
    f1, best = max(found)
    return best, f1
