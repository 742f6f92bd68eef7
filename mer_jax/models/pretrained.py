"""Pre-trained weights: torchvision's r3d_18, VGG16 and AlexNet in our backbones.

    weights = from_torch_state("r3d_18", {name: array})   # torchvision's names and layouts
    save(directory, weights)
    load(directory, network)                              # into network.backbone

`weights` is a flat dict: dotted path of a tensor in the backbone ("blocks.0.first.conv.kernel") ->
float32 values. `mer-jax convert-weights` converts and saves a file of PyTorch.
"""

import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import nnx

from mer_jax.errors import UserError, unknown_name
from mer_jax.io import reading, saving
from mer_jax.models.backbones import VGG16, AlexNet
from mer_jax.models.r3d_convlstm import R3D18

Weights = dict[str, np.ndarray]
Pairs = Iterator[tuple[str, str]]  # (torchvision's name, our path)


_DIGEST = "digest"


class _Source(NamedTuple):
    """One of torchvision's networks and the backbone that holds its tensors."""

    pairs: Callable[[], Pairs]
    build: Callable[[], nnx.Module]
    complete: bool  # False: the backbone differs in places; take the tensors whose shapes agree


def _conv_norm(conv: str, norm: str, path: str) -> Pairs:
    yield f"{conv}.weight", f"{path}.conv.kernel"
    theirs = ("weight", "bias", "running_mean", "running_var")
    for name, ours in zip(theirs, ("scale", "bias", "mean", "var")):
        yield f"{norm}.{name}", f"{path}.norm.{ours}"


def _r3d_18() -> Pairs:
    yield from _conv_norm("stem.0", "stem.1", "stem")
    for number in range(8):
        theirs, ours = f"layer{number // 2 + 1}.{number % 2}", f"blocks.{number}"
        yield from _conv_norm(f"{theirs}.conv1.0", f"{theirs}.conv1.1", f"{ours}.first")
        yield from _conv_norm(f"{theirs}.conv2.0", f"{theirs}.conv2.1", f"{ours}.second")
        if number in (2, 4, 6):
            down = f"{theirs}.downsample"
            yield from _conv_norm(f"{down}.0", f"{down}.1", f"{ours}.shortcut")


def _features(network) -> Pairs:
    """Convolutions, ReLUs and pools are members of torchvision's `features`."""
    index = 0
    for number, layer in enumerate(network.layers):
        yield f"features.{index}.weight", f"convs.{number}.kernel"
        yield f"features.{index}.bias", f"convs.{number}.bias"
        index += 3 if layer.pooled else 2


_SOURCES = {
    "r3d_18": _Source(_r3d_18, lambda: R3D18(rngs=nnx.Rngs(0)), complete=True),
    "vgg16": _Source(
        lambda: _features(VGG16), lambda: VGG16((112, 112, 3), rngs=nnx.Rngs(0)), complete=True
    ),
    "alexnet": _Source(
        lambda: _features(AlexNet), lambda: AlexNet((112, 112, 3), rngs=nnx.Rngs(0)), complete=False
    ),
}


def names() -> tuple[str, ...]:
    """The networks of torchvision that `from_torch_state` converts.

    >>> from mer_jax.models import pretrained
    >>> pretrained.names()
    ('alexnet', 'r3d_18', 'vgg16')
    """
    return tuple(sorted(_SOURCES))


def pairs(name: str) -> list[tuple[str, str]]:
    """(torchvision's name, our path) of every tensor of network `name`, in torchvision's order.

    Raises:
      UserError: for an unknown name.

    >>> from mer_jax.models import pretrained
    >>> pretrained.pairs("r3d_18")[0]
    ('stem.0.weight', 'stem.conv.kernel')
    """
    if name not in _SOURCES:
        raise unknown_name("pre-trained network", name, _SOURCES)
    return list(_SOURCES[name].pairs())


def from_torch_state(name: str, state: Mapping[str, np.ndarray]) -> Weights:
    """torchvision's tensors of network `name` as weights of our backbone.

    PSN's AlexNet differs from torchvision's in its first three layers: only tensors of the same
    shape are taken.

    Args:
      name: one of `names()`.
      state: torchvision's `state_dict()` as NumPy arrays.

    Returns:
      Weights; kernels [O, C, (T,) H, W] become [(T,) H, W, C, O], classifiers are dropped.

    Raises:
      UserError: with the tensor that is missing, has another shape, or is not finite.
    """
    required = pairs(name)
    source = _SOURCES[name]
    tensors = _tensors(nnx.eval_shape(source.build))
    weights = {}
    for theirs, ours in required:
        if theirs not in state:
            raise UserError(f"there is no tensor {theirs!r}; is it torchvision's {name}?")
        value, need = np.asarray(state[theirs]), _in_torch(tensors[ours].shape)
        if value.shape == need:
            if value.dtype.kind not in "fiu":
                raise UserError(f"tensor {theirs!r} holds {value.dtype}, not numbers")
            if not np.isfinite(value).all():
                raise UserError(f"tensor {theirs!r} has values that are not finite")
            if value.ndim > 1:
                value = np.moveaxis(value, (0, 1), (-1, -2))
            weights[ours] = value.astype(np.float32)
        elif source.complete:
            raise UserError(
                f"tensor {theirs!r} is {_by(value.shape)}; {name} has {_by(need)} there"
            )
    if not source.complete:  # no bias without its kernel
        layers = {ours.rpartition(".")[0] for ours in weights if ours.endswith(".kernel")}
        weights = {o: value for o, value in weights.items() if o.rpartition(".")[0] in layers}
    if not weights:
        raise UserError(f"no tensor has the shape that our {name} needs; is it torchvision's?")
    return weights


def save(directory: str | pathlib.Path, weights: Weights) -> None:
    """Writes `weights` with Orbax into `directory`, completely or not at all.

    Raises:
      UserError: if `directory` exists.
    """
    import orbax.checkpoint as ocp

    directory = pathlib.Path(directory).absolute()
    if directory.exists():
        raise UserError(f"{directory} exists; give another directory, or delete that one")
    with saving.atomic(directory) as temporary:
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save(temporary, weights, force=True)
        (temporary / _DIGEST).write_text(_digest(weights))


def read(directory: str | pathlib.Path) -> Weights:
    """The weights that `save` wrote to `directory`, as host arrays.

    Raises:
      UserError: if there are none, or they are damaged.
    """
    import orbax.checkpoint as ocp

    directory = pathlib.Path(directory).absolute()
    if not (directory / "_METADATA").is_file():
        raise UserError(
            f"{directory} holds no weights; mer-jax convert-weights makes such a directory"
        )
    with reading.report_damage(directory, hint="convert the weights again"):
        with ocp.PyTreeCheckpointer() as checkpointer:
            tree = checkpointer.metadata(directory).item_metadata.tree
            as_numpy = {name: ocp.RestoreArgs(restore_type=np.ndarray) for name in tree}
            weights = checkpointer.restore(directory, restore_args=as_numpy)
        seal = directory / _DIGEST
        if seal.exists() and seal.read_text() != _digest(weights):
            raise ValueError("its digest differs")
    return weights


def load_weights(weights: Weights, network: nnx.Module) -> None:
    """Sets the tensors of `network.backbone`, in place, to `weights`; others are not changed.

    A backbone for gray frames gets the sum of the first kernel over its three inputs, which is
    equivalent to three equal channels.

    Raises:
      UserError: with the tensor that differs, or for a network without a backbone.
    """
    backbone = getattr(network, "backbone", None)
    if backbone is None:
        raise UserError(f"{type(network).__name__} has no backbone for pre-trained weights")
    tensors = _tensors(backbone)
    for name, value in weights.items():
        if name not in tensors:
            raise UserError(f"{type(backbone).__name__} has no tensor {name!r}: other weights")
        shape = tensors[name].shape
        if len(shape) > 1 and shape[-2] == 1 and value.shape[-2] == 3:
            value = value.sum(-2, keepdims=True)
        if value.shape != shape:
            raise UserError(
                f"{name!r} is {_by(value.shape)} in the weights and {_by(shape)} in this "
                f"{type(backbone).__name__}; pre-trained weights need width 1"
            )
        tensors[name][...] = jnp.asarray(value)


def load(directory: str | pathlib.Path, network: nnx.Module) -> None:
    """`load_weights(read(directory), network)`; raises as both do."""
    load_weights(read(directory), network)


def _digest(weights: Weights) -> str:
    parts: list[str | np.ndarray] = []
    for name, value in sorted(weights.items()):
        parts += [f"{name} {value.dtype} {value.shape}", value]
    return saving.digest(*parts)


def _tensors(module: nnx.Module) -> dict[str, nnx.Variable]:
    """The variables of a module, parameters and statistics, by their dotted paths."""
    kinds = (nnx.Param, nnx.BatchStat)
    return {
        ".".join(map(str, path)): value
        for path, value in nnx.iter_graph(module)
        if isinstance(value, kinds)
    }


def _in_torch(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a kernel [..., C, O] as PyTorch lays it out: [O, C, ...]."""
    return (shape[-1], shape[-2], *shape[:-2]) if len(shape) > 1 else shape


def _by(shape) -> str:
    return " x ".join(map(str, shape))
