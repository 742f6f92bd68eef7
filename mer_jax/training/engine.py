"""The fold engine: every fold of a job trained as one program.

    result = fit(examples, labels, folds, settings, build=lambda rngs: models.create(...))

All clips lie on the devices once. The folds go through in chunks of what the devices hold, each
chunk the same compiled program; an epoch runs without Python per step, and what it reports comes
back once a block of epochs.
"""

import contextlib
import dataclasses
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from mer_jax.methods.examples import Examples
from mer_jax.problems import UserError, unknown
from mer_jax.protocols import Folds
from mer_jax.training import fold as fold_room
from mer_jax.training import layout as layouts
from mer_jax.training import losses, optimisers, streams
from mer_jax.training.progress import Progress


@dataclasses.dataclass(frozen=True)
class Settings:
    """How folds are trained; the `train` section of a configuration."""

    epochs: int = 50
    batch_size: int = 32
    learning_rate: float = 1e-3
    seed: int = 0
    optimizer: str = "adam"  # "sgd", "adam"
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: str = "constant"  # "constant", "decay", "step", "cosine"
    schedule_rate: float = 1.0  # factor of "decay" (an epoch) and "step" (each schedule_every)
    schedule_every: int = 1
    loss: str = "cross_entropy"  # "cross_entropy", "weighted", "balanced", "margin"
    sampler: str = "shuffle"  # "shuffle", "balanced"
    validation: float = 0.0  # share of a fold's training persons held out for choices
    choice: str = "last"  # "last", "validation"; "test" is what some papers did, and is marked
    patience: int = 0  # epochs
    plateau: int = 0  # epochs
    stop_change: float = 0.0
    mask_all: bool = False  # as published: statistics over all clips, test clips included

    def __post_init__(self):
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise UserError(f"train.{name} is {getattr(self, name)}; it must be 1 or more")
        if not self.learning_rate > 0:
            raise UserError(f"train.learning_rate is {self.learning_rate}; it must be positive")
        for name, known in (
            ("sampler", ("shuffle", "balanced")),
            ("choice", ("last", "validation", "test")),
        ):
            if getattr(self, name) not in known:
                raise unknown(f"train.{name}", getattr(self, name), known)
        if self.choice == "validation" and not self.validation:
            raise UserError("train.choice is 'validation'; set train.validation, say to 0.2")
        if (self.patience or self.plateau) and self.choice == "last":
            raise UserError("train.patience and train.plateau need train.choice='validation'")

    @property
    def as_published(self) -> bool:
        """True where a test clip has a say in anything."""
        return self.choice == "test" or self.mask_all


class Result(NamedTuple):
    """What F folds have to say about their held-out clips. Host arrays."""

    names: tuple[str, ...]  # [F]
    held: np.ndarray  # [F, M] int32, clip of each column, test clips first
    test: np.ndarray  # [F, M] bool
    validation: np.ndarray  # [F, M] bool
    probabilities: np.ndarray  # [F, M, K] float32, by the network of the chosen epoch
    predicted: np.ndarray  # [F, E, M] int8, after each epoch
    train_loss: np.ndarray  # [F, E] float32, NaN after a fold has stopped
    train_accuracy: np.ndarray  # [F, E] float32
    validation_loss: np.ndarray  # [F, E] float32
    status: np.ndarray  # [F, E] int8
    chosen_epoch: np.ndarray  # [F] int32, 1-based
    seconds: float  # of training, this process

    @property
    def sick(self) -> list[str]:
        """Folds whose loss stopped being a number; their predictions are from before."""
        return [n for n, s in zip(self.names, self.status[:, -1]) if s == fold_room.SICK]


def fit(
    examples: Examples,
    labels: np.ndarray,
    folds: Folds,
    settings: Settings,
    *,
    num_classes: int,
    build: Callable[[nnx.Rngs], nnx.Module],
    fold_map: str = "shard_map",
    fold_inner: str = "auto",
    folds_per_device: int = 0,
    devices: Sequence[jax.Device] | None = None,
    directory: str | pathlib.Path | None = None,
    identity: dict | None = None,
    checkpoint_seconds: float = 20.0,
    observe: Callable[[dict], None] | None = None,
    quiet: bool = False,
) -> Result:
    """Trains every fold and returns what each says about the clips it never trained on.

    labels: [N] int. `build` makes one network from its random streams. folds_per_device: how many
    folds a device holds at a time, 0 for as many as its memory allows. directory: where checkpoints
    go, none if None; a job found there is resumed if its `identity` is the same. observe is called
    with each block's records as plain numbers.

    Raises `UserError` where a fold has nothing to train on or to test.
    """
    layout = layouts.create(fold_map=fold_map, inner=fold_inner, devices=devices)
    task = make_task(examples, len(labels), settings, num_classes=num_classes, build=build)
    data = layouts.replicate(
        layout, fold_room.Data(examples.inputs, jnp.asarray(labels, jnp.int32))
    )
    rows = fold_rows(folds, settings.seed)
    chunk = chunk_size(len(folds), layout, folds_per_device, task, data, rows)
    block = _block(settings.epochs)
    programs = _programs(task, layout, block)

    result = _empty_result(folds, rows, settings.epochs, num_classes)
    chunks = [range(a, min(a + chunk, len(folds))) for a in range(0, len(folds), chunk)]
    visits = int(folds.train.sum(1).mean()) * examples.copies
    bar = Progress(folds=len(folds), epochs=settings.epochs, clips=visits, quiet=quiet)
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        stack.callback(bar.close)
        keeper = None
        if directory is not None:
            from mer_jax.training.checkpoints import Checkpoints

            keeper = stack.enter_context(Checkpoints(directory, identity or {}))
        first, done, state = 0, 0, None
        saved = time.monotonic()
        if keeper is not None:
            part = _rows_of(rows, chunks[0], chunk)
            shape = programs.init(data, layouts.spread(layout, part))
            restored = keeper.restore(shape, _record_of(result))
            if restored is not None:
                state, record, place = restored
                for name, value in record.items():
                    getattr(result, name)[:] = value
                first, done = place["chunk"], place["epoch"]
                bar.start_at(
                    sum(len(c) for c in chunks[:first]) * settings.epochs
                    + len(chunks[first]) * done
                )
        for number in range(first, len(chunks)):
            members = chunks[number]
            part = layouts.spread(layout, _rows_of(rows, members, chunk))
            if state is None:
                state, done = programs.init(data, part), 0
            while done < settings.epochs:
                state, record = programs.epochs(data, part, state)
                record = jax.device_get(record)
                _note(result, record, members, done)
                done += block
                lines = _lines(result, folds, members, done - block, done)
                bar.update(
                    folds_done=members.start,
                    folds_now=len(members),
                    epoch=done,
                    epochs=block,
                    loss=float(np.nanmean(result.train_loss[members, done - 1])),
                )
                if observe:
                    for line in lines:
                        observe(line)
                last = done == settings.epochs
                if keeper and not last and time.monotonic() - saved >= checkpoint_seconds:
                    place = {"chunk": number, "epoch": done}
                    keeper.save(_step(place, settings), state, _record_of(result), place)
                    saved = time.monotonic()
            probabilities = jax.device_get(programs.predict(data, part, state))
            result.probabilities[members] = probabilities[: len(members)]
            if settings.choice != "last":
                best = jax.device_get(state.best_epoch)
                result.chosen_epoch[members] = best[: len(members)]
            if keeper:
                place = {"chunk": number, "epoch": settings.epochs}
                keeper.save(_step(place, settings), state, _record_of(result), place)
                saved = time.monotonic()
            state = None
    return result._replace(seconds=time.monotonic() - began)


def make_task(
    examples: Examples,
    clips: int,
    settings: Settings,
    *,
    num_classes: int,
    build: Callable[[nnx.Rngs], nnx.Module],
) -> fold_room.Task:
    """Everything static about a job over N = `clips` clips."""
    steps, width = streams.steps_and_width(clips, settings.batch_size, examples.copies)
    model = nnx.eval_shape(lambda: build(nnx.Rngs(0)))
    model.train()
    train_graph = nnx.split(model)[0]
    model.eval()
    eval_graph = nnx.split(model)[0]
    rates = optimisers.schedule(
        settings.schedule,
        settings.learning_rate,
        epochs=settings.epochs,
        steps=steps,
        rate=settings.schedule_rate,
        every=settings.schedule_every,
    )
    return fold_room.Task(
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
        mask_all=settings.mask_all,
    )


def fold_rows(folds: Folds, seed: int) -> fold_room.Fold:
    """`Folds` as arrays [F, ...] for the device."""
    for name, train, test in zip(folds.names, folds.train, folds.test):
        for what, row in (("training", train), ("test", test)):
            if not row.any():
                raise UserError(
                    f"fold {name} has no {what} clips; look at protocol and data.labels"
                )
    held = [
        np.r_[np.flatnonzero(t), np.flatnonzero(v)] for t, v in zip(folds.test, folds.validation)
    ]
    most = max(map(len, held))
    index = np.stack([np.pad(h, (0, most - len(h))) for h in held]).astype(np.int32)
    real = np.arange(most) < np.array([[len(h)] for h in held])
    is_test = np.arange(most) < folds.test.sum(1)[:, None]
    return fold_room.Fold(
        key=jnp.stack([streams.fold_key(seed, name) for name in folds.names]),
        train=folds.train,
        held=index,
        test=is_test.astype(np.float32),
        validation=(real & ~is_test).astype(np.float32),
    )


def chunk_size(folds: int, layout, folds_per_device: int, task, data, rows) -> int:
    """Folds that go through at a time: a multiple of the devices."""
    count = len(layout.devices)
    all_of_them = -(-folds // count)
    if folds_per_device < 0:
        raise UserError(
            f"folds_per_device is {folds_per_device}; give 1 or more, or 0 for automatic"
        )
    each = folds_per_device or _folds_that_fit(all_of_them, layout, task, data, rows)
    return count * min(each, all_of_them)


class Programs(NamedTuple):
    """The three compiled functions of a job; a leading F on every tree but data."""

    init: Callable  # (data, fold) -> state
    epochs: Callable  # (data, fold, state) -> (state, records [F, block, ...])
    predict: Callable  # (data, fold, state) -> probabilities [F, M, K]


def _programs(task: fold_room.Task, layout: layouts.Layout, block: int) -> Programs:
    def epochs(data, fold, state):
        step = lambda state, _: fold_room.epoch(task, data, fold, state)
        return jax.lax.scan(step, state, None, length=block)

    return Programs(
        init=layouts.over_folds(lambda d, f: fold_room.init(task, d, f), layout),
        epochs=layouts.over_folds(epochs, layout, donate=(2,)),
        predict=layouts.over_folds(lambda d, f, s: fold_room.predict(task, d, f, s), layout),
    )


def _folds_that_fit(most: int, layout, task, data, rows) -> int:
    """As many folds a device as its memory holds, by the compiler's own account."""
    if layout.inner == "map" or layout.fold_map == "pmap":
        return most  # one after the other: a further fold costs its parameters only
    stats = layout.devices[0].memory_stats() or {}
    limit = stats.get("bytes_limit")
    if not limit:
        return most
    free = 0.9 * (limit - stats.get("bytes_in_use", 0))
    each = most
    while each > 1:
        part = layouts.spread(
            layout, _rows_of(rows, range(len(rows.held)), each * len(layout.devices))
        )
        programs = _programs(task, layout, 1)
        state = jax.eval_shape(programs.init, data, part)
        memory = programs.epochs.lower(data, part, state).compile().memory_analysis()
        if memory is None or memory.temp_size_in_bytes + memory.output_size_in_bytes < free:
            break
        each = -(-each // 2)
    return each


def _block(epochs: int) -> int:
    """Epochs a call runs: the largest divisor of `epochs` that leaves about fifty calls."""
    return max(b for b in range(1, max(1, epochs // 50) + 1) if epochs % b == 0)


def _rows_of(rows: fold_room.Fold, members: range, count: int) -> fold_room.Fold:
    """Rows of some folds, the last repeated up to `count`; keys stay typed."""
    index = np.minimum(np.arange(members.start, members.start + count), members.stop - 1)
    return jax.tree.map(lambda a: a[index], rows)


def _empty_result(folds: Folds, rows, epochs: int, num_classes: int) -> Result:
    many, most = len(folds), rows.held.shape[1]
    nan = lambda: np.full((many, epochs), np.nan, np.float32)
    return Result(
        names=folds.names,
        held=rows.held,
        test=rows.test > 0,
        validation=rows.validation > 0,
        probabilities=np.zeros((many, most, num_classes), np.float32),
        predicted=np.full((many, epochs, most), -1, np.int8),
        train_loss=nan(),
        train_accuracy=nan(),
        validation_loss=nan(),
        status=np.zeros((many, epochs), np.int8),
        chosen_epoch=np.full(many, epochs, np.int32),
        seconds=0.0,
    )


_KEPT = (
    "probabilities",
    "predicted",
    "train_loss",
    "train_accuracy",
    "validation_loss",
    "status",
    "chosen_epoch",
)


def _record_of(result: Result) -> dict[str, np.ndarray]:
    return {name: getattr(result, name) for name in _KEPT}


def _note(result: Result, record: fold_room.Record, members: range, done: int) -> None:
    """Writes a block's records [F, block, ...] into the result."""
    for name, value in record._asdict().items():
        target = getattr(result, name)
        target[members, done : done + value.shape[1]] = value[: len(members)]


def _lines(result: Result, folds: Folds, members: range, start: int, stop: int) -> list[dict]:
    """One plain record an epoch, for metrics.jsonl."""
    names = [folds.names[f] for f in members]
    return [
        {
            "epoch": epoch + 1,
            "folds": names,
            "train_loss": result.train_loss[members, epoch].tolist(),
            "train_accuracy": result.train_accuracy[members, epoch].tolist(),
        }
        for epoch in range(start, stop)
    ]


def _step(place: dict, settings: Settings) -> int:
    return place["chunk"] * settings.epochs + place["epoch"]
