"""Pre-trained weights: names and layouts of torchvision, and what a wrong table is told."""

import json

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
    kernel = weights["backbone.convs.12.kernel"]
    assert kernel[2, 0, 5, 7] == vgg16["features.28.weight"][7, 5, 2, 0]
    np.testing.assert_array_equal(weights["backbone.convs.0.bias"], vgg16["features.0.bias"])


@pytest.mark.slow
def test_a_grey_network_sees_what_three_equal_channels_would(vgg16):
    weights = pretrained.from_torch_state("vgg16", vgg16)
    network = psn("vgg16")
    pretrained.load_weights(weights, network)
    x = np.random.default_rng(0).random((1, 32, 32, 1), np.float32)
    rgb = np.repeat(x, 3, axis=-1)
    want = (
        np.asarray(nn.conv(rgb, weights["backbone.convs.0.kernel"], padding=1))
        + weights["backbone.convs.0.bias"]
    )
    np.testing.assert_allclose(network.backbone.convs[0](x), want, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(
        network.backbone.convs[12].kernel[...], weights["backbone.convs.12.kernel"]
    )


def test_of_alexnet_the_two_layers_that_agree():
    state = fill(features(ALEXNET))
    weights = pretrained.from_torch_state("alexnet", state)
    assert set(weights) == {
        f"backbone.convs.{i}.{name}" for i in (3, 4) for name in ("kernel", "bias")
    }
    inputs = weights["backbone.convs.4.kernel"]
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
    np.testing.assert_array_equal(
        network.backbone.convs[4].kernel[...], weights["backbone.convs.4.kernel"]
    )
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
        np.testing.assert_array_equal(kernel, weights["backbone.convs.3.kernel"])
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
        UserError, match=r"384 x 256 in the weights and .* x 38 x 26 in this PSN.*sizes"
    ):
        pretrained.load_weights(weights, psn("alexnet", width=0.1))
    with pytest.raises(UserError, match=r"PSN has no tensor 'backbone\.convs"):
        pretrained.load_weights(weights, psn("resnet10", width=0.1))
    with pytest.raises(UserError, match=r"PSN has no tensor 'backbone\.convs"):
        pretrained.load_weights(weights, psn("alexnet", width=0.1, streams="temporal"))
    with pytest.raises(UserError, match="holds no weights"):
        pretrained.read(tmp_path)
    with pytest.raises(UserError, match="did you mean 'r3d_18'"):
        pretrained.table("r3d18")


# ---- weights of each fold, in the form of christy1206/STSTNet


def ststnet_state(seed=0):
    """The names and shapes of its .pth files: three streams, and what BatchNorm2d counts."""
    shapes = {"fc.weight": (3, 400), "fc.bias": (3,)}
    for stream, maps in ((1, 3), (2, 5), (3, 8)):
        shapes |= {f"conv{stream}.weight": (maps, 3, 3, 3), f"conv{stream}.bias": (maps,)}
        names = ("weight", "bias", "running_mean", "running_var")
        shapes |= {f"bn{stream}.{name}": (maps,) for name in names}
        shapes |= {f"bn{stream}.num_batches_tracked": ()}
    return fill(shapes, seed)


def ststnet_by_hand(state, bgr):
    """Its main.py in NumPy: pictures [N, 28, 28, 3] as OpenCV reads them -> logits [N, 3]."""
    x = np.pad(bgr.transpose(0, 3, 1, 2), ((0, 0), (0, 0), (2, 2), (2, 2)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (2, 3))
    maps = []
    for stream in "123":
        column = lambda layer, name: state[f"{layer}{stream}.{name}"][:, None, None]  # noqa: B023
        y = np.einsum("nchwij,ocij->nohw", windows, state[f"conv{stream}.weight"])
        y = np.maximum(y + column("conv", "bias"), 0) - column("bn", "running_mean")
        y = y / np.sqrt(column("bn", "running_var") + 1e-5) * column("bn", "weight")
        y = y + column("bn", "bias")
        y = np.pad(y, ((0, 0), (0, 0), (1, 0), (1, 0)), constant_values=-np.inf)[:, :, :30, :30]
        maps.append(y.reshape(*y.shape[:2], 10, 3, 10, 3).max((3, 5)))
    y = np.concatenate(maps, 1)
    y = y.reshape(len(y), 16, 5, 2, 5, 2).mean((3, 5)).reshape(len(y), 400)
    return y @ state["fc.weight"].T + state["fc.bias"]


def test_ststnet_of_its_authors_is_ours():
    """Our maps are u, v, strain; OpenCV reads the same files as strain, v, u."""
    state = ststnet_state()
    network = models.create("ststnet", num_classes=3, rngs=nnx.Rngs(0))
    pretrained.load_weights(pretrained.from_torch_state("ststnet", state), network)
    network.eval()
    maps = np.random.default_rng(0).integers(0, 256, (4, 28, 28, 3)).astype(np.float32)
    want = ststnet_by_hand(state, maps[..., ::-1])
    np.testing.assert_allclose(network(maps), want, rtol=1e-4, atol=1e-2)
    assert np.abs(ststnet_by_hand(state, maps) - want).max() > 1  # the order does matter
    with pytest.raises(UserError, match=r"no tensor 'conv2\.bias'; is it the ststnet of christy"):
        pretrained.from_torch_state(
            "ststnet", {k: v for k, v in state.items() if k != "conv2.bias"}
        )


def test_weights_of_each_fold_are_saved_and_found_by_its_name(tmp_path):
    each = {
        name: {"bias": np.full(2, number, np.float32)}
        for number, name in enumerate(("casme2/sub01", "sub02", "s1"))
    }
    pretrained.save(tmp_path / "w", each)
    back = pretrained.read(tmp_path / "w")
    assert pretrained.per_fold(back) and not pretrained.per_fold(back["s1"])
    found = pretrained.of_folds(back, ["casme2/sub02", "casme2/sub01", "smic/s1"])
    assert [own["bias"].tolist() for own in found] == [[1, 1], [0, 0], [2, 2]]
    with pytest.raises(UserError, match=r"no weights for fold samm/006 \(and 1 more\)"):
        pretrained.of_folds(back, ["samm/006", "samm/007", "smic/s1"])
    with pytest.raises(UserError, match="'s1' belong to several folds"):
        pretrained.of_folds(back, ["casme2/s1", "smic/s1"])


def test_a_table_of_one_s_own(tmp_path):
    rows = [
        {"ours": "kernel", "theirs": ["a.weight", "b.weight"], "flattened": [2, 1, 3]},
        {"ours": "bias", "theirs": ["a.bias", "b.bias"]},
    ]
    (tmp_path / "table.json").write_text(json.dumps(rows))
    state = fill({"a.weight": (1, 6), "b.weight": (2, 6), "a.bias": (1,), "b.bias": (2,)})
    weights = pretrained.from_torch_state(pretrained.read_table(tmp_path / "table.json"), state)
    assert weights["kernel"].shape == (6, 3)
    # Input 3 of theirs is channel 1, column 0; ours is column 0, channel 1.
    assert weights["kernel"][1, 2] == state["b.weight"][1, 3]
    assert weights["bias"].tolist() == [*state["a.bias"], *state["b.bias"]]
    with pytest.raises(UserError, match=r"kernel: tensors a\.weight, b\.weight: "):
        pretrained.from_torch_state(
            pretrained.read_table(tmp_path / "table.json"), {**state, "b.weight": np.ones((2, 5))}
        )
    (tmp_path / "table.json").write_text('[{"ours": "kernel", "their": "x"}]')
    with pytest.raises(UserError, match=r"table\.json is damaged"):
        pretrained.read_table(tmp_path / "table.json")


@pytest.mark.parity
def test_the_authors_mtsn_from_its_weights(monkeypatch):
    """Their dense layer takes the maps of two spans, one after the other, channels first."""
    torch = pytest.importorskip("torch")
    from tests.twins import networks

    monkeypatch.setattr(networks, "flat", lambda maps: maps.flatten(1))
    twin = networks.MTSN(1, 2, 28, (3, 5, 8), 128).eval()
    names = {"convs.0": "SOFTNet.conv1", "convs.1": "SOFTNet.conv2", "convs.2": "SOFTNet.conv3",
             "dense": "fc1", "classifier": "fc2"}  # fmt: skip
    state = {
        f"{names[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}": value.numpy()
        for name, value in twin.state_dict().items()
    }
    network = models.create("mtsn", num_classes=1, rngs=nnx.Rngs(0))
    pretrained.load_weights(pretrained.from_torch_state("mtsn", state), network)
    x = np.random.default_rng(0).normal(size=(4, 28, 28, 6)).astype(np.float32)
    want = twin(torch.tensor(x)).detach().numpy()
    np.testing.assert_allclose(network(x), want, rtol=1e-5, atol=1e-6)


def test_maps_that_a_dense_layer_flattens():
    """Of one input and of two; a number of maps that does not fit is an error, not other rows."""
    weight = np.arange(2 * 24, dtype=np.float32).reshape(2, 24)
    one = pretrained.Tensor("kernel", ("w",), flattened=(2, 3, 4)).convert({"w": weight})
    at = np.arange(24).reshape(2, 3, 4).transpose(1, 2, 0).ravel()
    np.testing.assert_array_equal(one, weight[:, at].T)
    two = pretrained.Tensor("kernel", ("w",), flattened=(2, 3, 2)).convert({"w": weight})
    at = np.arange(12).reshape(2, 3, 2).transpose(1, 2, 0).ravel()
    np.testing.assert_array_equal(two, weight[:, [*at, *(at + 12)]].T)
    with pytest.raises(UserError, match="kernel: tensors w: cannot reshape"):
        pretrained.Tensor("kernel", ("w",), flattened=(5, 1, 1)).convert({"w": weight})
