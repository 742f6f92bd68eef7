"""Recordings of every kind: their frames, their rates, and as clips."""

import pathlib
import pickle

import numpy as np
import pytest
from PIL import Image, ImageOps

from mer_jax.datasets import folders, synthetic, video_source
from mer_jax.errors import UserError
from mer_jax.io import video_files
from tests.datasets import replica
from tests.io.test_video_files import encode

REAL = pathlib.Path(__file__).resolve().parents[3] / "shared/data/real_faces"


def brightness_is_time(tmp_path, times: list[int], suffix: str = ".mkv") -> pathlib.Path:
    """A lossless film whose frame at t ms has brightness t / 4."""
    frames = [np.full((32, 32, 3), round(t / 4), np.uint8) for t in times]
    return encode(tmp_path / f"a{suffix}", "ffv1", "bgr0", frames, times=times, rate=1000)


@pytest.mark.parametrize(
    "times,fps,count",
    [
        ([0, 40, 80, 120, 160, 400, 440], 25, 12),  # frames were dropped
        ([0, 20, 40, 60, 110, 160, 210, 260, 280, 300, 320, 340], 50, 18),
        ([0, 33, 70, 95, 140, 166, 230, 250, 333, 366, 400], 30, 13),
    ],
)
def test_a_variable_rate_is_interpolated_by_its_timestamps(tmp_path, times, fps, count):
    source = video_source.open_video(brightness_is_time(tmp_path, times))
    frames = source.clip.frames
    assert source.fps == pytest.approx(fps, rel=0.12) and source.count == len(frames)
    assert abs(len(frames) - count) <= 1
    at = 1000 * np.arange(len(frames)) / source.fps
    near = 0.1 * 1000 / source.fps / 4 + 1  # a frame this near to a tick is taken as it is
    np.testing.assert_allclose(frames[:, 0, 0, 0], at / 4, atol=near)
    assert len(source.notes) == 1 and "the frame rate varies (longest gap" in source.notes[0]


def test_frames_that_are_there_stay_as_they_are(tmp_path):
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (32, 32, 3), np.uint8) for _ in range(8)]
    times = [0, 20, 40, 60, 120, 140, 160, 180]
    path = encode(tmp_path / "a.mkv", "ffv1", "bgr0", frames, times=times, rate=1000)
    source = video_source.open_video(path)
    found = source.clip.frames
    assert source.fps == pytest.approx(50) and len(found) == 10
    np.testing.assert_array_equal(found[[0, 1, 2, 3, 6, 7, 8, 9]], frames)
    mean = np.round(frames[3] * (2 / 3) + frames[4] / 3)
    assert np.abs(found[4] - mean).max() <= 1
    given = video_source.open_video(path, fps=100)  # the user knows better
    np.testing.assert_array_equal(given.clip.frames, frames)
    assert given.fps == 100 and not given.notes


def test_milliseconds_of_a_constant_rate_are_no_variable_one(tmp_path):
    times = [round(1000 * t / 30) for t in range(30)]
    source = video_source.open_video(brightness_is_time(tmp_path, times))
    assert source.fps == pytest.approx(30, rel=2e-3) and source.count == 30 and not source.notes


@pytest.mark.parametrize(("count", "rate"), [(30, 30.0), (3000, 29.9)])
def test_an_announced_rate_moves_no_frame(tmp_path, monkeypatch, count, rate):
    timestamps = video_files.Timestamps(np.round(np.arange(count) / 29.9, 3), 30.0, count)
    monkeypatch.setattr(video_files, "timestamps", lambda path: timestamps)
    (tmp_path / "a.mp4").touch()
    source = video_source.open_video(tmp_path / "a.mp4")
    assert source.fps == pytest.approx(rate, rel=1e-6) and source.count == count
    last = (count - 1) / source.fps
    assert last == pytest.approx(timestamps.times[-1], abs=0.5 / source.fps)


def test_interpolated_frames_have_the_rate_that_is_told(tmp_path, monkeypatch):
    times = [0, 40, 80, 120, 160, 400, 440]
    path = brightness_is_time(tmp_path, times)
    timestamps = video_files.Timestamps(np.array(times) / 1000, 25.1, len(times))
    monkeypatch.setattr(video_files, "timestamps", lambda path: timestamps)
    source = video_source.open_video(path)
    frames = source.clip.frames
    assert source.fps == 25.1 and len(frames) == source.count
    at = 1000 * np.arange(len(frames)) / source.fps
    np.testing.assert_allclose(frames[:, 0, 0, 0], at / 4, atol=0.1 * 1000 / 25.1 / 4 + 1)


def test_a_film_whose_name_begins_with_a_tilde(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    replica.save(tmp_path / "~$a.png", np.zeros((8, 8, 3), np.uint8))
    assert video_source.open_video("~$a.png").count == 1
    with pytest.raises(UserError, match=r"^~\$b\.png: there is no such file"):
        video_source.open_video("~$b.png")


def test_timestamps_that_make_no_sense(tmp_path):
    with pytest.raises(UserError, match=r"timestamps make no sense .*; give the frame rate"):
        video_source.open_video(brightness_is_time(tmp_path, [0, 1, 2, 3, 4, 1000]))


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_animated_pictures(tmp_path, suffix):
    flat = [np.full((20, 30, 3), 40 * t, np.uint8) for t in range(5)]
    first, *others = map(Image.fromarray, flat)
    path = tmp_path / f"a{suffix}"
    first.save(
        path, save_all=True, append_images=others, duration=[20, 20, 20, 20, 900], lossless=True
    )
    source = video_source.open_video(path)
    assert source.fps == pytest.approx(50) and source.count == 5 and not source.notes
    np.testing.assert_array_equal(source.clip.frames, flat)
    Image.fromarray(flat[1]).save(tmp_path / "still.webp", lossless=True)
    still = video_source.open_video(tmp_path / "still.webp")
    np.testing.assert_array_equal(still.clip.frames, flat[1:2])


def test_a_folder_of_webp_and_what_is_no_webp(tmp_path):
    y, x = np.mgrid[:40, :60]
    picture = np.stack([4 * x, 5 * y, x + y], -1).astype(np.uint8)
    for number, lossless in enumerate((True, False)):
        Image.fromarray(picture).save(tmp_path / f"{number}.webp", lossless=lossless, quality=95)
    first, second = video_source.open_video(tmp_path, fps=25).clip.frames
    np.testing.assert_array_equal(first, picture)
    assert np.abs(second.astype(int) - picture).mean() < 4
    content = (tmp_path / "0.webp").read_bytes()
    (tmp_path / "0.webp").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"0\.webp: .*is cut short"):
        folders.read_image(tmp_path / "0.webp")
    for kind, size in ((b"VP8L", 21), (b"VP8 ", 26), (b"VP8X", 24)):
        bomb = bytearray(b"RIFF" + (100).to_bytes(4, "little") + b"WEBP" + kind + bytes(92))
        bomb[size : size + 6] = b"\xff\xff\xff\x0f\xff\xff" if kind != b"VP8 " else b"\xff\x3f" * 3
        (tmp_path / "bomb.webp").write_bytes(bomb)
        with pytest.raises(UserError, match="too large"):
            folders.read_image(tmp_path / "bomb.webp")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_turned_as_its_exif_says(tmp_path, orientation):
    y, x = np.mgrid[:40, :64]
    picture = Image.fromarray(np.stack([3 * x, 5 * y, x + y], -1).astype(np.uint8))
    exif = picture.getexif()
    exif[0x0112] = orientation
    picture.save(tmp_path / "a.jpg", exif=exif, quality=95)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "a.jpg")))
    (found,) = video_source.open_video(tmp_path / "a.jpg").clip.frames
    assert found.shape == expected.shape and np.abs(found.astype(int) - expected).mean() < 2


@pytest.mark.parametrize(
    "names,note",
    [
        (["img1", "img2", "img3"], None),
        (["img010", "img020", "img030"], None),
        (["s01_1", "s01_2", "s01_5", "s01_6"], "2 frame number(s) are missing, between s01_2.png"),
        (["1", "2", "9", "10", "14"], "9 frame number(s) are missing"),
        (["left", "right"], None),
    ],
)
def test_missing_frame_numbers_are_noted(tmp_path, names, note):
    for name in names:
        replica.save(tmp_path / f"{name}.png", np.zeros((8, 8, 3), np.uint8))
    source = video_source.open_video(tmp_path, fps=25)
    assert source.count == len(names) and len(source.notes) == (note is not None)
    assert not note or source.notes[0].startswith(note)


@pytest.mark.parametrize(
    "names",
    [
        ["t0.25", "t0.5", "t0.75", "t1.0"],
        ["1700000000.25", "1700000000.5", "1700000001.125"],
        ["take1.8", "take1.9", "take1.10", "take1.11"],
        ["S1.0009", "S1.0010", "S1.0011"],
        ["take1.7", "take1.9", "take1.11", "take1.13"],
        ["1700000000.5", "1700000001.25", "1700000001.75"],
    ],
)
def test_names_with_decimals(tmp_path, names):
    for brightness, name in enumerate(names):
        replica.save(tmp_path / f"{name}.png", np.full((8, 8, 3), brightness, np.uint8))
    source = video_source.open_video(tmp_path, fps=25)
    assert [frame[0, 0, 0] for frame in source.frames()] == [*range(len(names))]
    assert not source.notes


def test_a_counter_behind_a_point_has_missing_frames(tmp_path):
    for name in ("S1.0009", "S1.0010", "S1.0012"):
        replica.save(tmp_path / f"{name}.png", np.zeros((8, 8, 3), np.uint8))
    (note,) = video_source.open_video(tmp_path, fps=25).notes
    assert note.startswith("1 frame number(s) are missing, between S1.0010.png and S1.0012.png")


@pytest.mark.parametrize(
    "names", [("img0.jpg", "img0.png"), ("img01.jpg", "img1.jpg"), ("t0.5.jpg", "t0.5.png")]
)
def test_two_files_of_one_frame_are_named(tmp_path, names):
    for name in (*names, names[0].replace("0", "3").replace("1", "4")):
        replica.save(tmp_path / name, np.zeros((8, 8, 3), np.uint8))
    said = f"{names[0]} and {names[1]} are one frame by their names; remove one of them"
    with pytest.raises(UserError, match=said):
        video_source.open_video(tmp_path, fps=25)


@pytest.mark.skipif(not REAL.is_dir(), reason="the real clips are not there")
def test_real_clips():
    for name, shape, fps, count in (
        ("grid_bbaf2n.mpg", (288, 360, 3), 25, 75),
        ("pyfeat_single_face.mp4", (360, 640, 3), 30, 72),
        ("pyfeat_face_noface.mov", (540, 960, 3), 26.4, 169),
    ):
        source = video_source.open_video(REAL / name)
        frames = list(source.frames())
        assert source.fps == pytest.approx(fps, rel=1e-3) and source.count == len(frames)
        assert abs(len(frames) - count) <= 1 and {frame.shape for frame in frames} == {shape}


@pytest.mark.parametrize("kind", ("folder", "film.mp4", "folder/2.png"))
def test_a_recording_pickles_as_a_clip(tmp_path, kind):
    (scene,) = synthetic.scenes(subjects=1, clips_per_subject=1, size=(16, 16), frames=(8, 8))
    synthetic.video(tmp_path / "film.mp4", scene)
    for number, frame in enumerate(scene.frames):
        replica.save(tmp_path / "folder" / f"{number}.png", frame)
    clip = video_source.open_video(tmp_path / kind, fps=100.0).clip
    again = pickle.loads(pickle.dumps(clip))
    np.testing.assert_array_equal(again.frames, clip.frames)
    if kind == "folder":
        np.testing.assert_array_equal(again.frames, scene.frames)


def test_of_a_tiff_with_several_pictures_not_one_is_taken_for_all(tmp_path):
    image = pytest.importorskip("PIL.Image")
    first, *others = (image.fromarray(np.full((20, 31), 40 * t, np.uint8)) for t in range(4))
    first.save(tmp_path / "a.tif", save_all=True, append_images=others)
    with pytest.raises(UserError, match=r"a\.tif: .* holds more than one picture"):
        video_source.open_video(tmp_path / "a.tif", fps=100)
