"""What to look at in a finished run: a network with a clip it never trained on, and its epochs."""

import pathlib
from typing import Any, NamedTuple

import numpy as np
from flax import nnx

from mer_jax import experiment, leakage
from mer_jax.clips import Clip
from mer_jax.errors import UserError, unknown_name
from mer_jax.inference import trained
from mer_jax.io import reading
from mer_jax.metrics.scores import scores
from mer_jax.protocols import Folds
from mer_jax.training import checkpoints


class TestedClip(NamedTuple):
    """A clip as the network saw it that was tested on it."""

    network: nnx.Module  # of the chosen epoch
    inputs: Any  # [B, ...]: one sample, or as many as the method lets vote
    clip: Clip
    label: str
    classes: tuple[str, ...]
    fold: str


def load_tested_clip(
    workdir: str | pathlib.Path, *, clip: str | None = None, root: str | None = None
) -> TestedClip:
    """The network of the run in `workdir` that tested `clip`, and the clip as its method shows it.

    clip: its key, "database/subject/name", or the end of it; None: the first that a kept network
    was tested on. root: where the run's database lies now, if it moved.

    Raises `UserError` where there is no such run or clip, or its fold's network was not kept.
    """
    workdir = pathlib.Path(workdir).expanduser()
    networks = trained.read(workdir)
    folds = Folds.read(workdir / "folds.json")
    kept = [folds.names.index(name) for name in dict.fromkeys(networks.folds)]
    tested = {folds.clips[i]: f for f in range(len(folds)) for i in np.flatnonzero(folds.test[f])}
    if clip is None:
        key = next((key for key, fold in tested.items() if fold == kept[0]), None)
        if key is None:
            raise UserError(f"fold {folds.names[kept[0]]} of {workdir} tests no clip")
    else:
        found = [key for key in tested if f"/{key}".endswith(f"/{clip}")]
        if not found:
            raise unknown_name("clip of this run", clip, tested)
        if len(found) > 1:
            raise UserError(f"{clip} is {' and '.join(found[:3])}; write the one you mean")
        (key,) = found
    if tested[key] not in kept:
        first, last = (folds.names[f] for f in (kept[0], kept[-1]))
        raise UserError(
            f"{key} is tested by fold {folds.names[tested[key]]}, whose network was not kept: "
            f"checkpoints hold the folds that were trained last ({first} to {last})"
        )
    config = networks.config
    config.data.root = root if root is not None else config.data.get("root")
    clips, labels, classes = experiment.prepare_clips(config)
    position = [each.key for each in clips].index(key)
    name = folds.names[tested[key]]
    network, inputs = networks.selected_model([clips[position]], fold=networks.folds.index(name))
    return TestedClip(network, inputs, clips[position], classes[labels[position]], classes, name)


def epoch_scores(workdir: str | pathlib.Path) -> dict[str, np.ndarray]:
    """Scores of the tested clips after each epoch, all folds pooled: {"uf1": [E], ...}.

    A fold that stopped early speaks as it did last. Raises `UserError` as `seen` does.
    """
    workdir = pathlib.Path(workdir).expanduser()
    count = len(trained.read(workdir).classes)
    folds = Folds.read(workdir / "folds.json")
    record = checkpoints.last(workdir / "checkpoints")[0]["record"]
    labels = leakage.read_audit(workdir / "audit.npz", folds)["labels"]
    every = np.arange(record["predicted"].shape[1])
    matrices = np.zeros((len(every), count, count), np.int64)
    with reading.report_damage(f"{workdir}: folds.json, metrics.json or audit.npz"):
        for fold, test in enumerate(folds.test):
            spoke = np.minimum(every, record["epochs_run"][fold] - 1)
            said = record["predicted"][fold, spoke, : test.sum()]  # [E, M]: test clips come first
            np.add.at(matrices, (every[:, None], labels[test], said), 1)
    return scores(matrices)
