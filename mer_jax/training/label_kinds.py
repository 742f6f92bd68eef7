"""Kinds of labels, and how logits [B, K] are read for each.

    single label  one class of K: labels [N] int32; the prediction is the largest logit
    multi-label   each class present or absent: labels [N, K] int32 of 0 and 1; present: logit > 0
    real targets  K numbers: labels [N, K] float32; the prediction is the logits

The type and the rank of a job's labels give its kind. `predict` returns one integer a clip: the
class, or the sum of 2^k over the present classes (K up to 31); `one_hot` is its inverse. Of real
targets those above `OVERLAP` count as present, as a proposal of that overlap is a hit.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mer_jax.errors import UserError
from mer_jax.training import losses
from mer_jax.training.settings import Settings

OVERLAP = 0.5


class LabelKind(NamedTuple):
    """The functions that differ; B stands for any number of clips."""

    counts: Callable[[jax.Array, jax.Array, int], jax.Array]  # labels, train [N], K -> [K]
    accuracy: Callable[
        [jax.Array, jax.Array], jax.Array
    ]  # logits, labels -> [B] share of right predictions
    predict: Callable[[jax.Array], jax.Array]  # logits -> [B] int32
    probabilities: Callable[[jax.Array], jax.Array]  # logits -> [B, K] in [0, 1], or real
    one_hot: Callable[[np.ndarray, int], np.ndarray]  # predictions [B], K -> [B, K] float32


def _bits(count: int) -> np.ndarray:
    return np.left_shift(np.int32(1), np.arange(count, dtype=np.int32))


def _present(logits: jax.Array, threshold: float) -> jax.Array:
    """[B, K] -> [B] int32, the sum of 2^k over the classes above the threshold."""
    bits = _bits(logits.shape[-1])
    return jnp.sum(jnp.where(logits > threshold, bits, 0), -1, dtype=jnp.int32)


def _one_hot_bits(predicted: np.ndarray, count: int) -> np.ndarray:
    return ((predicted[:, None] & _bits(count)) > 0).astype(np.float32)


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
    predict=lambda logits: _present(logits, 0.0),
    probabilities=jax.nn.sigmoid,
    one_hot=_one_hot_bits,
)
# Of the losses on logits ("boundary_focal", "spot_recognize") accuracy counts logits above OVERLAP.
_REAL = LabelKind(
    counts=lambda labels, train, count: jnp.sum(jnp.where(train[:, None], labels, 0.0), 0),
    accuracy=lambda logits, labels: (
        ((logits > OVERLAP) == (labels > OVERLAP)).astype(jnp.float32).mean(-1)
    ),
    predict=lambda logits: _present(logits, OVERLAP),
    probabilities=lambda logits: logits,
    one_hot=_one_hot_bits,
)


def check_classes(labels: np.ndarray, num_classes: int) -> None:
    """Raises `UserError` for labels that are none of the classes."""
    if labels.ndim == 2 and labels.shape[1] != num_classes:
        raise UserError(f"the labels are of {labels.shape[1]} classes, not of {num_classes}")
    bound = num_classes if labels.ndim == 1 else 2
    real = np.issubdtype(labels.dtype, np.floating)
    if not real and labels.size and not 0 <= labels.min() <= labels.max() < bound:
        raise UserError(f"labels are {labels.min()} to {labels.max()}, not 0 to {bound - 1}")


def check(labels: np.ndarray, settings: Settings, *, num_views: int = 1) -> None:
    """Raises `UserError` for settings that these labels do not allow."""
    real = np.issubdtype(labels.dtype, np.floating)
    if real != (settings.loss in losses.REGRESSION) and ":" not in settings.loss:
        known = [name for name in losses.LOSSES if (name in losses.REGRESSION) == real]
        given = "real targets" if real else "classes"
        raise UserError(
            f"train.loss is {settings.loss!r}, and the labels are {given}; "
            f"set it to {' or '.join(map(repr, known))}"
        )
    if real:
        if settings.sampler != "shuffle":
            raise UserError(
                f"train.sampler={settings.sampler!r} balances classes or keeps an order of clips; "
                "the labels are real targets"
            )
        if num_views > 1:
            raise UserError("a method with several views of a clip takes classes, not real targets")
        return
    if num_views > 1 and settings.loss == "capsule_margin" and settings.validation:
        raise UserError(
            "train.loss='capsule_margin' of several views of a clip has no validation loss; "
            "leave train.validation at 0"
        )
    if labels.ndim == 1:
        if settings.loss == "multilabel_bce":
            raise UserError(
                "train.loss='multilabel_bce' is for several labels a clip, and a clip has one"
            )
        return
    if settings.loss != "multilabel_bce" and ":" not in settings.loss:
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
    """The kind of these labels, by their type and rank."""
    if jnp.issubdtype(labels.dtype, jnp.floating):
        return _REAL
    return _SINGLE_LABEL if labels.ndim == 1 else _MULTI_LABEL
