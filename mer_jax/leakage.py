"""The guard: what a job did with its test clips, recorded by the job and replayed from its files.

Nothing of a test clip can reach training by construction; the guard does not believe it. Every fold
counts, on the device, which clips its batches held and which its statistics saw. `check` compares
that with the folds after each job, `replay` draws the same streams again from the seed and compares
with what the job recorded.
"""

import pathlib
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from mer_jax.errors import UserError
from mer_jax.io import reading, saving
from mer_jax.protocols import Folds
from mer_jax.training import initialization, rng
from mer_jax.training.records import Result
from mer_jax.training.settings import Settings

# What the two switches of the settings do; each has its strict number beside it.
EPOCH = "Each fold's epoch was chosen on its own test clips."
STOPPED = (
    "Each fold's epoch was chosen, its rate lowered and its training stopped on its own test clips."
)
MASK = "Statistics (mask, mean) were taken over all clips, test clips included."


class LeakError(UserError):
    """A test clip had a part in training that no switch asked for."""


def check(settings: Settings, folds: Folds, result: Result, contents: Sequence[str]) -> list[str]:
    """A sentence for each declared way in which test clips had a part in their own scores.

    contents: [N] fingerprints of the examples, by which a copy of a clip is known under another
    name. Raises `LeakError` where a test or validation clip was trained on, or reached a statistic
    without `train.statistics_on_all_clips`, or where an epoch speaks that `train.model_selection` does not choose.
    """
    _refuse(folds, result.sample_counts > 0, "in a training batch")
    if not settings.statistics_on_all_clips:
        _refuse(folds, result.statistics_mask, "in a statistic")
    _refuse_choice(
        settings.model_selection,
        result.names,
        result.chosen_epoch,
        result.epochs_run,
        result.validation_loss,
    )
    found = []
    if settings.model_selection == "best_test":
        found.append(
            STOPPED if settings.early_stopping_patience or settings.lr_plateau_patience else EPOCH
        )
    if settings.statistics_on_all_clips:
        found.append(MASK)
    if not folds.subject_disjoint:
        found.append("Clips of one person stand both in training and in test.")
    if settings.init_from:
        found += initialization.pretraining_overlap(settings.init_from, folds)
    found += find_duplicates(folds, contents)
    return found


def find_duplicates(folds: Folds, contents: Sequence[str]) -> list[str]:
    """A sentence where a fold trains on a copy of a clip that it tests (or validates on)."""
    code = np.unique(np.asarray(contents), return_inverse=True)[1]
    for name, train, held_out in zip(folds.names, folds.train, folds.test | folds.validation):
        shared = np.intersect1d(code[train], code[held_out])
        if shared.size:
            one, other = (
                folds.clips[np.flatnonzero(row & (code == shared[0]))[0]]
                for row in (train, held_out)
            )
            return [f"Fold {name} trains on {one}, which is a copy of its test clip {other}."]
    return []


def save_audit(
    path: str | pathlib.Path, labels: np.ndarray, repeats_per_epoch: int, result: Result
) -> None:
    """Writes what `replay` needs beside config.json and folds.json."""
    with saving.atomic(path) as temporary:
        np.savez_compressed(
            temporary,
            sample_counts=result.sample_counts,
            statistics_mask=result.statistics_mask,
            labels=labels,
            repeats_per_epoch=repeats_per_epoch,
            epochs=result.epochs_run,
            chosen=result.chosen_epoch,
            validation_loss=result.validation_loss,
        )


def read_audit(path: str | pathlib.Path, folds: Folds) -> dict[str, np.ndarray]:
    """What `save` wrote of a job with these folds. Raises `UserError` where it is damaged."""
    many, clips = folds.train.shape
    form = {
        "sample_counts": ("i", (many, clips)),
        "statistics_mask": ("b", (many, clips)),
        "labels": ("iu", (clips, ...)),
        "repeats_per_epoch": ("i", ()),
        "epochs": ("i", (many,)),
        "chosen": ("i", (many,)),
        "validation_loss": ("f", (many, None)),
    }
    record = reading.load_arrays(path, form)
    last = record["validation_loss"].shape[1]
    # Beyond these a replay would take all memory, or for ever.
    most = {"labels": 999, "repeats_per_epoch": 9999, "epochs": last, "chosen": last}
    for name, limit in most.items():
        value = record[name]
        if value.size and not 0 <= value.min() <= value.max() <= limit:
            raise UserError(
                f"{path} is damaged ({name} is beyond 0 to {limit}); {reading.RERUN_HINT}"
            )
    return record


def replay(path: str | pathlib.Path, settings: Settings, folds: Folds) -> list[str]:
    """Draws every batch of a finished job again; a sentence for whatever does not agree.

    path: the file that `save` wrote. Checks that the recorded visits are those of the streams, that
    no clip of a fold's test or validation row is among them, that the statistics saw training clips
    only (all clips under `train.statistics_on_all_clips`), and that the epoch that speaks is the one to be chosen.
    """
    record = read_audit(path, folds)
    sample_counts, statistics_mask, labels = (
        record["sample_counts"],
        record["statistics_mask"],
        record["labels"],
    )
    repeat, epochs = int(record["repeats_per_epoch"]), record["epochs"]
    chosen, validation_loss = record["chosen"], record["validation_loss"]
    steps, batch_size = rng.steps_and_batch_size(len(labels), settings.batch_size, repeat)
    size = {"steps": steps, "batch_size": batch_size}

    @jax.jit
    def count_samples(key, train, last):
        def one(epoch, seen):
            draw = rng.fold_in_name(jax.random.fold_in(key, epoch), "batches")
            if settings.sampler == "balanced":
                index, _ = rng.balanced(
                    draw, train, jnp.asarray(labels), num_classes=int(labels.max()) + 1, **size
                )
            else:
                index, _ = rng.shuffled(draw, train, repeats_per_epoch=repeat, **size)
            return seen.at[index].add(1)

        return jax.lax.fori_loop(0, last, one, jnp.zeros(len(labels), jnp.int32))

    found = []
    for f, name in enumerate(folds.names):
        key = rng.fold_key(settings.seed, name)
        again = np.asarray(count_samples(key, jnp.asarray(folds.train[f]), jnp.asarray(epochs[f])))
        if (again != sample_counts[f]).any():
            found.append(f"Fold {name}: the recorded batches are not those of its seed.")
    refusals = [lambda: _refuse(folds, sample_counts > 0, "in a training batch")]
    if not settings.statistics_on_all_clips:
        refusals.append(lambda: _refuse(folds, statistics_mask, "in a statistic"))
    refusals.append(
        lambda: _refuse_choice(
            settings.model_selection, folds.names, chosen, epochs, validation_loss
        )
    )
    for refuse in refusals:
        try:
            refuse()
        except LeakError as error:
            found.append(str(error))
    return found


def _refuse_choice(
    model_selection: str,
    names: Sequence[str],
    chosen: np.ndarray,
    epochs: np.ndarray,
    validation_loss: np.ndarray,
) -> None:
    """Raises `LeakError` where a fold does not speak by its last epoch, or its best validated."""
    if model_selection == "best_test":
        return
    for name, epoch, last, losses in zip(names, chosen, epochs, validation_loss):
        if model_selection == "last":
            due = last
        else:
            seen = losses[:last]
            due = np.argmin(np.where(np.isnan(seen), np.inf, seen)) + 1 if last else 0
        if epoch != due:
            raise LeakError(
                f"Fold {name}: epoch {epoch} speaks, where train.model_selection={model_selection!r} means "
                f"epoch {due}."
            )


def _refuse(folds: Folds, seen: np.ndarray, where: str) -> None:
    wrong = np.argwhere(seen & ~folds.train)
    if len(wrong):
        fold, clip = wrong[0]
        raise LeakError(
            f"Fold {folds.names[fold]}: clip {folds.clips[clip]} does not belong to its training "
            f"clips and was {where} ({len(wrong)} such in all)."
        )
