import numpy as np
import pytest

from mer_jax.errors import UserError
from mer_jax.recordings import Interval, Recording

FRAMES = np.arange(20 * 4 * 3, dtype=np.uint8).reshape(20, 4, 3, 1)


def recording(*intervals, calls=None, length=20):
    def read(start, stop):
        if calls is not None:
            calls.append((start, stop))
        return FRAMES[start:stop]

    return Recording("mine", "s1", "v", read, length, 30.0, intervals)


def test_only_what_is_asked_for_is_read():
    calls = []
    video = recording(calls=calls)
    np.testing.assert_array_equal(video[3], FRAMES[3])
    np.testing.assert_array_equal(video[-1], FRAMES[19])
    np.testing.assert_array_equal(video[5:9], FRAMES[5:9])
    np.testing.assert_array_equal(video[18:2:-5], FRAMES[18:2:-5])
    assert video[7:7].shape == (0, 4, 3, 1)
    assert calls == [(3, 4), (19, 20), (5, 9), (3, 19), (0, 1)]
    with pytest.raises(IndexError):
        video[20]


@pytest.mark.parametrize("size", [3, 7, 20, 50])
def test_blocks_are_the_whole_video_once(size):
    calls = []
    starts, blocks = zip(*recording(calls=calls).blocks(size))
    assert starts == tuple(range(0, 20, size)) and len(calls) == len(blocks)
    np.testing.assert_array_equal(np.concatenate(blocks), FRAMES)


def test_intervals_are_checked_and_sorted():
    late, early = Interval(12, 14, 19, "macro"), Interval(np.int64(2), None, 5, emotion="disgust")
    video = recording(late, early)
    assert video.intervals == (early, late) and type(early.onset) is int
    assert early.duration == 4
    assert video.of_kind("macro") == (late,)
    assert video.mask().sum() == 4 + 8
    assert video.mask(kind="micro").nonzero()[0].tolist() == [2, 3, 4, 5]
    with pytest.raises(UserError, match="mine/s1/v: the micro-expression from frame 12 to 20 ends"):
        recording(Interval(12, None, 20))
    for wrong in ((5, 3, 9), (5, 7, 4), (-1, 3, 9), (5, None, None), (1.5, None, 3)):
        with pytest.raises(UserError):
            Interval(*wrong)
    with pytest.raises(UserError, match="did you mean 'micro'"):
        Interval(1, 2, 3, "mirco")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"subject": "a/b"}, 'without "/"'),
        ({"length": 0}, "length"),
        ({"fps": 0.0}, "rate"),
        ({"fps": None}, "rate"),
        ({"fps": "30"}, "rate"),
    ],
)
def test_a_recording_is_checked(change, message):
    given = {"database": "d", "subject": "s", "name": "n", "length": 20, "fps": 30.0} | change
    with pytest.raises(UserError, match=message):
        Recording(read=lambda start, stop: FRAMES[start:stop], **given)


def test_what_read_returns_is_checked():
    video = Recording("d", "s", "n", lambda start, stop: FRAMES[:1], 20, 30.0)
    with pytest.raises(UserError, match="frames 2 to 4 are read as uint8 of shape"):
        video[2:5]


def test_its_expressions_as_clips():
    video = recording(Interval(2, 3, 5, emotion="fear"), Interval(4, None, 9, "macro"))
    micro, macro = video.clips()
    assert (micro.name, macro.name) == ("v_micro_2_5", "v_macro_4_9")
    assert (micro.onset, micro.apex, micro.offset, micro.emotion) == (0, 1, 3, "fear")
    assert (macro.apex, macro.offset, macro.fps) == (None, 5, 30.0)
    np.testing.assert_array_equal(macro.frames, FRAMES[4:10])
    assert [clip.name for clip in video.clips(kind="micro")] == ["v_micro_2_5"]
