"""What is particular to the networks of spotting: counts, frozen weights, frames, graphs."""

import itertools

import jax
import numpy as np
import pytest
from flax import nnx

from mer_jax import models
from mer_jax.errors import UserError
from mer_jax.models.auw_gcn import MOVES, Graph, region_graph
from mer_jax.models.mean import Frozen


def count(name, kind=nnx.Param, **sizes):
    make = lambda: models.create(name, rngs=nnx.Rngs(0), **sizes)
    return sum(a.size for a in jax.tree.leaves(nnx.state(nnx.eval_shape(make), kind)))


def drawn(name, **sizes):
    """The network with random numbers, which compiles nothing."""
    make = lambda: models.create(name, rngs=nnx.Rngs(0), **sizes)
    graph, state = nnx.split(nnx.eval_shape(make))
    rng = np.random.default_rng(1)
    draw = lambda a: rng.random(a.shape, np.float32) if a.dtype == np.float32 else _zeros(a)
    return nnx.merge(graph, jax.tree.map(draw, state))


def _zeros(a):
    is_key = jax.dtypes.issubdtype(a.dtype, jax.dtypes.prng_key)
    return jax.random.key(0) if is_key else np.zeros(a.shape, a.dtype)


def test_counts_of_the_variants():
    """As the authors' layers sum up, by hand."""
    convs, norms = 2 * 78 + 208, 2 * 14  # 5 x 5 of one channel to 3, 3 and 8; scale and shift
    trunk = convs + norms
    head = 14 * 25 * 8 + 8
    assert count("mean_spotting", num_classes=1) == trunk + head + 392 + 1 == 3_593
    assert count("mean_recognition", num_classes=3) == head + 392 * 3 + 3 == 3_987
    assert count("mean_recognition", num_classes=5) == 4_773
    assert count("mean_recognition", Frozen, num_classes=3) == trunk == 392
    # The authors' code builds normalizations of 3, 3 and 1 maps in each stream.
    unused = 3 * 2 * (3 + 3 + 1)
    assert count("sfamnet", num_classes=6, batch_norm=True) == 7_207 + unused == 7_249
    assert count("mtsn", num_classes=1) == (78 + 130 + 208) + 513 * 128 + 129
    assert count("pem", num_classes=2700, region_weights=True) == 28_416 + 12
    assert count("auw_gcn", num_classes=2700) == 28_416 + (192 - 24) * 64 + 2 * 16 + 16 + 2 * 16


@pytest.mark.train
def test_a_recogniser_trains_its_head_alone():
    """Neither a step nor a batch in training mode changes the trunk."""
    sizes = {"shape": (7, 7, 3), "maps": (1, 1, 1), "filters": 1}
    network = drawn("mean_recognition", num_classes=3, **sizes)
    x = np.random.default_rng(0).normal(size=(2, 7, 7, 3)).astype(np.float32)
    network.train()
    graph, params, rest = nnx.split(network, nnx.Param, ...)
    assert not any("trunk" in jax.tree_util.keystr(path) for path, _ in _leaves(params))

    @jax.jit
    def run(params, rest, x):
        model = nnx.merge(graph, params, rest)
        return model(x), nnx.state(model, (nnx.BatchStat, Frozen))

    after = dict(_leaves(run(params, rest, x)[1]))
    before = dict(_leaves(nnx.state(network, (nnx.BatchStat, Frozen))))
    assert len(before) == 2 + 2 + 6  # running statistics, scale and shift, three convolutions
    for path, array in before.items():
        np.testing.assert_array_equal(after[path], array)


def _leaves(tree):
    return jax.tree_util.tree_leaves_with_path(nnx.to_pure_dict(tree))


def test_a_frame_depends_on_five_frames_on_each_side():
    network = drawn("pem", num_classes=40, shape=(20, 12, 2), maps=4)
    network.eval()
    weights = np.random.default_rng(0).normal(size=(20, 12, 2)).astype(np.float32)
    run = nnx.jit(lambda network, x: network(x).reshape(20, 2))
    still = run(network, weights[None])
    # A new array: JAX may read the first one, which it need not copy, later than this line.
    moved = weights + (np.arange(20) == 9)[:, None, None].astype(np.float32)
    changed = np.flatnonzero(np.any(run(network, moved[None]) != still, -1))
    assert changed.min() >= 4 and changed.max() <= 14 and {4, 9, 14} & set(changed)


def test_outputs_are_those_of_whole_frames():
    for name in ("pem", "auw_gcn"):
        with pytest.raises(UserError, match="25 is no multiple of 10"):
            models.create(name, num_classes=25, rngs=nnx.Rngs(0), shape=(10, 12, 2))


def test_a_graph_counts_what_moves_together():
    expressions = [{1, 2}, {4}, {12}, {12, 14}, {1, 25, 17}, {2}, {25, 26, 12}, set()]
    counts = np.zeros((12, 12))
    for expression in expressions:
        known = [unit for unit in expression if unit in MOVES]
        if len(known) == 1:
            for region in MOVES[known[0]]:
                counts[region][region] += 1
        for a, b in itertools.combinations(known, 2):
            for i in MOVES[a]:
                for j in MOVES[b]:
                    counts[i][j] += 1
                    counts[j][i] += 1
    got = region_graph(expressions)
    for row, want in zip(got, counts):
        np.testing.assert_allclose(row, want / max(want.sum(), 1e-9), rtol=1e-6)
    assert not got[6:8].any()  # no unit of the table moves the nose


def test_the_graph_is_given_or_that_of_the_table():
    make = lambda **sizes: models.create("auw_gcn", num_classes=3, rngs=nnx.Rngs(0), **sizes)
    table = region_graph([(u,) for u in MOVES] + list(itertools.combinations(MOVES, 2)))
    graph = lambda **sizes: jax.jit(lambda: make(**sizes).graph[...])()
    np.testing.assert_array_equal(graph(shape=(3, 12, 2)), table)
    given = graph(shape=(3, 2, 2), graph=(1, 0, 0.5, 0.5))
    np.testing.assert_array_equal(given, [[1, 0], [0.5, 0.5]])
    assert count("auw_gcn", Graph, num_classes=3, shape=(3, 12, 2)) == 144
    with pytest.raises(UserError, match="3 numbers; 2 regions have 4"):
        make(shape=(3, 2, 2), graph=(1, 0, 0.5))


@pytest.mark.parametrize(
    "name, sizes, said",
    [
        ("mean_spotting", {"shape": (42, 42, 2)}, "u, v and strain; examples have 2"),
        ("mtsn", {"shape": (28, 28, 5)}, "of each span; examples have 5"),
        ("sfamnet", {"num_classes": 1}, "two outputs or more"),
    ],
)
def test_what_a_network_cannot_take_is_one_sentence(name, sizes, said):
    with pytest.raises(UserError, match=said):
        models.create(name, **{"num_classes": 3, "rngs": nnx.Rngs(0)} | sizes)
