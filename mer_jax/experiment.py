"""One job from a configuration to a report.

    summary = run(config, "runs/first")

The working directory gets config.json, folds.json, metrics.jsonl while it trains, and at the end
metrics.json, predictions.csv, megc_log.txt, audit.npz, pictures/ and report.html; checkpoints/ lets
the same command go on where it was stopped. A job of several seeds or learning rates is trained as
one; the working directory is then the run of the first, variants/NAME/ those of the others, and
metrics.json tells the mean and the spread.
"""

import contextlib
import dataclasses
import hashlib
import json
import pathlib
import platform
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

import mer_jax
from mer_jax import config as configs
from mer_jax import datasets, evaluation, methods, models, protocols
from mer_jax.clips import Clip
from mer_jax.datasets.labels import label
from mer_jax.evaluation import Predictions, clip_pictures, files, history, report, several
from mer_jax.evaluation.several import Several
from mer_jax.methods import Examples
from mer_jax.problems import UserError
from mer_jax.protocols import Folds
from mer_jax.training import Result, Settings, checkpoints, fit, guard, initial, svm, targets

_VERSIONS = (
    *("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "opencv-python"),
    "scikit-learn",
)
CURVES, VARIANTS = "metrics.jsonl", "variants"
# What may differ between two runs of one job without changing a number.
_FREE = ("title", "fold_map", "fold_inner", "folds_per_device", "checkpoint_seconds")


def run(
    config: ConfigDict,
    workdir: str | pathlib.Path,
    *,
    command: str = "",
    devices: Sequence[jax.Device] | None = None,
    stop: Callable[[], bool] | None = None,
    memo: dict[str, Examples] | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Trains and scores one job and writes its report; returns what metrics.json holds.

    command: what the report shows as the way to make it again. stop: asked now and then; where it
    says True the job is saved and `training.Interrupted` raised. memo: keeps the examples, for the
    next job that is given it and has the same data and method.

    Raises `UserError` (or `DataError`) for whatever is wrong with the configuration or the data,
    before anything is trained.
    """
    began = time.monotonic()
    settings = configs.check(config)
    say = (lambda *_: None) if quiet else lambda text: print(text, file=sys.stderr, flush=True)
    workdir = pathlib.Path(workdir).expanduser()

    clips, labels, classes = prepare_clips(config)
    variants = settings.variants
    folds = [prepare_folds(config, each, clips, labels, classes) for each in variants.values()]
    say(
        f"{len(clips)} clips of {len(set(folds[0].persons))} persons, {len(folds[0])} folds"
        + (f", {len(variants)} variants beside each other" if len(variants) > 1 else "")
    )
    examples = prepare_examples(config, clips, {} if memo is None else memo)
    chosen = configs.options_of(config, "model") | {"num_classes": len(classes)}
    build = lambda rngs: models.create(
        config.model.name, rngs=rngs, shape=examples.input_shape, **chosen
    )
    plain = configs.plain(config)
    identity = {key: value for key, value in plain.items() if key not in _FREE}
    # A folder may move; its content may not. The other variants' folds follow from the first's.
    identity["data"] = {key: value for key, value in plain["data"].items() if key != "root"}
    contents = fingerprints(examples.inputs)
    identity |= {"folds": folds[0].fingerprint, "clips": digest("".join(contents), labels)}
    start = initial.read(settings.initial, build) if settings.initial else {}
    if start:
        identity["start"] = digest(*start, *start.values())
        say(f"{len(start)} tensors start as they are in {settings.initial}")
    checkpoints.claim(workdir / "checkpoints", identity)
    places = [workdir, *(workdir / VARIANTS / name for name in list(variants)[1:])]
    for place, variant, part in zip(places, variants.values(), folds):
        own = plain if place == workdir else plain | {"train": dataclasses.asdict(variant)}
        files.write_json(place / "config.json", own)
        files.write_json(place / "folds.json", part.to_json())
    if config.model.name == svm.NAME:
        results = [svm.fit(examples, labels, folds[0], **chosen)]
    else:
        with contextlib.ExitStack() as stack:
            journals = [stack.enter_context(history.journal(p / CURVES)) for p in places]
            results = fit(
                examples,
                labels,
                folds,
                settings,
                num_classes=len(classes),
                build=build,
                start=start,
                fold_map=config.fold_map,
                fold_inner=config.fold_inner,
                folds_per_device=config.folds_per_device,
                remat=config.remat,
                devices=devices,
                directory=workdir / "checkpoints",
                identity=identity,
                checkpoint_seconds=config.checkpoint_seconds,
                observe=lambda part, line: journals[part](line),
                stop=stop,
                quiet=quiet,
            )
    summaries = {}
    for place, name, part, result in zip(places, variants, folds, results):
        predictions = tell(result, clips, labels, classes)
        seen = write(place, predictions)
        reasons, strict = guard.check(variants[name], part, result, contents), None
        guard.save(place / "audit.npz", labels, examples.copies, result)
        if variants[name].as_published and guard.STOPPED not in reasons and labels.ndim == 1:
            # The same row of the job with strict statistics, and what its last epoch says.
            twin = list(variants.values()).index(
                dataclasses.replace(variants[name], mask_all=False)
            )
            strict = tell(results[twin], clips, labels, classes, last=settings.choice == "test")
        summaries[name] = evaluation.summary(
            predictions,
            protocol=config.protocol.name,
            leaks=reasons,
            strict=strict,
            left=[reason for reason in reasons if reason not in (guard.EPOCH, guard.MASK)],
            history=history.read(place / CURVES) if (place / CURVES).exists() else None,
            seed=variants[name].seed,
        )
        summaries[name]["sick_folds"] = result.sick
        made = provenance(command, variants[name], began, identity, result)
        summaries[name]["provenance"] = made
        right = 0 if seen is not predictions else 1  # sets of labels are too many classes
        clip_pictures.write(place, clip_pictures.pictures(clips, seen, right=right))
    summary = summaries[next(iter(variants))]
    alike = {n: summaries[n] for n, v in variants.items() if v.mask_all == settings.mask_all}
    if len(alike) > 1:
        summary["variants"] = evaluation.over_variants(alike)
    for place, each in reversed(list(zip(places, summaries.values()))):
        files.write_json(place / "metrics.json", each)
        report.build(place)
    return summary


def prepare_clips(config: ConfigDict) -> tuple[list[Clip], np.ndarray, tuple[str, ...]]:
    """(clips, labels [N] int32, classes): what the `data` section names.

    Where a clip has several labels: [N, K] of 0 and 1.

    permute_labels deals the labels out anew over all clips: the control that must score at chance.
    """
    data = config.data
    clips = datasets.load(data.name, data.root, **configs.options_of(config, "data"))
    clips, labels, classes, _ = label(data.classes, clips)
    if data.permute_labels:
        labels = np.random.default_rng(config.train.seed).permutation(labels)
    return list(clips), labels, classes


def prepare_examples(
    config: ConfigDict, clips: Sequence[Clip], memo: dict[str, Examples]
) -> Examples:
    """What the `method` section makes of `clips`; `memo` holds the last that were made."""
    plain = configs.plain(config)
    key = json.dumps([plain["data"], plain["method"]], sort_keys=True)
    if key not in memo:
        memo.clear()  # before the next ones take their memory
        options = configs.options_of(config, "method")
        memo[key] = methods.create(config.method.name, clips, **options)
    return memo[key]


def prepare_folds(
    config: ConfigDict,
    settings: Settings,
    clips: Sequence[Clip],
    labels: np.ndarray,
    classes: Sequence[str],
) -> Folds:
    """The folds of the `protocol` section, with inner validation where training asks for it."""
    options = configs.options_of(config, "protocol")
    folds = protocols.create(config.protocol.name, clips, labels, **options)
    if settings.validation:
        folds = protocols.validate(folds, fraction=settings.validation, seed=settings.seed)
    lacking = folds.check_classes(labels, classes)
    if lacking:
        raise UserError(
            f"{lacking[0]}{f' (and {len(lacking) - 1} more)' if lacking[1:] else ''}; "
            "give more clips, another protocol, or other data.classes"
        )
    return folds


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
    who = [clips[index] for index in clip]
    rows = {
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


def digest(*parts: str | np.ndarray) -> str:
    """Twelve hex digits that change when a part does."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(part.encode() if isinstance(part, str) else np.asarray(part).tobytes())
    return whole.hexdigest()[:12]


def fingerprints(inputs: Any) -> list[str]:
    """[N] hexadecimal digests, one for each example."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(inputs)]
    digests = [hashlib.sha256() for _ in leaves[0]]
    for leaf in leaves:
        for digest, row in zip(digests, leaf):
            digest.update(row.tobytes())
    return [digest.hexdigest() for digest in digests]


def provenance(
    command: str, settings: Settings, began: float, identity: dict, result: Result
) -> dict[str, Any]:
    """How a job was made: command, versions, device, seed, times."""
    versions = {"mer_jax": mer_jax.__version__, "python": platform.python_version()}
    for package in _VERSIONS:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue  # OpenCV may be installed under another name
    device = jax.devices()[0]
    return {
        "command": command or " ".join(map(shlex.quote, sys.argv)),
        "seed": settings.seed,
        "device": f"{jax.device_count()} x {device.device_kind} ({device.platform})",
        "wall_seconds": round(time.monotonic() - began, 1),
        "training_seconds": round(result.seconds, 1),
        "folds": identity["folds"],
        "clips": identity["clips"],
        "versions": versions,
    }
