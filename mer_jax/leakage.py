"""The leakage check: verifies that test clips had no part in training.

Leakage is prevented by design; this module verifies it from what a job records on the device: the
times that each clip was in a batch, and the clips in the statistics. `check` compares them with the
folds after each job, `replay` draws the batches again from the seed and compares them with the
files of a finished job.
"""

import enum
import itertools
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import msgspec
import numpy as np

from mer_jax import runtime
from mer_jax.errors import UserError
from mer_jax.io import reading, saving
from mer_jax.protocols import Folds
from mer_jax.training import initialization, rng
from mer_jax.training.records import Result
from mer_jax.training.settings import Settings

_FIELDS = {  # name in a file of `save_audit` -> field of `Result`
    "sample_counts": "sample_counts",
    "statistics_mask": "statistics_mask",
    "epochs": "epochs_run",
    "chosen": "chosen_epoch",
    "validation_loss": "validation_loss",
}


class Reason(enum.StrEnum):
    """How test clips affected their own scores."""

    EPOCH = "epoch"  # `train.model_selection="best_test"` selected each fold's epoch
    STOPPING = "stopping"  # it also ended training, or lowered the learning rate
    STATISTICS = "statistics"  # `train.statistics_on_all_clips`
    SUBJECTS = "subjects"  # a subject is in training and in test, or in validation
    PRETRAINING = "pretraining"  # `train.init_from` is a run that was trained on tested subjects
    UNVERIFIED = "unverified"  # `train.init_from` has classifiers that were trained elsewhere
    THRESHOLD = "threshold"  # `intervals.p` of spotting is fixed, not chosen on training subjects
    DUPLICATE = "duplicate"  # a fold trains on a duplicate of a test clip, or validates on one


class Leak(msgspec.Struct, frozen=True, omit_defaults=True):
    """A declared leak; `reporting.verdict.sentence` renders it."""

    reason: Reason
    run: str = ""  # PRETRAINING: its working directory; UNVERIFIED: of the weights
    count: int = 0  # PRETRAINING: tested subjects that it was trained on
    fold: str = ""  # DUPLICATE: the fold, and the keys of the two clips
    train_clip: str = ""
    test_clip: str = ""
    p: float | None = None  # THRESHOLD

    def to_json(self) -> dict[str, Any]:
        """The fields that are set, as JSON values.

        >>> Leak(Reason.PRETRAINING, run="runs/macro", count=3).to_json()
        {'reason': 'pretraining', 'run': 'runs/macro', 'count': 3}
        """
        return msgspec.to_builtins(self)


class LeakError(UserError):
    """A test clip had a part in training that no setting declares."""


def check(settings: Settings, folds: Folds, result: Result, digests: Sequence[str]) -> list[Leak]:
    """Verifies a finished job of F folds over N clips.

    Args:
      settings: that it was trained with.
      folds: its folds.
      result: of its training.
      digests: [N], of the examples, to find duplicates under other names.

    Returns:
      The declared leaks; none if the job is strict.

    Raises:
      LeakError: if a test or validation clip was trained on, or is in the statistics without
        `train.statistics_on_all_clips`, or an epoch was selected other than by
        `train.model_selection`.
    """
    if sentence := next(_undeclared(settings, folds, _record(result)), ""):
        raise LeakError(sentence)
    return declared(settings, folds) + find_duplicates(folds, digests)


def declared(settings: Settings, folds: Folds) -> list[Leak]:
    """The leaks that follow from a job's settings and folds; see `check`."""
    found = []
    if settings.model_selection == "best_test":
        stopping = settings.early_stopping_patience or settings.lr_plateau_patience
        found.append(Leak(Reason.STOPPING if stopping else Reason.EPOCH))
    if settings.statistics_on_all_clips:
        found.append(Leak(Reason.STATISTICS))
    if not folds.subject_disjoint:
        found.append(Leak(Reason.SUBJECTS))
    run = settings.init_from
    if run and (count := initialization.pretraining_overlap(run, folds)):
        found.append(Leak(Reason.PRETRAINING, run=run, count=count))
    if run and initialization.trained_elsewhere(run):
        found.append(Leak(Reason.UNVERIFIED, run=run))
    return found


def find_duplicates(folds: Folds, digests: Sequence[str]) -> list[Leak]:
    """The first fold with duplicates in two of its training, validation and test clips.

    Args:
      folds: over N clips.
      digests: [N], of the examples; clips with equal ones are duplicates.

    Returns:
      One `Leak` with the two clips, or none.

    >>> folds = Folds(
    ...     names=("s1",), clips=("a", "b"), subjects=("s1", "s2"), train=np.array([[False, True]]),
    ...     test=np.array([[True, False]]), validation=np.zeros((1, 2), bool),
    ... )
    >>> find_duplicates(folds, ["f00d", "f00d"])[0].to_json()
    {'reason': 'duplicate', 'fold': 's1', 'train_clip': 'b', 'test_clip': 'a'}
    """
    code = np.unique(np.asarray(digests), return_inverse=True)[1]
    for name, *rows in zip(folds.names, folds.train, folds.validation, folds.test):
        for pair in itertools.combinations(rows, 2):
            shared = np.intersect1d(*(code[row] for row in pair))
            if shared.size:
                one, other = (
                    folds.clips[np.flatnonzero(row & (code == shared[0]))[0]] for row in pair
                )
                return [Leak(Reason.DUPLICATE, fold=name, train_clip=one, test_clip=other)]
    return []


def save_audit(
    path: str | pathlib.Path, labels: np.ndarray, repeats_per_epoch: int, result: Result
) -> None:
    """Writes what `replay` needs in addition to config.json and folds.json.

    Args:
      path: of the .npz file.
      labels: [N] or [N, K].
      repeats_per_epoch: how often a clip occurs in an epoch.
      result: of the job.
    """
    with saving.atomic(path) as temporary:
        np.savez_compressed(
            temporary, labels=labels, repeats_per_epoch=repeats_per_epoch, **_record(result)
        )


def read_audit(path: str | pathlib.Path, folds: Folds) -> dict[str, np.ndarray]:
    """The arrays of `save_audit`, of a job with these folds. Raises `UserError` if damaged."""
    num_folds, clips = folds.train.shape
    schema = {
        "sample_counts": ("i", (num_folds, clips)),
        "statistics_mask": ("b", (num_folds, clips)),
        "labels": ("iuf", (clips, ...)),
        "repeats_per_epoch": ("i", ()),
        "epochs": ("i", (num_folds,)),
        "chosen": ("i", (num_folds,)),
        "validation_loss": ("f", (num_folds, None)),
    }
    record = reading.load_arrays(path, schema)
    epochs = record["validation_loss"].shape[1]
    # Beyond these a replay would take all memory, or never end.
    limits = {"labels": 999, "repeats_per_epoch": 9999, "epochs": epochs, "chosen": epochs}
    for name, limit in limits.items():
        value = record[name]
        if value.size and not 0 <= value.min() <= value.max() <= limit:
            raise UserError(
                f"{path} is damaged ({name} is beyond 0 to {limit}); {reading.RERUN_HINT}"
            )
    return record


@runtime.pinned()
def replay(path: str | pathlib.Path, settings: Settings, folds: Folds) -> list[str]:
    """Draws every batch of a finished job again and compares them with its records.

    Checks that the recorded sample counts are those of the seed, without test or validation clips;
    that the statistics are of training clips only (except under `train.statistics_on_all_clips`);
    and that the selected epoch is that of `train.model_selection`.

    Args:
      path: a file of `save_audit`.
      settings: that the job was trained with.
      folds: its folds.

    Returns:
      One sentence for each disagreement.
    """
    record = read_audit(path, folds)
    counts, labels = record["sample_counts"], record["labels"]
    repeat = int(record["repeats_per_epoch"])
    steps, batch_size = rng.steps_and_batch_size(
        len(labels), settings.batch_size, repeat, sampler=settings.sampler
    )

    @jax.jit
    def count_samples(key, train, last):
        def add_epoch(epoch, counts):
            batch_key = rng.fold_in_name(jax.random.fold_in(key, epoch), "batches")
            index, _ = rng.batches(
                batch_key,
                train,
                jnp.asarray(labels),
                sampler=settings.sampler,
                num_classes=int(labels.max()) + 1,
                steps=steps,
                batch_size=batch_size,
                repeats_per_epoch=repeat,
            )
            return counts.at[index].add(1)

        return jax.lax.fori_loop(0, last, add_epoch, jnp.zeros(len(labels), jnp.int32))

    found = []
    for f, name in enumerate(folds.names):
        key = rng.fold_key(settings.seed, name)
        train, last = jnp.asarray(folds.train[f]), jnp.asarray(record["epochs"][f])
        if (np.asarray(count_samples(key, train, last)) != counts[f]).any():
            found.append(f"Fold {name}: the recorded batches are not those of its seed.")
    return found + list(_undeclared(settings, folds, record))


def _record(result: Result) -> dict[str, Any]:
    """The arrays of a job that are checked, under their names in a file of `save_audit`."""
    return {name: getattr(result, field) for name, field in _FIELDS.items()}


def _undeclared(
    settings: Settings, folds: Folds, record: Mapping[str, np.ndarray]
) -> Iterator[str]:
    """A sentence for each use of a clip and each selected epoch that `settings` does not allow."""
    used = {"in a training batch": record["sample_counts"] > 0}
    if not settings.statistics_on_all_clips:
        used["in a statistic"] = record["statistics_mask"]
    for where, mask in used.items():
        wrong = np.argwhere(mask & ~folds.train)
        if len(wrong):
            fold, clip = wrong[0]
            yield (
                f"Fold {folds.names[fold]}: clip {folds.clips[clip]} is not a training clip, but "
                f"was {where} ({len(wrong)} such clips in all)."
            )
    selection = settings.model_selection
    if selection == "best_test":
        return
    recorded = (record[name] for name in ("chosen", "epochs", "validation_loss"))
    for name, epoch, last, losses in zip(folds.names, *recorded):
        expected = last
        if selection != "last":
            run = losses[:last]
            finite = np.where(np.isfinite(run), run, np.inf)  # without any none is selected
            expected = np.argmin(finite) + 1 if np.isfinite(finite).any() else 0
        if epoch != expected:
            yield (
                f"Fold {name}: epoch {epoch} was selected, but train.model_selection="
                f"{selection!r} selects epoch {expected}."
            )
