"""Pre-trained weights: names and layouts of torchvision, and what a wrong table is told."""

import jax
import numpy as np
import pytest
from flax import nnx

from mer_jax import models, nn
from mer_jax.errors import UserError
from mer_jax.models import pretrained
from tests.twins.fill import fill

VGG16 = (64, 64, "pool", 128, 128, "pool", 256, 256, 256, "pool") + (512, 512, 512, "pool") * 2
ALEXNET = ((64, 11), "pool", (192, 5), "pool", (384, 3), (256, 3), (256, 3), "pool")


def features(layers):
    """Names and shapes as a walk over torchvision's `features`: conv, ReLU, ..., pool."""
    shapes, index, before = {}, 0, 3
    for layer in layers:
        if layer == "pool":
            index += 1
            continue
        maps, kernel = layer if isinstance(layer, tuple) else (layer, 3)
        shapes[f"features.{index}.weight"] = (maps, before, kernel, kernel)
        shapes[f"features.{index}.bias"] = (maps,)
        index, before = index + 2, maps
    return shapes


def psn(backbone, **sizes):
    sizes = {"shape": (1, 32, 32, 1), "streams": "spatial", **sizes}
    return models.create("psn", num_classes=4, rngs=nnx.Rngs(0), backbone=backbone, **sizes)


@pytest.fixture(scope="module")
def vgg16():
    return fill({**features(VGG16), "classifier.0.weight": (4, 5)})


def test_vgg16_is_taken_whole(vgg16):
    assert {"features.28.weight", "features.17.bias"} < set(vgg16)  # torchvision's own numbers
    weights = pretrained.from_torch_state("vgg16", vgg16)
    assert len(weights) == 26
    kernel = weights["convs.12.kernel"]
    assert kernel[2, 0, 5, 7] == vgg16["features.28.weight"][7, 5, 2, 0]
    np.testing.assert_array_equal(weights["convs.0.bias"], vgg16["features.0.bias"])


def test_a_grey_network_sees_what_three_equal_channels_would(vgg16):
    weights = pretrained.from_torch_state("vgg16", vgg16)
    network = psn("vgg16")
    pretrained.load_weights(weights, network)
    x = np.random.default_rng(0).random((1, 32, 32, 1), np.float32)
    rgb = np.repeat(x, 3, axis=-1)
    want = np.asarray(nn.conv(rgb, weights["convs.0.kernel"], padding=1)) + weights["convs.0.bias"]
    np.testing.assert_allclose(network.backbone.convs[0](x), want, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(
        network.backbone.convs[12].kernel[...], weights["convs.12.kernel"]
    )


def test_of_alexnet_the_two_layers_that_agree():
    state = fill(features(ALEXNET))
    weights = pretrained.from_torch_state("alexnet", state)
    assert set(weights) == {f"convs.{i}.{name}" for i in (3, 4) for name in ("kernel", "bias")}
    inputs = weights["convs.4.kernel"]
    np.testing.assert_array_equal(inputs, state["features.10.weight"].transpose(2, 3, 1, 0))


def test_what_was_saved_is_read_and_placed(tmp_path):
    weights = pretrained.from_torch_state("alexnet", fill(features(ALEXNET)))
    pretrained.save(tmp_path / "weights", weights)
    back = pretrained.read(tmp_path / "weights")
    assert set(back) == set(weights)
    for name, value in weights.items():
        np.testing.assert_array_equal(back[name], value)

    network = psn("alexnet")
    before = np.asarray(network.backbone.convs[0].kernel[...])
    pretrained.load(tmp_path / "weights", network)
    np.testing.assert_array_equal(network.backbone.convs[4].kernel[...], weights["convs.4.kernel"])
    np.testing.assert_array_equal(network.backbone.convs[0].kernel[...], before)
    with pytest.raises(UserError, match="exists"):
        pretrained.save(tmp_path / "weights", weights)


def test_weights_are_placed_while_a_fold_is_compiled():
    """The fold engine builds its networks under jit and vmap."""
    weights = pretrained.from_torch_state("alexnet", fill(features(ALEXNET)))

    def state(key):
        network = models.create(
            "psn", num_classes=4, rngs=nnx.Rngs(key), shape=(1, 32, 32, 1), streams="spatial"
        )
        pretrained.load_weights(weights, network)
        return network.backbone.convs[3].kernel[...], network.backbone.convs[2].kernel[0, 0, 0, :3]

    placed, drawn = jax.jit(jax.vmap(state))(jax.random.split(jax.random.key(0), 2))
    for kernel in placed:
        np.testing.assert_array_equal(kernel, weights["convs.3.kernel"])
    assert np.all(drawn[0] != drawn[1])


@pytest.mark.parametrize(
    "change, sentence",
    [
        (lambda s: s.pop("features.12.bias"), "no tensor 'features.12.bias'"),
        (
            lambda s: s.update({"features.12.weight": s["features.14.weight"][:, :, :1]}),
            r"'features.12.weight' is 256 x 256 x 1 x 3; vgg16 has 256 x 256 x 3 x 3",
        ),
        (
            lambda s: s.update({"features.0.bias": np.full(64, np.nan, np.float32)}),
            "'features.0.bias' has values that are not finite",
        ),
    ],
)
def test_a_wrong_table_is_told_which_tensor(vgg16, change, sentence):
    state = dict(vgg16)
    change(state)
    with pytest.raises(UserError, match=sentence):
        pretrained.from_torch_state("vgg16", state)


def test_what_does_not_fit_a_network_is_a_sentence(tmp_path):
    weights = pretrained.from_torch_state("alexnet", fill(features(ALEXNET)))
    with pytest.raises(
        UserError, match=r"384 x 256 in the weights and .* x 38 x 26 in this AlexNet.*width 1"
    ):
        pretrained.load_weights(weights, psn("alexnet", width=0.1))
    with pytest.raises(UserError, match="ResNet10 has no tensor 'convs"):
        pretrained.load_weights(weights, psn("resnet10", width=0.1))
    with pytest.raises(UserError, match="PSN has no backbone"):
        pretrained.load_weights(weights, psn("alexnet", width=0.1, streams="temporal"))
    with pytest.raises(UserError, match="holds no weights"):
        pretrained.read(tmp_path)
    with pytest.raises(UserError, match="did you mean 'r3d_18'"):
        pretrained.pairs("r3d18")
