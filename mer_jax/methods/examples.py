"""`Examples`: what a method hands to the fold engine."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax

Tree = Any  # a pytree of arrays


def _no_statistics(inputs: Tree, weights: jax.Array) -> Tree:
    del inputs, weights
    return ()


def _as_it_is(example: Tree, statistics: Tree) -> Tree:
    del statistics
    return example


def _no_augmentation(key: jax.Array, example: Tree, statistics: Tree) -> Tree:
    del key, statistics
    return example


@dataclasses.dataclass(frozen=True)
class Examples:
    """All clips of a job as one paper sees them, and how a fold may use them.

    The functions are pure and see one fold and one clip; the engine adds B and F. Only `fit_statistics`
    looks at several clips, and only through the weights it is given: a fold's training row. So
    nothing of a test clip can reach a statistic.
    """

    inputs: Tree  # [N, ...] on the device, once, for all folds
    fit_statistics: Callable[[Tree, jax.Array], Tree] = (
        _no_statistics  # (inputs, weights [N]) -> statistics
    )
    augment: Callable[[jax.Array, Tree, Tree], Tree] = _no_augmentation  # one training sample
    eval_transform: Callable[[Tree, Tree], Tree] = (
        _as_it_is  # one test sample, or `num_views` of them
    )
    num_views: int = (
        1  # how many samples a test clip is seen as ([votes, ...]); most of them decide
    )
    repeats_per_epoch: int = 1  # how many (augmented) copies of a clip an epoch visits
    input_shape: Any = None  # shape (or pytree of shapes) of one sample, for the network's sizes
