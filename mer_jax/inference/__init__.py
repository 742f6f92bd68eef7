"""A finished run and a video of anybody: probabilities over time.

    predictor = mer_jax.inference.load("runs/first")
    forecast = predictor.clip(frames, 100.0)          # [T, H, W, C], Hz
    print(forecast.csv())

The face is found and cut out as the faces of the run's own clips are: eyes at the same place,
frames of the same size, windows as long as its median clip and resampled to its rate. The run's
method then makes its examples of the windows, and the networks of all folds answer; what is told is
the mean of their probabilities and how far they differ.

Every clip of the run's database was seen in training by all folds' networks but one. A forecast
says nothing about how good they are: never score that database with it. That is in the report.

A window is told to have no movement, and no emotion, where less moves in it than in all but 10 %
of the run's own clips (`reference.movement` defines how that is measured).
"""

import itertools
import math
import pathlib
import sys
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from tqdm import tqdm

from mer_jax import options, runtime
from mer_jax.clips import Clip, check_instants, in_memory
from mer_jax.errors import UserError
from mer_jax.inference import profile, trained
from mer_jax.inference.magnified import magnified
from mer_jax.inference.profile import DatasetProfile, movement
from mer_jax.inference.tracking import EyeDetector, FaceBox, FaceTracker, find_eyes, prefetch
from mer_jax.inference.trained import TrainedNetworks
from mer_jax.inference.video_predictions import NO_FACE, NO_MOVEMENT, VideoPredictions
from mer_jax.video.resample import matrix

__all__ = [
    "NO_FACE",
    "NO_MOVEMENT",
    "Forecast",
    "Predictor",
    "Reference",
    "find_eyes",
    "load",
    "magnified",
    "movement",
]

_BATCH = 16  # windows that go through the method at a time, at the most
_BYTES = 2**28  # of float32 frames in them


class Predictor:
    """The networks of a run, and the measure of its clips."""

    def __init__(self, networks: TrainedNetworks, profile: DatasetProfile):
        self.networks, self.profile = networks, profile

    @runtime.pinned()
    def predict_video(
        self,
        frames: Iterable[np.ndarray],
        fps: float,
        *,
        window: int | None = None,
        stride: int | None = None,
        onset: int | None = None,
        apex: int | None = None,
        offset: int | None = None,
        threshold: float | None = None,
        eye_detector: EyeDetector | None = find_eyes,
        saliency: bool = False,
        total: int = 0,
        quiet: bool = True,
    ) -> VideoPredictions:
        """What the run's networks say about a video.

        Args:
          frames: [T, H, W, C] or any iterable of [H, W, C], uint8 or float32 in [0, 1]; RGB or
            grey. They are taken in one at a time.
          fps: Hz.
          window, stride: frames; by default what the run's median clip lasts, and a quarter of it.
          onset, apex, offset: frames of a movement that is known. With an onset there is one
            window, from it to the offset: by default as far behind the apex as the onset is before
            it, and without an apex a window's length.
          threshold: of movement, in px (`reference.movement`); by default that of the run's clips.
          finder: what finds each face's eyes in a frame, once a second. None: the frames are cut
            already as the run's clips are.
          looks: also say where in the cut-out face the networks look (`Networks.saliency`).
          total: frames to expect, for the progress bar; 1 says that it is a still picture, which
            is told to have no movement where a short video is refused. quiet: shows no bar.

        Raises:
          UserError: too few frames, no face in any of them, or marks in the wrong order.
        """
        if not fps:
            raise UserError("the frame rate is not known; say it in frames a second (fps)")
        fps = options.value("fps", "fps", fps)
        if threshold is not None:
            threshold = options.value("threshold", "threshold", threshold)
        profile, notes = self.profile, []
        length = window or max(2, round(self._seconds(fps) * fps))
        if onset is None:
            # Half a window will do, and so does a single picture, in which nothing can move.
            least = -(-length // 2) if total != 1 else 1
            if apex is not None or offset is not None:
                raise UserError("an apex or an offset needs the onset too")
        else:
            if apex is not None and offset is None:
                offset = 2 * apex - onset
            offset = onset + length - 1 if offset is None else offset
            check_instants(onset, apex, offset)
            if onset == offset:
                raise UserError(f"onset and offset are both {onset}: nothing moves in one frame")
            length = offset - onset + 1
            least = (onset + 1 if apex is None else apex) - onset + 1
            frames = itertools.islice(frames, offset + 1)
        stride = stride or max(1, length // 4)
        if min(length, stride) < 1:
            raise UserError("a window and its stride are at least one frame")
        tracker = FaceTracker(
            profile,
            length=length,
            stride=stride if onset is None else sys.maxsize,
            every=max(1, round(fps)) if onset is None else sys.maxsize,
            eye_detector=eye_detector,
            first=onset or 0,
            least=least,
        )
        bar = dict(total=total or None, disable=quiet, leave=False, unit="")
        with tqdm(prefetch(frames), "frames", **bar) as progress:
            windows = list(tracker.windows(progress))
        if eye_detector and all(each.frames is None for each in windows):
            raise UserError("no face was found in any of the frames that were looked at")
        notes += _crowd(tracker.face_boxes)

        start = np.array([each.start for each in windows])
        shown = [len(each.frames) if each.frames is not None else length for each in windows]
        measured = [
            (math.nan, 0) if each.frames is None else movement(each.frames) for each in windows
        ]
        moved = np.array([value for value, _ in measured], np.float32)
        tops = np.array([top if apex is None else apex - (onset or 0) for _, top in measured])
        limit = profile.movement if threshold is None else float(threshold)
        tell = np.flatnonzero(~np.isnan(moved) & (moved >= limit) & (moved > 0))
        clips = [
            self._clip(np.asarray(windows[i].frames), int(tops[i]), fps, given=apex is not None)
            for i in tell
        ]
        ask = lambda some, _: self.networks.probabilities(some).swapaxes(0, 1)
        empty = np.zeros((0, len(self.networks.folds), len(self.networks.classes)), np.float32)
        said = np.concatenate([empty, *self._batches(clips, ask, quiet=quiet)]).swapaxes(0, 1)
        mean, spread = np.full((2, len(windows), len(self.networks.classes)), np.nan, np.float32)
        mean[tell], spread[tell] = said.mean(0), said.std(0)
        seen: list[np.ndarray | None] = [None] * len(windows)
        if saliency and len(tell):
            label = mean[tell].argmax(1).astype(np.int32)
            ask = lambda some, rows: self.networks.saliency(some, label[rows])
            heat = self._batches(clips, ask, quiet=quiet)
            if heat[0] is None:
                notes.append(
                    f"where its networks look is not shown: {self.networks.config.method.name} "
                    "does not give them the face in rows and columns"
                )
            else:
                for i, picture in zip(tell, np.concatenate(heat)):
                    seen[i] = picture
        if len(self.networks.folds) < self.networks.num_folds and len(self.networks.folds) > 1:
            notes.append(
                f"the mean is over {len(self.networks.folds)} of the {self.networks.num_folds} folds: "
                "those whose networks the run kept and whose training did not diverge"
            )
        return VideoPredictions(
            classes=self.networks.classes,
            fps=float(fps),
            count=tracker.count,
            start=start,
            stop=start + np.array(shown),
            apex=start + tops,
            movement=moved,
            threshold=limit,
            probabilities=mean,
            spread=spread,
            face_boxes=tuple(tracker.face_boxes),
            notes=tuple(notes),
            saliency=tuple(seen),
        )

    def _seconds(self, fps: float) -> float:
        """What the run's median clip lasts."""
        return self.profile.length / (self.profile.fps or fps)

    def _clip(self, frames: np.ndarray, apex: int, fps: float, *, given: bool) -> Clip:
        """A window as a clip of the run's rate."""
        rate = self.profile.fps or fps
        count = max(2, round(len(frames) * rate / fps))
        if abs(count - len(frames)) > 0.05 * len(frames):
            weights = matrix(len(frames), count, kernel="bilinear")
            apex = min(round((apex + 0.5) * count / len(frames) - 0.5), count - 1)
            frames = np.tensordot(weights, frames.astype(np.float32) / 255, axes=1)
        marked = given or self.profile.marked
        apex = max(0, apex) if marked else None
        return Clip("video", "", "window", in_memory(frames), emotion="", fps=rate, apex=apex)

    def _batches(self, clips: list[Clip], ask: Callable, *, quiet: bool) -> list:
        """ask(clips, their numbers), a batch at a time and without what fills up the last one.

        All batches have one size, so that later ones find their programs compiled.
        """
        if not clips:
            return []
        fit = max(1, _BYTES // (4 * clips[0].frames.size))
        batch = min(_BATCH, fit, 2 ** math.ceil(math.log2(len(clips))))
        rows = np.arange(batch * math.ceil(len(clips) / batch)).clip(max=len(clips) - 1)
        parts = []
        for some in tqdm(rows.reshape(-1, batch), "windows", disable=quiet, leave=False):
            answer = ask([clips[row] for row in some], some)
            parts.append(answer if answer is None else answer[: len(np.unique(some))])
        return parts


def _crowd(face_boxes: Sequence[FaceBox]) -> list[str]:
    """Where there is more than one face, or none, in words."""
    most, saliency = max(face_boxes, key=lambda place: place.faces), len(face_boxes)
    several, none = (
        sum(test(p.faces) for p in face_boxes) for test in (lambda n: n > 1, lambda n: not n)
    )
    notes = []
    if several:
        notes.append(
            f"{most.faces} faces in frame {most.start} (more than one in {several} of the {saliency} "
            "frames that were looked at): the one that was largest at first is followed"
        )
    if none:
        notes.append(f"no face in {none} of the {saliency} frames that were looked at")
    return notes


def load(workdir: str | pathlib.Path, *, fold: str | int | None = None) -> Predictor:
    """The networks of the finished run in `workdir`; its database is not needed.

    fold: the name or number of one fold, whose network then answers alone.

    Raises `UserError` where there is no such run, or it cannot answer.
    """
    workdir = pathlib.Path(workdir).expanduser()
    return Predictor(trained.read(workdir, fold=fold), profile.read(workdir))
