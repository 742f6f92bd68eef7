r"""Decodes a database once: faces detected, aligned, cropped, and packed as array_record files.

    mer-jax prepare --database=NAME --root=DIR --out=DIR [--crop=...] [--size=H,W] [--jobs=N] ...

The result is a database like any other, whose clips keep their own database and subjects: pass
--config.data.name=prepared --config.data.root=DIR to `mer-jax run`.

Example:

    mer-jax prepare --database=casme2 --root="data/CASME II" --out=faces/casme2 \
        --crop=eyes --size=128,105 --gray --jobs=4
    mer-jax run strcn_g --workdir=runs/strcn_g \
        --config.data.name=prepared --config.data.root=faces/casme2

--runner=NAME works on many machines, as an Apache Beam pipeline (pip install 'mer_jax[beam]'), with
the same result; the runner's options follow as --beam_pipeline_options=NAME=VALUE,... ROOT and OUT
must be paths that all workers see, and mer_jax must be installed there. --runner=DirectRunner is
JOBS processes of this machine.

A folder that contains several of them is read as all of them together. Without landmarks (the
database's own, or --landmarks=MODEL) the eyes are detected. Clips without a detected face are
listed, and nothing is packed until they are repaired or excluded. OUT/contact_sheet_1.png (and so
on) shows the first, middle and last frame of each clip: look at them. Re-run the same command to
resume; after a change of the parameters or the source all clips are cropped again. Exit code: 0
prepared, 1 the problems printed, 2 a mistake in the command.
"""

import concurrent.futures
import contextlib
import dataclasses
import functools
import multiprocessing
import os
import pathlib
import pickle
import re
import shutil
import signal
import sys
import threading
from collections.abc import Generator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from absl import flags
from tqdm import tqdm

from mer_jax import datasets, faces
from mer_jax.cli import beam_flags, database_flags
from mer_jax.cli.command import at_stop_signals, size_of
from mer_jax.clips import Clip
from mer_jax.datasets import prepared
from mer_jax.errors import DataError, Problem, UserError, report_write_errors
from mer_jax.faces import contact_sheet
from mer_jax.io import locks, reading, saving

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(beam_flags)
flags.adopt_module_key_flags(database_flags)
flags.DEFINE_string("out", None, "The folder that gets the records; one for each database.")
flags.DEFINE_enum("crop", "eyes", faces.CROPS, "Crop by the eyes, by the face's box, or not.")
_SIZE = flags.DEFINE_list("size", None, "H,W of a frame; by default each clip's own crop size.")
flags.DEFINE_bool("gray", False, "Gray frames: one channel instead of three.")
flags.DEFINE_bool("align", False, "Align eye corners and nose to a template before the crop.")
flags.DEFINE_string("landmarks", None, "A landmark model: .dat, .yaml, .onnx or .task.")
flags.DEFINE_integer("jobs", os.cpu_count() or 1, "Number of processes.", lower_bound=1)

_RECORDS = re.compile("_[0-9a-f]{20}")  # of a folder of records, after the database's name
_WORK = ".work"  # cropped clips until they are packed; named by their digests
_CUT = {
    "frames": ("u", (None,) * 4),
    "landmarks": ("f", (None, 2)),
    "note": ("U", ()),
    "strip": ("u", (None, None, 3)),
}


class Task(NamedTuple):
    """One clip to crop, and the file that exists once it is done."""

    clip: Clip
    config: faces.CropConfig
    model: str | None
    path: pathlib.Path

    @property
    def problem(self) -> pathlib.Path:
        """The file in which a worker of a pipeline leaves why there is none."""
        return self.path.with_suffix(".txt")


def prepare(
    database: str,
    root: str | os.PathLike | None,
    out: str | os.PathLike,
    *,
    config: faces.CropConfig,
    model: str | None = None,
    jobs: int = 1,
    options: Mapping[str, Any] | None = None,
    pipeline: Any = None,
    quiet: bool = False,
) -> list[Clip]:
    """Writes a database's faces below `out` and returns them as clips.

    Args:
      database, root, options: as for `datasets.load`.
      out: a folder outside of `root`, and not around it.
      config: the crop.
      model: the file of a landmark model, for clips without landmarks.
      jobs: processes; a rendered database uses one.
      pipeline: of `datasets.beam.download_config`: its workers crop. They see `root`, `out` and
        `model` under the same paths.

    Raises:
      DataError: every clip that cannot be read or has no detected face. The finished clips stay
        on disk, so that the next call continues from them.
      UserError: a mistake in the arguments, or another process is writing to `out`.
    """
    out = reading.expanded(out).resolve()
    root = None if root is None else reading.expanded(root).resolve()
    if database == "prepared":
        raise UserError("prepared clips are not prepared again; start from the database itself")
    if root is not None and (out.is_relative_to(root) or root.is_relative_to(out)):
        raise UserError(
            f"{out} contains, or is inside, the database's folder {root}; give another folder as "
            "--out"
        )
    model = None if model is None else str(reading.expanded(model).resolve())
    options = dict(options or {})
    if "crop" in datasets.options(database):  # of long videos: faces are cropped here, once
        options = {"crop": "none"} | options
    labels = options.get("labels")
    if isinstance(labels, str) and reading.expanded(labels).is_file():
        # The manifest is read from other folders, too.
        options["labels"] = str(reading.expanded(labels).resolve())
    clips = datasets.load(database, root, **options)
    if not clips:
        raise UserError(f"{database} has no clip to prepare; mer-jax check-data tells why")
    parameters = dataclasses.asdict(config) | {"landmarks": _hash_of(model)}
    jobs = jobs if root else 1
    digests = prepared.digests(clips, parameters)
    fingerprint = prepared.fingerprint(digests)
    out.mkdir(parents=True, exist_ok=True)
    busy = f"{out} is being prepared by another process; wait for it, or give another --out"
    with locks.take(out / ".lock", busy):
        source = {
            "database": database,
            "root": None if root is None else str(root),
            "options": options,
            "parameters": parameters,
            "fingerprint": fingerprint,
        }
        if manifest := _current(out, database, fingerprint):
            prepared.update(out, manifest, source)
        else:
            work = out / _WORK
            work.mkdir(exist_ok=True)
            tasks = [Task(c, config, model, work / f"{d}.npz") for c, d in zip(clips, digests)]
            _crop_all(database, tasks, jobs, pipeline, quiet)
            _pack(out, source, tasks, pipeline)
            shutil.rmtree(work)
    return datasets.load("prepared", out, skip_source_check=True)


def _pack(out, source, tasks, pipeline) -> None:
    """Writes the cropped clips as records, then the manifest, and removes earlier records."""
    from mer_jax.datasets import beam, tfds

    database = source["database"]
    name = f"{database}_{source['fingerprint']}"
    records = out / tfds.MicroExpressions.name
    if (records / name).exists():  # damaged, or of a call that was killed
        shutil.rmtree(records / name)
    done = [_finished(task) for task in tasks]
    clips = [clip for clip, _ in done]
    config = tfds.Config(name=name, database=database, clips=clips)
    with beam.report_errors() if pipeline else _report_full_disk(out):
        directory = tfds.build(out, config, pipeline=pipeline)
    _write_contact_sheets(out, tasks)
    notes = [Problem(clip.key, note) for clip, note in done if note]
    prepared.write(out, directory, source, clips, notes)
    for old in records.glob(f"{database}_*"):
        ours = _RECORDS.fullmatch(old.name.removeprefix(database))
        if ours and old.name != name:
            shutil.rmtree(old)


@contextlib.contextmanager
def _report_full_disk(out: pathlib.Path) -> Generator[None]:
    """ArrayRecord raises a `RuntimeError` where the disk is full."""
    with report_write_errors(out):
        try:
            yield
        except RuntimeError as error:
            raise OSError(None, reading.error_summary(error)) from error


def _write_contact_sheets(out: pathlib.Path, tasks: Sequence[Task]) -> None:
    """Writes contact_sheet_1.png, ... in place of earlier ones."""
    for old in out.glob("contact_sheet_*.png"):
        old.unlink()
    strips = [reading.load_arrays(t.path, {"strip": _CUT["strip"]})["strip"] for t in tasks]
    sheets = contact_sheet.pages(strips, [task.clip.key for task in tasks])
    for number, sheet in enumerate(sheets, 1):
        saving.write_png(out / f"contact_sheet_{number}.png", sheet)


def _crop_all(database: str, tasks: Sequence[Task], jobs: int, pipeline, quiet: bool) -> None:
    """Crops the missing clips. Raises `DataError` with every clip that failed."""
    remaining = [task for task in tasks if not _is_complete(task.path)]
    problems = []
    terminal = sys.stderr.isatty()
    bar = tqdm(
        total=len(tasks),
        initial=len(tasks) - len(remaining),
        unit="clip",
        disable=quiet,
        mininterval=0.2 if terminal else 10,
    )
    jobs = min(jobs, max(1, len(remaining)))
    results = _pipeline_results(remaining, pipeline) if pipeline else _results(remaining, jobs)
    with bar, contextlib.closing(results):
        for task, problem in results:
            problems += [Problem(task.clip.key, problem)] if problem else []
            bar.update()
    if problems:
        raise DataError(database, sorted(problems))


def _results(tasks: Sequence[Task], jobs: int) -> Generator[tuple[Task, str]]:
    """Every task when it is done, with its problem or ""."""
    if jobs > 1:
        try:
            pickle.dumps(tasks[0])
        except (pickle.PicklingError, AttributeError, TypeError):
            print("note: the frames are read by a local function: one process", file=sys.stderr)
            jobs = 1
    if jobs == 1:
        yield from ((task, _crop(task)) for task in tasks)
        return
    # A new interpreter each: JAX's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    pool = concurrent.futures.ProcessPoolExecutor(jobs, context, initializer=_start)
    try:
        futures = {pool.submit(_crop, task): task for task in tasks}
        for future in concurrent.futures.as_completed(futures):
            yield futures[future], future.result()
    except concurrent.futures.process.BrokenProcessPool:
        raise UserError(
            "a worker process died, perhaps out of memory; re-run the command with fewer --jobs"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _pipeline_results(tasks: Sequence[Task], pipeline) -> Generator[tuple[Task, str]]:
    """As `_results`, from the workers of a pipeline: each clip's file shows that it is done."""
    if not tasks:
        return
    from mer_jax.datasets import beam

    for task in tasks:  # what is torn, and the problems of an earlier call
        task.path.unlink(missing_ok=True)
        task.problem.unlink(missing_ok=True)

    def finished(missing: Sequence[Task]) -> list[Task]:
        files = {*os.listdir(tasks[0].path.parent)}
        return [task for task in missing if files & {task.path.name, task.problem.name}]

    for task in beam.run(_crop_on_worker, tasks, pipeline, finished=finished):
        yield task, "" if task.path.exists() else reading.read_text(task.problem)


def _start() -> None:
    """Runs a worker on the CPU; it exits when the parent process does, however that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent process, too
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


def _crop(task: Task) -> str:
    """Crops one clip and writes it atomically; returns the problem, or ""."""
    from mer_jax.datasets.tfds import example

    try:
        clip, note = faces.crop_face(task.clip, task.config, landmarker=_model(task.model))
    except UserError as error:
        return str(error)
    content = example(clip)
    with saving.atomic(task.path) as temporary:
        np.savez(
            temporary,
            frames=content["frames"],
            landmarks=content["landmarks"],
            note=note,
            strip=contact_sheet.strip(content["frames"]),
        )
    return ""


def _crop_on_worker(task: Task) -> None:
    """Crops one clip in a pipeline."""
    if problem := _crop(task):
        saving.write(task.problem, problem)


@functools.cache
def _model(path: str | None) -> faces.Landmarker | None:
    return None if path is None else faces.landmarker(path)


def _is_complete(path: pathlib.Path) -> bool:
    try:
        return bool(reading.load_arrays(path, _CUT))
    except UserError:
        return False


def _finished(task: Task) -> tuple[Clip, str]:
    """The cropped clip, its frames still on disk, and its note."""
    content = reading.load_arrays(task.path, {name: _CUT[name] for name in ("landmarks", "note")})
    landmarks = content["landmarks"] if len(content["landmarks"]) else None
    read = functools.partial(_frames, task.path)
    clip = dataclasses.replace(task.clip, read=read, landmarks=landmarks)
    return clip, str(content["note"])


def _frames(path: pathlib.Path) -> np.ndarray:
    return reading.load_arrays(path, {"frames": _CUT["frames"]})["frames"]


def _current(out: pathlib.Path, database: str, fingerprint: str) -> dict[str, Any] | None:
    """The manifest, if `out` is this version of the database; `UserError` if of another one."""
    if not (out / prepared.MANIFEST).is_file():
        return None
    there = prepared.database_of(out)
    if there not in (None, database):
        raise UserError(f"{out} has {there} already; give {database} another --out")
    with contextlib.suppress(UserError):  # damaged, or of another version
        manifest = prepared.read(out)
        return manifest if manifest["fingerprint"] == fingerprint else None
    return None


def _hash_of(model: str | None) -> str:
    if model is None:
        return ""
    _model(model)  # raises for a file that is no model
    return saving.digest(reading.expanded(model).read_bytes())[:20]


def _stop(number: int, _) -> None:
    """Ends this process: finished clips are on disk, and threads would wait for unfinished ones."""
    threading.excepthook = lambda _: None  # the runner's complaints about its workers
    print("stopped; re-run the same command to resume", file=sys.stderr, flush=True)
    beam_flags.cancel()
    os._exit(128 + number)


def main(argv: list[str]) -> int | None:
    """Prepares the database that the flags name; returns 1 if it has problems."""
    if len(argv) > 1 or not FLAGS.database or not FLAGS.out:
        raise UserError("give --database=NAME, --root=FOLDER and --out=FOLDER, and nothing else")
    pipeline = beam_flags.pipeline(jobs=FLAGS.jobs)
    _on_cpu()
    size = None if _SIZE.value is None else size_of(_SIZE)
    config = faces.CropConfig(FLAGS.crop, size, FLAGS.gray, FLAGS.align)
    try:
        with at_stop_signals(_stop):
            clips = prepare(
                FLAGS.database,
                FLAGS.root,
                FLAGS.out,
                config=config,
                model=FLAGS.landmarks,
                jobs=FLAGS.jobs,
                options=database_flags.options(),
                pipeline=pipeline,
            )
    except DataError as error:
        print(error, file=sys.stderr)
        print(database_flags.HINTS, file=sys.stderr)
        return 1
    except OSError as error:
        raise UserError(f"{error.filename or FLAGS.out}: {error.strerror}") from None
    print(
        f"{len(clips)} clips of {len({clip.subject_key for clip in clips})} subjects in {FLAGS.out}"
    )
    for where, what in prepared.read(reading.expanded(FLAGS.out))["notes"]:
        print(f"  {where}: {what}")
    return None
