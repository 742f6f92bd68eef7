"""`Examples`: the output of a method and the input of training."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mer_jax.errors import UserError

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


def majority_vote(logits: jax.Array) -> jax.Array:
    """Majority vote: [V, M, K] -> [M, K], the log of the fraction of V views that predict a class.

    A thousandth of the mean probability is added to break ties.
    """
    predicted = jax.nn.one_hot(jnp.argmax(logits, -1), logits.shape[-1], dtype=logits.dtype)
    votes = jnp.log(jnp.mean(predicted, 0))  # -inf without a vote
    tie_break = mean_probability(logits) + jnp.log(jnp.float32(1e-3))  # finite however small
    return jnp.logaddexp(votes, tie_break) - jnp.log(jnp.float32(1.001))


def mean_probability(logits: jax.Array) -> jax.Array:
    """[V, M, K] -> [M, K], the log of the mean of the V views' probabilities.

    >>> views = jnp.log(jnp.array([[[0.5, 0.5]], [[0.75, 0.25]]]))
    >>> [f"{p:.3f}" for p in jnp.exp(mean_probability(views))[0]]
    ['0.625', '0.375']
    """
    log_sum = jax.nn.logsumexp(jax.nn.log_softmax(logits), axis=0)
    return log_sum - jnp.log(jnp.float32(len(logits)))


def check_statistics(examples: "Examples") -> None:
    """Verifies on the first clips that statistics ignore clips whose weight is 0.

    Every other one has the weight 0, and is then replaced by its neighbor.

    Raises:
      UserError: if that changes the statistics: test clips would reach training.
    """
    few = jax.tree.map(lambda a: np.asarray(a[:8]), examples.inputs)
    count = len(jax.tree.leaves(few)[0])
    weights = (np.arange(count) % 2 == 0).astype(np.float32)
    other = jax.tree.map(lambda a: a[np.arange(count) // 2 * 2], few)
    found = (examples.fit_statistics(inputs, jnp.asarray(weights)) for inputs in (few, other))
    for one, same in zip(*map(jax.tree.leaves, found), strict=True):
        if not np.allclose(one, same, rtol=1e-5, atol=1e-6, equal_nan=True):
            raise UserError(
                "fit_statistics depends on clips whose weight is 0, so test clips would reach "
                "training: weigh each clip, as in weights @ inputs / weights.sum()"
            )


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
      num_views: samples of a test clip.
      combine_views: their logits [num_views, M, K] -> those of the clips [M, K].
      repeats_per_epoch: samples of a training clip in an epoch.
      input_shape: shape of one sample (of each input, if several), `shape` of the network.

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
    combine_views: Callable[[jax.Array], jax.Array] = majority_vote
    repeats_per_epoch: int = 1
    input_shape: Any = None
