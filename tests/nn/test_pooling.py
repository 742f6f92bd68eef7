"""Pooling against reduce_window and a NumPy loop; the gradient's tie rule included."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from mer_jax.nn import adaptive_avg_pool, avg_pool, formulation, max_pool
from tests.compiled import compiled

# x, window, strides, padding
CASES = {
    "tiles": ((2, 9, 8, 3), (4, 2), None, 0),
    "large tiles": ((2, 25, 38, 3), (12, 12), None, 0),
    "tiles, padded": ((2, 10, 10, 3), (3, 3), None, 1),
    "overlap": ((2, 9, 8, 3), (3, 3), (2, 2), 1),
    "gaps": ((1, 9, 9, 2), (2, 2), (3, 3), 0),
    "one axis": ((2, 9, 5, 3), (4, 1), None, 0),
    "3-D": ((1, 7, 6, 7, 2), (3, 3, 3), None, 0),
    "3-D, overlap": ((1, 6, 6, 6, 2), (3, 3, 3), (2, 2, 2), 1),
}


def plain(x, window, strides, padding):
    """The compiler's own pool, with its own gradient."""
    pads = [(0, 0), *[(padding, padding)] * len(window), (0, 0)]
    strides = strides or window
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, *window, 1), (1, *strides, 1), pads)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("ties", [False, True])
def test_max_pool_is_reduce_window(case, ties):
    shape, window, strides, padding = CASES[case]
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    if ties:
        x = np.sign(x)

    @functools.partial(jax.jit, static_argnums=0)
    def run(pool, x):
        y, pull = jax.vjp(pool, x)
        return y, *pull(jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape))

    want, want_gradient = run(lambda x: plain(x, window, strides, padding), x)
    ours, gradient = run(lambda x: max_pool(x, window, strides=strides, padding=padding), x)
    np.testing.assert_array_equal(ours, want)
    np.testing.assert_allclose(gradient, want_gradient, atol=1e-6)


def test_forward_beside_gradient_in_float64():
    """Maximum trees once went wrong here: value and gradient of one jitted program."""
    with jax.enable_x64(True):
        x = np.random.default_rng(0).normal(size=(2, 9, 10, 4))

        def loss(pool, x):
            y = pool(jax.nn.relu(x))
            return (y**3).sum(), y

        ours = jax.jit(
            jax.value_and_grad(lambda x: loss(lambda x: max_pool(x, 4), x), has_aux=True)
        )
        want = jax.jit(jax.grad(lambda x: loss(lambda x: plain(x, (4, 4), None, 0), x)[0]))(x)
        np.testing.assert_allclose(ours(x)[1], want, rtol=1e-12)


def test_large_windows_are_addressed():
    x = np.zeros((1, 12, 12, 1), np.float32)
    x[0, 11, 10, 0] = 1
    gradient = jax.jit(jax.grad(lambda x: max_pool(x, 12).sum()))(x)
    np.testing.assert_array_equal(gradient, x)


def test_nan_reaches_the_output():
    x = np.zeros((1, 4, 2, 1), np.float32)
    x[0, 1, 1] = x[0, 2, 0] = np.nan
    assert np.isnan(jax.jit(lambda x: max_pool(x, 2))(x)).all()


def test_average_pools_are_means():
    x = np.random.default_rng(0).normal(size=(2, 7, 11, 3)).astype(np.float32)
    ours = compiled(avg_pool, window=(2, 3))(x)
    want = x[:, :6, :9].reshape(2, 3, 2, 3, 3, 3).mean((2, 4))
    np.testing.assert_allclose(ours, want, rtol=1e-5, atol=1e-6)
    ours = compiled(avg_pool, window=3, strides=2, padding=1)(x)
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))[:, ::2, ::2]
    np.testing.assert_allclose(ours, windows.mean((-1, -2)), rtol=1e-5, atol=1e-6)
    ours = np.asarray(jax.jit(lambda x: adaptive_avg_pool(x, (5, 4)))(x))
    for i in range(5):
        for j in range(4):
            rows = slice(7 * i // 5, -(-7 * (i + 1) // 5))
            columns = slice(11 * j // 4, -(-11 * (j + 1) // 4))
            want = x[:, rows, columns].mean((1, 2))
            np.testing.assert_allclose(ours[:, i, j], want, rtol=1e-5, atol=1e-6)


def test_gradient_of_a_maximum_without_llvm_optimizations():
    """XLA computes y twice with different rounding: y == y.max() may be false everywhere.

    Only with fused multiply-adds, that is where `.ci/run` runs this with an empty XLA_FLAGS.
    """
    x = np.random.default_rng(0).normal(size=(37, 19)).astype(np.float32)

    def loss(x, bias):
        y = x * jax.lax.rsqrt(x.var(1, keepdims=True) + 1e-5) + bias[None, :]
        return max_pool(y[None, :, :, None], (1, 19)).sum()

    program = jax.jit(jax.grad(loss, argnums=1)).lower(x, jnp.ones(19))
    gradient = program.compile({"xla_backend_optimization_level": 0})(x, jnp.ones(19))
    np.testing.assert_array_equal(gradient, np.bincount(x.argmax(1), minlength=19))


@pytest.mark.parametrize("size", [5, 12])
def test_of_equals_the_first_in_every_formulation(size):
    """25 and 144 taps, written one by one and searched."""
    x = jnp.zeros((1, size, size, 1))
    for name in (None, "xla"):
        with formulation(name):
            gradient = jax.jit(jax.grad(lambda x: max_pool(x, x.shape[1:3]).sum()))(x)
        np.testing.assert_array_equal(gradient.ravel(), np.arange(size**2) == 0)


def test_a_window_may_have_more_pixels_than_a_short_integer_counts():
    x = jnp.zeros((1, 182, 182, 1)).at[0, -1, -1].set(1)
    gradient = jax.jit(jax.grad(lambda x: max_pool(x, 182).sum()))(x)
    np.testing.assert_array_equal(gradient, x)
