"""The predictions for a video: one row a window."""

import csv
import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mer_jax import faces
from mer_jax.inference.tracking import FaceBox, Opening
from mer_jax.metrics.predictions import escape_formula

NO_MOVEMENT, NO_FACE, FACE_LOST = "no movement", "no face", "face lost"
HEAD_MOVES, TOO_MUCH, TOO_LONG = "head moves", "too much movement", "movement too long"
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
    saliency: tuple[np.ndarray | None, ...] = ()  # [N] of [h, w] float32 in [0, 1]

    @property
    def labels(self) -> list[str]:
        """[N]: the window's verdict, or else the class."""
        return [
            verdict or self.classes[int(np.argmax(row))]
            for verdict, row in zip(self.verdicts, self.probabilities)
        ]

    def csv(self) -> str:
        """The table as CSV.

        The first line, which begins with #, names what the run was trained on. Columns: start, stop
        and apex in s and in frames, label, movement and threshold in px, and of each class the mean
        probability p_NAME and its standard deviation std_NAME over the folds; empty without a
        prediction.
        """
        out = io.StringIO(newline="")
        out.write(f"# trained on {self.trained_on}\n")
        table = csv.writer(out, lineterminator="\n")
        head = ["start_s", "stop_s", "apex_s", "start_frame", "stop_frame", "apex_frame"]
        names = [f"{kind}_{name}" for kind in ("p", "std") for name in self.classes]
        table.writerow([*head, "label", "movement", "threshold", *names])
        number = lambda value: "" if np.isnan(value) else f"{value:.6g}"
        for row, label in enumerate(self.labels):
            frames = [int(a[row]) for a in (self.start, self.stop, self.apex)]
            table.writerow(
                [f"{frame / self.fps:.4f}" for frame in frames]
                + [
                    *frames,
                    escape_formula(label),
                    number(self.movement[row]),
                    number(self.threshold),
                ]
                + [number(v) for v in (*self.probabilities[row], *self.std[row])]
            )
        return out.getvalue()

    def summary(self) -> str:
        """What the run was trained on, the counts of the labels, and the most certain window."""
        labels = self.labels
        counts = {label: labels.count(label) for label in dict.fromkeys(labels)}
        text = f"trained on {self.trained_on}\n{len(labels)} window(s): " + ", ".join(
            f"{n} x {label}" for label, n in counts.items()
        )
        known = np.array([not verdict for verdict in self.verdicts])[:, None]
        largest = np.where(known, self.probabilities, -1).max(axis=1)
        if (best := int(np.argmax(largest))) >= 0 and largest[best] >= 0:
            text += (
                f"\nmost certain: {labels[best]}, {largest[best]:.0%}, from "
                f"{self.start[best] / self.fps:.2f} to {self.stop[best] / self.fps:.2f} s"
            )
        return text


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
        inside = (start[i] <= at) & (at < stop[i])
        if verdicts[i] in (NO_FACE, FACE_LOST, NO_MOVEMENT) or not inside.any():
            return verdicts[i]
        shares = {name: frames[inside].mean() for name, frames in events.items()}
        return next((name for name, share in shares.items() if share >= 0.5), verdicts[i])

    return [verdict(i) for i in range(len(verdicts))]
