"""The fold engine: every fold of a job trained as one program.

    result, = fit(examples, labels, [folds], settings, build=lambda rngs: models.create(...))

A row of the job is one fold under one seed and one learning rate. All clips lie on the devices
once. The rows go through in chunks of what the devices hold, each chunk the same compiled program;
an epoch runs without Python per step, and what it reports comes back once a block of epochs.
"""

import contextlib
import dataclasses
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from flax import nnx

from mer_jax import runtime
from mer_jax.errors import UserError
from mer_jax.methods.examples import Examples
from mer_jax.options import checked
from mer_jax.protocols import Folds
from mer_jax.training import (
    distributed,
    label_kinds,
    losses,
    optimizers,
    parallel,
    records,
    rng,
    single_fold,
)
from mer_jax.training.initialization import Weights
from mer_jax.training.progress import Progress
from mer_jax.training.records import Result
from mer_jax.training.settings import Settings
from mer_jax.training.single_fold import Data, FoldArrays, StaticConfig


class Interrupted(Exception):
    """The job was asked to stop, and has saved where it is."""


@checked
@runtime.pinned()
def fit(
    examples: Examples,
    labels: np.ndarray,
    folds: Sequence[Folds],
    settings: Settings,
    *,
    num_classes: int,
    build: Callable[[nnx.Rngs], nnx.Module],
    initial_weights: Weights | None = None,
    across: str = "shard_map",
    within: str = "auto",
    folds_per_device: int = 0,
    remat: bool = False,
    devices: Sequence[jax.Device] | None = None,
    directory: str | pathlib.Path | None = None,
    job_fingerprint: dict | None = None,
    checkpoint_seconds: float = 20.0,
    on_epoch_end: Callable[[int, dict], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    quiet: bool = False,
) -> list[Result]:
    """Trains every fold and returns what each says about the clips it never trained on.

    labels: [N] int, or [N, K] of 0 and 1 (see `targets`). folds: one `Folds` for each of
    `Settings.variants`, and so are the results; they have the same names and differ at most in who
    validates. `build` makes one network from its random streams. start: tensors by dotted path that
    replace fresh ones in every row (`initial.read`). folds_per_device: how many rows a device holds
    at a time, 0 for as many as its memory allows. remat: compute what lies between convolutions and
    products again for the gradient instead of keeping it. directory: where checkpoints go, none if
    None; a job found there is resumed if its `job_fingerprint` is the same. observe is called with the
    number of a variant and the record of an epoch as plain numbers. stop is asked after each block
    of epochs; where it says True the job is saved and `Interrupted` raised.

    Raises `UserError` where a fold has nothing to train on or to test, and where the directory
    holds another job.
    """
    rows = fold_arrays(folds, settings)
    count = len(rows.eval_index)
    devices = list(devices or jax.devices())
    if jax.process_count() == 1:
        devices = devices[:count]  # a device without a fold would only repeat one
    layout = parallel.create(across=across, within=within, devices=devices)
    label_kinds.check(labels, settings, num_views=examples.num_views)
    static = make_static_config(
        examples, len(labels), settings, num_classes=num_classes, build=build, remat=remat
    )
    labels = jnp.asarray(labels, jnp.int32)
    data = parallel.replicate(
        layout, Data(_stored(examples.inputs, settings.data_dtype), labels, initial_weights or {})
    )
    chunk = chunk_size(count, layout, folds_per_device, static, data, rows)
    block = _block(settings.epochs)
    compiled = compile_programs(static, layout, block)
    result = records.empty(folds[0].names * len(folds), rows, settings.epochs, num_classes)
    began = time.monotonic()

    with contextlib.ExitStack() as stack:
        members, done, state, checkpoints = range(min(chunk, count)), 0, None, None
        if directory is not None:
            from mer_jax.training.checkpoints import Checkpoints, Position

            like = jax.eval_shape(compiled.init, data, rows_of(rows, members, chunk))
            restored = None
            if distributed.is_primary():
                checkpoints = stack.enter_context(
                    Checkpoints(directory, job_fingerprint or {}, seconds=checkpoint_seconds)
                )
                restored = checkpoints.restore(like, records.checkpoint_arrays(result))
            restored = _in_every_process(restored, like, records.checkpoint_arrays(result))
            if restored:
                state, record, (members, done) = restored
                for name, value in record.items():
                    getattr(result, name)[:] = value
                if len(members) <= chunk:
                    state = parallel.shard(layout, rows_of(state, range(len(members)), chunk))
                else:  # fewer are trained at a time now: what is not finished begins anew
                    begin = members.stop if done == settings.epochs else members.start
                    members, state, done = range(begin, min(begin + chunk, count)), None, 0

        def save():
            if directory is not None:
                there = distributed.gather_to_host(state)
                if checkpoints:
                    checkpoints.save(there, result, Position(members, done))

        bar = stack.enter_context(
            Progress(
                folds=count,
                epochs=settings.epochs,
                clips=int(folds[0].train.sum(1).mean()) * examples.repeats_per_epoch,
                behind=members.start * settings.epochs + len(members) * done,
                quiet=quiet,
            )
        )
        while members:
            try:
                part = parallel.shard(layout, rows_of(rows, members, chunk))
                if state is None:
                    state, done = compiled.init(data, part), 0
                while done < settings.epochs:
                    state, record = compiled.epochs(data, part, state)
                    records.set_epochs(result, distributed.gather_to_host(record), members, done)
                    done += block
                    bar.update(members, block, done, result.train_loss[members, done - 1])
                    if on_epoch_end:
                        epochs = range(done - block, done)
                        records.notify(on_epoch_end, result, members, epochs, len(folds))
                    if done == settings.epochs:
                        break
                    wishes = [
                        checkpoints is not None and checkpoints.should_save,
                        should_stop is not None and should_stop(),
                    ]
                    should_save, stopping = np.any(distributed.all_gather(wishes), axis=0)
                    if should_save or stopping:
                        save()
                    if stopping:
                        raise Interrupted(
                            f"stopped after epoch {done} of folds up to {members.stop}"
                        )
                predictions = distributed.gather_to_host(
                    compiled.predict_held_out(data, part, state)
                )
            except jax.errors.JaxRuntimeError as error:
                chunk = _smaller(chunk, len(layout.devices), error)
                bar.repeat(len(members) * done)
                members, state = range(members.start, min(members.start + chunk, count)), None
                continue
            records.set_final(result, predictions, members)
            save()
            members = range(members.stop, min(members.stop + chunk, count))
            state = None
    return records.split_variants(result._replace(seconds=time.monotonic() - began), len(folds))


def _stored(inputs: single_fold.Tree, dtype: str) -> single_fold.Tree:
    """Real numbers in `dtype`; what that cannot hold is refused."""
    if dtype == "float32":
        return inputs

    def one(a):
        if a.dtype != jnp.float32:
            return a
        narrow = a.astype(dtype)
        if not bool(jnp.isfinite(narrow).all()):
            raise UserError(
                f"train.data_dtype={dtype} cannot hold these clips: one has a value of "
                f"{float(jnp.abs(a).max()):.6g}; leave it at float32"
            )
        return narrow

    return jax.tree.map(one, inputs)


def make_static_config(
    examples: Examples,
    clips: int,
    settings: Settings,
    *,
    num_classes: int,
    build: Callable[[nnx.Rngs], nnx.Module],
    remat: bool = False,
) -> StaticConfig:
    """Everything static about a job over N = `clips` clips."""
    steps, batch_size = rng.steps_and_batch_size(
        clips, settings.batch_size, examples.repeats_per_epoch
    )
    model = nnx.eval_shape(lambda: build(nnx.Rngs(0)))
    model.train()
    train_graph = nnx.split(model)[0]
    model.eval()
    eval_graph = nnx.split(model)[0]
    rates = optimizers.schedule(
        settings.schedule,
        epochs=settings.epochs,
        steps=steps,
        rate=settings.schedule_rate,
        every=settings.schedule_every,
    )
    return StaticConfig(
        examples=dataclasses.replace(examples, inputs=None),
        train_graph=train_graph,
        eval_graph=eval_graph,
        build=lambda key: build(nnx.Rngs(key)),
        loss=losses.create(settings.loss),
        optimizer=optimizers.create(
            settings.optimizer,
            rates,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
        ),
        num_classes=num_classes,
        steps=steps,
        batch_size=batch_size,
        sampler=settings.sampler,
        model_selection=settings.model_selection,
        early_stopping_patience=settings.early_stopping_patience,
        min_loss_change=settings.min_loss_change,
        lr_plateau_patience=settings.lr_plateau_patience,
        lr_plateau_rule=settings.lr_plateau_rule,
        precision=settings.precision,
        remat=remat,
    )


def fold_arrays(folds: Sequence[Folds], settings: Settings) -> FoldArrays:
    """Arrays [F, ...] for the device: all folds of the first variant, then those of the next."""
    variants = settings.variants.values()
    for name, train, test in zip(folds[0].names, folds[0].train, folds[0].test):
        for what, row in (("training", train), ("test", test)):
            if not row.any():
                raise UserError(
                    f"fold {name} has no {what} clips; look at protocol and data.label_scheme"
                )
    keys = [
        rng.fold_key(variant.seed, name)
        for variant, part in zip(variants, folds, strict=True)
        for name in part.names
    ]
    rates = np.repeat([variant.learning_rate for variant in variants], len(folds[0]))
    statistics_on_all_clips = np.repeat(
        [variant.statistics_on_all_clips for variant in variants], len(folds[0])
    )
    train, test, validation = (
        np.concatenate([getattr(part, name) for part in folds])
        for name in ("train", "test", "validation")
    )
    eval_index = [np.r_[np.flatnonzero(t), np.flatnonzero(v)] for t, v in zip(test, validation)]
    most = max(map(len, eval_index))
    index = np.stack([np.pad(h, (0, most - len(h))) for h in eval_index]).astype(np.int32)
    real = np.arange(most) < np.array([[len(h)] for h in eval_index])
    is_test = np.arange(most) < test.sum(1)[:, None]
    rows: dict[str, Any] = dict(  # on the host still
        key=jnp.stack(keys),
        rate=rates.astype(np.float32),
        train=train,
        statistics_mask=train | statistics_on_all_clips[:, None],
        eval_index=index,
        test=is_test.astype(np.float32),
        validation=(real & ~is_test).astype(np.float32),
    )
    return FoldArrays(**rows)


def chunk_size(
    folds: int,
    layout: parallel.Layout,
    folds_per_device: int,
    static: StaticConfig,
    data: Data,
    rows: FoldArrays,
) -> int:
    """Rows that go through at a time: a multiple of the devices."""
    count = len(layout.devices)
    all_of_them = -(-folds // count)
    each = folds_per_device or _folds_that_fit(all_of_them, layout, static, data, rows)
    return count * min(int(distributed.all_gather(each).min()), all_of_them)


def _smaller(chunk: int, devices: int, error: jax.errors.JaxRuntimeError) -> int:
    """Rows to go on with where a device had no memory for `chunk`; any other error is raised."""
    if "RESOURCE_EXHAUSTED" not in str(error):
        raise error
    each = chunk // devices
    if each == 1:
        raise UserError(
            "a device has no memory for one fold; compute activations again with --config.remat="
            "True, or lower train.batch_size"
        ) from error
    fewer = -(-each // 2)
    logging.warning(
        "a device has no memory for %d folds at a time; going on with %d (folds_per_device=%d "
        "begins so)",
        each,
        fewer,
        fewer,
    )
    return fewer * devices


def _in_every_process(restored, state: single_fold.State, record: dict):
    """What process 0 has `restored`. state: of any number of rows; record: like what was saved."""
    if jax.process_count() == 1:
        return restored
    from mer_jax.training.checkpoints import Position

    where = restored[2] if restored else Position(range(0), 0)
    initial_weights, should_stop, done = distributed.broadcast(
        [where.members.start, where.members.stop, where.epochs]
    )
    if initial_weights == should_stop:
        return None
    rows = int(should_stop - initial_weights)
    blank = jax.tree.map(lambda a: jnp.zeros((rows, *a.shape[1:]), a.dtype), state)
    state, record = distributed.broadcast(restored[:2] if restored else (blank, record))
    return state, record, Position(range(int(initial_weights), int(should_stop)), int(done))


class Programs(NamedTuple):
    """The three compiled functions of a job; a leading F on every tree but data."""

    init: Callable  # (data, fold) -> state
    epochs: Any  # (data, fold, state) -> (state, records [F, block, ...])
    predict_held_out: Callable  # (data, fold, state) -> outcomes [F, ...]


def compile_programs(static: StaticConfig, layout: parallel.Layout, block: int) -> Programs:
    """The functions of a job, laid over its devices. block: epochs that one call runs."""

    def epochs(data, fold, state):
        step = lambda state, _: single_fold.epoch(static, data, fold, state)
        return jax.lax.scan(step, state, None, length=block)

    return Programs(
        init=parallel.over_folds(lambda d, f: single_fold.init(static, d, f), layout),
        epochs=parallel.over_folds(epochs, layout, donate=(2,)),
        predict_held_out=parallel.over_folds(
            lambda d, f, s: single_fold.predict_held_out(static, d, f, s), layout
        ),
    )


# How often the main memory of a machine without accelerators holds what a fold keeps while a
# checkpoint is written: before and after an epoch, the copy to be saved, Orbax's own, and packed.
_COPIES = 5


def _folds_that_fit(most: int, layout, static, data, rows) -> int:
    """As many folds a device as its memory holds: by what they keep where they run one after the
    other, else by the compiler's own account."""
    free = parallel.free_memory(layout)
    if free is None or layout.across == "pmap":
        return most
    compiled = compile_programs(static, layout, 1)

    def of(each):
        every = range(len(rows.eval_index))
        part = parallel.shard(layout, rows_of(rows, every, each * len(layout.devices)))
        return part, jax.eval_shape(compiled.init, data, part)

    if layout.within == "map":  # one after the other: a further fold costs what it keeps only
        kept = sum(a.size * a.dtype.itemsize for a in jax.tree.leaves(of(1)[1]))
        each = int(free / (_COPIES * kept / len(layout.devices)))
        return _evenly(most, max(1, min(most, each)))
    each = most
    while each > 1:
        part, state = of(each)
        memory = compiled.epochs.lower(data, part, state).compile().memory_analysis()
        if memory is None or memory.temp_size_in_bytes + memory.output_size_in_bytes < free:
            break
        each = -(-each // 2)
    return each


def _evenly(most: int, each: int) -> int:
    """At most `each`, so that as many chunks are equally long and few rows only fill the last."""
    chunks = -(-most // each)
    return -(-most // chunks)


def _block(epochs: int) -> int:
    """Epochs a call runs: the largest divisor of `epochs` that leaves about two hundred calls.

    Between calls a job is saved, told of and stopped; a call costs a millisecond or two.
    """
    return max(b for b in range(1, max(1, epochs // 200) + 1) if epochs % b == 0)


def rows_of(rows: FoldArrays, members: range, count: int) -> FoldArrays:
    """Rows of some folds, the last repeated up to `count`; keys stay typed."""
    index = np.minimum(np.arange(members.start, members.start + count), members.stop - 1)
    return jax.tree.map(lambda a: a[index], rows)
