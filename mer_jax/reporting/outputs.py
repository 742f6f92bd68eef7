"""Writes predictions, scores, pictures, provenance and the report of a finished job."""

import contextlib
import os
import pathlib
import platform
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

import mer_jax
from mer_jax import leakage, metrics, runtime
from mer_jax.clips import Clip
from mer_jax.errors import UserError
from mer_jax.io import reading, saving
from mer_jax.leakage import Reason
from mer_jax.metrics import Predictions, multilabel
from mer_jax.metrics.multilabel import MultiLabelPredictions
from mer_jax.protocols import Folds
from mer_jax.reporting import report
from mer_jax.reporting.report import Picture
from mer_jax.training import Result, Settings, label_kinds

CURVES, STRICT = "metrics.jsonl", "predictions_strict.csv"
_RESULTS = (
    *("metrics.json", "report.html", "predictions.csv", "megc_log.txt", "truth.csv", "audit.npz"),
    *("spotters.json", "predict.json", STRICT),
)
_VERSIONS = (
    *("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "opencv-python"),
    "scikit-learn",
)


class Job(NamedTuple):
    """What all variants of a job share."""

    clips: Sequence[Clip]  # N
    labels: np.ndarray  # [N] or [N, K] int
    classes: tuple[str, ...]  # K names
    digests: Sequence[str]  # [N], of the examples
    repeats_per_epoch: int  # how often a clip occurs in an epoch
    protocol: str  # its name


class Evaluation(NamedTuple):
    """What the report of a variant shows, in memory."""

    summary: dict[str, Any]  # content of metrics.json
    predictions: Predictions  # content of predictions.csv
    history: Mapping[str, Any] | None  # content of metrics.jsonl, see `io.learning_curves`
    pictures: list[Picture]


def begin(folder: pathlib.Path, config: Mapping[str, Any], *, resumes: bool = False) -> None:
    """Writes config.json. The results of another configuration are removed before.

    A job that is stopped would else leave the scores of one under the settings of the other.
    resumes: the job has checkpoints, and its curves go on.
    """
    path, there = folder / "config.json", None
    with contextlib.suppress(UserError):  # missing or damaged
        there = reading.load_json(path, Any)
    if there != saving.to_builtins(config):
        for name in _RESULTS:
            (folder / name).unlink(missing_ok=True)
        if there is not None and not resumes:
            (folder / CURVES).unlink(missing_ok=True)
            for name in ("units", "variants"):
                shutil.rmtree(folder / name, ignore_errors=True)
    saving.write_json(path, config)


def evaluate_variant(
    folder: pathlib.Path,
    result: Result,
    folds: Folds,
    settings: Settings,
    job: Job,
    *,
    strict_result: Result,
    history: Mapping[str, Any] | None,
    pictures: Callable[[Predictions], list[Picture]],
) -> Evaluation:
    """Scores one variant; writes its files but metrics.json and report.html.

    predictions_strict.csv has the labels that the inflation is measured from: of the last epoch,
    without leaks that a named option brings.

    Args:
      folder: of the variant.
      result: of its training.
      folds: with the N clips of the job.
      settings: of the variant.
      job: what it shares with other variants.
      strict_result: of the same variant with statistics of training clips only.
      history: learning curves, None for a model without epochs.
      pictures: draws the pictures of the report.
    """
    tested = job.clips, job.labels, job.classes
    predictions = collect_predictions(result, *tested)
    leaks, strict = leakage.check(settings, folds, result, job.digests), None
    single_label = write_predictions(folder, predictions)
    leakage.save_audit(folder / "audit.npz", job.labels, job.repeats_per_epoch, result)
    # Where test clips decided how long to train, no epoch of this result is strict.
    stopped_on_test = Reason.STOPPING in {leak.reason for leak in leaks}
    if settings.as_published and not stopped_on_test and job.labels.ndim == 1:
        # The last epoch does not depend on the test clips.
        strict = collect_predictions(
            strict_result, *tested, last=settings.model_selection == "best_test"
        )
        assert isinstance(strict, Predictions)  # of one label a clip
        metrics.write_csv(folder / STRICT, strict)
    summary = metrics.summary(
        predictions,
        protocol=job.protocol,
        leaks=[leak.to_json() for leak in leaks],
        strict=strict,
        remaining_leaks=[
            leak.to_json() for leak in leaks if leak.reason not in (Reason.EPOCH, Reason.STATISTICS)
        ],
        history=history,
    )
    summary["diverged_folds"] = result.diverged
    return Evaluation(summary, single_label, history, pictures(single_label))


def write_reports(
    folders: Sequence[pathlib.Path],
    configs: Sequence[Mapping[str, Any]],
    evaluations: Mapping[str, Evaluation],
    settings: Settings,
) -> dict[str, Any]:
    """Writes metrics.json and report.html of every variant; returns the first one's summary.

    The first variant comes last, so that its files mark the job as complete.

    Args:
      folders, configs: of the variants; configs as in config.json.
      evaluations: of the variants, by name.
      settings: of the job.
    """
    summary = next(iter(evaluations.values())).summary
    comparable = {
        name: evaluations[name].summary
        for name, variant in settings.variants.items()
        if variant.statistics_on_all_clips == settings.statistics_on_all_clips
    }
    if len(comparable) > 1:
        summary["variants"] = metrics.combine_variants(comparable)
        if len(settings.learning_rates) < 2 and not summary.get("multi_label"):
            summary["variants"]["ensemble"] = metrics.scores_with_intervals(
                metrics.mean_predictions([evaluations[name].predictions for name in comparable])
            )
    for folder, config, each in reversed(list(zip(folders, configs, evaluations.values()))):
        saving.write_json(folder / "metrics.json", each.summary)
        report.write(
            folder / "report.html",
            config=config,
            summary=saving.to_builtins(each.summary),
            predictions=each.predictions,
            history=each.history,
            pictures=each.pictures,
            provenance=saving.to_builtins(each.summary["provenance"]),
        )
    return summary


def collect_predictions(
    result: Result,
    clips: Sequence[Clip],
    labels: np.ndarray,
    classes: tuple[str, ...],
    *,
    last: bool = False,
) -> Predictions | MultiLabelPredictions:
    """Predictions of the tested clips in their order.

    Args:
      result: of training.
      clips, labels, classes: N clips, [N] or [N, K] int, K names.
      last: take the labels predicted in the last epoch, with probability 1.
    """
    fold, column = np.nonzero(result.test)
    clip = result.eval_index[fold, column]
    order = np.argsort(clip, kind="stable")
    fold, column, clip = fold[order], column[order], clip[order]
    probabilities = result.probabilities[fold, column]
    if last:
        predicted = result.predicted[fold, result.epochs_run[fold] - 1, column]
        probabilities = label_kinds.label_kind(labels).one_hot(predicted, len(classes))
    # A fold that diverged in its first epoch has no finite output: all classes get 1 / K.
    undefined = np.isin(np.array(result.names)[fold], result.diverged)[:, None] & ~np.isfinite(
        probabilities
    )
    probabilities = np.where(undefined, np.float32(1 / len(classes)), probabilities)
    tested = [clips[index] for index in clip]
    rows: dict[str, Any] = {
        "database": np.array([each.database for each in tested]),
        "subject": np.array([each.subject for each in tested]),
        "clip": np.array([each.name for each in tested]),
        "fold": np.array(result.names)[fold],
    }
    label = labels[clip].astype(np.int32)
    if labels.ndim == 2:
        return multilabel.from_arrays(rows, classes, label, probabilities)
    return Predictions(tuple(classes), **rows, label=label, probabilities=probabilities)


def write_predictions(
    workdir: pathlib.Path, predictions: Predictions | MultiLabelPredictions
) -> Predictions:
    """Writes predictions.csv, megc_log.txt and, for multi-label clips, units/NAME.csv per class.

    Returns the content of predictions.csv: for multi-label clips each set of labels is a class.
    """
    if has_probabilities := isinstance(predictions, Predictions):
        sets = predictions
    else:
        sets = predictions.label_sets()
        for name, unit in zip(predictions.classes, predictions.units):
            metrics.write_csv(workdir / "units" / f"{name}.csv", unit)
    metrics.write_csv(workdir / "predictions.csv", sets, with_probabilities=has_probabilities)
    metrics.write_log(workdir / "megc_log.txt", sets)
    return sets


def _command() -> str:
    """The command line of this process."""
    first, *rest = sys.orig_argv[1:] or [""]
    script = pathlib.Path(first).name
    return shlex.join([script, *rest] if script == "mer-jax" else ["python", first, *rest])


def provenance(
    command: str, seed: int, training_seconds: float, *, wall_seconds: float
) -> dict[str, Any]:
    """Command, versions, device, seed, times and memory of a job.

    Of its last launch; only `training_seconds` is of all.
    """
    versions = {"mer_jax": mer_jax.__version__, "python": platform.python_version()}
    # Not all are installed: OpenCV may have another name.
    versions |= {name: found for name in _VERSIONS if (found := runtime.version(name))}
    device, peak = jax.devices()[0], runtime.peak_memory()
    return {
        "command": command or _command(),
        "seed": seed,
        "device": f"{jax.device_count()} x {device.device_kind} ({device.platform})",
        "wall_seconds": round(wall_seconds, 1),
        "training_seconds": round(training_seconds, 1),
        **({} if peak is None else {"peak_memory_gib": round(peak / 2**30, 3)}),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),  # JAX's own settings: `runtime.pinned`
        "versions": versions,
    }
