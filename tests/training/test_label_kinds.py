import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mer_jax.clips import Clip, in_memory
from mer_jax.errors import UserError
from mer_jax.protocols import create
from mer_jax.training import Settings, label_kinds
from tests.training import small

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(0, 2, (6, 3)).astype(np.float32)
ONE = np.array([0, 2, 1, 1, 0, 2])
SEVERAL = (RNG.uniform(size=(6, 3)) < 0.5).astype(np.int32)
TRAIN = np.array([1, 1, 1, 0, 0, 1], bool)


def test_one_label_a_clip():
    kind = label_kinds.label_kind(ONE)
    best = LOGITS.argmax(1)
    np.testing.assert_array_equal(kind.predict(LOGITS), best)
    np.testing.assert_array_equal(kind.accuracy(LOGITS, ONE), best == ONE)
    np.testing.assert_array_equal(kind.one_hot(best, 3).argmax(1), best)
    np.testing.assert_array_equal(kind.counts(ONE, TRAIN, 3), np.bincount(ONE[TRAIN], minlength=3))
    np.testing.assert_allclose(kind.probabilities(LOGITS).sum(1), 1, rtol=1e-6)


def test_several_labels_a_clip():
    kind = label_kinds.label_kind(SEVERAL)
    p = 1 / (1 + np.exp(-LOGITS.astype(np.float64)))
    np.testing.assert_allclose(kind.probabilities(LOGITS), p, rtol=1e-6)
    right = kind.accuracy(LOGITS, jnp.asarray(SEVERAL))
    np.testing.assert_allclose(right, ((p > 0.5) == SEVERAL).mean(1), rtol=1e-6)
    np.testing.assert_array_equal(
        kind.counts(jnp.asarray(SEVERAL), TRAIN, 3), SEVERAL[TRAIN].sum(0)
    )
    np.testing.assert_array_equal(kind.one_hot(np.asarray(kind.predict(LOGITS)), 3), p > 0.5)
    every = kind.predict(jnp.ones((1, 31)))
    assert kind.one_hot(np.asarray(every), 31).all()


def test_real_targets():
    real = RNG.uniform(size=(6, 3)).astype(np.float32)
    kind = label_kinds.label_kind(real)
    np.testing.assert_array_equal(kind.probabilities(LOGITS), LOGITS)
    right = ((LOGITS > 0.5) == (real > 0.5)).mean(1)
    np.testing.assert_allclose(kind.accuracy(LOGITS, jnp.asarray(real)), right, rtol=1e-6)
    np.testing.assert_array_equal(kind.one_hot(np.asarray(kind.predict(LOGITS)), 3), LOGITS > 0.5)


def job(labels, settings, **options):
    examples, _, folds = small.problem()
    return small.trained(settings, job=(examples, labels, folds.take([0, 1])), **options)


@pytest.mark.train
def test_a_fold_learns_several_labels():
    """Class k has a blob of size k + 1: "larger than 1", "larger than 2" and "odd" are learned."""
    size = small.problem()[1] + 1
    labels = np.stack([size > 1, size > 2, size % 2 == 1], 1).astype(np.int32)
    settings = Settings(epochs=60, batch_size=8, loss="multilabel_bce", learning_rate=3e-2)
    result = job(labels, settings)
    real = result.test
    said = (result.probabilities > 0.5)[real]
    right = (said == labels[result.eval_index[real]]).mean()
    assert right > 0.85, right
    assert result.train_loss[:, -1].mean() < 0.5 * result.train_loss[:, 0].mean()
    last = label_kinds.label_kind(labels).one_hot(result.predicted[0, -1], 3)
    np.testing.assert_array_equal(last, result.probabilities[0] > 0.5)


@pytest.mark.train
def test_a_fold_regresses_real_targets():
    """Targets 1, 0.5 and 0 by the size of the blob; a constant has a squared error of 1/6."""

    class Dense(nnx.Module):
        """Without dropout, whose noise a squared error follows."""

        def __init__(self, rngs):
            self.hidden, self.out = nnx.Linear(36, 32, rngs=rngs), nnx.Linear(32, 3, rngs=rngs)

        def __call__(self, x, *, mask=None):
            return self.out(nnx.relu(self.hidden(x.reshape(len(x), -1))))

    targets = (1 - small.problem()[1] / 2)[:, None].repeat(3, 1).astype(np.float32)
    settings = Settings(epochs=60, batch_size=8, loss="mse", learning_rate=1e-2)
    result = job(targets, settings, build=Dense)
    error = (result.probabilities - targets[result.eval_index])[result.test]
    assert (error**2).mean() < 0.05
    np.testing.assert_array_equal(result.predicted[0, -1] > 0, result.probabilities[0, :, 0] > 0.5)


def test_mistakes_are_one_sentence():
    several = np.ones((30, 3), np.int32)
    with pytest.raises(UserError, match="set it to 'multilabel_bce'"):
        job(several, Settings())
    with pytest.raises(UserError, match="and a clip has one"):
        job(np.arange(30) % 3, Settings(loss="multilabel_bce"))
    with pytest.raises(UserError, match="are real targets; set it to 'mse'"):
        job(np.ones((30, 1), np.float32), Settings())
    with pytest.raises(UserError, match="the labels are classes"):
        job(several, Settings(loss="mse"))
    with pytest.raises(UserError, match="balances classes"):
        label_kinds.check(np.ones((30, 1)), Settings(loss="mse", sampler="balanced"))
    with pytest.raises(UserError, match=r"train\.sampler"):
        job(several, Settings(loss="multilabel_bce", sampler="balanced"))
    with pytest.raises(UserError, match="go up to 31"):
        label_kinds.check(np.ones((4, 40), int), Settings(loss="multilabel_bce"))


def test_a_database_is_left_out_and_folds_are_dealt_by_several_labels():
    clips = [
        Clip("ab"[i % 2], f"s{i // 4}", f"c{i}", in_memory(np.zeros((1, 2, 2, 1))), "x")
        for i in range(48)
    ]
    labels = (RNG.uniform(size=(48, 3)) < [0.5, 0.3, 0.2]).astype(np.int32)
    folds = create("leave_one_database_out", clips, labels)
    assert folds.names == ("a", "b") and folds.check_classes(labels, "xyz") == []
    lonely = labels.copy()
    lonely[[clip.database == "a" for clip in clips], 1] = 0
    assert folds.check_classes(lonely, "xyz") == ["fold b: no training clip of class 'y'"]
    parts = create("k_fold", clips, labels, folds=4, by="sample")
    shares = np.stack([labels[test].sum(0) for test in parts.test])
    assert np.abs(shares - labels.sum(0) / 4).max() <= 2
