"""The convolutional LSTM against its equations, step by step with SciPy's correlation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.signal import correlate2d

from mer_jax.errors import UserError
from mer_jax.nn.conv_lstm import ConvLSTM


def random_cell(in_features, features, size, seed=0, **options):
    """A cell with random peepholes and biases, which are 0 at first."""
    cell = ConvLSTM(in_features, features, size=size, rngs=nnx.Rngs(seed), **options)
    rng = np.random.default_rng(seed)
    shake = lambda a: a + jnp.asarray(0.3 * rng.standard_normal(a.shape), a.dtype)
    nnx.update(cell, jax.tree.map(shake, nnx.state(cell)))
    return cell


def convolve(x, kernel):
    """x [H, W, C], kernel [kh, kw, C, O] -> [H, W, O], zeros outside."""
    one = lambda o: sum(
        correlate2d(x[..., c], kernel[..., c, o], mode="same") for c in range(x.shape[-1])
    )
    return np.stack([one(o) for o in range(kernel.shape[-1])], -1)


def loop(cell, x):
    """Equations 1 to 5 in float64."""
    weights = jax.tree.map(lambda a: np.asarray(a, np.float64), nnx.to_pure_dict(nnx.state(cell)))
    w_ci, w_cf, w_co = weights["peepholes"]
    sigmoid = lambda z: 1 / (1 + np.exp(-z))
    out = []
    for clip in np.asarray(x, np.float64):
        h = c = np.zeros(w_ci.shape)
        for frame in clip:
            z = convolve(frame, weights["input"]["kernel"]) + weights["input"]["bias"]
            zi, zf, zo, zc = np.split(z + convolve(h, weights["hidden"]["kernel"]), 4, axis=-1)
            i, f = sigmoid(zi + w_ci * c), sigmoid(zf + w_cf * c)
            c = f * c + i * np.tanh(zc)
            o = sigmoid(zo + w_co * c)
            h = o * np.tanh(c)
            out.append(h)
    return np.reshape(out, (*x.shape[:2], *w_ci.shape))


@pytest.mark.parametrize("time", [2, 6])  # laid out, and as a loop
def test_equals_the_equations(time):
    cell = random_cell(2, 3, (5, 4))
    x = np.random.default_rng(1).standard_normal((2, time, 5, 4, 2)).astype(np.float32)
    np.testing.assert_allclose(jax.jit(cell)(x), loop(cell, x), atol=3e-6)


def test_width_100_has_the_parameters_counted_for_37_6_million():
    count = lambda c: sum(
        a.size
        for a in jax.tree.leaves(
            nnx.eval_shape(lambda: nnx.state(ConvLSTM(c, 100, size=(4, 4), rngs=nnx.Rngs(0))))
        )
    )
    assert count(512) == 2_203_600 + 4_800
    assert count(100) == 720_400 + 4_800


def test_every_parameter_gets_a_gradient():
    cell = random_cell(2, 3, (4, 4))
    x = np.random.default_rng(1).standard_normal((1, 3, 4, 4, 2)).astype(np.float32)
    graph, state = nnx.split(cell)
    loss = lambda state: jnp.sum(nnx.merge(graph, state)(x) ** 2)
    grads = jax.jit(jax.grad(loss))(state)
    for path, grad in jax.tree_util.tree_leaves_with_path(grads):
        assert np.abs(grad).max() > 1e-4, path


def test_clips_may_be_divided_over_a_mesh():
    cell = random_cell(2, 3, (5, 4))
    x = np.random.default_rng(1).standard_normal((2, 6, 5, 4, 2)).astype(np.float32)
    want = jax.jit(cell)(x)
    mesh, spec = jax.sharding.Mesh(jax.devices()[:2], "b"), jax.sharding.PartitionSpec("b")
    mapped = jax.shard_map(cell, mesh=mesh, in_specs=spec, out_specs=spec)
    np.testing.assert_allclose(jax.jit(mapped)(x), want, atol=1e-6)


def test_an_even_kernel_is_refused():
    with pytest.raises(UserError, match="its kernel is odd, not 2"):
        ConvLSTM(2, 3, size=(5, 4), kernel=2, rngs=nnx.Rngs(0))
