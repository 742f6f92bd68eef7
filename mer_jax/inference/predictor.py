"""Predictions of a finished run on a video, window by window."""

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
from mer_jax.inference.profile import DatasetProfile, Motion, motion
from mer_jax.inference.tracking import EyeDetector, FaceBox, FaceTracker, find_eyes, prefetch
from mer_jax.inference.trained import TrainedNetworks
from mer_jax.inference.video_predictions import (
    FACE_LOST,
    HEAD_MOVES,
    NO_FACE,
    NO_MOVEMENT,
    TOO_LONG,
    TOO_MUCH,
    VideoPredictions,
)
from mer_jax.video.resample import matrix

_BATCH = 16  # windows in one call of the method, at most
_DETECTIONS = 4  # a second
_FEWEST = 5  # frames of a window, under which the rate is too low for the run's clips
_LOW = 0.45  # of the run's frame rate, under which a note tells
_HEAD = 1.0  # px of `Motion.head` that no head rests below
_BYTES = 2**28  # of float32 frames in them


class Predictor:
    """The networks of a run, and the profile of its clips."""

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
          eye_detector: detects the eyes of each face in a frame, once a second. None: the frames
            are already cropped like the run's clips.
          saliency: also compute saliency maps of the cropped face (`TrainedNetworks.saliency`).
          total: expected number of frames, for the progress bar; 1: a still picture, which is
            labeled "no movement" where a video of one frame raises.
          quiet: hides the progress bar.

        Returns:
          `VideoPredictions`, one row a window. Instead of a class a window gets the verdict
          "no face" or "face lost"; "no movement" where it moves less than 90 % of the run's clips
          (`inference.movement`); "head moves" or "too much movement" where head or skin move more
          than in any of them; "movement too long" where windows move without a pause for more than
          three windows' length, as in speech. With an own threshold, or an onset, only the first
          three are given.

        Raises:
          UserError: too few frames, no face in any of them, instants in the wrong order, or a
            frame rate at which the run's median clip has under five frames.
        """
        if not fps:
            raise UserError("the frame rate is not known; give fps in Hz")
        fps = options.value("fps", "fps", fps)
        if threshold is not None:
            threshold = options.value("threshold", "threshold", threshold)
        profile, notes = self.profile, []
        length = window or max(2, round(self._seconds(fps) * fps))
        if window is None and onset is None and total != 1 and length < _FEWEST:
            seconds = self._seconds(fps)
            raise UserError(
                f"{fps:.4g} Hz is too low for this run: its clips last {seconds:.2g} s, which is "
                f"{seconds * fps:.1f} frames, and {_FEWEST} are needed; film at "
                f"{_FEWEST / seconds:.0f} Hz or more, or give a longer window"
            )
        if total != 1 and fps < _LOW * profile.fps:
            notes.append(
                f"{fps:.4g} Hz is low for a run on clips of {profile.fps:.4g} Hz: faster movements "
                "are missed"
            )
        if onset is None:
            # Half a window is enough, and so is a still picture, in which nothing can move.
            min_frames = -(-length // 2) if total != 1 else 1
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
            min_frames = (onset + 1 if apex is None else apex) - onset + 1
            frames = itertools.islice(frames, offset + 1)
        stride = stride or max(1, length // 4)
        if min(length, stride) < 1:
            raise UserError("a window and its stride are at least one frame")
        tracker = FaceTracker(
            profile,
            length=length,
            stride=stride if onset is None else sys.maxsize,
            every=max(1, round(fps / _DETECTIONS)) if onset is None else sys.maxsize,
            eye_detector=eye_detector,
            first=onset or 0,
            min_frames=min_frames,
        )
        bar = dict(total=total or None, disable=quiet, leave=False, unit="")
        with tqdm(prefetch(frames), "frames", **bar) as progress:
            windows = list(tracker.windows(progress))
        if eye_detector and all(each.frames is None for each in windows):
            raise UserError("no face was found in any of the frames examined")
        notes = _count_notes(tracker.face_boxes) + notes

        start = np.array([each.start for each in windows])
        lengths = [len(each.frames) if each.frames is not None else length for each in windows]
        none = Motion(math.nan, 0, math.nan)
        motions = [none if each.frames is None else motion(each.frames) for each in windows]
        moved = np.array([each.skin for each in motions], np.float32)
        tops = np.array([m.apex if apex is None else apex - (onset or 0) for m in motions])
        limit = profile.movement if threshold is None else float(threshold)
        moving = np.flatnonzero(~np.isnan(moved) & (moved >= limit) & (moved > 0))
        clips = [
            self._clip(np.asarray(windows[i].frames), int(tops[i]), fps, given=apex is not None)
            for i in moving
        ]
        predict = lambda batch, _: self.networks.probabilities(batch).swapaxes(0, 1)
        empty = np.zeros((0, len(self.networks.folds), len(self.networks.classes)), np.float32)
        batches = self._batches(clips, predict, quiet=quiet)
        each_fold = np.concatenate([empty, *batches]).swapaxes(0, 1)
        mean, spread = np.full((2, len(windows), len(self.networks.classes)), np.nan, np.float32)
        mean[moving], spread[moving] = each_fold.mean(0), each_fold.std(0)
        maps: list[np.ndarray | None] = [None] * len(windows)
        if saliency and len(moving):
            label = mean[moving].argmax(1).astype(np.int32)
            explain = lambda batch, rows: self.networks.saliency(batch, label[rows])
            heat = self._batches(clips, explain, quiet=quiet)
            if heat[0] is None:
                notes.append(
                    "no saliency is shown: the inputs of "
                    f"{self.networks.config.method.name} are not laid out like the face"
                )
            else:
                for i, picture in zip(moving, np.concatenate(heat)):
                    maps[i] = picture
        if len(self.networks.folds) < self.networks.num_folds and len(self.networks.folds) > 1:
            notes.append(
                f"the mean is over {len(self.networks.folds)} of the {self.networks.num_folds} "
                "folds: those with a checkpoint whose training did not diverge"
            )
        lost = [box.start for box in tracker.face_boxes if box.corners is None]
        verdicts, strict = [], threshold is None and onset is None
        too_long = _runs_longer_than(3 * length, start, start + np.array(lengths), moving)
        for i, each in enumerate(motions):
            if windows[i].frames is None:
                verdicts.append(NO_FACE)
            elif any(start[i] < frame < start[i] + lengths[i] for frame in lost):
                verdicts.append(FACE_LOST)
            elif i not in moving:
                verdicts.append(NO_MOVEMENT)
            elif strict and each.head > max(profile.head, _HEAD):
                verdicts.append(HEAD_MOVES)
            elif strict and each.skin > profile.largest:
                verdicts.append(TOO_MUCH)
            elif strict and i in too_long:
                verdicts.append(TOO_LONG)
            else:
                verdicts.append("")
        return VideoPredictions(
            classes=self.networks.classes,
            fps=float(fps),
            count=tracker.count,
            start=start,
            stop=start + np.array(lengths),
            apex=start + tops,
            movement=moved,
            threshold=limit,
            probabilities=mean,
            spread=spread,
            face_boxes=tuple(tracker.face_boxes),
            notes=tuple(notes),
            verdicts=tuple(verdicts),
            trained_on=profile.trained_on,
            saliency=tuple(maps),
        )

    def _seconds(self, fps: float) -> float:
        """Duration of the run's median clip, s."""
        return self.profile.length / (self.profile.fps or fps)

    def _clip(self, frames: np.ndarray, apex: int, fps: float, *, given: bool) -> Clip:
        """A window as a clip at the run's frame rate."""
        rate = self.profile.fps or fps
        count = max(2, round(len(frames) * rate / fps))
        if abs(count - len(frames)) > 0.05 * len(frames):
            weights = matrix(len(frames), count, kernel="bilinear")
            apex = min(round((apex + 0.5) * count / len(frames) - 0.5), count - 1)
            frames = np.tensordot(weights, frames.astype(np.float32) / 255, axes=1)
        marked = given or self.profile.marked
        apex = max(0, apex) if marked else None
        return Clip("video", "", "window", in_memory(frames), emotion="", fps=rate, apex=apex)

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
    """The windows of `moving` [M] that lie in a row of moving windows of more than `frames`."""
    rows = np.split(moving, np.flatnonzero(np.diff(moving) > 1) + 1)
    return {
        int(i) for row in rows if len(row) and stop[row[-1]] - start[row[0]] > frames for i in row
    }


def _count_notes(face_boxes: Sequence[FaceBox]) -> list[str]:
    """Notes on frames with several faces, and with none."""
    most, count = max(face_boxes, key=lambda box: box.faces), len(face_boxes)
    several, none = (
        sum(test(box.faces) for box in face_boxes) for test in (lambda n: n > 1, lambda n: not n)
    )
    notes = []
    if several:
        notes.append(
            f"{most.faces} faces in frame {most.start} (more than one in {several} of the {count} "
            "frames examined): the face that was largest at first is tracked"
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
