"""Layers on blocks of samples against the same layers on the batch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from mer_jax.nn import formulation, max_pool, samples_last


def layers(kernels, x):
    """Two convolutions, one of one map, with maxima over pixels and over maps between them."""
    y = jax.nn.relu(samples_last.conv(x, kernels[0], padding=1))
    y = y * max_pool(y, y.shape[1:3])
    largest = max_pool(y.reshape(1, len(y), -1), len(y)).reshape(1, *y.shape[1:])
    return max_pool(samples_last.conv(largest, kernels[1], padding=2), 3, strides=2, padding=1)


def plain(kernels, x, mask):
    """The same of [B, H, W, C], by the compiler's own operations."""

    def conv(x, kernel, pad):
        numbers = ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(
            x, kernel, (1, 1), 2 * [(pad, pad)], dimension_numbers=numbers
        )

    y = jax.nn.relu(conv(x, kernels[0], 1))
    y = y * y.max((1, 2), keepdims=True)
    y = conv(y.max(-1, keepdims=True), kernels[1], 2)
    pads = ((0, 0), (1, 1), (1, 1), (0, 0))
    y = lax.reduce_window(y, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), pads)
    return jnp.where(mask[:, None, None, None], y, 0)


@pytest.mark.parametrize("padding", [0, 5, 21])
def test_blocks_are_the_batch(padding):
    """37 samples: two blocks of 16 and the rest, the last ones padding; NaN in it stays there."""
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        shapes = ((37, 12, 13, 2), (3, 3, 2, 3), (5, 5, 1, 2))
        x, *kernels = (jnp.asarray(rng.normal(size=shape)) for shape in shapes)
        mask = jnp.arange(37.0) < 37 - padding

        def run(f):
            y, pull = jax.vjp(f, kernels, x)
            return y, pull(jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape))

        blocks = lambda k, x: samples_last.apply_samples_last(layers, k, x, mask)
        want = jax.jit(lambda: run(lambda k, x: plain(k, x, mask)))()
        for name in (None, "xla"):
            with formulation(name):
                ours = jax.jit(lambda: run(blocks))()
            jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-11, 1e-11), ours, want)


def test_padding_may_be_nan():
    x = jnp.ones((33, 4, 4, 2)).at[20:].set(jnp.nan)
    kernels = [jnp.ones((3, 3, 2, 3)), jnp.ones((5, 5, 1, 2))]
    mask = jnp.where(jnp.arange(33) < 20, 0.5, 0.0)

    @jax.jit
    def run(kernels):
        loss = lambda k: samples_last.apply_samples_last(layers, k, x, mask).sum()
        return jax.value_and_grad(loss)(kernels)

    assert all(jnp.isfinite(a).all() for a in jax.tree.leaves(run(kernels)))


def test_gradients_of_16_bits_are_summed_in_32():
    """Equal samples of equal pixels: a sum of 14 x 14 or of 1,008 would stop growing at 256."""
    x = jnp.ones((1008, 14, 14, 1), jnp.bfloat16)
    layers = lambda kernel, x: samples_last.conv(x, kernel)

    def loss(kernel):
        return samples_last.apply_samples_last(layers, kernel, x).astype(jnp.float32).sum()

    with formulation("matmul"):
        gradient = jax.jit(jax.grad(loss))(jnp.ones((1, 1, 1, 1), jnp.bfloat16))
    np.testing.assert_allclose(gradient.astype(jnp.float32), 1008 * 196, rtol=4e-3)


def test_under_shard_map():
    """One fold a device; a block of padding has zeros of the type of what is computed instead."""
    x, kernels = jnp.ones((2, 20, 4, 4, 2)), jnp.ones((2, 3, 3, 2, 3))
    layers = lambda kernel, x: samples_last.conv(x, kernel, padding=1)

    def loss(kernel, x):
        y = samples_last.apply_samples_last(layers, kernel[0], x[0], jnp.arange(20) < 3)
        return (y**2).sum()

    mesh = jax.make_mesh((2,), ("fold",), axis_types=(jax.sharding.AxisType.Auto,))
    arguments = {"mesh": mesh, "in_specs": jax.P("fold"), "out_specs": jax.P("fold")}
    found = jax.jit(jax.shard_map(jax.grad(loss), **arguments))(kernels, x)
    np.testing.assert_allclose(found[0], jax.jit(jax.grad(loss))(kernels[:1], x[:1])[0], rtol=1e-6)
