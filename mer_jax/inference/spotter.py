"""A finished spotting run applied to any video: the intervals of expressions, with constant memory.

    spotter = load("runs/spotting")
    found = spotter.predict_video(frames, 100.0)      # [T, H, W, C], Hz
    print(found.csv())

The face is cropped by the eyes and waits, small and gray, in a temporary file, from which the run's
evidence reads it in blocks. Where the crop had to follow the head, or the face is lost or moves
more than in any of 64 expressions of the run, the evidence is not that of one: such intervals get a
verdict. A run of spot-then-recognize gives each interval an emotion as well, by the mean of its
folds.
"""

import bisect
import collections
import itertools
import math
import pathlib
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, NamedTuple

import numpy as np
from tqdm import tqdm

from mer_jax import faces, runtime
from mer_jax.errors import UserError
from mer_jax.inference import predictor, run_file
from mer_jax.inference.predictor import Predictor, clip_of
from mer_jax.inference.profile import DatasetProfile, emotions_too, long_videos, movement_of
from mer_jax.inference.recognizer import cut
from mer_jax.inference.tracking import EyeDetector, FaceBox, FaceTracker, prefetch
from mer_jax.inference.video_predictions import (
    FACE_LOST,
    HEAD_MOVES,
    TOO_MUCH,
    check_rate,
    face_notes,
)
from mer_jax.io import saving
from mer_jax.recordings import Recording
from mer_jax.spotting import trained
from mer_jax.spotting.intervals import peak, strength
from mer_jax.spotting.trained import Ensemble

_DETECTIONS = 4  # a second
_FRAMING = 0.05  # by which crops may differ, in distances of the eyes


class SpottedInterval(NamedTuple):
    """One expression from onset to offset, frames from 0, both included."""

    kind: str  # "micro" or "macro"
    onset: int
    offset: int
    evidence: float  # the largest in it
    verdict: str  # why it is no expression; "" where it is one
    emotion: str = ""  # of a run that recognizes, too

    @property
    def label(self) -> str:
        """Its kind, and the emotion if there is one."""
        return f"{self.kind}, {self.emotion}" if self.emotion else self.kind


class SpottedVideo(NamedTuple):
    """The intervals of a video in their order, and the evidence for them."""

    intervals: tuple[SpottedInterval, ...]
    evidence: Mapping[str, np.ndarray]  # kind -> [T]
    fps: float  # Hz
    num_frames: int  # T
    face_boxes: tuple[FaceBox, ...]  # of the frames examined
    notes: tuple[str, ...]  # for the user
    trained_on: str  # the run's databases, in words

    @property
    def header(self) -> list[str]:
        """What the run was trained on."""
        return [f"trained on {self.trained_on}"]

    @property
    def counts(self) -> dict[str, int]:
        """Intervals with each kind or verdict."""
        return dict(collections.Counter(each.verdict or each.kind for each in self.intervals))

    def csv(self) -> str:
        """The table as CSV: `header` after a #, then onset and offset (s and frames, both
        included), kind, verdict, the largest evidence and the emotion of each interval."""
        head = ("onset_s", "offset_s", "onset_frame", "offset_frame")
        rows: list[Sequence[object]] = [(*head, "kind", "verdict", "evidence", "emotion")]
        for each in self.intervals:
            seconds = [f"{frame / self.fps:.4f}" for frame in (each.onset, each.offset)]
            rest = (each.onset, each.offset, each.kind, each.verdict, f"{each.evidence:.6g}")
            rows.append([*seconds, *rest, each.emotion])
        return saving.csv_text(rows, comments=self.header)

    def summary(self) -> str:
        """`header`, the counts, and the first intervals."""
        counts = ", ".join(f"{count} x {name}" for name, count in self.counts.items())
        lines = [f"{len(self.intervals)} interval(s){f': {counts}' if counts else ''}"]
        known = [each for each in self.intervals if not each.verdict]
        lines += [
            f"{each.label}: {each.onset / self.fps:.2f} to {(each.offset + 1) / self.fps:.2f} s"
            for each in known[:10]
        ]
        more = [f"and {len(known) - 10} more"] * (len(known) > 10)
        return "\n".join([*self.header, *lines, *more])


class Spotter:
    """The spotters of a run, one for each kind of expression; `load` reads it.

    Args:
      ensembles: of each kind.
      recognizer: the run that labels the intervals, if it is not the network that spots.
      trained_on: subjects and databases, in words; default: those of the folds.
    """

    def __init__(
        self,
        ensembles: Sequence[Ensemble],
        recognizer: Predictor | None = None,
        trained_on: str = "",
    ):
        self.ensembles, self.recognizer = ensembles, recognizer
        subjects = {fold.subject for each in ensembles for fold in each.folds}
        self.trained_on = trained_on or long_videos(subjects)

    @property
    def digest(self) -> str:
        """64 hexadecimal digits of all that the intervals depend on besides the video."""
        fields = ("kind", "folds", "rule", "classes", "eyes", "largest")
        parts = [repr([getattr(each, name) for name in fields]) for each in self.ensembles]
        scorers = [scorer for each in self.ensembles for scorer in each.scorers]
        weights = [array for scorer in scorers for array in scorer.weights.values()]
        config = self.ensembles[0].config
        sections = [config[name].to_json() for name in ("evidence", "model") if name in config]
        recognizer = [self.recognizer.digest] if self.recognizer else []
        return saving.digest(*sections, *parts, *recognizer, *weights)

    @runtime.pinned()
    def predict_video(
        self,
        frames: Iterable[np.ndarray],
        fps: float,
        *,
        eye_detector: EyeDetector | None = faces.find_eyes,
        total: int = 0,
        quiet: bool = True,
    ) -> SpottedVideo:
        """Spots the expressions of a video.

        Args:
          frames, fps, eye_detector, total, quiet: as of `Predictor.predict_video`.

        Raises:
          UserError: no face in any frame, or a video that is too short for every kind of
            expression; too short for one kind is a note.
        """
        fps = check_rate(fps)
        crops = self._profile(fps)
        shape = (*crops.size, crops.channels)
        tracker = FaceTracker(
            crops,
            length=1,
            stride=1,
            every=max(1, round(fps / _DETECTIONS)),
            eye_detector=eye_detector,
        )
        bar = dict(total=total or None, disable=quiet, leave=False, unit="")
        with tempfile.TemporaryFile() as file:
            with tqdm(prefetch(frames), "frames", **bar) as progress:
                _write_crops(file, tracker, progress, shape)
            video = _recording(file, tracker.num_frames, fps, shape)
            boxes, found, shown = tuple(tracker.face_boxes), list[SpottedInterval](), {}
            lacking = list[UserError]()
            for ensemble in self.ensembles:
                try:
                    evidence, emotions = _evidence(ensemble, video)
                except UserError as error:
                    lacking.append(error)
                    continue
                shown[ensemble.kind] = strength(evidence)
                evidence = _without_jumps(evidence, ensemble, fps, boxes)
                intervals = [
                    _interval(ensemble, video, shown[ensemble.kind], onset, offset, boxes)
                    for onset, offset in ensemble.intervals(evidence, fps).tolist()
                ]
                found += self._recognized(video, ensemble, intervals, shown, emotions)
        if len(lacking) == len(self.ensembles):
            raise lacking[0]
        found.sort(key=lambda each: (each.onset, each.offset))
        notes = (*map(str, lacking), *face_notes(boxes), *self._framing_notes())
        return SpottedVideo(
            tuple(found), shown, fps, tracker.num_frames, boxes, notes, self.trained_on
        )

    def _recognized(
        self,
        video: Recording,
        ensemble: Ensemble,
        intervals: Sequence[SpottedInterval],
        shown: Mapping[str, np.ndarray],
        emotions: np.ndarray,
    ) -> list[SpottedInterval]:
        """The intervals of a kind, each without a verdict with its emotion, if the run gives one.

        shown: kind -> evidence [T]; emotions: [T, K], of the network that spots.
        """
        known = [n for n, each in enumerate(intervals) if not each.verdict]
        apexes = [peak(shown[each.kind], each.onset, each.offset) for each in intervals]
        names = [""] * len(intervals)
        if ensemble.classes:
            for n in known:
                names[n] = ensemble.classes[emotions[apexes[n]].argmax()]
        elif self.recognizer and known:
            networks, clips = self.recognizer.networks, []
            shortest = ensemble.shortest(video.fps)
            for n in known:
                kind, onset, offset, *_ = intervals[n]
                clip = cut(video, kind, onset, apexes[n], offset, shortest=shortest)
                assert clip.apex is not None
                clips.append(
                    clip_of(
                        clip.frames, clip.apex, video.fps,
                        profile=self.recognizer.profile, marked=True,
                    )
                )  # fmt: skip
            every = range(len(networks.folds))
            best = networks.probabilities_of(clips, [every] * len(clips)).argmax(1)
            for n, label in zip(known, best.tolist()):
                names[n] = networks.classes[label]
        return [each._replace(emotion=name) for each, name in zip(intervals, names)]

    def _framing_notes(self) -> list[str]:
        """A note where the recognizer's clips show more or less around the eyes than the recordings
        that the spotter was trained on."""
        own = self.ensembles[0].eyes
        other = self.recognizer.profile.eyes if self.recognizer else None
        if own is None or other is None or np.allclose(own, other, rtol=_FRAMING, atol=_FRAMING):
            return []
        return [
            "faces are cropped as the recognizer's clips are, which show another part of the face "
            "than the recordings of the spotter's training: its evidence is of other movements"
        ]

    def _profile(self, fps: float) -> DatasetProfile:
        """Of crops around the eyes, like the recognizer's clips; what it says of movement is not
        used."""
        if self.recognizer:
            own = self.recognizer.profile
            crops = dict(size=own.size, channels=own.channels, eyes=own.eyes)
        else:
            size = tuple(self.ensembles[0].config.evidence.size)
            crops = dict(size=size, channels=1, eyes=self.ensembles[0].eyes)
        return DatasetProfile(
            **crops,  # type: ignore[arg-type]
            fps=fps,
            length=1,
            marked=False,
            movement=0.0,
            largest=0.0,
            head=0.0,
            trained_on="",
        )


def _evidence(ensemble: Ensemble, video: Recording) -> tuple[np.ndarray, np.ndarray]:
    try:
        return ensemble.evidence_and_emotions(video)
    except UserError as error:
        reason = str(error).removeprefix(f"{video.key}: ")
        raise UserError(f"{ensemble.kind}-expressions cannot be spotted: {reason}") from None


def _write_crops(
    file: IO[bytes], tracker: FaceTracker, frames: Iterable[np.ndarray], shape: Sequence[int]
) -> None:
    """The face of each frame, [H, W, C] uint8; where there is none, the last or else the first."""
    crop, waiting = None, 0
    for window in tracker.windows(frames):
        crop, waiting = (crop if window.frames is None else window.frames[0]), waiting + 1
        if crop is not None:
            for _ in range(waiting):
                file.write(crop.tobytes())
            waiting = 0
    if crop is None:
        raise UserError("no face was found in any of the frames examined")
    file.flush()


def _without_jumps(
    evidence: np.ndarray, ensemble: Ensemble, fps: float, boxes: Sequence[FaceBox]
) -> np.ndarray:
    """Evidence [T] whose maximum is that of frames that depend on one position of the face.

    Else the jump of a crop from one position to the next would raise the threshold, which is
    relative to the maximum, above every expression.
    """
    if evidence.ndim > 1 or not ensemble.rule.relative:
        return evidence
    reach = ensemble.reach(fps)
    near = np.zeros(len(evidence), bool)
    for before, after in itertools.pairwise(boxes):
        if not np.array_equal(before.corners, after.corners):  # type: ignore[arg-type]
            near[max(0, after.start - reach) : after.start + reach] = True
    elsewhere = evidence[~near & ~np.isnan(evidence)]
    if not len(elsewhere):
        return evidence
    return np.where(near, np.minimum(evidence, elsewhere.max()), evidence)


def _recording(file: IO[bytes], count: int, fps: float, shape: Sequence[int]) -> Recording:
    """The crops in `file` as a recording."""
    frame = math.prod(shape)

    def read(start: int, stop: int) -> np.ndarray:
        file.seek(start * frame)
        content = file.read((stop - start) * frame)
        return np.frombuffer(content, np.uint8).reshape(-1, *shape)

    return Recording("video", "unknown", "video", read, count, fps)


def _interval(
    ensemble: Ensemble,
    video: Recording,
    evidence: np.ndarray,
    onset: int,
    offset: int,
    boxes: Sequence[FaceBox],
) -> SpottedInterval:
    """The interval; its verdict is by the boxes up to half of its length before and after it, and
    by its movement."""
    margin = (offset - onset + 1) // 2
    starts = [box.start for box in boxes]
    first = max(0, bisect.bisect_right(starts, onset - margin) - 1)
    inside = boxes[first : bisect.bisect_right(starts, offset + margin)]
    lost = any(box.corners is None for box in inside)
    moves = not lost and any(
        not np.array_equal(box.corners, inside[0].corners)  # type: ignore[arg-type]
        for box in inside
    )
    verdict = FACE_LOST if lost else HEAD_MOVES if moves else ""
    if not verdict and ensemble.largest < math.inf:
        size = tuple(ensemble.config.evidence.size)
        if movement_of(video, onset, offset, size=size) > ensemble.largest:
            verdict = TOO_MUCH
    largest = float(evidence[peak(evidence, onset, offset)])
    return SpottedInterval(ensemble.kind, onset, offset, largest, verdict)


def load(run: str | pathlib.Path) -> Spotter:
    """Loads a finished spotting run: its working directory, or its file (`run_file.export`).

    Raises `UserError` as `spotting.trained.load`, and for a damaged file.
    """
    with run_file.opened(run) as folder:
        packed = (folder / run_file.MANIFEST).is_file()
        trained_on = run_file.check_spotting(folder, name=run) if packed else ""
        ensembles = trained.load(folder)
        own = folder / trained.RECOGNITION if packed else trained.recognition_run(folder)
        if own is None or not own.is_dir():
            return Spotter(ensembles, trained_on=trained_on)
        recognizer = predictor.load(own)
    if recognizer.networks.label_scheme:
        raise UserError(f"{run}: its recognizer has action units; an interval gets one emotion")
    if not trained_on and ensembles[0].config.recognition.run:
        trained_on = emotions_too(Spotter(ensembles).trained_on, recognizer.profile.trained_on)
    return Spotter(ensembles, recognizer, trained_on)
