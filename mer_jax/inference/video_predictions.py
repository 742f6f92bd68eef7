"""What is said about a video: one row a window."""

import csv
import io
from typing import NamedTuple

import numpy as np

from mer_jax.inference.tracking import FaceBox
from mer_jax.metrics.predictions import escape_formula

NO_MOVEMENT, NO_FACE = "no movement", "no face"


class VideoPredictions(NamedTuple):
    """N windows of a video in their order."""

    classes: tuple[str, ...]
    fps: float  # Hz
    count: int  # type: ignore[assignment]  # frames of the video; hides what tuples count
    start: np.ndarray  # [N] int, first frame
    stop: np.ndarray  # [N] int, one past the last
    apex: np.ndarray  # [N] int, the frame that has moved farthest (or that was given)
    movement: np.ndarray  # [N] float32 px, `reference.movement`; NaN without a face
    threshold: float  # of `movement`, below which nothing is said about emotions
    probabilities: np.ndarray  # [N, K] float32, mean over the folds; NaN where nothing is said
    spread: np.ndarray  # [N, K] float32, standard deviation over the folds; likewise
    face_boxes: tuple[FaceBox, ...]  # where the face is
    notes: tuple[str, ...]  # what the reader should know
    saliency: tuple[
        np.ndarray | None, ...
    ] = ()  # [N] of [h, w] in [0, 1]: where the networks looked

    @property
    def labels(self) -> list[str]:
        """[N]: a class, "no movement" or "no face"."""
        return [
            NO_FACE
            if np.isnan(moved)
            else NO_MOVEMENT
            if np.isnan(row).any()
            else self.classes[int(row.argmax())]
            for moved, row in zip(self.movement, self.probabilities)
        ]

    def csv(self) -> str:
        """The table: times in seconds, what is said, movement, probabilities (empty: none)."""
        out = io.StringIO()
        table = csv.writer(out, lineterminator="\n")
        head = ["start_s", "stop_s", "apex_s", "start_frame", "stop_frame", "apex_frame"]
        names = [f"{kind}_{name}" for kind in ("p", "spread") for name in self.classes]
        table.writerow([*head, "labels", "movement", "threshold", *names])
        number = lambda value: "" if np.isnan(value) else f"{value:.6g}"
        for row, labels in enumerate(self.labels):
            frames = [int(a[row]) for a in (self.start, self.stop, self.apex)]
            table.writerow(
                [f"{frame / self.fps:.4f}" for frame in frames]
                + [
                    *frames,
                    escape_formula(labels),
                    number(self.movement[row]),
                    number(self.threshold),
                ]
                + [number(v) for v in (*self.probabilities[row], *self.spread[row])]
            )
        return out.getvalue()

    def summary(self) -> str:
        """The result in a line or two."""
        labels = self.labels
        counts = {word: labels.count(word) for word in dict.fromkeys(labels)}
        text = f"{len(labels)} window(s): " + ", ".join(
            f"{n} x {word}" for word, n in counts.items()
        )
        sure = np.nanmax(np.where(np.isnan(self.probabilities), -1, self.probabilities), axis=1)
        if (best := int(np.argmax(sure))) >= 0 and sure[best] >= 0:
            text += (
                f"\nmost certain: {labels[best]}, {sure[best]:.0%}, from "
                f"{self.start[best] / self.fps:.2f} to {self.stop[best] / self.fps:.2f} s"
            )
        return text
