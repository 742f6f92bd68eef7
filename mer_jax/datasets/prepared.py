"""The database that `mer-jax prepare` writes: decoded, aligned, cropped and packed clips.

    OUT/prepared.json                                 what is in it, and from what it was made
    OUT/micro_expressions/casme2_FINGERPRINT/VERSION/*  the records, by `datasets.tfds`

    clips = load("prepared", OUT)

prepared.json is written last, so that its records are complete. It has a fingerprint of the source
(the reader's fields of every clip; name, size and time of every file), the parameters and VERSION.
Incomplete or stale records are a problem and are not read; the same command writes them again.
"""

import dataclasses
import functools
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import numpy as np

from mer_jax.clips import Clip
from mer_jax.datasets import identity
from mer_jax.datasets.records import Inspection
from mer_jax.errors import Problem, UserError
from mer_jax.io import reading, saving

VERSION = "1.3.0"  # of the records and of the crop: a change makes all records stale
MANIFEST = "prepared.json"
_AGAIN = "run mer-jax prepare again"


class _Clip(TypedDict):
    database: str
    subject: str
    name: str
    emotion: str
    action_units: str
    objective: str
    content: str
    onset: int
    apex: int | None
    offset: int | None
    fps: float | None
    landmarks: list[list[float]] | None
    record: int
    length: int


class _Database(TypedDict):
    database: str


class _Version(TypedDict):
    version: str


class _Manifest(_Version, _Database):
    directory: str
    fingerprint: str
    root: str | None
    options: dict[str, Any]
    parameters: dict[str, Any]
    files: dict[str, int]
    notes: list[tuple[str, str]]
    clips: list[_Clip]


@dataclasses.dataclass(frozen=True)
class Record:
    """The `read` of a clip in the records: [T, H, W, C] uint8."""

    directory: pathlib.Path
    index: int
    key: str
    frames: int  # number of them
    path: pathlib.Path  # the manifest, whose time stands for the frames: see `identity.file_stats`

    def __len__(self) -> int:
        return self.frames

    def __call__(self) -> np.ndarray:
        try:
            found = _source(self.directory)[self.index]
        except Exception as error:  # the C++ reader raises many types
            reason = " ".join(str(error).split())[:200]
            raise UserError(
                f"{self.key}: its record in {self.directory} cannot be read ({reason}); {_AGAIN}"
            ) from error
        if record_key(found) != self.key or len(found["frames"]) != self.frames:
            raise UserError(f"{self.key}: {self.directory} is incomplete; {_AGAIN}")
        return found["frames"]


def inspect(root: str | pathlib.Path, *, skip_source_check: bool = False) -> Inspection:
    """The clips of one prepared database, or of all in the folders of `root`.

    skip_source_check: do not compare with the source. By default, a source that is on this machine
    is read again and must not have changed.
    """
    root = reading.expanded(root)
    found = [
        path for path in (root / MANIFEST, *sorted(root.glob(f"*/{MANIFEST}"))) if path.is_file()
    ]
    if not found:
        what = f"holds no prepared database (no {MANIFEST}); mer-jax prepare --out writes one"
        return Inspection([], [Problem(str(root), what)], [])
    clips, problems, notes = [], [], []
    for path in found:
        try:
            manifest = read(path.parent)
            if not skip_source_check:
                check_source(manifest)
            directory = path.parent / manifest["directory"]
            rows = [_clip(directory, row, path) for row in manifest["clips"]]
        except UserError as error:
            problems.append(Problem(str(path.parent), str(error)))
            continue
        clips += rows
        notes += [Problem(*note) for note in manifest["notes"]]
    return Inspection(clips, problems, notes)


def database_of(out: pathlib.Path) -> str | None:
    """The database of the manifest in `out`, of any version; None for a damaged manifest."""
    try:
        return reading.load_json(out / MANIFEST, _Database)["database"]
    except UserError:
        return None


def read(out: pathlib.Path) -> dict[str, Any]:
    """The manifest in `out`. Raises `UserError` if it or a file of records is incomplete."""
    version = reading.load_json(out / MANIFEST, _Version, hint=_AGAIN)["version"]
    if version != VERSION:
        raise UserError(f"it was prepared by version {version[:20]}, this is {VERSION}; {_AGAIN}")
    manifest = reading.load_json(out / MANIFEST, _Manifest, hint=_AGAIN)
    with reading.report_damage(out / MANIFEST, hint=_AGAIN):  # for an impossible file name
        return _check_files(out, manifest)


def _check_files(out: pathlib.Path, manifest: dict[str, Any]) -> dict[str, Any]:
    if not (out / manifest["directory"]).resolve().is_relative_to(out.resolve()):
        raise UserError(f"its records do not lie below {out}; {_AGAIN}")
    for name, size in manifest["files"].items():
        path = out / manifest["directory"] / name
        there = path.stat().st_size if path.is_file() else None
        if there != size:
            raise UserError(f"{name} has {there or 'no'} bytes where {size} were written; {_AGAIN}")
    return manifest


def check_source(manifest: Mapping[str, Any]) -> None:
    """Raises `UserError` if the source is on this machine and has changed."""
    from mer_jax import datasets

    root = manifest["root"]
    if root is not None and not os.path.isdir(root):  # or it lies where nobody else may look
        return
    try:
        clips = datasets.load(manifest["database"], root, **manifest["options"])
        same = fingerprint(digests(clips, manifest["parameters"])) == manifest["fingerprint"]
        what = "" if same else "has changed since"
    except UserError as error:
        what = f"cannot be read any more ({' '.join(str(error).split())[:300]})"
    if what:
        raise UserError(
            f"its source {root or manifest['database']} {what}; {_AGAIN}, "
            "or read it as it is with skip_source_check=True"
        )


def write(
    out: pathlib.Path,
    directory: pathlib.Path,
    source: Mapping[str, Any],
    clips: Sequence[Clip],
    notes: Sequence[Problem],
) -> None:
    """Reads every record in `directory` once, as a check, and writes the manifest.

    source: database, root, options, parameters and fingerprint, as JSON has them.
    """
    _source.cache_clear()  # it may hold earlier records
    records = _source(directory)
    rows = []
    for index, clip in enumerate(clips):
        found = records[index]
        if record_key(found) != clip.key:
            raise RuntimeError(f"record {index} is {record_key(found)}, not {clip.key}")
        row = {f.name: getattr(clip, f.name) for f in dataclasses.fields(Clip) if f.name != "read"}
        marks = None if clip.landmarks is None else np.asarray(clip.landmarks).tolist()
        rows.append(row | {"landmarks": marks, "record": index, "length": len(found["frames"])})
    content = {
        **source,
        "version": VERSION,
        "directory": directory.relative_to(out).as_posix(),
        "files": {p.name: p.stat().st_size for p in sorted(directory.iterdir()) if p.is_file()},
        "notes": [list(note) for note in notes],
        "clips": rows,
    }
    _write(out, content)


def update(out: pathlib.Path, manifest: Mapping[str, Any], source: Mapping[str, Any]) -> None:
    """Writes to the manifest of `out` where the same clips are read from now, if elsewhere."""
    if (updated := manifest | json.loads(json.dumps(source))) != manifest:
        _write(out, updated)


def _write(out: pathlib.Path, content: Mapping[str, Any]) -> None:
    saving.write(out / MANIFEST, json.dumps(content, indent=1))


def digests(clips: Sequence[Clip], parameters: Mapping[str, Any]) -> list[str]:
    """20 hexadecimal digits for the inputs of each clip's record.

    These are the reader's fields, the name, size and time of each file (where a function of the
    user's reads the frames, the frames), the parameters and VERSION; not the database's path.
    """
    return [
        _digest([VERSION, parameters, identity.metadata(clip), _frames(clip)])[:20]
        for clip in clips
    ]


def _frames(clip: Clip) -> list[Any]:
    """What stands for a clip's frames: stats of its files, else `identity.digest`."""
    stats: list[Any] = identity.file_stats(clip.read)
    if stats and (crop := getattr(clip.read, "crop", None)):
        stats.append(repr(crop))
    return stats or [identity.digest(clip)]


def fingerprint(all_digests: Sequence[str]) -> str:
    """The digest of all clips, independent of their order."""
    return _digest(sorted(all_digests))[:20]


def record_key(found: Mapping[str, Any]) -> str:
    """The `Clip.key` of a record."""
    return "/".join(found[name].decode() for name in ("database", "subject", "name"))


def _digest(content: Any) -> str:
    return saving.digest(json.dumps(content, sort_keys=True))


def _clip(directory: pathlib.Path, row: Mapping[str, Any], path: pathlib.Path) -> Clip:
    row = dict(row)
    key = f"{row['database']}/{row['subject']}/{row['name']}"
    read = Record(directory, row.pop("record"), key, row.pop("length"), path)
    marks = row.pop("landmarks")
    landmarks = None if marks is None else np.asarray(marks, np.float32)
    return Clip(**row, read=read, landmarks=landmarks)


@functools.lru_cache(maxsize=16)
def _source(directory: pathlib.Path):
    import tensorflow_datasets as tfds

    return tfds.builder_from_directory(directory).as_data_source("train")
