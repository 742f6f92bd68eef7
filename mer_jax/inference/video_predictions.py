"""The predictions for a video: one row a window."""

import collections
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mer_jax import faces, options
from mer_jax.errors import UserError
from mer_jax.inference.tracking import FaceBox, Opening
from mer_jax.io import saving
from mer_jax.metrics.multilabel import NONE
from mer_jax.metrics.prediction_files import escape_formula

NO_MOVEMENT, NO_FACE, FACE_LOST = "no movement", "no face", "face lost"
HEAD_MOVES, TOO_MUCH, TOO_LONG = "head moves", "too much movement", "movement too long"
PRESENT = 0.5  # the probability above which an action unit is present
BLINK, SPEECH = "blink", "speech"


class VideoPredictions(NamedTuple):
    """N windows of a video in their order."""

    classes: tuple[str, ...]
    fps: float  # Hz
    num_frames: int  # of the video
    start: np.ndarray  # [N] int, first frame
    stop: np.ndarray  # [N] int, one past the last
    apex: np.ndarray  # [N] int, the frame of the largest movement (or the given one)
    movement: np.ndarray  # [N] float32 px, `inference.movement`; NaN without a face
    threshold: float  # px of `movement`; windows below it are "no movement"
    probabilities: np.ndarray  # [N, K] float32, mean over the folds; NaN without a prediction
    std: np.ndarray  # [N, K] float32, standard deviation over the folds; likewise NaN
    face_boxes: tuple[FaceBox, ...]  # of the frames examined
    notes: tuple[str, ...]  # for the user
    verdicts: tuple[str, ...]  # [N] why a window is given no class; "" where it is
    trained_on: str  # the run's databases, in words
    label_scheme: str = ""  # of a run with several labels a clip (action units); "" with one
    saliency: tuple[np.ndarray | None, ...] = ()  # [N] of [h, w] float32 in [0, 1]

    @property
    def labels(self) -> list[str]:
        """[N]: the window's verdict, or else the class; with a label scheme the present units, as
        in "AU4+AU7", or "none"."""
        return [
            verdict or self._label(row) for verdict, row in zip(self.verdicts, self.probabilities)
        ]

    def _label(self, probabilities: np.ndarray) -> str:
        if not self.label_scheme:
            return self.classes[int(np.argmax(probabilities))]
        present = zip(self.classes, probabilities > PRESENT)
        return "+".join(name for name, is_present in present if is_present) or NONE

    @property
    def header(self) -> list[str]:
        """What the run was trained on; with a label scheme also what it labels."""
        trained = f"trained on {self.trained_on}"
        units = f"action units of the scheme {self.label_scheme}: present above {PRESENT:.0%}"
        return [trained, units] if self.label_scheme else [trained]

    @property
    def judged_probabilities(self) -> np.ndarray:
        """[N, K]: the probabilities; NaN where a window is given a verdict instead of a class."""
        judged = np.array([not verdict for verdict in self.verdicts])
        return np.where(judged[:, None], self.probabilities, np.nan)

    @property
    def window_of_frame(self) -> np.ndarray:
        """[T] int: of each frame the window with the nearest center; -1 outside of all windows."""
        middle, frames = (self.start + self.stop - 1) / 2, np.arange(self.num_frames)
        after = np.searchsorted(middle, frames).clip(1, max(1, len(middle) - 1))
        if len(middle) > 1:  # of two equally near ones the earlier
            nearest = after - (frames - middle[after - 1] <= middle[after] - frames)
        else:
            nearest = np.zeros_like(frames)
        inside = (self.start[nearest] <= frames) & (frames < self.stop[nearest])
        return np.where(inside, nearest, -1)

    def csv(self) -> str:
        """The table as CSV.

        The first lines, which begin with #, are `header`. Columns: start, stop
        and apex in s and in frames, label, movement and threshold in px, and of each class the mean
        probability p_NAME and its standard deviation std_NAME over the folds; empty without a
        prediction.
        """
        head = ["start_s", "stop_s", "apex_s", "start_frame", "stop_frame", "apex_frame"]
        names = [f"{kind}_{name}" for kind in ("p", "std") for name in self.classes]
        number = lambda value: "" if np.isnan(value) else f"{value:.6g}"
        rows: list[Sequence[object]] = [[*head, "label", "movement", "threshold", *names]]
        for row, label in enumerate(self.labels):
            frames = [int(a[row]) for a in (self.start, self.stop, self.apex)]
            values = self.movement[row], self.threshold, *self.probabilities[row], *self.std[row]
            seconds = [f"{frame / self.fps:.4f}" for frame in frames]
            rows.append([*seconds, *frames, escape_formula(label), *map(number, values)])
        return saving.csv_text(rows, comments=self.header)

    @property
    def counts(self) -> dict[str, int]:
        """Windows with each label, a window with several units in each of them."""
        parts = lambda label: label.split("+") if self.label_scheme else [label]
        return dict(collections.Counter(name for label in self.labels for name in parts(label)))

    def summary(self) -> str:
        """`header`, the counts of the labels, and the most certain window."""
        counts = ", ".join(f"{n} x {label}" for label, n in self.counts.items())
        text = "\n".join([*self.header, f"{len(self.start)} window(s): {counts}"])
        values = self.judged_probabilities
        if np.isnan(values).all():
            return text
        best, unit = np.unravel_index(np.nanargmax(values), values.shape)
        return (
            f"{text}\nmost certain: {self.classes[unit]}, {values[best, unit]:.0%}, from "
            f"{self.start[best] / self.fps:.2f} to {self.stop[best] / self.fps:.2f} s"
        )


def face_notes(face_boxes: Sequence[FaceBox]) -> list[str]:
    """Notes on frames with several faces, and with none."""
    most, count = max(face_boxes, key=lambda box: box.num_faces), len(face_boxes)
    several, none = (
        sum(test(box.num_faces) for box in face_boxes)
        for test in (lambda n: n > 1, lambda n: not n)
    )
    notes = []
    if several:
        notes.append(
            f"{most.num_faces} faces in frame {most.start} (more than one in {several} of the "
            f"{count} frames examined): the face that was largest at first is tracked"
        )
    if none:
        notes.append(f"no face in {none} of the {count} frames examined")
    return notes


def corners_of_frame(face_boxes: Sequence[FaceBox], num_frames: int) -> list[np.ndarray | None]:
    """[T] of the corners [4, 2] px (x, y) of the last box at or before each frame, or None."""
    starts = [box.start for box in face_boxes]
    at = np.searchsorted(starts, np.arange(num_frames), side="right") - 1
    return [face_boxes[i].corners if i >= 0 else None for i in at]


def check_rate(fps: float) -> float:
    """A known frame rate, Hz. Raises `UserError` for none."""
    if not fps:
        raise UserError("the frame rate is not known; give fps in Hz")
    return options.check_value("fps", "fps", fps)


def facial_events(
    verdicts: Sequence[str],
    start: np.ndarray,
    stop: np.ndarray,
    openings: Sequence[Opening],
    fps: float,
) -> list[str]:
    """The verdicts, with "speech" and "blink" where half of a window with movement or more is one.

    Args:
      verdicts: of N windows; those without a face or movement keep theirs.
      start, stop: [N] frames of the windows.
      openings: of the face that is followed, by ascending frames.
      fps: Hz of the video.
    """
    if len(openings) < 2:
        return list(verdicts)
    frames, eyes, mouth = map(np.array, zip(*openings))
    step = int(np.diff(frames).min())
    at = np.arange(frames[0], frames[-1] + 1, step)  # NaN where there is no face
    series = np.full((2, len(at)), np.nan)
    series[:, (frames - frames[0]) // step] = eyes, mouth
    events = {
        SPEECH: faces.speech(series[1], fps / step),
        BLINK: faces.blinks(series[0], fps / step),
    }

    def verdict(i: int) -> str:
        inside = slice(*np.searchsorted(at, (start[i], stop[i])))
        if verdicts[i] in (NO_FACE, FACE_LOST, NO_MOVEMENT) or inside.start == inside.stop:
            return verdicts[i]
        shares = {name: frames[inside].mean() for name, frames in events.items()}
        return next((name for name, share in shares.items() if share >= 0.5), verdicts[i])

    return [verdict(i) for i in range(len(verdicts))]
