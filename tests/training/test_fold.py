"""When a fold's learning rate falls and what its validation clips are judged by."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mer_jax import protocols
from mer_jax.errors import UserError
from mer_jax.methods import Examples
from mer_jax.training import Settings, single_fold
from tests.training import small


def factors(rule: str, losses, patience: int) -> list[float]:
    """What the learning rate is multiplied by after each of `losses`."""
    static = types.SimpleNamespace(lr_plateau_patience=patience, lr_plateau_rule=rule)
    step = jax.jit(lambda best, waited, loss: single_fold._plateau(static, best, waited, -loss))
    best, waited = jnp.finfo(jnp.float32).min, jnp.int32(0)
    scale, found = 1.0, []
    for loss in losses:
        best, waited, falls = step(best, waited, jnp.float32(loss))
        scale *= 0.1 if falls else 1
        found.append(scale)
    return found


# The 1st is the best, the 2nd to 6th are not: five in a row. The 7th is, but by less than 1e-4 of
# it; the 8th to 12th are not.
LOSSES = [1.0, 1.1, 1.0, 1.2, 1.3, 1.1, 0.99995, 1.1, 1.1, 1.1, 1.1, 1.1, 1.1, 1.1]


@pytest.mark.parametrize(
    ("rule", "falls"),
    [("consecutive", [6, 12]), ("pytorch", [7, 13])],  # counted by hand, from 1
)
def test_the_rate_falls_by_the_rule_that_is_named(rule, falls):
    scale = [0.1 ** sum(fall <= epoch for fall in falls) for epoch in range(1, len(LOSSES) + 1)]
    np.testing.assert_allclose(factors(rule, LOSSES, 5), scale, rtol=1e-12)
    assert factors(rule, LOSSES, 0) == [1.0] * len(LOSSES)


@pytest.mark.parity
@pytest.mark.parametrize("patience", [1, 2, 5])
def test_the_rule_of_pytorch_is_its_schedulers(patience):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(patience)
    # Steps down of every size, half of them below the threshold, and noise.
    losses = (
        2 - np.cumsum(10.0 ** rng.uniform(-6, -2, 60)) + rng.choice([0, 0.01], 60, p=[0.3, 0.7])
    )
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=patience, eps=0)
    wanted = []
    for loss in losses:
        scheduler.step(float(loss))
        wanted.append(optimizer.param_groups[0]["lr"])
    assert len(set(wanted)) > 2
    np.testing.assert_allclose(factors("pytorch", losses, patience), wanted, rtol=1e-6)


def test_validation_watches_the_loss_that_is_trained():
    """Class-weighted where training is: PyTorch's weighted mean, by hand."""
    _, labels, folds = small.problem()
    folds = protocols.with_validation(folds.take([0, 3]), fraction=0.4, seed=0)
    settings = Settings(
        epochs=2,
        batch_size=8,
        loss="weighted_ce",
        validation=0.4,
        model_selection="best_val",
        lr_plateau_patience=1,
        lr_plateau_rule="pytorch",
    )
    labels = np.where(np.arange(len(labels)) % 5 == 0, 0, labels)  # unbalanced
    job = (small.problem()[0], labels, folds)
    result = small.trained(settings, job=job)
    for f in range(2):
        rows = result.validation[f]
        truth = labels[result.eval_index[f][rows]]
        nll = -np.log(result.probabilities[f][rows, truth].astype(float))
        weight = 1 / np.bincount(labels[folds.train[f]])[truth]
        watched = result.validation_loss[f, result.chosen_epoch[f] - 1]
        np.testing.assert_allclose(watched, (weight * nll).sum() / weight.sum(), rtol=1e-5)
        assert abs(watched - nll.mean()) > 1e-4


def test_mixed_samples_are_weighted_means_with_real_partners():
    x = {"a": jnp.arange(12.0).reshape(6, 2), "b": jnp.arange(6.0)}
    mask = jnp.array([1.0, 1, 1, 1, 0, 0])
    weights, orders = [], set()
    for seed in range(20):
        mixed, weight, partner = single_fold._mix(jax.random.key(seed), x, mask, 0.4)
        assert sorted(partner[:4].tolist()) == [0, 1, 2, 3] and 0.5 <= weight <= 1
        for name, plain in x.items():
            want = weight * plain + (1 - weight) * plain[partner]
            np.testing.assert_allclose(mixed[name][:4], want[:4], rtol=1e-6)
        weights.append(float(weight))
        orders.add(tuple(partner[:4].tolist()))
    assert len(orders) > 5 and np.std(weights) > 0.05


class _Logits(nnx.Module):
    """The input is the logits: a loss can be computed by hand."""

    def __init__(self, *, rngs):
        self.shift = nnx.Param(jnp.zeros(3))

    def __call__(self, x, *, mask=None):
        return x + self.shift[None, :]


def test_the_loss_of_mixed_and_smoothed_labels_is_the_cross_entropy_of_soft_ones(monkeypatch):
    """An epoch of one batch, of a network that returns its input."""
    logits = np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32)
    _, labels, folds = small.problem()
    monkeypatch.setattr(
        single_fold,
        "_mix",
        lambda key, x, mask, alpha: (x, jnp.float32(0.75), jnp.roll(jnp.arange(len(x)), 1)),
    )
    # In file order, class by class, so that each partner is known.
    settings = Settings(
        epochs=1, batch_size=30, sampler="sequential", mixup=0.4, label_smoothing=0.3
    )
    job = (Examples(inputs=jnp.asarray(logits)), labels, folds.take([2]))
    result = small.trained(settings, job=job, build=lambda rngs: _Logits(rngs=rngs))
    rows = np.flatnonzero(folds.train[2])
    rows = rows[np.argsort(labels[rows], kind="stable")]
    soft = 0.7 * np.eye(3)[labels[rows]] + 0.1
    partner = np.r_[rows[0], rows[:-1]]  # padding repeats the first row, and is rolled to it
    soft = 0.75 * soft + 0.25 * (0.7 * np.eye(3)[labels[partner]] + 0.1)
    log_p = logits[rows] - np.log(np.exp(logits[rows]).sum(1, keepdims=True))
    np.testing.assert_allclose(result.train_loss[0, 0], -(soft * log_p).sum(1).mean(), rtol=1e-5)


def test_smoothing_is_of_cross_entropy():
    with pytest.raises(UserError, match="label_smoothing needs"):
        Settings(label_smoothing=0.1, loss="one_vs_rest_bce")
