"""Narrow convolutions with the samples last, against XLA's own, alone and fused with a pool."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mer_jax.nn import conv, conv_relu_pool, formulation, max_pool
from mer_jax.nn.convolution import xla_convolution
from mer_jax.nn.cpu import lanes
from mer_jax.nn.windows import sliding

# Sizes of x, kernel and maps, options.
CASES = {
    "narrow": ((7, 9), (5, 3), 3, {"padding": 2}),
    "wide": ((6, 5), (3, 3), 9, {"padding": "SAME"}),
    "dilation": ((9, 8), (3, 2), 2, {"dilation": (2, 1)}),
    "strides": ((9, 8), (3, 3), 2, {"strides": (2, 3)}),
}


def _arrays(sizes, kernel, maps, *, samples=19):
    """19 samples: blocks of 16 and 3, and 13 of padding."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(samples, *sizes, 2)), rng.normal(size=(*kernel, 2, maps))


@pytest.mark.parametrize("case", CASES)
def test_convolution_and_gradient_of_the_kernel(case):
    *sizes, options = CASES[case]
    with jax.enable_x64(True):
        x, kernel = _arrays(*sizes)
        window = sliding(x.shape[1:-1], kernel.shape, **options)
        want, pull = jax.vjp(lambda kernel: xla_convolution(window, jnp.asarray(x), kernel), kernel)
        g = np.cos(np.arange(want.size)).reshape(want.shape)
        np.testing.assert_allclose(lanes.convolve(window, x, kernel), want, 1e-12, 1e-12)
        found = lanes.kernel_gradient(window, jnp.asarray(x), jnp.asarray(kernel), jnp.asarray(g))
        np.testing.assert_allclose(found, pull(jnp.asarray(g))[0], 1e-11, 1e-11)


def test_pool_of_an_image_and_its_gradients():
    """A pool with a rest, and a padded convolution."""
    with jax.enable_x64(True):
        x, kernel = _arrays((7, 9), (3, 5), 3)
        arrays = tuple(map(jnp.asarray, (x, kernel, np.array([0.3, -0.2, 0.1]))))

        def run(f):
            y, pull = jax.vjp(f, *arrays)
            return y, pull(jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape))

        fused = lambda x, w, b: conv_relu_pool(x, w, b, 3, padding=(1, 2))
        with formulation("xla"):
            want = jax.jit(
                lambda: run(
                    lambda x, w, b: max_pool(
                        jax.nn.relu(conv(x, w, padding=(1, 2)) + b[None, None, None]), 3
                    )
                )
            )()
        for name in (None, "xla"):
            with formulation(name):
                ours = jax.jit(lambda: run(fused))()
            jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-11, 1e-11), ours, want)


def test_a_small_batch_is_convolved_otherwise():
    """Fewer samples than lanes: the same numbers by `conv` and `max_pool`."""
    x, kernel = (jnp.asarray(a, jnp.float32) for a in _arrays((7, 9), (3, 5), 3))
    assert lanes.narrow(x, kernel) and not lanes.narrow(x[:3], kernel)
    many = conv_relu_pool(x, kernel, jnp.zeros(3), 2)
    few = conv_relu_pool(x[:3], kernel, jnp.zeros(3), 2)
    np.testing.assert_allclose(few, many[:3], rtol=1e-5, atol=1e-5)
