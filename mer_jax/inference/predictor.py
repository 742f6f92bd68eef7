"""Predictions of a finished run on a video, window by window."""

import itertools
import math
import pathlib
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from tqdm import tqdm

from mer_jax import faces, options, runtime
from mer_jax.clips import Clip, check_instants, in_memory
from mer_jax.errors import UserError
from mer_jax.inference import profile, run_file, trained
from mer_jax.inference.batches import BatchedPredictions
from mer_jax.inference.profile import DatasetProfile, motion
from mer_jax.inference.tracking import EyeDetector, FaceTracker, Window, prefetch
from mer_jax.inference.trained import TrainedNetworks
from mer_jax.inference.video_predictions import (
    FACE_LOST,
    HEAD_MOVES,
    NO_FACE,
    NO_MOVEMENT,
    TOO_LONG,
    TOO_MUCH,
    VideoPredictions,
    check_rate,
    face_notes,
    facial_events,
)
from mer_jax.io import saving
from mer_jax.video.resample import matrix

_DETECTIONS = 4  # a second
_FEWEST = 5  # frames of a window, under which the rate is too low for the run's clips
_LOW = 0.45  # of the run's frame rate, under which a note tells
_HEAD = 1.0  # px of `Motion.head` that no head rests below


class _Measured(NamedTuple):
    """What is stored of a window."""

    start: int  # its first frame
    length: int  # frames
    has_face: bool
    skin: float  # px, `Motion.skin`; NaN without a face
    apex: int  # frame from `start`
    head: float  # px, `Motion.head`; NaN without a face
    moves: bool  # at least as much as the threshold


class _Plan(NamedTuple):
    """How a video is divided into windows."""

    length: int  # frames of a window
    stride: int  # frames
    every: int  # frames between two detections of the face
    min_frames: int  # that the video needs, from its first window on


class Predictor:
    """The networks of a run, and the profile of its clips; `load` reads it."""

    def __init__(self, networks: TrainedNetworks, profile: DatasetProfile):
        self.networks, self.profile = networks, profile

    @property
    def digest(self) -> str:
        """64 hexadecimal digits of all that predictions depend on besides the video."""
        leaves = jax.tree.leaves(self.networks.state)
        sections = [self.networks.config[name].to_json() for name in ("method", "model")]
        return saving.digest(repr((sections, self.networks.folds, self.profile)), *leaves)

    # Thirteen parameters: the video (two), how it is divided (two), a known movement (three), what
    # is computed of it (four) and the progress bar (two); each is an option of `mer-jax predict`.
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
        eye_detector: EyeDetector | None = faces.find_eyes,
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
            of it. A last window ends with the video, whatever the stride.
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
        fps = check_rate(fps)
        if threshold is not None:
            threshold = options.check_value("threshold", "threshold", threshold)
        limit = self.profile.movement if threshold is None else float(threshold)
        still = total == 1
        plan = self._plan(fps, window, stride, onset, apex, offset, still=still)
        rest: Iterable[Any] = ()
        if onset is not None:
            rest = iter(frames)
            frames = itertools.islice(rest, onset + plan.length)
        tracker = FaceTracker(
            self.profile, **plan._asdict(), eye_detector=eye_detector, first=onset or 0
        )
        batches = BatchedPredictions(self.networks, saliency=saliency)
        measured: list[_Measured] = []
        bar = dict(total=total or None, disable=quiet, leave=False, unit="")
        with tqdm(prefetch(frames), "frames", **bar) as progress:
            for each in tracker.windows(progress):
                row = _measure(
                    each, plan.length, limit, None if apex is None else apex - (onset or 0)
                )
                measured.append(row)
                if row.moves and each.frames is not None:
                    marked = apex is not None
                    batches.add(
                        clip_of(each.frames, row.apex, fps, profile=self.profile, marked=marked)
                    )
        if eye_detector and not any(row.has_face for row in measured):
            raise UserError("no face was found in any of the frames examined")
        notes = face_notes(tracker.face_boxes)
        if not still and fps < _LOW * self.profile.fps:
            notes.append(
                f"{fps:.4g} Hz is low for a run on clips of {self.profile.fps:.4g} Hz: faster "
                "movements are missed"
            )
        used, all_of_them = len(self.networks.folds), len(self.networks.all_folds)
        if 1 < used < all_of_them:
            notes.append(
                f"the mean is over {used} of the {all_of_them} "
                "folds: those with a checkpoint whose training did not diverge"
            )
        strict = threshold is None and onset is None
        result = self._result(measured, batches, tracker, limit, fps, notes, strict=strict)
        more = sum(1 for _ in rest)  # frames after the window are of the film, too
        return result._replace(num_frames=result.num_frames + more)

    def _result(
        self,
        measured: Sequence[_Measured],
        batches: BatchedPredictions,
        tracker: FaceTracker,
        limit: float,
        fps: float,
        notes: list[str],
        *,
        strict: bool,
    ) -> VideoPredictions:
        """What is measured and predicted of all windows, as arrays."""
        start = np.array([row.start for row in measured])
        stop = start + np.array([row.length for row in measured])
        moving = np.flatnonzero([row.moves for row in measured])
        mean, std = np.full((2, len(measured), len(self.networks.classes)), np.nan, np.float32)
        mean[moving], std[moving] = batches.finish()
        maps: list[np.ndarray | None] = [None] * len(measured)
        heat = batches.saliency()
        if heat is not None:
            for i, picture in zip(moving, heat):
                maps[i] = picture
        elif batches.lacks_saliency:
            notes.append(
                "no saliency is shown: the inputs of "
                f"{self.networks.config.method.name} are not laid out like the face"
            )
        lost = [box.start for box in tracker.face_boxes if box.corners is None]
        verdicts = self._verdicts(measured, start, stop, moving, lost, strict=strict)
        if strict:
            verdicts = facial_events(verdicts, start, stop, tracker.openings, fps)
        return VideoPredictions(
            classes=self.networks.classes,
            fps=float(fps),
            num_frames=tracker.num_frames,
            start=start,
            stop=stop,
            apex=start + np.array([row.apex for row in measured]),
            movement=np.array([row.skin for row in measured], np.float32),
            threshold=limit,
            probabilities=mean,
            std=std,
            face_boxes=tuple(tracker.face_boxes),
            notes=tuple(notes),
            verdicts=tuple(verdicts),
            trained_on=self.profile.trained_on,
            label_scheme=self.networks.label_scheme,
            saliency=tuple(maps),
        )

    def _plan(
        self,
        fps: float,
        window: int | None,
        stride: int | None,
        onset: int | None,
        apex: int | None,
        offset: int | None,
        *,
        still: bool,
    ) -> _Plan:
        """One window from a given onset to the offset, or windows over all of a video.

        Of a still picture, in which nothing can move, one frame is enough.
        """
        seconds = self.profile.length / (self.profile.fps or fps)
        length = window or max(2, round(seconds * fps))
        if onset is not None:
            last = offset  # a default may lie behind the last frame
            if offset is None:
                last = onset + 1 if apex is None else apex
                offset = onset + length - 1 if apex is None else 2 * apex - onset
            check_instants(onset, apex, offset)
            if onset == offset:
                raise UserError(f"onset and offset are both {onset}: nothing moves in one frame")
            assert last is not None
            never = sys.maxsize
            return _Plan(offset - onset + 1, never, every=never, min_frames=last - onset + 1)
        if apex is not None or offset is not None:
            raise UserError("an apex or an offset needs the onset too")
        if window is None and not still and length < _FEWEST:
            raise UserError(
                f"{fps:.4g} Hz is too low for this run: its clips last {seconds:.2g} s, which is "
                f"{seconds * fps:.1f} frames, and {_FEWEST} are needed; film at "
                f"{_FEWEST / seconds:.0f} Hz or more, or give a longer window"
            )
        stride = stride or max(1, length // 4)
        if length < 2 or stride < 1:
            raise UserError("a window is at least two frames, and its stride at least one")
        least = 1 if still else -(-length // 2)
        return _Plan(length, stride, every=max(1, round(fps / _DETECTIONS)), min_frames=least)

    def _verdicts(
        self,
        measured: Sequence[_Measured],
        start: np.ndarray,
        stop: np.ndarray,
        moving: np.ndarray,
        lost: Sequence[int],
        *,
        strict: bool,
    ) -> list[str]:
        """Why each window has no class; "" where it has one. lost: frames without the face."""
        too_long = _runs_longer_than(3 * max(stop - start), start, stop, moving)
        loses = np.searchsorted(lost, start, side="right") < np.searchsorted(lost, stop)

        def verdict(i: int, row: _Measured) -> str:
            checks = (
                (NO_FACE, not row.has_face),
                (FACE_LOST, loses[i]),
                (NO_MOVEMENT, not row.moves),
                (HEAD_MOVES, strict and row.head > max(self.profile.head, _HEAD)),
                (TOO_MUCH, strict and row.skin > self.profile.largest),
                (TOO_LONG, strict and i in too_long),
            )
            return next((name for name, applies in checks if applies), "")

        return [verdict(i, row) for i, row in enumerate(measured)]


def clip_of(
    frames: np.ndarray, apex: int, fps: float, *, profile: DatasetProfile, marked: bool
) -> Clip:
    """A part of a video as a clip at the rate of a run's clips.

    Args:
      frames: [T, H, W, C] uint8, cropped like those of the run.
      apex: frame from 0.
      fps: Hz, of the video.
      profile: of the run's clips.
      marked: the apex counts even where those have none.
    """
    rate = profile.fps or fps
    count = max(2, round(len(frames) * rate / fps))
    # Fewer frames than those of the run may be too few for its method.
    if not 0 <= len(frames) - count <= 0.05 * len(frames):
        weights = matrix(len(frames), count, kernel="bilinear")
        apex = min(round((apex + 0.5) * count / len(frames) - 0.5), count - 1)
        frames = np.tensordot(weights, frames.astype(np.float32) / 255, axes=1)
    clip_apex = max(0, apex) if marked or profile.marked else None
    return Clip(
        "video", "unknown", "window", in_memory(frames), emotion="", fps=rate, apex=clip_apex
    )


def _measure(window: Window, length: int, threshold: float, apex: int | None) -> _Measured:
    """length: frames of a window, also of one without a face. apex: marked, from its start."""
    if window.frames is None:
        return _Measured(window.start, length, False, math.nan, apex or 0, math.nan, False)
    skin, found, head = motion(window.frames)
    moves = bool(skin > 0 and np.float32(skin) >= threshold)
    top = found if apex is None else apex
    return _Measured(window.start, len(window.frames), True, skin, top, head, moves)


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


def load(run: str | pathlib.Path, *, fold: str | int | None = None) -> Predictor:
    """Loads the networks of a finished run; its database is not needed.

    Args:
      run: the run's working directory, its file (`run_file.export`), or the unpacked file.
      fold: name or number of one fold, to predict with its network alone.

    Raises:
      UserError: there is no such run, or it has no network that can predict videos.
    """
    with run_file.opened(run) as folder:
        if (folder / run_file.MANIFEST).is_file():
            networks = trained.select(run_file.read(folder, name=run), fold, run)
        else:
            networks = trained.read(folder, fold=fold)
        return Predictor(networks, profile.read(folder))
