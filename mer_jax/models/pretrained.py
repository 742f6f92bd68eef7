"""Weights that PyTorch trained, in our networks: tables from their names and layouts to ours.

    weights = from_torch_state("r3d_18", {name: array})   # of torchvision
    save(directory, weights)
    load(directory, network)                              # into network.backbone

`weights` is a flat dict: dotted path of a tensor in the network ("backbone.stem.conv.kernel") ->
float32 values; a set of weights for each fold is a dict of such dicts, by the folds' names.
`mer-jax convert-weights` converts and saves files of PyTorch. A table of your own is a JSON file
with a list of `Tensor` records (`read_table`).
"""

import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import msgspec
import numpy as np
from flax import nnx

from mer_jax.errors import UserError, unknown_name
from mer_jax.io import reading, saving
from mer_jax.models.backbones import VGG16, AlexNet
from mer_jax.models.mean import Frozen
from mer_jax.models.mtsn import MTSN
from mer_jax.models.r3d_convlstm import R3D18
from mer_jax.models.sizes import by
from mer_jax.models.ststnet import STSTNet

Weights = dict[str, np.ndarray]

_DIGEST = "digest"


class Tensor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of our tensors, and what it is made of.

    Attributes:
      ours: its dotted path in our network.
      theirs: names of PyTorch's tensors; several are joined along their outputs.
      flattened: (C, H, W) of the maps that a dense layer flattens, one input after the other if it
        has several; ours have their channels last.
      channels: their index of each of our input channels, where the order differs.
    """

    ours: str
    theirs: tuple[str, ...]
    flattened: tuple[int, int, int] | None = None
    channels: tuple[int, ...] = ()

    def convert(self, state: Mapping[str, np.ndarray]) -> np.ndarray:
        """The tensor in our layout, float32: [O, C, (T,) H, W] becomes [(T,) H, W, C, O].

        Raises:
          UserError: with the tensor that is missing, not finite, or does not fit the others.
        """
        parts = [_finite(name, state) for name in self.theirs]
        try:
            value = np.concatenate(parts)
            if self.flattened:
                value = value.reshape(len(value), -1, *self.flattened).transpose(0, 1, 3, 4, 2)
                value = value.reshape(len(value), -1)
            if self.channels:
                value = value[:, list(self.channels)]
        except (ValueError, IndexError) as error:
            raise UserError(f"{self.ours}: tensors {', '.join(self.theirs)}: {error}") from None
        return np.moveaxis(value, (0, 1), (-1, -2)) if value.ndim > 1 else value


def _finite(name: str, state: Mapping[str, np.ndarray]) -> np.ndarray:
    if name not in state:
        raise UserError(f"there is no tensor {name!r}")
    value = np.asarray(state[name])
    if value.dtype.kind not in "fiu":
        raise UserError(f"tensor {name!r} holds {value.dtype}, not numbers")
    if not np.isfinite(value).all():
        raise UserError(f"tensor {name!r} has values that are not finite")
    return value.astype(np.float32)


class _Source(NamedTuple):
    """A public network and the module of ours that holds its tensors."""

    tensors: Callable[[], Iterator[Tensor]]
    build: Callable[[], Any]
    owner: str  # of the public weights
    complete: bool = True  # False: ours differs in places; take the tensors whose shapes agree


def _norm(theirs: str, ours: str) -> Iterator[Tensor]:
    names = {"weight": "scale", "bias": "bias", "running_mean": "mean", "running_var": "var"}
    for name, path in names.items():
        yield Tensor(f"{ours}.{path}", (f"{theirs}.{name}",))


def _conv_norm(conv: str, norm: str, path: str) -> Iterator[Tensor]:
    yield Tensor(f"{path}.conv.kernel", (f"{conv}.weight",))
    yield from _norm(norm, f"{path}.norm")


def _r3d_18() -> Iterator[Tensor]:
    yield from _conv_norm("stem.0", "stem.1", "backbone.stem")
    for number in range(8):
        theirs, ours = f"layer{number // 2 + 1}.{number % 2}", f"backbone.blocks.{number}"
        yield from _conv_norm(f"{theirs}.conv1.0", f"{theirs}.conv1.1", f"{ours}.first")
        yield from _conv_norm(f"{theirs}.conv2.0", f"{theirs}.conv2.1", f"{ours}.second")
        if number in (2, 4, 6):
            down = f"{theirs}.downsample"
            yield from _conv_norm(f"{down}.0", f"{down}.1", f"{ours}.shortcut")


def _features(network) -> Iterator[Tensor]:
    """Convolutions, ReLUs and pools are members of torchvision's `features`."""
    index = 0
    for number, layer in enumerate(network.layers):
        for name, path in (("weight", "kernel"), ("bias", "bias")):
            yield Tensor(f"backbone.convs.{number}.{path}", (f"features.{index}.{name}",))
        index += 3 if layer.pooled else 2


def _ststnet() -> Iterator[Tensor]:
    """Its authors' three streams are one convolution of ours; they read maps as strain, v, u."""
    joined = lambda layer, name: tuple(f"{layer}{stream}.{name}" for stream in (1, 2, 3))
    yield Tensor("conv.kernel", joined("conv", "weight"), channels=(2, 1, 0))
    yield Tensor("conv.bias", joined("conv", "bias"))
    for each in _norm("bn", "norm"):
        yield Tensor(each.ours, joined("bn", each.theirs[0].partition(".")[2]))
    yield Tensor("classifier.kernel", ("fc.weight",), flattened=(16, 5, 5))
    yield Tensor("classifier.bias", ("fc.bias",))


def _mtsn() -> Iterator[Tensor]:
    """Its first dense layer takes the maps of two spans, one after the other."""
    layers = [(f"convs.{n}", f"SOFTNet.conv{n + 1}") for n in range(3)]
    for ours, theirs in (*layers, ("dense", "fc1"), ("classifier", "fc2")):
        maps = (16, 4, 4) if ours == "dense" else None
        yield Tensor(f"{ours}.kernel", (f"{theirs}.weight",), flattened=maps)
        yield Tensor(f"{ours}.bias", (f"{theirs}.bias",))


def _backbone(kind: Callable[..., nnx.Module], *args: Any) -> Callable[[], nnx.Dict]:
    return lambda: nnx.Dict(backbone=kind(*args, rngs=nnx.Rngs(0)))


_SOURCES = {
    "r3d_18": _Source(_r3d_18, _backbone(R3D18), "torchvision"),
    "vgg16": _Source(lambda: _features(VGG16), _backbone(VGG16, (112, 112, 3)), "torchvision"),
    "alexnet": _Source(
        lambda: _features(AlexNet), _backbone(AlexNet, (112, 112, 3)), "torchvision",
        complete=False,
    ),
    "mtsn": _Source(
        _mtsn, lambda: MTSN(num_classes=1, rngs=nnx.Rngs(0)), "genbing99/MTSN-Spot-ME-MaE"
    ),
    "ststnet": _Source(
        _ststnet, lambda: STSTNet(num_classes=3, rngs=nnx.Rngs(0)), "christy1206/STSTNet"
    ),
}  # fmt: skip


def names() -> tuple[str, ...]:
    """The public networks that `from_torch_state` knows.

    >>> from mer_jax.models import pretrained
    >>> pretrained.names()
    ('alexnet', 'mtsn', 'r3d_18', 'ststnet', 'vgg16')
    """
    return tuple(sorted(_SOURCES))


def table(name: str) -> list[Tensor]:
    """Every tensor of the public network `name`, in its owner's order.

    Raises:
      UserError: for an unknown name.

    >>> from mer_jax.models import pretrained
    >>> pretrained.table("r3d_18")[0].theirs
    ('stem.0.weight',)
    """
    if name not in _SOURCES:
        raise unknown_name("pre-trained network", name, _SOURCES)
    return list(_SOURCES[name].tensors())


def read_table(path: str | pathlib.Path) -> list[Tensor]:
    """A table of your own: a JSON list of records with the fields of `Tensor`.

    Raises `UserError` for a file that is not.
    """
    return reading.load_json(path, list[Tensor], hint="see mer_jax.models.pretrained.Tensor")


def from_torch_state(network: str | Sequence[Tensor], state: Mapping[str, np.ndarray]) -> Weights:
    """PyTorch's tensors as weights of our network.

    PSN's AlexNet differs from torchvision's in its first three layers: only tensors of the same
    shape are taken.

    Args:
      network: one of `names()`, whose shapes are checked, or a table (checked when it is loaded).
      state: a `state_dict()` as NumPy arrays; what the table does not name is dropped.

    Returns:
      Weights.

    Raises:
      UserError: with the tensor that is missing, has another shape, or is not finite.
    """
    if not isinstance(network, str):
        return {tensor.ours: tensor.convert(state) for tensor in network}
    tensors = table(network)
    source = _SOURCES[network]
    shapes = {name: value.shape for name, value in variables(nnx.eval_shape(source.build)).items()}
    weights = {}
    for tensor in tensors:
        try:
            value = tensor.convert(state)
        except UserError as error:
            raise UserError(f"{error}; is it the {network} of {source.owner}?") from None
        if value.shape == shapes[tensor.ours]:
            weights[tensor.ours] = value
        elif source.complete:
            raise UserError(
                f"{', '.join(map(repr, tensor.theirs))} is {by(_in_torch(value.shape))}; "
                f"{network} has {by(_in_torch(shapes[tensor.ours]))} there"
            )
    if not source.complete:  # no bias without its kernel
        layers = {ours.rpartition(".")[0] for ours in weights if ours.endswith(".kernel")}
        weights = {o: value for o, value in weights.items() if o.rpartition(".")[0] in layers}
    if not weights:
        raise UserError(
            f"no tensor has the shape that our {network} needs; is it {source.owner}'s?"
        )
    return weights


def save(directory: str | pathlib.Path, weights: Weights | Mapping[str, Weights]) -> None:
    """Writes weights, or those of each fold, with Orbax into `directory`, completely or not at all.

    Raises:
      UserError: if `directory` exists.
    """
    import orbax.checkpoint as ocp

    directory = reading.expanded(directory).absolute()
    if directory.exists():
        raise UserError(f"{directory} exists; give another directory, or delete that one")
    with saving.atomic(directory) as temporary:
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(temporary, weights, force=True)
        (temporary / _DIGEST).write_text(_digest(weights))


def read(directory: str | pathlib.Path) -> dict[str, Any]:
    """What `save` wrote to `directory`: weights, or those of each fold, as host arrays.

    Raises:
      UserError: if there are no weights, or they are damaged.
    """
    import orbax.checkpoint as ocp

    directory = reading.expanded(directory).absolute()
    if not (directory / "_METADATA").is_file():
        raise UserError(
            f"{directory} holds no weights; mer-jax convert-weights makes such a directory"
        )
    with reading.report_damage(directory, hint="convert the weights again"):
        with ocp.PyTreeCheckpointer() as checkpointer:
            tree = checkpointer.metadata(directory).item_metadata.tree
            as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree)
            weights = checkpointer.restore(directory, restore_args=as_numpy)
        seal = directory / _DIGEST
        if seal.exists() and seal.read_text() != _digest(weights):
            raise ValueError("its digest differs")
    return weights


def per_fold(weights: Mapping[str, Any]) -> bool:
    """Whether these are the weights of each fold.

    >>> from mer_jax.models import pretrained
    >>> pretrained.per_fold({"sub01": {"conv.bias": np.zeros(3)}})
    True
    """
    return any(isinstance(value, Mapping) for value in weights.values())


def of_folds(weights: Mapping[str, Weights], names: Sequence[str]) -> list[Weights]:
    """The weights of the folds `names`, in their order.

    A fold "casme2/sub01" takes the weights of that name, or else those named "sub01".

    Raises:
      UserError: with the folds that have no weights, or share them with another.
    """
    keys = [name if name in weights else name.rpartition("/")[2] for name in names]
    missing = [name for name, key in zip(names, keys) if key not in weights]
    if missing:
        raise UserError(
            f"there are no weights for fold {missing[0]}"
            f"{f' (and {len(missing) - 1} more)' if missing[1:] else ''}; there are some for "
            f"{', '.join(sorted(weights)[:3])}, ..."
        )
    if len(set(keys)) < len(keys):
        key = next(key for key in keys if keys.count(key) > 1)
        raise UserError(f"the weights {key!r} belong to several folds; name them by the folds")
    return [weights[key] for key in keys]


def fitted(weights: Weights, network: nnx.Module) -> Weights:
    """The weights in the shapes of `network`, which may be abstract (`nnx.eval_shape`).

    A network for gray frames gets the sum of a kernel over its three inputs, which is equivalent to
    three equal channels.

    Raises:
      UserError: with the tensor that differs.
    """
    tensors, name_of, found = variables(network), type(network).__name__, {}
    for name, value in weights.items():
        if name not in tensors:
            raise UserError(f"{name_of} has no tensor {name!r}: other weights")
        shape = tensors[name].shape
        if len(shape) > 1 and shape[-2] == 1 and value.shape[-2] == 3:
            value = value.sum(-2, keepdims=True)
        if value.shape != shape:
            raise UserError(
                f"{name!r} is {by(value.shape)} in the weights and {by(shape)} in this "
                f"{name_of}; the network needs the sizes that the weights were trained with"
            )
        found[name] = value
    return found


def load_weights(weights: Weights, network: nnx.Module) -> None:
    """Sets the tensors that `weights` names, in place, and no others. Raises as `fitted`."""
    tensors = variables(network)
    for name, value in fitted(weights, network).items():
        tensors[name][...] = jnp.asarray(value)


def load(directory: str | pathlib.Path, network: nnx.Module) -> None:
    """`load_weights(read(directory), network)`; raises as both do."""
    load_weights(read(directory), network)


def variables(module: nnx.Module) -> dict[str, nnx.Variable]:
    """The parameters, frozen or not, and batch statistics of a module by their dotted paths.

    >>> from flax import nnx
    >>> from mer_jax.models import pretrained
    >>> sorted(pretrained.variables(nnx.Linear(2, 3, rngs=nnx.Rngs(0))))
    ['bias', 'kernel']
    """
    kinds = (nnx.Param, Frozen, nnx.BatchStat)
    return {
        ".".join(map(str, path)): value
        for path, value in nnx.iter_graph(module)
        if isinstance(value, kinds)
    }


def _digest(weights: Mapping[str, Any]) -> str:
    parts: list[str | np.ndarray] = []
    for path, value in jax.tree_util.tree_leaves_with_path(weights):  # sorted by their keys
        name = jax.tree_util.keystr(path, simple=True, separator=": ")
        parts += [f"{name} {value.dtype} {value.shape}", value]
    return saving.digest(*parts)


def _in_torch(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a kernel [..., C, O] as PyTorch lays it out: [O, C, ...]."""
    return (shape[-1], shape[-2], *shape[:-2]) if len(shape) > 1 else shape
