"""A finished run as one file: what prediction needs, and where its data come from.

The file is an uncompressed ZIP archive of

    run.json      classes, folds, provenance of the data, digests of the other entries
    config.json   the configuration, without the paths of this machine
    predict.json  the profile of the run's clips
    weights.npz   the folds' networks and statistics

and that of a spotting run of run.json, config.json, spotters.json, networks/KIND_SPAN/NAME.npz and,
if another run labels the intervals, recognition/ with that run's entries.

It holds no code and no pickle, and its configuration names none: a run with own methods or networks
(`module:Name`) cannot be exported. `inference.load` or `spotter.load` reads it, and the folder that
`unpack` makes.
"""

import contextlib
import hashlib
import os
import pathlib
import re
import shutil
import tempfile
import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
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
from mer_jax.spotting import scorers
from mer_jax.spotting import trained as spotters
from mer_jax.training import records, spotter_files

MANIFEST, CONFIG, WEIGHTS = "run.json", "config.json", "weights.npz"
_ENTRIES = (CONFIG, profile.FILENAME, WEIGHTS)
_SPOTTING_ENTRIES = (CONFIG, spotter_files.SPOTTERS)
_RECOGNITION_ENTRIES = tuple(f"{spotters.RECOGNITION}/{name}" for name in (MANIFEST, *_ENTRIES))
_NETWORK = re.compile(rf"{spotter_files.NETWORKS}(/[^/\\:.][^/\\:]*){{2}}\.npz")
_FORMAT = "mer_jax run, version 1"
_SECTIONS = ("method", "model", "train")  # of the configuration, likewise
_SPOTTING_SECTIONS = ("evidence", "model", "intervals", "train")
_FOREIGN = "is no file of mer-jax export-run, or it is cut short"
_HINT = "copy the file again, or export the run again"


class Database(msgspec.Struct):
    """A database that a run was trained on."""

    name: str
    clips: int  # or recordings
    subjects: int
    license: str  # in words


class Manifest(msgspec.Struct):
    """The content of run.json."""

    format: str
    version: str  # of mer_jax
    title: str
    trained_on: str
    classes: list[str]  # or kinds of expressions
    folds: list[str]  # of each row of weights
    all_folds: list[str]  # of the run, also those without weights
    databases: list[Database]
    license: str  # of this file, in the exporter's words
    digests: dict[str, str]  # of the other entries, SHA-256
    content: str = "clips"  # of the databases; or "recordings"


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
    workdir = reading.expanded(workdir)
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        spots = configuration.is_spotting_run(workdir)
        write = _write_spotting if spots else _write_recognition
        manifest = write(workdir, folder, licenses or {}, license)
        with saving.atomic(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
            for name in (MANIFEST, *manifest.digests):
                archive.write(folder / name, name)
    return manifest


def _write_manifest(folder: pathlib.Path, **fields: Any) -> Manifest:
    """Writes the manifest of the entries in `folder`, and returns it."""
    entries = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    digests = {name: _digest(folder / name) for name in entries}
    manifest = Manifest(_FORMAT, mer_jax.__version__, digests=digests, **fields)
    saving.write_json(folder / MANIFEST, msgspec.to_builtins(manifest))
    return manifest


def _write_recognition(
    workdir: pathlib.Path, folder: pathlib.Path, licenses: Mapping[str, str], license: str
) -> Manifest:
    """The entries of a run of recognition."""
    folder.mkdir(exist_ok=True)
    networks, measured = trained.read(workdir), profile.read(workdir)
    config = configuration.to_dict(networks.config)
    config["data"] = {key: config["data"][key] for key in ("name", "label_scheme")}
    _remove_paths(config)
    _refuse_code(config, _SECTIONS, workdir)
    saving.write_json(folder / CONFIG, config)
    saving.write_json(folder / profile.FILENAME, msgspec.structs.asdict(measured))
    np.savez(folder / WEIGHTS, **_flat(networks.state))  # type: ignore[arg-type]
    folds = Folds.read(workdir / "folds.json")
    return _write_manifest(
        folder,
        title=config["title"],
        trained_on=measured.trained_on,
        classes=list(networks.classes),
        folds=list(networks.folds),
        all_folds=list(networks.all_folds),
        databases=_databases(folds.clips, folds.subjects, licenses),
        license=license,
    )


def _remove_paths(config: dict[str, Any]) -> None:
    """Removes from `config` the folders of this machine; of a run the name stays."""
    config["examples_dir"] = ""
    if start := config.get("train", {}).get("init_from"):
        config["train"]["init_from"] = pathlib.PurePath(start).name


def _write_spotting(
    workdir: pathlib.Path, folder: pathlib.Path, licenses: Mapping[str, str], license: str
) -> Manifest:
    """The entries of a spotting run: its files as they are, but for the paths in config.json."""
    ensembles = spotters.load(workdir)
    config = configuration.to_dict(ensembles[0].config)
    config["data"] = {"name": "synthetic"}  # prediction needs no database
    _remove_paths(config)
    config.pop("recognition", None)
    trained_on = profile.long_videos({fold.subject for each in ensembles for fold in each.folds})
    labels: list[Database] = []
    if recognizer := spotters.recognition_run(workdir):
        own = _write_recognition(recognizer, folder / spotters.RECOGNITION, licenses, license)
        if recognizer != workdir / spotters.RECOGNITION:  # of other data
            trained_on = profile.emotions_too(trained_on, own.trained_on)
            labels = own.databases
    if "landmarks" in config["evidence"]:
        config["evidence"]["landmarks"] = pathlib.PurePath(config["evidence"]["landmarks"]).name
    _refuse_code(config, _SPOTTING_SECTIONS, workdir)
    saving.write_json(folder / CONFIG, config)
    shutil.copyfile(workdir / spotter_files.SPOTTERS, folder / spotter_files.SPOTTERS)
    folds = [fold for each in ensembles for fold in each.folds]
    for fold in folds if "model" in config else ():
        network = scorers.network_of(fold, config["evidence"]["pairs"])
        path = spotter_files.weights_file(workdir / spotter_files.NETWORKS, network)
        target = folder / path.relative_to(workdir)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    videos = spotter_files.read_record(workdir).recordings
    subjects = [video.rpartition("/")[0] for video in videos]
    names = [fold.name for fold in folds]
    return _write_manifest(
        folder,
        title=config["title"],
        trained_on=trained_on,
        classes=[each.kind for each in ensembles],
        folds=names,
        all_folds=names,
        databases=_databases(videos, subjects, licenses) + labels,
        license=license,
        content="recordings",
    )


def unpack(path: str | os.PathLike, out: str | os.PathLike) -> Manifest:
    """Writes the entries of a run's file to the new folder `out`, and verifies them.

    Raises:
      UserError: `path` is no such file, or damaged; `out` exists and is not empty.
    """
    path, out = reading.expanded(path), reading.expanded(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} is not an empty folder; give another one")
    if not path.is_file():
        raise UserError(f"{path}: there is no such file")
    if not zipfile.is_zipfile(path):
        raise UserError(f"{path}: {_FOREIGN}")
    with saving.atomic(out) as folder:
        folder.mkdir()
        names = _extract(path, folder)
        manifest = _manifest(folder, path)
        if {*names} != {MANIFEST, *manifest.digests}:
            raise UserError(f"{path} is damaged (the digests are not of its entries); {_HINT}")
        for name, digest in manifest.digests.items():
            if _digest(folder / name) != digest:
                raise UserError(f"{path} is damaged (another digest of {name}); {_HINT}")
        if out.is_dir():
            out.rmdir()
    return manifest


def _extract(path: pathlib.Path, folder: pathlib.Path) -> list[str]:
    with reading.report_damage(path, hint=_HINT), zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        names = [entry.filename for entry in entries]
        once = len(set(names)) == len(names)
        if not once or MANIFEST not in names or not _known([n for n in names if n != MANIFEST]):
            raise UserError(f"{path}: {_FOREIGN}")
        if sum(e.file_size for e in entries) > path.stat().st_size:  # they are not compressed
            raise ValueError("its entries are longer than the file")
        for entry in entries:
            (folder / entry.filename).parent.mkdir(parents=True, exist_ok=True)
            with archive.open(entry) as source, open(folder / entry.filename, "wb") as target:
                shutil.copyfileobj(source, target)
    return names


def read(folder: pathlib.Path, *, name: str | os.PathLike = "") -> TrainedNetworks:
    """The networks of an unpacked file. name: for messages; default: the folder."""
    name = name or folder
    manifest = _manifest(folder, name)
    parts = [(section, dict[str, Any]) for section in (*_SECTIONS, "data")]
    record = reading.load_json(folder / CONFIG, msgspec.defstruct("_Sections", parts), hint=_HINT)
    sections = msgspec.structs.asdict(record)
    _refuse_code(sections, _SECTIONS, name)
    # Prediction needs no database: where it lies, and its own options, do not matter.
    scheme = sections.pop("data").get("label_scheme")
    state: dict[str, dict[str, np.ndarray]] = {part: {} for part in PARTS}
    with reading.report_damage(name, hint=_HINT):
        config = configuration.make(data={"name": "synthetic", "label_scheme": scheme}, **sections)
        _check_size(folder / WEIGHTS)
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


def check_spotting(folder: pathlib.Path, *, name: str | os.PathLike) -> str:
    """Verifies the unpacked file of a spotting run before it is loaded. name: for messages.

    Returns what it was trained on.
    """
    trained_on = _manifest(folder, name).trained_on
    config = reading.load_json(folder / CONFIG, dict[str, Any], hint=_HINT)
    _refuse_code(config, ("data", "recognition", *_SPOTTING_SECTIONS), name)
    with reading.report_damage(name, hint=_HINT):
        for path in (folder / spotter_files.NETWORKS).glob("*/*.npz"):
            _check_size(path)
    return trained_on


@contextlib.contextmanager
def opened(run: str | os.PathLike) -> Iterator[pathlib.Path]:
    """The working directory of a run; of its file a temporary one, into which it is unpacked.

    Raises `UserError` as `unpack`.
    """
    run = reading.expanded(run)
    if not run.is_file():
        yield run
        return
    with tempfile.TemporaryDirectory() as folder:
        unpack(run, folder)
        yield pathlib.Path(folder)


def is_spotting(run: str | os.PathLike) -> bool:
    """Whether a working directory, or the file of a run, is that of a spotting run."""
    path = reading.expanded(run)
    if not path.is_file():
        return configuration.is_spotting_run(path)
    if not zipfile.is_zipfile(path):
        return False
    with reading.report_damage(path, hint=_HINT), zipfile.ZipFile(path) as archive:
        return spotter_files.SPOTTERS in archive.namelist()


def _known(names: Collection[str]) -> bool:
    """Whether `names` are the entries of a run, besides the manifest."""
    if sorted(names) == sorted(_ENTRIES):
        return True
    rest = {name for name in names if not _NETWORK.fullmatch(name)}
    return rest in ({*_SPOTTING_ENTRIES}, {*_SPOTTING_ENTRIES, *_RECOGNITION_ENTRIES})


def _check_size(path: pathlib.Path) -> None:
    """Raises `ValueError` for arrays that are longer than their file: it has no compression."""
    with zipfile.ZipFile(path) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > path.stat().st_size:
            raise ValueError("its arrays are longer than the file")


def _manifest(folder: pathlib.Path, name: str | os.PathLike) -> Manifest:
    manifest = reading.load_json(folder / MANIFEST, Manifest, hint=_HINT)
    if manifest.format != _FORMAT:
        raise UserError(
            f"{name}: its format is {manifest.format!r}, and this version of mer_jax reads "
            f"{_FORMAT!r}; install the one that wrote it ({manifest.version})"
        )
    if not _known(manifest.digests):
        raise UserError(f"{name} is damaged (the digests are not of its entries); {_HINT}")
    return manifest


def _databases(
    clips: Sequence[str], subjects: Sequence[str], licenses: Mapping[str, str]
) -> list[Database]:
    """The databases of a run's clips or recordings, by their keys and subjects."""
    names = np.array([clip.partition("/")[0] for clip in clips])
    found = {str(name): set(np.array(subjects)[names == name]) for name in names}
    return [
        Database(name, int((names == name).sum()), len(own), licenses.get(name, "ask its owners"))
        for name, own in found.items()
    ]


def _refuse_code(
    config: Mapping[str, Any], sections: Sequence[str], where: str | os.PathLike
) -> None:
    """Raises `UserError` for a configuration that names an object of a module."""

    def strings(value: Any) -> Iterator[str]:
        if isinstance(value, str):
            yield value
        elif isinstance(value, Mapping | Sequence):
            for each in value.values() if isinstance(value, Mapping) else value:
                yield from strings(each)

    for section in sections:
        for text in strings(config.get(section, {})):
            if ":" in text:
                raise UserError(f"{where}: {section} is the code {text!r}, which no file carries")


def _flat(state: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The arrays of a state that prediction needs, as "part/dotted.path"."""
    leaves = {part: records.named_leaves(state[part]) for part in PARTS}
    return {f"{part}/{path}": leaf for part in PARTS for path, leaf in leaves[part].items()}


def _digest(path: pathlib.Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
