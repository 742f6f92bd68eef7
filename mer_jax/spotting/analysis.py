"""What a spotting run finds and misses, and what it takes for an expression."""

import collections
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mer_jax.metrics import matching
from mer_jax.metrics.matching import Event
from mer_jax.metrics.spotting import scores
from mer_jax.options import checked
from mer_jax.recordings import Recording
from mer_jax.spotting.intervals import Rule
from mer_jax.spotting.protocol import Found, P, found_with

OTHER_KIND, NOTHING = "the other kind", "nothing marked"


class Group(NamedTuple):
    """Expressions of one kind with a value from `low` to `high`, and how many were found."""

    low: float
    high: float
    number: int
    hits: int


def false_alarms(
    recordings: Sequence[Recording], events: Sequence[Event]
) -> dict[str, dict[str, int]]:
    """Kind -> what lies under the false alarms -> their number.

    A false alarm is under an expression of its own kind ("missed by its ends") or of the other
    kind, a distractor (where the recordings know them), or nothing, whichever overlaps with the
    most of it.
    """
    videos = {video.key: video for video in recordings}
    hits = {id(prediction) for _, prediction, _ in _spot(recordings, events).hits}
    causes: dict[str, collections.Counter] = {}
    for event in events:
        if id(event) in hits:
            continue
        marked = [
            (
                "missed by its ends" if each.kind == event.kind else OTHER_KIND,
                each.onset,
                each.offset,
            )
            for each in videos[event.key].intervals
        ]
        marked += videos[event.key].distractors
        shared = [
            (min(event.offset, offset) - max(event.onset, onset) + 1, cause)
            for cause, onset, offset in marked
        ]
        cause = max([(0, NOTHING), *shared], key=lambda each: each[0])[1]
        causes.setdefault(event.kind, collections.Counter())[cause] += 1
    return {kind: dict(counter.most_common()) for kind, counter in causes.items()}


@checked
def hits_by(
    recordings: Sequence[Recording],
    events: Sequence[Event],
    value: str,
    *,
    kind: str,
    groups: int = 3,
) -> list[Group]:
    """The expressions of a kind in groups of about equal size, by ascending value.

    Args:
      value: "duration" (frames) or "intensity", of `Interval`.
      kind: "micro" or "macro".
      groups: their number; expressions without the value are left out.
    """
    hits = _spot(recordings, events).hits
    found = {(true.key, true.kind, true.onset, true.offset) for true, _, _ in hits}
    rows = [
        (getattr(each, value), (video.key, each.kind, each.onset, each.offset) in found)
        for video in recordings
        for each in video.of_kind(kind)
        if getattr(each, value) is not None
    ]
    rows.sort(key=lambda row: row[0])
    parts = np.array_split(np.array(rows, np.float64).reshape(-1, 2), groups)
    return [
        Group(float(part[0, 0]), float(part[-1, 0]), len(part), int(part[:, 1].sum()))
        for part in parts
        if len(part)
    ]


def precision_recall(
    recordings: Sequence[Recording], found: Found, rule: Rule
) -> dict[str, list[tuple[float, float, float]]]:
    """Kind -> (p, precision, recall) of the test subjects for every candidate p."""
    curves = {}
    for kind in dict.fromkeys(fold.kind for fold in found.folds):
        truths = [event for event in matching.events(recordings) if event.kind == kind]
        rows = []
        for p in P:
            counts = matching.match_events(
                truths, found_with(recordings, found, kind=kind, p=p, rule=rule)
            ).counts
            scored = scores(counts.sum((0, 1)))
            rows.append((p, float(scored["precision"]), float(scored["recall"])))
        curves[kind] = rows
    return curves


def _spot(recordings: Sequence[Recording], events: Sequence[Event]) -> matching.Spotting:
    kinds = {event.kind for event in events}
    truths = [event for event in matching.events(recordings) if event.kind in kinds]
    return matching.match_events(truths, events)
