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
from mer_jax.recordings import KINDS, Recording, same_rate
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
    if not same_rate(rates[0], rates[-1]):
        raise UserError(
            f"the recordings have rates from {rates[0]:g} to {rates[-1]:g} Hz; "
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
    by_span: bool = False,
    quiet: bool = True,
) -> Found:
    """Finds the intervals of each fold's test subject, with the p of its other subjects.

    Args:
      folds: of `plan`.
      evidence: (fold, index of a recording) -> [T], by what the fold has fitted.
      rule: from evidence to intervals; without a p, each fold's is chosen.
      chosen_on: fold -> indices of the recordings that choose p; by default those of all training
        subjects.
      by_span: folds differ in their evidence by the span only; what they share is scored once.
      quiet: no progress bar.
    """
    events: list[Event] = []
    done: list[Fold] = []
    smoothed: dict[tuple[str, str], np.ndarray] = {}
    candidates = P if rule.p is None else (rule.p,)
    scored: dict[tuple, np.ndarray] = {}

    def curve(fold: Fold, at: int) -> np.ndarray:
        return rule.smooth(evidence(fold, at), fold.duration)

    def counts(fold: Fold, at: int) -> np.ndarray:
        """[P, 3] TP, FP, FN of a recording, by each of the candidates."""
        key = (at, fold.kind, fold.span, fold.duration, fold.shortest, fold.longest)
        if key in scored:
            return scored[key]
        video, values = recordings[at], curve(fold, at)
        truths = [event for event in matching.events([video]) if event.kind == fold.kind]
        each = [_events(video, values, fold, rule, p) for p in candidates]
        found = [matching.match_events(truths, events).counts.sum((0, 1)) for events in each]
        if by_span:
            scored[key] = np.stack(found)
        return np.stack(found)

    for fold in tqdm(folds, "folds", disable=quiet, leave=False):
        of_test = [video.subject_key == fold.subject for video in recordings]
        train = [at for at, test in enumerate(of_test) if not test]
        train = list(chosen_on(fold)) if chosen_on else train
        p, f1 = _best_p(candidates, np.sum([counts(fold, at) for at in train], axis=0))
        fold = fold._replace(p=p, train_f1=f1)
        done.append(fold)
        for video, test, at in zip(recordings, of_test, range(len(recordings))):
            if test:
                values = smoothed[video.key, fold.kind] = curve(fold, at)
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
    return spot(recordings, folds, evidence, rule=rule or Rule(), by_span=True, quiet=quiet)


def _events(video: Recording, values: np.ndarray, fold: Fold, rule: Rule, p: float) -> list[Event]:
    ends = rule.intervals(values, p, fold.duration, fold.shortest, fold.longest)
    return [
        Event(video.subject, video.name, int(a), int(b), fold.kind, database=video.database)
        for a, b in ends
    ]


def _best_p(candidates: Sequence[float], counts: np.ndarray) -> tuple[float, float]:
    """Of the candidates, with their counts [P, 3], the p whose F1, averaged with that of the next
    lower and the next higher p, is the best (of equal ones the highest); and its own F1."""
    f1 = scores(counts)["f1"]
    # The maximum over a few dozen expressions is partly chance; its neighbors are a further sample.
    _, best = max((value, at) for at, value in enumerate(smooth(f1, width=3).round(9)))
    return candidates[best], float(f1[best])
