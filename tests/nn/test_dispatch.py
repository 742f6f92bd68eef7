"""The switch between formulations, and how a loop over a batch divides it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mer_jax import models
from mer_jax.nn import BatchNorm, Conv, conv, conv_relu_pool, formulation, max_pool
from mer_jax.nn.cpu.products import in_blocks
from tests.models import learning


class Small(nnx.Module):
    """Each operation that has a gradient of its own, once."""

    def __init__(self, rngs):
        self.conv, self.norm = Conv(1, 2, (3, 3), rngs=rngs), BatchNorm(2, rngs=rngs)
        self.kernel = nnx.Param(jax.random.normal(rngs.params(), (2, 2, 2, 2, 2)))
        self.bias = nnx.Param(jnp.ones(2))

    def __call__(self, x):
        y = max_pool(self.norm(self.conv(x)), 2)
        y = jnp.stack([y, 2 * y, -y], 1)  # [B, T, H, W, C]
        return conv_relu_pool(y, self.kernel[...], self.bias[...], (2, 2, 2))


QUICK = ("htnet", "rcn_a", "strcn_g", "ststnet")  # the other networks are slow tests


def objective():
    """(loss of the weights, weights) of a small network in training, in float64."""
    network = Small(nnx.Rngs(0))
    graph, params, state = nnx.split(network, nnx.Param, ...)
    double = lambda tree: jax.tree.map(
        lambda a: a.astype(jnp.float64) if a.dtype == jnp.float32 else a, nnx.as_pure(tree)
    )
    params, state = double(params), double(state)
    x = np.random.default_rng(0).normal(size=(3, 12, 12, 1))
    return lambda params: (nnx.merge(graph, params, state)(x) ** 2).mean(), params


def test_xla_is_differentiable_in_both_modes():
    """jvp against reverse mode in the default formulation; linearize of the gradient against
    central differences of it."""
    with jax.enable_x64(True):
        loss, params = objective()
        rng = np.random.default_rng(1)
        v = jax.tree.map(lambda a: jnp.asarray(rng.normal(size=a.shape)), params)
        dot = lambda a: sum(map(jnp.vdot, jax.tree.leaves(a), jax.tree.leaves(v)))
        gradient = jax.jit(jax.value_and_grad(loss))
        with pytest.raises(TypeError, match="custom_vjp"):
            jax.jvp(loss, (params,), (v,))
        want_value, want = gradient(params)
        with formulation("xla"):
            value, slope = jax.jit(lambda p: jax.jvp(loss, (p,), (v,)))(params)
            curvature = jax.jit(lambda p: jax.linearize(jax.grad(loss), p)[1](v))(params)
        np.testing.assert_allclose(value, want_value, rtol=1e-9)
        np.testing.assert_allclose(slope, dot(want), rtol=1e-9)
        step = lambda e: gradient(jax.tree.map(lambda a, b: a + e * b, params, v))[1]
        difference = jax.tree.map(lambda a, b: (a - b) / 2e-6, step(1e-6), step(-1e-6))
        np.testing.assert_allclose(dot(curvature), dot(difference), rtol=1e-5)


@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in learning.SMALL]
)
def test_every_network_is_differentiable_in_both_modes(name):
    """Traced, not run: forward mode of the gradient, as in `jax.hessian`, and of the loss."""
    build = lambda: models.create(name, num_classes=3, rngs=nnx.Rngs(0), **learning.SMALL[name])
    graph, params, state = nnx.split(nnx.eval_shape(build), nnx.Param, ...)
    x = learning.examples(name, count=2)

    def both(params, state):
        loss = lambda params: jnp.square(nnx.merge(graph, params, state)(x)).sum()
        product = jax.jvp(jax.grad(loss), (params,), (params,))[1]
        return product, jax.linearize(loss, params)[1](params)

    with formulation("xla"):
        product, slope = jax.eval_shape(both, nnx.as_pure(params), nnx.as_pure(state))
    same = jax.tree.map(lambda a, b: a.shape == b.shape, product, nnx.as_pure(params))
    assert jax.tree.all(same) and slope.shape == ()


def test_hessian_of_a_convolution_and_a_pool():
    x = np.random.default_rng(0).normal(size=(1, 4, 4, 1)).astype(np.float32)
    loss = lambda w: (max_pool(conv(x, w), 2) ** 2).sum()
    with formulation("xla"):
        hessian = jax.jit(jax.hessian(loss))(jnp.ones((3, 3, 1, 1))).reshape(9, 9)
    patches = np.stack([x[0, i : i + 3, j : j + 3, 0].ravel() for i in (0, 1) for j in (0, 1)])
    largest = patches[patches.sum(1).argmax()]
    np.testing.assert_allclose(hessian, 2 * np.outer(largest, largest), rtol=1e-5, atol=1e-5)


def test_what_is_compiled_knows_its_formulation():
    x, w = jnp.ones((1, 5, 5, 1)), jnp.ones((3, 3, 1, 1))
    f = jax.jit(lambda w: conv(x, w).sum())
    f(w)
    with formulation("xla"):
        assert jax.jvp(f, (w,), (w,))[1] == 81
    with pytest.raises(TypeError, match="custom_vjp"):
        jax.jvp(f, (w,), (w,))


def test_blocks_fit_a_cache_or_have_the_size_given():
    x = np.arange(12 * 3).reshape(12, 3)
    for width, block_size, least, blocks in (
        (2**17, 0, 1, 3),  # four samples are 2^19 numbers
        (2**17, 2**20, 1, 2),  # eight would fit, but do not divide twelve: six
        (2**30, 0, 1, 12),  # one sample at least
        (1, 0, 1, 1),
        (0, 0, 1, 1),  # nothing is made of a sample
        (1, 0, 2, 2),
        (1, 0, 13, 12),  # more blocks than samples
        (2**17, 2**10, 1, 3),  # a smaller `block_size` takes nothing away
    ):
        arrays = (x, x[:, :1])
        first, second = in_blocks(*arrays, width=width, block_size=block_size, least=least)
        assert len(first) == len(second) == blocks
        np.testing.assert_array_equal(first.reshape(x.shape), x)
        np.testing.assert_array_equal(second.reshape(12, 1), x[:, :1])
