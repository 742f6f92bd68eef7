"""PSN: the paper's sizes and counts, every row of Fig. 7 and Table 9, learning and lowering."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mer_jax import models
from mer_jax.errors import UserError
from mer_jax.nn import tpu
from tests.models import learning

SMALL = {"shape": (4, 32, 32, 1), "width": 0.1}
INPUTS = dict.fromkeys(("sparse", "gray"), (2, *SMALL["shape"]))  # of two clips

FIGURE_7 = {
    "PSN": {},
    "PSN_spatial": {"streams": "spatial"},
    "PSN_temporal": {"streams": "temporal"},
    "PSN_swap": {"streams": "swapped"},
    "PSN_tp1": {"perception": "one"},
    "AlexNet + RNN": {"perception": "none"},
    "PSN_no_conv": {"pointwise": False},
}
TABLE_9 = list(itertools.product(("alexnet", "vgg16", "resnet10"), ("sum", "prod", "concat")))


def create(**sizes):
    return models.create("psn", num_classes=4, rngs=nnx.Rngs(0), **sizes)


@functools.cache
def made(**sizes):
    """A network in evaluation mode; its initialisers are one program."""
    build = lambda rngs: models.create("psn", num_classes=4, rngs=rngs, **SMALL, **sizes)
    network = nnx.jit(build)(nnx.Rngs(jax.random.key(0, impl="unsafe_rbg")))
    network.eval()
    return network


def clips(count=8, shape=SMALL["shape"], seed=0):
    """Textures on which, from frame to frame, one of four quarters brightens; and the change."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 4
    time, height, width, _ = shape
    change = np.zeros((count, *shape), np.float32)
    for clip, label in zip(change, labels):
        rows, columns = (
            slice(half * n // 2, (half + 1) * n // 2)
            for half, n in zip(divmod(label, 2), (height, width))
        )
        clip[:, rows, columns] = np.linspace(0, 0.1, time)[:, None, None, None]
    texture = rng.random((count, 1, height, width, 1), np.float32)
    return {"sparse": change, "gray": 0.8 * texture + change}, labels


def test_the_paper_s_counts():
    network = nnx.eval_shape(create)
    assert network.input_shape == {"sparse": (16, 112, 112, 1), "gray": (16, 112, 112, 1)}
    assert network.backbone.out_shape == (4, 4, 256)
    assert network.spatial_dense.out_features == network.temporal_dense.out_features == 4096
    assert network.tpu.input.in_features == 12_544
    assert network.mix.kernel.size + network.mix.bias.size == 1_028
    assert 80 * 1_028 == 82_240  # what the paper prints, for 80 frames
    assert network.classifier.in_features == 16 * 64
    convs = 49 * 96 + 25 * 96 * 256 + 9 * (256 * 384 + 384 * 256 + 256 * 256)
    convs += 96 + 256 + 384 + 256 + 256
    unit = (12_544 + 1) * 512 + 512 * 512 + 2 * 513 * 512
    dense = (4096 + 1) * 4096 + (512 + 1) * 4096 + (1024 + 1) * 4
    assert learning.parameters(create) == convs + unit + dense + 1_028


def test_without_the_pointwise_convolution_a_dense_layer_of_64():
    mix = nnx.eval_shape(lambda: create(pointwise=False)).mix
    assert 80 * (mix.kernel.size + mix.bias.size) == 20_976_640


@pytest.mark.parametrize("row", FIGURE_7)
def test_rows_of_figure_7(row):
    build = lambda: create(**SMALL, **FIGURE_7[row])
    assert learning.shape_of(build, INPUTS) == (2, 4)


@pytest.mark.parametrize("backbone, fusion", TABLE_9)
def test_rows_of_table_9(backbone, fusion):
    build = lambda: create(**SMALL, backbone=backbone, fusion=fusion)
    assert learning.shape_of(build, INPUTS) == (2, 4)


@pytest.mark.slow
def test_each_sub_network_sees_its_own_input():
    """What a change of one input changes, for each way to connect them."""
    x, _ = clips(1)
    for streams, sees in (
        ("both", {"sparse", "gray"}),
        ("spatial", {"sparse"}),
        ("temporal", {"gray"}),
    ):
        network = made(streams=streams)
        for name in x:
            other = {**x, name: x[name][:, ::-1]}
            change = learning.run(network, x) - learning.run(network, other)
            assert (np.abs(change).max() > 0) == (name in sees), (streams, name)


@pytest.mark.slow
def test_masked_clips_count_for_nothing():
    """ResNet10 normalises over the frames of all clips: a clip's mask is that of its frames."""
    network = made(backbone="resnet10", dropout=0.0)
    network.train()
    x, _ = clips(3)
    mask = jnp.array([1.0, 0, 1])
    bright = {**x, "sparse": x["sparse"] * np.float32([1, 50, 1])[:, None, None, None, None]}
    logits, other = (learning.run(network, x, mask) for x in (x, bright))
    np.testing.assert_array_equal(logits[::2], other[::2])


@pytest.mark.slow
def test_swapped_gives_the_spatial_network_the_grey_frames():
    x, _ = clips(1)
    straight, swapped = made(streams="both"), made(streams="swapped")
    turned = {"sparse": x["gray"], "gray": x["sparse"]}
    np.testing.assert_array_equal(learning.run(straight, x), learning.run(swapped, turned))


FUSED = {
    "sum": lambda spatial, temporal: spatial + temporal,
    "prod": lambda spatial, temporal: spatial * temporal,
    "concat": lambda spatial, temporal: jnp.concatenate([spatial, temporal], -1),
}


@pytest.mark.slow
@pytest.mark.parametrize("fusion", FUSED)
def test_fusions_are_what_they_are_called(fusion):
    x, _ = clips(1)
    network = made(fusion=fusion)
    graph, state = nnx.split(network)

    @jax.jit
    def run(state):
        network = nnx.merge(graph, state)
        parts = network._spatial(x["sparse"], None), network._temporal(x["gray"])
        fused = FUSED[fusion](*parts)
        by_hand = network.classifier(nnx.relu(network.mix(fused)).reshape(1, -1))
        return fused, by_hand, network(x)

    fused, by_hand, logits = run(state)
    assert fused.shape == (1, 4, 16, 52 if fusion == "concat" else 26)
    np.testing.assert_allclose(logits, by_hand, atol=1e-6)


def test_perception_reaches_the_unit_in_grey_levels():
    x, _ = clips(2)
    network = made(streams="both")
    _, tp = network.tpu(x["gray"].reshape(2, 4, -1))
    np.testing.assert_allclose(tp, 255 * tpu.temporal_perception(x["gray"]), rtol=1e-6)
    assert np.all(tp[:, 1:] > 1)


@pytest.mark.parametrize("name", ["backbone", "fusion", "streams", "perception"])
def test_a_name_that_is_not_known_is_a_sentence(name):
    with pytest.raises(UserError, match=rf"unknown model\.{name} 'wrong'"):
        create(**SMALL, **{name: "wrong"})


@pytest.mark.train
def test_the_temporal_sub_network_learns_alone():
    x, labels = clips()
    network = create(**SMALL, streams="temporal", hidden=320, dropout=0.2)
    assert learning.errors_after_training(network, x, labels, steps=80, learning_rate=2e-3) == 0


def test_training_step_with_batch_statistics_lowers_for_accelerators():
    x, labels = clips(2)
    build = lambda: create(**SMALL, backbone="resnet10")
    assert learning.lowers_for_accelerators(build, x, labels)
