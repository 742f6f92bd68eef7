"""Checkpoints at epoch boundaries, kept by Orbax: a resumed job is the same job.

A checkpoint holds the state of the folds now on the devices and the record of everything so far.
Beside it stands the job's identity (configuration, data, folds); a directory whose identity differs
is refused with the difference, never continued.
"""

import json
import pathlib
import time
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from mer_jax.problems import UserError
from mer_jax.training import result as results

Tree = Any


class Checkpoints:
    """The checkpoints of one job. A context manager: leaving it waits for what is being written."""

    def __init__(self, directory: str | pathlib.Path, identity: dict, *, seconds: float):
        """seconds: how long a checkpoint is good for before another one is `due`."""
        directory = pathlib.Path(directory).absolute()
        claim(directory, identity)
        self._seconds, self._saved = seconds, time.monotonic()
        self._manager = ocp.CheckpointManager(
            epath.Path(directory / "steps"),
            options=ocp.CheckpointManagerOptions(max_to_keep=2, create=True),
        )

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *exc) -> None:
        self._manager.close()

    @property
    def due(self) -> bool:
        return time.monotonic() - self._saved >= self._seconds

    def save(self, step: int, state: Tree, result: results.Result, place: tuple[int, int]) -> None:
        """Writes in the background. place: the chunk of folds in `state`, and its epochs done."""
        # The job goes on filling `result` while this is written, hence the copy.
        record = jax.tree.map(np.copy, results.kept(result))
        self._manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(state),
                record=ocp.args.StandardSave(record),
                place=ocp.args.JsonSave(list(place)),
            ),
        )
        self._saved = time.monotonic()

    def restore(self, state: Tree, record: Tree) -> tuple[Tree, Tree, tuple[int, int]] | None:
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
        return restored.state, restored.record, tuple(restored.place)


def claim(directory: str | pathlib.Path, identity: dict) -> None:
    """Makes `directory` this job's, or raises `UserError` with what differs from the job there."""
    path = pathlib.Path(directory) / "identity.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    identity = json.loads(json.dumps(identity))
    if not path.exists():
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(identity, indent=1))
        temporary.rename(path)
        return
    changes = list(_changes(json.loads(path.read_text()), identity))
    if changes:
        raise UserError(
            f"{path.parent.parent} holds another job ({'; '.join(changes)}); "
            "give another --workdir, or delete that one"
        )


def _changes(there: dict, now: dict, prefix: str = ""):
    for key in sorted({*there, *now}):
        old, new = there.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _changes(old, new, f"{prefix}{key}.")
        elif old != new:
            yield f"{prefix}{key}: {old!r} there, {new!r} now"
