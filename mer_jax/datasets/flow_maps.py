"""Precomputed optical-flow maps, one small image per clip, listed in index.csv.

    index.csv    database,subject,clip,label,file
    maps/*.png   H x W, red u (along W), green v (along H), blue strain

Public repositories share the 442 maps of the MEGC2019 composite in this form (28 x 28 px; each
channel is stretched to 0..255 over its own range, so that zero motion has no fixed value). Their
channels were inferred: strain computed from (red, green) as (u, v) correlates with blue by 0.83 on
average, from (green, red) by 0.79, and no other channel is a strain of the rest (about 0). OpenCV
reads the channels in the order strain, v, u.
"""

import dataclasses
import pathlib
import stat
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from mer_jax.clips import Clip
from mer_jax.datasets import annotations, folders
from mer_jax.datasets.annotations import Column, Record
from mer_jax.datasets.records import Inspection
from mer_jax.errors import Problem, UserError, suggestion
from mer_jax.io import reading

_COLUMNS = {name: Column((name,)) for name in ("database", "subject", "clip", "label", "file")}
LABELS = ("negative", "positive", "surprise", "others")


@dataclasses.dataclass(frozen=True)
class _Map:
    """The `Clip.read` of a map: () -> [1, H, W, 3] uint8 RGB."""

    path: pathlib.Path

    def __call__(self) -> np.ndarray:
        return folders.read_image(self.path)[None]


def inspect(root: str | pathlib.Path, *, index: str = "index.csv") -> Inspection:
    """Each map as a clip of one frame: its content is "flow", its emotion the label.

    All files are decoded. Their paths in the index are relative to `root` and must lead below it.
    """
    root = reading.expanded(root).resolve()
    path = root / index
    if not path.is_file():
        return Inspection(
            [], [Problem(str(path), "does not exist; the index of the maps must be there")], []
        )
    records, problems = annotations.read(path, _COLUMNS, keys=("database", "subject", "clip"))
    clips, first_rows = [], dict[str, str]()
    shapes = dict[tuple[int, ...], list[str]]()
    for record in records:
        cells = record.values
        if record.invalid:
            continue
        file = root / _relative(cells["file"])
        wrong = _problems(root, file, cells)
        key = f"{cells['database']}/{cells['subject']}/{cells['clip']}"
        if key in first_rows:
            wrong.append(f"{key} again (first in {first_rows[key]}); remove one")
        first_rows.setdefault(key, record.where)
        shape: tuple[int, ...] = ()
        if not wrong:
            try:
                image = folders.read_image(file)
            except UserError as error:
                wrong.append(str(error))
            else:
                shape = image.shape
                if (image == image[..., :1]).all() and image.min() < image.max():
                    wrong.append(
                        f"{cells['file']!r} is gray; a map has u, v and strain as red, green and "
                        "blue of one picture"
                    )
        problems += [Problem(record.where, what) for what in wrong]
        if not wrong:
            shapes.setdefault(shape, []).append(record.where)
            clips.append(
                Clip(
                    database=cells["database"],
                    subject=cells["subject"],
                    name=cells["clip"],
                    read=_Map(file),
                    emotion=cells["label"].lower(),
                    content="flow",
                )
            )
    if len(shapes) > 1:  # they are trained on as one array
        usual = max(shapes, key=lambda shape: len(shapes[shape]))
        for shape, rows in shapes.items():
            what = f"the map is {shape[0]} x {shape[1]} where most are {usual[0]} x {usual[1]}"
            problems += [Problem(where, what) for where in rows if shape != usual]
    return Inspection(clips, problems, _unlisted(root, records))


def _relative(cell: str) -> str:
    """A cell "file", perhaps written on Windows, as a path of any system."""
    return cell.replace("\\", "/")


def _problems(root: pathlib.Path, file: pathlib.Path, cells: Mapping[str, str]) -> list[str]:
    """What is wrong with a row of the index, without opening its `file`."""
    relative = pathlib.PurePosixPath(_relative(cells["file"]))
    wrong = [
        f'the {name} {cells[name]!r} has a "/", which parts the words of a key; write it without'
        for name in ("database", "subject")
        if "/" in cells[name]
    ]
    if cells["label"].lower() not in LABELS:
        hint = suggestion(cells["label"].lower(), LABELS)
        wrong.append(f"unknown label {cells['label']!r}; {hint}")
    if not cells["file"]:
        wrong.append("the 'file' cell is blank")
    elif relative.is_absolute() or ".." in relative.parts or ":" in cells["file"].partition("/")[0]:
        wrong.append(f"{cells['file']!r} is outside the folder of the index; use a relative path")
    elif not _exists(file, stat.S_ISREG):
        wrong.append(f"{cells['file']!r} does not exist")
    elif not file.resolve().is_relative_to(root):
        wrong.append(f"{cells['file']!r} is a link out of {root}; copy the file there")
    return wrong


def _exists(path: pathlib.Path, kind: Callable[[int], bool]) -> bool:
    """Whether a file of this kind exists; False, too, for a name that no file can have."""
    try:
        return kind(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def _unlisted(root: pathlib.Path, records: Iterable[Record]) -> list[Problem]:
    """A note for each image beside the maps that no row names."""
    cells = [record.values["file"] for record in records if record.values.get("file")]
    listed = {root / _relative(cell) for cell in cells}
    parents = {file.parent for file in listed}
    parents = sorted(parent for parent in parents if _exists(parent, stat.S_ISDIR))
    return [
        Problem(str(entry.path), "is in no row of the index and was skipped")
        for parent in parents
        if parent.resolve().is_relative_to(root.resolve())
        for entry in folders.list_entries(parent)
        if entry.name.lower().endswith(".png") and pathlib.Path(entry.path) not in listed
    ]
