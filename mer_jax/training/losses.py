"""The losses of the papers: (logits [B, K], labels [B], mask [B], counts [K]) -> scalar.

`mask` is 1 for a real sample and 0 for padding; `counts` are the fold's training clips of each
class. Each loss is a mean over the real samples of the batch, float32; the logits of padding, even
NaN or infinite ones, change neither it nor its gradient. "multilabel_bce" takes several labels a
clip, [B, K] of 0 and 1; those of `REGRESSION` real targets,
[B, K] float32, whose sums over the training clips are the counts.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from mer_jax.options import find

Loss = Callable[[jax.Array, jax.Array, jax.Array, jax.Array], jax.Array]


LOSSES: dict[str, Loss] = {}  # those of this module, by name


def _without_padding(loss: Loss) -> Loss:
    """`loss` with 0 for the logits of padding: a mask alone would give 0 times NaN, NaN."""

    @functools.wraps(loss)
    def masked(logits, labels, mask, counts):
        return loss(jnp.where(mask[:, None] > 0, logits, 0), labels, mask, counts)

    return masked


def _named(loss: Loss) -> Loss:
    """`loss` without padding, as a member of `LOSSES`."""
    LOSSES[loss.__name__] = _without_padding(loss)
    return LOSSES[loss.__name__]


@_named
def cross_entropy(
    logits: jax.Array, labels: jax.Array, mask: jax.Array, counts: jax.Array
) -> jax.Array:
    """-log p of the true class (MER-RCNN, STCNN, PSN, STSTNet).

    >>> import numpy as np
    >>> logits, labels = np.log(np.float32([[0.5, 0.5], [0.9, 0.1]])), np.array([0, 0])
    >>> mask, counts = np.float32([1, 0]), np.float32([2, 2])
    >>> print(f"{jax.jit(cross_entropy)(logits, labels, mask, counts):.4f}")
    0.6931
    """
    del counts
    return _mean(-_log_likelihood(logits, labels), mask)


@_named
def weighted_ce(
    logits: jax.Array, labels: jax.Array, mask: jax.Array, counts: jax.Array
) -> jax.Array:
    """Cross-entropy with class weights (R3D-ConvLSTM).

    A class' weight is inverse to its training clips, and the weights of the batch are normalized
    as PyTorch's `CrossEntropyLoss(weight=...)` does: sum of w * nll over sum of w.
    """
    weight = mask / jnp.maximum(counts, 1.0)[labels]
    return _mean(-_log_likelihood(logits, labels), weight)


@_named
def weighted_focal(
    logits: jax.Array, labels: jax.Array, mask: jax.Array, counts: jax.Array
) -> jax.Array:
    """-(1 - p)^2 log p of the true class, weighted as in `weighted_ce` (SKD-TSTSAN).

    >>> import numpy as np
    >>> logits, ones = np.log(np.float32([[0.5, 0.5]])), np.ones(1, np.float32)
    >>> print(f"{jax.jit(weighted_focal)(logits, np.array([0]), ones, np.float32([4, 2])):.4f}")
    0.1733
    """
    log_p = _log_likelihood(logits, labels)
    weight = mask / jnp.maximum(counts, 1.0)[labels]
    return _mean(-jnp.square(1 - jnp.exp(log_p)) * log_p, weight)


@_named
def class_balanced_bce(
    logits: jax.Array, labels: jax.Array, mask: jax.Array, counts: jax.Array
) -> jax.Array:
    """STRCN's multi-class balanced loss (Eqs. 9 and 10).

    For each class p_t = p where it is the label and 1 - p elsewhere; the loss of sample i is
    -beta_i sum_c log p_t. Our choice: beta_i = B / (K n_i) with n_i the samples of i's class among
    the batch's B, so that a balanced batch has beta = 1.

    Our choice: Equation 10 prints a sum over samples; here it is their mean over the batch, so that
    the learning rate does not depend on the batch size.
    """
    del counts
    num_classes = logits.shape[-1]
    in_batch = jnp.sum(jax.nn.one_hot(labels, num_classes) * mask[:, None], axis=0)
    beta = jnp.sum(mask) / (num_classes * jnp.maximum(in_batch, 1.0))[labels]
    return _mean(-beta * _log_every_class(logits, labels), mask)


@_named
def one_vs_rest_bce(
    logits: jax.Array, labels: jax.Array, mask: jax.Array, counts: jax.Array
) -> jax.Array:
    """`class_balanced_bce` with every beta = 1 (STRCN, Table IV: without BL)."""
    del counts
    return _mean(-_log_every_class(logits, labels), mask)


@_named
def capsule_margin(
    logits: jax.Array, labels: jax.Array, mask: jax.Array, counts: jax.Array
) -> jax.Array:
    """CapsuleNet's margin loss on capsule lengths v (0.9 / 0.1, lambda 0.5).

    T max(0, 0.9 - v)^2 + 0.5 (1 - T) max(0, v - 0.1)^2, summed over classes. The network
    returns its capsules' lengths v as logits.

    Our choice: the margins are those of Sabour et al. 2017, Equation 4, where the public code of
    Van Quang et al. has 0.99 and 0.01.
    """
    del counts
    one_hot = jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
    present = jnp.square(jax.nn.relu(0.9 - logits))
    absent = jnp.square(jax.nn.relu(logits - 0.1))
    return _mean(jnp.sum(one_hot * present + 0.5 * (1 - one_hot) * absent, axis=-1), mask)


@_named
def multilabel_bce(
    logits: jax.Array, labels: jax.Array, mask: jax.Array, counts: jax.Array
) -> jax.Array:
    """The mean of the classes' binary cross-entropies; labels [B, K] of 0 and 1.

    For clips with several labels (CD6ME's twelve action units; Varanka, Li, Peng & Zhao 2022).
    """
    del counts
    each = optax.sigmoid_binary_cross_entropy(logits, labels.astype(logits.dtype))
    return _mean(jnp.mean(each, axis=-1), mask)


@_named
def mse(logits: jax.Array, labels: jax.Array, mask: jax.Array, counts: jax.Array) -> jax.Array:
    """The mean squared error of real targets, labels [B, K] (SOFTNet, MEAN, MTSN).

    >>> import numpy as np
    >>> scores, targets = np.float32([[1], [9]]), np.float32([[0.5], [0]])
    >>> print(jax.jit(mse)(scores, targets, np.float32([1, 0]), np.zeros(1, np.float32)))
    0.25
    """
    del counts
    return _mean(jnp.mean(jnp.square(logits - labels), axis=-1), mask)


@_named
def boundary_focal(
    logits: jax.Array, labels: jax.Array, mask: jax.Array, counts: jax.Array
) -> jax.Array:
    """The focal losses of PEM and AUW-GCN (Leng et al. 2022, Yin et al. 2023, authors' code).

    With the ten outputs of each frame (`spotting.targets.OUTPUTS`) and targets t of 0 to 1,

        micro + 0.5 macro, each = w f(apex, 0.9) + f(start, end, neither) + 0.1 f(action, 0.8),
        w = 1.8 for micro, 1 for macro (of SAMM the authors have 0.7 macro).

    f(y, a) of a score p = sigmoid(y) is -a |t - p| log(p) where t > 0 and else
    -(1 - a) |0.16 - p| log(1 - p); of the three classes it is -a (1 - p) log(p) of the true one's
    softmax p, a = 0.45, 0.45 and 0.1. Each term is a mean over frames. Frames without any of the
    three, such as those in the margins of windows, do not count (the authors count the padding
    behind a video). Our choice: log p is exact, without the 1e-5 that the authors add to p.

    >>> import numpy as np
    >>> frame, zeros = np.float32([[1, 0, 0, 0, 0, 1, 0, 0, 0, 0]]), np.zeros((1, 10), np.float32)
    >>> losses = jax.jit(boundary_focal)(zeros, frame, np.ones(1, np.float32), zeros[0])
    >>> zero = lambda w: (w * 0.1 + 0.1 * 0.2) * abs(0.16 - 0.5) * np.log(2)
    >>> three = (0.45 + 0.5 * 0.1) * (2 / 3) * np.log(3)
    >>> bool(np.allclose(losses, zero(1.8) + 0.5 * zero(1.0) + three))
    True
    """
    del counts
    y, t = (jnp.reshape(x, (len(x), -1, 10)) for x in (logits, labels))
    member = jnp.sum(t[..., :3], -1)  # 1 for a frame that counts
    weight = (mask[:, None] * member)[..., None]

    def binary(columns, alpha):  # -> [2], of micro and macro
        score, target = y[..., columns], t[..., columns]
        p = jax.nn.sigmoid(score)
        present = alpha * jnp.abs(target - p) * jax.nn.log_sigmoid(score)
        absent = (1 - alpha) * jnp.abs(0.16 - p) * jax.nn.log_sigmoid(-score)
        each = -jnp.where(target > 0, present, absent)
        return jnp.sum(each * weight, (0, 1)) / jnp.maximum(jnp.sum(weight), 1e-12)

    def classes(columns):
        log_p = jax.nn.log_softmax(y[..., columns])
        alpha = jnp.array([0.45, 0.45, 0.1])
        each = -jnp.sum(t[..., columns] * alpha[None, None, :] * (1 - jnp.exp(log_p)) * log_p, -1)
        return _mean(each, weight[..., 0])

    apex, action = binary(slice(6, 8), 0.9), binary(slice(8, 10), 0.8)
    parts = jnp.stack([classes(slice(0, 3)), classes(slice(3, 6))])
    micro, macro = jnp.array([1.8, 1.0]) * apex + parts + 0.1 * action
    return micro + 0.5 * macro


@_named
def spot_recognize(
    logits: jax.Array, labels: jax.Array, mask: jax.Array, counts: jax.Array
) -> jax.Array:
    """0.9 of the score's squared error and 0.1 of the emotions' cross-entropy (SFAMNet).

    Column 0 is the score; the others are the emotions, the last of them none (neutral), with
    targets of 0 and 1. A class' weight is inverse to its training samples, and 0 for neutral; the
    weights of the batch are normalized as in `weighted_ce`. Authors' code of Liong et al. 2024.
    """
    spotting = _mean(jnp.square(logits[:, 0] - labels[:, 0]), mask)
    weight = mask[:, None] * labels[:, 1:-1] / jnp.maximum(counts[1:-1], 1.0)[None, :]
    return 0.9 * spotting + 0.1 * _mean(-jax.nn.log_softmax(logits[:, 1:])[:, :-1], weight)


# Those of real targets instead of classes.
REGRESSION = ("mse", "boundary_focal", "spot_recognize")


def create(name: str) -> Loss:
    """The loss of that name, or the function that "package.module:name" names.

    Raises `UserError` for an unknown one.

    >>> create("cross_entropy") is cross_entropy
    True
    """
    loss = find("train.loss", name, LOSSES)
    return loss if name in LOSSES else _without_padding(loss)


def smoothed(loss: Loss, smoothing: float) -> Loss:
    """`loss` of labels of which `smoothing` is divided over all classes (Szegedy et al. 2016).

    `loss` itself if `smoothing` is 0. Cross-entropy is linear in the labels: 1 - smoothing times
    its value, and smoothing times its mean over labels of each class.

    >>> import numpy as np
    >>> logits, labels = np.log(np.float32([[0.8, 0.2]])), np.array([0])
    >>> loss, ones = jax.jit(smoothed(cross_entropy, 0.2)), np.ones(1, np.float32)
    >>> print(f"{loss(logits, labels, ones, ones):.4f}")  # of .9 and .1
    0.3618
    """
    if not smoothing:
        return loss

    @functools.wraps(loss)
    def smooth(logits, labels, mask, counts):
        count = logits.shape[-1]
        every = [loss(logits, jnp.full_like(labels, k), mask, counts) for k in range(count)]
        own = loss(logits, labels, mask, counts)
        return (1 - smoothing) * own + smoothing * sum(every) / count

    return smooth


def _log_likelihood(logits: jax.Array, labels: jax.Array) -> jax.Array:
    log_p = jax.nn.log_softmax(logits)
    return jnp.take_along_axis(log_p, labels[:, None], axis=-1)[:, 0]


def _log_every_class(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """[B]: log p of the true class and log(1 - p) of each other one, summed."""
    one_hot = jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
    # log(1 - p_c) is the log of the other classes' sum: exact where p_c is close to 1.
    others = jnp.where(jnp.eye(logits.shape[-1], dtype=bool), -jnp.inf, logits[:, None, :])
    log_not = jax.nn.logsumexp(others, axis=-1) - jax.nn.logsumexp(logits, axis=-1, keepdims=True)
    return jnp.sum(one_hot * jax.nn.log_softmax(logits) + (1 - one_hot) * log_not, axis=-1)


def _mean(values: jax.Array, weights: jax.Array) -> jax.Array:
    return jnp.sum(values * weights) / jnp.maximum(jnp.sum(weights), 1e-12)
