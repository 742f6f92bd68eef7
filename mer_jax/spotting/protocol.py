"""Leave-one-subject-out spotting: everything a fold uses is fitted to its training subjects.

Of each kind (micro, macro) and fold, the training subjects give the mean duration of an expression,
and with it the span of the evidence; the shortest and the longest duration; and the p of the
threshold whose intervals, with those of the neighboring p, have the best F1 on the videos that
choose it.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from tqdm import tqdm

from mer_jax.errors import UserError
from mer_jax.metrics import matching
from mer_jax.metrics.matching import Event
from mer_jax.metrics.spotting import scores
from mer_jax.options import checked
from mer_jax.recordings import KINDS, Recording
from mer_jax.spotting import evidence as evidences
from mer_jax.spotting import per_recording
from mer_jax.spotting.intervals import Rule, smooth
from mer_jax.training.spotter_files import Fold

P = tuple(np.round(np.arange(0.05, 1.0, 0.05), 2).tolist())


@dataclasses.dataclass(frozen=True, eq=False)
class Found:
    """The intervals of all test subjects, and how they came about."""

    events: list[Event]
    folds: list[Fold]
    evidence: Mapping[tuple[str, str], np.ndarray]  # (Recording.key, kind) -> [T]


@checked
def plan(
    recordings: Sequence[Recording], *, kinds: Sequence[str], span_of: Callable[[int], int]
) -> list[Fold]:
    """The folds of each subject and kind, without their p.

    Args:
      recordings: of one database; those without an expression count as well.
      kinds: "micro", "macro" or both; each is spotted by itself.
      span_of: the span of the evidence, from the mean duration of an expression (frames).

    Raises:
      UserError: fewer than two subjects, recordings of two rates, or no expression of a kind among
        the training subjects.
    """
    subjects = tuple(dict.fromkeys(video.subject_key for video in recordings))
    if len(subjects) < 2:
        raise UserError("leave-one-subject-out needs recordings of two subjects or more")
    rates = sorted({video.fps for video in recordings})
    if len(rates) > 1:
        raise UserError(
            f"the recordings have rates of {' and '.join(f'{rate:g}' for rate in rates)} Hz; "
            "durations count in frames: give recordings of one rate"
        )
    folds = []
    for subject in subjects:
        train = [video for video in recordings if video.subject_key != subject]
        for kind in kinds:
            durations = [each.duration for video in train for each in video.of_kind(kind)]
            if not durations:
                raise UserError(
                    f"the training subjects of {subject} have no {kind}-expression; "
                    "give more recordings, or the other kind alone"
                )
            mean = max(1, round(float(np.mean(durations))))
            lengths = mean, min(durations), max(durations), span_of(mean)
            folds.append(Fold(subject, kind, *lengths, fps=rates[0]))
    return folds


@checked
def spot(
    recordings: Sequence[Recording],
    folds: Sequence[Fold],
    evidence: Callable[[Fold, int], np.ndarray],
    *,
    rule: Rule,
    chosen_on: Callable[[Fold], Sequence[int]] | None = None,
    quiet: bool = True,
) -> Found:
    """Finds the intervals of each fold's test subject, with the p of its other subjects.

    Args:
      folds: of `plan`.
      evidence: (fold, index of a recording) -> [T], by what the fold has fitted.
      rule: from evidence to intervals; without a p, each fold's is chosen.
      chosen_on: fold -> indices of the recordings that choose p; by default those of all training
        subjects.
      quiet: no progress bar.
    """
    events: list[Event] = []
    done: list[Fold] = []
    smoothed: dict[tuple[str, str], np.ndarray] = {}
    for fold in tqdm(folds, "folds", disable=quiet, leave=False):
        of_test = [video.subject_key == fold.subject for video in recordings]
        train = [at for at, test in enumerate(of_test) if not test]
        train = list(chosen_on(fold)) if chosen_on else train
        curve = lambda at, fold=fold: rule.smooth(evidence(fold, at), fold.duration)
        fold = _with_best_p([recordings[at] for at in train], map(curve, train), fold, rule)
        done.append(fold)
        for video, test, at in zip(recordings, of_test, range(len(recordings))):
            if test:
                values = smoothed[video.key, fold.kind] = curve(at)
                events += _events(video, values, fold, rule, fold.p)
    return Found(events, done, smoothed)


@checked
def found_with(
    recordings: Sequence[Recording], found: Found, *, kind: str, p: float, rule: Rule
) -> list[Event]:
    """The intervals of `kind` that the same evidence gives with one p for all folds."""
    folds = {fold.subject: fold for fold in found.folds if fold.kind == kind}
    return [
        event
        for video in recordings
        for event in _events(
            video, found.evidence[video.key, kind], folds[video.subject_key], rule, p
        )
    ]


@checked
def leave_one_subject_out(
    recordings: Sequence[Recording],
    *,
    method: str = "mdmd",
    rule: Rule | None = None,
    kinds: Sequence[str] = KINDS,
    span: int = 0,
    size: tuple[int, int] = (64, 64),
    preset: str = "horn_schunck",
    quiet: bool = True,
) -> Found:
    """Spots the expressions of each subject by an evidence without a network.

    Args:
      recordings, kinds: as in `plan`.
      method: the evidence, a member of `spotting.EVIDENCE`.
      rule: from evidence to intervals; by default peaks, with a p of the training subjects.
      span: frames; 0: the mean duration of the training subjects' expressions for mdmd (whose
        published spans are 12 at 30 Hz and 80 at 200 Hz for micro-expressions), half of it for the
        other two.
      size, preset: as in `spotting.compute`.
      quiet: no progress bar.

    Raises:
      UserError: as `plan`.
    """
    share = evidences.EVIDENCE[method].share
    folds = plan(recordings, kinds=kinds, span_of=lambda mean: span or max(2, round(mean * share)))
    options = {"evidence": method, "size": size, "preset": preset}
    curves = {
        span: list(
            per_recording.compute(
                recordings, evidences.collected, options | {"span": span}, group="evidence"
            )
        )
        for span in dict.fromkeys(fold.span for fold in folds)
    }
    evidence = lambda fold, at: curves[fold.span][at]["values"]
    return spot(recordings, folds, evidence, rule=rule or Rule(), quiet=quiet)


def _events(video: Recording, values: np.ndarray, fold: Fold, rule: Rule, p: float) -> list[Event]:
    ends = rule.intervals(values, p, fold.duration, fold.shortest, fold.longest)
    return [
        Event(video.subject, video.name, int(a), int(b), fold.kind, database=video.database)
        for a, b in ends
    ]


def _with_best_p(
    train: Sequence[Recording], curves: "map[np.ndarray]", fold: Fold, rule: Rule
) -> Fold:
    """The fold with the p whose F1 on the videos `train`, averaged with that of the next lower and
    the next higher p, is the best; of equal ones the highest."""
    smoothed = list(curves)
    truths = [event for event in matching.events(train) if event.kind == fold.kind]
    candidates, f1 = P if rule.p is None else (rule.p,), []
    for p in candidates:
        predicted = [
            event
            for video, values in zip(train, smoothed)
            for event in _events(video, values, fold, rule, p)
        ]
        counts = matching.match_events(truths, predicted).counts.sum((0, 1))
        f1.append(float(scores(counts)["f1"]))
    # The maximum over a few dozen expressions is partly chance; its neighbors are a further sample.
    _, best = max((value, at) for at, value in enumerate(smooth(np.array(f1), width=3).round(9)))
    return fold._replace(p=candidates[best], train_f1=f1[best])
