"""What a job holds in memory: its examples, and how many folds at a time on how many devices."""

import contextlib
import pathlib
import re
import sys
from collections.abc import Iterator, Sequence
from concurrent import futures
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import logging
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from mer_jax import runtime
from mer_jax.errors import UserError
from mer_jax.io import saving
from mer_jax.training import distributed, parallel
from mer_jax.training.programs import Programs, compile_programs
from mer_jax.training.records import Data, FoldArrays, OnHost, take_rows, whole_inputs
from mer_jax.training.single_fold import StaticConfig

# Copies of a fold's state in main memory while a checkpoint is written on a machine without
# accelerators: before and after an epoch, the host copy, Orbax's own, and the compressed one.
_STATE_COPIES = 5
_GIB = 2**30
_REMEDY = "recompute activations with --config.remat=True, or lower train.batch_size"


class Plan(NamedTuple):
    """What a job runs, and where."""

    layout: parallel.Layout
    data: Data  # on the devices of `layout`
    programs: Programs
    chunk_size: int  # rows to train at a time: a multiple of the devices


def plan(
    static: StaticConfig,
    layout: parallel.Layout,
    data: Data,
    rows: FoldArrays,
    *,
    block: int,
    folds_per_device: int = 0,
    examples_on_host: bool = False,
    quiet: bool = False,
) -> Plan:
    """Places the data; as many folds and CPU devices as the memory holds. Prints a line of it.

    Args:
      static: the job.
      layout: all devices; on a CPU fewer are used where their activations exceed the memory.
      data: on the host.
      rows: all folds of the job.
      block: epochs of one call.
      folds_per_device: 0 for as many as the memory of a device holds.
      examples_on_host: devices fetch batches of them; so, too, where one cannot hold all.
      quiet: print no line.

    Raises:
      UserError: if a single fold does not fit.
    """
    every, note = layout, _Note.of(static, layout, data, rows)
    if not folds_per_device:
        layout = every._replace(devices=every.devices[: note.devices()])
    noted = len(layout.devices) < len(every.devices)
    while True:
        data, examples = _placed(layout, data, examples_on_host)
        on_devices = parallel.replicate(layout, data)
        programs = compile_programs(static, layout, block)
        most = -(-len(rows.eval_index) // len(layout.devices))
        each, needed = folds_per_device, 0.0
        if not each:
            each, needed = _folds_that_fit(most, static, layout, programs, on_devices, rows)
        each = min(int(distributed.all_gather(each).min()), most)
        free = parallel.free_memory(layout)
        count = len(layout.devices)
        if noted and each and (each > 1 or (count + 1) * needed <= count * (free or 0.0)):
            layout, noted = every, False  # more memory is free than it was last time
        elif each:
            break
        else:
            # All processes come here together: `each` is their minimum.
            needed = float(distributed.all_gather(needed).max())
            free = float(distributed.all_gather(free or 0.0).min())
            layout = _fewer_devices(layout, needed, free)
    if count < len(every.devices):
        logging.warning(
            "the memory holds the activations of %d folds, not of %d; going on with %d CPU devices",
            count,
            len(every.devices),
            count,
        )
    if not folds_per_device:
        note.write(count, of=len(every.devices))
    chunk_size = each * count
    if not quiet and distributed.is_primary():
        local = parallel.local_devices(layout)
        folds = f"{min(chunk_size, len(rows.eval_index))} folds at a time"
        folds += f" take {_gib(needed * local)}" if needed else ""
        rest = f"; {_gib(free * local)} are free" if free is not None else ""
        print(f"memory: {examples}; {folds}{rest}", file=sys.stderr, flush=True)
    return Plan(layout, on_devices, programs, chunk_size)


def smaller_chunk(chunk: int, devices: int, error: jax.errors.JaxRuntimeError) -> int:
    """Rows to train at a time after a device ran out of memory with `chunk`.

    Raises `UserError` if that was one fold a device, and `error` if it has another cause.
    """
    if "RESOURCE_EXHAUSTED" not in str(error):
        raise error
    each = chunk // devices
    if jax.process_count() > 1:  # the others wait for this one, with as many folds
        raise UserError(
            f"a device has no memory for {each} folds at a time; "
            "give fewer by --config.parallel.folds_per_device"
        ) from error
    if each == 1:
        raise UserError(f"a device has no memory for one fold; {_REMEDY}") from error
    fewer = -(-each // 2)
    logging.warning(
        "a device has no memory for %d folds at a time; going on with %d "
        "(--config.parallel.folds_per_device=%d starts with that)",
        each,
        fewer,
        fewer,
    )
    return fewer * devices


def _placed(layout: parallel.Layout, data: Data, on_host: bool) -> tuple[Data, str]:
    """`data` with its inputs for the devices, or `OnHost`; where its examples are, in words."""
    inputs = whole_inputs(data)
    arrays = jax.tree.leaves(inputs)
    size, free = sum(array.nbytes for array in arrays), parallel.free_memory(layout)
    in_file = " in a file" * any(isinstance(array, np.memmap) for array in arrays)
    text, count = f"{_gib(size)} of examples", len(layout.devices)
    on_cpu = layout.devices[0].platform == "cpu"
    exceeds = not on_cpu and free is not None and size > free
    if on_host or distributed.all_gather(exceeds).any():
        data = data._replace(inputs=OnHost(jax.tree.map(np.asanyarray, inputs)))
        return data, f"{text}{in_file} on the host, batches of them on each of {count} devices"
    if on_cpu:
        return data, f"{text}{in_file}, once for {count} CPU devices"
    return data, f"{text} on each of {count} devices"


def _fewer_devices(layout: parallel.Layout, needed: float, free: float) -> parallel.Layout:
    """As many devices as hold a fold of `needed` bytes, of which each has `free`."""
    devices = len(layout.devices)
    fewer = min(int(devices * free / needed), devices - 1)
    if not fewer or jax.process_count() > 1:
        total = free * (devices if jax.process_count() == 1 else 1)
        raise UserError(
            f"training one fold takes {_gib(needed)}, and {_gib(total)} are free; {_REMEDY}"
        )
    return layout._replace(devices=layout.devices[:fewer])


class _Note(NamedTuple):
    """How many CPU devices such a job had memory for, kept beside JAX's compiled programs.

    It spares the next launch the plan for all of them; that fewer are enough is computed anew.
    """

    path: pathlib.Path | None  # None: nothing is kept

    @classmethod
    def of(
        cls, static: StaticConfig, layout: parallel.Layout, data: Data, rows: FoldArrays
    ) -> "_Note":
        """That of a job: of its network and settings, and of the shapes of its arrays."""
        folder = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]  # made as it runs
        on_cpu = layout.devices[0].platform == "cpu"
        if not folder or not on_cpu or jax.process_count() > 1:
            return cls(None)
        shapes = jax.tree.map(lambda a: (a.shape, str(a.dtype)), (whole_inputs(data), rows))
        job = (static.train_graph, static.settings, static.remat, layout, shapes)
        name = saving.digest(re.sub(r" at 0x[0-9a-f]+", "", repr(job)))[:16]
        return cls(pathlib.Path(folder) / f"mer_jax-devices-{name}")

    def devices(self) -> int | None:
        """Those of the last time, if they were not all."""
        if self.path is not None:
            with contextlib.suppress(OSError, ValueError):
                return max(1, int(self.path.read_text()))
        return None

    def write(self, count: int, *, of: int) -> None:
        """Keeps the number if it is smaller than `of`, where files can be written."""
        if self.path is None:
            return
        with contextlib.suppress(UserError, OSError):
            if count == of:
                self.path.unlink(missing_ok=True)
            elif count != self.devices():
                saving.write(self.path, f"{count}\n")


# Six parameters: the job (static, data, rows), where it runs, and the most.
def _folds_that_fit(
    most: int,
    static: StaticConfig,
    layout: parallel.Layout,
    programs: Programs,
    data: Data,
    rows: FoldArrays,
) -> tuple[int, float]:
    """(folds, bytes): how many, at most `most`, the memory of a device holds and what they take.

    By the size of their states where they run one after the other, and the compiler's memory
    analysis; one where that is so and an epoch takes long, as whole epochs are saved. 0 and the
    bytes of one fold if a CPU device cannot hold it.
    """
    free, on_cpu = parallel.free_memory(layout), layout.devices[0].platform == "cpu"
    if free is None or layout.across == "pmap":
        return most, 0.0
    devices, sharding = len(layout.devices), NamedSharding(layout.mesh, P("fold"))

    def sharded(shapes):
        # As the results are: one compilation for both.
        return jax.tree.map(
            lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=sharding), shapes
        )

    def rows_and_state(each):
        part = take_rows(rows, range(len(rows.eval_index)), each * devices)
        part = parallel.shard(layout, part)
        return part, sharded(programs.state_shapes(data, part))

    def size(tree):  # on one device
        return sum(a.size * a.dtype.itemsize for a in jax.tree.leaves(tree)) / devices

    def taken(each):
        part, state = rows_and_state(each)
        own = size(state) * (_STATE_COPIES if on_cpu else 1)
        if static.in_parts:
            trained = sharded(jax.eval_shape(programs.begin_epoch, data, part, state))
            own += size(trained)
            calls = [
                (programs.train_steps, (data, np.int32(0), np.int32(1)), part, state, trained),
                (programs.end_epoch, data, part, state, trained),
            ]
        else:
            calls = [(programs.epochs, data, part, state)]
        needed = 0.0
        for compiled in _compiled(calls):
            analysis = compiled.memory_analysis()
            if analysis is None:
                return 0.0
            needed = max(needed, own + float(analysis.temp_size_in_bytes))
            if needed > free and each == 1:
                break  # the others would not change that
        return needed

    each = most
    if layout.within == "map" and static.in_parts:
        each = 1
    elif layout.within == "map":  # a further fold needs memory for its state only
        state = size(rows_and_state(1)[1])
        each = _evenly(most, max(1, min(most, int(free / (_STATE_COPIES * state)))))
    needed = taken(each)
    while needed > free and each > 1:
        each = -(-each // 2)
        needed = taken(each)
    return (0 if on_cpu and needed > free else each), needed


def _compiled(calls: Sequence[tuple]) -> Iterator[Any]:
    """Each of the (jitted function, *arguments), compiled while the next one is traced."""
    with runtime.threads(at_most=1) as pool:
        before: list[futures.Future] = []
        for call, *given in calls:
            lowered = call.lower(*given)
            yield from (future.result() for future in before)
            before = [pool.submit(lowered.compile)]
        yield from (future.result() for future in before)


def _evenly(most: int, each: int) -> int:
    """At most `each`, so that as many chunks are equally long and padding is little."""
    chunks = -(-most // each)
    return -(-most // chunks)


def _gib(size: float) -> str:
    return f"{size / _GIB:.3g} GiB"
