"""Initial weights of a network: those of an earlier run, or converted ones for its backbone.

    initial_weights = initialization.read("runs/macro", build)  # {dotted path: values}
    fit(..., initial_weights=initial_weights)

A run gives all tensors whose path and shape agree; a classifier of other classes starts fresh. The
run must have one fold (a hold-out over macro-expressions, say): a network trained in one of many
folds has seen the others' test clips.
"""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from flax import nnx

from mer_jax.errors import UserError
from mer_jax.models import pretrained
from mer_jax.protocols import Folds
from mer_jax.training import checkpoints
from mer_jax.training.records import Tree, Weights


def read(directory: str | pathlib.Path, build: Callable[[nnx.Rngs], nnx.Module]) -> Weights:
    """The tensors in `directory` for the network that `build` makes, on the host.

    Args:
      directory: of a finished run, or the output of `mer-jax convert-weights`.
      build: makes a network from its random streams.

    Returns:
      Arrays by dotted path.

    Raises:
      UserError: if the directory is neither, the run had several folds, or no tensor agrees.
    """
    directory = pathlib.Path(directory).expanduser()
    if (directory / "folds.json").is_file():
        shapes = {
            name: leaf.shape
            for name, leaf in _tensors(nnx.eval_shape(lambda: build(nnx.Rngs(0)))).items()
        }
        weights = _run_weights(directory)
        initial_weights = {n: v for n, v in weights.items() if v.shape == shapes.get(n)}
        if not initial_weights:
            raise UserError(f"train.init_from: no tensor of {directory} fits this network")
        return initial_weights
    network = build(nnx.Rngs(0))
    weights = pretrained.read(directory)
    pretrained.load_weights(weights, network)
    tensors = _tensors(network)
    return {f"backbone.{name}": np.asarray(tensors[f"backbone.{name}"]) for name in weights}


def pretraining_overlap(directory: str | pathlib.Path, folds: Folds) -> int:
    """The number of subjects that `folds` test and the run in `directory` was trained on.

    0 for converted weights, which have no folds.
    """
    path = pathlib.Path(directory).expanduser() / "folds.json"
    if not path.is_file():
        return 0
    before = Folds.read(path)
    subjects = lambda folds, rows: {folds.subjects[i] for i in np.flatnonzero(rows.any(0))}
    return len(subjects(before, before.train | before.validation) & subjects(folds, folds.test))


def replace_leaves(tree: Tree, initial_weights: Mapping[str, Any]) -> Tree:
    """`tree` with the leaves that `initial_weights` names by dotted path replaced.

    >>> replace_leaves({"conv": {"kernel": 0, "bias": 1}}, {"conv.bias": 5})
    {'conv': {'bias': 5, 'kernel': 0}}
    """
    replace = lambda path, leaf: initial_weights.get(_dotted(path), leaf)
    return jax.tree_util.tree_map_with_path(replace, tree)


def named_leaves(tree: Tree) -> dict[str, Any]:
    """The leaves of a tree by their dotted paths."""
    return {_dotted(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def _tensors(network: nnx.Module) -> dict[str, jax.Array]:
    """Parameters, batch statistics and counters by dotted path."""
    _, *trees = nnx.split(network, nnx.Param, ...)
    return {name: leaf for tree in trees for name, leaf in named_leaves(nnx.as_pure(tree)).items()}


def _dotted(path) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".")


def _run_weights(directory: pathlib.Path) -> Weights:
    """The selected network of a run's only fold."""
    folds = Folds.read(directory / "folds.json").names
    if len(folds) != 1:
        raise UserError(
            f"train.init_from: {directory} has {len(folds)} folds, each trained on the "
            "others' test clips; train one with --config.protocol.name=hold_out"
        )
    if not (directory / "metrics.json").is_file():
        raise UserError(
            f"train.init_from: the run in {directory} is not finished; re-run its command"
        )
    state = checkpoints.last(directory / "checkpoints")[0]["state"]
    chosen = state["best"] or (state["params"], state["model_state"])
    leaves: Weights = {
        name: leaf[0] for tree in chosen for name, leaf in named_leaves(tree).items()
    }
    # Dropout's counters are not float32 and stay fresh.
    return {name: leaf for name, leaf in leaves.items() if leaf.dtype == np.float32}
