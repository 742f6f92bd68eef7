"""The command as a user runs it."""

import csv
import errno
import os
import signal

import cv2
import numpy as np
import pytest
from absl import flags

from mer_jax.cli import command, predict
from mer_jax.datasets import synthetic, video_source
from mer_jax.errors import report_write_errors
from mer_jax.io import video_files
from mer_jax.reporting import figures, overlay
from tests.tiny_run import tiny_run

_FLAGS = ("run", "video", "out", "video_out", "onset", "apex", "offset", "window", "stride")
_FLAGS += ("fps", "fold", "threshold", "face", "landmarks", "alpha", "seconds")


def run(capsys, *arguments):
    flags.FLAGS.unparse_flags()
    for name in _FLAGS:
        flags.FLAGS[name].unparse()
    code = command.run(predict.main, flags.FLAGS(["predict", *map(str, arguments)]))
    out = capsys.readouterr()
    return code, out.out, out.err


def read_rows(path):
    with open(path, encoding="utf-8") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return tiny_run(tmp_path_factory)


@pytest.fixture(scope="module")
def scene():
    size = dict(subjects=1, clips_per_subject=1, size=(120, 100), frames=(24, 24))
    return synthetic.scenes(**size, amplitude=(2.4, 2.4), blinks=0.0)[0]


def test_a_video(capsys, workdir, tmp_path, scene):
    video = synthetic.video(tmp_path / "me.mp4", scene)
    code, out, err = run(
        capsys, f"--run={workdir}", f"--video={video}", f"--out={tmp_path}/o",
        f"--video_out={tmp_path}/o/film.mp4", "--window=0.12s", "--stride=6", "--threshold=0.02",
    )  # fmt: skip
    assert code == 0 and not err
    assert out.startswith("trained on 12 clips of 3 subjects (synthetic); rendered faces")
    assert "3 window(s)" in out and "most certain" in out
    rows = read_rows(tmp_path / "o" / "prediction.csv")
    assert [row["start_frame"] for row in rows] == ["0", "6", "12"]
    said = [row for row in rows if row["label"] in ("negative", "positive", "surprise")]
    assert said
    for row in said:
        chances = {name: float(row[f"p_{name}"]) for name in ("negative", "positive", "surprise")}
        assert sum(chances.values()) == pytest.approx(1, abs=1e-4)
        assert max(chances, key=chances.get) == row["label"]
    assert cv2.imread(f"{tmp_path}/o/prediction.png") is not None
    frames = [frame for _, frame in video_files.decode(f"{tmp_path}/o/film.mp4")]
    assert len(frames) == scene.length
    assert 240 < frames[0].shape[0] < 280 and frames[0].shape[1] > 200  # enlarged, and the panel


def test_a_video_is_not_its_own_output(capsys, workdir, tmp_path, scene):
    film = synthetic.video(tmp_path / "me.mp4", scene)
    before = film.read_bytes()
    frames = tmp_path / "frames"
    frames.mkdir()
    cv2.imwrite(str(frames / "1.png"), scene.frames[0])
    for video, output, said in (
        (film, f"--video_out={film}", "is the video itself"),
        (frames, f"--out={frames}", "is inside the folder of videos or frames"),
    ):
        code, out, err = run(capsys, f"--run={workdir}", f"--video={video}", output)
        assert code == 2 and not out and said in err and err.count("\n") == 1
    assert film.read_bytes() == before and len(list(frames.iterdir())) == 1


def test_a_picture_shows_no_movement(capsys, workdir, tmp_path, scene):
    cv2.imwrite(str(tmp_path / "me.png"), scene.frames[0][..., ::-1])
    code, out, err = run(
        capsys, f"--run={workdir}", f"--video={tmp_path}/me.png", f"--out={tmp_path}/o"
    )
    assert (code, err) == (0, "") and "1 x no movement" in out


def test_a_folder_of_videos(capsys, workdir, tmp_path, scene):
    films = tmp_path / "films"
    synthetic.video(films / "b.mp4", scene)
    synthetic.video(films / "deep" / "a.mp4", scene)
    (films / "torn.mp4").write_bytes(b"no video")
    (films / "notes.txt").write_text("of no interest")
    options = [
        f"--run={workdir}", f"--out={tmp_path}/o", "--window=12", "--stride=6", "--threshold=0.02",
    ]  # fmt: skip
    code, out, err = run(capsys, *options, f"--video={films}", "--video_out=seen.mp4")
    assert code == 1 and "2 video(s) done, 1 failed" in out and err.startswith("torn.mp4: failed: ")
    videos, windows = (
        read_rows(tmp_path / "o" / name) for name in ("videos.csv", "predictions.csv")
    )
    assert [(row["video"], row["status"]) for row in videos] == [
        *(("b.mp4", "done"), ("deep/a.mp4", "done"), ("torn.mp4", "failed")),
    ]
    assert "cannot be read as a video" in videos[2]["reason"] and not videos[0]["reason"]
    assert [row["rows"] for row in videos] == ["3", "3", "0"]
    assert float(videos[0]["seconds"]) == pytest.approx(scene.length / scene.fps, abs=1e-3)
    # One after the other in one table: what a run on one video writes.
    code, _, _ = run(capsys, *options, f"--out={tmp_path}/one", f"--video={films}/b.mp4")
    single = read_rows(tmp_path / "one" / "prediction.csv")
    for name in ("b.mp4", "deep/a.mp4"):
        assert [row for row in windows if row.pop("video", name) == name][:3] == single
        assert len(list(video_files.decode(tmp_path / "o" / name / "seen.mp4"))) == scene.length
        assert cv2.imread(str(tmp_path / "o" / name / "prediction.png")) is not None
    before = (tmp_path / "o" / "b.mp4" / "prediction.csv").stat().st_mtime_ns
    code, out, err = run(capsys, *options, f"--video={films}", "--video_out=seen.mp4")
    assert (code, err) == (1, "") and "2 video(s) done, 1 failed" in out
    assert (tmp_path / "o" / "b.mp4" / "prediction.csv").stat().st_mtime_ns == before


def test_a_signal_stops_and_says_how_to_resume(capsys, workdir, tmp_path, scene, monkeypatch):
    films, seen = tmp_path / "films", []
    for name in ("a.mp4", "b.mp4"):
        synthetic.video(films / name, scene)

    def stop(name, video):
        seen.append(name)
        os.kill(os.getpid(), signal.SIGTERM)

    handler = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(predict.Prediction, "predict", lambda self, name, video: stop(name, video))
    code, _, err = run(capsys, f"--run={workdir}", f"--video={films}", f"--out={tmp_path}/o")
    assert code == 128 + signal.SIGTERM and seen == ["a.mp4"]
    assert err == "stopped; re-run the same command to resume\n"
    assert signal.getsignal(signal.SIGTERM) == handler
    assert read_rows(tmp_path / "o" / "videos.csv") == []
    assert not (tmp_path / "o" / "a.mp4" / "video.json").exists()


def test_a_stopped_prediction_leaves_no_older_outputs(
    capsys, workdir, tmp_path, monkeypatch, scene
):
    video = synthetic.video(tmp_path / "me.mp4", scene)
    out, film = tmp_path / "o", tmp_path / "o" / "film.mp4"
    job = [f"--run={workdir}", f"--video={video}", f"--out={out}", f"--video_out={film}"]
    assert run(capsys, *job, "--window=12")[0] == 0 and film.exists()
    before = (out / "prediction.csv").read_text()
    monkeypatch.setattr(overlay, "annotate", lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM))
    code, _, err = run(capsys, *job, "--window=16")
    assert code == 128 + signal.SIGTERM and err == "stopped\n"
    assert (out / "prediction.csv").read_text() != before and not film.exists()


def test_a_chart_that_fails_does_not_end_the_others_but_a_full_disk_does(
    capsys, workdir, tmp_path, monkeypatch, scene
):
    for name in ("a.mp4", "b.mp4"):
        synthetic.video(tmp_path / "films" / name, scene)
    job = [f"--run={workdir}", f"--video={tmp_path}/films", f"--out={tmp_path}/o", "--window=12"]
    png, charts = figures.png, []

    def fails_once(figure):
        charts.append(figure)
        if len(charts) == 1:
            raise ValueError("no chart")
        return png(figure)

    monkeypatch.setattr(figures, "png", fails_once)
    code, out, err = run(capsys, *job)
    assert code == 1 and "1 video(s) done, 1 failed" in out
    assert err == "a.mp4: failed: ValueError: no chart\n"

    def full(path, content):
        with report_write_errors(path):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(predict.saving, "write", full)
    code, _, err = run(capsys, *job)
    assert code == 2 and "a.mp4/prediction.csv: cannot be written (No space left" in err


def test_mistakes_with_several_videos(capsys, workdir, tmp_path, scene):
    films = tmp_path / "films"
    film = synthetic.video(films / "a.mp4", scene)
    job = f"--run={workdir}"
    for arguments, message in (
        ((f"--video={films}", f"--out={films}/o"), "is inside the folder of videos or frames"),
        ((f"--video={films}", "--video_out=o/x.mp4"), "give the name of a file only"),
        ((f"--video={tmp_path}/*.avi",), "no file matches this pattern"),
        ((f"--video={films}", "--window=1m"), "write frames, as in 32, or seconds"),
        ((f"--video={films}", "--landmarks=x.dat"), "there is no such landmark model"),
        ((f"--video={films}", f"--video={tmp_path}/other/a.mp4"), "would both be called a.mp4"),
    ):
        code, out, err = run(capsys, job, *arguments)
        assert code == 2 and not out and message in err and err.count("\n") == 1
    assert film.exists() and not (tmp_path / "films_prediction").exists()


class Camera:
    """cv2.VideoCapture of a camera that films `frames`; each takes as many seconds as `clock`."""

    def __init__(self, frames, clock, opened=True):
        self.frames, self.clock, self.opened, self.now = iter(frames), iter(clock), opened, 0.0
        self.released = False

    def __call__(self, index):
        assert index == 1
        return self

    def isOpened(self):
        return self.opened

    def read(self):
        frame = next(self.frames, None)
        self.now += next(self.clock, 0.0)
        return frame is not None, frame

    def release(self):
        self.released = True


def test_a_camera(capsys, workdir, tmp_path, scene, monkeypatch):
    film = [*scene.frames[..., ::-1], *scene.frames[::-1, ..., ::-1]]

    def filmed(camera, *more):
        monkeypatch.setattr(cv2, "VideoCapture", camera)
        monkeypatch.setattr(video_source.time, "monotonic", lambda: camera.now)
        out = [f"--run={workdir}", "--video=camera:1", f"--out={tmp_path}/o", *more]
        return run(capsys, *out)

    camera = Camera(film, [0.02] * 99)
    code, _, err = filmed(camera, "--seconds=0.6")
    assert code == 0 and not err and camera.released
    rows = read_rows(tmp_path / "o" / "prediction.csv")
    assert int(rows[-1]["stop_frame"]) <= 31  # 0.6 s at 50 Hz
    assert float(rows[-1]["stop_s"]) == pytest.approx(int(rows[-1]["stop_frame"]) / 50, abs=1e-3)
    code, _, err = filmed(Camera(film, [0.02] * 10 + [0.3] + [0.02] * 99), "--seconds=9")
    assert code == 0 and "the frame rate varies" in err and "the camera stopped after" in err
    for camera, said in (
        (Camera([], []), "camera:1 gives no picture"),
        (Camera([], [], opened=False), "camera:1 cannot be opened"),
    ):
        code, _, err = filmed(camera)
        assert code == 2 and said in err and err.count("\n") == 1


def test_mistakes_in_the_command(capsys, workdir, tmp_path, scene):
    frames, gray = tmp_path / "frames", tmp_path / "gray"
    frames.mkdir(), gray.mkdir()
    for number, frame in enumerate(scene.frames[:4]):
        cv2.imwrite(str(frames / f"{number}.png"), frame)
    for number in range(20):
        cv2.imwrite(str(gray / f"{number}.png"), np.full((60, 60, 3), 90, np.uint8))
    job, folder = f"--run={workdir}", f"--video={frames}"
    for arguments, said in (
        ((), "--run=... is required"),
        ((job,), "--video=... is required"),
        ((job, "--video=nothing.mp4"), "there is no such file"),
        ((job, "--video=~$me.mp4", "--out=~$o"), "~$me.mp4: there is no such file"),
        (("--run=~$run", folder, "--fps=9"), "~$run is no working directory of a run"),
        ((job, "--video=camera:first"), "INDEX is the camera's number"),
        ((job, folder), "has no frame rate; give it: --fps=200"),
        ((f"--run={tmp_path}", folder, "--fps=9"), "is no working directory of a run"),
        ((job, folder, "--fps=inf"), "fps is inf; it must be a number, above 0"),
        ((job, folder, "--fps=100", "--window=infs"), "write frames, as in 32, or seconds"),
        ((job, folder, "--fps=100", "--threshold=nan"), "threshold is nan"),
        ((job, folder, "--fps=100", "--alpha=-1"), "--alpha is -1.0"),
        ((job, folder, "--fps=100"), "4 frames from frame 0 on are too few"),
        ((job, f"--video={gray}", "--fps=100"), "no face was found"),
        ((job, folder, "--fps=100", "--window=1m"), "write frames, as in 32, or seconds"),
        ((job, folder, "--fps=100", "--landmarks=x.dat"), "there is no such landmark model"),
        ((job, folder, "--onset=5", "--apex=2"), "--apex=2 is before --onset=5"),
        ((job, folder, "now"), "'now' is no flag"),
    ):
        code, out, err = run(capsys, *arguments)
        assert code == 2 and not out and said in err and err.count("\n") == 1
