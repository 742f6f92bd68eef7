"""The spotters of a finished run: what its folds have fitted, for any recording.

for ensemble in trained.load("runs/spotting"):
    evidence = ensemble.evidence(recording)  # [T], streamed
    ends = ensemble.intervals(evidence, recording.fps)  # [M, 2] frames
"""

import dataclasses
import math
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np
from ml_collections import ConfigDict

from mer_jax import configuration, runtime
from mer_jax.errors import UserError
from mer_jax.io import reading
from mer_jax.recordings import Recording, same_rate
from mer_jax.spotting import evidence as evidences
from mer_jax.spotting import samples, scorers
from mer_jax.spotting.intervals import Rule
from mer_jax.spotting.samples import NetworkEvidence
from mer_jax.spotting.scorers import Architecture, Scorer
from mer_jax.training.spotter_files import NETWORKS, SPOTTERS, Fold, read_folds, read_record

_FRAME_TO_FRAME = (samples.REGIONS, "two_spans")  # pairs with a flow that is one frame long
_FEWEST = 3  # frames that the mean expression has at least
RECOGNITION = "recognition"  # the run that labels the intervals, if the job trained it


@dataclasses.dataclass(frozen=True, eq=False)
class Ensemble:
    """All folds of a run for one kind of expression; a new subject is in none of them.

    Evidence is the mean of the folds'; p and durations are their medians. At another frame rate,
    spans and durations are of as many seconds.
    """

    kind: str
    folds: Sequence[Fold]
    rule: Rule
    config: ConfigDict
    scorers: Sequence[Scorer]  # of each fold; none without a network
    classes: Sequence[str] = ()  # emotions, of a network that recognizes as well
    eyes: tuple[float, float, float, float] | None = None  # of `inference.profile.Framing`
    largest: float = math.inf  # px: likewise, of this kind

    def at_rate(self, fps: float) -> "Ensemble":
        """The same for recordings of `fps` Hz: durations and spans in their frames.

        Raises `UserError` for a rate at which the networks see other flows, or expressions last
        less than three frames.
        """
        own = self.folds[0].fps
        other = any(not same_rate(fold.fps, fps) for fold in self.folds)
        if other and any(s.sampling.pairs in _FRAME_TO_FRAME for s in self.scorers):
            raise UserError(
                f"this run's networks take the flow from frame to frame at {own:g} "
                f"Hz; the video has {fps:g} Hz: resample it"
            )
        lasts = self._median("duration") * fps / own
        if fps < own and not same_rate(fps, own) and lasts < _FEWEST:
            raise UserError(
                f"at {fps:g} Hz a {self.kind}-expression of this run's videos ({own:g} Hz) lasts "
                f"{lasts:.1f} frames, and {_FEWEST} are needed; give a video of "
                f"{math.ceil(_FEWEST * own / self._median('duration'))} Hz or more"
            )

        def scale(count: int, fold: Fold) -> int:
            return count if same_rate(fps, fold.fps) else max(1, round(count * fps / fold.fps))

        lengths = ("duration", "shortest", "longest", "span")
        scaled = lambda fold: {name: scale(getattr(fold, name), fold) for name in lengths}
        folds = [
            fold._replace(fps=fps, **scaled(fold))  # type: ignore[arg-type]
            for fold in self.folds
        ]
        scorers = [
            dataclasses.replace(
                scorer,
                sampling=dataclasses.replace(
                    scorer.sampling, span=new.span, stride=scale(scorer.sampling.stride, old)
                ),
            )
            for scorer, old, new in zip(self.scorers, self.folds, folds)
        ]
        return dataclasses.replace(self, folds=folds, scorers=scorers)

    @runtime.pinned()
    def evidence(self, recording: Recording) -> np.ndarray:
        """The smoothed evidence of a recording, [T] float64, in constant memory.

        Raises `UserError` for a recording shorter than what one frame depends on.
        """
        return self.evidence_and_emotions(recording)[0]

    @runtime.pinned()
    def evidence_and_emotions(self, recording: Recording) -> tuple[np.ndarray, np.ndarray]:
        """`evidence`, and the probabilities [T, K] of `classes` at each frame."""
        if any(fold.fps != recording.fps for fold in self.folds):
            return self.at_rate(recording.fps).evidence_and_emotions(recording)
        found = list(self._each(recording))
        values, emotions = (np.mean([each[side] for each in found], axis=0) for side in (0, 1))
        return self.rule.smooth(values, self._median("duration")), emotions

    def intervals(self, evidence: np.ndarray, fps: float) -> np.ndarray:
        """[M, 2] onset and offset (frames, both included) in the evidence [T] at `fps` Hz."""
        own = self.at_rate(fps)
        lengths = (own._median(name) for name in ("duration", "shortest", "longest"))
        return own.rule.intervals(evidence, own.p, *lengths)

    def shortest(self, fps: float) -> int:
        """Frames at `fps` Hz of the shortest training expression (median of folds); at least 2."""
        return max(2, self.at_rate(fps)._median("shortest"))

    def reach(self, fps: float) -> int:
        """Frames at `fps` Hz before and after a frame that its smoothed evidence depends on."""
        own, offsets = self.at_rate(fps), list[int]()
        for scorer in own.scorers:  # between samples it is interpolated
            offsets += [abs(each) + scorer.sampling.stride - 1 for each in scorer.sampling.offsets]
        if not own.scorers:
            kind = evidences.EVIDENCE[own.config.evidence.name]
            for fold in own.folds:
                around = fold.span - 1 if kind.finish else 0
                offsets += [abs(each) + around for each in kind.offsets(fold.span)]
        share = own.rule.smoothing if own.rule.name == "peaks" else 0.0
        return max(map(abs, offsets)) + round(share * own._median("duration")) // 2

    @property
    def p(self) -> float:
        """The median p of the folds."""
        return float(np.median([fold.p for fold in self.folds]))

    def _median(self, name: str) -> int:
        return round(float(np.median([getattr(fold, name) for fold in self.folds])))

    def _each(self, recording: Recording) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The evidence [T] and the emotions [T, K] of each fold; folds of one sampling share the
        samples."""
        none = np.zeros((recording.length, 0), np.float32)
        if not self.scorers:
            options = configuration.options_of(self.config, "evidence")
            name = self.config.evidence.name
            for span in dict.fromkeys(fold.span for fold in self.folds):
                found = evidences.compute(
                    recording,
                    evidence=name,
                    **options | {"span": max(2 if evidences.EVIDENCE[name].finish else 1, span)},
                )
                yield from [(found, none)] * sum(fold.span == span for fold in self.folds)
        for sampling in dict.fromkeys(scorer.sampling for scorer in self.scorers):
            group = [scorer for scorer in self.scorers if scorer.sampling == sampling]
            parts: list[list] = [[] for _ in group]
            for frames, inputs in samples.stream(recording, sampling):
                for part, scorer in zip(parts, group):
                    part.append((frames, scorer.samples(inputs)))
            for part, scorer in zip(parts, group):
                emotions = none
                if self.classes:
                    emotions = samples.emotions_of_frames(part, recording.length)
                yield scorer.of_frames(part, recording.length), emotions


def recognition_run(workdir: pathlib.Path) -> pathlib.Path | None:
    """The run that labels the intervals of the run in `workdir`; None if there is none.

    Raises `UserError` if it is not there.
    """
    config, own = configuration.load(workdir / "config.json"), workdir / RECOGNITION
    trained_here = configuration.recognition_job(config) is not None
    if not trained_here and not config.recognition.run:
        return None
    run = own if trained_here else reading.expanded(config.recognition.run)
    if not run.is_dir():
        raise UserError(
            f"{run}, the run that labels the intervals of {workdir}, is not there; copy "
            + ("the whole folder of the job" if trained_here else "it there (recognition.run)")
        )
    return run


def load(workdir: str | pathlib.Path) -> list[Ensemble]:
    """The spotters of a finished run, one for each kind of expression. Folds whose training
    diverged are left out.

    Raises `UserError` if `workdir` is no finished spotting run, or a file of it is damaged.
    """
    workdir = reading.expanded(workdir)
    for name in ("config.json", SPOTTERS):
        if not (workdir / name).is_file():
            raise UserError(f"{workdir} is no finished spotting run ({name} is not there)")
    config = configuration.load(workdir / "config.json")
    if not configuration.is_spotting(config):
        raise UserError(f"{workdir} is a run of recognition; its config.json has no evidence")
    folds, record, found = read_folds(workdir), read_record(workdir), []
    classes = tuple(record.classes)
    for kind in dict.fromkeys(fold.kind for fold in folds):
        own = [fold for fold in folds if fold.kind == kind]
        networks: list[Scorer] = []
        if "model" in config:
            sizes = configuration.options_of(config, "model")
            outputs = 2 + len(classes) if classes else 1  # a score; emotions and neutral
            architecture = Architecture(config.model.name, sizes, outputs)
            evidence = NetworkEvidence(**configuration.options_of(config, "evidence"))
            folder = workdir / NETWORKS
            name_of = lambda fold, pairs=evidence.pairs: scorers.network_of(fold, pairs).name
            own = [fold for fold in own if name_of(fold) not in record.diverged]
            networks = [scorers.read(folder, fold, architecture, evidence) for fold in own]
        rule = configuration.rule(config)
        largest = record.largest.get(kind, math.inf) if record.eyes else math.inf
        known = classes if kind in record.recognized else ()
        ensemble = Ensemble(kind, own, rule, config, networks, known, record.eyes, largest)
        found += [ensemble] if own else []
    if not found:
        raise UserError(f"{workdir}: training of all folds diverged")
    return found
