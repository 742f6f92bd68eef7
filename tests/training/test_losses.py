import functools

import jax
import numpy as np
import pytest

from mer_jax.errors import UserError
from mer_jax.training import losses

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(0, 2, (7, 4)).astype(np.float32)
LABELS = np.array([0, 1, 1, 3, 0, 2, 2])
MASK = np.array([1, 1, 1, 1, 1, 0, 0], np.float32)
COUNTS = np.array([10, 20, 5, 40], np.float32)


def softmax(z):
    e = np.exp(z.astype(np.float64) - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


REAL = np.random.default_rng(2).uniform(0, 1, (7, 4)).astype(np.float32)
SEVERAL = np.random.default_rng(1).integers(0, 2, (7, 4))


def two_frames(rng):
    """[7, 20]: targets of two frames; of the last sample's second one nothing is known."""
    frames = np.zeros((7, 2, 10), np.float32)
    for row in frames.reshape(-1, 10)[:-1]:
        row[rng.integers(0, 3)] = row[3 + rng.integers(0, 3)] = 1
        row[6:8] = rng.choice([0, 0.97, 1], 2)
        row[8:] = rng.integers(0, 2, 2)
    frames[2, 1] = 0
    return frames.reshape(7, 20)


FRAMES = two_frames(np.random.default_rng(3))


@functools.cache
def compiled(name):
    return jax.jit(jax.value_and_grad(losses.create(name)))


def run(name, logits=LOGITS):
    """The loss and its gradient."""
    labels = {"multilabel_bce": SEVERAL, "mse": REAL, "boundary_focal": FRAMES}
    labels = (labels | {"spot_recognize": REAL}).get(name, LABELS)
    logits = np.tile(logits, (1, 5)) if name == "boundary_focal" else logits
    return compiled(name)(logits, labels, MASK, COUNTS)


def focal_by_hand():
    """Frame by frame, as the authors' code writes it, but for the 1e-5 in its logarithms."""
    logits = np.tile(LOGITS.astype(np.float64), (1, 5)).reshape(7, 2, 10)
    frames = [
        (y, t)
        for i in range(7)
        if MASK[i]
        for y, t in zip(logits[i], FRAMES.reshape(7, 2, 10)[i])
        if t[:3].any()
    ]

    def binary(column, alpha):
        found = []
        for y, t in frames:
            p, t = 1 / (1 + np.exp(-y[column])), t[column]
            if t > 0:
                found.append(-alpha * abs(t - p) * np.log(p))
            else:
                found.append(-(1 - alpha) * abs(t + 0.16 - p) * np.log(1 - p))
        return np.mean(found)

    def classes(begin):
        found = []
        for y, t in frames:
            p = softmax(y[begin : begin + 3])
            true = int(np.argmax(t[begin : begin + 3]))
            found.append(-(0.45, 0.45, 0.1)[true] * (1 - p[true]) * np.log(p[true]))
        return np.mean(found)

    # abfcm.py of ABPN, lines 268 to 272, and train.py of AUW-GCN.
    apex = [w * binary(6 + k, 0.9) for k, w in enumerate((1.8, 1.0))]
    each = [apex[k] + classes(3 * k) + 0.1 * binary(8 + k, 0.8) for k in (0, 1)]
    return each[0] + 0.5 * each[1]


def by_hand(name):
    p = softmax(LOGITS)
    real = [i for i in range(7) if MASK[i]]
    if name == "cross_entropy":
        return np.mean([-np.log(p[i, LABELS[i]]) for i in real])
    if name == "multilabel_bce":
        q = 1 / (1 + np.exp(-LOGITS.astype(np.float64)))
        each = -np.where(SEVERAL == 1, np.log(q), np.log(1 - q))
        return np.mean([each[i].mean() for i in real])
    if name == "mse":
        return ((LOGITS.astype(np.float64) - REAL) ** 2)[MASK > 0].mean()
    if name == "spot_recognize":
        error = np.mean([(float(LOGITS[i, 0]) - REAL[i, 0]) ** 2 for i in real])
        pairs = [(i, k) for i in real for k in (1, 2)]  # the last emotion is neutral
        w = [REAL[i, k] / COUNTS[k] for i, k in pairs]
        each = [-np.log(softmax(LOGITS[i, 1:])[k - 1]) for i, k in pairs]
        return 0.9 * error + 0.1 * np.dot(w, each) / sum(w)
    if name == "boundary_focal":
        return focal_by_hand()
    if name in ("weighted_ce", "weighted_focal"):
        w = [1 / COUNTS[LABELS[i]] for i in real]
        true = [p[i, LABELS[i]] for i in real]
        focus = [(1 - t) ** 2 if name == "weighted_focal" else 1 for t in true]
        return sum(wi * -np.log(t) * f for wi, t, f in zip(w, true, focus)) / sum(w)
    if name in ("class_balanced_bce", "one_vs_rest_bce"):
        total = 0.0
        for i in real:
            same = sum(LABELS[j] == LABELS[i] for j in real)
            beta = len(real) / (4 * same) if name == "class_balanced_bce" else 1.0
            for c in range(4):
                y = float(LABELS[i] == c)
                total += -beta * np.log(p[i, c] ** y * (1 - p[i, c]) ** (1 - y))
        return total / len(real)
    v = LOGITS.astype(np.float64)
    total = 0.0
    for i in real:
        for c in range(4):
            if c == LABELS[i]:
                total += max(0, 0.9 - v[i, c]) ** 2
            else:
                total += 0.5 * max(0, v[i, c] - 0.1) ** 2
    return total / len(real)


@pytest.mark.parametrize("name", losses.LOSSES)
def test_equals_the_formula_written_out(name):
    np.testing.assert_allclose(run(name)[0], by_hand(name), rtol=2e-6)


@pytest.mark.parametrize("name", losses.LOSSES)
def test_padding_has_no_say_and_gradients_are_finite_where_p_is_one(name):
    other = LOGITS.copy()
    for padding in (3.0, np.nan, np.inf):
        other[5:] = padding
        for changed, same in zip(run(name, other), run(name)):
            np.testing.assert_array_equal(changed, same)
    sure = np.full((7, 4), -40.0, np.float32)
    sure[np.arange(7), LABELS] = 40.0
    sure = -sure if "class_balanced_bce" in name else sure  # certain and wrong: log(1 - p) at p = 1
    assert np.isfinite(run(name, sure)[1]).all()


def test_an_unknown_loss_names_the_nearest():
    with pytest.raises(UserError, match="did you mean 'class_balanced_bce'"):
        losses.create("balance")
