"""One job from a configuration to a report.

    summary = run(config, "runs/first")

The working directory gets config.json, folds.json, metrics.jsonl while it trains, and at the end
metrics.json, predictions.csv, megc_log.txt, audit.npz, report.html and, of videos,
predict.json; with checkpoints/ the same command resumes. Several seeds or learning rates are
trained as one job: the working directory is the run of the first, variants/NAME/ those of the
others, and metrics.json has their mean and standard deviation.
"""

import contextlib
import dataclasses
import functools
import json
import pathlib
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx
from ml_collections import ConfigDict

from mer_jax import (
    configuration,
    datasets,
    methods,
    models,
    protocols,
    runtime,
    spotting_experiment,
)
from mer_jax.clips import Clip, reading_from
from mer_jax.datasets import identity
from mer_jax.datasets.labels import Labeled, label
from mer_jax.errors import UserError, first_of, own_code
from mer_jax.inference import profile
from mer_jax.io import learning_curves, reading, saving
from mer_jax.methods import Examples, example_cache
from mer_jax.protocols import Folds
from mer_jax.reporting import outputs, thumbnails
from mer_jax.training import (
    Checkpointing,
    Hooks,
    Parallel,
    Result,
    Settings,
    checkpoints,
    estimators,
    fit,
    initialization,
    records,
)
from mer_jax.training.records import Weights

VARIANTS = "variants"


@runtime.pinned()
def run(
    config: ConfigDict,
    workdir: str | pathlib.Path,
    *,
    command: str = "",
    devices: Sequence[jax.Device] | None = None,
    should_stop: Callable[[], bool] | None = None,
    cache: dict[str, Examples] | None = None,
    pipeline: Any = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Trains and scores one job and writes its report.

    Args:
      config: from `configuration.make`, or `make_spotting` (see `spotting_experiment`).
      workdir: the folder to write to, or to resume in.
      command: shown in the report as the way to repeat the run.
      devices: of the job; all if None.
      should_stop: called every few seconds of training; if True, the job is saved and
        `training.Interrupted` raised.
      cache: examples for a next job of the same data and method; filled by this one.
      pipeline: of `datasets.beam.download_config`; its workers compute the evidence of a spotting
        job.
      quiet: print no progress.

    Returns:
      The content of metrics.json.

    Raises:
      UserError: for a mistake in the configuration or the data, before training; `DataError` for
        problems of a database.
      training.Interrupted: see `should_stop`.
    """
    Hooks(should_stop=should_stop).nothing_to_save()  # of the job before, in a sweep
    runtime.watch_memory()
    if configuration.is_spotting(config):
        return spotting_experiment.run(
            config,
            workdir,
            run_recognition=run,
            command=command,
            devices=devices,
            should_stop=should_stop,
            pipeline=pipeline,
            quiet=quiet,
        )
    if pipeline:
        raise UserError("--runner is for spotting jobs; prepare clips by mer-jax prepare --runner")
    started = time.monotonic()
    settings = configuration.check(config)
    workdir = reading.expanded(workdir)
    job = _prepare(config, settings, workdir, cache=cache, quiet=quiet)
    resumes = bool(checkpoints.identity(workdir / "checkpoints"))
    checkpoints.verify_same_job(workdir / "checkpoints", job.fingerprint)
    variants, plain = settings.variants, configuration.to_dict(config)
    configs = [
        plain,
        *(plain | {"train": dataclasses.asdict(v)} for v in list(variants.values())[1:]),
    ]
    for folder, own, folds in zip(job.folders, configs, job.folds):
        outputs.begin(folder, own, resumes=resumes)
        saving.write_json(folder / "folds.json", folds.to_json())
    results = _train(job, devices=devices, should_stop=should_stop, quiet=quiet)
    evaluations = _evaluate(job, results)
    for evaluation, variant, result in zip(evaluations.values(), variants.values(), results):
        evaluation.summary["provenance"] = outputs.provenance(
            command, variant.seed, result.seconds, wall_seconds=time.monotonic() - started
        ) | {"clips": job.fingerprint["clips"], **job.data}
    summary = outputs.write_reports(job.folders, configs, evaluations, settings)
    clips = job.shared.clips
    if config.report.profile and all(clip.content == "video" for clip in clips):
        profile.save_profile(workdir, clips)
    return summary


class _Job(NamedTuple):
    """A configuration's clips, folds and network, ready for training."""

    config: ConfigDict
    settings: Settings
    folders: list[pathlib.Path]  # of each variant
    shared: outputs.Job
    folds: list[Folds]  # of each variant; they differ at most in their validation clips
    examples: Examples  # of the N clips
    sizes: dict[str, Any]  # options of the model
    build: Callable[[nnx.Rngs], nnx.Module]
    initial_weights: Weights | list[Weights]
    fingerprint: dict[str, Any]  # what a resumed job must have in common with it
    data: dict[str, str]  # `data_digests`, and "left_out": clips without a class


def _prepare(
    config: ConfigDict,
    settings: Settings,
    workdir: pathlib.Path,
    *,
    cache: dict[str, Examples] | None,
    quiet: bool,
) -> _Job:
    """Reads the clips; makes folds and examples. Prints their numbers unless `quiet`."""
    log = (lambda *_: None) if quiet else lambda text: print(text, file=sys.stderr, flush=True)
    labeled = label_clips(config)
    clips, labels, classes = _decode_once(labeled.clips), labeled.labels, labeled.classes
    left_out = labeled.left_out and f"label scheme {config.data.label_scheme} {labeled.left_out}"
    if left_out:
        log(left_out)
    variants = settings.variants
    folds = [prepare_folds(config, each, clips, labels, classes) for each in variants.values()]
    log(
        f"{len(clips)} clips of {len(set(folds[0].subjects))} subjects, {len(folds[0])} fold"
        + "s" * (len(folds[0]) > 1)
        + (f", {len(variants)} variants in one job" if len(variants) > 1 else "")
    )
    cache_on_disk, storage = example_cache.of_job(config)
    with example_cache.caching(cache_on_disk, quiet=quiet, storage=storage):
        examples = prepare_examples(config, clips, {} if cache is None else cache)
    model, sizes = config.model.name, configuration.options_of(config, "model")
    count, shape = len(classes), examples.input_shape
    build = lambda rngs, num_classes=count: models.create(
        model, num_classes=num_classes, rngs=rngs, shape=shape, **sizes
    )
    if ":" in model and not models.info(model).estimator:
        _check_network(model, build, examples, len(classes))
    digests = example_digests(clips, examples.inputs)
    # The first variant's folds give the others'.
    fingerprint = configuration.job_of(configuration.to_dict(config))
    fingerprint["folds"] = folds[0].fingerprint
    fingerprint["clips"] = saving.digest("".join(digests), labels)[:12]
    initial_weights: Weights | list[Weights] = {}
    if settings.init_from:
        initial_weights = initialization.read(
            settings.init_from,
            build,
            folds=folds[0].names,
            classes=classes,
            complete=not settings.epochs,
        )
        # Raises for a run that the run was initialized from and that is not there any more.
        initialization.pretraining_overlap(settings.init_from, folds[0])
        each = initial_weights if isinstance(initial_weights, list) else [initial_weights]
        parts: list[str | np.ndarray] = []
        for own in each:
            parts += [*own, *own.values()]
        fingerprint["initial_weights"] = saving.digest(*parts)[:12]
        log(f"{len(each[0])} tensors start from {settings.init_from}")
    folders = [workdir, *(workdir / VARIANTS / name for name in list(variants)[1:])]
    repeats, protocol = examples.repeats_per_epoch, config.protocol.name
    shared = outputs.Job(clips, labels, classes, digests, repeats, protocol)
    return _Job(
        *(config, settings, folders, shared, folds, examples, sizes, build, initial_weights),
        fingerprint,
        data_digests(clips, labels, folds[0]) | ({"left_out": left_out} if left_out else {}),
    )


def _check_network(
    name: str, build: Callable[[nnx.Rngs], nnx.Module], examples: Examples, num_classes: int
) -> None:
    """Raises `UserError` for a network of the user's that gives no logits [B, K], untrained."""
    one = lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype)
    weights = jax.ShapeDtypeStruct((len(jax.tree.leaves(examples.inputs)[0]),), np.float32)
    statistics = jax.eval_shape(examples.fit_statistics, examples.inputs, weights)
    sample = jax.eval_shape(examples.eval_transform, jax.tree.map(one, examples.inputs), statistics)
    if examples.num_views > 1:
        sample = jax.tree.map(one, sample)
    batch = jax.tree.map(lambda a: jax.ShapeDtypeStruct((2, *a.shape), a.dtype), sample)
    shapes = ", ".join(str(a.shape) for a in jax.tree.leaves(batch))
    model = nnx.eval_shape(lambda: build(nnx.Rngs(0)))
    with own_code("model", name, about=f", of examples {shapes}"):
        mask = jax.ShapeDtypeStruct((2,), np.float32)
        out = nnx.eval_shape(lambda network, x, mask: network(x, mask=mask), model, batch, mask)
    if getattr(out, "shape", None) != (2, num_classes):
        found = getattr(out, "shape", type(out).__name__)
        raise UserError(
            f"model {name} gives {found} of examples {shapes}; it must give (2, {num_classes}), a "
            "number for each class"
        )


def _decode_once(clips: Sequence[Clip]) -> list[Clip]:
    """`clips` whose frames, once read, stay in memory, up to a quarter of what is free.

    The method, the pictures of the report and the profile read them from there.
    """
    free = runtime.available_memory() / 4

    def read_once(read: Callable[[], np.ndarray]) -> Callable[[], np.ndarray]:
        found: list[np.ndarray] = []

        def frames() -> np.ndarray:
            nonlocal free
            if found:
                return found[0]
            array = np.asarray(read())
            if array.nbytes <= free:
                free -= array.nbytes
                found.append(array)
            return array

        return reading_from(read, frames)

    return [dataclasses.replace(clip, read=read_once(clip.read)) for clip in clips]


def _train(
    job: _Job,
    *,
    devices: Sequence[jax.Device] | None,
    should_stop: Callable[[], bool] | None,
    quiet: bool,
) -> list[Result]:
    """One result for each variant, whose learning curves are written to its folder."""
    config, labels, count = job.config, job.shared.labels, len(job.shared.classes)
    if models.info(config.model.name).estimator:
        sizes = dict(job.sizes)
        if sizes.get("random_state", 0) is None:
            sizes["random_state"] = config.train.seed
        build = functools.partial(models.create_estimator, config.model.name, **sizes)
        return [estimators.fit(job.examples, labels, job.folds[0], build, num_classes=count)]
    if not quiet:
        text = "compiling the programs that the cache does not have"
        print(text, file=sys.stderr, flush=True)
    with contextlib.ExitStack() as stack:
        writers = [
            stack.enter_context(learning_curves.jsonl_writer(folder / outputs.CURVES))
            for folder in job.folders
        ]
        return fit(
            job.examples,
            labels,
            job.folds,
            job.settings,
            num_classes=count,
            build=job.build,
            initial_weights=job.initial_weights,
            parallel=Parallel(**config.parallel, remat=config.remat, devices=devices),
            checkpointing=Checkpointing(
                job.folders[0] / "checkpoints", job.fingerprint, config.checkpoint_seconds
            ),
            hooks=Hooks(lambda variant, line: writers[variant](line), should_stop, quiet),
        )


def _evaluate(job: _Job, results: Sequence[Result]) -> dict[str, outputs.Evaluation]:
    """Scores each variant, and writes its files but metrics.json and report.html."""
    config, variants = job.config, job.settings.variants
    thumbnail_cache: dict[str, bytes] = {}
    draw = lambda predictions: thumbnails.pictures(
        job.shared.clips,
        predictions,
        max_examples=thumbnails.MAX_EXAMPLES * config.report.example_figures,
        max_thumbnails=thumbnails.MAX_THUMBNAILS * config.report.thumbnails,
        cache=thumbnail_cache,
    )
    evaluations = {}
    no_epochs = models.info(config.model.name).estimator or not job.settings.epochs
    for folder, folds, result, (name, variant) in zip(
        job.folders, job.folds, results, variants.items()
    ):
        strict = dataclasses.replace(variant, statistics_on_all_clips=False)
        evaluations[name] = outputs.evaluate_variant(
            folder,
            result,
            folds,
            variant,
            job.shared,
            strict_result=results[list(variants.values()).index(strict)],
            history=None if no_epochs else records.learning_curves(result),
            pictures=draw,
        )
    return evaluations


def label_clips(config: ConfigDict) -> Labeled:
    """As `prepare_clips`, with the clips that have no class in the label scheme."""
    data = config.data
    clips = datasets.load(data.name, data.root, **configuration.options_of(config, "data"))
    labeled = label(data.label_scheme, clips)
    if not data.permute_labels:
        return labeled
    return labeled._replace(
        labels=np.random.default_rng(config.train.seed).permutation(labeled.labels)
    )


def prepare_clips(config: ConfigDict) -> tuple[list[Clip], np.ndarray, tuple[str, ...]]:
    """Reads the database of the `data` section and labels its clips.

    data.permute_labels permutes the labels over all clips: a control that must score at chance. All
    seeds of a job have the permutation of its first, train.seed.

    Returns:
      N clips, labels [N] int32 (several labels a clip: [N, K] of 0 and 1), and K class names.

    Raises:
      UserError: `DataError` for problems of the database.
    """
    clips, labels, classes, _ = label_clips(config)
    return list(clips), labels, classes


def prepare_examples(
    config: ConfigDict, clips: Sequence[Clip], cache: dict[str, Examples]
) -> Examples:
    """The examples that the `method` section makes of `clips`; `cache` has the last ones."""
    plain = configuration.to_dict(config)
    key = json.dumps([plain["data"], plain["method"]], sort_keys=True)
    if key not in cache:
        cache.clear()  # frees their memory for the next ones
        options = configuration.options_of(config, "method")
        cache[key] = methods.create(config.method.name, clips, **options)
    return cache[key]


def prepare_folds(
    config: ConfigDict,
    settings: Settings,
    clips: Sequence[Clip],
    labels: np.ndarray,
    classes: Sequence[str],
) -> Folds:
    """The folds of the `protocol` section, with validation clips if `train.validation` is set.

    Raises:
      UserError: if a fold has no training clip of a class.
    """
    options = configuration.options_of(config, "protocol")
    folds = protocols.create(config.protocol.name, clips, labels, **options)
    if settings.validation:
        folds = protocols.with_validation(folds, fraction=settings.validation, seed=settings.seed)
    if lacking := folds.check_classes(labels, classes):
        raise UserError(
            f"{'; '.join(lacking[:5])}{f' (and {len(lacking) - 5} more)' * (len(lacking) > 5)}; "
            "give more clips, another protocol, or other data.label_scheme"
        )
    return folds


def data_digests(clips: Sequence[Clip], labels: np.ndarray, folds: Folds) -> dict[str, str]:
    """12 hexadecimal digits of the clips and labels ("data"), and of "folds".

    No video is decoded where file sizes and times stand for its frames (`identity.digest`).
    """
    digests = map(identity.digest, clips)
    return {"data": saving.digest(*digests, labels)[:12], "folds": folds.fingerprint}


def example_digests(clips: Sequence[Clip], inputs: Any) -> list[str]:
    """[N] hexadecimal digests, one for each clip's example.

    Raises `UserError` for an example with values that are NaN or infinite.
    """
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(inputs)]

    def digest(*rows):  # both in one pass: the examples may lie in a file
        real = [row for row in rows if np.issubdtype(row.dtype, np.floating)]
        return saving.digest(*rows) if all(np.isfinite(row).all() for row in real) else ""

    with runtime.threads() as pool:
        digests = list(pool.map(digest, *leaves))
    if "" in digests:
        lacking = [clip.key for clip, found in zip(clips, digests) if not found]
        raise UserError(
            f"the example of {first_of(lacking)} has values that are NaN or infinite; look at it "
            "by mer-jax show, and leave it out or change the method's options"
        )
    return digests
