"""The recurrent layer against Equations 6 and 7 written out with SciPy."""

import numpy as np
import pytest
from flax import nnx
from scipy.signal import correlate

from mer_jax.errors import UserError
from mer_jax.nn import RecurrentConv


def convolved(x, kernel):
    """x [H, W, C], kernel [kh, kw, C, O], padding that keeps H and W."""
    maps = [
        sum(correlate(x[..., c], kernel[..., c, o], "same") for c in range(x.shape[-1]))
        for o in range(kernel.shape[-1])
    ]
    return np.stack(maps, -1)


@pytest.mark.parametrize("statistics", ["separate", "shared"])
@pytest.mark.parametrize("steps", [0, 2])
def test_equations_six_and_seven(steps, statistics):
    layer = RecurrentConv(3, 2, steps=steps, statistics=statistics, rngs=nnx.Rngs(0))
    rng = np.random.default_rng(0)
    for norm in layer.norms:
        for stored in (norm.scale, norm.bias, norm.mean, norm.var):
            stored[...] = rng.uniform(0.5, 1.5, 2).astype(np.float32)
    layer.eval()
    u = rng.normal(size=(6, 5, 3)).astype(np.float32)

    v = np.zeros((6, 5, 2))
    for n in range(steps + 1):
        z = convolved(u, np.asarray(layer.feedforward.kernel[...]))
        if n:
            z = z + convolved(v, np.asarray(layer.recurrent.kernel[...]))
        norm = layer.norms[n if statistics == "separate" else 0]
        scale, bias, mean, var = (
            np.asarray(a[...]) for a in (norm.scale, norm.bias, norm.mean, norm.var)
        )
        v = np.maximum((z - mean) / np.sqrt(var + 1e-5) * scale + bias, 0)
    np.testing.assert_allclose(layer(u[None])[0], v, rtol=1e-4, atol=1e-5)


def test_unknown_statistics_are_named():
    with pytest.raises(UserError, match="separate"):
        RecurrentConv(2, 3, statistics="seperate", rngs=nnx.Rngs(0))
