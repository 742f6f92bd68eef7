"""Compares the readers with the databases' own label sheets, row by row.

    python -m tests.real_sheets DIR

DIR holds label sheets as their owners publish them, at any depth, under their published names;
none is part of this repository. Each is parsed here without any code of the package, frames are
laid out as it describes (links to one picture), and the package reads them. One line a sheet: its
rows, the clips read, the rows that a note corrects, the differences, the problems. Then the
composites: MEGC2019 with each sheet of CASME II against the organizers' list
(combined_3class_gt.csv), the others, of the databases at hand, against the published counts. The
exit code is 1 where a row or the composite MEGC2019 differs.
"""

import collections
import csv
import hashlib
import os
import pathlib
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from typing import NamedTuple

import openpyxl
import xlrd

from mer_jax import datasets
from mer_jax.datasets import composites
from tests.datasets import replica

_LINKS = 60_000  # to one file; file systems allow little more


class Row(NamedTuple):
    """A row of a sheet, as it stands there."""

    subject: str
    clip: str
    onset: int | None
    apex: int | None
    offset: int | None
    emotion: str
    units: str
    path: str  # of a frame, with {n}
    objective: str = ""


class Sheet(NamedTuple):
    """How one database's sheets are recognised, parsed and laid out."""

    database: str
    pattern: str  # of the file's path
    columns: tuple[str, ...]  # as `_NAMES`; "" for none
    row: Callable[[dict[str, str]], Row | None]
    options: dict = {}  # noqa: RUF012 (never written to)


def number(cell: str) -> int | None:
    return int(float(cell)) if re.fullmatch(r"\d+(\.0*)?", cell) else None


def tables(path: pathlib.Path) -> Iterator[list[list[str]]]:
    """The rows of every sheet of a file, as text."""
    show = lambda cell: "" if cell is None else str(cell).strip().removesuffix(".0")
    if path.suffix == ".xlsx":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            book = openpyxl.load_workbook(path, data_only=True)
        for sheet in book.worksheets:
            yield [[show(cell) for cell in row] for row in sheet.iter_rows(values_only=True)]
    elif path.suffix == ".xls":
        for sheet in xlrd.open_workbook(path).sheets():
            yield [[show(cell) for cell in sheet.row_values(i)] for i in range(sheet.nrows)]
    else:
        with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
            yield [[show(cell) for cell in row] for row in csv.reader(file)]


def instants(cells: dict[str, str]) -> tuple[int | None, int | None, int | None]:
    return number(cells["onset"]), number(cells["apex"]), number(cells["offset"])


def casme2(cells):
    subject = f"sub{int(cells['subject']):02d}"
    path = f"Cropped/{subject}/{cells['clip']}/reg_img{{n}}.jpg"
    return Row(subject, cells["clip"], *instants(cells), cells["emotion"], cells["units"], path)


def samm(cells):
    subject = f"{int(cells['subject']):03d}"
    path = f"SAMM/{subject}/{cells['clip']}/{subject}_{{n:05d}}.jpg"
    return Row(subject, cells["clip"], *instants(cells), cells["emotion"], cells["units"], path)


_CASME_SQUARED = (15, 16, 19, 20, 21, 22, 23, 24, 25, 26, 27, 29, 30, 31, 32, 33, 34, 35, 36, 37)
_CASME_SQUARED = (*_CASME_SQUARED, 38, 40)


def casme_squared(cells):
    subject = f"s{_CASME_SQUARED[int(cells['subject']) - 1]}"
    onset, apex, offset = instants(cells)
    path = f"cropped/{subject}/{cells['clip']}/img{{n}}.jpg"
    labels = (cells["emotion"], cells["units"], path)
    return Row(subject, cells["clip"], onset, apex or None, offset or None, *labels)


def casme3(cells):
    subject = f"spNo.{int(cells['subject'].lower().removeprefix('spno.'))}"
    onset, apex, offset = instants(cells)
    path = f"Part_A_ME_clip/frame/{subject}_{cells['clip']}_{onset}/{{n}}.jpg"
    clip = f"{cells['clip'].lower()}_{onset}"
    return Row(subject, clip, onset, apex, offset or None, cells["emotion"], cells["units"], path)


def smic_extended(cells):
    found = re.fullmatch(r"s(\d+)_([a-z]+)_(\d+)", cells["clip"])
    if not found:
        return None
    subject = f"s{int(found[1]):02d}"
    clip = f"{subject}_{found[2]}_{int(found[3]):02d}"
    path = f"HS_long/SMIC-HS-E/{subject}/{cells['clip']}/image{{n}}.jpg"
    return Row(subject, clip, *instants(cells), cells["emotion"], "", path)


def mmew(cells):
    folder = {"others": "repression"}.get(cells["emotion"], cells["emotion"])
    path = f"Micro_Expression/{folder}/{cells['clip']}/{{n}}.jpg"
    subject = cells["clip"].split("-")[0]
    return Row(subject, cells["clip"], *instants(cells), cells["emotion"], cells["units"], path)


_FRAMES = ("OnsetFrame", "ApexFrame", "OffsetFrame")
_HEADS = ("Subject", "Filename", *_FRAMES, "Estimated Emotion", "Action Units")
_SHORT = ("Subject", "Filename", "Onset", "Apex", "Offset", "emotion", "AU", "Objective class")
_SAMM = ("Subject", "Filename", "Onset Frame", "Apex Frame", "Offset Frame", *_HEADS[5:])
_SAMM = (*_SAMM, "Objective Classes")
SHEETS = (
    Sheet("casme2", r"CASME2-coding[^/]*$", (*_HEADS, "Objective Classes"), casme2),
    Sheet("casme2", r"CASME2-coding[^/]*$", _HEADS, casme2),
    Sheet("casme2", r"casme2/coding\.csv$", (*_HEADS[:5], "Emotion", "Aus"), casme2),
    Sheet("samm", r"SAMM(_\d+)?_Micro_FACS[^/]*$|/SAMM\.xlsx$", _SAMM, samm),
    Sheet("samm", r"samm/coding\.csv$", (*_HEADS[:5], "Emotion", ""), samm),
    Sheet("casme_squared", r"code_final[^/]*$", (), casme_squared, {"kind": "all"}),
    Sheet("casme3", r"part_A_ME_label[^/]*$|casme3_table|part_A_edited", _SHORT, casme3),
    Sheet(
        "smic",
        r"SMIC-HS-E_annotation[^/]*$",
        ("Subject", "Filename", "OnsetF", "", "OffsetF", "Emotion", ""),
        smic_extended,
        {"images": "extended"},
    ),
    Sheet("mmew", r"MMEW_Micro_Exp[^/]*$", _HEADS, mmew),
)
_NAMES = ("subject", "clip", "onset", "apex", "offset", "emotion", "units", "objective")
_NUMERALS = ("I", "II", "III", "IV", "V", "VI", "VII")


def parse(path: pathlib.Path, sheet: Sheet) -> list[Row]:
    """The rows of the first table that has all the headings; of one without any, by position."""
    for rows in tables(path):
        start, columns = 0, dict(zip((*_NAMES[:5], "units", "emotion"), range(7)))
        if sheet.columns:
            heads = [h for h in sheet.columns if h]
            start = next((i + 1 for i, row in enumerate(rows) if set(heads) <= set(row)), 0)
            if not start:
                continue
            head = rows[start - 1]
            columns = {n: head.index(h) for n, h in zip(_NAMES, sheet.columns) if h}
        found = []
        for cells in rows[start:]:
            cells = cells + [""] * 12
            named = dict.fromkeys(_NAMES, "") | {n: cells[c] for n, c in columns.items()}
            if named["subject"] and named["clip"] and (row := sheet.row(named)):
                numeral = named["objective"]
                numeral = _NUMERALS[int(numeral) - 1] if numeral.isdigit() else numeral
                found.append(row._replace(objective=numeral))
        if found:
            return found
    return []


def lay(root: pathlib.Path, rows: list[Row]) -> None:
    """A picture for every frame of every row, from the first to the last instant it marks."""
    source, count = root / "picture.jpg", 0
    replica.save(source, replica.draw(0, 1, (8, 8))[0])
    for row in rows:
        marked = [n for n in (row.onset, row.apex, row.offset) if n is not None]
        assert row.onset is not None
        first, last = row.onset, max(marked)
        if last - first >= 1000:
            last = sorted(marked)[1] + 30
        if first >= last and len(marked) == 3:  # the onset is the wrong one
            first = sorted(marked)[0] - 30
        last += 45 if row.offset is None else 0
        (root / row.path).parent.mkdir(parents=True, exist_ok=True)
        for n in range(first, max(last, first + 1) + 1):
            path = root / row.path.format(n=n)
            count += 1
            if count % _LINKS == 0:
                source = root / f"picture{count}.jpg"
                replica.save(source, replica.draw(0, 1, (8, 8))[0])
            os.link(source, path)


def frame(clip, index: int | None) -> int | None:
    return None if index is None else int(re.findall(r"\d+", clip.read.files[index].stem)[-1])


def compare(rows: list[Row], found, database: str) -> tuple[dict[str, int], list[str]]:
    """(counts, a line for each difference): of a row and the clip that was read from it."""
    clips = {(clip.subject, clip.name): clip for clip in found.clips}
    noted = collections.Counter(
        finding.where.split(" ")[0]
        for finding in (*found.problems, *found.notes)
        if finding in found.problems or re.search(r"became|is None|: the apex is", finding.what)
    )
    count = collections.Counter(rows=len(rows), clips=len(clips))
    wrong = []
    for row in rows:
        key = f"{database}/{row.subject}/{row.clip}"
        clip = clips.get((row.subject, row.clip))
        if clip is None:
            count["noted"] += bool(noted[key])
            wrong += [] if noted[key] else [f"{key} is lost"]
            continue
        last = len(clip.read.files) - 1
        want = (row.onset, row.apex, row.offset, row.emotion.lower(), row.units, row.objective)
        offset = None if row.offset is None and clip.offset in (None, last) else clip.offset
        got = (frame(clip, clip.onset), frame(clip, clip.apex), frame(clip, offset))
        got = (*got, clip.emotion, clip.action_units, clip.objective)
        if " ".join(map(str, want)).split() != " ".join(map(str, got)).split():
            count["noted"] += bool(noted[key])
            wrong += [] if noted[key] else [f"{key} is {got} where the sheet has {want}"]
    extra = set(clips) - {(row.subject, row.clip) for row in rows}
    renamed = {note.what for note in found.notes if note.what.startswith("name ")}
    wrong += [
        f"{'/'.join(key)} is in no row"
        for key in extra
        if not any(repr(key[1]) in what for what in renamed)
    ]
    return count, wrong


def official(folder: pathlib.Path) -> set[tuple[str, str, str, str]]:
    """(database, subject, clip, class) of the organizers' list of the 2019 challenge."""
    for file in folder.rglob("combined_3class_gt.csv"):
        with open(file, encoding="utf-8-sig", newline="") as lines:
            rows = [row for row in csv.reader(lines) if row and row[0]]
        classes = {"0": "negative", "1": "positive", "2": "surprise"}
        return {
            (name, subject.zfill(3) if name == "samm" else subject, clip, classes[label])
            for name, subject, clip, label in rows
        }
    return set()


def lay_smic(root: pathlib.Path, wanted: set[tuple[str, str, str, str]]) -> None:
    """SMIC-HS, whose folders are its labels; 20 frames a clip."""
    rows = []
    for name, subject, clip, label in sorted(wanted):
        if name == "smic":
            path = f"SMIC_all_cropped/HS/s{int(subject[1:])}/micro/{label}"
            path += f"/{re.sub(r'_0|^s0', lambda m: m[0][:-1], clip)}/reg_image{{n}}.jpg"
            rows.append(Row(subject, clip, 1, None, 20, label, "", path))
    root.mkdir()
    lay(root, rows)


def check_composites(folder, scratch, laid, wanted) -> int:
    """Prints a line for each composite; how many sheets of CASME II give another MEGC2019."""
    lay_smic(scratch / "smic", wanted)
    failed = 0
    for file, casme2_root in laid["casme2"]:
        root = scratch / "megc2019"
        root.mkdir()
        for name, target in (
            *(("casme2", casme2_root), ("samm", laid["samm"][0][1]), ("smic", scratch / "smic")),
        ):
            (root / name).symlink_to(target)
        found = datasets.inspect("megc2019", root)
        got = {(c.database, c.subject, c.name, g) for c, g in zip(found.clips, found.groups)}
        failed += got != wanted or bool(found.problems)
        where = file.relative_to(folder)
        print(f"megc2019  {len(got)} clips, {len(got ^ wanted)} not as listed; CASME II of {where}")
        for problem in found.problems[:3]:
            print("    ", problem)
        for name in ("casme2", "samm", "smic"):
            (root / name).unlink()
        root.rmdir()
    for name in composites.names():
        clips, there = [], set()
        for part, options in composites.get(name).parts:
            if part in laid and (part, options) != ("smic", {"part": "vis"}):
                root = scratch / "smic" if part == "smic" else laid[part][0][1]
                given = options if part == "smic" else {**options, "labels": laid[part][0][0].name}
                clips += datasets.inspect(part, root, **given).clips
                there.add(part)
        if clips and name != "megc2019":
            print(f"{name}  {len(clips)} clips of {', '.join(sorted(there))}")
            for line in composites.differences(name, composites.compose(name, clips)):
                print("    ", line)
    return failed


def main(folder: pathlib.Path) -> int:
    """Prints the table; 1 where something differs."""
    files, seen, failed = sorted(f for f in folder.rglob("*") if f.is_file()), set[str](), 0
    laid = collections.defaultdict[str, list[tuple[pathlib.Path, pathlib.Path]]](list)
    print(f"{'database':<14}{'rows':>5}{'clips':>6}{'noted':>6}{'differ':>7}{'problems':>9}  sheet")
    with tempfile.TemporaryDirectory(dir=folder) as name:
        scratch = pathlib.Path(name)
        for file in files:
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            if digest in seen or file.suffix not in (".xlsx", ".xls", ".csv"):
                continue
            seen.add(digest)
            kinds = [sheet for sheet in SHEETS if re.search(sheet.pattern, file.as_posix())]
            parsed = ((sheet, parse(file, sheet)) for sheet in kinds)
            sheet, rows = next((pair for pair in parsed if pair[1]), (None, []))
            if not sheet:
                continue
            root = scratch / f"{len(seen)}" / sheet.database
            root.mkdir(parents=True)
            lay(root, rows)
            (root / file.name).symlink_to(file.resolve())
            found = datasets.inspect(sheet.database, root, labels=file.name, **sheet.options)
            count, wrong = compare(rows, found, sheet.database)
            failed += len(wrong) + len(found.problems)
            if file.name != "coding.csv" and (sheet.database != "casme2" or len(rows) == 255):
                laid[sheet.database].append((file, root))
            print(
                f"{sheet.database:<14}{count['rows']:>5}{count['clips']:>6}{count['noted']:>6}"
                f"{len(wrong):>7}{len(found.problems):>9}  {file.relative_to(folder)}"
            )
            for line in (*wrong[:5], *found.problems[:5]):
                print("   ", line)
        if wanted := official(folder):
            laid["smic"] = laid["smic"] or [(folder, folder)]
            failed += check_composites(folder, scratch, laid, wanted)
    return int(failed > 0)


if __name__ == "__main__":
    if len(sys.argv) != 2 or not os.path.isdir(sys.argv[1]):
        raise SystemExit(__doc__)
    raise SystemExit(main(pathlib.Path(sys.argv[1])))
