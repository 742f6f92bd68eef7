"""What is told of a finished job: predictions, scores, pictures, the report, how it was made."""

import os
import pathlib
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import jax
import numpy as np

import mer_jax
from mer_jax import leakage, metrics
from mer_jax.clips import Clip
from mer_jax.io import learning_curves, saving
from mer_jax.metrics import Predictions, multilabel
from mer_jax.metrics.multilabel import MultiLabelPredictions
from mer_jax.protocols import Folds
from mer_jax.reporting import report, thumbnails
from mer_jax.training import Result, Settings, label_kinds

CURVES = "metrics.jsonl"
_VERSIONS = (
    *("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "opencv-python"),
    "scikit-learn",
)


def evaluate_variant(
    folder: pathlib.Path,
    result: Result,
    folds: Folds,
    settings: Settings,
    *,
    clips: Sequence[Clip],
    labels: np.ndarray,
    classes: tuple[str, ...],
    contents: Sequence[str],
    repeats_per_epoch: int,
    strict_result: Result,
    protocol: str,
    thumbnail_cache: dict[str, bytes],
) -> dict[str, Any]:
    """Writes what one variant's result says, but for metrics.json, whose content is returned.

    contents: [N] fingerprints of the examples. copies: of a clip in an epoch. twin: the result of
    the same variant with statistics of training clips alone; it is `result` where that is strict.
    strips: pictures that another variant left, to which this one adds its own.
    """
    predictions = collect_predictions(result, clips, labels, classes)
    seen = write_predictions(folder, predictions)
    reasons, strict = leakage.check(settings, folds, result, contents), None
    leakage.save_audit(folder / "audit.npz", labels, repeats_per_epoch, result)
    if settings.as_published and leakage.STOPPED not in reasons and labels.ndim == 1:
        # With strict statistics, what the last epoch says.
        strict = collect_predictions(
            strict_result, clips, labels, classes, last=settings.model_selection == "best_test"
        )
        assert isinstance(strict, Predictions)  # of one label a clip
    summary = metrics.summary(
        predictions,
        protocol=protocol,
        leaks=reasons,
        strict=strict,
        remaining_leaks=[
            reason for reason in reasons if reason not in (leakage.EPOCH, leakage.MASK)
        ],
        history=learning_curves.read(folder / CURVES) if (folder / CURVES).exists() else None,
        seed=settings.seed,
    )
    thumbnails.write(folder, thumbnails.pictures(clips, seen, cache=thumbnail_cache))
    return summary | {"diverged_folds": result.diverged}


def write_reports(
    folders: Sequence[pathlib.Path], summaries: Mapping[str, dict], settings: Settings
) -> dict[str, Any]:
    """Writes metrics.json and report.html of every variant, the first one's last; returns it."""
    summary = next(iter(summaries.values()))
    alike = {
        name: summaries[name]
        for name, variant in settings.variants.items()
        if variant.statistics_on_all_clips == settings.statistics_on_all_clips
    }
    if len(alike) > 1:
        summary["variants"] = metrics.combine_variants(alike)
    for folder, each in reversed(list(zip(folders, summaries.values()))):
        saving.write_json(folder / "metrics.json", each)
        report.build(folder)
    return summary


def collect_predictions(
    result: Result,
    clips: Sequence[Clip],
    labels: np.ndarray,
    classes: tuple[str, ...],
    *,
    last: bool = False,
) -> Predictions | MultiLabelPredictions:
    """The tested clips in their order. last: what the last epoch's network says, as certainties."""
    fold, column = np.nonzero(result.test)
    clip = result.eval_index[fold, column]
    order = np.argsort(clip, kind="stable")
    fold, column, clip = fold[order], column[order], clip[order]
    probabilities = result.probabilities[fold, column]
    if last:
        said = result.predicted[fold, result.epochs_run[fold] - 1, column]
        probabilities = label_kinds.label_kind(labels).one_hot(said, len(classes))
    # A fold that was sick from the first epoch on has no number to say: all classes alike.
    lost = np.isin(np.array(result.names)[fold], result.diverged)[:, None] & ~np.isfinite(
        probabilities
    )
    probabilities = np.where(lost, np.float32(1 / len(classes)), probabilities)
    who = [clips[index] for index in clip]
    rows: dict[str, Any] = {
        "database": np.array([c.database for c in who]),
        "subject": np.array([c.subject for c in who]),
        "clip": np.array([c.name for c in who]),
        "fold": np.array(result.names)[fold],
    }
    label = labels[clip].astype(np.int32)
    if labels.ndim == 2:
        return multilabel.from_arrays(rows, classes, label, probabilities)
    return Predictions(tuple(classes), **rows, label=label, probabilities=probabilities)


def write_predictions(
    workdir: pathlib.Path, predictions: Predictions | MultiLabelPredictions
) -> Predictions:
    """predictions.csv, megc_log.txt and, of several labels a clip, units/NAME.csv of each class.

    Returns what predictions.csv says: of several labels a clip, its set of them as one class.
    """
    if chances := isinstance(predictions, Predictions):
        sets = predictions
    else:
        sets = predictions.label_sets()
        for name, unit in zip(predictions.classes, predictions.units):
            metrics.write_csv(workdir / "units" / f"{name}.csv", unit)
    metrics.write_csv(workdir / "predictions.csv", sets, with_probabilities=chances)
    metrics.write_log(workdir / "megc_log.txt", sets)
    return sets


def _command() -> str:
    """What started this process, as one would type it again."""
    first, *rest = sys.orig_argv[1:] or [""]
    script = pathlib.Path(first).name
    return shlex.join([script, *rest] if script == "mer-jax" else ["python", first, *rest])


def provenance(command: str, seed: int, result: Result, *, wall_seconds: float) -> dict[str, Any]:
    """How a job was made: command, versions, device, seed, times."""
    versions = {"mer_jax": mer_jax.__version__, "python": platform.python_version()}
    for package in _VERSIONS:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue  # OpenCV may be installed under another name
    device = jax.devices()[0]
    return {
        "command": command or _command(),
        "seed": seed,
        "device": f"{jax.device_count()} x {device.device_kind} ({device.platform})",
        "wall_seconds": round(wall_seconds, 1),
        "training_seconds": round(result.seconds, 1),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),  # JAX's own settings are `programs.pinned`
        "versions": versions,
    }
