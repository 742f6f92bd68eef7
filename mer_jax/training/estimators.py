"""Classifiers in scikit-learn's sense, one for each fold, on the same examples as the networks.

result = estimators.fit(examples, labels, folds, SVM, num_classes=3)
"""

import contextlib
import dataclasses
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mer_jax.errors import UserError
from mer_jax.methods.examples import Examples
from mer_jax.protocols import Folds
from mer_jax.training import records
from mer_jax.training.records import Result
from mer_jax.training.settings import Settings

_BATCH_SIZE = 16  # clips at a time


def fit(
    examples: Examples,
    labels: np.ndarray,
    folds: Folds,
    build: Callable[[], Any],
    *,
    num_classes: int,
) -> Result:
    """Fits a fresh estimator on the training clips of each fold and predicts its test clips.

    Args:
      examples: of N clips; `fit_statistics` and `eval_transform` are applied, and what comes out is
        flattened to [N, D] float64 features. Of several views of a clip each is a training sample;
        a test clip's are combined by `combine_views`.
      labels: [N] int, classes 0 to K - 1.
      folds: training and test clips.
      build: makes an estimator, an object with scikit-learn's `fit`, `predict_proba`, `score` and
        `classes_`.
      num_classes: K; classes without training clips get probability 0.

    Returns:
      A `Result` as of networks, of a single epoch.

    Raises:
      UserError: for several labels a clip, and for what the estimator refuses.
    """
    if labels.ndim != 1:
        raise UserError("an estimator takes one label a clip; data.label_scheme gives several")
    began = time.monotonic()
    result = records.empty(folds.names, records.fold_arrays([folds], Settings()), 1, num_classes)
    features, views = _features(examples), examples.num_views
    for fold, train in enumerate(folds.train):
        x = features(train)
        estimator, eval_index = build(), result.eval_index[fold]
        probabilities = np.zeros((len(eval_index), num_classes))
        training = x[train].reshape(-1, x.shape[-1]), np.repeat(labels[train], views)
        try:
            with _one_blas_thread():
                estimator.fit(*training)
                of_views = estimator.predict_proba(x[eval_index].reshape(-1, x.shape[-1]))
                result.train_accuracy[fold] = estimator.score(*training)
        except ValueError as error:
            reason = " ".join(str(error).split())
            raise UserError(f"{type(estimator).__name__}: {reason}") from None
        probabilities[:, estimator.classes_] = _combined(examples, of_views)
        correct = probabilities.argmax(1) == labels[eval_index]
        result.statistics_mask[fold] = train
        result.probabilities[fold] = probabilities
        result.predicted[fold, 0] = probabilities.argmax(1)
        result.test_accuracy[fold] = correct[result.test[fold]].mean()
    return result._replace(seconds=time.monotonic() - began)


def _one_blas_thread() -> contextlib.AbstractContextManager:
    """Products by one thread. A support vector machine computes thousands of one row each, which
    OpenBLAS divides over threads that wait for each other: minutes where other work is running."""
    try:
        import threadpoolctl  # scikit-learn needs it
    except ImportError:
        return contextlib.nullcontext()
    return threadpoolctl.threadpool_limits(limits=1, user_api="blas")


def check(settings: Settings) -> None:
    """Raises `UserError` for a setting other than the seed, which an estimator does not have."""
    for field in dataclasses.fields(settings):
        if field.name != "seed" and getattr(settings, field.name) != field.default:
            raise UserError(f"an estimator has no train.{field.name}; leave it at its default")


def _features(examples: Examples) -> Callable[[np.ndarray], np.ndarray]:
    """A function of a fold's training clips [N] bool: test views as [N, num_views, D] float64."""

    @jax.jit
    def flat(inputs, weights):
        statistics = examples.fit_statistics(inputs, weights)
        transform = lambda example: examples.eval_transform(example, statistics)
        views = jax.lax.map(transform, inputs, batch_size=_BATCH_SIZE)
        shape = len(weights), examples.num_views, -1
        return jnp.concatenate([leaf.reshape(shape) for leaf in jax.tree.leaves(views)], axis=2)

    return lambda train: np.asarray(
        flat(examples.inputs, jnp.asarray(train, jnp.float32)), np.float64
    )


def _combined(examples: Examples, probabilities: np.ndarray) -> np.ndarray:
    """[M * num_views, K] -> [M, K]."""
    if examples.num_views == 1:
        return probabilities
    logits = np.log(np.maximum(probabilities, np.finfo(np.float32).tiny)).astype(np.float32)
    by_view = logits.reshape(-1, examples.num_views, logits.shape[1]).swapaxes(0, 1)
    return np.asarray(jax.nn.softmax(examples.combine_views(jnp.asarray(by_view))))
