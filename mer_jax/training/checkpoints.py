"""Checkpoints at epoch boundaries, kept by Orbax, and the promise that a resumed job is the same job.

A checkpoint holds the state of the folds now on the devices and the record of everything so far.
Beside it stands the job's identity (configuration, data, folds); a directory whose identity differs
is refused with the difference, never continued.
"""

import json
import pathlib
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from mer_jax.problems import UserError

Tree = Any


class Checkpoints:
    """The checkpoints of one job in `directory`. Use as a context manager: leaving it waits."""

    def __init__(self, directory: str | pathlib.Path, identity: dict):
        directory = pathlib.Path(directory).absolute()
        directory.mkdir(parents=True, exist_ok=True)
        _claim(directory / "identity.json", identity)
        self._manager = ocp.CheckpointManager(
            epath.Path(directory / "steps"),
            options=ocp.CheckpointManagerOptions(max_to_keep=2, create=True),
        )

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *exc) -> None:
        self._manager.close()

    def save(self, step: int, state: Tree, record: Tree, place: dict) -> None:
        """Writes in the background; `record` is host arrays, `place` plain numbers."""
        self._manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(state),
                record=ocp.args.StandardSave(jax.tree.map(np.copy, record)),
                place=ocp.args.JsonSave(place),
            ),
        )

    def restore(self, state: Tree, record: Tree) -> tuple[Tree, Tree, dict] | None:
        """The newest checkpoint in the shapes and shardings of `state` and `record`, or None."""
        step = self._manager.latest_step()
        if step is None:
            return None
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, state)
        restored = self._manager.restore(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardRestore(abstract),
                record=ocp.args.StandardRestore(record),
                place=ocp.args.JsonRestore(),
            ),
        )
        return restored.state, restored.record, restored.place


def _claim(path: pathlib.Path, identity: dict) -> None:
    identity = json.loads(json.dumps(identity))
    if not path.exists():
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(identity, indent=1))
        temporary.rename(path)
        return
    there = json.loads(path.read_text())
    if there != identity:
        changes = [
            f"{key}: {there.get(key)!r} there, {identity.get(key)!r} now"
            for key in sorted({*there, *identity})
            if there.get(key) != identity.get(key)
        ]
        raise UserError(
            f"{path.parent.parent} holds another job ({'; '.join(changes)}); "
            "give another --workdir, or delete that one"
        )
