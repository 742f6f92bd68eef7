"""Checkpoints at epoch boundaries, kept by Orbax: a resumed job is the same job.

A checkpoint is host arrays: the state of the folds that are being trained and the record of
everything so far. It knows nothing of devices, padding or layout, so a job may go on elsewhere. It
carries its own digest; a damaged one is found out and the one before is used.

Beside the checkpoints stands the job's identity (configuration, data, folds); a directory whose
identity differs is refused with the difference, never continued.
"""

import hashlib
import json
import pathlib
import time
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging

from mer_jax import locks
from mer_jax.problems import UserError
from mer_jax.training import result as results

Tree = Any


class Place(NamedTuple):
    """How far a job is: the folds in a checkpoint's state and the epochs they have behind them."""

    members: range
    epochs: int


class Checkpoints:
    """The checkpoints of one job. A context manager: leaving it waits for what is being written."""

    def __init__(self, directory: str | pathlib.Path, identity: dict, *, seconds: float):
        """seconds: how long a checkpoint is good for before another one is `due`.

        Raises `UserError` where the directory holds another job or another process is at it.
        """
        directory = pathlib.Path(directory).absolute()
        claim(directory, identity)
        self._lock = locks.take(
            directory / "lock",
            f"{directory.parent} is in use by another job that is still running; "
            "wait for it, or give another --workdir",
        )
        self._seconds, self._saved = seconds, time.monotonic()
        self._manager = ocp.CheckpointManager(
            directory / "steps",
            options=ocp.CheckpointManagerOptions(max_to_keep=2, create=True),
        )

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *exc) -> None:
        self._manager.close()
        self._lock.close()

    @property
    def due(self) -> bool:
        return time.monotonic() - self._saved >= self._seconds

    def save(self, state: Tree, result: results.Result, place: Place, *, epochs: int) -> None:
        """Writes in the background. state: [F, ...], its first rows the folds of `place`; epochs:
        how many a fold has in all."""
        count = len(place.members)
        tree = {
            "state": jax.tree.map(lambda a: np.array(_raw(a)[:count]), state),
            "record": jax.tree.map(np.copy, results.kept(result)),
        }
        where = {"start": place.members.start, "count": count, "epochs": place.epochs}
        self._manager.save(
            place.members.start * epochs + place.epochs,
            args=ocp.args.Composite(
                tree=ocp.args.StandardSave(tree),
                place=ocp.args.JsonSave(where | {"digest": _digest(tree)}),
            ),
        )
        self._saved = time.monotonic()

    def restore(self, state: Tree, record: Tree) -> tuple[Tree, Tree, Place] | None:
        """The newest checkpoint that is whole: its state's rows, its record and where it stands.

        state: the shapes and dtypes of a state [F, ...] of any F; record: like what was saved.
        """
        for step in sorted(self._manager.all_steps(), reverse=True):
            try:
                return self._read(step, state, record)
            except Exception as error:  # whatever a torn file makes of Orbax
                reason = str(error).strip().split("\n")[0]
                logging.warning("checkpoint %d is damaged and is left out (%s)", step, reason)
                self._manager.delete(step)
        return None

    def _read(self, step: int, state: Tree, record: Tree) -> tuple[Tree, Tree, Place]:
        place = self._manager.restore(
            step, args=ocp.args.Composite(place=ocp.args.JsonRestore())
        ).place
        rows = lambda a: _empty((place["count"], *_raw_shape(a).shape[1:]), _raw_shape(a).dtype)
        like = {
            "state": jax.tree.map(rows, state),
            "record": jax.tree.map(lambda a: _empty(a.shape, a.dtype), record),
        }
        tree = self._manager.restore(
            step, args=ocp.args.Composite(tree=ocp.args.StandardRestore(like))
        ).tree
        tree = jax.tree.map(np.asarray, tree)
        if _digest(tree) != place["digest"]:
            raise ValueError("its content is not what was written")
        wrapped = jax.tree.map(
            lambda a, like: jax.random.wrap_key_data(a) if _is_key(like) else a,
            tree["state"],
            state,
        )
        members = range(place["start"], place["start"] + place["count"])
        return wrapped, tree["record"], Place(members, place["epochs"])


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


def _is_key(leaf) -> bool:
    return jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _raw(leaf: jax.Array) -> np.ndarray:
    return np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)


def _raw_shape(leaf) -> jax.ShapeDtypeStruct:
    return jax.eval_shape(jax.random.key_data, leaf) if _is_key(leaf) else leaf


def _empty(shape: tuple[int, ...], dtype) -> np.ndarray:
    """An array that says its shape and dtype and takes no memory."""
    return np.broadcast_to(np.zeros((), dtype), shape)


def _digest(tree: Tree) -> str:
    whole = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        whole.update(f"{jax.tree_util.keystr(path)} {leaf.dtype} {leaf.shape}".encode())
        whole.update(np.ascontiguousarray(leaf).tobytes())
    return whole.hexdigest()
