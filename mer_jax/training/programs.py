"""The compiled functions of a job: those of one fold, laid out over its devices."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from mer_jax.training import distributed, parallel, single_fold
from mer_jax.training.parallel import Layout, over_folds
from mer_jax.training.records import Data, FoldArrays, OnHost, State, whole_inputs
from mer_jax.training.single_fold import StaticConfig


class Programs(NamedTuple):
    """Compiled functions; every tree but `data` has a leading F."""

    init: Callable  # (data, rows) -> state; of `OnHost` inputs computed on the host
    state_shapes: Callable  # (data, rows) -> the state's shapes
    epochs: Any  # (data, rows, state) -> (state, records [F, block, ...]); donates its state
    # The same for one epoch that takes long, as calls of any number of steps:
    begin_epoch: Callable  # (data, rows, state) -> trained, a `PartialEpoch`
    train_steps: Any  # ((data, start, stop), rows, state, trained) -> trained, which it donates
    end_epoch: Callable  # (data, rows, state, trained) -> (state, records); donates its state
    predict_held_out: Callable  # (data, rows, state) -> FoldPredictions [F, ...]


def compile_programs(static: StaticConfig, layout: Layout, block: int) -> Programs:
    """The functions of a job over the devices of `layout`; `epochs` runs `block` epochs a call."""

    init_fold = functools.partial(single_fold.init, static)
    init_on_devices = over_folds(init_fold, layout)

    def epochs(data, fold, state):
        step = lambda state, _: single_fold.epoch(static, data, fold, state)
        return jax.lax.scan(step, state, None, length=block)

    def whole(data: Data) -> Data:
        return data._replace(inputs=whole_inputs(data))

    def init(data: Data, rows: FoldArrays) -> State:
        if not isinstance(data.inputs, OnHost):
            return init_on_devices(data, rows)
        # Statistics read all inputs, of which a device holds a batch at a time.
        host = parallel.host_layout()
        rows = parallel.shard(host, distributed.gather_to_host(rows))
        state = over_folds(init_fold, host)(parallel.replicate(host, whole(data)), rows)
        return parallel.shard(layout, state)

    def train_steps(shared, fold, state, trained):
        data, start, stop = shared
        return single_fold.train_steps(static, data, fold, state, trained, start, stop)

    def end_epoch(data, fold, state, trained):
        state, record = single_fold.end_epoch(static, data, fold, state, trained)
        return state, jax.tree.map(lambda a: a[None], record)

    return Programs(
        init=init,
        state_shapes=lambda data, rows: jax.eval_shape(init_on_devices, whole(data), rows),
        epochs=over_folds(epochs, layout, donate=(2,)),
        begin_epoch=over_folds(lambda d, f, s: single_fold.begin_epoch(static, s), layout),
        train_steps=over_folds(train_steps, layout, donate=(3,)),
        end_epoch=over_folds(end_epoch, layout, donate=(2,)),
        predict_held_out=over_folds(
            lambda d, f, s: single_fold.predict_held_out(static, d, f, s), layout
        ),
    )
