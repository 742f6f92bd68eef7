"""Which networks may label a subject, and what they are shown of an interval."""

from types import SimpleNamespace

import numpy as np
import pytest

from mer_jax.inference import recognizer
from mer_jax.metrics.matching import Event
from mer_jax.protocols import Folds
from mer_jax.recordings import Interval, Recording
from mer_jax.spotting import Found
from mer_jax.spotting.networks import Emotions
from mer_jax.training.spotter_files import Fold


def folds(train, validation=None):
    """Three folds over a clip of each of three subjects."""
    train = np.array(train, bool)
    validation = np.zeros_like(train) if validation is None else np.array(validation, bool)
    subjects = ("samm/006", "samm/007", "casme2/sub01")
    clips = tuple(f"{subject}/c" for subject in subjects)
    return Folds(("a", "b", "c"), clips, subjects, train, ~train & ~validation, validation)


LOSO = 1 - np.eye(3)


@pytest.mark.parametrize(
    ("train", "validation", "subject", "rows"),
    [
        (LOSO, None, "samm/006", (0,)),
        (LOSO, None, "samm_lv/006", (0,)),  # the same person in the long videos
        (LOSO, None, "samm_lv/6", (0,)),
        (LOSO, None, "casme2/sub1", (2,)),
        (LOSO, None, "synthetic/s01", (0, 1, 2)),  # in no fold: all are without it
        ([[0, 1, 1], [1, 0, 1], [0, 0, 1]], None, "samm/006", (0, 2)),
        ([[0, 1, 1]] * 3, [[1, 0, 0]] * 3, "samm/006", ()),  # an epoch was selected on it
        (np.ones((3, 3)), None, "samm/006", ()),
    ],
)
def test_a_fold_that_saw_a_subject_does_not_label_it(train, validation, subject, rows):
    assert recognizer.held_out(folds(train, validation), ("a", "b", "c"), subject) == rows


def test_the_networks_of_all_seeds_of_a_fold_and_none_that_diverged():
    names = ("a", "c", "a", "b", "c")  # two seeds; b of the first diverged
    assert recognizer.held_out(folds(LOSO), names, "samm/007") == (3,)
    assert recognizer.held_out(folds(LOSO), names, "samm/006") == (0, 2)


@pytest.mark.parametrize(
    ("ends", "shortest", "cut", "apex"),
    [
        ((10, 19), 5, (10, 19), 13),
        ((0, 1), 6, (0, 5), 1),  # the beginning of the video cut it
        ((38, 39), 6, (34, 39), 4),
        ((20, 21), 4, (19, 22), 1),
        ((0, 39), 99, (0, 39), 13),
    ],
)
def test_what_is_cut_out(ends, shortest, cut, apex):
    frames = np.arange(40, dtype=np.uint8).reshape(40, 1, 1, 1)
    video = Recording("d", "s", "v", lambda i, j: frames[i:j], 40, 30.0)
    event = Event("s", "v", *ends, "micro", database="d")
    evidence = -np.abs(np.arange(40) - 13.0)  # its largest value is that of frame 13
    found = Found([event], [], {(video.key, "micro"): evidence})
    largest = recognizer.apex_of(found, video, event)
    clip = recognizer.cut(video, "micro", ends[0], largest, ends[1], shortest=shortest)
    assert clip.frames.ravel().tolist() == list(range(cut[0], cut[1] + 1))
    inside = np.arange(ends[0], ends[1] + 1)
    assert clip.apex == inside[np.argmin(np.abs(inside - 13))] - cut[0]
    assert clip.subject_key == "d/s" and clip.fps == 30.0


def test_a_kind_without_emotions_gets_none():
    """SAMM Long Videos has emotions of micro-expressions only: the other kind's network has learned
    none, and its outputs are those that it began with."""
    marked = (Interval(2, 4, 6, "micro"), Interval(12, 14, 16, "macro"))
    videos = [Recording("d", s, "v", lambda i, j: None, 20, 30.0, marked) for s in ("s1", "s2")]
    labels = {"d/s1/v": (1, -1), "d/s2/v": (0, -1)}
    given = Emotions(("negative", "positive"), labels)
    folds = [Fold(v.subject_key, k, 5, 5, 5, 2, 30.0) for v in videos for k in ("micro", "macro")]
    trained = SimpleNamespace(folds=folds, emotion=lambda fold, at: np.ones(20, int))
    events = [
        Event("s1", "v", begin, begin + 4, kind, database="d")
        for kind, begin in (("micro", 2), ("macro", 12))
    ]
    evidence = {("d/s1/v", kind): np.zeros(20) for kind in ("micro", "macro")}
    found = Found(events, folds, evidence)
    named = recognizer.recognize_by_spotter(videos, found, trained, given)
    assert [event.emotion for event in named] == ["positive", ""]
    # Of the training subjects, not of the one that is tested.
    alone = given._replace(labels=labels | {"d/s2/v": (-1, -1)})
    named = recognizer.recognize_by_spotter(videos, found, trained, alone)
    assert [event.emotion for event in named] == ["", ""]
