"""R3D-ConvLSTM: the paper's sizes and counts, PyTorch's numbers, learning and lowering."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mer_jax import models
from mer_jax.errors import UserError
from mer_jax.models import pretrained
from mer_jax.models.r3d_convlstm import R3D18
from tests.models import learning
from tests.twins.fill import fill

GOLDEN = pathlib.Path(__file__).parent.parent / "golden"
SMALL = {"shape": (12, 32, 32, 3), "width": 0.1}


def create(**sizes):
    return models.create("r3d_convlstm", num_classes=3, rngs=nnx.Rngs(0), **sizes)


def backbone(weights):
    """A full-width backbone in evaluation mode, with `weights`."""

    class Holder(nnx.Module):
        def __init__(self):
            self.backbone = R3D18(rngs=nnx.Rngs(0))

    holder = Holder()
    pretrained.load_weights(weights, holder)
    holder.eval()
    return holder.backbone


def answers(function, network, x):
    """`function(network, x)` and the gradients of its sum with the probe: (output, dx, tree)."""
    graph, state = nnx.split(network)
    state = nnx.to_pure_dict(state)

    def objective(state, x):
        output = function(nnx.merge(graph, state), x)
        order = (0, output.ndim - 1, *range(1, output.ndim - 1))  # channels as PyTorch has them
        output = output.transpose(order)
        return jnp.vdot(output, fill({"probe": output.shape})["probe"]), output

    gradient = jax.grad(objective, argnums=(0, 1), has_aux=True)
    (grads, dx), output = jax.jit(gradient)(state, np.moveaxis(x, 1, -1))
    return np.asarray(output), np.moveaxis(dx, -1, 1), grads


def close(ours, theirs):
    """Whether arrays agree to 1e-4 of the largest number."""
    error = np.abs(np.asarray(ours) - theirs).max() / np.abs(theirs).max()
    return error < 1e-4


# ---- the backbone, by torchvision's names


def backbone_gradients(grads):
    """Our gradients in the order and the layout of PyTorch's parameters: a list of arrays."""
    grads = flat(grads)
    ours = [t.ours.removeprefix("backbone.") for t in pretrained.table("r3d_18")]
    return [in_torch(grads[path]) for path in ours if not path.endswith(("mean", "var"))]


def flat(tree):
    """{dotted path: array} of nested dicts."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {".".join(str(step.key) for step in path): leaf for path, leaf in leaves}


def in_torch(kernel):
    kernel = np.asarray(kernel)
    return np.moveaxis(kernel, (-1, -2), (0, 1)) if kernel.ndim > 1 else kernel


def in_jax(kernel):
    return np.moveaxis(kernel, (0, 1), (-1, -2)) if kernel.ndim > 1 else kernel


def stored(name):
    """A golden file and the shapes that it lists."""
    golden = np.load(GOLDEN / f"{name}.npz")
    shapes = {n: tuple(s[s >= 0]) for n, s in zip(golden["names"].tolist(), golden["shapes"])}
    return golden, shapes


@pytest.mark.slow
def test_backbone_says_what_pytorch_says():
    """Full width, every one of torchvision's tensors, against answers stored from the twin."""
    golden, shapes = stored("r3d_18")
    network = backbone(pretrained.from_torch_state("r3d_18", fill(shapes)))
    x = fill({"input": golden["input_gradient"].shape})["input"]
    output, dx, grads = answers(lambda network, x: network(x), network, x)
    assert close(output, golden["output"])
    assert close(dx, golden["input_gradient"])
    grads = backbone_gradients(grads)
    probes = fill({n: shapes[n] for n in parameters_of(shapes)}, seed=1).values()
    products = [np.vdot(probe, grad) for probe, grad in zip(probes, grads, strict=True)]
    np.testing.assert_allclose(products, golden["gradients"], rtol=1e-3, atol=1e-3)


def parameters_of(names):
    ends = ("running_mean", "running_var", "num_batches_tracked")
    return [n for n in names if not n.endswith(ends) and not n.startswith("fc.")]


@pytest.mark.parity
@pytest.mark.slow
def test_backbone_equals_its_twin():
    """Features at the paper's size; of a smaller clip every gradient as well.

    (Among the millions of ReLUs of the larger clip some stand so close to 0 that rounding decides
    whether they pass a gradient. The smaller one has none of those.)
    """
    torch = pytest.importorskip("torch")
    from tests.twins import r3d_18 as twin

    network = twin.filled(twin.R3D18())
    state = {name: value.numpy() for name, value in network.state_dict().items()}
    ours = backbone(pretrained.from_torch_state("r3d_18", state))

    x = fill({"input": (1, 3, 12, 64, 64)})["input"]
    with torch.no_grad():
        features = network(torch.from_numpy(x)).numpy()
    graph, weights = nnx.split(ours)
    run = jax.jit(lambda weights, x: nnx.merge(graph, weights)(x))
    output = np.moveaxis(run(weights, np.moveaxis(x, 1, -1)), -1, 1)
    assert output.shape == (1, 512, 2, 4, 4) and close(output, features)

    x = fill({"input": (1, 3, 8, 48, 48)})["input"]
    features, change, gradients = twin.answers(network, x)
    output, dx, grads = answers(lambda network, x: network(x), ours, x)
    assert close(output, features) and close(dx, change)
    for (name, theirs), grad in zip(gradients.items(), backbone_gradients(grads), strict=True):
        assert close(grad, theirs), name


@pytest.mark.parity
def test_batch_statistics_move_as_in_pytorch():
    torch = pytest.importorskip("torch")
    from tests.twins import r3d_18 as twin

    network = twin.filled(twin.R3D18()).train()
    state = {name: value.numpy().copy() for name, value in network.state_dict().items()}
    x = fill({"input": (4, 3, 8, 32, 32)})["input"]
    ours = backbone(pretrained.from_torch_state("r3d_18", state))
    ours.train()
    graph, rest = nnx.split(ours)

    @jax.jit
    def run(rest, x):
        model = nnx.merge(graph, rest)
        return model(x), nnx.to_pure_dict(nnx.state(model, nnx.BatchStat))

    with torch.no_grad():
        theirs = network(torch.from_numpy(x)).numpy()
    output, statistics = run(rest, np.moveaxis(x, 1, -1))
    assert close(np.moveaxis(output, -1, 1), theirs)
    statistics, after = flat(statistics), network.state_dict()
    for tensor in pretrained.table("r3d_18"):
        path, (name,) = tensor.ours.removeprefix("backbone."), tensor.theirs
        if path in statistics:
            assert close(statistics[path], after[name].numpy()), name


# ---- the auto-encoder

# Of Kinetics-400's RGB in [0, 1], as torchvision's transforms of r3d_18 print them.
KINETICS_MEAN, KINETICS_DEVIATION = (0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)
CELLS = {"shape": (24, 48, 32, 3), "width": 1 / 64, "cells": 256}  # 8 features, 4 maps, 3 x 2


def with_cells_of(state, **sizes):
    """A small network whose cells hold the twin's tensors."""

    def cell(name):
        kernel = state[f"{name}.conv.weight"].transpose(2, 3, 1, 0)
        inputs = kernel.shape[2] - kernel.shape[3] // 4
        return {
            "input": {"kernel": kernel[:, :, :inputs], "bias": state[f"{name}.conv.bias"]},
            "hidden": {"kernel": kernel[:, :, inputs:]},
            "peepholes": state[f"{name}.peepholes"].transpose(0, 2, 3, 1),
        }

    network = create(**{**CELLS, **sizes})
    new = {part: {i: cell(f"{part}.{i}") for i in range(2)} for part in ("encoder", "decoder")}
    kernel = state["head.weight"].transpose(2, 3, 4, 1, 0)
    new["head"] = {"kernel": kernel, "bias": state["head.bias"]}
    nnx.update(network, jax.tree.map(jnp.asarray, new))
    return network


def cell_gradients(grads):
    """Our gradients under the twin's names."""
    out = {}
    for part in ("encoder", "decoder"):
        for i, cell in grads[part].items():
            kernel = np.concatenate([cell["input"]["kernel"], cell["hidden"]["kernel"]], axis=2)
            out[f"{part}.{i}.peepholes"] = np.asarray(cell["peepholes"]).transpose(0, 3, 1, 2)
            out[f"{part}.{i}.conv.weight"] = in_torch(kernel)
            out[f"{part}.{i}.conv.bias"] = np.asarray(cell["input"]["bias"])
    head = grads["head"]
    return out | {"head.weight": in_torch(head["kernel"]), "head.bias": np.asarray(head["bias"])}


@pytest.mark.slow
def test_auto_encoder_says_what_pytorch_says():
    golden, shapes = stored("conv_lstm")
    network = with_cells_of(fill(shapes, gain=4.0))
    x = fill({"input": golden["input_gradient"].shape})["input"]
    output, dx, grads = answers(lambda network, x: network.classify(x), network, x)
    assert close(output, golden["output"]) and close(dx, golden["input_gradient"])
    grads, probes = cell_gradients(grads), fill(shapes, seed=1)
    products = [np.vdot(probes[name], grads[name]) for name in shapes]
    assert close(products, golden["gradients"])


@pytest.mark.parity
def test_auto_encoder_equals_its_twin():
    pytest.importorskip("torch")
    from tests.twins import r3d_18 as twin

    network = twin.filled(twin.AutoEncoder(8, 4, (3, 2), 3), twin.CELLS_GAIN)
    x = fill({"input": (3, 8, 5, 3, 2)})["input"]
    logits, change, gradients = twin.answers(network, x)
    state = {name: value.numpy() for name, value in network.state_dict().items()}
    output, dx, grads = answers(lambda network, x: network.classify(x), with_cells_of(state), x)
    assert close(output, logits) and close(dx, change)
    grads = cell_gradients(grads)
    for name, theirs in gradients.items():
        assert close(grads[name], theirs), name


# ---- the whole


@pytest.mark.parity
def test_the_whole_equals_its_twins():
    """Standardised frames through a narrow backbone into the cells: logits and every gradient."""
    torch = pytest.importorskip("torch")
    from tests.twins import r3d_18 as twin

    sizes = CELLS | {"width": 1 / 16, "cells": 64}  # 4 maps in the stem, 32 features, cells of 4
    parts = twin.filled(twin.R3D18(4)), twin.filled(twin.AutoEncoder(32, 4, (3, 2), 3), 4.0)
    mean, deviation = (
        torch.tensor(a)[:, None, None, None] for a in (KINETICS_MEAN, KINETICS_DEVIATION)
    )

    class Whole(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone, self.cells = parts

        def forward(self, x):
            return self.cells(self.backbone((x - mean.to(x)) / deviation.to(x)))

    x = fill({"input": (2, 3, 24, 48, 32)})["input"]
    states = [{n: v.numpy().copy() for n, v in part.state_dict().items()} for part in parts]
    whole = Whole().eval()
    logits, change, gradients = twin.answers(whole, x)
    gradients = {name: gradient.copy() for name, gradient in gradients.items()}
    whole.zero_grad()
    exact = twin.answers(whole.double(), x.astype(np.float64))[2]
    network = with_cells_of(states[1], **sizes)
    table = pretrained.table("r3d_18")
    pretrained.load_weights(pretrained.from_torch_state(table, states[0]), network)
    network.eval()
    output, dx, grads = answers(lambda network, x: network(x), network, x)
    assert close(output, logits) and close(dx, change)
    ours = backbone_gradients(grads["backbone"])
    names = [name for name in gradients if name.startswith("backbone.")]
    off = lambda a, b: np.abs(np.asarray(a) - b).max() / np.abs(b).max()
    # Sums that cancel: the twin's own float32 is off by up to 1.5e-4 of its float64 (on an Intel
    # Xeon; an AMD EPYC has less).
    for name, gradient in zip(names, ours, strict=True):
        own = off(gradients[name], exact[name])
        assert off(gradient, exact[name]) < max(1e-4, 2 * own), name
    for name, mine in cell_gradients(grads).items():
        assert close(mine, gradients[f"cells.{name}"]), name


def test_the_paper_s_counts():
    assert learning.parameters(lambda: R3D18(rngs=nnx.Rngs(0))) == 33_166_272
    assert learning.parameters(create) == 37_552_975
    assert round(37_552_975 / 1e6, 1) == 37.6
    features = learning.shape_of(lambda: R3D18(rngs=nnx.Rngs(0)), (1, 12, 64, 64, 3))
    assert features == (1, 2, 4, 4, 512)
    assert learning.shape_of(create, (1, 12, 64, 64, 3)) == (1, 3)


@pytest.mark.slow
def test_grey_clips_stand_for_three_equal_channels():
    gray = create(**{**SMALL, "shape": (12, 32, 32, 1)})
    gray.eval()
    x = np.random.default_rng(0).random((2, 12, 32, 32, 1), np.float32)
    np.testing.assert_array_equal(
        learning.run(gray, x), learning.run(gray, np.broadcast_to(x, (*x.shape[:-1], 3)))
    )


def test_two_channels_are_a_sentence():
    with pytest.raises(UserError, match="1 or 3 channels, not 2"):
        create(shape=(12, 64, 64, 2))


@pytest.mark.slow
def test_masked_clips_count_for_nothing():
    network = create(**SMALL)
    x = np.random.default_rng(0).random((4, *SMALL["shape"]), np.float32)
    mask = jnp.array([1.0, 1, 1, 0])
    one, other = (learning.run(network, np.concatenate([x[:3], k * x[3:]]), mask) for k in (1, 5))
    np.testing.assert_array_equal(one[:3], other[:3])
