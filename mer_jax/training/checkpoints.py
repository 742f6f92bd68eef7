"""Checkpoints at epoch boundaries, by Orbax; a resumed job gives the same numbers.

A checkpoint is host arrays: the state of the folds in training, and the records so far. It does not
depend on devices, padding or layout. It has a digest; a damaged one is quarantined and the one
before is used.

Beside the checkpoints is the job's fingerprint (configuration, data, folds); a directory with
another one is refused with the differences.
"""

import contextlib
import errno
import json
import pathlib
import shutil
import sys
import time
from collections.abc import Collection
from logging import getLogger
from typing import Any

import filelock
import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging

from mer_jax import runtime
from mer_jax.errors import UserError, report_write_errors
from mer_jax.io import locks, reading, saving
from mer_jax.training import records
from mer_jax.training.records import Position, Tree

STEPS = "steps"
_IDENTITY = "identity.json"
# `OSError.errno` of a server, a process or its memory, and not of what a file contains.
_PASSING = {errno.EIO, errno.ESTALE, errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE}
_PASSING |= {errno.ENOMEM, errno.ETIMEDOUT, errno.EINTR, errno.EAGAIN}
_VERSIONS = "versions"  # of the packages that began a job, beside its fingerprint
NETWORKS, _DIGEST = "networks", "digest"
# Of a fold's state, what predictions need.
PARTS = ("params", "model_state", "statistics", "best", "status")


class Checkpoints:
    """The checkpoints of one job. A context manager: leaving it waits for what is being written."""

    def __init__(self, directory: str | pathlib.Path, job_fingerprint: dict, *, interval_s: float):
        """Opens the directory and locks it.

        Args:
          directory: of the checkpoints; created if missing.
          job_fingerprint: JSON values that identify the job.
          interval_s: seconds between checkpoints; up to ten times as long if saving would take more
            than a twentieth of the time.

        Raises:
          UserError: if the directory holds another job, or another process uses it.
        """
        self._directory = directory = pathlib.Path(directory).absolute()
        self._other_versions = verify_same_job(directory, job_fingerprint)
        with report_write_errors(directory):
            self._lock = _lock(directory)
            (directory / STEPS).mkdir(exist_ok=True)
            # What a killed job was writing.
            parts = ("steps/*.orbax-checkpoint-tmp*", f"{NETWORKS}/.part-*")
            for part in [path for pattern in parts for path in directory.glob(pattern)]:
                shutil.rmtree(part)
        self._interval_s, self._last_save, self._save_s = interval_s, time.monotonic(), 0.0
        self._position = Position(range(0), 0)  # of the newest checkpoint
        self._opened, self._seconds_before = time.monotonic(), 0.0
        # Of several processes one writes, and Orbax is not to wait for the others.
        self._alone = ocp.options.MultiprocessingOptions(
            primary_host=jax.process_index(), active_processes={jax.process_index()}
        )
        self._manager = ocp.CheckpointManager(
            directory / STEPS,
            options=ocp.CheckpointManagerOptions(
                max_to_keep=2, create=False, multiprocessing_options=self._alone
            ),
        )

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind, *exc) -> None:
        try:
            with self._writing():
                self._manager.close()
        except UserError:
            if kind is None:  # otherwise an error is raised already
                raise
        finally:
            self._lock.lock.release()

    @property
    def should_save(self) -> bool:
        """Whether the last save is long enough ago."""
        wait = max(self._interval_s, min(20 * self._save_s, 10 * self._interval_s))
        return time.monotonic() - self._last_save >= wait

    def holds(self, position: Position) -> bool:
        """Whether a job at `position` can go on from the disk without training anything again."""
        if self._manager.is_saving_in_progress():
            return False
        failed = steps(self._directory)[:1] != [self._manager.latest_step()]
        return not position.epochs or (self._position == position and not failed)

    @property
    def seconds(self) -> float:
        """That the job has taken so far, in this process and in those before it."""
        return self._seconds_before + time.monotonic() - self._opened

    def save(self, state: Tree, result: records.Result, position: Position) -> None:
        """Writes in the background. state: [F, ...], its first rows those of `position`.

        Raises `UserError` where this one or the one before it cannot be written.
        """
        began, count = time.monotonic(), len(position.members)
        tree = {
            "state": jax.tree.map(lambda a: np.array(_raw(a)[:count]), state),
            "record": jax.tree.map(np.copy, records.checkpoint_arrays(result)),
        }
        where = {
            "start": position.members.start,
            "count": count,
            "epochs": position.epochs,
            "seconds": round(self.seconds, 3),
        }
        with self._writing():
            self._manager.save(
                (self._manager.latest_step() or 0) + 1,
                args=ocp.args.Composite(
                    tree=ocp.args.StandardSave(tree),
                    position=ocp.args.JsonSave(where | {"digest": _digest(tree, where)}),
                ),
            )
        self._position, self._last_save = position, time.monotonic()
        self._save_s = self._last_save - began

    def keep(self, state: Tree, members: range) -> None:
        """Writes the networks of rows that are trained, as later checkpoints have other rows."""
        parts = {
            name: jax.tree.map(lambda a: np.array(_raw(a)[: len(members)]), getattr(state, name))
            for name in PARTS
        }
        path = self._directory / NETWORKS / f"{members.start}-{members.stop}"
        alone = {"multiprocessing_options": self._alone}
        with self._writing():
            for earlier, (_, stop) in _kept(self._directory).items():
                if stop > members.start:  # of a job that was killed right after
                    shutil.rmtree(earlier)
            with saving.atomic(path) as temporary, ocp.StandardCheckpointer(**alone) as writer:
                writer.save(temporary, parts, force=True)
                writer.wait_until_finished()
                (temporary / _DIGEST).write_text(_digest(parts, {}))

    def restore(self, state: Tree, record: Tree) -> tuple[Tree, Tree, Position] | None:
        """The newest undamaged checkpoint: the rows of its state, its record and position.

        state: the shapes and dtypes of a state [F, ...] of any F; record: like what was saved.
        Raises `UserError` where one cannot be read now, which says nothing of its content.
        """
        for step in (found := steps(self._directory)):
            try:
                restored = self._read(step, state, record)
            except Exception as error:  # whatever a torn file makes of Orbax
                if isinstance(error, MemoryError) or getattr(error, "errno", None) in _PASSING:
                    raise UserError(
                        f"{self._directory}: checkpoint {step} cannot be read now "
                        f"({reading.error_summary(error)}); re-run the same command to resume"
                    ) from error
                logging.warning(
                    "checkpoint %d is damaged and quarantined; %s (%s)",
                    step,
                    "training begins again" if step == found[-1] else "the one before is used",
                    reading.error_summary(error),
                )
                self._quarantine(step)
            else:
                self._position = restored[2]
                if self._other_versions:
                    logging.warning(
                        "the job goes on with other versions, which may give other numbers (%s)",
                        "; ".join(self._other_versions),
                    )
                return restored
        return None

    def _quarantine(self, step: int) -> None:
        damaged = self._directory / "damaged" / str(step)
        with report_write_errors(damaged):
            shutil.rmtree(damaged, ignore_errors=True)
            damaged.parent.mkdir(exist_ok=True)
            (self._directory / STEPS / str(step)).rename(damaged)
        self._manager.reload()

    @contextlib.contextmanager
    def _writing(self):
        """Orbax reports a full disk by half a dozen kinds of exception."""
        try:
            yield
        except Exception as error:
            before = "the one before is intact" if steps(self._directory) else "it is the first"
            raise UserError(
                f"{self._directory}: a checkpoint cannot be written "
                f"({reading.error_summary(error)}); {before}. "
                "Free disk space and re-run the same command to resume"
            ) from error

    def _read(self, step: int, state: Tree, record: Tree) -> tuple[Tree, Tree, Position]:
        position = self._manager.restore(
            step, args=ocp.args.Composite(position=ocp.args.JsonRestore())
        ).position
        rows = lambda a: _empty((position["count"], *_raw_shape(a).shape[1:]), _raw_shape(a).dtype)
        like = {
            "state": jax.tree.map(rows, state),
            "record": jax.tree.map(lambda a: _empty(a.shape, a.dtype), record),
        }
        tree = self._manager.restore(
            step, args=ocp.args.Composite(tree=ocp.args.StandardRestore(like))
        ).tree
        tree = jax.tree.map(np.asarray, tree)
        _verify_digest(tree, position)
        wrapped = jax.tree.map(
            lambda a, like: jax.random.wrap_key_data(a) if _is_key(like) else a,
            tree["state"],
            state,
        )
        members = range(position["start"], position["start"] + position["count"])
        self._seconds_before = position.get("seconds", 0.0)
        return wrapped, tree["record"], Position(members, position["epochs"])


def steps(directory: str | pathlib.Path) -> list[int]:
    """The numbers of the checkpoints in `directory`, the newest first."""
    names = [path.name for path in (pathlib.Path(directory) / STEPS).glob("*")]
    return sorted((int(name) for name in names if name.isdecimal()), reverse=True)


def last(directory: str | pathlib.Path) -> tuple[dict, Position]:
    """The newest checkpoint in `directory`: its tree {"state", "record"} as nested
    dictionaries of host arrays, typed keys as their data, and its position.

    Raises `UserError` if there is none, or a damaged one.
    """
    directory = pathlib.Path(directory).absolute()
    found = steps(directory)
    if not found:
        raise UserError(f"{directory} holds no checkpoint")
    path = directory / STEPS / str(found[0])
    with reading.report_damage(f"the checkpoint {path}"):
        position = json.loads((path / "position" / "metadata").read_text())
        tree = _as_dictionaries(path / "tree")
        _verify_digest(tree, position)
        members = range(position["start"], position["start"] + position["count"])
    return tree, Position(members, position["epochs"])


def networks(
    directory: str | pathlib.Path, *, wanted: Collection[int] | None = None
) -> tuple[dict, list[int]]:
    """The networks of a finished job, and the row of each; rows are missing where earlier versions
    of mer_jax trained them in chunks.

    wanted: rows; files without one of them are not read. None: all.

    Returns {part: tree of host arrays [F, ...]} of PARTS, and F rows. Raises `UserError` as `last`.
    """
    directory, found, rows = pathlib.Path(directory).absolute(), list[dict](), list[int]()
    tree, (members, _) = last(directory)
    for path, (start, stop) in sorted(_kept(directory).items(), key=lambda each: each[1]):
        if stop > members.start or not (wanted is None or {*wanted} & {*range(start, stop)}):
            continue
        with reading.report_damage(f"the networks {path}"):
            found.append(_as_dictionaries(path))
            if (path / _DIGEST).read_text() != _digest(found[-1], {}):
                raise ValueError("its digest differs")
        rows += range(start, stop)
    found.append({name: tree["state"][name] for name in PARTS})
    if len(found) == 1:
        return found[0], [*members]
    return jax.tree.map(lambda *each: np.concatenate(each), *found), [*rows, *members]


def _kept(directory: pathlib.Path) -> dict[pathlib.Path, tuple[int, int]]:
    """The folders of `Checkpoints.keep`: the first of its rows, and the one after its last."""
    paths = directory.glob(f"{NETWORKS}/[0-9]*-*[0-9]")
    ends = {path: path.name.split("-") for path in paths}
    return {path: (int(start), int(stop)) for path, (start, stop) in ends.items()}


def _as_dictionaries(path: pathlib.Path) -> dict:
    """What Orbax wrote to `path`, as nested dictionaries of host arrays."""
    with silence_orbax(), ocp.PyTreeCheckpointer() as checkpointer:
        like = checkpointer.metadata(path).item_metadata.tree
        as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), like)
        return checkpointer.restore(path, restore_args=as_numpy)


def silence_orbax() -> contextlib.ExitStack:
    """Silences Orbax, for good or as `with silence_orbax():`.

    That is its info logs, its warnings about its own files, and late errors of its writer threads
    (already raised here).
    """
    undo = contextlib.ExitStack()
    for logger, passes in (
        (logging.get_absl_logger(), lambda record: "orbax" not in record.pathname),
        (getLogger("asyncio"), lambda record: "never retrieved" not in record.getMessage()),
    ):
        logger.addFilter(passes)
        undo.callback(logger.removeFilter, passes)
    hook = sys.unraisablehook
    undo.callback(setattr, sys, "unraisablehook", hook)
    closed = lambda late: "Event loop is closed" in str(late.exc_value)
    sys.unraisablehook = lambda late: None if closed(late) else hook(late)
    return undo


def identity(directory: str | pathlib.Path) -> dict[str, Any]:
    """The fingerprint of the job whose checkpoints lie in `directory`, and "versions" of the
    packages that began it; {} where none does. Raises `UserError` for a damaged file."""
    path = pathlib.Path(directory) / _IDENTITY
    if not path.exists():
        return {}
    hint = f"give another --workdir, or delete {path.parent}: its job is unknown"
    with reading.report_damage(path, hint=hint):
        return dict(json.loads(path.read_bytes()))


def verify_same_job(directory: str | pathlib.Path, job_fingerprint: dict) -> list[str]:
    """Makes `directory` this job's, or raises `UserError` with what differs from the job there, or
    where another process uses it. Returns the versions of JAX and mer_jax that differ."""
    path = pathlib.Path(directory) / _IDENTITY
    if (path.parent / "lock").exists():
        _lock(path.parent).lock.release()
    job_fingerprint = json.loads(json.dumps(job_fingerprint))
    versions = {name: runtime.version(name) for name in ("mer_jax", "jax", "jaxlib")}
    there = identity(directory)
    if not there:
        saving.write(path, json.dumps(job_fingerprint | {_VERSIONS: versions}, indent=1))
        return []
    began = there.pop(_VERSIONS, versions)
    changes = list(_changes(there, job_fingerprint))
    if changes:
        raise UserError(
            f"{path.parent.parent} holds another job ({'; '.join(changes)}); "
            "give another --workdir, or delete that one"
        )
    return list(_changes(began, versions))


def _lock(directory: pathlib.Path) -> filelock.AcquireReturnProxy:
    return locks.take(
        directory / "lock",
        f"{directory.parent} is in use by another job that is still running; "
        "wait for it, or give another --workdir",
    )


def _changes(there: dict, now: dict, prefix: str = ""):
    for key in sorted({*there, *now}):
        old, new = there.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _changes(old, new, f"{prefix}{key}.")
        elif old != new and prefix == "own_code.":
            yield f"the source of {key} was edited since"
        elif old != new:
            yield f"{prefix}{key}: {old!r} there, {new!r} now"


def _is_key(leaf) -> bool:
    return jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _raw(leaf: jax.Array) -> np.ndarray:
    return np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)


def _raw_shape(leaf) -> jax.ShapeDtypeStruct:
    return jax.eval_shape(jax.random.key_data, leaf) if _is_key(leaf) else leaf


def _empty(shape: tuple[int, ...], dtype) -> np.ndarray:
    """An array of this shape and dtype that takes no memory."""
    return np.broadcast_to(np.zeros((), dtype), shape)


def _verify_digest(tree: Tree, position: dict) -> None:
    """Raises `ValueError` if a checkpoint is not what was written."""
    where = {name: value for name, value in position.items() if name != "digest"}
    if _digest(tree, where) != position["digest"]:
        raise ValueError("its content is not what was written")


def _digest(tree: Tree, where: dict) -> str:
    """Of every leaf by its dotted path, whatever its containers, and of the position."""
    parts = [json.dumps(where, sort_keys=True)]
    for path, leaf in sorted(records.named_leaves(tree).items()):
        parts += [f"{path} {leaf.dtype} {leaf.shape}", leaf]
    return saving.digest(*parts)
