"""CAS(ME)^2: 57 micro- and 300 macro-expressions of 22 subjects at 30 Hz (Qu et al., 2018).

    cropped/s15/anger1_1/img552.jpg                 one expression a folder; also 15/anger1_1
    selectedpic/s15/anger1_1/img552.jpg
    rawpic/s15/15_0401girlcrashing/img001.jpg       whole recordings
    CAS(ME)^2code_final.xlsx, CAS(ME)^2code_final (Updated).xlsx

The sheet has no header. Its subjects count from 1: the sheet 'naming rule1' gives the folder of
each (column 3 -> column 2), 'naming rule2' the four digits of a recording (anger1 -> 0401). An
offset of 0 is none. The naming inside selectedpic is taken to be that of cropped.
"""

import dataclasses
import functools
import pathlib
import re
from collections.abc import Iterable

from mer_jax.datasets import annotations, database, records, sheets
from mer_jax.datasets.annotations import Column, numbered
from mer_jax.datasets.folders import Tree
from mer_jax.datasets.records import Inspection
from mer_jax.errors import unknown_name

KINDS = ("micro", "macro", "all")
_CLIP = r"(^|/)(?P<subject>s?\d+)/(?P<name>[a-z]+\d+_\d+)$"
_VIDEO = r"(^|/)(?P<subject>s?\d+)/\d+_(?P<name>\d{4})[^/]*$"
_FIELDS = (
    *("subject", "name", "onset", "apex", "offset", "action_units", "emotion", "kind"),
    "feeling",
)
_WHOLE = ("onset", "apex", "offset")

SPEC = records.Database(
    name="casme_squared",
    title="CAS(ME)^2",
    fps=30.0,
    trees={
        "cropped": Tree(("cropped", "casme^2_cropped"), _CLIP),
        "selected": Tree(("selectedpic",), _CLIP),
        "raw": Tree(("rawpic",), _VIDEO, video=True),
    },
    sheets=("CAS(ME)^2code_final*Updated*.xlsx", "CAS(ME)^2code_final*.xlsx", "CAS(ME)^2code*.csv"),
    sheet=("CASFEcode_final", "CASMEcode_final"),
    columns={field: Column((field,), int if field in _WHOLE else str) for field in _FIELDS},
    positions=_FIELDS,
    emotions=("positive", "negative", "surprise", "others"),
    subject=functools.partial(numbered, "s", 2),
    clip=str.lower,
    published={"negative": 21, "positive": 8, "surprise": 9, "others": 19},
    subjects=22,
)


def inspect(
    root: str | pathlib.Path,
    *,
    kind: str = "micro",
    images: str = "",
    labels: str = "",
    allow_mismatch: bool = False,
    exclude: Iterable[str] = (),
) -> Inspection:
    """As `database.inspect`; `kind` is "micro", "macro" or "all"."""
    if kind not in KINDS:
        raise unknown_name("kind of expression", kind, KINDS)
    path = pathlib.Path(root).expanduser()
    found = [pathlib.Path(labels)] if labels else sheets.locate(SPEC.sheets, path)
    found = [f if f.is_file() else path / f for f in found[:1]]
    book = annotations.workbook(found[0])[0] if found and found[0].is_file() else {}
    subjects, videos = _naming_rules(book)

    def adapt(row, cells):
        row.subject = subjects.get(cells["subject"] or "", row.subject)
        row.video = videos.get(row.name.split("_")[0], "")
        row.apex, row.offset = row.apex or None, row.offset or None
        said = (cells["kind"] or "").lower()
        if said not in ("micro-expression", "macro-expression"):
            row.fault = f"{said!r} is neither micro-expression nor macro-expression"
        row.wanted = bool(row.fault) or kind == "all" or said.startswith(kind)
        return row

    return database.inspect(
        dataclasses.replace(SPEC, adapt=adapt),
        root,
        images=images,
        labels=labels,
        allow_mismatch=allow_mismatch,
        exclude=exclude,
    )


def _naming_rules(book) -> tuple[dict[str, str], dict[str, str]]:
    """({sheet's subject: folder's}, {stimulus: four digits}) from the sheets that say so."""
    rules = {annotations.plain(name): rows for name, rows in book.items()}
    cells = [[annotations.text(cell) for cell in row] for row in rules.get("namingrule1", [])]
    subjects = {row[2]: numbered("s", 2, row[1]) for row in cells if len(row) > 2 and row[2]}
    cells = [[annotations.text(cell) for cell in row] for row in rules.get("namingrule2", [])]
    videos = {
        row[1].lower(): f"{int(row[0]):04d}"
        for row in cells
        if len(row) > 1 and re.fullmatch(r"\d+", row[0])
    }
    return subjects, videos
