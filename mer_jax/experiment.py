"""One job from a configuration to a report.

    summary = run(config, "runs/first")

The working directory gets config.json, folds.json, metrics.jsonl while it trains, and at the end
metrics.json, predictions.csv, megc_log.txt, audit.npz, pictures/, report.html and, of videos,
predict.json; with checkpoints/ the same command resumes. Several seeds or learning rates are
trained as one job: the working directory is the run of the first, variants/NAME/ those of the
others, and metrics.json has their mean and standard deviation.
"""

import contextlib
import dataclasses
import json
import pathlib
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from mer_jax import configuration, datasets, methods, models, protocols, runtime
from mer_jax.clips import Clip
from mer_jax.datasets.labels import label
from mer_jax.errors import UserError
from mer_jax.inference import profile
from mer_jax.io import learning_curves, saving
from mer_jax.io.row_cache import RowCache
from mer_jax.methods import Examples, rows
from mer_jax.protocols import Folds
from mer_jax.reporting import outputs
from mer_jax.training import (
    Checkpointing,
    Hooks,
    Parallel,
    Settings,
    checkpoints,
    fit,
    initialization,
    svm,
)

VARIANTS = "variants"
# What may differ between two runs of one job without changing a number.
_FREE = ("title", "parallel", "checkpoint_seconds", "examples_dir", "examples_limit_gib")


@runtime.pinned()
def run(
    config: ConfigDict,
    workdir: str | pathlib.Path,
    *,
    command: str = "",
    devices: Sequence[jax.Device] | None = None,
    should_stop: Callable[[], bool] | None = None,
    cache: dict[str, Examples] | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Trains and scores one job and writes its report; returns what metrics.json holds.

    command: shown in the report as the way to repeat the run. should_stop: called after each block
    of epochs; if True the job is saved and `training.Interrupted` raised. cache: examples
    for a next job of the same data and method.

    Raises `UserError` (or `DataError`) for a mistake in the configuration or the data, before
    training.
    """
    started = time.monotonic()
    settings = configuration.check(config)
    log = (lambda *_: None) if quiet else lambda text: print(text, file=sys.stderr, flush=True)
    workdir = pathlib.Path(workdir).expanduser()

    clips, labels, classes = prepare_clips(config)
    variants = settings.variants
    folds = [prepare_folds(config, each, clips, labels, classes) for each in variants.values()]
    log(
        f"{len(clips)} clips of {len(set(folds[0].subjects))} subjects, {len(folds[0])} folds"
        + (f", {len(variants)} variants in one job" if len(variants) > 1 else "")
    )
    with rows.use(_row_cache(config), quiet=quiet):
        examples = prepare_examples(config, clips, {} if cache is None else cache)
    chosen = configuration.options_of(config, "model") | {"num_classes": len(classes)}
    build = lambda rngs: models.create(
        config.model.name, rngs=rngs, shape=examples.input_shape, **chosen
    )
    plain = configuration.plain(config)
    job_fingerprint = {key: value for key, value in plain.items() if key not in _FREE}
    # The folder may move; its content may not change. The first variant's folds give the others'.
    job_fingerprint["data"] = {key: value for key, value in plain["data"].items() if key != "root"}
    contents = fingerprints(examples.inputs)
    job_fingerprint |= {"folds": folds[0].fingerprint, "clips": digest("".join(contents), labels)}
    initial_weights = initialization.read(settings.init_from, build) if settings.init_from else {}
    if initial_weights:
        job_fingerprint["initial_weights"] = digest(*initial_weights, *initial_weights.values())
        log(f"{len(initial_weights)} tensors start from {settings.init_from}")
    checkpoints.verify_same_job(workdir / "checkpoints", job_fingerprint)
    folders = [workdir, *(workdir / VARIANTS / name for name in list(variants)[1:])]
    for folder, variant, part in zip(folders, variants.values(), folds):
        own = plain if folder == workdir else plain | {"train": dataclasses.asdict(variant)}
        saving.write_json(folder / "config.json", own)
        saving.write_json(folder / "folds.json", part.to_json())
    if config.model.name == svm.NAME:
        results = [svm.fit(examples, labels, folds[0], **chosen)]
    else:
        with contextlib.ExitStack() as stack:
            writers = [
                stack.enter_context(learning_curves.jsonl_writer(p / outputs.CURVES))
                for p in folders
            ]
            results = fit(
                examples,
                labels,
                folds,
                settings,
                num_classes=len(classes),
                build=build,
                initial_weights=initial_weights,
                parallel=Parallel(**config.parallel, remat=config.remat, devices=devices),
                checkpointing=Checkpointing(
                    workdir / "checkpoints", job_fingerprint, config.checkpoint_seconds
                ),
                hooks=Hooks(lambda variant, line: writers[variant](line), should_stop, quiet),
            )
    summaries, thumbnail_cache = dict[str, dict](), dict[str, bytes]()
    for folder, part, result, (name, variant) in zip(folders, folds, results, variants.items()):
        strict = dataclasses.replace(variant, statistics_on_all_clips=False)
        summaries[name] = outputs.evaluate_variant(
            folder,
            result,
            part,
            variant,
            clips=clips,
            labels=labels,
            classes=classes,
            contents=contents,
            repeats_per_epoch=examples.repeats_per_epoch,
            strict_result=results[list(variants.values()).index(strict)],
            protocol=config.protocol.name,
            thumbnail_cache=thumbnail_cache,
        )
        made = outputs.provenance(
            command, variant.seed, result, wall_seconds=time.monotonic() - started
        )
        summaries[name]["provenance"] = made | {
            key: job_fingerprint[key] for key in ("folds", "clips")
        }
    summary = outputs.write_reports(folders, summaries, settings)
    if all(clip.content == "video" for clip in clips):
        profile.save_profile(workdir, clips)
    return summary


def prepare_clips(config: ConfigDict) -> tuple[list[Clip], np.ndarray, tuple[str, ...]]:
    """(clips, labels [N] int32, classes) of the `data` section; multi-label: [N, K] of 0 and 1.

    data.permute_labels permutes the labels over all clips: a control that must score at chance.
    """
    data = config.data
    clips = datasets.load(data.name, data.root, **configuration.options_of(config, "data"))
    clips, labels, classes, _ = label(data.label_scheme, clips)
    if data.permute_labels:
        labels = np.random.default_rng(config.train.seed).permutation(labels)
    return list(clips), labels, classes


def prepare_examples(
    config: ConfigDict, clips: Sequence[Clip], cache: dict[str, Examples]
) -> Examples:
    """The examples that the `method` section makes of `clips`; `cache` holds the last ones."""
    plain = configuration.plain(config)
    key = json.dumps([plain["data"], plain["method"]], sort_keys=True)
    if key not in cache:
        cache.clear()  # frees their memory for the next ones
        options = configuration.options_of(config, "method")
        cache[key] = methods.create(config.method.name, clips, **options)
    return cache[key]


def _row_cache(config: ConfigDict) -> RowCache | None:
    if not config.examples_limit_gib:
        return None
    folder = config.examples_dir or runtime.cache_folder() / "examples"
    return RowCache(pathlib.Path(folder).expanduser(), config.examples_limit_gib * 2**30)


def prepare_folds(
    config: ConfigDict,
    settings: Settings,
    clips: Sequence[Clip],
    labels: np.ndarray,
    classes: Sequence[str],
) -> Folds:
    """The folds of the `protocol` section, with inner validation where training asks for it."""
    options = configuration.options_of(config, "protocol")
    folds = protocols.create(config.protocol.name, clips, labels, **options)
    if settings.validation:
        folds = protocols.validate(folds, fraction=settings.validation, seed=settings.seed)
    lacking = folds.check_classes(labels, classes)
    if lacking:
        raise UserError(
            f"{lacking[0]}{f' (and {len(lacking) - 1} more)' if lacking[1:] else ''}; "
            "give more clips, another protocol, or other data.label_scheme"
        )
    return folds


def digest(*parts: str | np.ndarray) -> str:
    """Twelve hex digits that change when a part does."""
    return saving.digest(*parts)[:12]


def fingerprints(inputs: Any) -> list[str]:
    """[N] hexadecimal digests, one for each example."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(inputs)]
    return [saving.digest(*rows) for rows in zip(*leaves)]
