"""Small networks, ours and PyTorch's, that hold the same numbers and should say the same.

python -m tests.make_goldens     stores what the twins say in tests/golden/networks.npz
"""

import jax
import numpy as np
from flax import nnx

from mer_jax import models
from mer_jax.models.mean import Frozen
from tests.twins.fill import fill

KERNEL = {"filters": 4, "kernel": (5, 3, 3)}
TALL = ((4, 1), (4, 1), (4, 4), (2, 2))
POOLS = {
    "strcn_a": TALL,
    "strcn_g": ((4, 4), (4, 4), (4, 4), (2, 2)),
    "mer_rcnn": ((4, 1), (4, 1), (4, 4), (4, 2)),
}
# Rows of 0 or 3 in all, so that their normalization is exact in single precision.
_ROW = (0.5, 0.25, 0.75, 0.25, 0.5, 0.25, 0.25, 0.25, 0.0)
UNITS = tuple(bool(i) * _ROW[(j + i * i) % 9] for i in range(9) for j in range(9))
GRAPH = (0.5, 0.25, 0.25, 0.0, 0.125, 0.875, 0.0, 0.0, 0.0)

# case: network, its sizes, and its twin's class and arguments after the number of classes (3)
CASES = {
    "strcn_a": (
        "strcn_a",
        {"shape": (135, 13, 3), "maps": 4, "steps": 1},
        ("Recurrent", TALL, 3, 3, 4, 4, "separate", 1),
    ),
    "strcn_a, plain": (
        "strcn_a",
        {"shape": (135, 13, 3), "maps": 4, "recurrent_layers": 0},
        ("Recurrent", TALL, 3, 3, 4, 0),
    ),
    "strcn_a, two shared": (
        "strcn_a",
        {"shape": (40, 9, 3), "maps": 4, "recurrent_layers": 2, "statistics": "shared"},
        ("Recurrent", TALL, 3, 3, 4, 2, "shared"),
    ),
    "strcn_g": (
        "strcn_g",
        {"shape": (37, 41, 2), "maps": 4, "recurrent_layers": 2},
        ("Recurrent", POOLS["strcn_g"], 3, 2, 4, 2),
    ),
    "mer_rcnn": (
        "mer_rcnn",
        {"shape": (70, 9, 3), "maps": 4, "recurrent_layers": 1},
        ("Recurrent", POOLS["mer_rcnn"], 3, 3, 4, 1),
    ),
    "ststnet": ("ststnet", {"shape": (13, 13, 3), "dropout": 0.0}, ("STSTNet", 3, 13)),
    "softnet": (
        "softnet",
        {"shape": (13, 19, 3), "hidden": 7},
        ("SOFTNet", 3, 2 * 3 * 16, 3, (3, 5, 8), 7),
    ),
    "softnet, two flows": (
        "softnet",
        {"shape": (12, 12, 6), "maps": (2, 3, 1), "hidden": 7},
        ("SOFTNet", 3, 2 * 2 * 6, 6, (2, 3, 1), 7),
    ),
    "stcnn": (
        "stcnn",
        {"shape": (11, 9, 8, 1), "hidden": 6, "dropout": 0.0, **KERNEL},
        ("STCNN", 3, 2 * 2 * 2 * 4, 4, (5, 3, 3), 6),
    ),
    "fusenet_intermediate": (
        "fusenet_intermediate",
        {"shape": (8, 8, 8, 1), "widths": (6, 5), "dropout": 0.0, **KERNEL},
        ("FuseNet", False, 3, 1 * 2 * 2 * 4, 4, (5, 3, 3), (6, 5)),
    ),
    "fusenet_late": (
        "fusenet_late",
        {"shape": (8, 8, 8, 1), "widths": (6, 5), "dropout": 0.0, **KERNEL},
        ("FuseNet", True, 3, 1 * 2 * 2 * 4, 4, (5, 3, 3), (6, 5)),
    ),
    **{
        f"rcn_{kind}": (
            f"rcn_{kind}",
            {"shape": (22, 22, 3), "maps": 8, "pool": 3, "dropout": 0.0},
            ("RCN", kind, 3, 8, 3),
        )
        for kind in "asw"
    },
    "off_apexnet": (
        "off_apexnet",
        {"shape": (9, 9, 2), "maps": (2, 3), "hidden": 7},
        ("OFFApexNet", 3, 9, (2, 3), 7),
    ),
    "dual_inception": (
        "dual_inception",
        {"shape": (9, 9, 2), "maps": (2, 3), "hidden": 7},
        ("DualInception", 3, 9, (2, 3), 7),
    ),
    "capsule": (
        "capsule",
        {"shape": (129, 129, 3), "width": 1 / 32},
        ("Capsule", 3, (2, 4, 8), 8, 1),
    ),
    "image_cnn": (
        "image_cnn",
        {"shape": (32, 32, 3), "width": 1 / 32, "dropout": 0.0},
        ("ImageCNN", 3, (2, 4, 8, 16, 16), 128),
    ),
    "mean_spotting": (
        "mean_spotting",
        {
            "shape": (13, 13, 3),
            "maps": (2, 1, 3),
            "filters": 2,
            "dropout": 0.0,
            "head_dropout": 0.0,
        },
        ("MEAN", 3, 13, (2, 1, 3), 2, False),
    ),
    "mean_recognition": (
        "mean_recognition",
        {
            "shape": (13, 13, 3),
            "maps": (2, 1, 3),
            "filters": 2,
            "dropout": 0.0,
            "head_dropout": 0.0,
        },
        ("MEAN", 3, 13, (2, 1, 3), 2, True),
    ),
    "mtsn": (
        "mtsn",
        {"shape": (13, 13, 6), "maps": (1, 2, 3), "hidden": 5},
        ("MTSN", 3, 2, 13, (1, 2, 3), 5),
    ),
    "sfamnet": (
        "sfamnet",
        {"shape": (10, 10, 2), "maps": 3, "filters": 2},
        ("SFAMNet", 2, 2, 10, 3, 2, False),
    ),
    "sfamnet, normalized": (
        "sfamnet",
        {"shape": (10, 10, 1), "maps": 3, "filters": 2, "batch_norm": True},
        ("SFAMNet", 2, 1, 10, 3, 2, True),
    ),
    "pem": ("pem", {"shape": (3, 4, 2), "maps": 5}, ("PEM", 1, 4, 5, False)),
    "pem, weighted": (
        "pem",
        {"shape": (3, 4, 2), "maps": 5, "region_weights": True},
        ("PEM", 1, 4, 5, True),
    ),
    "auw_gcn": (
        "auw_gcn",
        {"shape": (3, 3, 2), "maps": 5, "hidden": 4, "graph": GRAPH},
        ("AUWGCN", 1, GRAPH, 5, 4),
    ),
    "psn": (
        "psn",
        {"shape": (3, 32, 32, 1), "width": 1 / 32, "dropout": 0.0},
        ("PSN", 3, "alexnet", (3, 8, 12, 8, 8), 8, 16, 3, 32, False, True),
    ),
    "psn, resnet10, concat, no conv": (
        "psn",
        {
            "shape": (3, 32, 32, 1),
            "width": 1 / 32,
            "dropout": 0.0,
            "backbone": "resnet10",
            "fusion": "concat",
            "pointwise": False,
        },
        ("PSN", 3, "resnet10", (2, 4, 8, 16), 8, 16, 3, 32, True, False),
    ),
}

# Likewise, with twins in `rivals`.
RIVALS = {
    "htnet": (
        "htnet",
        {"shape": (8, 8, 3), "dim": 4, "heads": 3, "depths": (1, 1, 2)},
        ("HTNet", 3, 2, 3, 4, 3, (1, 1, 2)),
    ),
    "mmnet": (
        "mmnet",
        {"shape": (2, 32, 48, 3), "width": 1 / 16, "drop_path": 0.0},
        ("MMNet", 3, 3, 11, (8, 8, 16, 32), 4, (2, 3)),
    ),
    "bdcnn": (
        "bdcnn",
        {"shape": (16, 24, 4), "pictures": 2, "block": 8, "width": 1 / 32},
        ("BDCNN", 3, (16, 24, 4), 2, 8, 1, 16, (32, 4)),
    ),
    "skd_tstsan": (
        "skd_tstsan",
        {"shape": (18, 20, 10), "alpha": 1.5, "width": 1 / 8, "dropout": 0.0},
        ("SKDTSTSAN", 3, 2, 1.5, (2, 4, 8, 16), (3, 3)),
    ),
    "fg_au_fusion": (
        "fg_au_fusion",
        {"shape": (3, 4, 6), "heads": 2, "dropout": 0.0, "width": 1 / 8, "graph": UNITS},
        ("FGAUFusion", 3, UNITS, 6, 12, 2, 4, 16, (40, 20), (5, 10)),
    ),
}
CASES |= RIVALS
# Too slow to compile for a unit test: compared with the live twin only.
LIVE = (
    "mean_spotting",
    "mtsn",
    "pem, weighted",
    "sfamnet",
    "sfamnet, normalized",
    "softnet, two flows",
)
GOLDEN = tuple(case for case in CASES if case not in LIVE)

ENDS = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}


def create(case: str) -> nnx.Module:
    """Our network of `case`, in training mode."""
    name, sizes, _ = CASES[case]
    network = models.create(name, num_classes=3, rngs=nnx.Rngs(0), **sizes)
    network.train()
    return network


def numbers(abstract: nnx.Module, kind: type) -> dict:
    """The numbers of `fill` for all tensors of `kind`, in double precision, as a tree of ours."""
    tree = nnx.to_pure_dict(nnx.state(abstract, kind))

    def one(path, shape):
        name = theirs(path)
        shape = in_torch(np.empty(shape.shape), name).shape
        return in_jax(fill({name: shape})[name].astype(np.float64), name)

    return jax.tree_util.tree_map_with_path(one, tree)


def theirs(path) -> str:
    """PyTorch's name of the tensor at `path` of a tree of ours."""
    *above, last = (str(step.key) for step in path)
    return ".".join([*above, ENDS.get(last, last)])


def in_torch(array: np.ndarray, name: str) -> np.ndarray:
    """A tensor of ours as PyTorch lays it out: [O, C, ...] for kernels, [O, I] for products."""
    if array.ndim < 2 or name.endswith("transformations"):
        return array
    return np.moveaxis(array, (-1, -2), (0, 1))


def in_jax(array: np.ndarray, name: str) -> np.ndarray:
    """The inverse of `in_torch`."""
    if array.ndim < 2 or name.endswith("transformations"):
        return array
    return np.moveaxis(array, (0, 1), (-1, -2))


def example(shape, batch: int = 3):
    """An input for a network of that `input_shape`, double: an array, or a dict of them."""
    if not isinstance(shape, dict):
        return fill({"input": (batch, *shape)})["input"].astype(np.float64)
    filled = fill({key: (batch, *one) for key, one in shape.items()})
    return {key: value.astype(np.float64) for key, value in filled.items()}


def answers_of_ours(case: str) -> dict[str, np.ndarray]:
    """What our network says and how it changes: see `summary`. Needs 64-bit mode."""
    abstract = nnx.eval_shape(lambda: create(case))
    kinds = (nnx.Param, nnx.BatchStat, Frozen)
    params, statistics, frozen = (numbers(abstract, kind) for kind in kinds)

    @jax.jit
    def run(params, statistics, x):
        def objective(params, x):
            network = create(case)
            nnx.update(network, params)
            nnx.update(network, statistics)
            nnx.update(network, frozen)
            logits = network(x)
            after = nnx.to_pure_dict(nnx.state(network, nnx.BatchStat))
            return (logits * probe(logits.shape)).sum(), (logits, after)

        return jax.grad(objective, argnums=(0, 1), has_aux=True)(params, x)

    x = example(abstract.input_shape)
    (grads, dx), (logits, after) = run(params, statistics, x)
    leaves = lambda tree: [
        (theirs(path), in_torch(np.asarray(a), theirs(path)))
        for path, a in jax.tree_util.tree_leaves_with_path(tree)
    ]
    return {"output": logits, "input": dx, **dict(leaves(grads)), **dict(leaves(after))}


def probe(shape) -> np.ndarray:
    """The weights of the outputs in the sum that is differentiated."""
    return fill({"probe": tuple(shape)})["probe"].astype(np.float64)


def summary(answers) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Answers small enough to store: the output; names; a product for each other tensor."""
    others = {name: value for name, value in answers.items() if name != "output"}
    arrays = {}
    for path, array in jax.tree_util.tree_leaves_with_path(others):
        arrays[".".join(str(step.key) for step in path)] = np.asarray(array, np.float64)
    names = sorted(arrays)
    probes = fill({name: arrays[name].shape for name in names}, seed=1)
    products = [np.vdot(probes[name].astype(np.float64), arrays[name]) for name in names]
    return np.asarray(answers["output"]), names, np.array(products)


def answers_of_twin(case: str) -> dict[str, np.ndarray]:
    """What the twin says of the same input with the same numbers. Needs PyTorch."""
    import torch

    from tests.twins import networks, rivals

    kind, *arguments = CASES[case][2]
    twin = getattr(rivals if case in RIVALS else networks, kind)(*arguments).double().train()
    shapes = {name: tuple(value.shape) for name, value in twin.state_dict().items()}
    state = {name: torch.from_numpy(value) for name, value in fill(shapes).items()}
    twin.load_state_dict(state)
    shape = nnx.eval_shape(lambda: create(case)).input_shape
    x = jax.tree.map(lambda a: torch.from_numpy(a).requires_grad_(), example(shape))
    logits = twin(x)
    (logits * torch.from_numpy(probe(logits.shape))).sum().backward()
    grads = {n: p.grad.numpy() for n, p in twin.named_parameters() if p.requires_grad}
    after = {n: b.numpy() for n, b in twin.named_buffers() if "num_batches" not in n}
    dx = jax.tree.map(lambda a: a.grad.numpy(), x)
    return {"output": logits.detach().numpy(), "input": dx, **grads, **after}
