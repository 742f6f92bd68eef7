"""Predicts the expressions in a video with the networks of a finished run.

    mer-jax predict --run=WORKDIR --video=VIDEO [--out=DIR] [--video_out=FILE] ...

VIDEO is a video file, a folder with one image per frame (then give --fps), a single picture,
camera:INDEX, recorded for --seconds first, or synthetic:INDEX, a rendered clip.

Example:

    mer-jax predict --run=runs/first --video=me.mp4 --out=me --video_out=me/annotated.mp4
    mer-jax predict --run=runs/first --video=frames --fps=200 --onset=12 --apex=30

The face is detected and cropped like the run's own clips, and the video is split into windows as
long as they are. The output folder gets prediction.csv (a row per window: label, movement, each
class's probability and its standard deviation over the folds) and prediction.png, the same over
time. The first line of each names the clips that the run was trained on.
The video of --video_out shows the face's box with a saliency map in red (the gradient of the
class's score), bars of the probabilities, and the face with its motion magnified.

A run with several seeds predicts with the networks of all seeds, one with several learning rates
with those of the first; give its --workdir, not a folder in variants/. Instead of a class, a window
gets a verdict where the run cannot judge it: "no face", "face lost", "no movement", "head moves"
and "too much movement" (more than in any clip of the run), "movement too long" (for more than three
windows without a pause: speech). With --landmarks of 68 points "blink" and "speech" are told apart.
--threshold turns all but the first three off. Predictions on the run's own
database are not valid scores: its networks were trained on it.
"""

import pathlib
import sys

import numpy as np
from absl import flags

from mer_jax import options, runtime
from mer_jax.cli.command import no_arguments, required
from mer_jax.errors import UserError

_RUN = flags.DEFINE_string("run", None, "The working directory of a finished run.")
_VIDEO = flags.DEFINE_string("video", None, "A video, a folder of frames, camera:0 or synthetic:0.")
_OUT = flags.DEFINE_string("out", None, "Folder to write to; by default VIDEO_prediction.")
_VIDEO_OUT = flags.DEFINE_string("video_out", None, "Write an annotated video to this file.")
_ONSET = flags.DEFINE_integer("onset", None, "The frame before a known movement, from 0.")
_APEX = flags.DEFINE_integer("apex", None, "The frame of its largest movement.")
_OFFSET = flags.DEFINE_integer("offset", None, "Its last frame; default: as far after the apex.")
_WINDOW = flags.DEFINE_string("window", None, "Length of a window: frames, or seconds as in 0.3s.")
_STRIDE = flags.DEFINE_string(
    "stride", None, "Step between windows, likewise; default: a quarter of one."
)
_FPS = flags.DEFINE_float("fps", None, "Frame rate in Hz, if the file does not have it.")
_FOLD = flags.DEFINE_string("fold", None, "Predict with one fold (name or number) only.")
_THRESHOLD = flags.DEFINE_float(
    "threshold", None, 'Movement in px below which a window is "no movement".'
)
_FACE = flags.DEFINE_bool("face", True, "Detect the face; --noface: frames are cropped already.")
_LANDMARKS = flags.DEFINE_string("landmarks", None, "A landmark model that finds the eyes.")
_ALPHA = flags.DEFINE_float("alpha", 8.0, "Magnification of the inset of --video_out.")
_SECONDS = flags.DEFINE_float("seconds", 10.0, "How long a camera records.", lower_bound=0.5)


def frames_of(flag, fps: float) -> int | None:
    """A flag's "32" or "0.3s" in frames."""
    text = flag.value
    if text is None:
        return None
    try:
        count = round(float(text[:-1]) * fps) if text.endswith("s") else int(text)
        if count < 1:
            raise ValueError
    except (ValueError, OverflowError):
        raise UserError(
            f"--{flag.name}={text}: write frames, as in 32, or seconds, as in 0.3s"
        ) from None
    return count


def eye_detector():
    """The eye detector that the flags name."""
    from mer_jax import faces, inference

    if not _FACE.value:
        return None
    if _LANDMARKS.value is None:
        return inference.find_eyes
    return faces.landmarker(_LANDMARKS.value)


def predict() -> str:
    """Writes the prediction of the flags' video; returns the text to print."""
    from mer_jax import inference
    from mer_jax.datasets import video_source
    from mer_jax.io import saving, video_files
    from mer_jax.reporting import figures, overlay

    run, video = required(_RUN), required(_VIDEO)
    alpha = options.check_value("--alpha", "alpha", _ALPHA.value)
    source = video_source.open_video(video, fps=_FPS.value, seconds=_SECONDS.value)
    fps = source.fps or (1.0 if source.count == 1 else 0.0)  # a picture has no rate
    if not fps:
        raise UserError(f"{source.name} has no frame rate; give it: --fps=200")
    predictor = inference.load(run, fold=_FOLD.value)
    out = _OUT.value or f"{pathlib.Path(source.name.replace(':', '_')).stem}_prediction"
    out = pathlib.Path(out).expanduser()
    try:
        result = predictor.predict_video(
            source.frames(),
            fps,
            window=frames_of(_WINDOW, fps),
            stride=frames_of(_STRIDE, fps),
            onset=_ONSET.value,
            apex=_APEX.value,
            offset=_OFFSET.value,
            threshold=_THRESHOLD.value,
            eye_detector=eye_detector(),
            saliency=bool(_VIDEO_OUT.value),
            total=source.count,
            quiet=not sys.stderr.isatty(),
        )
    except UserError as error:
        raise UserError(f"{source.name}: {error}") from None
    for note in (*source.notes, *result.notes):
        print(f"note: {note}", file=sys.stderr)
    caption = f"trained on {result.trained_on}"
    saving.write(out / "prediction.csv", result.csv())
    chart = overlay.probabilities_over_time(
        result.start / fps, result.stop / fps, shown(result), result.classes,
        result.movement, result.threshold, deviation=result.std,
    )  # fmt: skip
    chart.suptitle(caption, fontsize=8, x=0.01, ha="left")
    saving.write(out / "prediction.png", figures.png(chart))
    lines = [result.summary(), str(out / "prediction.csv"), str(out / "prediction.png")]
    if _VIDEO_OUT.value:
        pathlib.Path(_VIDEO_OUT.value).parent.mkdir(parents=True, exist_ok=True)
        corners, window = boxes(result), nearest(result)
        pictures = overlay.overlay_predictions(
            source.frames(), frame_labels(result), corners, result.classes,
            saliency=[
                None if i is None or result.verdicts[i] else result.saliency[i] for i in window
            ],
            insets=inference.magnify_face(source.frames(), corners, alpha=alpha),
        )  # fmt: skip
        captioned = (overlay.add_caption(picture, caption) for picture in pictures)
        lines.append(str(video_files.write(_VIDEO_OUT.value, captioned, fps)))
    return "\n".join(lines)


def shown(result) -> np.ndarray:
    """[N, K]: the probabilities; NaN where a window is given a verdict instead of a class."""
    judged = np.array([not verdict for verdict in result.verdicts])
    return np.where(judged[:, None], result.probabilities, np.nan)


def nearest(result) -> list[int | None]:
    """For each frame the window with the nearest center, or None outside of all windows."""
    middle = (result.start + result.stop - 1) / 2
    found = [int(np.abs(middle - frame).argmin()) for frame in range(result.num_frames)]
    inside = lambda i, frame: result.start[i] <= frame < result.stop[i]
    return [i if inside(i, frame) else None for frame, i in enumerate(found)]


def frame_labels(result) -> list[tuple[str, np.ndarray]]:
    """The label and the probabilities at each frame."""
    nothing, labels = ("", np.full(len(result.classes), np.nan)), result.labels
    values = shown(result)
    return [nothing if i is None else (labels[i], values[i]) for i in nearest(result)]


def boxes(result) -> list[np.ndarray | None]:
    """The corners of the face in each frame."""
    starts = [box.start for box in result.face_boxes]
    at = np.searchsorted(starts, np.arange(result.num_frames), side="right") - 1
    return [result.face_boxes[i].corners if i >= 0 else None for i in at]


def main(argv: list[str]) -> None:
    """Predicts the video that the flags name."""
    runtime.enable_compile_cache()
    no_arguments(argv)
    print(predict())
