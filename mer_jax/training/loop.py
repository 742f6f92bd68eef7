"""The training loop: every fold of a job as one compiled program.

    build = lambda rngs: models.create("ststnet", num_classes=3, rngs=rngs)
    result, = fit(examples, labels, [folds], settings, num_classes=3, build=build)

A row of the job is one fold under one seed and one learning rate. All clips are on every device
once. The rows are trained in chunks of as many as the devices hold, with the same program; an epoch
runs without Python between its steps, and its records come back once a block of epochs. One that
takes long is several calls, so that the progress line moves and a job stops within seconds.
"""

import contextlib
import dataclasses
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from flax import nnx

from mer_jax import runtime
from mer_jax.errors import UserError
from mer_jax.io import large_arrays
from mer_jax.io.progress import Progress
from mer_jax.methods.examples import Examples
from mer_jax.protocols import Folds
from mer_jax.training import distributed, label_kinds, memory, records
from mer_jax.training.checkpoints import Checkpoints
from mer_jax.training.parallel import Layout, Parallel, shard
from mer_jax.training.programs import Programs
from mer_jax.training.records import (
    Data,
    FoldArrays,
    Position,
    Result,
    State,
    Tree,
    Weights,
)
from mer_jax.training.settings import Settings
from mer_jax.training.single_fold import make_static_config

_PART_S = 2.0  # of an epoch that takes long, until the next look at signals


class Interrupted(Exception):
    """`Hooks.should_stop` returned True; the job has saved its progress."""


@dataclasses.dataclass(frozen=True)
class Checkpointing:
    """Where and how often a job saves its progress.

    Attributes:
      directory: of the checkpoints; a job found there is resumed if its `job_fingerprint` agrees.
      job_fingerprint: JSON values that identify the job (configuration, data, folds).
      interval_s: seconds between checkpoints, see `Checkpoints`.
    """

    directory: str | pathlib.Path
    job_fingerprint: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    interval_s: float = 20.0


@dataclasses.dataclass(frozen=True)
class Hooks:
    """What a job calls, and prints, while it trains.

    Attributes:
      on_epoch_end: called with the index of a variant and an epoch's record, a dictionary of lists.
      should_stop: called between blocks of epochs, and between the steps of long ones about every
        two seconds; if it returns True, the job is saved as after its last whole epoch and
        `Interrupted` raised. See also `nothing_to_save`.
      quiet: print no progress line.
      on_trained: called with the trained rows of a job and their state on the host, [F, ...],
        before their last checkpoint; it keeps the networks, which the checkpoints otherwise do.
    """

    on_epoch_end: Callable[[int, dict], None] | None = None
    should_stop: Callable[[], bool] | None = None
    quiet: bool = False
    on_trained: Callable[[range, State], None] | None = None

    def nothing_to_save(self, *, is_so: Callable[[], bool] = lambda: True) -> None:
        """Tells `should_stop`, if it has a method of this name, when it need not wait for a call.

        is_so: whether the process can end now and lose nothing that is finished; from any thread.
        """
        getattr(self.should_stop, "nothing_to_save", lambda **_: None)(is_so=is_so)


# Ten parameters: what is trained (four), the network (three), and three groups of options.
@runtime.pinned()
def fit(
    examples: Examples,
    labels: np.ndarray,
    folds: Sequence[Folds],
    settings: Settings,
    *,
    num_classes: int,
    build: Callable[[nnx.Rngs], nnx.Module],
    initial_weights: Weights | Sequence[Weights] | None = None,
    parallel: Parallel | None = None,
    checkpointing: Checkpointing | None = None,
    hooks: Hooks | None = None,
) -> list[Result]:
    """Trains every fold and predicts its held-out clips.

    Args:
      examples: of N clips.
      labels: [N] int, [N, K] int of 0 and 1, or [N, K] float (see `label_kinds`).
      folds: one `Folds` for each of `Settings.variants`, of the same names; they differ at most in
        their validation clips.
      settings: how to train.
      num_classes: K.
      build: makes one network from its random streams.
      initial_weights: tensors by dotted path that replace fresh ones in every row, or such tensors
        of each fold (`initialization.read`).
      parallel: how folds are divided over devices.
      checkpointing: where progress is saved; None: nowhere.
      hooks: what is called after epochs.

    Returns:
      One `Result` for each of `folds`.

    Raises:
      UserError: for arguments that do not belong together, a fold without clips to train on or to
        test, or a directory that holds another job.
      Interrupted: if `hooks.should_stop` returned True.
    """
    parallel, hooks = parallel or Parallel(), hooks or Hooks()
    shared = initial_weights if isinstance(initial_weights, Mapping) else {}
    own = () if isinstance(initial_weights, Mapping) else initial_weights or ()
    rows = records.fold_arrays(folds, settings, initial_weights=own)
    layout = parallel.layout(len(rows.eval_index))
    clips = {len(leaf) for leaf in jax.tree.leaves(examples.inputs)} | {rows.train.shape[1]}
    if clips != {len(labels)}:
        raise UserError(f"{len(labels)} labels, and examples and folds of {sorted(clips)} clips")
    label_kinds.check(labels, settings, num_views=examples.num_views)
    label_kinds.check_classes(labels, num_classes)
    static = make_static_config(
        examples, len(labels), settings, num_classes=num_classes, build=build, remat=parallel.remat
    )
    fewest = int(rows.train.sum(1).min()) * examples.repeats_per_epoch
    static = static._replace(skips=settings.sampler == "sequential" or fewest < static.steps)
    inputs = _as_dtype(examples.inputs, settings.data_dtype)
    real = np.issubdtype(labels.dtype, np.floating)
    on_host: Any = labels.astype(np.float32 if real else np.int32)
    data = Data(inputs, on_host, dict(shared))
    block = 1 if static.in_parts else _block(settings.epochs)
    layout, data, programs, chunk_size = memory.plan(
        static,
        layout,
        data,
        rows,
        block=block,
        folds_per_device=parallel.folds_per_device,
        examples_on_host=parallel.examples_on_host,
        quiet=hooks.quiet,
    )
    job = _Job(
        layout,
        data,
        rows,
        programs,
        epochs=settings.epochs,
        block=block,
        steps=static.steps,
        in_parts=static.in_parts,
        variants=len(folds),
        clips=folds[0].train.sum(1).mean() * examples.repeats_per_epoch / static.steps,
    )
    result = records.empty(folds[0].names * len(folds), rows, settings.epochs, num_classes)
    started = time.monotonic()
    with _Store(checkpointing) as store:
        _train_all(job, chunk_size, result, store, hooks)
        seconds = store.seconds
    if seconds is not None and jax.process_count() == 1:
        hooks.nothing_to_save()
    result = result._replace(seconds=time.monotonic() - started if seconds is None else seconds)
    return records.split_variants(result, len(folds))


class _Job(NamedTuple):
    """What the loop works with and does not change."""

    layout: Layout
    data: Data
    rows: FoldArrays  # [F, ...], on the host
    programs: Programs
    epochs: int
    block: int  # epochs of one call
    steps: int  # of an epoch
    in_parts: bool  # an epoch is several calls
    variants: int  # whose folds follow one another in `rows`
    clips: float  # that a fold trains on in a step, for the progress line

    def chunk_from(self, start: int, size: int) -> "_Chunk":
        """The next rows, not yet trained; none at the end."""
        return _Chunk(range(start, min(start + size, len(self.rows.eval_index))), size)

    def steps_done(self, current: "_Chunk") -> int:
        """Steps of all rows up to where `current` stands."""
        epochs = current.members.start * self.epochs + len(current.members) * current.epochs
        return epochs * self.steps + len(current.members) * current.step


@dataclasses.dataclass
class _Chunk:
    """The rows in training."""

    members: range
    size: int  # rows on the devices: the last member is repeated as padding
    epochs: int = 0  # that they have trained
    step: int = 0  # steps of the epoch after these, where an epoch is several calls
    steps_per_call: int = 1  # likewise
    state: State | None = None  # [size, ...] on the devices, after `epochs`


def _train_all(job: _Job, chunk_size: int, result: Result, store: "_Store", hooks: Hooks) -> None:
    """Trains chunks of `chunk_size` rows, from the last checkpoint on; fills in `result`.

    A chunk that a device's memory does not hold is divided and starts again.
    """
    current = _resume(job, store, result, chunk_size)
    shown, count = job.steps_done(current), len(result.names)
    with Progress(
        total=count * job.epochs * job.steps, done=shown, clips=job.clips, quiet=hooks.quiet
    ) as bar:

        def show(text):
            nonlocal shown
            bar.update(
                job.steps_done(current) - shown, f"folds {current.members.stop}/{count}, {text}"
            )
            shown = job.steps_done(current)

        def after_part():
            epoch = f"epoch {current.epochs + 1}/{job.epochs}"
            show(f"{epoch}, step {current.step}/{job.steps}")
            _save_or_stop(job, store, hooks, current, result)

        def after_block():
            members, done = current.members, current.epochs
            loss = result.train_loss[members, done - 1].mean()
            show(f"epoch {done}/{job.epochs}, loss {loss:.4f}")
            if hooks.on_epoch_end:
                epochs = range(done - job.block, done)
                records.notify(hooks.on_epoch_end, result, members, epochs, job.variants)
            if done < job.epochs:
                _save_or_stop(job, store, hooks, current, result)

        while current.members:
            try:
                _train_chunk(job, current, result, after_part, after_block)
            except jax.errors.JaxRuntimeError as error:
                chunk_size = memory.smaller_chunk(current.size, len(job.layout.devices), error)
                current = job.chunk_from(current.members.start, chunk_size)
                bar.repeat(shown - job.steps_done(current))
                shown = job.steps_done(current)
            else:
                if hooks.on_trained:
                    hooks.on_trained(current.members, distributed.gather_to_host(current.state))
                keep = not hooks.on_trained and current.members.stop < count
                store.save(current, result, keep=keep)
                current = job.chunk_from(current.members.stop, chunk_size)


def _train_chunk(
    job: _Job,
    current: _Chunk,
    result: Result,
    after_part: Callable[[], None],
    after_block: Callable[[], None],
) -> None:
    """Trains the rows of `current` to their last epoch; fills in `result`.

    The functions are called after a part of an epoch, and after each block of epochs.
    """
    part = shard(job.layout, records.take_rows(job.rows, current.members, current.size))
    if current.state is None:
        current.state, current.epochs = job.programs.init(job.data, part), 0
    while current.epochs < job.epochs:
        if records.all_ended(result, current.members, current.epochs):
            records.repeat_last(result, current.members, current.epochs, job.block)
        else:
            if job.in_parts:
                current.state, record = _epoch_in_parts(job, part, current, after_part)
            else:
                current.state, record = job.programs.epochs(job.data, part, current.state)
            record = distributed.gather_to_host(record)
            records.set_epochs(result, record, current.members, current.epochs)
        current.epochs, current.step = current.epochs + job.block, 0
        after_block()
    predictions = job.programs.predict_held_out(job.data, part, current.state)
    records.set_final(result, distributed.gather_to_host(predictions), current.members)


def _epoch_in_parts(
    job: _Job, part: FoldArrays, current: _Chunk, after_part: Callable[[], None]
) -> tuple[State, Any]:
    """One epoch as calls of about `_PART_S`, whose lengths do not change its numbers."""
    trained = job.programs.begin_epoch(job.data, part, current.state)
    current.step = 0
    while current.step < job.steps:
        began = time.perf_counter()
        stop = min(current.step + current.steps_per_call, job.steps)
        shared = (job.data, np.int32(current.step), np.int32(stop))
        trained = job.programs.train_steps(shared, part, current.state, trained)
        jax.block_until_ready(trained.losses)
        seconds = max(time.perf_counter() - began, 1e-6)
        fits = max(1, int((stop - current.step) * _PART_S / seconds))
        current.step = stop
        if stop < job.steps:  # the rest is one call with the evaluation
            current.steps_per_call = int(distributed.all_gather(fits).min())
            after_part()
    return job.programs.end_epoch(job.data, part, current.state, trained)


def _save_or_stop(
    job: _Job, store: "_Store", hooks: Hooks, current: _Chunk, result: Result
) -> None:
    """Saves if it is time in any process; raises `Interrupted` if one is to stop.

    Within an epoch it saves only to stop, as after the epoch before.
    """
    should_save = store.should_save and not current.step
    flags = [should_save, hooks.should_stop is not None and hooks.should_stop()]
    should_save, should_stop = np.any(distributed.all_gather(flags), axis=0)
    if should_save or should_stop:
        store.save(current, result)
    if should_stop:
        raise Interrupted(
            f"stopped after epoch {current.epochs} of folds up to {current.members.stop}"
        )
    if job.in_parts:  # an epoch that is stopped begins again, now or after its next step
        hooks.nothing_to_save(is_so=lambda: store.holds(current))


def _resume(job: _Job, store: "_Store", result: Result, chunk_size: int) -> _Chunk:
    """The rows to go on with, with what was saved of them; fills in `result`."""
    first = job.chunk_from(0, chunk_size)
    if not store.enabled:
        return first
    rows = records.take_rows(job.rows, first.members, chunk_size)
    like = job.programs.state_shapes(job.data, rows)
    restored = store.restore(like, records.checkpoint_arrays(result))
    if not restored:
        return first
    state, record, (members, epochs) = restored
    for name, value in record.items():
        getattr(result, name)[:] = value
    if epochs == job.epochs:  # saved with its predictions
        return job.chunk_from(members.stop, chunk_size)
    size = chunk_size
    if len(members) > size:
        if not (job.in_parts and job.layout.within == "map"):  # fewer fit than before
            logging.warning(
                "%d folds were trained at a time, and %d fit now: those from %d on begin again",
                len(members),
                chunk_size,
                members.start + 1,
            )
            return job.chunk_from(members.start, chunk_size)
        # Chunks are small there for another reason than memory: this one is finished as it is.
        size = -(-len(members) // len(job.layout.devices)) * len(job.layout.devices)
    state = records.take_rows(state, range(len(members)), size)
    return _Chunk(members, size, epochs, state=shard(job.layout, state))


class _Store(contextlib.ExitStack):
    """The checkpoints of a job in all its processes, the first of which writes; or none."""

    def __init__(self, checkpointing: Checkpointing | None):
        super().__init__()
        self.enabled, self._checkpoints = checkpointing is not None, None
        if checkpointing is not None and distributed.is_primary():
            self._checkpoints = self.enter_context(
                Checkpoints(
                    checkpointing.directory,
                    dict(checkpointing.job_fingerprint),
                    interval_s=checkpointing.interval_s,
                )
            )

    @property
    def should_save(self) -> bool:
        return self._checkpoints is not None and self._checkpoints.should_save

    def save(self, current: _Chunk, result: Result, *, keep: bool = False) -> None:
        """keep: the networks, too, which the next checkpoints do not have."""
        if self.enabled:
            state = distributed.gather_to_host(current.state)
            if self._checkpoints and keep:
                self._checkpoints.keep(state, current.members)
            if self._checkpoints:
                self._checkpoints.save(state, result, Position(current.members, current.epochs))

    @property
    def seconds(self) -> float | None:
        """That the job has taken, also before it was resumed; None without checkpoints."""
        return self._checkpoints.seconds if self._checkpoints else None

    def holds(self, current: _Chunk) -> bool:
        """Whether all whole epochs are on disk; False of several processes, which stop together."""
        if not self._checkpoints or jax.process_count() > 1:
            return False
        return self._checkpoints.holds(Position(current.members, current.epochs))

    def restore(self, state: Tree, record: Tree) -> tuple[Tree, Tree, Position] | None:
        """As `Checkpoints.restore`, in every process."""
        restored = self._checkpoints.restore(state, record) if self._checkpoints else None
        if jax.process_count() == 1:
            return restored
        members, epochs = restored[2] if restored else Position(range(0), 0)
        start, stop, epochs = map(int, distributed.broadcast([members.start, members.stop, epochs]))
        if start == stop:
            return None
        blank = jax.tree.map(lambda a: jnp.zeros((stop - start, *a.shape[1:]), a.dtype), state)
        state, record = distributed.broadcast(restored[:2] if restored else (blank, record))
        return state, record, Position(range(start, stop), epochs)


def _as_dtype(inputs: Tree, dtype: str) -> Tree:
    """float32 arrays as `dtype`. Raises `UserError` if a clip's values do not fit, too large or all
    too small."""
    if dtype == "float32":
        return inputs

    def narrow(array):
        if array.dtype != np.float32:
            return array
        found, least = large_arrays.as_dtype(array, dtype), np.finfo(dtype).smallest_normal
        for row, narrowed in zip(array, found):
            largest = float(np.abs(row).max(initial=0))
            if not np.isfinite(narrowed).all() or 0 < largest < least:
                raise UserError(
                    f"train.data_dtype={dtype} cannot hold these clips: one has a largest "
                    f"value of {largest:.6g}; leave it at float32"
                )
        return found

    return jax.tree.map(narrow, inputs)


def _block(epochs: int) -> int:
    """Epochs of one call: the largest divisor of `epochs` that leaves two hundred calls or more.

    Saving, hooks and stopping happen between calls; a call costs a millisecond or two.
    """
    return max(b for b in range(1, max(1, epochs // 200) + 1) if epochs % b == 0)
