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
    predict_held_out: Callable  # (data, rows, state) -> FoldPredictions [F, ...]


def compile_programs(static: StaticConfig, layout: Layout, block: int) -> Programs:
    """The functions of a job over the devices of `layout`; `epochs` runs `block` epochs a call."""

    def epochs(data, fold, state):
        step = lambda state, _: single_fold.epoch(static, data, fold, state)
        return jax.lax.scan(step, state, None, length=block)

    return Programs(
        init=over_folds(lambda d, f: single_fold.init(static, d, f), layout),
        epochs=over_folds(epochs, layout, donate=(2,)),
        predict_held_out=over_folds(
            lambda d, f, s: single_fold.predict_held_out(static, d, f, s), layout
        ),
    )
