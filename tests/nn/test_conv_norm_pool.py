"""The fused first layer against convolution, ReLU, normalization and pool one after the other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mer_jax.nn import BatchNorm, Conv, conv_relu_norm_pool, formulation, max_pool

# Sizes of x, kernel, options of the convolution, window and padding of the pool.
CASES = {
    "as in STSTNet": ((6, 7), (3, 3), {"padding": 2}, 3, 1),
    "strides": ((9, 8), (3, 2), {"strides": 2, "padding": "SAME"}, 2, "SAME"),
    "rest of the pool": ((8, 9), (2, 3), {"kernel_dilation": 2}, 2, "VALID"),
}
MASK = np.array([1.0, 0.0, 1.0, 1.0])
fused = nnx.jit(conv_relu_norm_pool, static_argnums=4)


def _layers(kernel, options, dtype):
    rngs = nnx.Rngs(0)
    conv = Conv(2, 5, kernel, **options, param_dtype=dtype, rngs=rngs)
    norm = BatchNorm(5, rngs=rngs)
    for layer, scale in ((conv.bias, 0.3), (norm.scale, 1.0), (norm.bias, 1.0)):
        values = np.random.default_rng(1).normal(size=5) * scale
        layer[...] = jnp.asarray(values, layer[...].dtype)
    assert (norm.scale[...] < 0).any() and (norm.scale[...] > 0).any()
    return conv, norm


def _run(function, layers, x, mask):
    """Output, running statistics, and the gradients of the layers and of x."""
    graph, params, rest = nnx.split(layers, nnx.Param, ...)

    @jax.jit
    def run(params, rest, x, mask):
        def apply(params, x):
            conv, norm = nnx.merge(graph, params, nnx.as_pure(rest))
            return function(conv, norm, x, mask), (norm.mean[...], norm.var[...])

        y, pull, running = jax.vjp(apply, params, x, has_aux=True)
        g = jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape)
        return y, running, pull(g)

    return run(nnx.as_pure(params), rest, x, mask)


@pytest.mark.parametrize("case", CASES)
def test_value_statistics_and_gradients(case):
    sizes, kernel, options, window, padding = CASES[case]
    ours_of = lambda *a: conv_relu_norm_pool(*a, window, padding=padding)
    plain = lambda conv, norm, x, mask: max_pool(
        norm(nnx.relu(conv(x)), mask), window, padding=padding
    )
    with jax.enable_x64(True):
        x = np.random.default_rng(0).normal(size=(4, *sizes, 2))
        layers = _layers(kernel, options, jnp.float64)
        with formulation("xla"):
            want = _run(plain, layers, x, MASK)
        for name in (None, "xla", "matmul") if case == "strides" else (None,):
            with formulation(name):
                ours = _run(ours_of, layers, x, MASK)
            jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-11, 1e-11), ours, want)
        layers[1].eval()
        y, want = (nnx.jit(run)(*layers, x, None) for run in (ours_of, plain))
        np.testing.assert_allclose(y, want, 1e-12, 1e-12)


def test_padding_samples_and_empty_batches():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(4, 6, 6, 2)), jnp.float32)
    conv, norm = _layers((3, 3), {}, jnp.float32)
    y = fused(conv, norm, x.at[1].set(jnp.nan), jnp.asarray(MASK, jnp.float32), 2)
    np.testing.assert_array_equal(y[1], 0)
    alone = _layers((3, 3), {}, jnp.float32)
    want = fused(*alone, x[MASK > 0], None, 2)
    np.testing.assert_allclose(y[MASK > 0], want, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(norm.var[...], alone[1].var[...], rtol=1e-5)
    conv, norm = _layers((3, 3), {}, jnp.float32)
    assert np.isfinite(fused(conv, norm, x, jnp.zeros(4), 2)).all()
    np.testing.assert_array_equal(norm.mean[...], 0)
    np.testing.assert_array_equal(norm.var[...], 1)


def test_lowering_for_an_accelerator_has_no_loop():
    layers = _layers((3, 3), {}, jnp.float32)
    graph, state = nnx.split(layers)
    state, x = nnx.as_pure(state), jnp.zeros((2, 6, 6, 2))

    def loss(x):
        return conv_relu_norm_pool(*nnx.merge(graph, state), x, None, 2).sum()

    step = jax.jit(jax.grad(loss))
    for platform in ("cuda", "tpu"):
        assert "while" not in jax.export.export(step, platforms=[platform])(x).mlir_module()
    assert "while" in jax.export.export(step, platforms=["cpu"])(x).mlir_module()


def test_bfloat16():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(3, 6, 6, 2)), jnp.float32)
    want = fused(*_layers((3, 3), {}, jnp.float32), x, None, 2)
    conv, norm = _layers((3, 3), {}, jnp.float32)
    conv.kernel, conv.bias = (
        nnx.Param(a[...].astype(jnp.bfloat16)) for a in (conv.kernel, conv.bias)
    )
    y = fused(conv, norm, x.astype(jnp.bfloat16), None, 2)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose(y.astype(jnp.float32), want, atol=0.06)


@pytest.mark.parametrize("option", ["mask", "padding"])
def test_what_the_formulation_for_cpus_lacks_is_computed_layer_by_layer(option):
    """A masked kernel, and a pool whose windows may lie in its padding."""
    mask = np.zeros((3, 3, 2, 3), np.float32)
    mask[1, 1] = 1
    conv = Conv(2, 3, (3, 3), padding=1, mask=mask if option == "mask" else None, rngs=nnx.Rngs(0))
    norm = BatchNorm(3, rngs=nnx.Rngs(0))
    x = jnp.asarray(np.random.default_rng(0).normal(size=(9, 6, 6, 2)).astype(np.float32))
    padding = ((3, 0), (0, 0)) if option == "padding" else "VALID"
    found = conv_relu_norm_pool(conv, norm, x, None, 3, padding=padding)
    want = max_pool(norm(nnx.relu(conv(x)), None), 3, padding=padding)
    np.testing.assert_array_equal(found, want)
