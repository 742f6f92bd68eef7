"""A training step of every network: in the fold engine, and of its PyTorch counterpart.

Sizes are those of the papers (the networks' defaults) except where a step would take minutes on two
cores; the tables list them. Random inputs, Adam, dropout 0 (the counterparts have none).
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from mer_jax import models, protocols
from mer_jax.clips import Clip, in_memory
from mer_jax.errors import UserError, filter_by_regex
from mer_jax.methods.examples import Examples
from mer_jax.models.sizes import by
from mer_jax.protocols import Folds
from mer_jax.training import Parallel, Settings, parallel, records, single_fold
from mer_jax.training.programs import compile_programs
from mer_jax.training.records import Data, State
from mer_jax.training.single_fold import StaticConfig, make_static_config
from tools.bench.timing import compare

CLASSES = 3
STEPS = 4  # of an epoch; a real epoch has dozens per evaluation


class Workload(NamedTuple):
    """One network at one size."""

    network: str
    batch: int
    sizes: dict[str, Any]
    torch_model: tuple = ()  # class of tests.twins.networks and its arguments
    quick: bool = True  # small enough for --quick
    classes: int = CLASSES
    large: bool = False  # a second job of it does not fit into a small machine's memory

    def __str__(self) -> str:
        sizes = ", ".join(f"{k} {_short(v)}" for k, v in self.sizes.items() if "dropout" not in k)
        return f"{self.network}, B = {self.batch}{f' ({sizes})' if sizes else ''}"


_TALL, _SQUARE = ((4, 1), (4, 1), (4, 4), (2, 2)), ((4, 4), (4, 4), (4, 4), (2, 2))
_NO_DROPOUT = {"dropout": 0.0}
_NO_DROPOUTS = _NO_DROPOUT | {"head_dropout": 0.0}
WORKLOADS = (
    Workload("ststnet", 221, _NO_DROPOUT, ("STSTNet", CLASSES)),
    Workload("rcn_a", 32, _NO_DROPOUT, ("RCN", "a", CLASSES, 32, 5)),
    Workload("rcn_s", 32, _NO_DROPOUT, ("RCN", "s", CLASSES, 32, 5)),
    Workload("rcn_w", 32, _NO_DROPOUT, ("RCN", "w", CLASSES, 32, 5)),
    Workload("softnet", 32, {}, ("SOFTNet", CLASSES, 7 * 7 * 16)),
    Workload("mean_spotting", 32, _NO_DROPOUTS, ("MEAN", CLASSES, 42, (3, 3, 8), 8, False)),
    Workload("mean_recognition", 32, _NO_DROPOUTS, ("MEAN", CLASSES, 42, (3, 3, 8), 8, True)),
    Workload("mtsn", 64, {}, ("MTSN", CLASSES, 2, 28, (3, 5, 8), 128)),
    Workload("sfamnet", 64, {}, ("SFAMNet", CLASSES - 1, 3, 42, 3, 8, False)),
    Workload("pem", 32, {"shape": (270, 12, 2)}, ("PEM", 10, 12, 64, False), classes=2700),
    Workload(
        "auw_gcn",
        32,
        {"shape": (270, 12, 2)},
        ("AUWGCN", 10, (1 / 12,) * 144, 64, 16),
        classes=2700,
    ),
    Workload("off_apexnet", 221, {}, ("OFFApexNet", CLASSES, 28, (6, 16), 1024)),
    Workload("dual_inception", 64, {}, ("DualInception", CLASSES, 28, (6, 16), 1024)),
    Workload("stcnn", 8, _NO_DROPOUT | {"shape": (18, 64, 64, 1)},
             ("STCNN", CLASSES, 20 * 20 * 32, 32, (15, 3, 3), 128)),
    Workload("stcnn", 8, _NO_DROPOUT, ("STCNN", CLASSES, 345_600, 32, (15, 3, 3), 128), False),
    Workload("fusenet_intermediate", 8, _NO_DROPOUT,
             ("FuseNet", False, CLASSES, 86_400, 32, (15, 3, 3), (1024, 128)), False, large=True),
    Workload("fusenet_late", 8, _NO_DROPOUT,
             ("FuseNet", True, CLASSES, 86_400, 32, (15, 3, 3), (1024, 128)), False, large=True),
    Workload("strcn_a", 8, {}, ("Recurrent", _TALL, CLASSES, 3, 64), False),
    Workload("strcn_g", 8, {}, ("Recurrent", _SQUARE, CLASSES, 2, 64), False),
    Workload("mer_rcnn", 8, {},
             ("Recurrent", ((4, 1), (4, 1), (4, 4), (4, 2)), CLASSES, 3, 64), False),
    Workload("psn", 2, _NO_DROPOUT,
             ("PSN", CLASSES, "alexnet", (96, 256, 384, 256, 256), 256, 512, 16, 112, False, True,
              16), False),
    Workload("r3d_convlstm", 2, {}, ("R3DConvLSTM", 512, 100, (4, 4), CLASSES), False),
    Workload("capsule", 4, {}, ("Capsule", CLASSES, (64, 128, 256), 256, 1152), False),
    Workload("image_cnn", 8, _NO_DROPOUT | {"shape": (32, 32, 3)},
             ("ImageCNN", CLASSES, (64, 128, 256, 512, 512), 4096), False),
    Workload("htnet", 32, {}, quick=False, large=True),
    Workload("mmnet", 8, {"drop_path": 0.0}, quick=False),
    Workload("bdcnn", 8, {}, quick=False),
    Workload("skd_tstsan", 16, _NO_DROPOUT, quick=False),
    Workload("fg_au_fusion", 64, _NO_DROPOUT, quick=False),
)  # fmt: skip


def select(*, quick: bool, only: str) -> list[Workload]:
    """The workloads, small ones if `quick`, whose network matches the regular expression `only`.

    Raises `UserError` for an invalid expression, or if none matches.
    """
    there = [w for w in WORKLOADS if w.quick or not quick]
    names = list(dict.fromkeys(w.network for w in there))
    left = filter_by_regex("--only", only, names)
    if not left:
        raise UserError(f"--only={only} leaves no network; there are {', '.join(names)}")
    return [w for w in there if w.network in left]


class JaxStep(NamedTuple):
    """A workload in the fold engine."""

    run: Callable[[], Any]  # one epoch of STEPS steps for each fold
    step: tuple  # a step by itself, to be counted: (function, its arguments' shapes and dtypes)
    state_bytes: int  # of a fold between its steps: weights, moments, counters


def jax_step(
    work: Workload, *, folds: int, devices: Sequence[jax.Device], precision: str = "float32"
) -> JaxStep:
    """`folds` folds that train STEPS steps each: an epoch, with the evaluation of one test clip.

    folds: a multiple of the devices.
    """
    network: Any = nnx.eval_shape(lambda: build(work)(nnx.Rngs(0)))
    count = STEPS * work.batch  # one is tested: its row of a batch is padding, and computed
    rng = np.random.default_rng(0)
    shape = network.input_shape
    draw = lambda size: jnp.asarray(rng.random((count, *size), np.float32))
    inputs = jax.tree.map(draw, shape, is_leaf=lambda size: isinstance(size, tuple))
    labels = jnp.asarray(np.arange(count) % CLASSES, jnp.int32)
    rows = leave_out(count, count).take([0])
    settings = Settings(epochs=1, batch_size=work.batch, precision=precision, seeds=folds)
    examples = Examples(inputs=inputs, input_shape=shape)
    layout = Parallel(devices=devices).layout(folds)
    run, static, state = job(
        examples, labels, [rows] * folds, settings, build(work), layout=layout,
        num_classes=work.classes,
    )  # fmt: skip

    def step(params, model_state, x, labels):
        def loss(params):
            mask = jnp.ones(work.batch)
            logits, _ = single_fold.apply_model(
                static, static.train_graph, params, model_state, x, mask
            )
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

        return jax.grad(loss)(params)

    cut = lambda part, tree: jax.eval_shape(lambda tree: jax.tree.map(part, tree), tree)
    one = cut(lambda a: a[0], (state.params, state.model_state))
    batch = cut(lambda a: a[: work.batch], (inputs, labels))
    state_bytes = sum(a.size * a.dtype.itemsize for a in jax.tree.leaves(state)) // folds
    return JaxStep(run, (step, (*one, *batch)), state_bytes)


def leave_out(count: int, subjects: int) -> Folds:
    """A fold for each of `subjects`, who have `count` clips in turn."""
    read = in_memory(np.zeros((1, 1, 1, 1)))
    clips = [Clip("bench", f"s{n % subjects}", f"c{n}", read, "x") for n in range(count)]
    return protocols.loso(clips, np.zeros(count, np.int64))


def job(
    examples: Examples,
    labels: jax.Array,
    folds: Sequence[Folds],
    settings: Settings,
    build: Callable[[nnx.Rngs], nnx.Module],
    *,
    layout: parallel.Layout,
    num_classes: int = CLASSES,
) -> tuple[Callable[[], Any], StaticConfig, State]:
    """(a function that runs all epochs, the static configuration, the shapes of the state).

    The folds are padded to a multiple of the devices, as `fit` does.
    """
    static = make_static_config(
        examples, len(labels), settings, num_classes=num_classes, build=build
    )
    data = parallel.replicate(layout, Data(examples.inputs, labels, {}))
    rows = records.fold_arrays(folds, settings)
    count, devices = len(rows.eval_index), len(layout.devices)
    padded = -(-count // devices) * devices
    part = parallel.shard(layout, records.take_rows(rows, range(count), padded))
    programs = compile_programs(static, layout, settings.epochs)
    state = [programs.init(data, part)]  # the epochs take it for good and give the next

    def run():
        state[0], record = programs.epochs(data, part, state[0])
        return record

    return run, static, jax.eval_shape(lambda state: state, state[0])


def torch_step(work: Workload) -> Callable[[], Any] | None:
    """A step of the PyTorch network on its device, or None without PyTorch or such a network.

    Of inputs in memory with channels last, as ours, or first, as PyTorch's own: the faster ones.
    """
    try:
        import torch
    except ImportError:
        return None
    if not work.torch_model:
        return None
    device = _torch_device()
    network = torch_network(work).to(device).train()
    like: Any = nnx.eval_shape(lambda: build(work)(nnx.Rngs(0)))
    draw = lambda size: torch.rand(work.batch, *size, device=device)
    x = jax.tree.map(draw, like.input_shape, is_leaf=lambda size: isinstance(size, tuple))
    planes = jax.tree.map(lambda a: a.movedim(-1, 1).contiguous().movedim(1, -1), x)
    layouts: list[Any] = [x, planes]
    if work.network == "r3d_convlstm":  # this one has PyTorch's axes
        layouts = [x.permute(0, 4, 1, 2, 3).contiguous()]
    labels = torch.arange(work.batch, device=device) % CLASSES
    rule = torch.optim.Adam(network.parameters())

    def run(x):
        rule.zero_grad()
        torch.nn.functional.cross_entropy(network(x), labels).backward()
        rule.step()
        if device == "cuda":
            torch.cuda.synchronize()

    cases = {str(number): partial(run, each) for number, each in enumerate(layouts)}
    if len(cases) == 1:
        return cases["0"]
    return cases[min(compare(cases, rounds=3), key=lambda timing: timing.milliseconds).name]


def torch_folds(
    inputs: np.ndarray,
    labels: np.ndarray,
    folds: Folds,
    settings: Settings,
    make: Callable[[], Any],
    *,
    spots: bool = False,
) -> Callable[[], None]:
    """What people run: a network and an optimizer a fold, one fold after the other.

    spots: squared errors of samples that are scaled, and also the outputs of the tested ones.
    """
    import torch

    device = _torch_device()
    x, y = (torch.from_numpy(each).to(device) for each in (inputs, labels))
    losses = torch.nn.functional
    loss = losses.mse_loss if spots else losses.cross_entropy

    def run():
        for train, test in zip(folds.train, folds.test):
            index = torch.from_numpy(np.flatnonzero(train)).to(device)
            network = make().to(device).train()
            scale = x[index].square().mean((0, 1, 2), keepdim=True).sqrt() if spots else None
            read = lambda rows, scale=scale: x[rows] / scale if spots else x[rows]
            rule = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
            for _ in range(settings.epochs):
                shuffled = index[torch.randperm(len(index), device=device)]
                for batch in shuffled.split(settings.batch_size):
                    rule.zero_grad()
                    loss(network(read(batch)), y[batch]).backward()
                    rule.step()
            if spots:
                with torch.no_grad():
                    network.eval()(read(torch.from_numpy(test).to(device)))
        if device == "cuda":
            torch.cuda.synchronize()

    return run


def _torch_device() -> str:
    """Where PyTorch runs; its float32 is ours there, not TensorFloat-32."""
    import torch

    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    return "cuda" if torch.cuda.is_available() else "cpu"


def torch_network(work: Workload):
    """The network in PyTorch."""
    import torch

    from tests.twins import networks, r3d_18

    kind, *arguments = work.torch_model
    if kind == "R3DConvLSTM":
        backbone = r3d_18.R3D18()
        backbone.fc = torch.nn.Identity()  # there for its name only
        return torch.nn.Sequential(backbone, r3d_18.AutoEncoder(*arguments))
    return getattr(networks, kind)(*arguments)


def build(work: Workload) -> Callable[[nnx.Rngs], nnx.Module]:
    """A function from random streams to the network."""
    return lambda rngs: models.create(
        work.network, num_classes=work.classes, rngs=rngs, **work.sizes
    )


def _short(value) -> str:
    return by(value) if isinstance(value, tuple) else str(value)
