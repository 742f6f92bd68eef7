"""Spotted intervals, and which of them hit a marked one, as the MEGC challenges define it.

A prediction hits a truth of the same video and kind if their intersection over union, counted in
frames with onset and offset included, is at least 0.5. A truth and a prediction take part in one
hit at most.
"""

import dataclasses
import functools
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from mer_jax.errors import UserError, unknown_name
from mer_jax.keys import normalize_key
from mer_jax.metrics.scores import ratio
from mer_jax.recordings import KINDS

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

    @property
    def key(self) -> str:
        """`Recording.key` of its recording, if it is named as there."""
        return f"{self.database}/{self.subject}/{self.video}"


def events(recordings: Iterable[Any]) -> list[Event]:
    """The marked intervals of recordings (`mer_jax.recordings.Recording`)."""
    return [
        Event(video.subject, video.name, i.onset, i.offset, i.kind, i.emotion or "", video.database)
        for video in recordings
        for i in video.intervals
    ]


def numbered(found: Iterable[Event], recordings: Iterable[Any]) -> list[Event]:
    """Events with the numbers that the database gives their frames, for those counted from 0.

    A frame that stands for several (`Recording.step`) ends with the last of them.
    """
    numbers = {video.key: (video.numbers, video.step - 1) for video in recordings}

    def of(event: Event) -> Event:
        frames, more = numbers[event.key]
        return event._replace(
            onset=int(frames[event.onset]), offset=int(frames[event.offset]) + more
        )

    return [of(event) for event in found]


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


def iou(first: ArrayLike, second: ArrayLike, *, inclusive: bool = True) -> np.ndarray:
    """Intersection over union of intervals, in frames.

    Args:
      first: [M, 2] integers, onset and offset.
      second: [N, 2].
      inclusive: the offset is the last frame of an interval; False: the first after it.

    Returns:
      [M, N] float64.

    >>> iou([[0, 9]], [[5, 9], [9, 9], [10, 12]])
    array([[0.5, 0.1, 0. ]])
    """
    a = np.asarray(first, np.int64).reshape(-1, 1, 2)
    b = np.asarray(second, np.int64).reshape(1, -1, 2)
    shared = np.minimum(a[..., 1], b[..., 1]) - np.maximum(a[..., 0], b[..., 0])
    shared = np.maximum(shared + inclusive, 0)
    lengths = a[..., 1] - a[..., 0] + b[..., 1] - b[..., 0] + 2 * inclusive
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
    kinds: tuple[str, ...]  # [G] those of KINDS that occur, or ("",) where kinds are not given
    counts: np.ndarray  # [S, G, 3] int64: TP, FP, FN
    hits: tuple[tuple[Event, Event, float], ...]  # (truth, prediction, overlap)
    key: Callable[[Event], tuple[str, str]]  # (subject, video) of an event

    def by_kind(self) -> dict[str, np.ndarray]:
        """[S, 3] TP, FP, FN of each of "micro" and "macro" that occurs and of "both", or of
        "all"."""
        if self.kinds == ("",):
            return {"all": self.counts[:, 0]}
        named = {kind: self.counts[:, at] for at, kind in enumerate(self.kinds)}
        return {**named, "both": self.counts.sum(1)}


def match_events(
    truths: Sequence[Event],
    predictions: Sequence[Event],
    *,
    overlap: Callable[[np.ndarray, np.ndarray], np.ndarray] = iou,
    pairing: Callable[[np.ndarray], np.ndarray] = match,
    name_of: Callable[[Event], tuple[str, str]] | None = None,
) -> Spotting:
    """Matches predicted intervals with the true ones, video by video and kind by kind.

    Kinds count only if all truths and all predictions have one.

    Args:
      overlap: of two sets of intervals, as `iou`.
      pairing: the hits of one video, as `match`.
      name_of: (subject, video) of an event; by default `event_key` of both.

    Raises:
      UserError: an event that ends before it begins, or an unknown kind.
    """
    for event in (*truths, *predictions):
        if event.offset < event.onset:
            raise UserError(f"{event}: the interval ends before it begins")
        if event.kind not in ("", *KINDS):
            raise unknown_name("kind of expression", event.kind, KINDS)
    known = all(event.kind for event in (*truths, *predictions)) and bool(truths or predictions)
    present = {event.kind for event in (*truths, *predictions)}
    kinds = tuple(kind for kind in KINDS if kind in present) if known else ("",)
    key = name_of or event_key(truths, predictions)
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


def event_key(*sides: Sequence[Event]) -> Callable[[Event], tuple[str, str]]:
    """(subject, video) of an event, one spelling for both sides.

    The database is part of the subject if all events have one: they come from one place, and names
    are taken as they are. So are those of which one side has every name of the other. Else names
    are compared as `identify` spells them. Where that joins two of them, names of subjects (or
    videos) that have zeros in front, or capitals, on all sides show that these are spelled alike:
    they are taken as they are. Numbers stand for subjects unless two of one side have the same.
    """
    named = all(event.database for side in sides for event in side)

    def key(event: Event, spell: Callable[[str, str], tuple[str, str]]) -> tuple[str, str]:
        subject, video = spell(event.subject, event.video)
        return (f"{event.database}/{subject}" if named else subject), video

    exact = lambda subject, video: (subject.strip(), video.strip())
    by_number, by_name = (functools.partial(identify, by_number=given) for given in (True, False))
    names = [{key(event, exact) for event in side} for side in sides]
    if named or set().union(*names) in names:
        return functools.partial(key, spell=exact)
    count = lambda side, spell: len({key(event, spell)[0] for event in side})
    distinct = all(count(side, by_number) == count(side, by_name) for side in sides)
    spell = by_number if distinct else by_name
    joined = {key(event, by_number) for side in sides for event in side}
    if len(joined) == len(set().union(*names)):
        return functools.partial(key, spell=spell)
    common = set.intersection(*({exact(e.subject, e.video) for e in side} for side in sides))
    subject_kept, video_kept = (any(normalize_key(p[i]) != p[i] for p in common) for i in (0, 1))

    def mixed(subject: str, video: str) -> tuple[str, str]:
        (own_subject, own_video), spelled = exact(subject, video), spell(subject, video)
        return (
            own_subject if subject_kept else spelled[0],
            own_video if video_kept else spelled[1],
        )

    return functools.partial(key, spell=mixed)
