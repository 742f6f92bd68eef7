"""Saliency against differences, maps and perception against loops, and the network left alone."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mer_jax import explain, models
from mer_jax.errors import UserError
from mer_jax.nn import Conv

SIZES = {
    "ststnet": {"shape": (10, 10, 3)},
    "fusenet_late": {
        "shape": (7, 8, 8, 1), "kernel": (3, 3, 3), "filters": 3, "widths": (4, 3)
    },
    "psn": {"shape": (3, 32, 32, 1), "width": 1 / 64},
}  # fmt: skip


@functools.cache
def create(name):
    """Made as one program: compiling the initialisers one by one takes three times as long."""
    key = jax.random.key(0, impl="unsafe_rbg")
    build = lambda rngs: models.create(name, num_classes=3, rngs=rngs, **SIZES[name])
    return nnx.jit(build)(nnx.Rngs(key))


draw = lambda shape: np.random.default_rng(0).random((2, *shape), np.float32)
is_shape = lambda leaf: isinstance(leaf, tuple)


@pytest.fixture(scope="module", params=["ststnet", "fusenet_late"])
def case(request):
    """A picture, and a dict of two clips."""
    network = create(request.param)
    network.train()
    return network, jax.tree.map(draw, network.input_shape, is_leaf=is_shape)


def test_saliency_is_the_slope_of_the_class_score(case):
    """Central differences in double precision, at some pixels of every input."""
    network, x = case
    found = jax.tree.map(np.asarray, explain.saliency(network, x, label=jnp.array([2, 0])))
    graph, state = nnx.split(network)
    double = lambda a: jnp.asarray(a, jnp.float64) if a.dtype == jnp.float32 else a
    with jax.enable_x64(True):
        assert jax.tree.leaves(explain.logits(network, x))[0].dtype == jnp.float32  # pinned
        network = nnx.merge(graph, jax.tree.map(double, state))
        network.eval()
        scores_of = jax.jit(lambda x: network(x))
        leaves, tree = jax.tree.flatten(jax.tree.map(np.float64, x))
        assert [a.shape for a in jax.tree.leaves(found)] == [a.shape[:-1] for a in leaves]
        rng = np.random.default_rng(1)
        for number, leaf in enumerate(leaves):
            for _ in range(4):
                at = tuple(rng.integers(0, n) for n in leaf.shape[:-1])
                slopes = []
                for channel in range(leaf.shape[-1]):
                    scores = []
                    for step in (1e-6, -1e-6):
                        moved = [a.copy() for a in leaves]
                        moved[number][(*at, channel)] += step
                        logits = scores_of(tree.unflatten(moved))
                        scores.append(logits[at[0], [2, 0][at[0]]])
                    slopes.append(abs(scores[0] - scores[1]) / 2e-6)
                got = jax.tree.leaves(found)[number][at]
                np.testing.assert_allclose(got, max(slopes), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("label", "words"),
    [
        (3, "label 3 is outside 0..2"),
        (-1, "label -1 is outside 0..2"),
        (np.array([0, 200], np.uint8), "label 200 is outside 0..2"),
        (np.array([0, 1, 2]), r"int64 of shape \(3,\)"),
        (1.0, r"float64 of shape \(\)"),
        (True, r"bool of shape \(\)"),
    ],
)
def test_saliency_of_no_class_is_refused(label, words):
    network = create("ststnet")
    with pytest.raises(UserError, match=words):
        explain.saliency(network, draw((10, 10, 3)), label=label)


def test_saliency_is_of_the_class_that_is_named(case):
    network, x = case
    named = explain.logits(network, x).argmax(-1)
    by_name, by_label = (explain.saliency(network, x, label=k) for k in (None, named))
    jax.tree.map(np.testing.assert_array_equal, by_name, by_label)


def test_the_network_stays_as_it_is(case):
    network, x = case
    call, before = Conv.__call__, jax.tree.leaves(nnx.to_pure_dict(nnx.state(network)))
    explain.feature_maps(network, x)
    explain.saliency(network, x)
    assert Conv.__call__ is call
    dropouts = [m for _, m in nnx.iter_modules(network) if isinstance(m, nnx.Dropout)]
    assert dropouts and not any(m.deterministic for m in dropouts)
    for a, b in zip(before, jax.tree.leaves(nnx.to_pure_dict(nnx.state(network)))):
        assert a is b


def test_feature_maps_against_a_loop():
    network = create("ststnet")
    x = draw((10, 10, 3))
    found = explain.feature_maps(network, x)
    assert list(found) == ["conv"]
    padded = np.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)))
    kernel, bias = np.asarray(network.conv.kernel), np.asarray(network.conv.bias)
    expected = np.zeros((2, 12, 12, 16), np.float32)
    for row, column in np.ndindex(12, 12):
        window = padded[:, row : row + 3, column : column + 3]
        expected[:, row, column] = np.tensordot(window, kernel, 3) + bias
    np.testing.assert_allclose(found["conv"], expected, atol=1e-5)


@pytest.mark.parametrize(
    "name, sizes, first, fifth",
    [
        ("psn", {"shape": (3, 32, 32, 1), "width": 0.1}, "backbone.convs.0", "backbone.convs.4"),
        ("strcn_g", {"shape": (132, 132, 2), "maps": 2, "steps": 1}, "conv", "layers.3"),
    ],
)
def test_first_and_fifth_layer(name, sizes, first, fifth):
    """In the order of the calls; a recurrent layer is one, and its own convolutions are none."""
    build = lambda: models.create(name, num_classes=3, rngs=nnx.Rngs(0), **sizes)
    graph, state = nnx.split(nnx.eval_shape(build))
    found = []

    def see(state, x):
        found.extend(explain.feature_maps(nnx.merge(graph, state), x))

    jax.eval_shape(
        see, state, jax.tree.map(draw, nnx.eval_shape(build).input_shape, is_leaf=is_shape)
    )
    assert len(found) == 5 and (found[0], found[4]) == (first, fifth)


def test_perception_is_the_spread_of_the_change():
    network = create("psn")
    x = {"gray": draw((3, 32, 32, 1)), "sparse": draw((3, 32, 32, 1))}
    change = np.diff(x["gray"].astype(np.float64), axis=1)
    expected = np.pad(255 * change.std((2, 3, 4)), ((0, 0), (1, 0)))
    np.testing.assert_allclose(explain.temporal_perception(network, x), expected, rtol=1e-5)


def test_no_unit_no_perception():
    network = create("ststnet")
    with pytest.raises(UserError, match="STSTNet has no Temporal Perception Unit"):
        explain.temporal_perception(network, draw((10, 10, 3)))


def test_plain_convolutions_are_convolutional_layers():
    net = nnx.Sequential(nnx.Conv(1, 2, (3, 3), rngs=nnx.Rngs(0)), lambda x, mask=None: x)
    maps = explain.feature_maps(net, jnp.ones((1, 5, 5, 1)))
    assert {path: y.shape for path, y in maps.items()} == {"layers.0": (1, 5, 5, 2)}
