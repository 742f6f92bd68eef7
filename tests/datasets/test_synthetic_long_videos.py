"""Synthetic long videos: the same however they are read, and moving where their intervals say."""

import numpy as np
import pytest

from mer_jax.datasets import recordings, synthetic
from mer_jax.datasets.synthetic import expressions, long_videos
from mer_jax.errors import UserError

SMALL = {"subjects": 1, "recordings_per_subject": 1, "size": (24, 20)}


# The default seed's first recording, on every machine: kind, onset, apex, offset.
FIRST = [
    *(("macro", 193, 203, 211), ("micro", 229, 232, 235), ("macro", 351, 382, 415)),
    *(("micro", 460, 466, 474), ("micro", 568, 573, 578)),
]


def one(**given):
    return recordings.load("synthetic", None, **{**SMALL, **given})[0]


def test_the_same_pixels_whatever_the_block():
    video = one(seconds=4.0, micro=1, macro=1)
    whole = video[:]
    assert whole.shape == (120, 24, 20, 3) and whole.dtype == np.uint8
    for size in (7, 16, 50):
        blocks = np.concatenate([frames for _, frames in video.blocks(size)])
        np.testing.assert_array_equal(blocks, whole)
    np.testing.assert_array_equal(one(seconds=4.0, micro=1, macro=1)[33:35], whole[33:35])
    other = one(seconds=4.0, micro=1, macro=1, seed=1)
    assert other.intervals != video.intervals


def test_the_default_recording():
    video = recordings.load("synthetic", None)[0]
    assert (video.key, video.fps, len(video)) == ("synthetic/s01/s01_01", 30.0, 600)
    assert [(i.kind, i.onset, i.apex, i.offset) for i in video.intervals] == FIRST


@pytest.mark.slow
def test_a_video_of_an_hour_is_read_at_its_end():
    video = one(seconds=3600.0, micro=200, macro=100)
    assert len(video) == 108_000 and len(video.intervals) == 300
    assert video[107_998:].shape == (2, 24, 20, 3)


def test_intervals_lie_apart_and_last_as_long_as_their_kind():
    for video in long_videos.recordings(subjects=3, seconds=40.0, micro=5, macro=4):
        assert [len(video.of_kind(kind)) for kind in ("micro", "macro")] == [5, 4]
        for before, after in zip(video.intervals, video.intervals[1:]):
            assert after.onset - before.offset >= 12  # 0.4 s
        for each in video.intervals:
            low, high = (6, 15) if each.kind == "micro" else (18, 90)
            assert low <= each.duration <= high and each.onset < each.apex < each.offset
            assert each.action_units in synthetic.EMOTIONS[each.emotion]
    with pytest.raises(UserError, match=r"do not fit into 2 s; raise data\.seconds"):
        one(seconds=2.0, micro=5)


def test_without_distractors_only_expressions_move_the_face():
    video = one(seconds=6.0, micro=2, macro=1, distractors=(), noise=0.0)
    film = video[:].astype(int)
    still = np.ones(len(video), bool)
    for each in video.intervals:
        still[each.onset + 1 : each.offset] = False
        moved = np.abs(film - film[0]).mean((1, 2, 3))[each.onset : each.offset + 1]
        assert moved.argmax() == each.apex - each.onset
    np.testing.assert_array_equal(film[still], np.broadcast_to(film[0], film[still].shape))


@pytest.mark.parametrize("name", long_videos.DISTRACTORS)
def test_each_distractor_moves_the_picture_and_marks_nothing(name):
    video = one(seconds=20.0, micro=0, macro=0, distractors=(name,), noise=0.0)
    film = video[::10].astype(int)
    assert not video.intervals
    assert np.abs(film - film[0]).max() > 2


def test_macro_expressions_are_the_larger_ones():
    """The peak of the drawn field, over a grid of face units, as the options say in px."""
    video = one(seconds=30.0, micro=4, macro=4, distractors=())
    script, neutral = video.read.script, video.read.neutral
    where = np.stack(np.meshgrid(np.linspace(-0.9, 0.9, 91), np.linspace(-0.8, 1.2, 101)))
    kinds = {each.onset: each.kind for each in video.intervals}
    unit = min(64 / 2.5, 64 / 1.9)  # px of a face unit at 64 x 64
    for (onset, *_), strength in zip(np.asarray(script.movement), script.strength):
        if onset >= 0:
            field = np.asarray(expressions.displacement(neutral, strength, where))
            peak = np.sqrt((field**2).sum(0).max()) * unit
            low, high = (0.3, 1.5) if kinds[int(onset)] == "micro" else (1.5, 2.5)
            assert low - 1e-3 <= peak <= high + 1e-3


def test_gray_is_the_luma():
    color, gray = (one(seconds=3.0, micro=1, macro=0, gray=g)[3] for g in (False, True))
    assert gray.shape == (24, 20, 1)
    luma = color @ np.array([0.299, 0.587, 0.114])
    assert np.abs(gray[..., 0] - luma).max() <= 0.51


@pytest.mark.parametrize("name", ["blinks", "speech"])
def test_a_distractor_is_where_its_recording_says(name):
    """Outside of its intervals the face rests; within each it moves."""
    video = one(seconds=20.0, micro=0, macro=0, distractors=(name,), noise=0.0)
    film = video[:].astype(int)
    moved = np.abs(film - film[0]).max((1, 2, 3)) > 0
    assert video.distractors and {each.kind for each in video.distractors} == {name}
    inside = np.zeros(len(video), bool)
    for _, onset, offset in video.distractors:
        assert moved[onset : offset + 1].any()
        inside[onset : offset + 1] = True
    assert not moved[~inside].any()


def test_every_movement_that_is_no_expression_is_listed():
    """Seconds of a recording over those between two of a kind, on average; light has no end."""
    video = one(seconds=60.0, micro=0, macro=0)
    kinds = [each.kind for each in video.distractors]
    counts = {kind: kinds.count(kind) for kind in set(kinds)}
    assert counts == {"blinks": 15, "gaze": 40, "head": 10, "speech": 3}
    assert all(0 <= each.onset <= each.offset < 1800 for each in video.distractors)


def test_an_expression_carries_its_intensity():
    video = one(seconds=30.0, micro=4, macro=4)
    for each in video.intervals:
        low, high = (0.3, 1.5) if each.kind == "micro" else (1.5, 2.5)
        assert low <= each.intensity <= high
