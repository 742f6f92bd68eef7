"""A finished run as one file: what prediction needs, and where its data come from.

The file is an uncompressed ZIP archive of

    run.json      classes, folds, provenance of the data, digests of the other entries
    config.json   the configuration, without the paths of this machine
    predict.json  the profile of the run's clips
    weights.npz   the folds' networks and statistics

It holds no code and no pickle, and its configuration names none: a run with own methods or networks
(`module:Name`) cannot be exported. `inference.load` reads it, and the folder that `unpack` makes.
"""

import hashlib
import os
import pathlib
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

import mer_jax
from mer_jax import configuration
from mer_jax.errors import UserError
from mer_jax.inference import profile, trained
from mer_jax.inference.trained import PARTS, TrainedNetworks
from mer_jax.io import reading, saving
from mer_jax.protocols import Folds
from mer_jax.training import initialization

MANIFEST, CONFIG, WEIGHTS = "run.json", "config.json", "weights.npz"
_ENTRIES = (CONFIG, profile.FILENAME, WEIGHTS)
_FORMAT = "mer_jax run, version 1"
_SECTIONS = ("method", "model", "train")  # of the configuration, likewise
_FOREIGN = "is no file of mer-jax export-run, or it is cut short"
_HINT = "copy the file again, or export the run again"


class Database(msgspec.Struct):
    """A database that a run was trained on."""

    name: str
    clips: int
    subjects: int
    license: str  # in words


class Manifest(msgspec.Struct):
    """The content of run.json."""

    format: str
    version: str  # of mer_jax
    title: str
    trained_on: str
    classes: list[str]
    folds: list[str]  # of each row of weights
    all_folds: list[str]  # of the run, also those without weights
    databases: list[Database]
    license: str  # of this file, in the exporter's words
    digests: dict[str, str]  # of the other entries, SHA-256


def export(
    workdir: str | os.PathLike,
    path: str | os.PathLike,
    *,
    licenses: Mapping[str, str] | None = None,
    license: str = "",
) -> Manifest:
    """Writes the run in `workdir` to one file.

    Args:
      workdir: of a finished run.
      path: of the file.
      licenses: name of a database -> its license, in words.
      license: of the file; "" leaves it open.

    Returns:
      Its manifest.

    Raises:
      UserError: no finished run, one that cannot predict videos, or one with own code.
    """
    workdir = pathlib.Path(workdir).expanduser()
    written = workdir / CONFIG
    if written.is_file() and "evidence" in reading.load_json(written, dict[str, Any]):
        raise UserError(f"{workdir} is a spotting run; only runs of recognition are exported")
    networks, measured = trained.read(workdir), profile.read(workdir)
    config = configuration.to_dict(networks.config)
    # Without the paths of this machine; of the data, what `read` takes.
    config["data"] = {key: config["data"][key] for key in ("name", "label_scheme")}
    config["examples_dir"] = ""
    if start := config["train"]["init_from"]:
        config["train"]["init_from"] = pathlib.PurePath(start).name
    _refuse_code(config, workdir)
    manifest = Manifest(
        format=_FORMAT,
        version=mer_jax.__version__,
        title=config["title"],
        trained_on=measured.trained_on,
        classes=list(networks.classes),
        folds=list(networks.folds),
        all_folds=list(networks.all_folds),
        databases=_databases(workdir, licenses or {}),
        license=license,
        digests={},
    )
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        saving.write_json(folder / CONFIG, config)
        saving.write_json(folder / profile.FILENAME, msgspec.structs.asdict(measured))
        np.savez(folder / WEIGHTS, **_flat(networks.state))  # type: ignore[arg-type]
        manifest.digests = {name: _digest(folder / name) for name in _ENTRIES}
        saving.write_json(folder / MANIFEST, msgspec.to_builtins(manifest))
        with saving.atomic(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
            for name in (MANIFEST, *_ENTRIES):
                archive.write(folder / name, name)
    return manifest


def unpack(path: str | os.PathLike, out: str | os.PathLike) -> Manifest:
    """Writes the entries of a run's file to the new folder `out`, and verifies them.

    Raises:
      UserError: `path` is no such file, or damaged; `out` exists and is not empty.
    """
    path, out = pathlib.Path(path).expanduser(), pathlib.Path(out).expanduser()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} is not an empty folder; give another one")
    if not path.is_file():
        raise UserError(f"{path}: there is no such file")
    if not zipfile.is_zipfile(path):
        raise UserError(f"{path}: {_FOREIGN}")
    with saving.atomic(out) as folder:
        folder.mkdir()
        _extract(path, folder)
        manifest = _manifest(folder, path)
        for name, digest in manifest.digests.items():
            if _digest(folder / name) != digest:
                raise UserError(f"{path} is damaged (another digest of {name}); {_HINT}")
        if out.is_dir():
            out.rmdir()
    return manifest


def _extract(path: pathlib.Path, folder: pathlib.Path) -> None:
    with reading.report_damage(path, hint=_HINT), zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if sorted(e.filename for e in entries) != sorted((MANIFEST, *_ENTRIES)):
            raise UserError(f"{path}: {_FOREIGN}")
        if sum(e.file_size for e in entries) > path.stat().st_size:  # they are not compressed
            raise ValueError("its entries are longer than the file")
        for entry in entries:
            with archive.open(entry) as source, open(folder / entry.filename, "wb") as target:
                shutil.copyfileobj(source, target)


def read(folder: pathlib.Path, *, name: str | os.PathLike = "") -> TrainedNetworks:
    """The networks of an unpacked file. name: for messages; default: the folder."""
    name = name or folder
    manifest = _manifest(folder, name)
    parts = [(section, dict[str, Any]) for section in (*_SECTIONS, "data")]
    record = reading.load_json(folder / CONFIG, msgspec.defstruct("_Sections", parts), hint=_HINT)
    sections = msgspec.structs.asdict(record)
    _refuse_code(sections, name)
    # Prediction needs no database: where it lies, and its own options, do not matter.
    scheme = sections.pop("data").get("label_scheme")
    state: dict[str, dict[str, np.ndarray]] = {part: {} for part in PARTS}
    with reading.report_damage(name, hint=_HINT):
        config = configuration.make(data={"name": "synthetic", "label_scheme": scheme}, **sections)
        with zipfile.ZipFile(folder / WEIGHTS) as archive:  # written without compression
            if sum(e.file_size for e in archive.infolist()) > (folder / WEIGHTS).stat().st_size:
                raise ValueError("its arrays are longer than the file")
        with np.load(folder / WEIGHTS, allow_pickle=False) as arrays:
            for entry in arrays.files:
                part, _, path = entry.partition("/")
                state[part][path] = arrays[entry]
        if any(len(a) != len(manifest.folds) for part in state.values() for a in part.values()):
            raise ValueError("an array has another number of folds")
    return TrainedNetworks(
        config,
        tuple(manifest.classes),
        tuple(manifest.folds),
        tuple(manifest.all_folds),
        state,
        programs={},
    )


def _manifest(folder: pathlib.Path, name: str | os.PathLike) -> Manifest:
    manifest = reading.load_json(folder / MANIFEST, Manifest, hint=_HINT)
    if manifest.format != _FORMAT:
        raise UserError(
            f"{name}: its format is {manifest.format!r}, and this version of mer_jax reads "
            f"{_FORMAT!r}; install the one that wrote it ({manifest.version})"
        )
    if sorted(manifest.digests) != sorted(_ENTRIES):
        raise UserError(f"{name} is damaged (the digests are not of its entries); {_HINT}")
    return manifest


def _databases(workdir: pathlib.Path, licenses: Mapping[str, str]) -> list[Database]:
    """The databases of a run's clips."""
    folds = Folds.read(workdir / "folds.json")
    names = np.array([clip.partition("/")[0] for clip in folds.clips])
    subjects = {str(name): set(np.array(folds.subjects)[names == name]) for name in names}
    return [
        Database(name, int((names == name).sum()), len(found), licenses.get(name, "ask its owners"))
        for name, found in subjects.items()
    ]


def _refuse_code(config: Mapping[str, Any], where: str | os.PathLike) -> None:
    """Raises `UserError` for a configuration that names an object of a module."""

    def strings(value: Any) -> Iterator[str]:
        if isinstance(value, str):
            yield value
        elif isinstance(value, Mapping | Sequence):
            for each in value.values() if isinstance(value, Mapping) else value:
                yield from strings(each)

    for section in _SECTIONS:
        for text in strings(config[section]):
            if ":" in text:
                raise UserError(f"{where}: {section} is the code {text!r}, which no file carries")


def _flat(state: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The arrays of a state that prediction needs, as "part/dotted.path"."""
    leaves = {part: initialization.named_leaves(state[part]) for part in PARTS}
    return {f"{part}/{path}": leaf for part in PARTS for path, leaf in leaves[part].items()}


def _digest(path: pathlib.Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
