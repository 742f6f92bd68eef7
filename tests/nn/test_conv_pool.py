"""The fused first layer against convolution, ReLU and pool one after the other."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mer_jax.nn import conv, conv_relu_pool, formulation, max_pool

# x, kernel without channels, C, window
CASES = {
    "as in the paper": ((2, 11, 9, 8), (5, 3, 3), 1, (3, 3, 3)),
    "rest of the pool": ((1, 9, 10, 12), (3, 3, 5), 1, (2, 3, 2)),
    "channels": ((2, 6, 6, 7), (3, 2, 2), 2, (2, 2, 2)),
    "one frame": ((1, 4, 6, 6), (3, 3, 3), 1, (2, 2, 2)),
}


@pytest.mark.parametrize("case", CASES)
def test_value_and_gradients(case):
    shape, kernel, channels, window = CASES[case]
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        arrays = (
            rng.normal(size=(*shape, channels)),
            rng.normal(size=(*kernel, channels, 4)),
            rng.normal(size=4),
        )

        @partial(jax.jit, static_argnums=0)
        def run(f, *arrays):
            y, pull = jax.vjp(f, *arrays)
            return y, pull(jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape))

        fused = lambda x, w, b: conv_relu_pool(x, w, b, window)
        plain = lambda x, w, b: max_pool(
            jax.nn.relu(conv(x, w) + jnp.expand_dims(b, range(4))), window
        )
        with formulation("xla"):
            want = run(plain, *arrays)
        for name in ("xla", "matmul", None) if case == "channels" else (None,):
            with formulation(name):
                ours = run(fused, *arrays)
            jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-12, 1e-12), ours, want)


def test_lowering_for_an_accelerator_has_no_loop():
    x, w, b = jnp.zeros((1, 7, 6, 6, 1)), jnp.zeros((3, 3, 3, 1, 2)), jnp.zeros(2)
    step = jax.jit(jax.grad(lambda w: conv_relu_pool(x, w, b, (2, 2, 2)).sum()))
    for platform in ("cuda", "tpu"):
        assert "while" not in jax.export.export(step, platforms=[platform])(w).mlir_module()
    assert "while" in jax.export.export(step, platforms=["cpu"])(w).mlir_module()


def test_bfloat16_runs_at_a_network_s_size():
    """XLA's CPU products of 16 bits into 32 lack the shapes of this one (MicroExpSTCNN, T = 18)."""
    rng = np.random.default_rng(0)
    draw = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.bfloat16)
    arrays = draw(2, 18, 64, 64, 1), draw(15, 3, 3, 1, 32), draw(32)

    def value(*arrays):
        pooled = conv_relu_pool(*arrays, (3, 3, 3))
        return (pooled.astype(jnp.float32) ** 2).mean()

    both = [
        jax.jit(jax.value_and_grad(value, argnums=1))(*(a.astype(dtype) for a in arrays))
        for dtype in (jnp.bfloat16, jnp.float32)
    ]
    (y, dk), (want, want_dk) = both
    np.testing.assert_allclose(y, want, rtol=0.02)
    scale = np.abs(want_dk).max()
    np.testing.assert_allclose(
        dk.astype(jnp.float32), want_dk, atol=0.06 * scale
    )  # a maximum may lie elsewhere
