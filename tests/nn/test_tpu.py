"""The Temporal Perception Unit against its equations, frame by frame in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mer_jax.errors import UserError
from mer_jax.nn import tpu


def loop(unit, x, how):
    """Equations 3, 4 and 7 to 9 in float64, one clip and one frame at a time."""
    weights = jax.tree.map(lambda a: np.asarray(a, np.float64), nnx.to_pure_dict(nnx.state(unit)))

    def affine(name, value):
        return value @ weights[name]["kernel"] + weights[name].get("bias", 0)

    ys, tps = [], []
    for clip in np.asarray(x, np.float64):
        h = np.zeros(unit.hidden.in_features)
        for t, frame in enumerate(clip):
            if how == "computed":
                change = frame - clip[t - 1] if t else np.zeros_like(frame)
                tp = np.sqrt(np.mean((change - change.mean()) ** 2))
            else:
                tp = 1.0
            h = np.tanh(affine("input", frame) + affine("hidden", h))
            if how != "none":
                h = np.tanh(affine("modulated", tp * h))
            ys.append(np.tanh(affine("output", h)))
            tps.append(tp)
    return np.reshape(ys, (*x.shape[:2], -1)), np.reshape(tps, x.shape[:2])


def with_biases(unit, seed=3):
    """Biases are 0 at first; a test needs them to count."""
    rng = np.random.default_rng(seed)
    shake = lambda a: a + jnp.asarray(0.1 * rng.standard_normal(a.shape), a.dtype)
    nnx.update(unit, jax.tree.map(shake, nnx.state(unit)))
    return unit


@pytest.mark.parametrize("how", ["computed", "one", "none"])
def test_equals_the_equations(how):
    unit = with_biases(tpu.TPU(20, 6, perception=how, rngs=nnx.Rngs(0)))
    x = np.random.default_rng(1).random((3, 7, 20), np.float32)
    y, tp = jax.jit(unit)(x)
    want_y, want_tp = loop(unit, x, how)
    np.testing.assert_allclose(y, want_y, atol=2e-6)
    np.testing.assert_allclose(tp, want_tp, atol=1e-6)
    assert y.shape == (3, 7, 6)


def test_unit_scales_the_perception_only():
    x = np.random.default_rng(1).random((2, 5, 20), np.float32)
    gray = tpu.TPU(20, 6, unit=255.0, rngs=nnx.Rngs(0))
    plain = tpu.TPU(20, 6, rngs=nnx.Rngs(0))
    (gray_y, gray_tp), (y, tp) = (map(np.asarray, jax.jit(unit)(x)) for unit in (gray, plain))
    np.testing.assert_allclose(gray_tp, 255 * tp, rtol=1e-6)
    assert np.abs(gray_y - y).max() > 1e-2


def test_perception_is_zero_for_the_first_and_for_repeated_frames():
    x = np.random.default_rng(2).random((1, 6, 4, 5, 1), np.float32)
    x[:, 4:] = x[:, 3:4]
    tp = np.asarray(jax.jit(tpu.temporal_perception)(x))
    assert tp[0, 0] == 0 and np.all(tp[0, 4:] == 0) and np.all(tp[0, 1:4] > 0.1)


def test_perception_ignores_a_change_of_brightness():
    x = np.random.default_rng(2).random((1, 1, 30), np.float32)
    assert tpu.temporal_perception(np.concatenate([x, x + np.float32(0.2)], axis=1))[0, 1] < 1e-6


def test_gradient_is_finite_where_nothing_moves():
    x = jnp.ones((1, 3, 8))
    unit = tpu.TPU(8, 4, rngs=nnx.Rngs(0))
    assert np.isfinite(jax.jit(jax.grad(lambda x: unit(x)[0].sum()))(x)).all()


def test_knows_no_other_perception():
    with pytest.raises(UserError, match="computed"):
        tpu.TPU(8, 4, perception="compute", rngs=nnx.Rngs(0))
