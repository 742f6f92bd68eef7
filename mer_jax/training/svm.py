"""A support vector classifier for each fold, on the same examples as the networks.

result = svm.fit(examples, labels, folds, num_classes=3, kernel="linear", C=1.0)
"""

import dataclasses
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mer_jax.errors import UserError
from mer_jax.methods.examples import Examples
from mer_jax.options import defaults
from mer_jax.protocols import Folds
from mer_jax.training import records
from mer_jax.training.records import Result
from mer_jax.training.settings import Settings

NAME = "svm"  # as `model.name`


def fit(
    examples: Examples,
    labels: np.ndarray,
    folds: Folds,
    *,
    num_classes: int,
    kernel: str = "linear",
    C: float = 1.0,
    degree: int = 3,
) -> Result:
    """Trains scikit-learn's SVC on each fold; returns a `Result` as of networks.

    Features are standardized to mean 0 and deviation 1 over the fold's training clips; constant
    ones are 0. The probabilities are the softmax of the one-vs-rest decision values: they rank the
    classes and are not calibrated.

    kernel: "linear", "poly" (of `degree`), "rbf" or "sigmoid"; gamma is 1 / (numbers x variance).
    Raises `UserError` for an option that SVC refuses, for examples of several views a clip, and
    without scikit-learn.
    """
    if labels.ndim != 1:
        raise UserError(f"model {NAME} takes one label a clip; data.label_scheme gives several")
    if examples.num_views != 1:
        raise UserError(f"model {NAME} takes one example a clip; choose another method.name")
    svc = _svc()
    began = time.monotonic()
    result = records.empty(folds.names, records.fold_arrays([folds], Settings()), 1, num_classes)
    features = _features(examples)
    for fold, train in enumerate(folds.train):
        x = features(train)
        mean, deviation = x[train].mean(0), x[train].std(0)
        # A feature that varies only in the last bits of a float32 is constant.
        varies = deviation > 1e-6 * np.abs(x[train]).max(0)
        x = (x - mean) / np.where(varies, deviation, np.inf)
        try:
            classifier = svc(kernel=kernel, C=C, degree=degree, break_ties=True)
            classifier.fit(x[train], labels[train])
        except ValueError as error:
            raise UserError(f"model {NAME}: {' '.join(str(error).split())}") from None
        eval_index = result.eval_index[fold]
        probabilities = np.zeros((len(eval_index), num_classes))
        probabilities[:, classifier.classes_] = _softmax(
            classifier.decision_function(x[eval_index])
        )
        correct = probabilities.argmax(1) == labels[eval_index]
        result.statistics_mask[fold] = train
        result.probabilities[fold] = probabilities
        result.predicted[fold, 0] = probabilities.argmax(1)
        result.train_accuracy[fold] = classifier.score(x[train], labels[train])
        result.test_accuracy[fold] = correct[result.test[fold]].mean()
    return result._replace(seconds=time.monotonic() - began)


def check(settings: Settings) -> None:
    """Raises `UserError` for a setting other than the seed, which an SVM does not have, and without
    scikit-learn."""
    for field in dataclasses.fields(settings):
        if field.name != "seed" and getattr(settings, field.name) != field.default:
            raise UserError(f"model {NAME} has no train.{field.name}; leave it at its default")
    _svc()


def options() -> dict[str, Any]:
    """The options of the classifier and their defaults."""
    return defaults(fit)


def _features(examples: Examples):
    """A function of a fold's training clips [N] bool: each clip's test view as [N, D] float64."""

    @jax.jit
    def flat(weights):
        statistics = examples.fit_statistics(examples.inputs, weights)
        views = jax.vmap(lambda example: examples.eval_transform(example, statistics))(
            examples.inputs
        )
        leaves = [leaf.reshape(len(leaf), -1) for leaf in jax.tree.leaves(views)]
        return jnp.concatenate(leaves, axis=1)

    return lambda train: np.asarray(flat(jnp.asarray(train, jnp.float32)), np.float64)


def _softmax(decision: np.ndarray) -> np.ndarray:
    """Softmax of decision values [M, K]; of two classes [M], 0 stands for the first."""
    if decision.ndim == 1:
        decision = np.stack([np.zeros_like(decision), decision], axis=1)
    powers = np.exp(decision - decision.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def _svc():
    try:
        from sklearn.svm import SVC
    except ImportError:
        raise UserError(
            f"model {NAME} needs scikit-learn; install it with pip install 'mer_jax[baseline]'"
        ) from None
    return SVC
