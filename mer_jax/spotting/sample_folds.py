"""The folds of networks over the samples of recordings, and the record that an audit replays."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import jax
import msgspec
import numpy as np

from mer_jax import leakage, runtime
from mer_jax.faces.landmarker import landmarker
from mer_jax.io import large_arrays, reading, saving
from mer_jax.options import checked
from mer_jax.protocols import Folds, with_validation
from mer_jax.recordings import Recording
from mer_jax.spotting import per_recording, samples
from mer_jax.spotting.samples import Sampling
from mer_jax.spotting.targets import shows_expression
from mer_jax.training import Result, Settings, rng
from mer_jax.training.spotter_files import Fold

_Counts = msgspec.defstruct("_Counts", [("samples", list[int])])  # of a group's folds.json


class Samples(NamedTuple):
    """The samples of recordings, N in all."""

    recordings: Sequence[Recording]
    inputs: np.ndarray  # [N, H, W, C]
    parts: Sequence[tuple[np.ndarray, np.ndarray]]  # of each, frames [M] and its [M, H, W, C]

    @property
    def counts(self) -> list[int]:
        """How many samples each recording has."""
        return [len(frames) for frames, _ in self.parts]

    @property
    def starts(self) -> np.ndarray:
        """[recordings]: the index of the first sample of each."""
        return np.cumsum([0, *self.counts[:-1]])


def collect(
    recordings: Sequence[Recording], sampling: Sampling, storage: large_arrays.Storage
) -> Samples:
    """The samples of all recordings, cached, and in memory once, or mapped: those of a recording
    are copied to their rows, and the parts are views."""
    frames = [samples.frames_of(video, sampling) for video in recordings]
    ends = np.cumsum([len(each) for each in frames])
    model = ""
    if sampling.pairs == samples.REGIONS and sampling.landmarks:
        path = reading.expanded(sampling.landmarks).absolute()
        landmarker(path)  # raises for a file that is no model
        model = saving.digest(path.read_bytes())
        sampling = dataclasses.replace(sampling, landmarks=str(path))
    options = dataclasses.asdict(sampling)
    computed = per_recording.compute(
        recordings, samples.collected, options, group="samples", depends_on=model
    )
    blocks = (entry["maps"] for entry in computed)
    rows = large_arrays.joined(blocks, int(ends[-1]), storage=storage)
    return Samples(recordings, rows, list(zip(frames, np.split(rows, ends[:-1]))))


@checked
def over_samples(
    found: Samples,
    group: Sequence[Fold],
    targets: np.ndarray,
    settings: Settings,
    *,
    drop_zeros: float = 0.0,
) -> Folds:
    """The folds over samples: the test subject's are tested, all others' trained on.

    Args:
      found: N samples.
      group: the folds.
      targets: [N, K]; 0 without overlap.
      settings: of the training.
      drop_zeros: share of the training samples without an expression that a fold leaves out at
        random.
    """
    pairs = list(zip(found.recordings, found.parts))
    subjects = [video.subject_key for video, (frames, _) in pairs for _ in frames]
    test = np.array([np.array(subjects) == fold.subject for fold in group])
    folds = Folds(
        names=tuple(fold.name for fold in group),
        clips=tuple(f"{video.key}@{at}" for video, (frames, _) in pairs for at in frames),
        subjects=tuple(subjects),
        train=~test,
        test=test,
        validation=np.zeros_like(test),
    )
    if settings.validation:
        folds = with_validation(folds, fraction=settings.validation, seed=settings.seed)
    return _without_zeros(folds, targets, settings, drop_zeros)


def _without_zeros(folds: Folds, targets: np.ndarray, settings: Settings, share: float) -> Folds:
    """Folds that leave out a share of the training samples without an expression, at random."""
    if not share:
        return folds
    zero, keep = ~shows_expression(targets), []
    for name in folds.names:
        key = rng.fold_in_name(rng.fold_key(settings.seed, name), "drop zeros")
        keep.append(~zero | (np.asarray(jax.random.uniform(key, zero.shape)) >= share))
    return dataclasses.replace(folds, train=folds.train & np.stack(keep))


def save_audit(
    folder: pathlib.Path, found: Samples, rows: Folds, targets: np.ndarray, result: Result
) -> None:
    """Writes what `replay` reads: the folds over recordings, and what was recorded of samples."""
    test, validation = rows.test[:, found.starts], rows.validation[:, found.starts]
    folds = Folds(
        rows.names,
        tuple(video.key for video in found.recordings),
        tuple(video.subject_key for video in found.recordings),
        train=~(test | validation),
        test=test,
        validation=validation,
    )
    saving.write_json(folder / "folds.json", folds.to_json() | {"samples": found.counts})
    leakage.save_audit(folder / "audit.npz", targets, 1, result)


@checked
@runtime.pinned()
def replay(
    folder: pathlib.Path, settings: Settings, *, drop_zeros: float = 0.0
) -> tuple[Folds, list[str]]:
    """Draws the batches of a finished group of folds again, as `leakage.replay`.

    Args:
      folder: of a kind and span, FOLDER/KIND_SPAN of `networks.train`.
      settings, drop_zeros: as of the training.

    Returns:
      Its folds over recordings, and one sentence for each disagreement.

    Raises:
      UserError: a file is missing or damaged.
    """
    path = folder / "folds.json"
    folds = Folds.read(path)
    counts = reading.load_json(path, _Counts).samples
    with reading.report_damage(path):
        each = np.repeat(np.arange(len(folds.clips)), counts)
    rows = Folds(
        folds.names,
        tuple(f"{folds.clips[at]} sample {number}" for number, at in enumerate(each)),
        tuple(folds.subjects[at] for at in each),
        folds.train[:, each],
        folds.test[:, each],
        folds.validation[:, each],
    )
    targets = leakage.read_audit(folder / "audit.npz", rows)["labels"]
    rows = _without_zeros(rows, targets, settings, drop_zeros)
    return folds, leakage.replay(folder / "audit.npz", settings, rows)
