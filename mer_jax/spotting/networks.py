"""Spotting by networks: the folds of a kind as one job.

Folds of one span share their samples and are trained together by `training.fit`: inputs as in
`samples`, targets as in `targets`, folds as in `sample_folds`, strict (last epoch, or the best of
validation subjects). Their weights are written to FOLDER/KIND_SPAN/SUBJECT-KIND.npz, from which
`scorers` reads them again.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mer_jax import leakage, runtime
from mer_jax.errors import UserError
from mer_jax.io import learning_curves, saving
from mer_jax.methods import Examples, example_cache
from mer_jax.protocols import Folds
from mer_jax.recordings import KINDS, Recording
from mer_jax.spotting import sample_folds, samples, targets
from mer_jax.spotting.protocol import plan
from mer_jax.spotting.sample_folds import Samples
from mer_jax.spotting.samples import NetworkEvidence
from mer_jax.spotting.scorers import Architecture, Scorer, network_of
from mer_jax.training import Checkpointing, Hooks, Parallel, Result, Settings, fit, records
from mer_jax.training.records import State
from mer_jax.training.spotter_files import Fold, group_name, read_weights, weights_file

_WINDOW = 256  # frames that a window of regions scores (PEM, AUW-GCN)
_RATE = 25.0  # Hz, at which the authors of AUW-GCN read SAMM Long Videos (200 Hz)
_RATES = (24.0, 36.0)


def grid(duration: int) -> int:
    """Half of a mean duration, rounded to 2^n or 3 * 2^n frames: folds share their samples.

    Of two that are equally near it is the smaller.

    >>> [grid(duration) for duration in (2, 10, 13, 40, 54)]
    [1, 4, 6, 16, 24]
    """
    steps = sorted(factor * 2**n for factor in (1, 3) for n in range(16))
    return min(steps, key=lambda step: (abs(step - duration / 2), step))


class Emotions(NamedTuple):
    """What a network that recognizes as well learns of the marked intervals."""

    classes: tuple[str, ...]
    labels: Mapping[str, Sequence[int]]  # Recording.key -> class of each interval, -1: none

    def taught(self, recordings: Iterable[Recording], kind: str) -> bool:
        """Whether an expression of `kind` in these recordings has a class."""
        return any(
            each.kind == kind and label >= 0
            for video in recordings
            for each, label in zip(video.intervals, self.labels[video.key])
        )


@dataclasses.dataclass(eq=False)
class Trained:
    """The networks of all folds of a job, and their outputs for its recordings."""

    folds: Sequence[Fold]  # without their p
    scorers: dict[str, Scorer] = dataclasses.field(default_factory=dict)  # by Fold.name
    # Fold.name -> indices of the recordings whose intervals choose p
    chosen_on: dict[str, Sequence[int]] = dataclasses.field(default_factory=dict)
    # KIND_SPAN -> what its folds recorded
    results: dict[str, Result] = dataclasses.field(default_factory=dict)
    # such as one recording under two names
    leaks: list[leakage.Leak] = dataclasses.field(default_factory=list)
    # (frames, outputs) of the samples, and frames of the recording
    _scores: dict[tuple[str, int], tuple[Any, int]] = dataclasses.field(default_factory=dict)
    _emotion: dict[tuple[str, int], np.ndarray] = dataclasses.field(default_factory=dict)

    def evidence(self, fold: Fold, index: int) -> np.ndarray:
        """Of a recording that the fold tests or is `chosen_on`: [T], or [T, 3] of "regions"."""
        part, length = self._scores[fold.name, index]
        return self.scorers[fold.name].of_frames([part], length)

    def emotion(self, fold: Fold, index: int) -> np.ndarray:
        """[T] int, the class at each frame of a recording that the fold tests, of a network that
        recognizes as well."""
        return self._emotion[fold.name, index]

    def add(
        self, fold: Fold, scorer: Scorer, found: Samples, validation: Sequence[int], emotions: bool
    ) -> None:
        """Adds a fold's network, and its outputs for the recordings that it may be applied to.

        validation: indices of the recordings of its validation subjects; they choose p if they have
        an expression of the kind, otherwise those of all training subjects do.
        """
        subjects = [video.subject_key for video in found.recordings]
        train = [at for at, subject in enumerate(subjects) if subject != fold.subject]
        judged = any(found.recordings[at].of_kind(fold.kind) for at in validation)
        chosen_on = self.chosen_on[fold.name] = validation if judged else train
        self.scorers[fold.name] = scorer
        for at, (frames, inputs) in enumerate(found.parts):
            if at in chosen_on or at not in train:
                part, length = (frames, scorer.samples(inputs)), found.recordings[at].length
                self._scores[fold.name, at] = part, length
                if emotions and at not in train:
                    of_frames = samples.emotions_of_frames([part], length)
                    self._emotion[fold.name, at] = of_frames.argmax(1)


# Nine parameters: of the samples (four), of the network (two), and those of `training.fit` (three).
@runtime.pinned()
def train(
    recordings: Sequence[Recording],
    architecture: Architecture,
    settings: Settings,
    evidence: NetworkEvidence,
    *,
    checkpointing: Checkpointing,
    kinds: Sequence[str] = KINDS,
    emotions: Emotions | None = None,
    parallel: Parallel | None = None,
    hooks: Hooks | None = None,
) -> Trained:
    """Trains a network for each subject, on the others, and kind.

    A network of the pairs "regions" scores both kinds, and is trained once for them.

    Args:
      recordings, kinds: as in `plan`.
      architecture: of the network.
      settings: how to train.
      evidence: the samples and their targets.
      checkpointing: its directory gets a folder of each kind and span: weights, checkpoints,
        learning curves, and what `sample_folds.replay` reads.
      emotions: of a network that recognizes as well (SFAMNet): its first output is the score, the
        others are these classes and neutral; the loss is "spot_recognize".
      parallel: as in `training.fit`.
      hooks: likewise `should_stop` and `quiet`.

    Raises:
      UserError: a recording that is shorter than a sample, settings that select on test subjects.
      training.Interrupted: see `Hooks.should_stop`.
    """
    _check(settings, evidence, emotions)
    check_rates(evidence.targets, recordings)
    folder = pathlib.Path(checkpointing.directory)
    storage = example_cache.stage().storage
    window = _WINDOW if evidence.pairs == samples.REGIONS else 0
    span_of = lambda mean: evidence.span or window or grid(mean)
    trained = Trained(plan(recordings, kinds=kinds, span_of=span_of))
    own = {fold: network_of(fold, evidence.pairs) for fold in trained.folds}
    networks = list(dict.fromkeys(own.values()))  # each is trained once
    # Of "regions" there is one group, and the landmarks are those of the frames as they are.
    videos = recordings if window else samples.resized(recordings, evidence.size, storage)
    for name in dict.fromkeys(map(group_name, networks)):
        group = [fold for fold in networks if group_name(fold) == name]
        sampling = evidence.sampling(group[0].span)
        # Nothing of this group is trained yet: a signal may end the process at once.
        (hooks or Hooks()).nothing_to_save()
        found = sample_folds.collect(videos, sampling, storage)
        of_kind: dict[str, Any] = {"kind": group[0].kind, "offsets": sampling.offsets}
        labels = scores = _targets(found, targets.TARGETS[evidence.targets], **of_kind)
        if emotions:
            classes = lambda video: {"classes": emotions.labels[video.key]}
            every = _targets(
                found, targets.emotions, classes, **of_kind, count=len(emotions.classes)
            )
            labels = np.concatenate([scores, every], axis=1)
        network = architecture._replace(outputs=labels.shape[1])
        rows = sample_folds.over_samples(
            found, group, scores, settings, drop_zeros=evidence.drop_zeros
        )
        saved = dataclasses.replace(checkpointing, directory=folder / name)
        examples = evidence.examples(found.inputs)
        result = trained.results[name] = _fit(
            examples, labels, rows, settings, network, group, saved, parallel, hooks
        )
        sample_folds.save_audit(folder / name, found, rows, scores, result)
        # Still frames of two recordings may be equal; two recordings may not.
        contents = [digest for _, x in found.parts for digest in [saving.digest(x)] * len(x)]
        trained.leaks += leakage.check(settings, rows, result, contents)
        validation = dict(zip(group, rows.validation[:, found.starts]))
        for fold in [fold for fold in trained.folds if own[fold] in validation]:
            weights = read_weights(weights_file(folder, own[fold]))
            scorer = Scorer(sampling, network, evidence.normalize, weights, fold.kind)
            of_validation = np.flatnonzero(validation[own[fold]]).tolist()
            trained.add(fold, scorer, found, of_validation, emotions is not None)
        del found, examples  # before the samples of the next span are computed
    return trained


def check_rates(name: str, recordings: Sequence[Recording]) -> None:
    """Raises `UserError` for recordings of a rate that the targets of this name do not suit."""
    low, high = _RATES
    for video in recordings if name == "boundaries" else ():
        if not low <= video.fps <= high:
            step = max(1, round(video.fps / _RATE))
            way = f", by data.step={step} (of databases on disk)" if step > 1 else ""
            raise UserError(
                f"{video.key} has {video.fps:g} Hz; the targets 'boundaries' (PEM, AUW-GCN) count "
                f"in frames of {low:g} to {high:g} Hz: give recordings of such a rate{way}"
            )


def _check(settings: Settings, evidence: NetworkEvidence, emotions: Emotions | None) -> None:
    """Raises `UserError` for settings that spotting does not have, or that do not fit together."""
    if settings.as_published:
        raise UserError(
            "spotting selects nothing on test subjects: train.model_selection is 'last' or "
            "'best_val', and train.statistics_on_all_clips False"
        )
    if settings.init_from:
        raise UserError(
            "spotting trains its networks from fresh weights; leave train.init_from empty"
        )
    if len(settings.variants) > 1:
        raise UserError("spotting trains one seed and learning rate a job; run it again for others")
    boundaries = evidence.targets == "boundaries"
    if (evidence.pairs == samples.REGIONS) != boundaries:
        raise UserError("evidence.pairs='regions' and evidence.targets='boundaries' go together")
    own_loss = ":" in settings.loss
    if not own_loss and (settings.loss == "boundary_focal") != boundaries:
        raise UserError("train.loss='boundary_focal' and evidence.targets='boundaries' go together")
    if (settings.loss == "spot_recognize") != (emotions is not None):
        raise UserError("train.loss='spot_recognize' and recognition.spotter=True go together")
    if evidence.reverse and evidence.pairs != "two":
        raise UserError(
            f"evidence.reverse is for pairs 'two'; those of this job are {evidence.pairs!r}"
        )


def _targets(
    found: Samples,
    function: Callable[..., np.ndarray],
    more: Callable[[Recording], dict[str, Any]] = lambda _: {},
    **options,
) -> np.ndarray:
    """[N, K] float32: `function` of each recording and the frames of its samples."""
    each = [
        function(video, frames, **options, **more(video))
        for video, (frames, _) in zip(found.recordings, found.parts)
    ]
    return np.concatenate(each).reshape(len(found.inputs), -1)


# Nine parameters: those of `train` for one group of folds.
def _fit(
    examples: Examples,
    labels: np.ndarray,
    rows: Folds,
    settings: Settings,
    network: Architecture,
    group: Sequence[Fold],
    checkpointing: Checkpointing,
    parallel: Parallel | None,
    hooks: Hooks | None,
) -> Result:
    """Trains a group of folds and writes their weights to the folder of `checkpointing`."""
    folder = pathlib.Path(checkpointing.directory)
    made = {"samples": saving.digest(examples.inputs, labels), "folds": rows.fingerprint}
    fingerprint = {**checkpointing.job_fingerprint, **made}

    def write(members: range, state: State) -> None:
        chosen = state.best or (state.params, state.model_state)
        trees = dict(zip(("params", "model_state"), chosen), statistics=state.statistics)
        leaves = records.named_leaves(trees)
        # Keys and counters of dropout stay out: they are not needed to predict.
        real = {name: np.asarray(a) for name, a in leaves.items() if a.dtype == np.float32}
        for row, index in enumerate(members):
            arrays = {name: array[row] for name, array in real.items()}
            with saving.atomic(weights_file(folder.parent, group[index])) as path:
                np.savez(path, **arrays)

    folder.mkdir(parents=True, exist_ok=True)
    with learning_curves.jsonl_writer(folder / "metrics.jsonl") as line:
        (result,) = fit(
            examples,
            labels,
            [rows],
            settings,
            num_classes=network.outputs,
            build=network.build(examples.input_shape),
            parallel=parallel,
            checkpointing=dataclasses.replace(
                checkpointing, directory=folder / "checkpoints", job_fingerprint=fingerprint
            ),
            hooks=dataclasses.replace(
                hooks or Hooks(quiet=True),
                on_epoch_end=lambda _, record: line(record),
                on_trained=write,
            ),
        )
    return result
