"""The marked intervals of long videos as clips."""

import numpy as np
import pytest

from mer_jax import datasets
from mer_jax.datasets import identity, recordings
from mer_jax.datasets.frame_sources import FrameFolder
from mer_jax.errors import Problem, UserError
from mer_jax.faces import CropConfig, crop_recording
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
    assert [len(clip.read) for clip in found.clips] == [7, 19]  # known without reading
    macro = datasets.load("casme_squared_intervals", "folder", kind="macro")
    assert [clip.key for clip in macro] == ["casme_squared/s15/0401_macro_12_30"]


def own_videos(root, *, last=30):
    """A database of one's own: `tests.datasets.test_intervals:own_videos`."""
    del root
    marked = [each for each in MARKED if each.offset <= last]
    return [Recording("mine", "s1", "a", lambda i, j: FRAMES[i:j], 40, 30.0, tuple(marked))]


def clips_of_intervals(root):
    """Clips of one's own, though the name ends like marked intervals of `clips_of`."""
    return own_videos(root)[0].clips(kind="macro")


def clips_of(root):
    """Recordings."""
    return own_videos(root)


def test_intervals_of_ones_own_recordings():
    name = f"{__name__}:own_videos_intervals"
    assert datasets.options(name) == {"last": 30, "kind": ""}
    keys = [clip.key for clip in datasets.load(name, "folder")]
    assert keys == [clip.key for clip in own_videos("folder")[0].clips()]
    assert len(datasets.load(name, "folder", kind="micro", last=9)) == 1
    (clip,) = datasets.load(f"{__name__}:clips_of_intervals", "folder")
    assert clip.emotion == "disgust"
    with pytest.raises(UserError, match="no class or function 'other_intervals'"):
        datasets.load(f"{__name__}:other_intervals", "folder")


def test_options_are_those_of_the_recordings_and_the_kind():
    for name in recordings.names():
        found = datasets.options(f"{name}_intervals")
        assert found == recordings.options(name) | {"kind": ""}
    with pytest.raises(UserError, match="did you mean 'micro'"):
        datasets.load("casme_squared_intervals", "folder", kind="micr")
    with pytest.raises(UserError, match="unknown database 'samm_lv_interval'"):
        datasets.load("samm_lv_interval", "folder")


def test_a_clip_depends_on_the_files_of_its_own_frames(tmp_path):
    for n in range(9):
        (tmp_path / f"img{n}.jpg").write_bytes(b"x" * (n + 1))
    source = FrameFolder(tmp_path, r"img(\d+)", np.arange(9))
    video = Recording("d", "s", "v", source, 9, 30.0, (Interval(2, 3, 5, emotion="fear"),))
    (clip,) = video.clips()
    stats = identity.file_stats(clip.read)
    assert [(name, size) for name, size, _ in stats] == [
        (f"img{n}.jpg", n + 1) for n in range(2, 6)
    ]


def test_a_cropped_clip_depends_on_the_files_that_its_crop_is_found_in(tmp_path):
    """A damaged first frame that was mended left the examples of the crop before."""
    for n in range(19):
        (tmp_path / f"img{n}.jpg").write_bytes(b"x" * (n + 1))
    source = FrameFolder(tmp_path, r"img(\d+)", np.arange(19))
    video = Recording("d", "s", "v", source, 19, 30.0, (Interval(3, 4, 5, emotion="fear"),))
    names = {}
    for crop in ("none", "eyes"):
        (clip,) = crop_recording(video, CropConfig(crop, size=(8, 8))).clips()
        names[crop] = [name for name, _, _ in identity.file_stats(clip.read)]
        before = identity.digest(clip)
        (tmp_path / "img0.jpg").write_bytes(b"mended" + crop.encode())
        assert (identity.digest(clip) != before) == (crop == "eyes")
    assert names["none"] == ["img3.jpg", "img4.jpg", "img5.jpg"]
    assert names["eyes"] == names["none"] + [f"img{n}.jpg" for n in range(0, 19, 2)]
