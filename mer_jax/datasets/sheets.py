"""From a label sheet to rows: which file it is, what its cells mean in this database."""

import fnmatch
import pathlib
from collections.abc import Sequence

from mer_jax.datasets import annotations, folders
from mer_jax.datasets.records import NAME, OBJECTIVE, SUBJECT, Database, Log, Row

_NUMERALS = ("I", "II", "III", "IV", "V", "VI", "VII")


def locate(patterns: Sequence[str], root: pathlib.Path) -> list[pathlib.Path]:
    """The files at most two levels below `root` that match, the preferred pattern first."""
    files = [
        pathlib.Path(entry.path)
        for _, entries in folders.below(root, depth=2)
        for entry in entries
        if not entry.is_dir() and not entry.name.startswith("~$")  # a lock of an open workbook
    ]
    found = (f for p in patterns for f in files if fnmatch.fnmatch(f.name.lower(), p.lower()))
    return list(dict.fromkeys(found))


def choose(spec: Database, root: pathlib.Path, labels: str, log: Log) -> pathlib.Path | None:
    """The label sheet to read, or None with the problem in `log`."""
    if labels:
        given = pathlib.Path(labels).expanduser()
        path = given if given.is_file() else root / labels
        if path.is_file():
            return path
        log.add_problem(str(path), "is no file; labels= should name the label sheet")
        return None
    found = locate(spec.sheets, root)
    if not found:
        what = (
            f"holds no label sheet {spec.sheets[0]!r}, nor another release of it; "
            "labels=FILE names one that lies elsewhere"
        )
        log.add_problem(str(root), what)
        return None
    if len(found) > 1:
        others = ", ".join(file.name for file in found[1:])
        log.add_note(found[0].name, f"is read; also there: {others} (labels= chooses)")
    return found[0]


def rows(spec: Database, root: pathlib.Path, path: pathlib.Path, log: Log) -> list[Row]:
    """The rows of the sheet at `path`, each clip once."""
    records, problems = annotations.read(
        path, spec.columns, sheets=spec.sheet, positions=spec.positions
    )
    log.problems += problems
    for field, column in spec.columns.items():
        if records and field not in records[0].values:
            log.add_note(path.name, f"has no column {column.names[0]!r}")
    classes = _classes(spec, root, log)
    found: dict[tuple[str, str], Row] = {}
    for record in records:
        cells = record.values
        for field in ("action_units", "objective"):
            if cells.get(field) == "":
                log.add_note(record.where, f"its {spec.columns[field].names[0]!r} cell is blank")
        subject, name = spec.subject(cells["subject"] or ""), spec.clip(cells["name"] or "")
        row = Row(
            where=record.where,
            subject=subject,
            name=name,
            emotion=(cells.get("emotion") or "").lower(),
            onset=cells.get("onset"),
            apex=cells.get("apex"),
            offset=cells.get("offset"),
            action_units=cells.get("action_units") or "",
            objective=_objective(
                cells.get("objective") or classes.get((subject, name), ""), record.where, log
            ),
            broken=record.broken,
        )
        row = spec.adapt(row, cells)
        if row.fault and not row.broken:
            log.add_problem(row.where, row.fault)
            row.broken = True
        other = found.setdefault((row.subject, row.name), row)
        if other is not row and row.name:
            what = f"clip {row.subject}/{row.name} again (first in {other.where}); remove one"
            log.add_problem(row.where, what)
    return list(found.values())


def _objective(cell: str, where: str, log: Log) -> str:
    """A class as its Roman numeral, whichever way the sheet counts; '' where it is none."""
    numeral = _NUMERALS[int(cell) - 1] if cell in tuple("1234567") else cell.upper()
    if numeral not in ("", *_NUMERALS):
        log.add_note(where, f"{cell!r} is no objective class; the action units decide")
        return ""
    return numeral


def _classes(spec, root, log):
    """Objective classes from a sheet of their own, where there is one."""
    found = locate(spec.classes, root)
    if not found:
        return {}
    columns = {"subject": SUBJECT, "name": NAME, "objective": OBJECTIVE._replace(needed=True)}
    records, problems = annotations.read(found[0], columns)
    log.problems += problems
    return {
        (spec.subject(r.values["subject"]), spec.clip(r.values["name"])): r.values["objective"]
        for r in records
        if not r.broken
    }
