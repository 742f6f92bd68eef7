"""Batch normalisation against NumPy and against plain differentiation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mer_jax.nn import BatchNorm
from mer_jax.nn.normalization import _normalize

X = np.random.default_rng(0).normal(3, 2, size=(6, 4, 5, 3)).astype(np.float32)


def test_masked_samples_do_not_count():
    norm = BatchNorm(3, rngs=nnx.Rngs(0))
    mask = np.array([1, 1, 0, 1, 1, 0], np.float32)
    poisoned = np.where(mask[:, None, None, None] > 0, X, np.nan).astype(np.float32)
    y = norm(poisoned, mask)
    real = X[mask > 0].astype(np.float64)
    mean, var = real.mean((0, 1, 2)), real.var((0, 1, 2))
    want = (real - mean) / np.sqrt(var + 1e-5)
    np.testing.assert_allclose(y[mask > 0], want, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(y[mask == 0], 0)
    np.testing.assert_allclose(norm.mean[...], 0.1 * mean, rtol=1e-5)
    unbiased = real.var((0, 1, 2), ddof=1)
    np.testing.assert_allclose(norm.var[...], 0.9 + 0.1 * unbiased, rtol=1e-5)


def test_a_mask_counts_samples_whatever_its_values():
    x = jnp.array([[[[1.0]]], [[[3.0]]], [[[9.0]]]])
    norm = BatchNorm(1, epsilon=0.0, rngs=nnx.Rngs(0))
    for mask in ([0.5, 0.25, 0.0], [2.0, -1.0, 0.0]):
        found = norm(x, jnp.array(mask)).ravel()
        np.testing.assert_allclose(found, [-1, 1, 0], atol=1e-6)


def test_padding_reaches_no_gradient():
    norm = BatchNorm(3, rngs=nnx.Rngs(0))
    mask = np.array([1, 1, 0, 1, 1, 0], np.float32)
    poisoned = np.where(mask[:, None, None, None] > 0, X, np.float32(np.nan))
    loss = lambda norm, x: jnp.sum(norm(x, mask) ** 3)
    gradient = nnx.jit(nnx.grad(loss, argnums=(0, 1)))
    of_norm, of_x = gradient(norm, poisoned)
    want_norm, want_x = gradient(norm, X)
    compare = lambda a, b: np.testing.assert_array_equal(a, b)
    jax.tree.map(compare, (nnx.to_pure_dict(of_norm), of_x), (nnx.to_pure_dict(want_norm), want_x))
    assert np.isfinite(of_x).all() and not np.asarray(of_x)[mask == 0].any()


def test_no_sample_at_all_leaves_the_statistics():
    norm = BatchNorm(3, rngs=nnx.Rngs(0))
    y = norm(X, np.zeros(6, np.float32))
    assert np.isfinite(y).all()
    np.testing.assert_array_equal(norm.mean[...], 0)
    np.testing.assert_array_equal(norm.var[...], 1)


@pytest.mark.parametrize("masked", [False, True])
def test_gradient_is_that_of_the_definition(masked):
    with jax.enable_x64(True):
        rng = np.random.default_rng(1)
        x, g = X.astype(np.float64), rng.normal(size=X.shape)
        scale, bias = rng.normal(size=3), rng.normal(size=3)
        weights = np.array([1, 0, 1, 1, 1, 0.0]) if masked else np.ones(6)

        def definition(x, scale, bias):
            w = weights[:, None, None, None]
            count = weights.sum() * 20
            mean = (x * w).sum((0, 1, 2)) / count
            var = ((x - mean[None, None, None]) ** 2 * w).sum((0, 1, 2)) / count
            mean, var, scale, bias = (a[None, None, None] for a in (mean, var, scale, bias))
            return ((x - mean) / jnp.sqrt(var + 1e-5) * scale + bias) * w

        def run(function):
            y, pull = jax.vjp(function, x, scale, bias)
            return y, pull(g)

        normalize = lambda *a: _normalize(1e-5, *a, jnp.asarray(weights))[0]
        ours, want = (jax.jit(lambda f=f: run(f))() for f in (normalize, definition))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-10, 1e-12), ours, want)


def test_evaluation_uses_the_running_statistics():
    norm = BatchNorm(3, rngs=nnx.Rngs(0))
    norm(X)
    norm.eval()
    mean, var = np.asarray(norm.mean[...]), np.asarray(norm.var[...])
    np.testing.assert_allclose(norm(X), (X - mean) / np.sqrt(var + 1e-5), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(norm.mean[...], mean)
    viewed = nnx.view(norm, use_running_average=False)
    assert not viewed.use_running_average and norm.use_running_average


def test_bfloat16_in_and_out():
    norm = BatchNorm(3, rngs=nnx.Rngs(0))
    y = norm(jnp.asarray(X, jnp.bfloat16))
    assert y.dtype == jnp.bfloat16 and norm.mean[...].dtype == jnp.float32
    want = BatchNorm(3, rngs=nnx.Rngs(0))(X)
    np.testing.assert_allclose(y.astype(jnp.float32), want, atol=0.03)
