"""Optical-flow maps that somebody computed before, with an index: one small image a clip.

    index.csv    database,subject,clip,label,file
    maps/*.png   H x W, red u (along W), green v (along H), blue strain

This is the form in which public repositories hand on the 442 maps of the MEGC2019 composite
(28 x 28; each channel stretched to 0..255 over its own range, so that zero motion has no fixed
value). Which channel is which follows from the maps: the strain computed from the other two
agrees best with blue (mean correlation 0.83 with u red and v green, 0.79 with them exchanged,
about 0 with another channel as strain). A program that reads with OpenCV sees strain, v, u.
"""

import dataclasses
import pathlib
import stat
from collections.abc import Callable

import numpy as np

from mer_jax.clips import Clip
from mer_jax.datasets import annotations, folders
from mer_jax.datasets.annotations import Column
from mer_jax.datasets.records import Inspection
from mer_jax.errors import Problem, UserError, suggestion

_COLUMNS = {name: Column((name,)) for name in ("database", "subject", "clip", "label", "file")}
LABELS = ("negative", "positive", "surprise", "others")


@dataclasses.dataclass(frozen=True)
class _Map:
    """The `read` of a map: [1, H, W, 3] uint8."""

    path: pathlib.Path

    def __call__(self) -> np.ndarray:
        return folders.read_image(self.path)[None]


def inspect(root: str | pathlib.Path, *, index: str = "index.csv") -> Inspection:
    """Each map as a clip of one frame: content "flow", emotion the label. Every file is read.

    A file's path is relative to the index and stays below `root`.
    """
    root = pathlib.Path(root).expanduser().resolve()
    path = root / index
    if not path.is_file():
        return Inspection(
            [], [Problem(str(path), "is no file; the index of the maps belongs there")], []
        )
    records, problems = annotations.read(path, _COLUMNS, keys=("database", "subject", "clip"))
    clips, keys = [], dict[str, str]()
    shapes = dict[tuple[int, ...], list[str]]()
    for record in records:
        cells = record.values
        if record.invalid:
            continue
        wrong = _row(root, cells)
        key = f"{cells['database']}/{cells['subject']}/{cells['clip']}"
        if key in keys:
            wrong.append(f"{key} again (first in {keys[key]}); remove one")
        keys.setdefault(key, record.where)
        shape: tuple[int, ...] = ()
        if not wrong:
            try:
                shape = folders.read_image(root / cells["file"]).shape
            except UserError as error:
                wrong.append(str(error))
        problems += [Problem(record.where, what) for what in wrong]
        if not wrong:
            shapes.setdefault(shape, []).append(record.where)
            clips.append(
                Clip(
                    database=cells["database"],
                    subject=cells["subject"],
                    name=cells["clip"],
                    read=_Map(root / cells["file"]),
                    emotion=cells["label"].lower(),
                    content="flow",
                )
            )
    if len(shapes) > 1:
        usual = max(shapes, key=lambda shape: len(shapes[shape]))
        for shape, rows in shapes.items():
            what = f"the map is {shape[0]} x {shape[1]} where most are {usual[0]} x {usual[1]}"
            problems += [Problem(where, what) for where in rows if shape != usual]
    return Inspection(clips, problems, _unlisted(root, records))


def _row(root: pathlib.Path, cells) -> list[str]:
    wrong = [
        f'the {name} {cells[name]!r} has a "/", which parts the words of a key; write it without'
        for name in ("database", "subject")
        if "/" in cells[name]
    ]
    if cells["label"].lower() not in LABELS:
        hint = suggestion(cells["label"].lower(), LABELS)
        wrong.append(f"unknown label {cells['label']!r}; {hint}")
    file = pathlib.PurePosixPath(cells["file"].replace("\\", "/"))
    if not cells["file"]:
        wrong.append("the 'file' cell is blank")
    elif file.is_absolute() or ".." in file.parts or ":" in cells["file"].partition("/")[0]:
        wrong.append(f"{cells['file']!r} does not stay below the index; use a relative path")
    elif not _there(root / file, stat.S_ISREG):
        wrong.append(f"{cells['file']!r} is not there")
    elif not (root / file).resolve().is_relative_to(root):
        wrong.append(f"{cells['file']!r} is a link out of {root}; copy the file there")
    return wrong


def _there(path: pathlib.Path, kind: Callable[[int], bool]) -> bool:
    """Whether a file of this kind is there; a name that no file can have is the name of none."""
    try:
        return kind(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def _unlisted(root: pathlib.Path, records) -> list[Problem]:
    listed = {(root / record.values["file"]) for record in records if record.values.get("file")}
    parents = {file.parent for file in listed}
    parents = sorted(parent for parent in parents if _there(parent, stat.S_ISDIR))
    return [
        Problem(str(root / entry.path), "is in no row of the index and was skipped")
        for parent in parents
        if parent.resolve().is_relative_to(root.resolve())
        for entry in folders.list_entries(parent)
        if entry.name.lower().endswith(".png") and pathlib.Path(entry.path) not in listed
    ]
