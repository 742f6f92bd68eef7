"""Where a network starts: at the weights of an earlier run, or at converted ones in its backbone.

    start = initial.read("runs/macro", build)     # {dotted path: values}
    fit(..., start=start)

A run gives all tensors whose path and shape agree, so that a classifier of other classes starts
fresh; it must have one fold (a hold-out over macro-expressions, say), for a network pre-trained in
one of many folds has seen the others' test clips.
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

Weights = dict[str, np.ndarray]
Tree = object


def read(directory: str | pathlib.Path, build: Callable[[nnx.Rngs], nnx.Module]) -> Weights:
    """What `directory` gives to the network that `build` makes, on the host.

    directory: the working directory of a finished run, or what `mer-jax convert-weights` wrote.
    Raises `UserError` where it is neither, the run had several folds, or nothing agrees.
    """
    directory = pathlib.Path(directory).expanduser()
    if (directory / "folds.json").is_file():
        given = _of_run(directory)
        here = _tensors(nnx.eval_shape(lambda: build(nnx.Rngs(0))))
        initial_weights = {n: v for n, v in given.items() if n in here and v.shape == here[n].shape}
        if not initial_weights:
            raise UserError(
                f"train.init_from: no tensor of {directory} has a place in this network"
            )
        return initial_weights
    network = build(nnx.Rngs(0))
    given = pretrained.read(directory)
    pretrained.load_weights(given, network)
    here = _tensors(network)
    return {f"backbone.{name}": np.asarray(here[f"backbone.{name}"]) for name in given}


def pretraining_overlap(directory: str | pathlib.Path, folds: Folds) -> list[str]:
    """A sentence where the run in `directory` had trained on a person whom `folds` test."""
    path = pathlib.Path(directory).expanduser() / "folds.json"
    if not path.is_file():
        return []
    before = Folds.read(path)
    subjects = lambda folds, rows: {folds.subjects[i] for i in np.flatnonzero(rows.any(0))}
    both = subjects(before, before.train | before.validation) & subjects(folds, folds.test)
    if not both:
        return []
    return [
        f"Networks started from {directory}, where {len(both)} of the persons tested here trained."
    ]


def replace_leaves(tree: Tree, initial_weights: Mapping[str, Any]) -> Tree:
    """`tree` with the values of `start` in the places they name."""
    swap = lambda path, leaf: initial_weights.get(_dotted(path), leaf)
    return jax.tree_util.tree_map_with_path(swap, tree)


def named_leaves(tree: Tree) -> dict[str, Any]:
    """The leaves of a tree by their dotted paths."""
    return {_dotted(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def _tensors(network: nnx.Module) -> dict[str, jax.Array]:
    """Parameters, batch statistics and counters by their dotted paths."""
    _, *trees = nnx.split(network, nnx.Param, ...)
    return {name: leaf for tree in trees for name, leaf in named_leaves(nnx.as_pure(tree)).items()}


def _dotted(path) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".")


def _of_run(directory: pathlib.Path) -> Weights:
    """The network that spoke for a run's only fold."""
    from mer_jax.training import checkpoints

    folds = Folds.read(directory / "folds.json").names
    if len(folds) != 1:
        raise UserError(
            f"train.init_from: {directory} has {len(folds)} folds, whose networks have seen each "
            "other's test clips; train one with --config.protocol.name=hold_out"
        )
    if not (directory / "metrics.json").is_file():
        raise UserError(f"train.init_from: the run in {directory} has not finished; start it again")
    state = checkpoints.last(directory / "checkpoints")[0]["state"]
    chosen = state["best"] or (state["params"], state["model_state"])
    leaves: Weights = {
        name: leaf[0] for tree in chosen for name, leaf in named_leaves(tree).items()
    }
    # Dropout's counters stand beside the batch statistics, and are nobody's knowledge.
    return {name: leaf for name, leaf in leaves.items() if leaf.dtype == np.float32}
