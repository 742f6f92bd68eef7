"""From a label sheet to rows: which file is read, and its cells as the labels of this database."""

import fnmatch
import pathlib
from collections.abc import Sequence

from mer_jax.datasets import annotations, clip_building, folders
from mer_jax.datasets.records import (
    NAME,
    OBJECTIVE,
    SUBJECT,
    Database,
    DatabaseFiles,
    IssueLog,
    Row,
    Source,
)
from mer_jax.io import reading
from mer_jax.keys import folded

_NUMERALS = ("I", "II", "III", "IV", "V", "VI", "VII")
# Sheets that are read, the preferred first, then those that are named as what they are.
_SUFFIXES = (".xlsx", ".xlsm", ".csv", ".xls", ".ods", ".xlsb")


def locate(patterns: Sequence[str], root: pathlib.Path) -> list[pathlib.Path]:
    """The sheets at most two levels below `root` whose names match, the preferred first.

    Args:
      patterns: of file names without suffix, the preferred first; case does not count.
      root: the folder.
    """
    files = [
        pathlib.Path(entry.path)
        for _, entries in folders.walk(root, depth=2)
        for entry in entries
        if not entry.name.startswith("~$")  # a lock of an open workbook
        and pathlib.PurePath(entry.name).suffix.lower() in _SUFFIXES
        and not entry.is_dir()
    ]
    files.sort(key=lambda file: _SUFFIXES.index(file.suffix.lower()))
    found = (f for p in patterns for f in files if fnmatch.fnmatch(f.stem.lower(), p.lower()))
    return list(dict.fromkeys(found))


def choose(
    spec: DatabaseFiles, root: pathlib.Path, labels: str, log: IssueLog
) -> pathlib.Path | None:
    """The label sheet to read, or None with the problem in `log`."""
    if labels:
        given = reading.expanded(labels)
        path = given if given.is_file() else root / labels
        if path.is_file():
            log.sources.append(Source("labels", str(path)))
            return path
        log.add_problem(str(path), "is no file; labels= should name the label sheet")
        return None
    found = locate(spec.sheets, root)
    if not found:
        what = (
            f"holds no label sheet '{spec.sheets[0]}.xlsx', nor another release of it; "
            "labels=FILE names one that lies elsewhere"
        )
        if above := locate(spec.sheets, root.parent):
            what = f"holds no label sheet: {above[0].name} is in the folder above; give that"
        log.add_problem(str(root), what)
        return None
    log.sources.append(source("labels", found, "labels=FILE chooses"))
    return found[0]


def source(what: str, found: Sequence[pathlib.Path], how: str) -> Source:
    """The first of the sheets `found`, which is read; `how` tells how another is chosen."""
    others = ", ".join(file.name for file in found[1:])
    return Source(what, str(found[0]), f"{others}; {how}" if others else "")


def rows(spec: Database, root: pathlib.Path, path: pathlib.Path, log: IssueLog) -> list[Row]:
    """The rows of the sheet at `path`, each clip once."""
    records, problems = annotations.read(
        path, spec.columns, sheets=spec.worksheets, positions=spec.positions
    )
    log.problems += problems
    for field, column in spec.columns.items():
        if records and field not in records[0].values and field != "objective":
            log.add_note(path.name, f"has no column {column.names[0]!r}")
    found: dict[tuple[str, str], Row] = {}
    for record in records:
        cells = record.values
        if cells.get("action_units") == "":
            log.add_note(
                record.where, f"its {spec.columns['action_units'].names[0]!r} cell is blank"
            )
        subject, name = (
            spec.normalize_subject(cells["subject"] or ""),
            spec.normalize_clip(cells["name"] or ""),
        )
        row = Row(
            where=record.where,
            subject=subject,
            name=name,
            emotion=(cells.get("emotion") or "").lower(),
            onset=cells.get("onset"),
            apex=cells.get("apex"),
            offset=cells.get("offset"),
            action_units=cells.get("action_units") or "",
            objective=_numeral(cells.get("objective") or ""),
            invalid=record.invalid,
        )
        row = spec.adapt_row(row, cells)
        clip_building.apply_known_issues(spec, row, log)
        if row.problem and not row.invalid:
            log.add_problem(row.where, row.problem)
            row.invalid = True
        other = found.setdefault(folded(row.subject, row.name), row)
        if other is not row and row.name:
            what = f"clip {row.subject}/{row.name} again (first in {other.where}); remove one"
            log.add_problem(row.where, what)
    rows = list(found.values())
    if "action_units" in spec.columns and rows:
        _objective_classes(spec, root, path, rows, log)
    return rows


def _numeral(cell: str) -> str:
    """An objective class as its Roman numeral, whichever way the sheet counts."""
    return _NUMERALS[int(cell) - 1] if cell in tuple("1234567") else cell.upper()


def _objective_classes(spec, root, path, rows, log):
    """Sets the objective classes of all rows from one source.

    The first that has every row: a sheet of classes alone, the sheet's own column (copies differ).
    Otherwise none is set, and `labels.objective` derives all from the action units.
    """
    sources = []
    for file in locate(spec.class_sheets, root)[:1]:
        columns = {"subject": SUBJECT, "name": NAME, "objective": OBJECTIVE._replace(required=True)}
        records, problems = annotations.read(file, columns)
        log.problems += problems
        classes = {
            (
                spec.normalize_subject(r.values["subject"]),
                spec.normalize_clip(r.values["name"]),
            ): r.values["objective"]
            for r in records
            if not r.invalid
        }
        sources.append((file.name, classes))
    sources.append((path.name, {(row.subject, row.name): row.objective for row in rows}))
    why = []
    for name, classes in sources:
        known = [_numeral(classes.get((row.subject, row.name), "")) for row in rows]
        missing = [row for row, numeral in zip(rows, known) if numeral not in _NUMERALS]
        if not missing:
            for row, numeral in zip(rows, known):
                row.objective = numeral
            log.sources.append(Source("objective classes", name))
            return
        if len(missing) < len(rows):
            example = f"{missing[0].subject}/{missing[0].name}"
            why.append(f"{name}, which has none for {len(missing)} clip(s), e.g. {example}")
    for row in rows:
        row.objective = ""
    what = "objective classes (derived from the action units, Davison et al. 2018, Table 2)"
    log.sources.append(Source(what, path.name, "; ".join(why)))
