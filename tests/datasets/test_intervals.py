"""The marked intervals of long videos as clips."""

import numpy as np
import pytest

from mer_jax import datasets
from mer_jax.datasets import recordings
from mer_jax.errors import Problem, UserError
from mer_jax.recordings import Interval, Recording

FRAMES = np.arange(40, dtype=np.uint8).reshape(40, 1, 1, 1)
MARKED = (
    Interval(3, 5, 9, "micro", "happiness"), Interval(12, None, 30, "macro", "disgust"),
    Interval(33, 35, 36),
)  # fmt: skip


@pytest.fixture
def videos(monkeypatch):
    video = Recording("casme_squared", "s15", "0401", lambda i, j: FRAMES[i:j], 40, 30.0, MARKED)
    found = recordings.Inspection([video], [], [Problem("sheet", "a note")], {})
    monkeypatch.setattr(recordings, "inspect", lambda name, root: found)
    return [video]


def test_clips_from_onset_to_offset_with_an_emotion(videos):
    found = datasets.inspect("casme_squared_intervals", "folder")
    assert [clip.frames.ravel().tolist() for clip in found.clips] == [
        list(range(3, 10)),
        list(range(12, 31)),
    ]
    first, second = found.clips
    assert (first.apex, first.offset, second.apex, first.emotion) == (2, 6, None, "happiness")
    assert first.subject_key == videos[0].subject_key
    assert [str(note) for note in found.notes] == [
        "sheet: a note",
        "casme_squared_intervals: 1 interval(s) have no emotion; they are left out",
    ]
    macro = datasets.load("casme_squared_intervals", "folder", kind="macro")
    assert [clip.key for clip in macro] == ["casme_squared/s15/0401_macro_12_30"]


def test_options_are_those_of_the_recordings_and_the_kind():
    for name in recordings.names():
        found = datasets.options(f"{name}_intervals")
        assert found == recordings.options(name) | {"kind": ""}
    with pytest.raises(UserError, match="did you mean 'micro'"):
        datasets.load("casme_squared_intervals", "folder", kind="micr")
    with pytest.raises(UserError, match="unknown database 'samm_lv_interval'"):
        datasets.load("samm_lv_interval", "folder")
