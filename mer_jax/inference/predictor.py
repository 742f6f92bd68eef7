"""Predictions of a finished run on a video, window by window."""

import itertools
import math
import pathlib
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from mer_jax import options, runtime
from mer_jax.clips import Clip, check_instants, in_memory
from mer_jax.errors import UserError
from mer_jax.inference import profile, trained
from mer_jax.inference.profile import DatasetProfile, Motion, motion
from mer_jax.inference.tracking import (
    EyeDetector,
    FaceBox,
    FaceTracker,
    Window,
    find_eyes,
    prefetch,
)
from mer_jax.inference.trained import TrainedNetworks
from mer_jax.inference.video_predictions import (
    FACE_LOST,
    HEAD_MOVES,
    NO_FACE,
    NO_MOVEMENT,
    TOO_LONG,
    TOO_MUCH,
    VideoPredictions,
    facial_events,
)
from mer_jax.video.resample import matrix

_BATCH = 16  # windows in one call of the method, at most
_DETECTIONS = 4  # a second
_FEWEST = 5  # frames of a window, under which the rate is too low for the run's clips
_LOW = 0.45  # of the run's frame rate, under which a note tells
_HEAD = 1.0  # px of `Motion.head` that no head rests below
_BYTES = 2**28  # of float32 frames in them


class _Plan(NamedTuple):
    """How a video is divided into windows."""

    length: int  # frames of a window
    stride: int  # frames
    min_frames: int  # that the video needs, from its first window on


class Predictor:
    """The networks of a run, and the profile of its clips; `load` reads it."""

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
        """Predicts a video, window by window.

        Args:
          frames: [T, H, W, C] or any iterable of [H, W, C], uint8 or float32 in [0, 1]; RGB or
            gray, read one at a time.
          fps: Hz.
          window, stride: frames; default: the duration of the run's median clip, and a quarter
            of it.
          onset, apex, offset: frames of a known movement. With an onset there is one window, from
            the onset to the offset; default offset: as far after the apex as the onset is before
            it, or one window length without an apex.
          threshold: of movement, px (`movement`); default: that of the run's clips.
          eye_detector: detects the eyes of each face in a frame, four times a second, or the
            landmarks (`faces.landmarker`). None: the frames are already cropped like the run's
            clips.
          saliency: also compute saliency maps of the cropped face (`TrainedNetworks.saliency`).
          total: expected number of frames, for the progress bar; 1: a still picture, which is
            labeled "no movement" where a video of one frame raises.
          quiet: hides the progress bar.

        Returns:
          `VideoPredictions`, one row a window. Instead of a class a window gets the verdict
          "no face" or "face lost"; "no movement" where it moves less than 90 % of the run's clips
          (`inference.movement`); "head moves" or "too much movement" where head or skin move more
          than in any of them; "movement too long" where windows move without a pause for more than
          three windows' length, as in speech. Where the landmarks have the eyes shut, or the mouth
          opening again and again, for half of a window: "blink" or "speech". With an own threshold,
          or an onset, only the first three are given.

        Raises:
          UserError: too few frames, no face in any of them, instants in the wrong order, or a
            frame rate at which the run's median clip has under five frames.
        """
        if not fps:
            raise UserError("the frame rate is not known; give fps in Hz")
        fps = options.check_value("fps", "fps", fps)
        if threshold is not None:
            threshold = options.check_value("threshold", "threshold", threshold)
        if onset is None:
            if apex is not None or offset is not None:
                raise UserError("an apex or an offset needs the onset too")
            plan = self._sliding(fps, window, stride, still=total == 1)
        else:
            plan = self._single(fps, window, onset, apex, offset)
            frames = itertools.islice(frames, onset + plan.length)
        tracker = FaceTracker(
            self.profile,
            length=plan.length,
            stride=plan.stride,
            every=max(1, round(fps / _DETECTIONS)) if onset is None else sys.maxsize,
            eye_detector=eye_detector,
            first=onset or 0,
            min_frames=plan.min_frames,
        )
        bar = dict(total=total or None, disable=quiet, leave=False, unit="")
        with tqdm(prefetch(frames), "frames", **bar) as progress:
            windows = list(tracker.windows(progress))
        if eye_detector and all(each.frames is None for each in windows):
            raise UserError("no face was found in any of the frames examined")

        start = np.array([each.start for each in windows])
        lengths = [plan.length if each.frames is None else len(each.frames) for each in windows]
        none = Motion(math.nan, 0, math.nan)
        motions = [none if each.frames is None else motion(each.frames) for each in windows]
        moved = np.array([each.skin for each in motions], np.float32)
        tops = np.array([m.apex if apex is None else apex - (onset or 0) for m in motions])
        limit = self.profile.movement if threshold is None else float(threshold)
        moving = np.flatnonzero(~np.isnan(moved) & (moved >= limit) & (moved > 0))
        clips = [
            self._clip(np.asarray(windows[i].frames), int(tops[i]), fps, marked=apex is not None)
            for i in moving
        ]
        mean, std = np.full((2, len(windows), len(self.networks.classes)), np.nan, np.float32)
        mean[moving], std[moving] = self._probabilities(clips, quiet=quiet)
        maps: list[np.ndarray | None] = [None] * len(windows)
        notes = [
            *_face_notes(tracker.face_boxes),
            *self._rate_notes(fps, still=total == 1),
            *self._fold_notes(),
        ]
        if saliency and len(moving):
            heat = self._saliency(clips, mean[moving].argmax(1).astype(np.int32), quiet=quiet)
            if heat is None:
                notes.append(
                    "no saliency is shown: the inputs of "
                    f"{self.networks.config.method.name} are not laid out like the face"
                )
            else:
                for i, picture in zip(moving, heat):
                    maps[i] = picture
        lost = [box.start for box in tracker.face_boxes if box.corners is None]
        strict = threshold is None and onset is None
        verdicts = self._verdicts(windows, motions, start, lengths, moving, lost, strict=strict)
        if strict:
            stop = start + np.array(lengths)
            verdicts = facial_events(verdicts, start, stop, tracker.openings, fps)
        return VideoPredictions(
            classes=self.networks.classes,
            fps=float(fps),
            num_frames=tracker.num_frames,
            start=start,
            stop=start + np.array(lengths),
            apex=start + tops,
            movement=moved,
            threshold=limit,
            probabilities=mean,
            std=std,
            face_boxes=tuple(tracker.face_boxes),
            notes=tuple(notes),
            verdicts=tuple(verdicts),
            trained_on=self.profile.trained_on,
            saliency=tuple(maps),
        )

    def _sliding(
        self, fps: float, window: int | None, stride: int | None, *, still: bool
    ) -> "_Plan":
        """Windows over all of a video; of a still picture one frame is enough."""
        length = self._length(fps, window)
        if window is None and not still and length < _FEWEST:
            seconds = self.profile.length / (self.profile.fps or fps)
            raise UserError(
                f"{fps:.4g} Hz is too low for this run: its clips last {seconds:.2g} s, which is "
                f"{seconds * fps:.1f} frames, and {_FEWEST} are needed; film at "
                f"{_FEWEST / seconds:.0f} Hz or more, or give a longer window"
            )
        stride = stride or max(1, length // 4)
        if length < 2 or stride < 1:
            raise UserError("a window is at least two frames, and its stride at least one")
        # Half a window is enough, and so is a still picture, in which nothing can move.
        return _Plan(length, stride, min_frames=1 if still else -(-length // 2))

    def _single(
        self, fps: float, window: int | None, onset: int, apex: int | None, offset: int | None
    ) -> "_Plan":
        """One window from the onset to the offset."""
        if apex is not None and offset is None:
            offset = 2 * apex - onset
        offset = onset + self._length(fps, window) - 1 if offset is None else offset
        check_instants(onset, apex, offset)
        if onset == offset:
            raise UserError(f"onset and offset are both {onset}: nothing moves in one frame")
        last = onset + 1 if apex is None else apex
        return _Plan(offset - onset + 1, sys.maxsize, min_frames=last - onset + 1)

    def _length(self, fps: float, window: int | None) -> int:
        """Frames of a window; by default the duration of the run's median clip."""
        return window or max(2, round(self.profile.length / (self.profile.fps or fps) * fps))

    def _probabilities(self, clips: list[Clip], *, quiet: bool) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation over the folds, [N, K] each."""
        predict = lambda batch, _: self.networks.probabilities(batch).swapaxes(0, 1)
        empty = np.zeros((0, len(self.networks.folds), len(self.networks.classes)), np.float32)
        each_fold = np.concatenate([empty, *self._batches(clips, predict, quiet=quiet)])
        each_fold = each_fold.swapaxes(0, 1)
        return each_fold.mean(0), each_fold.std(0)

    def _saliency(self, clips: list[Clip], label: np.ndarray, *, quiet: bool) -> np.ndarray | None:
        """[N, H, W], or None if the inputs are not laid out like the face."""
        explain = lambda batch, rows: self.networks.saliency(batch, label[rows])
        heat = self._batches(clips, explain, quiet=quiet)
        return None if heat[0] is None else np.concatenate(heat)

    def _verdicts(
        self,
        windows: Sequence[Window],
        motions: Sequence[Motion],
        start: np.ndarray,
        lengths: Sequence[int],
        moving: np.ndarray,
        lost: Sequence[int],
        *,
        strict: bool,
    ) -> list[str]:
        """Why each window has no class; "" where it has one."""
        stop, longest = start + np.array(lengths), 3 * max(lengths)
        too_long = _runs_longer_than(longest, start, stop, moving)

        def verdict(i: int) -> str:
            checks = (
                (NO_FACE, windows[i].frames is None),
                (FACE_LOST, any(start[i] < frame < stop[i] for frame in lost)),
                (NO_MOVEMENT, i not in moving),
                (HEAD_MOVES, strict and motions[i].head > max(self.profile.head, _HEAD)),
                (TOO_MUCH, strict and motions[i].skin > self.profile.largest),
                (TOO_LONG, strict and i in too_long),
            )
            return next((name for name, applies in checks if applies), "")

        return [verdict(i) for i in range(len(windows))]

    def _rate_notes(self, fps: float, *, still: bool) -> list[str]:
        """A note if the video's rate is far below that of the run's clips."""
        if still or fps >= _LOW * self.profile.fps:
            return []
        return [
            f"{fps:.4g} Hz is low for a run on clips of {self.profile.fps:.4g} Hz: faster "
            "movements are missed"
        ]

    def _fold_notes(self) -> list[str]:
        """A note if the mean is over some of the run's folds only."""
        used, all_of_them = len(self.networks.folds), self.networks.num_folds
        if not 1 < used < all_of_them:
            return []
        return [
            f"the mean is over {used} of the {all_of_them} "
            "folds: those with a checkpoint whose training did not diverge"
        ]

    def _clip(self, frames: np.ndarray, apex: int, fps: float, *, marked: bool) -> Clip:
        """A window as a clip at the run's frame rate. marked: the user marked its apex."""
        rate = self.profile.fps or fps
        count = max(2, round(len(frames) * rate / fps))
        if abs(count - len(frames)) > 0.05 * len(frames):
            weights = matrix(len(frames), count, kernel="bilinear")
            apex = min(round((apex + 0.5) * count / len(frames) - 0.5), count - 1)
            frames = np.tensordot(weights, frames.astype(np.float32) / 255, axes=1)
        apex = max(0, apex) if marked or self.profile.marked else None
        return Clip(
            "video", "unknown", "window", in_memory(frames), emotion="", fps=rate, apex=apex
        )

    def _batches(self, clips: list[Clip], function: Callable, *, quiet: bool) -> list:
        """function(clips, rows) of each batch, without the padding of the last one.

        All batches have one size, so that they share one compiled program.
        """
        if not clips:
            return []
        fit = max(1, _BYTES // (4 * clips[0].frames.size))
        batch = min(_BATCH, fit, 2 ** math.ceil(math.log2(len(clips))))
        rows = np.arange(batch * math.ceil(len(clips) / batch)).clip(max=len(clips) - 1)
        parts = []
        for batch_rows in tqdm(rows.reshape(-1, batch), "windows", disable=quiet, leave=False):
            output = function([clips[row] for row in batch_rows], batch_rows)
            parts.append(None if output is None else output[: len(np.unique(batch_rows))])
        return parts


def _runs_longer_than(
    frames: int, start: np.ndarray, stop: np.ndarray, moving: np.ndarray
) -> set[int]:
    """The windows of `moving` [M] that lie in a row of moving windows of more than `frames`.

    One still window is no pause: the movement of a held smile is near the threshold.
    """
    rows = np.split(moving, np.flatnonzero(np.diff(moving) > 2) + 1)
    return {
        int(i) for row in rows if len(row) and stop[row[-1]] - start[row[0]] > frames for i in row
    }


def _face_notes(face_boxes: Sequence[FaceBox]) -> list[str]:
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


def load(workdir: str | pathlib.Path, *, fold: str | int | None = None) -> Predictor:
    """Loads the networks of the finished run in `workdir`; its database is not needed.

    Args:
      workdir: the run's working directory.
      fold: name or number of one fold, to predict with its network alone.

    Raises:
      UserError: there is no such run, or it has no network that can predict videos.
    """
    workdir = pathlib.Path(workdir).expanduser()
    return Predictor(trained.read(workdir, fold=fold), profile.read(workdir))
