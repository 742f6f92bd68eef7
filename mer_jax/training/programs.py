"""The compiled functions of a job: those of one fold, laid out over its devices."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from mer_jax.training import single_fold
from mer_jax.training.parallel import Layout, over_folds
from mer_jax.training.single_fold import StaticConfig


class Programs(NamedTuple):
    """Compiled functions; every tree but `data` has a leading F."""

    init: Callable  # (data, rows) -> state
    epochs: Any  # (data, rows, state) -> (state, records [F, block, ...]); donates its state
    # The same for one epoch that takes long, as calls of any number of steps:
    begin_epoch: Callable  # (data, rows, state) -> trained, a `PartialEpoch`
    train_steps: Any  # ((data, start, stop), rows, state, trained) -> trained, which it donates
    end_epoch: Callable  # (data, rows, state, trained) -> (state, records); donates its state
    predict_held_out: Callable  # (data, rows, state) -> FoldPredictions [F, ...]


def compile_programs(static: StaticConfig, layout: Layout, block: int) -> Programs:
    """The functions of a job over the devices of `layout`; `epochs` runs `block` epochs a call."""

    def epochs(data, fold, state):
        step = lambda state, _: single_fold.epoch(static, data, fold, state)
        return jax.lax.scan(step, state, None, length=block)

    def train_steps(shared, fold, state, trained):
        data, start, stop = shared
        return single_fold.train_steps(static, data, fold, state, trained, start, stop)

    def end_epoch(data, fold, state, trained):
        state, record = single_fold.end_epoch(static, data, fold, state, trained)
        return state, jax.tree.map(lambda a: a[None], record)

    return Programs(
        init=over_folds(lambda d, f: single_fold.init(static, d, f), layout),
        epochs=over_folds(epochs, layout, donate=(2,)),
        begin_epoch=over_folds(lambda d, f, s: single_fold.begin_epoch(static, s), layout),
        train_steps=over_folds(train_steps, layout, donate=(3,)),
        end_epoch=over_folds(end_epoch, layout, donate=(2,)),
        predict_held_out=over_folds(
            lambda d, f, s: single_fold.predict_held_out(static, d, f, s), layout
        ),
    )
