"""Predicts the expressions in videos with the networks of a finished run.

    mer-jax predict --run=RUN --video=VIDEO [--out=DIR] [--video_out=FILE] ...
    mer-jax predict --run=RUN --video=FOLDER|LIST.txt|PATTERN [--video=...] [--out=DIR] ...

RUN is the working directory of a finished run, or a file of `mer-jax export-run`. VIDEO is a video
file, a folder with one image per frame (then give --fps), a single picture, camera:INDEX (recorded
for --seconds, then predicted) or synthetic:INDEX (a rendered clip).

Example:

    mer-jax predict --run=runs/first --video=me.mp4 --out=me --video_out=me/annotated.mp4
    mer-jax predict --run=runs/first --video=films --out=results
    mer-jax predict --run=runs/first --video=frames --fps=200 --onset=12 --apex=30

The face is detected and cropped like the clips that the run was trained on, and the video is split
into windows as long as their median. The output folder gets prediction.csv (a row per window:
label, movement, each class's probability and its standard deviation over the folds) and
prediction.png, the same over time. The first line of each names the clips that the run was trained
on. A run on action units labels each window with the units that are present (probability above
50 %), names its label scheme in the second line, and draws a chart for each unit.
A spotting run (configurations spot_...) gives intervals instead of windows: prediction.csv has
their onset, offset, kind and, where an interval is no expression, the reason ("face lost", "head
moves", "too much movement"), prediction.png the network's score over time with the intervals, and
the annotated video a timeline of them. A run that spots and then recognizes (spot_then_recognize,
spot_sfamnet) gives each interval an emotion, too.
The video of --video_out shows the face's box with a saliency map in red (the gradient of the
predicted class's score), bars of the probabilities, and the face with its motion magnified.

Several videos are a folder (of video files and of folders of frames, with its subfolders), a text
file with one video per line, a pattern, or --video more than once. Each gets its own folder in
DIR; DIR/videos.csv has a row for each video, a failed one with its reason (exit code 1), and
DIR/predictions.csv all windows. --video_out is then the name of a file in each video's folder.
Ctrl-C and SIGTERM stop within seconds and keep the finished videos; re-run the same command to
resume. An interrupted video starts again, because the face is followed from its first frame on:
split recordings of hours into files. Several processes with one DIR divide the videos among
themselves. Memory does not grow with the length of a video.

A run with several seeds predicts with the networks of all seeds, a run with several learning rates
with those of the first; give its --workdir, not a folder in variants/. A window gets a verdict
instead of a class where the run cannot judge it: "no face", "face lost", "no movement", "head
moves" or "too much movement" (each: more than in any of 64 clips of the run), or "movement too
long" (more than three windows without a pause, as in speech). With --landmarks of a 68-point model
there are also "blink" and "speech". With --threshold or --onset only the first three are given.
Predictions on the run's own database are not valid scores: its networks were trained on it.
"""

import contextlib
import itertools
import pathlib
import signal
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from absl import flags, logging
from tqdm import tqdm

import mer_jax
from mer_jax import inference, options, runtime
from mer_jax.cli.command import at_stop_signals, no_arguments, required
from mer_jax.datasets import video_source
from mer_jax.errors import UserError, report_write_errors
from mer_jax.inference import run_file, spotter, video_list, video_records
from mer_jax.inference.spotter import SpottedVideo
from mer_jax.inference.video_predictions import VideoPredictions
from mer_jax.inference.video_records import VideoRecord
from mer_jax.io import reading, saving, video_files

_RUN = flags.DEFINE_string("run", None, "A finished run: its working directory, or its file.")
_VIDEO = flags.DEFINE_multi_string(
    "video", [], "A video, a folder of frames or of videos, a list, camera:0 or synthetic:0."
)
_OUT = flags.DEFINE_string("out", None, "Folder to write to; by default VIDEO_prediction.")
_VIDEO_OUT = flags.DEFINE_string("video_out", None, "Write an annotated video to this file.")
_ONSET = flags.DEFINE_integer("onset", None, "The frame in which a known movement begins, from 0.")
_APEX = flags.DEFINE_integer("apex", None, "The frame of its peak; needs --onset.")
_OFFSET = flags.DEFINE_integer(
    "offset", None, "Its last frame; default: as far after the apex as the onset is before it."
)
_WINDOW = flags.DEFINE_string("window", None, "Length of a window: frames, or seconds as in 0.3s.")
_STRIDE = flags.DEFINE_string(
    "stride",
    None,
    "Step between windows, likewise; default: a quarter of one. The last one ends with the video.",
)
_FPS = flags.DEFINE_float("fps", None, "Frame rate in Hz, if the file has none or a wrong one.")
_FOLD = flags.DEFINE_string("fold", None, "Predict with one fold (name or number) only.")
_THRESHOLD = flags.DEFINE_float(
    "threshold", None, 'Movement in px below which a window is "no movement"; default: by the run.'
)
_FACE = flags.DEFINE_bool("face", True, "Detect the face; --noface: frames are cropped already.")
_LANDMARKS = flags.DEFINE_string("landmarks", None, "A landmark model that finds the eyes.")
_ALPHA = flags.DEFINE_float("alpha", 8.0, "Factor of the magnified motion in --video_out.")
_SECONDS = flags.DEFINE_float("seconds", 10.0, "Seconds that a camera records.", lower_bound=0.5)


_RECOGNITION_FLAGS = (_ONSET, _APEX, _OFFSET, _WINDOW, _STRIDE, _FOLD, _THRESHOLD)
# What a prediction depends on besides the video and the run.
_SETTINGS = (*_RECOGNITION_FLAGS, _FPS, _FACE, _LANDMARKS, _ALPHA, _SECONDS, _VIDEO_OUT)


class Stopped(BaseException):
    """A signal arrived. No `Exception`: those of one video do not stop the others."""


class Progress:
    """A bar over `count` videos: seconds of video, and the time left."""

    def __init__(self, count: int, *, passes: int):
        """passes: how often each video is read."""
        self._count, self._passes, self._begun = count, passes, 0
        text = (
            "{desc} {percentage:3.0f}%|{bar}| {n:.0f} of {total:.0f} s of video, {remaining} left"
        )
        quiet = not sys.stderr.isatty()
        self.bar = tqdm(total=0, bar_format=text, disable=quiet, leave=False)
        self._end = 0.0  # s of video up to the end of the current one

    def begin(self, number: int, name: str, seconds: float) -> None:
        """Video `number`, from 0; those after it are taken to be as long as the mean so far."""
        self._begun += 1
        self.bar.n, self._end = self._end, self._end + seconds
        mean = self._end / self._begun
        self.bar.total = max(1e-9, self._end + mean * (self._count - number - 1))  # not 0
        self.bar.set_description_str(f"{number + 1} of {self._count}, {name}:")

    def counted(self, frames: Iterable[np.ndarray], fps: float) -> Iterator[np.ndarray]:
        """The same frames; moves the bar by each."""
        for frame in frames:
            yield frame
            self.bar.update(1 / fps / self._passes)


def frames_of(flag: flags.FlagHolder[str | None], fps: float) -> int | None:
    """A flag's "32" or "0.3s" as a number of frames, 1 or more; None if it is not set."""
    text = flag.value
    if text is None:
        return None
    try:
        count = round(float(text[:-1]) * fps) if text.endswith("s") else int(text)
        if count < 1:
            raise ValueError
    except (ValueError, OverflowError):
        raise UserError(
            f"--{flag.name}={text}: write frames, as in 32, or seconds, as in 0.3s; at least one "
            "frame"
        ) from None
    return count


def eye_detector():
    """The eye detector that --face and --landmarks name; None for cropped frames."""
    from mer_jax import faces

    if not _FACE.value:
        return None
    if _LANDMARKS.value is None:
        return inference.find_eyes
    return faces.landmarker(_LANDMARKS.value)


def check_flags() -> None:
    """Raises `UserError` for a flag that is wrong whatever the video."""
    for flag in (_WINDOW, _STRIDE):
        frames_of(flag, 1e6)  # its syntax alone: at this rate each duration has a frame
    options.check_value("--alpha", "alpha", _ALPHA.value)
    instants = (_ONSET, _APEX, _OFFSET)
    given = [(flag.name, flag.value) for flag in instants if flag.value is not None]
    for (earlier, first), (later, second) in itertools.pairwise(given):
        if second < first:
            raise UserError(f"--{later}={second} is before --{earlier}={first}")
    if _VIDEO_OUT.value and pathlib.Path(_VIDEO_OUT.value).suffix not in (".mp4", ".webm"):
        raise UserError(f"--video_out={_VIDEO_OUT.value}: a video is written as .mp4 or .webm")
    for flag in (_FPS, _THRESHOLD, _SECONDS):
        if flag.value is not None:
            options.check_value(f"--{flag.name}", flag.name, flag.value)


def recognition_options(fps: float) -> dict[str, Any]:
    """The options of `Predictor.predict_video` that the flags give."""
    return dict(
        window=frames_of(_WINDOW, fps),
        stride=frames_of(_STRIDE, fps),
        onset=_ONSET.value,
        apex=_APEX.value,
        offset=_OFFSET.value,
        threshold=_THRESHOLD.value,
        saliency=bool(_VIDEO_OUT.value),
    )


class Prediction:
    """Videos predicted by the flags' run: windows, or the intervals of a spotting run."""

    def __init__(self, videos: dict[str, str]):
        run = required(_RUN)
        self.spots = run_file.is_spotting(run)
        given = [flag.name for flag in _RECOGNITION_FLAGS if flag.value is not None]
        if self.spots and given:
            raise UserError(f"--{given[0]} is for runs of recognition; {run} spots intervals")
        self.predictor: Any = (
            spotter.load(run) if self.spots else inference.load(run, fold=_FOLD.value)
        )
        self.eye_detector = eye_detector()
        self.names = list(videos)
        self.progress = Progress(len(videos), passes=2 if _VIDEO_OUT.value else 1)

    def predict(
        self, name: str, video: str
    ) -> tuple[video_source.VideoSource, VideoPredictions | SpottedVideo]:
        """Predicts one video."""
        source = video_source.open_video(video, fps=_FPS.value, seconds=_SECONDS.value)
        fps = source.fps or (1.0 if source.count == 1 else 0.0)  # a picture has no rate
        if not fps:
            raise UserError(f"{source.name} has no frame rate; give it: --fps=200")
        self.progress.begin(self.names.index(name), name, source.count / fps)
        options = {} if self.spots else recognition_options(fps)
        try:
            result = self.predictor.predict_video(
                self.progress.counted(source.frames(), fps),
                fps,
                eye_detector=self.eye_detector,
                total=source.count,
                **options,
            )
        except UserError as error:
            raise UserError(f"{source.name}: {error}") from None
        return source, result

    def write(self, source, result, out: pathlib.Path, video: pathlib.Path | None) -> list[str]:
        """Writes the outputs, the annotated video to `video`; returns their paths.

        Those of an earlier run are removed first, so that one which is stopped leaves no mixture.
        """
        from mer_jax.reporting import figures, overlay, spotting_overlay

        charts = spotting_overlay if self.spots else overlay
        table, chart = out / video_records.PREDICTION, out / video_records.CHART
        paths = [table, chart] if video is None else [table, chart, video]
        for path in paths:
            with report_write_errors(path):
                path.unlink(missing_ok=True)
        saving.write(table, result.csv())
        saving.write(chart, figures.png(charts.over_time(result)))
        if video is not None:
            annotated = charts.annotate(source.frames, result, alpha=_ALPHA.value)
            video.parent.mkdir(parents=True, exist_ok=True)
            video_files.write(video, self.progress.counted(annotated, result.fps), result.fps)
        return [*map(str, paths)]

    def record(self, name: str, video: str, folder: pathlib.Path) -> VideoRecord:
        """Predicts one of several videos and writes its outputs."""
        annotated = folder / _VIDEO_OUT.value if _VIDEO_OUT.value else None
        try:
            source, result = self.predict(name, video)
        except Exception as error:  # one video does not stop the others
            return _failed(name, error)
        try:
            self.write(source, result, folder, annotated)
        except Exception as error:
            if isinstance(error.__cause__ or error, OSError):  # a full disk does stop them
                raise
            return _failed(name, error)
        labels = ", ".join(f"{count} x {label}" for label, count in result.counts.items())
        print(f"{name}: {labels}", flush=True)
        return VideoRecord(
            name,
            seconds=result.num_frames / result.fps,
            fps=result.fps,
            rows=result.csv().count("\n") - len(result.header) - 1,
            labels=result.counts,
            notes=[*source.notes, *result.notes],
        )


def _failed(name: str, error: Exception) -> VideoRecord:
    """The record of a video after `error`, which is printed."""
    known = isinstance(error, UserError)
    reason = str(error) if known else f"{type(error).__name__}: {error}"
    reason = " ".join(reason.split())
    logging.debug("%s", name, exc_info=error)
    print(f"{name}: failed: {reason}", file=sys.stderr)
    return VideoRecord(name, reason, retry=not known)


def predict_single(video: str) -> str:
    """Writes the prediction of one video; returns the text to print."""
    video_list.check_output(out_folder(pathlib.Path(video).name), video)
    if _VIDEO_OUT.value:
        video_list.check_output(_VIDEO_OUT.value, video)
    prediction = Prediction({video: video})
    source, result = prediction.predict(video, video)
    for note in (*source.notes, *result.notes):
        print(f"note: {note}", file=sys.stderr)
    annotated = reading.expanded(_VIDEO_OUT.value) if _VIDEO_OUT.value else None
    paths = prediction.write(source, result, out_folder(source.name), annotated)
    return "\n".join([result.summary(), *paths])


def out_folder(name: str) -> pathlib.Path:
    """--out, or a folder named after the video."""
    path = pathlib.Path(name.replace(":", "_"))
    stem = path.name if path.is_dir() else path.stem
    return reading.expanded(_OUT.value or f"{stem}_prediction")


def predict_several() -> int:
    """Writes the predictions of all videos; 1 if one failed."""
    notes = list[str]()
    videos, out = video_list.find(_VIDEO.value, notes=notes), out_folder(_VIDEO.value[0])
    if not _OUT.value and video_list.is_pattern(_VIDEO.value[0]):
        raise UserError("--out=DIR is required with a pattern")
    for value in _VIDEO.value:
        video_list.check_output(out, value)
    if _VIDEO_OUT.value and pathlib.Path(_VIDEO_OUT.value).name != _VIDEO_OUT.value:
        raise UserError(
            f"--video_out={_VIDEO_OUT.value}: of several videos give the name of a file only, as "
            "in annotated.mp4; each video's folder gets one"
        )
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    prediction = Prediction(videos)
    settings = saving.digest(
        mer_jax.__version__,
        prediction.predictor.digest,
        repr([(flag.name, flag.value) for flag in _SETTINGS]),
    )
    outputs = [video_records.PREDICTION, video_records.CHART, _VIDEO_OUT.value]
    tally = video_records.process(
        videos, out, prediction.record, settings=settings, outputs=list(filter(None, outputs))
    )
    left = f", {tally.busy} being processed by another process" * bool(tally.busy)
    print(f"{tally.done} video(s) done, {tally.failed} failed{left}\n{out / 'videos.csv'}")
    return 1 if tally.failed else 0


@contextlib.contextmanager
def stopping() -> Iterator[None]:
    """Raises `Stopped` in the body at SIGTERM and Ctrl-C; a second one ends the process at once."""

    def stop(number: int, _) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise Stopped(number)

    with at_stop_signals(stop):
        yield


def main(argv: list[str]) -> int:
    """Predicts the videos that the flags name; 1 if one of several failed."""
    runtime.enable_compile_cache()
    no_arguments(argv)
    required(_RUN), required(_VIDEO)
    check_flags()
    try:
        with stopping():
            if not video_list.is_single(_VIDEO.value):
                return predict_several()
            print(predict_single(_VIDEO.value[0]))
            return 0
    except Stopped as stopped:
        resumes = not video_list.is_single(_VIDEO.value)
        print(f"stopped{'; re-run the same command to resume' * resumes}", file=sys.stderr)
        return 128 + stopped.args[0]
