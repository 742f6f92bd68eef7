"""The networks' sizes as printed, learning, lowering, and what a wrong size is told."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mer_jax import models
from mer_jax.cli import summary
from mer_jax.errors import UserError
from tests.models import learning


@pytest.mark.parametrize("name", models.networks())
def test_a_network_is_what_its_source_says(name):
    """All parameters, and what the paper prints of single modules; the summary shows both."""
    info = models.info(name)
    found = summary.rows(name, num_classes=info.classes)
    assert found[0].parameters == info.parameters
    rows = {row.path: row for row in found}
    for path, figure in info.printed.items():
        shape = isinstance(figure, tuple)
        ours = rows[path].outputs[: len(figure)] if shape else rows[path].parameters
        assert ours == figure, path
    lines = summary.table(name, found, num_classes=info.classes).splitlines()
    assert lines[0] == name and lines[2].startswith("(network)") and info.paper in lines
    assert any(line.startswith(f"{info.parameters:,} for") and "same" in line for line in lines)
    assert info.stated in lines[-1]


RECURRENT = {
    "mer_rcnn": [(1966, 30), (1962, 26), (490, 26), (122, 26), (30, 6), (7, 3)],
    "strcn_a": [(921, 30), (917, 26), (229, 26), (57, 26), (14, 6), (7, 3)],
    "strcn_g": [(300, 245), (296, 241), (74, 60), (18, 15), (4, 3), (2, 1)],
}


@pytest.mark.parametrize("name", RECURRENT)
def test_maps_of_the_recurrent_networks(name):
    """Table I of STRCN and Table 1 of MER-RCNN."""
    rows = {row.path: row for row in summary.rows(name, num_classes=4)}
    conv, layers = rows["conv"], [rows[f"layers.{n}"] for n in range(4)]
    maps = [conv.inputs[:2], conv.outputs[:2], *(layer.inputs[:2] for layer in layers)]
    assert maps == RECURRENT[name]
    assert [row.outputs for row in layers] == [row.inputs for row in layers]
    assert rows["classifier"].inputs == (64,) and rows["classifier"].outputs == (4,)
    # Equation 6: w_f and w_r, and scale and shift of each of four normalisations
    assert layers[0].parameters == 64 * 64 + 9 * 64 * 64 + 4 * 2 * 64


PYTORCH = 27**-0.5 / 3**0.5  # of the uniform numbers in +-1/sqrt(27): 3 x 3 of three channels


@pytest.mark.parametrize(
    "name, path, deviation",
    [
        ("rcn_w", "stem.units.0.conv.kernel", (2 / (9 * 16)) ** 0.5),
        ("rcn_w", "stem.units.0.conv.bias", PYTORCH),  # normalized behind a ReLU
        ("rcn_w", "classifier.kernel", 0.01),
        ("mmnet", "action.conv.kernel", PYTORCH),  # outside of what the authors' loop initializes
        ("mmnet", "stem.conv.kernel", (2 / (9 * 128)) ** 0.5),
        ("mmnet", "positions", 0.02),
        ("mmnet", "encoder.0.qkv.kernel", 0.02),
    ],
)
def test_initial_weights_have_the_deviations_of_the_authors_code(name, path, deviation):
    """What their files leave to PyTorch, and Kaiming's by the outputs where they ask for it."""
    network = models.create(name, num_classes=3, rngs=nnx.Rngs(0), **SMALL_SHAPES[name])
    found = dict(nnx.to_flat_state(nnx.state(network, nnx.Param)))
    parts = tuple(int(part) if part.isdigit() else part for part in path.split("."))
    values = np.asarray(found[parts][...])
    assert abs(values.std() / deviation - 1) < (0.35 if values.size < 100 else 0.05)


SMALL_SHAPES = {"rcn_w": {"shape": (28, 28, 3)}, "mmnet": {"shape": (2, 64, 64, 3), "depth": 1}}


@pytest.mark.parametrize("layers, units", [(1, 10 + 4), (3, 3 * (10 + 4)), (0, 4 * (9 + 1))])
def test_fewer_recurrent_layers(layers, units):
    """Fig. 8: layers are taken away from the end; 0 replaces all by 3 x 3 convolutions."""
    rows = summary.rows("strcn_a", num_classes=3, maps=2, recurrent_layers=layers)
    found = [row for row in rows if row.layer == "RecurrentConv"]
    # with 2 maps: w_f is 1 unit of 2 x 2, w_r 9, each of four normalisations 1
    assert sum(row.parameters for row in found) == units * 2 * 2


def test_shared_statistics_have_one_normalisation():
    rows = summary.rows("strcn_g", num_classes=3, maps=2, statistics="shared")
    paths = [row.path for row in rows if row.layer == "BatchNorm"]
    assert paths == ["norm", *(f"layers.{n}.norms.0" for n in range(4))]


def stream(name, path, **sizes):
    build = lambda: models.create(name, num_classes=3, rngs=nnx.Rngs(0), **sizes)
    network = nnx.eval_shape(build)
    return network.streams[0] if path else network.stream


def test_features_of_the_3d_networks():
    """Tables I to III of Reddy et al.; the joined 172,800 is printed as 86,400 there."""
    whole = stream("stcnn", False)
    assert whole.out_shape == (27, 20, 20, 32) and whole.features == 345_600
    assert stream("stcnn", False, shape=(18, 64, 64, 1)).out_shape == (1, 20, 20, 32)
    region = stream("fusenet_late", True)
    assert region.out_shape == (27, 10, 10, 32) and region.features == 86_400
    late = {row.path: row for row in summary.rows("fusenet_late", num_classes=3)}
    assert late["dense.1"].inputs == (86_400,) and late["classifier"].inputs == (256,)
    assert [late[f"dense.0.layers.{n}"].outputs for n in (0, 1)] == [(1024,), (128,)]
    middle = {row.path: row for row in summary.rows("fusenet_intermediate", num_classes=3)}
    assert middle["dense.0"].inputs == (172_800,) and middle["classifier"].inputs == (128,)


@pytest.mark.parametrize("space", [3, 5, 7])
@pytest.mark.parametrize("time", [3, 7, 15, 19])
def test_kernels_of_table_nine(space, time):
    network = stream("stcnn", False, kernel=(time, space, space))
    side = (64 - space + 1) // 3
    assert network.out_shape == ((96 - time + 1) // 3, side, side, 32)


def test_maps_of_the_rivals():
    """The sizes that research on their code found."""
    names = ("ststnet", "off_apexnet", "dual_inception", "capsule", "rcn_a", "rcn_w")
    rows = {name: {r.path: r for r in summary.rows(name, num_classes=3)} for name in names}
    assert rows["ststnet"]["conv"].outputs == (30, 30, 16)
    assert rows["ststnet"]["dropout"].inputs == (10, 10, 16)
    assert rows["ststnet"]["classifier"].inputs == (400,)
    assert rows["off_apexnet"]["dense.0"].inputs == (2 * 784,)
    assert rows["dual_inception"]["dense"].inputs == (6272,)
    assert rows["capsule"]["wide"].inputs == (28, 28, 256)
    assert rows["capsule"]["primary"].inputs == (20, 20, 256)
    assert rows["capsule"]["primary"].outputs == (6, 6, 256)
    for kind in "aw":
        assert rows[f"rcn_{kind}"]["classifier"].inputs == (800,)


@pytest.mark.slow
def test_masked_samples_change_nothing():
    """Real samples get the same logits, gradients and statistics with and without padding."""
    sizes = {"shape": (40, 12, 3), "maps": 2, "recurrent_layers": 1}
    network = models.create("strcn_a", num_classes=3, rngs=nnx.Rngs(0), **sizes)
    x = learning.examples("strcn_a")
    graph, params, rest = nnx.split(network, nnx.Param, ...)
    params, rest = nnx.as_pure(params), nnx.as_pure(rest)

    def run(params, x, mask):
        def objective(params):
            model = nnx.merge(graph, params, rest)
            logits = model(x, mask=mask)
            return (logits[:5] ** 2).sum(), (
                logits[:5],
                nnx.as_pure(nnx.state(model, nnx.BatchStat)),
            )

        return jax.grad(objective, has_aux=True)(params)

    x[5:] = 7
    padded = jax.jit(run)(params, x, jnp.asarray([1, 1, 1, 1, 1, 0, 0, 0], jnp.float32))
    alone = jax.jit(run)(params, x[:5], jnp.ones(5))
    compare = lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4)
    jax.tree.map(compare, padded, alone)


def test_dropout_and_statistics_are_off_in_evaluation():
    network, x = learning.small("ststnet")
    network.eval()
    before = jax.tree.map(np.asarray, nnx.to_pure_dict(nnx.state(network, nnx.BatchStat)))
    np.testing.assert_array_equal(network(x), network(x))
    after = nnx.to_pure_dict(nnx.state(network, nnx.BatchStat))
    jax.tree.map(np.testing.assert_array_equal, before, after)


@pytest.mark.parametrize(
    "name, sizes, told",
    [
        ("strcn", {}, "strcn_"),
        ("strcn_a", {"map": 3}, "maps"),
        ("strcn_g", {"shape": (100, 100, 2)}, "132 x 132"),
        ("strcn_g", {"shape": (300, 245)}, "300 x 245"),
        ("strcn_a", {"recurrent_layers": 5}, "0 or more and at most 4"),
        ("stcnn", {"shape": (16, 64, 64, 1)}, "17 x 5 x 5"),
        ("capsule", {"shape": (64, 64, 3)}, "129 x 129"),
        ("skd_tstsan", {"shape": (48, 48, 37)}, "an even number of channels"),
        ("fg_au_fusion", {"shape": (7, 7, 31)}, "a third of the patches"),
        ("fg_au_fusion", {"graph": (0.5,) * 9}, "nine action units have 81"),
    ],
)
def test_a_wrong_size_is_one_sentence(name, sizes, told):
    with pytest.raises(UserError, match=told) as error:
        models.create(name, num_classes=3, rngs=nnx.Rngs(0), **sizes)
    assert "\n" not in str(error.value)


def test_a_wide_stem_takes_any_number_of_maps_from_four_on():
    make = lambda maps: models.create(
        "rcn_w", num_classes=3, rngs=nnx.Rngs(0), shape=(12, 12, 3), maps=maps
    )
    for maps in (4, 6, 7):
        out = nnx.eval_shape(lambda maps=maps: make(maps)(np.zeros((2, 12, 12, 3), np.float32)))
        assert out.shape == (2, 3)


def test_summary_prints_the_source_beside_the_count():
    printed = summary.text("stcnn")
    assert "345600" in printed and "44,241,667" in printed and "the same" in printed
    assert "other sizes" in summary.text("stcnn", hidden=64)


@pytest.mark.parametrize("given", ["maps", "32", "**x", "maps=8,32"])
def test_sizes_without_a_name_are_refused(given):
    with pytest.raises(UserError, match="write name=value,name=value"):
        summary._sizes(given)
