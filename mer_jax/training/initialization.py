"""Initial weights of networks: those of an earlier run, or converted ones, also of each fold.

    initial_weights = initialization.read("runs/macro", build)  # {dotted path: values}
    fit(..., initial_weights=initial_weights)

A run gives all tensors whose path and shape agree; a classifier of other classes starts fresh. A
network with frozen weights (MEAN's recognition) takes the modules that hold these alone. The run
must have one fold (a hold-out over macro-expressions, say): a network trained in one of many folds
has seen the others' test clips. Of a spotting run, each fold of one subject takes the network that
was trained without that subject.
"""

import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from flax import nnx

from mer_jax.errors import UserError, first_of
from mer_jax.io import reading
from mer_jax.keys import normalize_subject
from mer_jax.models import pretrained
from mer_jax.models.mean import Frozen
from mer_jax.protocols import Folds
from mer_jax.training import checkpoints, records, spotter_files
from mer_jax.training.records import Weights


def read(
    directory: str | pathlib.Path,
    build: Callable[..., nnx.Module],
    *,
    folds: Sequence[str] = (),
    classes: Sequence[str] = (),
    complete: bool = False,
) -> Weights | list[Weights]:
    """The tensors in `directory` for the network that `build` makes, on the host.

    Args:
      directory: of a finished run, or the output of `mer-jax convert-weights`.
      build: makes a network from its random streams; with `classes` it takes num_classes as well.
      folds: names of the job's folds.
      classes: of the job; a run of other classes, or in another order, gives all but the tensors
        whose shape depends on their number.
      complete: every parameter and batch statistic of the network must be there.

    Returns:
      Arrays by dotted path, or a list of such of each of `folds` if the directory has weights of
      folds.

    Raises:
      UserError: if the directory is neither, the run had several folds, no tensor agrees, a fold
        has no weights, or the weights are not complete or of other classes.
    """
    directory = reading.expanded(directory)
    network = nnx.eval_shape(lambda: build(nnx.Rngs(0)))
    leaves = pretrained.variables(network)
    shapes = {name: leaf.shape for name, leaf in leaves.items()}
    frozen = {name.split(".")[0] for name, leaf in leaves.items() if isinstance(leaf, Frozen)}

    def fitting(weights: Weights) -> Weights:
        fits = {n: v for n, v in weights.items() if v.shape == shapes.get(n)}
        fits = {n: v for n, v in fits.items() if not frozen or n.split(".")[0] in frozen}
        if not fits:
            raise UserError(f"train.init_from: no tensor of {directory} fits this network")
        return fits

    found: Weights | list[Weights]
    if (directory / "folds.json").is_file():
        found, there = _run_weights(directory)
        if classes and there and [*there] != [*classes]:
            if complete:
                raise UserError(
                    f"train.epochs is 0, but {directory} was trained for the classes "
                    f"{', '.join(there)}; this job has {', '.join(classes)}"
                )
            more = lambda: build(nnx.Rngs(0), num_classes=len(classes) + 1)
            other = pretrained.variables(nnx.eval_shape(more))
            same = {n for n, leaf in other.items() if leaf.shape == shapes.get(n)}
            found = {n: value for n, value in found.items() if n in same}
        found = fitting(found)
    elif _is_spotting(directory):
        found = [fitting(weights) for weights in _spotter_weights(directory, folds)]
    else:
        converted = pretrained.read(directory)
        try:
            if pretrained.per_fold(converted):
                own = pretrained.of_folds(converted, folds)
                found = [pretrained.fitted(each, network) for each in own]
            else:
                found = pretrained.fitted(converted, network)
        except UserError as error:
            raise UserError(f"train.init_from={str(directory)!r}: {error}") from None
    for each in (found if isinstance(found, list) else [found]) * complete:
        if lacking := sorted(shapes.keys() - each.keys()):
            raise UserError(
                f"train.epochs is 0, but {directory} has no weights for {first_of(lacking)}"
            )
    return found


def pretraining_overlap(directory: str | pathlib.Path, folds: Folds) -> int:
    """The number of subjects that `folds` test and the run in `directory` was trained on.

    0 for converted weights, which have no folds; see `trained_on`.
    """
    seen = set[str]()
    for test, trained in zip(folds.test, trained_on(directory, folds.names)):
        seen |= trained & {normalize_subject(folds.subjects[at]) for at in np.flatnonzero(test)}
    return len(seen)


def trained_on(directory: str | pathlib.Path, folds: Sequence[str]) -> list[set[str]]:
    """The subjects that the weights of `read` for each fold were trained on.

    Their keys are normalized (`keys.normalize_subject`). Those of a run that the run in `directory`
    was initialized from count, too.

    Raises:
      UserError: if there is no such directory.
    """
    directory = reading.expanded(directory)
    if not directory.is_dir():
        raise UserError(f"train.init_from: {directory} is not there, so its subjects are not known")
    seen = [set[str]() for _ in folds]
    if _is_spotting(directory):
        subjects = {normalize_subject(each.subject) for each in spotter_files.read_folds(directory)}
        seen = [subjects - {normalize_subject(name)} for name in folds]
    elif (directory / "folds.json").is_file():
        own = Folds.read(directory / "folds.json")
        train = _config(directory).get("train", {})
        known = own.train | own.validation
        if train.get("model_selection") == "best_test" or train.get("statistics_on_all_clips"):
            known = known | own.test
        rows = np.flatnonzero(known.any(0))
        seen = [{normalize_subject(own.subjects[at]) for at in rows} for _ in folds]
    if any(seen) and (earlier := _initialized_from(directory)):
        seen = [a | b for a, b in zip(seen, trained_on(earlier, folds))]
    return seen


def _config(directory: pathlib.Path) -> dict[str, Any]:
    path = directory / "config.json"
    return reading.load_json(path, dict[str, Any]) if path.is_file() else {}


def _initialized_from(directory: pathlib.Path) -> str:
    """The `train.init_from` of a run."""
    return _config(directory).get("train", {}).get("init_from") or ""


def trained_elsewhere(directory: str | pathlib.Path) -> bool:
    """Whether these are converted weights of more than a backbone, so that nothing records what
    they were trained on; or a run that was initialized from such."""
    directory = reading.expanded(directory)
    if (directory / "folds.json").is_file() or _is_spotting(directory):
        earlier = _initialized_from(directory)
        return bool(earlier) and trained_elsewhere(earlier)
    weights = pretrained.read(directory)
    each = weights.values() if pretrained.per_fold(weights) else [weights]
    return not all(name.startswith("backbone.") for own in each for name in own)


def _is_spotting(directory: pathlib.Path) -> bool:
    return (directory / spotter_files.SPOTTERS).is_file()


def _spotter_weights(directory: pathlib.Path, folds: Sequence[str]) -> list[Weights]:
    """Of each fold, the network of a spotting run without the subject that names the fold."""
    networks, found = directory / spotter_files.NETWORKS, spotter_files.read_folds(directory)
    if not networks.is_dir():
        raise UserError(f"train.init_from: the spotting run {directory} trained no network")
    own = {fold.subject: fold for fold in found if fold.kind == found[0].kind}
    if lacking := [name for name in folds if name not in own]:
        raise UserError(
            f"train.init_from: the spotting run {directory} has no network without {lacking[0]} "
            "alone; leave out the same subjects, one at a time (protocol.name=loso)"
        )

    diverged = spotter_files.read_record(directory).diverged

    def weights(fold: spotter_files.Fold) -> Weights:
        kinds = (fold.kind, "both")  # one network for both, of the pairs "regions"
        for kind in kinds:
            if (name := fold._replace(kind=kind).name) in diverged:
                raise UserError(f"train.init_from: training of {name} in {directory} diverged")
        files = [spotter_files.weights_file(networks, fold._replace(kind=kind)) for kind in kinds]
        path = next((file for file in files if file.is_file()), files[0])
        # without params., model_state.
        return {n.partition(".")[2]: v for n, v in spotter_files.read_weights(path).items()}

    return [weights(own[name]) for name in folds]


def _run_weights(directory: pathlib.Path) -> tuple[Weights, Sequence[str]]:
    """The selected network of a run's only fold, and its classes, where it says them."""
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
    metrics = reading.load_json(directory / "metrics.json", dict[str, Any])
    if metrics.get("diverged_folds"):
        raise UserError(f"train.init_from: the training in {directory} diverged")
    state, rows = checkpoints.networks(directory / "checkpoints", wanted=[0])
    if rows[0]:  # the first variant is that of row 0
        raise UserError(
            f"train.init_from: {directory} was trained by a version that kept the networks of its "
            "last variants alone; train it again, with one seed"
        )
    chosen = state["best"] or (state["params"], state["model_state"])
    leaves: Weights = {
        name: leaf[0] for tree in chosen for name, leaf in records.named_leaves(tree).items()
    }
    # Dropout's counters are not float32 and stay fresh.
    weights = {name: leaf for name, leaf in leaves.items() if leaf.dtype == np.float32}
    return weights, metrics.get("classes", ())
