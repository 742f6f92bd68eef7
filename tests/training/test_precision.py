"""Networks in narrow numbers, and activations that are computed again instead of being kept."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mer_jax import models
from mer_jax.errors import UserError
from mer_jax.training import Settings, single_fold
from mer_jax.training.single_fold import make_static_config
from tests.training import small
from tests.twins.cases import CASES

SETTINGS = Settings(epochs=3, batch_size=8, learning_rate=1e-2)


def run(precision="float32", data_dtype="float32", inputs=None, **options):
    examples, labels, folds = small.problem()
    if inputs is not None:
        examples = dataclasses.replace(examples, inputs=inputs)
    settings = dataclasses.replace(SETTINGS, precision=precision, data_dtype=data_dtype)
    job = examples, labels, folds.take([0, 1])
    return small.trained(settings, job=job, **options)


def task_of(build, precision="float32", remat=False):
    examples, labels, _ = small.problem()
    settings = dataclasses.replace(SETTINGS, precision=precision)
    return make_static_config(
        examples, len(labels), settings, num_classes=3, build=build, remat=remat
    )


@pytest.mark.slow
def test_bfloat16_follows_float32_and_tf32_is_float32_on_a_cpu():
    exact, narrow = run(), run("bfloat16")
    np.testing.assert_allclose(narrow.train_loss, exact.train_loss, atol=0.05)
    assert np.abs(narrow.train_loss - exact.train_loss).max() > 1e-5  # it was narrow indeed
    np.testing.assert_array_equal(run("tf32").probabilities, exact.probabilities)
    with pytest.raises(UserError, match="did you mean 'bfloat16'"):
        dataclasses.replace(SETTINGS, precision="bfloat")


CASE = {name: sizes for name, sizes, _ in CASES.values()}


@pytest.mark.parametrize("name", models.networks())
def test_every_network_runs_in_bfloat16_and_keeps_float32_weights(name):
    """Traced, not run: no operation mixes the widths, and what comes back is wide."""
    sizes = CASE.get(name, {})
    build = lambda key: models.create(name, num_classes=3, rngs=nnx.Rngs(key), **sizes)
    network = nnx.eval_shape(lambda: build(jax.random.key(0)))
    network.train()
    graph, *trees = nnx.split(network, nnx.Param, ...)
    params, model_state = map(nnx.as_pure, trees)
    is_shape = lambda shape: isinstance(shape, tuple)
    draw = lambda shape: jax.ShapeDtypeStruct((2, *shape), jnp.float32)
    x = jax.tree.map(draw, network.input_shape, is_leaf=is_shape)
    apply_model = partial(single_fold.apply_model, task_of(small.build, "bfloat16"), graph)
    traced = jax.make_jaxpr(lambda *arrays: apply_model(*arrays, jnp.ones(2)))(
        params, model_state, x
    )
    assert "bf16" in str(traced)
    logits, after = jax.eval_shape(apply_model, params, model_state, x)
    assert logits.dtype == jnp.float32 and logits.shape == (2, 3)
    dtypes = lambda tree: jax.tree.map(lambda a: a.dtype, tree)
    assert dtypes(after) == dtypes(model_state)


@pytest.mark.slow
def test_remat_changes_no_number_and_keeps_less():
    np.testing.assert_allclose(run(remat=True).train_loss, run().train_loss, rtol=1e-5)

    build = lambda key: models.create(
        "strcn_a", num_classes=3, rngs=nnx.Rngs(key), shape=(132, 12, 3), maps=8
    )
    _, *trees = nnx.split(build(jax.random.key(0)), nnx.Param, ...)
    params, model_state = map(nnx.as_pure, trees)
    x = jnp.ones((16, 132, 12, 3))

    def kept(remat):
        static = task_of(lambda rngs: build(rngs()), remat=remat)
        forward = single_fold.train_forward(static)
        objective = lambda p: forward(p, model_state, x, jnp.ones(16))[0]
        _, pull = jax.eval_shape(lambda p: jax.vjp(objective, p), params)
        return sum(a.size * a.dtype.itemsize for a in jax.tree.leaves(pull))

    assert kept(True) < 0.5 * kept(False)


@pytest.mark.slow
def test_clips_stored_in_half_the_bytes_are_trained_on_as_they_were_rounded():
    rounded = small.problem()[0].inputs.astype(jnp.float16).astype(jnp.float32)
    narrow, want = run(data_dtype="float16"), run(inputs=rounded)
    np.testing.assert_allclose(narrow.probabilities, want.probabilities, atol=1e-6)
    with pytest.raises(UserError, match="value of 70000; leave it at float32"):
        run(data_dtype="float16", inputs=rounded.at[0, 0, 0].set(7e4))
    with pytest.raises(UserError, match="value of 1e-08; leave it at float32"):  # would be 0
        run(data_dtype="float16", inputs=rounded.at[0].set(1e-8))
