"""How many folds the devices' memory holds at a time."""

import jax
from absl import logging

from mer_jax.errors import UserError
from mer_jax.training import distributed, parallel
from mer_jax.training.programs import compile_programs
from mer_jax.training.records import Data, FoldArrays, take_rows
from mer_jax.training.single_fold import StaticConfig

# Copies of a fold's state in main memory while a checkpoint is written on a machine without
# accelerators: before and after an epoch, the host copy, Orbax's own, and the compressed one.
_STATE_COPIES = 5


def chunk_size(
    static: StaticConfig,
    layout: parallel.Layout,
    data: Data,
    rows: FoldArrays,
    *,
    folds_per_device: int = 0,
) -> int:
    """Rows to train at a time: a multiple of the devices.

    folds_per_device: 0 for as many as the memory of a device holds.
    """
    devices = len(layout.devices)
    all_of_them = -(-len(rows.eval_index) // devices)
    each = folds_per_device or _folds_that_fit(all_of_them, static, layout, data, rows)
    return devices * min(int(distributed.all_gather(each).min()), all_of_them)


def smaller_chunk(chunk: int, devices: int, error: jax.errors.JaxRuntimeError) -> int:
    """Rows to train at a time after a device ran out of memory with `chunk`.

    Raises `UserError` if that was one fold a device, and `error` if it has another cause.
    """
    if "RESOURCE_EXHAUSTED" not in str(error):
        raise error
    each = chunk // devices
    if each == 1:
        raise UserError(
            "a device has no memory for one fold; recompute activations with --config.remat=True, "
            "or lower train.batch_size"
        ) from error
    fewer = -(-each // 2)
    logging.warning(
        "a device has no memory for %d folds at a time; going on with %d "
        "(--config.parallel.folds_per_device=%d starts with that)",
        each,
        fewer,
        fewer,
    )
    return fewer * devices


def _folds_that_fit(
    most: int, static: StaticConfig, layout: parallel.Layout, data: Data, rows: FoldArrays
) -> int:
    """Folds that the memory of a device holds, at most `most`: by the size of their states where
    they run one after the other, else by the compiler's memory analysis."""
    free = parallel.free_memory(layout)
    if free is None or layout.across == "pmap":
        return most
    compiled = compile_programs(static, layout, 1)

    def shapes(each):
        every = range(len(rows.eval_index))
        part = parallel.shard(layout, take_rows(rows, every, each * len(layout.devices)))
        return part, jax.eval_shape(compiled.init, data, part)

    if layout.within == "map":  # a further fold needs memory for its state only
        state = sum(a.size * a.dtype.itemsize for a in jax.tree.leaves(shapes(1)[1]))
        each = int(free / (_STATE_COPIES * state / len(layout.devices)))
        return _evenly(most, max(1, min(most, each)))
    each = most
    while each > 1:
        part, state = shapes(each)
        analysis = compiled.epochs.lower(data, part, state).compile().memory_analysis()
        if analysis is None or analysis.temp_size_in_bytes + analysis.output_size_in_bytes < free:
            break
        each = -(-each // 2)
    return each


def _evenly(most: int, each: int) -> int:
    """At most `each`, so that as many chunks are equally long and padding is little."""
    chunks = -(-most // each)
    return -(-most // chunks)
