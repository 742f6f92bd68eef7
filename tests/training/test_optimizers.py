import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mer_jax.errors import UserError
from mer_jax.training import optimizers


def rates(name, **options):
    options = {"epochs": 10, "steps": 4, "rate": 0.5, "every": 3} | options
    schedule = optimizers.schedule(name, **options)
    return 0.1 * np.array([schedule(step) for step in range(40)]).reshape(10, 4)


def test_schedules_change_between_epochs_as_their_papers_say():
    np.testing.assert_allclose(rates("constant"), 0.1)
    np.testing.assert_allclose(rates("decay"), 0.1 * 0.5 ** np.arange(10)[:, None] + np.zeros(4))
    np.testing.assert_allclose(
        rates("step"), 0.1 * 0.5 ** (np.arange(10) // 3)[:, None] + np.zeros(4)
    )
    cosine = rates("cosine").ravel()
    np.testing.assert_allclose(cosine, 0.05 * (1 + np.cos(np.pi * np.arange(40) / 40)), atol=1e-8)


def test_compiled_schedules_change_at_the_first_step_of_an_epoch():
    epochs = np.arange(6)
    for steps in (4, 41, 47, 55, 61, 82, 123):  # of most a quotient in float32 is below the whole
        options = {"epochs": 6, "steps": steps, "rate": 0.5, "every": 1}
        found = jax.jit(optimizers.schedule("decay", **options))(epochs * steps)
        np.testing.assert_array_equal(found, 0.5**epochs, err_msg=str(steps))


def apply_gradients(rule, gradients):
    w = jnp.asarray([1.0, -2.0])
    state = optimizers.init(rule, w)
    for gradient in gradients:
        w, state = optimizers.apply_gradients(rule, w, jnp.asarray(gradient), state, jnp.ones(()))
    return np.asarray(w)


GRADIENTS = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)


def test_sgd_is_heavy_ball_with_l2_in_the_gradient():
    rule = optimizers.create("sgd", lambda _: 0.1, momentum=0.9, weight_decay=0.01)
    w, v = np.array([1.0, -2.0]), np.zeros(2)
    for gradient in GRADIENTS:
        v = 0.9 * v + gradient + 0.01 * w
        w = w - 0.1 * v
    np.testing.assert_allclose(apply_gradients(rule, GRADIENTS), w, rtol=1e-5)


def test_adam_is_kingma_and_bas_with_l2_in_the_gradient():
    rule = optimizers.create("adam", lambda _: 0.1, weight_decay=0.01)
    w, m, s = np.array([1.0, -2.0]), np.zeros(2), np.zeros(2)
    for t, gradient in enumerate(GRADIENTS, 1):
        g = gradient + 0.01 * w
        m, s = 0.9 * m + 0.1 * g, 0.999 * s + 0.001 * g * g
        w = w - 0.1 * (m / (1 - 0.9**t)) / (np.sqrt(s / (1 - 0.999**t)) + 1e-8)
    np.testing.assert_allclose(apply_gradients(rule, GRADIENTS), w, rtol=1e-5)


def test_adamw_is_loshchilov_and_hutters_beside_the_moments():
    rule = optimizers.create("adamw", lambda _: 0.1, weight_decay=0.6)
    w, m, s = np.array([1.0, -2.0]), np.zeros(2), np.zeros(2)
    for t, g in enumerate(GRADIENTS, 1):
        w = w * (1 - 0.1 * 0.6)
        m, s = 0.9 * m + 0.1 * g, 0.999 * s + 0.001 * g * g
        w = w - 0.1 * (m / (1 - 0.9**t)) / (np.sqrt(s / (1 - 0.999**t)) + 1e-8)
    np.testing.assert_allclose(apply_gradients(rule, GRADIENTS), w, rtol=1e-5)


LARGE = {"kernel": (300, 700), "bias": (700,), "uneven": (2 * 2**16 + 5,)}


@pytest.fixture
def small_is_large(monkeypatch):
    monkeypatch.setattr(optimizers, "_LARGE", 2**16)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_large_parameters_go_by_pieces_and_end_as_in_one(small_is_large, name):
    rule = optimizers.create(name, lambda count: 0.1 / (1 + count), weight_decay=0.01)
    rng = np.random.default_rng(1)
    draw = lambda: {k: jnp.asarray(rng.normal(size=s), jnp.float32) for k, s in LARGE.items()}
    params = expected = draw()
    state, memory = optimizers.init(rule, params), rule.init(params)
    step = jax.jit(functools.partial(optimizers.apply_gradients, rule))
    for _ in range(3):
        grads = draw()
        updates, memory = rule.update(grads, memory, expected)
        expected = jax.tree.map(lambda w, u: w + 0.5 * u, expected, updates)
        params, state = step(params, grads, state, jnp.float32(0.5))
    for key in LARGE:
        np.testing.assert_allclose(params[key], expected[key], rtol=1e-5, atol=1e-6)


def test_on_a_cpu_no_large_parameter_or_moment_is_copied(small_is_large):
    """Two layers: the gradient of the first needs the second as it was before the step."""
    rule = optimizers.create("adam", lambda _: 0.1)
    params = {"first": jnp.ones((8, 512)), "second": jnp.ones((512, 600))}

    def step(carry, x):
        params, state = carry
        loss = lambda p: jnp.sum((jax.nn.relu(x @ p["first"]) @ p["second"]) ** 2)
        return optimizers.apply_gradients(
            rule, params, jax.grad(loss)(params), state, x[0, 0]
        ), None

    def train(carry, x):
        return jax.lax.scan(step, carry, x)[0]

    carry, x = (params, optimizers.init(rule, params)), jnp.ones((5, 4, 8))
    text = jax.jit(train, donate_argnums=0).lower(carry, x).compile().as_text()
    assert "f32[512,600]" in text and "f32[307200]" in text
    repeats_per_epoch = [row for row in text.splitlines() if " copy(" in row]
    assert not [row for row in repeats_per_epoch if "f32[512,600]" in row or "f32[307200]" in row]


def test_unknown_names_offer_the_nearest():
    with pytest.raises(UserError, match="did you mean 'adam'"):
        optimizers.create("adm", lambda _: 0.1)
    with pytest.raises(UserError, match="did you mean 'cosine'"):
        rates("cosin")
