"""Spot-then-recognize: a finished run of recognition labels the intervals that spotting found.

    recognizer = load("runs/recognition", [video.subject_key for video in recordings])
    truths = recognizer.truths(recordings)
    events = recognizer.recognize(recordings, found)        # with emotions

An interval is cut out of its recording from onset to offset, with the frame of the largest evidence
as its apex, and goes through the run's own method and the networks of the folds that were not
trained on its subject. A run without such a fold is refused: the joint result is strict.
"""

import dataclasses
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from mer_jax.clips import Clip
from mer_jax.datasets import labels
from mer_jax.errors import UserError, first_of
from mer_jax.inference import profile, trained
from mer_jax.inference.predictor import clip_of
from mer_jax.inference.profile import DatasetProfile
from mer_jax.inference.trained import TrainedNetworks
from mer_jax.io import reading
from mer_jax.keys import normalize_subject
from mer_jax.metrics import matching
from mer_jax.metrics.matching import Event
from mer_jax.protocols import Folds
from mer_jax.recordings import Interval, Recording, same_rate
from mer_jax.spotting import Found
from mer_jax.spotting.intervals import peak, strength
from mer_jax.spotting.networks import Emotions, Trained
from mer_jax.training import initialization

_Verdict = msgspec.defstruct("_Verdict", [("leaks", list[dict[str, Any]])])
_Metrics = msgspec.defstruct("_Metrics", [("verdict", _Verdict)])


def held_out(folds: Folds, names: Sequence[str], subject: str) -> tuple[int, ...]:
    """The rows of networks whose fold neither trained nor validated on a subject.

    Args:
      folds: of a run.
      names: of each network, its fold.
      subject: "database/subject".
    """
    own = np.array([normalize_subject(each) for each in folds.subjects])
    own = own == normalize_subject(subject)
    saw = ((folds.train | folds.validation) & own[None, :]).any(1)
    unseen = {name for name, seen in zip(folds.names, saw) if not seen}
    return tuple(row for row, name in enumerate(names) if name in unseen)


class Recognizer(NamedTuple):
    """The networks of a finished run, and which of them may label each subject."""

    networks: TrainedNetworks
    rows: Mapping[str, tuple[int, ...]]  # subject_key -> rows of `networks.folds`
    leaks: Sequence[Mapping[str, Any]]  # of the run, as in its metrics.json
    profile: DatasetProfile | None  # of its clips, if the run has one

    @property
    def classes(self) -> tuple[str, ...]:
        """The emotions it predicts."""
        return self.networks.classes

    def truths(self, recordings: Iterable[Recording]) -> list[Event]:
        """The marked intervals with the class that the run's label scheme gives them, or ""."""
        videos = list(recordings)
        return marked(videos, label_intervals(videos, self.networks.config.data.label_scheme))

    def check(self, recordings: Sequence[Recording]) -> None:
        """Raises `UserError` for frames of another shape than those of the run's clips."""
        if self.profile is None:
            return
        own = *self.profile.size, self.profile.channels
        for video in recordings:
            if (shape := video[0].shape) != own:
                of_video, of_run = (" x ".join(map(str, each)) for each in (shape, own))
                raise UserError(
                    f"{video.key}: its frames are {of_video} (height, width, channels), those of "
                    f"the recognition run {of_run}; prepare both alike (long videos of a database "
                    f"by data.crop_size={self.profile.size})"
                )

    def recognize(self, recordings: Sequence[Recording], found: Found) -> list[Event]:
        """The intervals of `found`, each with the most probable class.

        An interval that the end of its video cut is widened to the shortest training expression;
        frames are brought to the rate of the run's clips, as `mer-jax predict` does.
        """
        videos = {video.key: video for video in recordings}
        folds = {(fold.subject, fold.kind): fold for fold in found.folds}
        clips, rows = list[Clip](), list[tuple[int, ...]]()
        for event in found.events:
            video = videos[event.key]
            shortest = max(2, folds[video.subject_key, event.kind].shortest)
            apex = apex_of(found, video, event)
            clip = cut(video, event.kind, event.onset, apex, event.offset, shortest=shortest)
            clips.append(self._at_rate(clip))
            rows.append(self.rows[video.subject_key])
        best = self.networks.probabilities_of(clips, rows).argmax(1)
        return [
            event._replace(emotion=self.classes[label])
            for event, label in zip(found.events, best.tolist())
        ]

    def _at_rate(self, clip: Clip) -> Clip:
        """A clip of an interval at the rate of the run's clips."""
        rate = self.profile.fps if self.profile else 0
        if not rate or not clip.fps or same_rate(rate, clip.fps):
            return clip
        assert self.profile and clip.apex is not None
        again = clip_of(clip.frames, clip.apex, clip.fps, profile=self.profile, marked=True)
        last = len(again.read()) - 1
        return dataclasses.replace(
            clip, read=again.read, fps=again.fps, onset=0, apex=again.apex, offset=last
        )


def label_intervals(recordings: Sequence[Recording], scheme: str) -> Emotions:
    """The classes of a label scheme, and that of each marked interval.

    Raises `UserError` as `datasets.labels.label`, for a scheme of several labels, and where no
    interval has an emotion of it.
    """
    clips = [clip for video in recordings for clip in video.clips()]
    found = labels.label(scheme, [clip for clip in clips if clip.emotion])
    if not found.clips:
        raise UserError(
            f"no marked interval has an emotion of label scheme {scheme}; check the sheet of "
            "emotions, or leave out the section recognition"
        )
    if found.labels.ndim > 1:
        raise UserError(f"label scheme {scheme} gives several labels; an interval gets one")
    names = {clip.key: int(k) for clip, k in zip(found.clips, found.labels)}
    rows = {v.key: [names.get(clip.key, -1) for clip in v.clips()] for v in recordings}
    return Emotions(found.classes, rows)


def marked(recordings: Iterable[Recording], emotions: Emotions) -> list[Event]:
    """The marked intervals, each with its class or ""."""
    names = (*emotions.classes, "")  # -1: the last one
    return [
        event._replace(emotion=names[k])
        for video in recordings
        for event, k in zip(matching.events([video]), emotions.labels[video.key])
    ]


def apex_of(found: Found, video: Recording, event: Event) -> int:
    """The frame of the largest evidence in an interval."""
    return peak(strength(found.evidence[video.key, event.kind]), event.onset, event.offset)


def recognize_by_spotter(
    recordings: Sequence[Recording], found: Found, trained: Trained, emotions: Emotions
) -> list[Event]:
    """The intervals of `found`, each with the emotion that its own network sees at the apex; none
    of a kind without an emotion in the recordings that the network learned from."""
    index = {video.key: at for at, video in enumerate(recordings)}
    folds = {(fold.subject, fold.kind): fold for fold in trained.folds}
    taught = {
        (subject, kind): emotions.taught(
            (video for video in recordings if video.subject_key != subject), kind
        )
        for subject, kind in folds
    }
    events = []
    for event in found.events:
        at = index[event.key]
        video = recordings[at]
        if taught[own := (video.subject_key, event.kind)]:
            label_of = trained.emotion(folds[own], at)
            label = label_of[apex_of(found, video, event)]
            event = event._replace(emotion=emotions.classes[label])
        events.append(event)
    return events


def cut(video: Recording, kind: str, onset: int, apex: int, offset: int, *, shortest: int) -> Clip:
    """An interval as a clip of `shortest` frames or more."""
    lacking = max(0, shortest - (offset - onset + 1))
    onset = max(0, onset - lacking // 2)
    offset = min(video.length - 1, max(offset, onset + shortest - 1))
    onset = max(0, min(onset, offset - shortest + 1))
    interval = Interval(onset, apex, offset, kind)
    (clip,) = dataclasses.replace(video, intervals=(interval,)).clips()
    return clip


def load(workdir: str | pathlib.Path, subjects: Iterable[str]) -> Recognizer:
    """Loads a finished run of recognition for the test subjects of a spotting run.

    Args:
      workdir: of the run.
      subjects: "database/subject" of each test subject.

    Raises:
      UserError: no finished run, a run of action units, or a subject that each of its folds was
        trained on.
    """
    workdir = reading.expanded(workdir)
    networks = trained.read(workdir)
    if networks.label_scheme:
        raise UserError(f"{workdir} recognizes action units; spotted intervals get one emotion")
    folds = Folds.read(workdir / "folds.json")
    rows = {subject: held_out(folds, networks.folds, subject) for subject in subjects}
    for subject in [subject for subject, own in rows.items() if not own]:
        if diverged := held_out(folds, folds.names, subject):
            name = folds.names[diverged[0]]
            raise UserError(f"training of fold {name} in {workdir} diverged, or was not saved")
    if start := networks.config.train.init_from:
        saw = initialization.trained_on(start, networks.folds)
        rows = {
            subject: tuple(row for row in own if normalize_subject(subject) not in saw[row])
            for subject, own in rows.items()
        }
    if seen := [subject for subject, own in rows.items() if not own]:
        raise UserError(
            f"each fold of the recognition run {workdir} was trained on {first_of(seen)}, "
            "which spotting tests; give a run that leaves out each subject once "
            "(protocol.name=loso)"
        )
    verdict = reading.load_json(workdir / "metrics.json", _Metrics).verdict
    own = profile.read(workdir) if (workdir / profile.FILENAME).is_file() else None
    return Recognizer(networks, rows, verdict.leaks, own)
