"""Predictions and files that several tests of this package share."""

import numpy as np

from mer_jax.metrics.predictions import Predictions


def predictions(
    *,
    seed: int = 0,
    clips: int = 60,
    classes=("negative", "positive", "surprise"),
    skill: float = 1.5,
) -> Predictions:
    """Three databases, twelve subjects, classes at random, predictions better than chance."""
    rng = np.random.default_rng(seed)
    label = rng.integers(len(classes), size=clips).astype(np.int32)
    logits = rng.normal(size=(clips, len(classes))) + skill * np.eye(len(classes))[label]
    probabilities = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    person = rng.integers(12, size=clips)
    database = np.array(["smic", "casme2", "samm"], object)[person % 3]
    subject = np.array([f"sub{number:02}" for number in person], object)
    return Predictions(
        classes=tuple(classes),
        database=database,
        subject=subject,
        clip=np.array([f"EP{index:02}_1f" for index in range(clips)], object),
        fold=database + "/" + subject,
        label=label,
        probabilities=probabilities.astype(np.float32),
    )


def same(left: Predictions, right: Predictions) -> None:
    """Asserts that two records are equal, row by row and bit by bit."""
    assert left.classes == right.classes
    for name in ("database", "subject", "clip", "fold", "label", "probabilities"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name)
