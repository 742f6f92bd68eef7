"""Strict leave-one-subject-out: what a fold learns does not hear of its test subject."""

import dataclasses

import numpy as np
import pytest

from mer_jax import spotting
from mer_jax.errors import UserError
from mer_jax.metrics import matching
from mer_jax.recordings import Interval, Recording
from mer_jax.spotting import protocol
from tests.spotting.test_evidence import movement, texture

OPTIONS = {"method": "strain", "kinds": ("micro",), "size": (24, 24)}


def video(subject, onsets, duration=13, seed=0, length=120):
    shifts = sum(movement(length, on, on + duration // 2, on + duration - 1) for on in onsets)
    frames = np.stack([texture(s) for s in shifts])[..., None]
    marked = tuple(Interval(on, on + duration // 2, on + duration - 1) for on in onsets)
    read = lambda i, j: frames[i:j]
    return Recording("toy", subject, f"{subject}_1", read, length, 30.0, marked)


@pytest.fixture(scope="module")
def videos():
    return [video("a", [30, 80]), video("b", [20]), video("c", [50, 90])]


@pytest.fixture(scope="module")
def found(videos):
    return spotting.leave_one_subject_out(videos, **OPTIONS)


def test_known_movements_are_found(videos, found):
    truths = matching.events(videos)
    result = matching.match_events(truths, found.events)
    assert result.counts.sum((0, 1)).tolist() == [5, 0, 0]
    assert {(e.database, e.subject) for e in found.events} == {("toy", name) for name in "abc"}
    assert all(len(values) == 120 for values in found.evidence.values())


def test_a_fold_does_not_hear_of_its_test_subject(videos, found):
    """Other marks of subject a, of other durations, change nothing in its own fold."""
    other = Recording(
        "toy",
        "a",
        "a_1",
        videos[0].read,
        120,
        30.0,
        (Interval(5, None, 60), Interval(70, None, 75)),
    )
    changed = spotting.leave_one_subject_out([other, *videos[1:]], **OPTIONS)
    own = lambda result: (
        [fold for fold in result.folds if fold.subject == "toy/a"],
        [event for event in result.events if event.subject == "a"],
    )
    assert own(changed) == own(found)
    assert changed.folds[1:] != found.folds[1:]  # and the other folds do hear of it


def test_a_published_p_is_not_learned(videos):
    fixed = spotting.leave_one_subject_out(videos, rule=spotting.Rule(p=0.9), **OPTIONS)
    assert {fold.p for fold in fixed.folds} == {0.9}


def test_runs_last_from_the_shortest_to_the_longest_of_the_training_subjects():
    films = [video("a", [30, 80], 9), video("b", [20], 21), video("c", [50, 90], 13)]
    rule = spotting.Rule("runs", p=0.2)
    runs = spotting.leave_one_subject_out(films, rule=rule, **OPTIONS)
    lengths = {fold.subject: (fold.shortest, fold.longest) for fold in runs.folds}
    assert lengths == {"toy/a": (13, 21), "toy/b": (9, 13), "toy/c": (9, 21)}
    expected = []
    for film in films:
        values = runs.evidence[film.key, "micro"]
        computed = values[~np.isnan(values)]
        above = values > computed.mean() + 0.2 * (computed.max() - computed.mean())
        edges = np.flatnonzero(np.diff(np.pad(above.astype(int), 1)))
        least, most = lengths[film.subject_key]
        found = [(on, off - 1) for on, off in edges.reshape(-1, 2) if least <= off - on <= most]
        expected += [(film.name, *each) for each in found]
    assert [(e.video, e.onset, e.offset) for e in runs.events] == expected and expected


def test_mistakes_are_one_sentence(videos):
    with pytest.raises(UserError, match="two subjects or more"):
        spotting.leave_one_subject_out(videos[:1])
    with pytest.raises(UserError, match="have no macro-expression"):
        spotting.leave_one_subject_out(videos, **OPTIONS | {"kinds": ("macro",)})
    slow = dataclasses.replace(videos[0], fps=25.0)
    with pytest.raises(UserError, match="rates from 25 to 30 Hz"):
        spotting.leave_one_subject_out([slow, *videos[1:]], **OPTIONS)
    rounded = dataclasses.replace(videos[0], fps=30.0 * (1 + 1e-6))  # as containers have it
    assert protocol.plan([rounded, *videos[1:]], kinds=("micro",), span_of=lambda mean: mean)
