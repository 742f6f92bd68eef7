"""What a job holds in memory: its examples, and how many folds at a time on how many devices."""

import sys
from typing import NamedTuple

import jax
import numpy as np
from absl import logging
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from mer_jax.errors import UserError
from mer_jax.training import distributed, parallel
from mer_jax.training.programs import Programs, compile_programs
from mer_jax.training.records import Data, FoldArrays, take_rows
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
      quiet: print no line.

    Raises:
      UserError: if the examples, or a single fold, do not fit.
    """
    examples = _examples(layout, data)
    while True:
        on_devices = parallel.replicate(layout, data)
        programs = compile_programs(static, layout, block)
        most = -(-len(rows.eval_index) // len(layout.devices))
        each, needed = folds_per_device, 0.0
        if not each:
            each, needed = _folds_that_fit(most, static, layout, programs, on_devices, rows)
        each = min(int(distributed.all_gather(each).min()), most)
        free = parallel.free_memory(layout)
        if each:
            break
        # All processes come here together: `each` is their minimum.
        needed = float(distributed.all_gather(needed).max())
        free = float(distributed.all_gather(free or 0.0).min())
        layout = _fewer_devices(layout, needed, free)
        examples = _examples(layout, data)
    chunk_size = each * len(layout.devices)
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


def _examples(layout: parallel.Layout, data: Data) -> str:
    """The size of the examples in words. Raises `UserError` if a device cannot hold them."""
    arrays = jax.tree.leaves(data.inputs)
    size, free = sum(array.nbytes for array in arrays), parallel.free_memory(layout)
    count = len(layout.devices)
    if layout.devices[0].platform == "cpu":
        in_file = any(isinstance(array, np.memmap) for array in arrays)
        return f"{_gib(size)} of examples{' in a file' * in_file}, once for {count} CPU devices"
    if free is not None and size > free:
        raise UserError(
            f"the examples are {_gib(size)}, and a device has {_gib(free)} free; take a smaller "
            "method.size, or --config.train.data_dtype=float16"
        )
    return f"{_gib(size)} of examples on each of {count} devices"


def _fewer_devices(layout: parallel.Layout, needed: float, free: float) -> parallel.Layout:
    """As many devices as hold a fold of `needed` bytes, of which each has `free`."""
    devices = len(layout.devices)
    fewer = min(int(devices * free / needed), devices - 1)
    if not fewer or jax.process_count() > 1:
        total = free * (devices if jax.process_count() == 1 else 1)
        raise UserError(
            f"training one fold takes {_gib(needed)}, and {_gib(total)} are free; {_REMEDY}"
        )
    logging.warning(
        "the memory holds the activations of %d folds, not of %d; going on with %d CPU devices",
        fewer,
        devices,
        fewer,
    )
    return layout._replace(devices=layout.devices[:fewer])


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

    def shapes(function, *arguments):
        # With the sharding that the results have: one compilation for both.
        return jax.tree.map(
            lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=sharding),
            jax.eval_shape(function, *arguments),
        )

    def rows_and_state(each):
        part = take_rows(rows, range(len(rows.eval_index)), each * devices)
        part = parallel.shard(layout, part)
        return part, shapes(programs.init, data, part)

    def size(tree):  # on one device
        return sum(a.size * a.dtype.itemsize for a in jax.tree.leaves(tree)) / devices

    def taken(each):
        part, state = rows_and_state(each)
        own = size(state) * (_STATE_COPIES if on_cpu else 1)
        if static.in_parts:
            trained = shapes(programs.begin_epoch, data, part, state)
            own += size(trained)
            calls = [
                (programs.train_steps, (data, np.int32(0), np.int32(1)), part, state, trained),
                (programs.end_epoch, data, part, state, trained),
            ]
        else:
            calls = [(programs.epochs, data, part, state)]
        analyses = [call.lower(*given).compile().memory_analysis() for call, *given in calls]
        if None in analyses:
            return 0.0
        return own + max(float(analysis.temp_size_in_bytes) for analysis in analyses)

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


def _evenly(most: int, each: int) -> int:
    """At most `each`, so that as many chunks are equally long and padding is little."""
    chunks = -(-most // each)
    return -(-most // chunks)


def _gib(size: float) -> str:
    return f"{size / _GIB:.3g} GiB"
