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

from mer_jax import programs
from mer_jax.methods.examples import Examples
from mer_jax.options import checked
from mer_jax.problems import UserError
from mer_jax.protocols import Folds
from mer_jax.training import fold as fold_room
from mer_jax.training import layout as layouts
from mer_jax.training import losses, optimisers, processes, streams, targets
from mer_jax.training import result as results
from mer_jax.training.fold import Data, Fold, Task
from mer_jax.training.initial import Weights
from mer_jax.training.progress import Progress
from mer_jax.training.result import Result
from mer_jax.training.settings import Settings


class Interrupted(Exception):
    """The job was asked to stop, and has saved where it is."""


@checked
@programs.pinned()
def fit(
    examples: Examples,
    labels: np.ndarray,
    folds: Sequence[Folds],
    settings: Settings,
    *,
    num_classes: int,
    build: Callable[[nnx.Rngs], nnx.Module],
    start: Weights | None = None,
    fold_map: str = "shard_map",
    fold_inner: str = "auto",
    folds_per_device: int = 0,
    remat: bool = False,
    devices: Sequence[jax.Device] | None = None,
    directory: str | pathlib.Path | None = None,
    identity: dict | None = None,
    checkpoint_seconds: float = 20.0,
    observe: Callable[[int, dict], None] | None = None,
    stop: Callable[[], bool] | None = None,
    quiet: bool = False,
) -> list[Result]:
    """Trains every fold and returns what each says about the clips it never trained on.

    labels: [N] int, or [N, K] of 0 and 1 (see `targets`). folds: one `Folds` for each of
    `Settings.variants`, and so are the results; they have the same names and differ at most in who
    validates. `build` makes one network from its random streams. start: tensors by dotted path that
    replace fresh ones in every row (`initial.read`). folds_per_device: how many rows a device holds
    at a time, 0 for as many as its memory allows. remat: compute what lies between convolutions and
    products again for the gradient instead of keeping it. directory: where checkpoints go, none if
    None; a job found there is resumed if its `identity` is the same. observe is called with the
    number of a variant and the record of an epoch as plain numbers. stop is asked after each block
    of epochs; where it says True the job is saved and `Interrupted` raised.

    Raises `UserError` where a fold has nothing to train on or to test, and where the directory
    holds another job.
    """
    rows = fold_rows(folds, settings)
    count = len(rows.held)
    devices = list(devices or jax.devices())
    if jax.process_count() == 1:
        devices = devices[:count]  # a device without a fold would only repeat one
    layout = layouts.create(fold_map=fold_map, inner=fold_inner, devices=devices)
    targets.check(labels, settings, votes=examples.votes)
    task = make_task(
        examples, len(labels), settings, num_classes=num_classes, build=build, remat=remat
    )
    labels = jnp.asarray(labels, jnp.int32)
    data = layouts.replicate(
        layout, Data(_stored(examples.inputs, settings.storage), labels, start or {})
    )
    chunk = chunk_size(count, layout, folds_per_device, task, data, rows)
    block = _block(settings.epochs)
    programs = compile_programs(task, layout, block)
    result = results.empty(folds[0].names * len(folds), rows, settings.epochs, num_classes)
    began = time.monotonic()

    with contextlib.ExitStack() as stack:
        members, done, state, keeper = range(min(chunk, count)), 0, None, None
        if directory is not None:
            from mer_jax.training.checkpoints import Checkpoints, Place

            like = jax.eval_shape(programs.init, data, rows_of(rows, members, chunk))
            restored = None
            if processes.first():
                keeper = stack.enter_context(
                    Checkpoints(directory, identity or {}, seconds=checkpoint_seconds)
                )
                restored = keeper.restore(like, results.kept(result))
            restored = _in_every_process(restored, like, results.kept(result))
            if restored:
                state, record, (members, done) = restored
                for name, value in record.items():
                    getattr(result, name)[:] = value
                if len(members) <= chunk:
                    state = layouts.spread(layout, rows_of(state, range(len(members)), chunk))
                else:  # fewer are trained at a time now: what is not finished begins anew
                    begin = members.stop if done == settings.epochs else members.start
                    members, state, done = range(begin, min(begin + chunk, count)), None, 0

        def save():
            if directory is not None:
                there = processes.whole(state)
                if keeper:
                    keeper.save(there, result, Place(members, done))

        bar = stack.enter_context(
            Progress(
                folds=count,
                epochs=settings.epochs,
                clips=int(folds[0].train.sum(1).mean()) * examples.copies,
                behind=members.start * settings.epochs + len(members) * done,
                quiet=quiet,
            )
        )
        while members:
            try:
                part = layouts.spread(layout, rows_of(rows, members, chunk))
                if state is None:
                    state, done = programs.init(data, part), 0
                while done < settings.epochs:
                    state, record = programs.epochs(data, part, state)
                    results.note(result, processes.whole(record), members, done)
                    done += block
                    bar.update(members, block, done, result.train_loss[members, done - 1])
                    if observe:
                        epochs = range(done - block, done)
                        results.tell(observe, result, members, epochs, len(folds))
                    if done == settings.epochs:
                        break
                    wishes = [keeper is not None and keeper.due, stop is not None and stop()]
                    due, stopping = np.any(processes.everyone(wishes), axis=0)
                    if due or stopping:
                        save()
                    if stopping:
                        raise Interrupted(
                            f"stopped after epoch {done} of folds up to {members.stop}"
                        )
                outcome = processes.whole(programs.finish(data, part, state))
            except jax.errors.JaxRuntimeError as error:
                chunk = _smaller(chunk, len(layout.devices), error)
                bar.repeat(len(members) * done)
                members, state = range(members.start, min(members.start + chunk, count)), None
                continue
            results.conclude(result, outcome, members)
            save()
            members = range(members.stop, min(members.stop + chunk, count))
            state = None
    return results.parts(result._replace(seconds=time.monotonic() - began), len(folds))


def _stored(inputs: fold_room.Tree, dtype: str) -> fold_room.Tree:
    """Real numbers in `dtype`; what that cannot hold is refused."""
    if dtype == "float32":
        return inputs

    def one(a):
        if a.dtype != jnp.float32:
            return a
        narrow = a.astype(dtype)
        if not bool(jnp.isfinite(narrow).all()):
            raise UserError(
                f"train.storage={dtype} cannot hold these clips: one has a value of "
                f"{float(jnp.abs(a).max()):.6g}; leave it at float32"
            )
        return narrow

    return jax.tree.map(one, inputs)


def make_task(
    examples: Examples,
    clips: int,
    settings: Settings,
    *,
    num_classes: int,
    build: Callable[[nnx.Rngs], nnx.Module],
    remat: bool = False,
) -> Task:
    """Everything static about a job over N = `clips` clips."""
    steps, width = streams.steps_and_width(clips, settings.batch_size, examples.copies)
    model = nnx.eval_shape(lambda: build(nnx.Rngs(0)))
    model.train()
    train_graph = nnx.split(model)[0]
    model.eval()
    eval_graph = nnx.split(model)[0]
    rates = optimisers.schedule(
        settings.schedule,
        epochs=settings.epochs,
        steps=steps,
        rate=settings.schedule_rate,
        every=settings.schedule_every,
    )
    return Task(
        examples=dataclasses.replace(examples, inputs=None),
        train_graph=train_graph,
        eval_graph=eval_graph,
        build=lambda key: build(nnx.Rngs(key)),
        loss=losses.create(settings.loss),
        optimiser=optimisers.create(
            settings.optimizer,
            rates,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
        ),
        num_classes=num_classes,
        steps=steps,
        width=width,
        sampler=settings.sampler,
        choice=settings.choice,
        patience=settings.patience,
        stop_change=settings.stop_change,
        plateau=settings.plateau,
        plateau_rule=settings.plateau_rule,
        precision=settings.precision,
        remat=remat,
    )


def fold_rows(folds: Sequence[Folds], settings: Settings) -> Fold:
    """Arrays [F, ...] for the device: all folds of the first variant, then those of the next."""
    variants = settings.variants.values()
    for name, train, test in zip(folds[0].names, folds[0].train, folds[0].test):
        for what, row in (("training", train), ("test", test)):
            if not row.any():
                raise UserError(
                    f"fold {name} has no {what} clips; look at protocol and data.classes"
                )
    keys = [
        streams.fold_key(variant.seed, name)
        for variant, part in zip(variants, folds, strict=True)
        for name in part.names
    ]
    rates = np.repeat([variant.learning_rate for variant in variants], len(folds[0]))
    mask_all = np.repeat([variant.mask_all for variant in variants], len(folds[0]))
    train, test, validation = (
        np.concatenate([getattr(part, name) for part in folds])
        for name in ("train", "test", "validation")
    )
    held = [np.r_[np.flatnonzero(t), np.flatnonzero(v)] for t, v in zip(test, validation)]
    most = max(map(len, held))
    index = np.stack([np.pad(h, (0, most - len(h))) for h in held]).astype(np.int32)
    real = np.arange(most) < np.array([[len(h)] for h in held])
    is_test = np.arange(most) < test.sum(1)[:, None]
    rows: dict[str, Any] = dict(  # on the host still
        key=jnp.stack(keys),
        rate=rates.astype(np.float32),
        train=train,
        learned=train | mask_all[:, None],
        held=index,
        test=is_test.astype(np.float32),
        validation=(real & ~is_test).astype(np.float32),
    )
    return Fold(**rows)


def chunk_size(
    folds: int, layout: layouts.Layout, folds_per_device: int, task: Task, data: Data, rows: Fold
) -> int:
    """Rows that go through at a time: a multiple of the devices."""
    count = len(layout.devices)
    all_of_them = -(-folds // count)
    each = folds_per_device or _folds_that_fit(all_of_them, layout, task, data, rows)
    return count * min(int(processes.everyone(each).min()), all_of_them)


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


def _in_every_process(restored, state: fold_room.State, record: dict):
    """What process 0 has `restored`. state: of any number of rows; record: like what was saved."""
    if jax.process_count() == 1:
        return restored
    from mer_jax.training.checkpoints import Place

    where = restored[2] if restored else Place(range(0), 0)
    start, stop, done = processes.shared([where.members.start, where.members.stop, where.epochs])
    if start == stop:
        return None
    rows = int(stop - start)
    blank = jax.tree.map(lambda a: jnp.zeros((rows, *a.shape[1:]), a.dtype), state)
    state, record = processes.shared(restored[:2] if restored else (blank, record))
    return state, record, Place(range(int(start), int(stop)), int(done))


class Programs(NamedTuple):
    """The three compiled functions of a job; a leading F on every tree but data."""

    init: Callable  # (data, fold) -> state
    epochs: Any  # (data, fold, state) -> (state, records [F, block, ...])
    finish: Callable  # (data, fold, state) -> outcomes [F, ...]


def compile_programs(task: Task, layout: layouts.Layout, block: int) -> Programs:
    """The functions of a job, laid over its devices. block: epochs that one call runs."""

    def epochs(data, fold, state):
        step = lambda state, _: fold_room.epoch(task, data, fold, state)
        return jax.lax.scan(step, state, None, length=block)

    return Programs(
        init=layouts.over_folds(lambda d, f: fold_room.init(task, d, f), layout),
        epochs=layouts.over_folds(epochs, layout, donate=(2,)),
        finish=layouts.over_folds(lambda d, f, s: fold_room.finish(task, d, f, s), layout),
    )


# How often the main memory of a machine without accelerators holds what a fold keeps while a
# checkpoint is written: before and after an epoch, the copy to be saved, Orbax's own, and packed.
_COPIES = 5


def _folds_that_fit(most: int, layout, task, data, rows) -> int:
    """As many folds a device as its memory holds: by what they keep where they run one after the
    other, else by the compiler's own account."""
    free = layouts.free_memory(layout)
    if free is None or layout.fold_map == "pmap":
        return most
    programs = compile_programs(task, layout, 1)

    def of(each):
        every = range(len(rows.held))
        part = layouts.spread(layout, rows_of(rows, every, each * len(layout.devices)))
        return part, jax.eval_shape(programs.init, data, part)

    if layout.inner == "map":  # one after the other: a further fold costs what it keeps only
        kept = sum(a.size * a.dtype.itemsize for a in jax.tree.leaves(of(1)[1]))
        each = int(free / (_COPIES * kept / len(layout.devices)))
        return _evenly(most, max(1, min(most, each)))
    each = most
    while each > 1:
        part, state = of(each)
        memory = programs.epochs.lower(data, part, state).compile().memory_analysis()
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


def rows_of(rows: Fold, members: range, count: int) -> Fold:
    """Rows of some folds, the last repeated up to `count`; keys stay typed."""
    index = np.minimum(np.arange(members.start, members.start + count), members.stop - 1)
    return jax.tree.map(lambda a: a[index], rows)
