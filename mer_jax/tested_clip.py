"""A network of a finished run with a clip that it was tested on, and the scores of the epochs."""

import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx

from mer_jax import experiment, leakage
from mer_jax.clips import Clip
from mer_jax.errors import UserError, unknown_name
from mer_jax.inference import trained
from mer_jax.io import reading
from mer_jax.metrics.scores import scores
from mer_jax.protocols import Folds
from mer_jax.runtime import pinned
from mer_jax.training import checkpoints


class TestedClip(NamedTuple):
    """A clip and the network that was tested on it."""

    network: nnx.Module  # of the selected epoch
    inputs: Any  # [B, ...] of the network: one sample, or the method's `num_views`
    clip: Clip
    label: str
    classes: tuple[str, ...]
    fold: str
    combine_views: Callable[[jax.Array], jax.Array]  # of the method: [V, M, K] -> [M, K] logits
    method: str  # its name


@pinned()
def load_tested_clip(
    workdir: str | pathlib.Path, *, clip: str | None = None, root: str | None = None
) -> TestedClip:
    """The network of the run in `workdir` that was tested on `clip`, and its input.

    Args:
      workdir: of a finished run.
      clip: key, "database/subject/name", or the end of one; None: the first clip of the first fold
        that has a network.
      root: folder of the run's database; None: as in the run.

    Raises:
      UserError: if there is no such run or clip, or its fold has no network.
    """
    workdir = reading.expanded(workdir)
    networks = _read(workdir)
    folds = Folds.read(workdir / "folds.json")
    saved = [folds.names.index(name) for name in dict.fromkeys(networks.folds)]
    # Of several folds that test a clip, the first that has a network.
    order = sorted(range(len(folds)), key=lambda f: f not in saved)
    pairs = ((folds.clips[i], f) for f in order for i in np.flatnonzero(folds.test[f]))
    tested = dict(reversed(list(pairs)))
    if clip is None:
        key = next((folds.clips[i] for i in np.flatnonzero(folds.test[saved[0]])), None)
        if key is None:
            raise UserError(f"fold {folds.names[saved[0]]} of {workdir} tests no clip")
    else:
        found = [key for key in tested if f"/{key}".endswith(f"/{clip}")]
        if not found:
            raise unknown_name("clip of this run", clip, tested)
        if len(found) > 1:
            raise UserError(f"{clip} is {' and '.join(found[:3])}; give one of them")
        (key,) = found
    if tested[key] not in saved:
        first, last = (folds.names[f] for f in (saved[0], saved[-1]))
        raise UserError(
            f"{key} is tested by fold {folds.names[tested[key]]}, whose network was not saved or "
            f"diverged: there are those of {first} to {last}"
        )
    config = networks.config
    config.data.root = root if root is not None else config.data.get("root")
    clips, labels, classes = experiment.prepare_clips(config)
    keys = [each.key for each in clips]
    if key not in keys:
        where = config.data.root or config.data.name
        raise UserError(f"{where} has no clip {key}, which the run tested")
    position = keys.index(key)
    name = folds.names[tested[key]]
    own = clips[position]
    fold, label = networks.folds.index(name), classes[labels[position]]
    network, inputs, combine_views = networks.selected_model([own], fold=fold)
    method = config.method.name
    return TestedClip(network, inputs, own, label, classes, name, combine_views, method)


@pinned()
def epoch_scores(workdir: str | pathlib.Path) -> dict[str, np.ndarray]:
    """Scores of the tested clips after each epoch, all folds pooled: {"uf1": [E], ...}.

    A fold that stopped early has the predictions of its last epoch; E is 0 for networks that were
    only evaluated. Raises `UserError` as `load_tested_clip` does.
    """
    workdir = reading.expanded(workdir)
    count = len(_read(workdir).classes)
    folds = Folds.read(workdir / "folds.json")
    record = checkpoints.last(workdir / "checkpoints")[0]["record"]
    labels = leakage.read_audit(workdir / "audit.npz", folds)["labels"]
    epochs = np.arange(record["predicted"].shape[1] if "predicted" in record else 0)
    matrices = np.zeros((len(epochs), count, count), np.int64)
    with reading.report_damage(f"{workdir}: folds.json, metrics.json or audit.npz"):
        for fold, test in enumerate(folds.test if len(epochs) else ()):
            epoch = np.minimum(epochs, record["epochs_run"][fold] - 1)
            predicted = record["predicted"][fold, epoch, : test.sum()]  # [E, M], test clips first
            np.add.at(matrices, (epochs[:, None], labels[test][None, :], predicted), 1)
    return scores(matrices)


def _read(workdir: pathlib.Path) -> trained.TrainedNetworks:
    networks = trained.read(workdir)
    if networks.label_scheme:
        raise UserError(f"the run in {workdir} has several labels a clip; one is explained")
    return networks
