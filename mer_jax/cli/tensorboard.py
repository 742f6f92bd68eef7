"""Writes a run's learning curves as events for TensorBoard; TensorFlow is not needed.

    mer-jax tensorboard WORKDIR... [--folds]

Writes WORKDIR/tensorboard. The curves are those of WORKDIR/metrics.jsonl, which grows while a job
trains: run the command again to update the events. Each curve is the mean over the folds; --folds
adds one of each fold. Needs tensorboardX: pip install 'mer_jax[tensorboard]'.

Example:

    mer-jax tensorboard runs/first
    tensorboard --logdir=runs/first/tensorboard
"""

import pathlib
import re
import shutil

import numpy as np
from absl import flags

from mer_jax.errors import UserError
from mer_jax.io import reading

_FOLDS = flags.DEFINE_bool("folds", False, "Also write the curves of each fold by itself.")


def convert(workdir: pathlib.Path, *, folds: bool = False) -> pathlib.Path:
    """Writes the events of the run in `workdir`, replacing earlier ones; returns their folder.

    Raises `UserError` if tensorboardX or the curves are missing.
    """
    from mer_jax.io import learning_curves, saving

    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        raise UserError(
            "TensorBoard's events need tensorboardX: pip install 'mer_jax[tensorboard]'"
        ) from None
    if not (workdir / "metrics.jsonl").is_file():
        raise UserError(
            f"{workdir} has no metrics.jsonl; name the --workdir of a run with a network"
        )
    found = learning_curves.read(workdir / "metrics.jsonl")
    names, epochs = found.pop("folds"), found.pop("epochs")
    out = workdir / "tensorboard"
    rows = {"mean": slice(None)} | (
        {n: slice(i, i + 1) for i, n in enumerate(names)} if folds else {}
    )
    with saving.atomic(out) as temporary:
        for name, chosen in rows.items():
            folder = temporary / re.sub(r"[^\w.-]|^\.", "_", name, flags=re.ASCII)[:100]
            with SummaryWriter(str(folder), write_to_disk=True) as writer:
                for curve, values in found.items():
                    for epoch, column in zip(epochs.tolist(), values[chosen].T):
                        if not np.isnan(column).all():
                            writer.add_scalar(curve, np.nanmean(column), epoch)
        shutil.rmtree(out, ignore_errors=True)
    return out


def main(argv: list[str]) -> None:
    """Converts the runs that `argv` names."""
    if len(argv) < 2:
        raise UserError("name the working directory of a run")
    for workdir in argv[1:]:
        print(convert(reading.expanded(workdir), folds=_FOLDS.value))
