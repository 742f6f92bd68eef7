"""`Examples`: the output of a method and the input of training."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax

Tree = Any  # a pytree of arrays


def _no_statistics(inputs: Tree, weights: jax.Array) -> Tree:
    del inputs, weights
    return ()


def _identity(example: Tree, statistics: Tree) -> Tree:
    del statistics
    return example


def _no_augmentation(key: jax.Array, example: Tree, statistics: Tree) -> Tree:
    del key, statistics
    return example


@dataclasses.dataclass(frozen=True)
class Examples:
    """All clips of a job as one paper's inputs, and the transforms that a fold applies to them.

    The functions are pure and take one fold and one clip; training adds the axes B and F. Only
    `fit_statistics` has access to several clips, weighted by a fold's training mask: no test clip
    can reach a statistic.

    Attributes:
      inputs: [N, ...], once, for all folds; on the host they may be larger than memory.
      fit_statistics: (inputs, weights [N]) -> statistics of the clips whose weight is not 0.
      augment: (key, example, statistics) -> one training sample.
      eval_transform: (example, statistics) -> one test sample, or [num_views, ...] of them.
      num_views: samples of a test clip; their majority is predicted.
      repeats_per_epoch: samples of a training clip in an epoch.
      input_shape: shape of one sample (of each input, if several), `shape` of the network.

    >>> import jax.numpy as jnp
    >>> from mer_jax.methods import Examples
    >>> examples = Examples(
    ...     inputs=jnp.array([[1.0], [3.0], [9.0]]),
    ...     fit_statistics=lambda inputs, weights: weights @ inputs / weights.sum(),
    ...     eval_transform=lambda example, mean: example - mean,
    ...     input_shape=(1,),
    ... )
    >>> mean = examples.fit_statistics(examples.inputs, jnp.array([1.0, 1.0, 0.0]))  # 2 clips train
    >>> examples.eval_transform(examples.inputs[2], mean)
    Array([7.], dtype=float32)
    """

    inputs: Tree
    fit_statistics: Callable[[Tree, jax.Array], Tree] = _no_statistics
    augment: Callable[[jax.Array, Tree, Tree], Tree] = _no_augmentation
    eval_transform: Callable[[Tree, Tree], Tree] = _identity
    num_views: int = 1
    repeats_per_epoch: int = 1
    input_shape: Any = None
