import jax.numpy as jnp
import numpy as np
import pytest

from mer_jax.problems import UserError
from mer_jax.training import optimisers


def rates(name, **options):
    options = {"epochs": 10, "steps": 4, "rate": 0.5, "every": 3} | options
    schedule = optimisers.schedule(name, **options)
    return 0.1 * np.array([schedule(step) for step in range(40)]).reshape(10, 4)


def test_schedules_change_between_epochs_as_their_papers_say():
    np.testing.assert_allclose(rates("constant"), 0.1)
    np.testing.assert_allclose(rates("decay"), 0.1 * 0.5 ** np.arange(10)[:, None] + np.zeros(4))
    np.testing.assert_allclose(
        rates("step"), 0.1 * 0.5 ** (np.arange(10) // 3)[:, None] + np.zeros(4)
    )
    cosine = rates("cosine").ravel()
    np.testing.assert_allclose(cosine, 0.05 * (1 + np.cos(np.pi * np.arange(40) / 40)), atol=1e-8)


def descend(rule, gradients):
    w = jnp.asarray([1.0, -2.0])
    state = rule.init(w)
    for gradient in gradients:
        update, state = rule.update(jnp.asarray(gradient), state, w)
        w = w + update
    return np.asarray(w)


GRADIENTS = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)


def test_sgd_is_heavy_ball_with_l2_in_the_gradient():
    rule = optimisers.create("sgd", lambda _: 0.1, momentum=0.9, weight_decay=0.01)
    w, v = np.array([1.0, -2.0]), np.zeros(2)
    for gradient in GRADIENTS:
        v = 0.9 * v + gradient + 0.01 * w
        w = w - 0.1 * v
    np.testing.assert_allclose(descend(rule, GRADIENTS), w, rtol=1e-5)


def test_adam_is_kingma_and_bas_with_l2_in_the_gradient():
    rule = optimisers.create("adam", lambda _: 0.1, weight_decay=0.01)
    w, m, s = np.array([1.0, -2.0]), np.zeros(2), np.zeros(2)
    for t, gradient in enumerate(GRADIENTS, 1):
        g = gradient + 0.01 * w
        m, s = 0.9 * m + 0.1 * g, 0.999 * s + 0.001 * g * g
        w = w - 0.1 * (m / (1 - 0.9**t)) / (np.sqrt(s / (1 - 0.999**t)) + 1e-8)
    np.testing.assert_allclose(descend(rule, GRADIENTS), w, rtol=1e-5)


def test_unknown_names_offer_the_nearest():
    with pytest.raises(UserError, match="did you mean 'adam'"):
        optimisers.create("adm", lambda _: 0.1)
    with pytest.raises(UserError, match="did you mean 'cosine'"):
        rates("cosin")
