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
from mer_jax import evaluation
from mer_jax.clips import Clip
from mer_jax.evaluation import Predictions, clip_pictures, files, history, report, several
from mer_jax.evaluation.several import Several
from mer_jax.protocols import Folds
from mer_jax.training import Result, Settings, guard, targets

CURVES = "metrics.jsonl"
_VERSIONS = (
    *("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "opencv-python"),
    "scikit-learn",
)


def conclude(
    place: pathlib.Path,
    result: Result,
    folds: Folds,
    settings: Settings,
    *,
    clips: Sequence[Clip],
    labels: np.ndarray,
    classes: tuple[str, ...],
    contents: Sequence[str],
    copies: int,
    twin: Result,
    protocol: str,
    strips: dict[str, bytes],
) -> dict[str, Any]:
    """Writes what one variant's result says, but for metrics.json, whose content is returned.

    contents: [N] fingerprints of the examples. copies: of a clip in an epoch. twin: the result of
    the same variant with statistics of training clips alone; it is `result` where that is strict.
    strips: pictures that another variant left, to which this one adds its own.
    """
    predictions = tell(result, clips, labels, classes)
    seen = write(place, predictions)
    reasons, strict = guard.check(settings, folds, result, contents), None
    guard.save(place / "audit.npz", labels, copies, result)
    if settings.as_published and guard.STOPPED not in reasons and labels.ndim == 1:
        # With strict statistics, what the last epoch says.
        strict = tell(twin, clips, labels, classes, last=settings.choice == "test")
        assert isinstance(strict, Predictions)  # of one label a clip
    summary = evaluation.summary(
        predictions,
        protocol=protocol,
        leaks=reasons,
        strict=strict,
        left=[reason for reason in reasons if reason not in (guard.EPOCH, guard.MASK)],
        history=history.read(place / CURVES) if (place / CURVES).exists() else None,
        seed=settings.seed,
    )
    clip_pictures.write(place, clip_pictures.pictures(clips, seen, memo=strips))
    return summary | {"sick_folds": result.sick}


def publish(
    places: Sequence[pathlib.Path], summaries: Mapping[str, dict], settings: Settings
) -> dict[str, Any]:
    """Writes metrics.json and report.html of every variant, the first one's last; returns it."""
    summary = next(iter(summaries.values()))
    alike = {
        name: summaries[name]
        for name, variant in settings.variants.items()
        if variant.mask_all == settings.mask_all
    }
    if len(alike) > 1:
        summary["variants"] = evaluation.over_variants(alike)
    for place, each in reversed(list(zip(places, summaries.values()))):
        files.write_json(place / "metrics.json", each)
        report.build(place)
    return summary


def tell(
    result: Result,
    clips: Sequence[Clip],
    labels: np.ndarray,
    classes: tuple[str, ...],
    *,
    last: bool = False,
) -> Predictions | Several:
    """The tested clips in their order. last: what the last epoch's network says, as certainties."""
    fold, column = np.nonzero(result.test)
    clip = result.held[fold, column]
    order = np.argsort(clip, kind="stable")
    fold, column, clip = fold[order], column[order], clip[order]
    probabilities = result.probabilities[fold, column]
    if last:
        said = result.predicted[fold, result.epochs_run[fold] - 1, column]
        probabilities = targets.of(labels).rows(said, len(classes))
    # A fold that was sick from the first epoch on has no number to say: all classes alike.
    lost = np.isin(np.array(result.names)[fold], result.sick)[:, None] & ~np.isfinite(probabilities)
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
        return several.join(rows, classes, label, probabilities)
    return Predictions(tuple(classes), **rows, label=label, probabilities=probabilities)


def write(workdir: pathlib.Path, predictions: Predictions | Several) -> Predictions:
    """predictions.csv, megc_log.txt and, of several labels a clip, units/NAME.csv of each class.

    Returns what predictions.csv says: of several labels a clip, its set of them as one class.
    """
    if chances := isinstance(predictions, Predictions):
        sets = predictions
    else:
        sets = predictions.sets()
        for name, unit in zip(predictions.classes, predictions.units):
            evaluation.write_csv(workdir / "units" / f"{name}.csv", unit)
    evaluation.write_csv(workdir / "predictions.csv", sets, chances=chances)
    evaluation.write_log(workdir / "megc_log.txt", sets)
    return sets


def _command() -> str:
    """What started this process, as one would type it again."""
    module = getattr(sys.modules["__main__"].__spec__, "name", "")
    start = ["python", "-m", module] if module else sys.argv[:1]
    return shlex.join([*start, *sys.argv[1:]])


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
