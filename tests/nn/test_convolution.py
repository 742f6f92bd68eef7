"""Every formulation of a convolution against XLA's own and against SciPy."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax
from scipy.signal import correlate

from mer_jax.errors import UserError
from mer_jax.nn import Conv, conv, formulation

# x without channels, kernel, C, O, options
CASES = {
    "3x3": ((2, 9, 8), (3, 3), 4, 5, {"padding": 1}),
    "few channels": ((2, 9, 8), (5, 5), 1, 16, {}),
    "1x1": ((2, 5, 6), (1, 1), 3, 4, {}),
    "stride": ((2, 11, 10), (3, 4), 6, 4, {"strides": 2, "padding": [(1, 2), 0]}),
    "stride along H": ((2, 11, 10), (3, 3), 6, 4, {"strides": (3, 1)}),
    "dilation": ((2, 12, 11), (3, 3), 6, 4, {"dilation": (2, 3), "padding": 3}),
    "rest unused": ((1, 10, 10), (3, 3), 2, 3, {"strides": 4}),
    "kernel larger than the image": ((2, 2, 3), (5, 5), 3, 4, {"padding": 2}),
    "kernel larger than what comes out": ((2, 9, 8), (5, 5), 3, 4, {"strides": 2}),
    "deep": ((2, 7, 6), (5, 5), 96, 3, {"padding": 1}),
    "deep gradient": ((2, 9, 8), (5, 5), 3, 96, {"strides": 2, "padding": 2}),
    "many maps": ((3, 15, 13), (3, 3), 128, 130, {"padding": [(0, 2), 1]}),
    "many samples": ((5, 46, 45), (3, 3), 64, 65, {"padding": [1, (0, 2)]}),  # blocks of 3 and 2
    "same": ((2, 7, 7), (2, 3), 4, 2, {"padding": "SAME"}),
    "3-D": ((2, 7, 6, 5), (3, 3, 3), 3, 4, {"padding": [(0, 2), 1, (1, 0)]}),
    "3-D stride": ((2, 8, 9, 8), (3, 3, 3), 3, 4, {"strides": 2, "padding": 1}),
    "3-D small": ((1, 4, 2, 2), (3, 3, 3), 3, 4, {"padding": 1}),
    "3-D one frame": ((2, 1, 6, 5), (3, 3, 3), 3, 4, {"padding": 1}),
    "3-D few patches": ((2, 3, 5, 4), (3, 3, 3), 2, 24, {"strides": 2, "padding": [1, (0, 1), 1]}),
    "3-D few patches, dilation": ((1, 7, 3, 4), (3, 2, 2), 2, 20, {"dilation": (2, 1, 1)}),
    "3-D many maps": ((1, 3, 14, 13), (3, 3, 3), 128, 128, {"padding": 1}),
    "3-D long": ((1, 9, 6, 6), (5, 3, 3), 1, 8, {"dilation": (2, 1, 1)}),
    "frames alone": ((1, 9, 6, 6), (3, 1, 1), 2, 3, {"padding": [1, 0, 0]}),
}


SLOW = "3-D many maps"  # products of doubles, which XLA's libraries do not have


def arrays(case, dtype=np.float64):
    shape, kernel, channels, maps, options = CASES[case]
    rng = np.random.default_rng(0)
    x = rng.normal(size=(*shape, channels)).astype(dtype)
    w = rng.normal(size=(*kernel, channels, maps)).astype(dtype)
    return x, w, options


def value_and_gradients(x, w, options, name):
    @jax.jit
    def run(x, w):
        y, pull = jax.vjp(lambda x, w: conv(x, w, **options), x, w)
        return y, pull(jnp.cos(jnp.arange(y.size).astype(y.dtype)).reshape(y.shape))

    with formulation(name):
        return run(x, w)


@functools.cache
def exact(case):
    """XLA's own convolution and its gradients in float64."""
    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, value_and_gradients(*arrays(case), "xla"))


@pytest.mark.parametrize(
    ("case", "name"),
    [(case, "matmul") for case in CASES if case != SLOW]
    + [pytest.param(SLOW, "matmul", marks=pytest.mark.slow)]
    + [(case, None) for case in ("3x3", "frames alone")],
)
def test_formulations_equal_xla(case, name):
    with jax.enable_x64(True):
        ours = value_and_gradients(*arrays(case), name)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-12, 1e-12), ours, exact(case))


@pytest.mark.parametrize("case", ["3x3", "deep", "many maps", "many samples", "3-D few patches"])
def test_float32_keeps_its_precision(case):
    """Also where frames or rows are subtracted first: no error over 2e-6 of the largest number."""
    x, w, options = arrays(case)
    ours = value_and_gradients(x.astype(np.float32), w.astype(np.float32), options, "matmul")
    for a, b in zip(*(map(np.asarray, jax.tree.leaves(each)) for each in (ours, exact(case)))):
        assert np.abs(a - b).max() < 2e-6 * np.abs(b).max()


@pytest.mark.parametrize("case", ["3x3"])
def test_bfloat16_sums_in_float32(case):
    x, w, options = arrays(case, np.float32)
    x, w = (np.tile(x, (64, *[1] * (x.ndim - 1))), w)  # enough blocks for a bfloat16 sum to drift
    half = (jnp.asarray(x, jnp.bfloat16), jnp.asarray(w, jnp.bfloat16))
    _, (_, ours) = value_and_gradients(*half, options, "matmul")
    assert ours.dtype == jnp.bfloat16
    x, w = (a.astype(jnp.float32) for a in half)

    @jax.jit
    def gradient(x, w):
        y, pull = jax.vjp(lambda w: conv(x, w, **options), w)
        g = jnp.cos(jnp.arange(y.size).astype(jnp.bfloat16)).reshape(y.shape)
        return pull(g.astype(jnp.float32))[0]

    with formulation("xla"):
        want = gradient(x, w)
    error = jnp.abs(ours.astype(jnp.float32) - want).max() / jnp.abs(want).max()
    assert error < 0.01


def test_xla_is_cross_correlation():
    x, w, _ = arrays("3-D")
    with formulation("xla"):
        y = np.asarray(jax.jit(conv)(np.float32(x), np.float32(w)))
    for maps in range(w.shape[-1]):
        want = sum(correlate(x[0, ..., c], w[..., c, maps], "valid") for c in range(x.shape[-1]))
        np.testing.assert_allclose(y[0, ..., maps], want, rtol=1e-4, atol=1e-4)


def test_under_vmap_map_and_scan():
    x, w, options = arrays("3x3", np.float32)
    xs, ws = np.stack([x, 2 * x]), np.stack([w, -w])
    gradient = jax.grad(lambda w, x: (conv(x, w, **options) ** 2).sum())
    one = jax.jit(gradient)
    want = np.stack([one(w, x) for w, x in zip(ws, xs)])
    for ours in (
        jax.jit(jax.vmap(gradient))(ws, xs),
        jax.jit(lambda ws, xs: lax.map(lambda a: gradient(*a), (ws, xs)))(ws, xs),
        jax.jit(lambda ws, xs: lax.scan(lambda c, a: (c, gradient(*a)), 0, (ws, xs))[1])(ws, xs),
    ):
        np.testing.assert_allclose(ours, want, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("case", ["3x3", pytest.param("3-D", marks=pytest.mark.slow)])
def test_under_shard_map(case):
    """One fold a device: no collective, the same gradient."""
    x, w, options = arrays(case, np.float32)
    xs, ws = np.stack([x, 2 * x]), np.stack([w, -w])
    gradient = jax.vmap(jax.grad(lambda w, x: (conv(x, w, **options) ** 2).sum()))
    mesh = jax.make_mesh((2,), ("fold",), axis_types=(jax.sharding.AxisType.Auto,))
    sharded = jax.shard_map(gradient, mesh=mesh, in_specs=jax.P("fold"), out_specs=jax.P("fold"))
    compiled = jax.jit(sharded).lower(ws, xs).compile()
    assert not re.search("all-gather|all-reduce|all-to-all|collective", compiled.as_text())
    ours = compiled(*jax.device_put((ws, xs), jax.NamedSharding(mesh, jax.P("fold"))))
    np.testing.assert_allclose(ours, jax.jit(gradient)(ws, xs), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("case", ["3x3", "many maps", "3-D"])
def test_lowering_for_an_accelerator_takes_the_plain_path(case):
    x, w, options = arrays(case, np.float32)
    gradient = jax.jit(jax.grad(lambda w: conv(x, w, **options).sum()))
    loop = jax.jit(lambda w: lax.map(gradient, w[None]))
    for platform in ("cuda", "tpu"):
        for f in (gradient, loop):
            text = jax.export.export(f, platforms=[platform])(w).mlir_module()
            assert "stablehlo.convolution" in text and "dot_general" not in text
    assert "dot_general" in jax.export.export(gradient, platforms=["cpu"])(w).mlir_module()


def test_layer_is_flax_convolution():
    x, _, _ = arrays("3x3", np.float32)
    ours = Conv(4, 6, (3, 3), strides=2, padding=1, rngs=nnx.Rngs(0))
    theirs = nnx.Conv(4, 6, (3, 3), strides=2, padding=1, rngs=nnx.Rngs(0))
    np.testing.assert_allclose(nnx.jit(ours)(x), nnx.jit(theirs)(x), rtol=1e-5, atol=1e-5)


def test_mistakes_are_one_sentence():
    x, w = jnp.ones((2, 6, 5, 4)), jnp.ones((3, 3, 4, 8))

    def said(message, x=x, w=w, **options):
        with pytest.raises(UserError, match=message):
            conv(x, w, **options)

    said("does not convolve", x=x[..., :3])
    said("does not convolve", w=w[0])
    said("an image of 2 axes takes 2 strides", padding=((1, 1),))
    said("cut the image where it is to be negative", padding=-1)
    said(r"kernel of \(3, 3\) does not fit into \(2, 5\)", x=x[:, :2])
    numbers = {"padding": np.int64(1), "strides": np.int64(2)}
    assert conv(x, w, **numbers, precision=["highest", "highest"]).shape == (2, 3, 3, 8)
    for options in ({"input_dilation": 2}, {"feature_group_count": 2}):
        with pytest.raises(UserError, match=r"nn\.Conv has no feature_group_count"):
            Conv(4, 8, (3, 3), rngs=nnx.Rngs(0), **options)(x)
