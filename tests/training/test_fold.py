"""When a fold's learning rate falls and what its validation clips are judged by."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mer_jax import protocols
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
