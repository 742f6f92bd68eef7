"""Kinds of labels, and how logits [B, K] are read for each.

    single label  one class of K: labels [N] int32; the prediction is the largest logit
    multi-label   each class present or absent: labels [N, K] int32 of 0 and 1; present: logit > 0

The rank of a job's labels gives its kind. `predict` returns one number a clip: the class, or the
sum of 2^k over the present classes (K up to 31); `one_hot` is its inverse.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mer_jax.errors import UserError
from mer_jax.training.settings import Settings


class LabelKind(NamedTuple):
    """The functions that differ; B stands for any number of clips."""

    counts: Callable[[jax.Array, jax.Array, int], jax.Array]  # labels, train [N], K -> [K]
    accuracy: Callable[
        [jax.Array, jax.Array], jax.Array
    ]  # logits, labels -> [B] share of right predictions
    predict: Callable[[jax.Array], jax.Array]  # logits -> [B] int32
    probabilities: Callable[[jax.Array], jax.Array]  # logits -> [B, K] in [0, 1]
    one_hot: Callable[[np.ndarray, int], np.ndarray]  # predictions [B], K -> [B, K] float32


def _bits(count: int) -> np.ndarray:
    return np.left_shift(np.int32(1), np.arange(count, dtype=np.int32))


_SINGLE_LABEL = LabelKind(
    counts=lambda labels, train, count: jnp.zeros(count).at[labels].add(train.astype(jnp.float32)),
    accuracy=lambda logits, labels: (jnp.argmax(logits, -1) == labels).astype(jnp.float32),
    predict=lambda logits: jnp.argmax(logits, -1).astype(jnp.int32),
    probabilities=jax.nn.softmax,
    one_hot=lambda predicted, count: np.eye(count, dtype=np.float32)[predicted],
)
_MULTI_LABEL = LabelKind(
    counts=lambda labels, train, count: jnp.sum(
        jnp.where(train[:, None], labels, 0), 0, dtype=jnp.float32
    ),
    accuracy=lambda logits, labels: ((logits > 0) == (labels > 0)).astype(jnp.float32).mean(-1),
    predict=lambda logits: jnp.sum(
        jnp.where(logits > 0, _bits(logits.shape[-1]), 0), -1, dtype=jnp.int32
    ),
    probabilities=jax.nn.sigmoid,
    one_hot=lambda predicted, count: ((predicted[:, None] & _bits(count)) > 0).astype(np.float32),
)


def check(labels: np.ndarray, settings: Settings, *, num_views: int = 1) -> None:
    """Raises `UserError` for settings that these labels do not allow."""
    if labels.ndim == 1:
        if settings.loss == "multilabel_bce":
            raise UserError(
                "train.loss='multilabel_bce' is for several labels a clip, and a clip has one"
            )
        return
    if settings.loss != "multilabel_bce":
        raise UserError(
            f"train.loss is {settings.loss!r}, and a clip has several labels; "
            "set it to 'multilabel_bce'"
        )
    if settings.sampler != "shuffle":
        raise UserError(
            f"train.sampler={settings.sampler!r} takes one label a clip, and here it has several"
        )
    if num_views > 1:
        raise UserError(
            "a method with several views of a clip takes one label a clip; here it has several"
        )
    if labels.shape[1] > 31:
        raise UserError(f"there are {labels.shape[1]} labels; several labels a clip go up to 31")


def label_kind(labels: jax.Array | np.ndarray) -> LabelKind:
    """The kind of these labels, by their rank."""
    return _SINGLE_LABEL if labels.ndim == 1 else _MULTI_LABEL
