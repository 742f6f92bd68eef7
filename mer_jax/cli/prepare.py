r"""Decodes a database once: faces found, aligned and cut out, packed as array_record files.

    mer-jax prepare --database=casme2 --root="~/data/CASME II" --out=~/data/faces/casme2 \
        --crop=eyes --size=128,105 --grey --jobs=4

The result is a database like any other, whose clips keep their own database and subjects:

    python -m mer_jax.cli.run --config=... \
        --config.data.name=prepared --config.data.root=~/data/faces/casme2

and the folder above several of them is all of them together. Without landmarks (the database's own,
or --landmarks=MODEL) the eyes are detected. A clip whose face is not found is named, and nothing is
packed before it is mended or left out. Stopped at any moment, the same command goes on where it
was; with other parameters, or a changed source, it makes what differs anew. Exit code: 0 prepared,
1 not, for the problems printed, 2 a mistake in the command.
"""

import concurrent.futures
import dataclasses
import functools
import multiprocessing
import os
import pathlib
import shutil
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from absl import flags
from tqdm import tqdm

from mer_jax import datasets, faces
from mer_jax.cli import database_flags
from mer_jax.cli.command import command
from mer_jax.clips import Clip
from mer_jax.datasets import prepared
from mer_jax.errors import DataError, Problem, UserError
from mer_jax.io import locks, reading, saving

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(database_flags)
flags.DEFINE_string("out", None, "The folder that gets the records; one for each database.")
flags.DEFINE_enum("crop", "eyes", faces.CROPS, "What is cut out: by the eyes, the face's box, all.")
flags.DEFINE_list("size", None, "H,W of a frame; by default that of the crop, clip by clip.")
flags.DEFINE_bool("gray", False, "One channel in place of three.")
flags.DEFINE_bool("align", False, "Local weighted mean of 68 landmarks to a template, then crop.")
flags.DEFINE_string("landmarks", None, "A landmark model: .dat, .yaml, .onnx or .task.")
flags.DEFINE_integer("jobs", os.cpu_count() or 1, "Processes.", lower_bound=1)

_WORK = ".work"  # cut-out clips until they are packed; named by their digests
_CUT = {"frames": ("u", (None,) * 4), "landmarks": ("f", (None, 2)), "note": ("U", ())}


class Task(NamedTuple):
    """One clip to be cut out, and the file that is there when it is."""

    clip: Clip
    how: faces.CropConfig
    model: str | None
    path: pathlib.Path


def prepare(
    database: str,
    root: str | os.PathLike | None,
    out: str | os.PathLike,
    *,
    how: faces.CropConfig,
    model: str | None = None,
    jobs: int = 1,
    options: Mapping[str, Any] | None = None,
    quiet: bool = False,
) -> list[Clip]:
    """Writes a database's faces below `out` and returns them as clips.

    Args:
      database, root, options: as for `datasets.load`.
      out: a folder of its own, not below `root`.
      how: what is cut out.
      model: a landmark model's file, for clips that come without landmarks.
      jobs: processes; a database that is rendered takes one.

    Raises:
      DataError: with every clip that cannot be read or whose face is not found. The others are
        kept, so that nothing is done twice.
      UserError: a mistake in the arguments, or another process is at `out`.
    """
    out = pathlib.Path(out).expanduser().resolve()
    root = None if root is None else pathlib.Path(root).expanduser().resolve()
    if database == "prepared":
        raise UserError("prepared clips are not prepared again; start from the database itself")
    if root is not None and out.is_relative_to(root):
        raise UserError(f"{out} lies inside of the database; give a folder elsewhere as --out")
    options = dict(options or {})
    clips = datasets.load(database, root, **options)
    parameters = dataclasses.asdict(how) | {"landmarks": _hash_of(model)}
    if root is None:
        parameters["rendered"] = options  # files tell a folder's clips apart, options these
        jobs = 1
    digests = prepared.digests(clips, parameters)
    fingerprint = prepared.fingerprint(digests)
    out.mkdir(parents=True, exist_ok=True)
    busy = f"{out} is being prepared by another process; wait for it, or give another --out"
    with locks.take(out / ".lock", busy):
        if not _is_current(out, database, fingerprint):
            source = {
                "database": database,
                "root": None if root is None else str(root),
                "options": options,
                "parameters": parameters,
                "fingerprint": fingerprint,
            }
            _make(out, source, clips, digests, how=how, model=model, jobs=jobs, quiet=quiet)
    return datasets.load("prepared", out, skip_source_check=True)


def _make(out, source, clips, digests, *, how, model, jobs, quiet) -> None:
    """Cuts out what is not there yet, packs it, and writes the manifest last."""
    database = source["database"]
    work = out / _WORK
    work.mkdir(exist_ok=True)
    tasks = [Task(clip, how, model, work / f"{d}.npz") for clip, d in zip(clips, digests)]
    _work_off(database, tasks, jobs, quiet)

    from mer_jax.datasets import tfds

    (out / prepared.MANIFEST).unlink(missing_ok=True)
    shutil.rmtree(out / tfds.MicroExpressions.name, ignore_errors=True)
    done = [_finished(task) for task in tasks]
    name = f"{database}_{source['fingerprint']}"
    config = tfds.Config(name=name, database=database, clips=[clip for clip, _ in done])
    directory = tfds.build(out, config)
    notes = [Problem(clip.key, note) for clip, note in done if note]
    prepared.write(out, directory, source, [clip for clip, _ in done], notes)
    shutil.rmtree(work)


def size() -> tuple[int, int] | None:
    """(H, W) of --size."""
    if FLAGS.size is None:
        return None
    try:
        height, width = map(int, FLAGS.size)
    except ValueError:
        raise UserError(f"--size={','.join(FLAGS.size)} is not H,W, two whole numbers") from None
    return height, width


def _work_off(database: str, tasks: Sequence[Task], jobs: int, quiet: bool) -> None:
    """Cuts out what is not there yet. Raises `DataError` with all that could not be."""
    left = [task for task in tasks if not _whole(task.path)]
    problems = []
    terminal = sys.stderr.isatty()
    bar = tqdm(
        total=len(tasks),
        initial=len(tasks) - len(left),
        unit="clip",
        disable=quiet,
        mininterval=0.2 if terminal else 10,
    )
    with bar:
        for task, problem in _results(left, min(jobs, max(1, len(left)))):
            problems += [Problem(task.clip.key, problem)] if problem else []
            bar.update()
    if problems:
        raise DataError(database, sorted(problems))


def _results(tasks: Sequence[Task], jobs: int) -> Iterator[tuple[Task, str]]:
    """Every task as it is done, with what is wrong."""
    if jobs == 1:
        yield from ((task, _do(task)) for task in tasks)
        return
    # A new interpreter each: JAX's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    pool = concurrent.futures.ProcessPoolExecutor(jobs, context, initializer=_start)
    try:
        futures = {pool.submit(_do, task): task for task in tasks}
        for future in concurrent.futures.as_completed(futures):
            yield futures[future], future.result()
    except concurrent.futures.process.BrokenProcessPool:
        raise UserError(
            "a process died, perhaps for want of memory; the same command with fewer --jobs goes on"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _start() -> None:
    """A worker computes on the CPU, and ends when the command does, however that ends."""
    _on_cpu()
    parent = multiprocessing.parent_process()
    assert parent  # a worker has one

    def watch():
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _on_cpu() -> None:
    import jax

    jax.config.update("jax_platforms", "cpu")


def _do(task: Task) -> str:
    """Cuts out one clip and writes it, whole or not at all; returns what is wrong with it."""
    from mer_jax.datasets.tfds import example

    try:
        clip, note = faces.crop_face(task.clip, task.how, landmarker=_model(task.model))
    except UserError as error:
        return str(error)
    content = example(clip)
    with saving.atomic(task.path) as temporary:
        np.savez(temporary, frames=content["frames"], landmarks=content["landmarks"], note=note)
    return ""


@functools.cache
def _model(path: str | None) -> faces.Landmarker | None:
    return None if path is None else faces.landmarker(path)


def _whole(path: pathlib.Path) -> bool:
    try:
        return bool(reading.load_arrays(path, _CUT))
    except UserError:
        return False


def _finished(task: Task) -> tuple[Clip, str]:
    """The clip as it was cut out, its frames still on the disk; and the note on it."""
    content = reading.load_arrays(task.path, {name: _CUT[name] for name in ("landmarks", "note")})
    landmarks = content["landmarks"] if len(content["landmarks"]) else None
    read = functools.partial(_frames, task.path)
    clip = dataclasses.replace(task.clip, read=read, landmarks=landmarks)
    return clip, str(content["note"])


def _frames(path: pathlib.Path) -> np.ndarray:
    return reading.load_arrays(path, {"frames": _CUT["frames"]})["frames"]


def _is_current(out: pathlib.Path, database: str, fingerprint: str) -> bool:
    """Whether `out` holds just this, whole. Raises `UserError` where it holds another database."""
    if not (out / prepared.MANIFEST).is_file():
        return False
    try:
        manifest = prepared.read(out)
    except UserError:
        return False
    if manifest["database"] != database:
        raise UserError(f"{out} holds {manifest['database']}; give {database} a folder of its own")
    return manifest["fingerprint"] == fingerprint


def _hash_of(model: str | None) -> str:
    if model is None:
        return ""
    _model(model)  # says what is wrong with it
    return saving.digest(pathlib.Path(model).expanduser().read_bytes())[:20]


@command
def main(argv: list[str]) -> int | None:
    """Prepares the database that the flags name; 1 where something is wrong with it."""
    if len(argv) > 1 or not FLAGS.database or not FLAGS.out:
        raise UserError("give --database=NAME, --root=FOLDER and --out=FOLDER, and nothing else")
    _on_cpu()
    how = faces.CropConfig(FLAGS.crop, size(), FLAGS.gray, FLAGS.align)
    try:
        clips = prepare(
            FLAGS.database,
            FLAGS.root,
            FLAGS.out,
            how=how,
            model=FLAGS.landmarks,
            jobs=FLAGS.jobs,
            options=database_flags.options(),
        )
    except DataError as error:
        print(error, file=sys.stderr)
        print(database_flags.CURES, file=sys.stderr)
        return 1
    except OSError as error:
        raise UserError(f"{error.filename or FLAGS.out}: {error.strerror}") from None
    print(
        f"{len(clips)} clips of {len({clip.subject_key for clip in clips})} persons in {FLAGS.out}"
    )
    for where, what in prepared.read(pathlib.Path(FLAGS.out).expanduser())["notes"]:
        print(f"  {where}: {what}")
    return None
