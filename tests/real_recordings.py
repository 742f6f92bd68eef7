"""Compares the readers of long videos, and DFME's, with a second parse of the authors' own sheets.

    python -m tests.real_recordings DIR

DIR holds the sheets, named as their authors name them; they belong to their owners and are never
committed. For each, folders with the marked frames alone are laid down in a temporary folder and
read; the second parse uses openpyxl and xlrd directly and shares no code with the readers. One line
a sheet is printed, then the differences; the exit code is their number.
"""

import collections
import pathlib
import re
import shutil
import sys
import tempfile
from collections.abc import Callable

import cv2
import numpy as np
import openpyxl
import xlrd

from mer_jax import datasets
from mer_jax.datasets import recordings

# A row: (subject, video), onset, apex, offset, kind, emotion, action units.
Rows = collections.Counter
PIXELS = cv2.imencode(".png", np.zeros((4, 4, 3), np.uint8))[1].tobytes()


def cells(path: pathlib.Path, tab: int = 0) -> list[list]:
    """The rows of a sheet."""
    if path.suffix == ".xls":
        sheet = xlrd.open_workbook(path).sheets()[tab]
        return [sheet.row_values(row) for row in range(sheet.nrows)]
    sheet = openpyxl.load_workbook(path, data_only=True).worksheets[tab]
    return [list(row) for row in sheet.iter_rows(values_only=True)]


def lay(root: pathlib.Path, folder: str, pattern: str, numbers) -> None:
    """Files of a folder with these frame numbers."""
    (root / folder).mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (root / folder / pattern.format(number)).write_bytes(PIXELS)


def words(cell) -> str:
    """A cell of action units as the readers give it."""
    text = " ".join(str(cell).split())
    return "" if text.casefold() == "null" else text


def samm_lv(source: pathlib.Path, root: pathlib.Path) -> Rows:
    """SAMM Long Videos; fractions are rounded half up, as the MEGC 2020 baseline does."""
    emotions = {}
    for path in source.parent.glob("SAMM*Micro*FACS*"):
        shutil.copy(path, root)
        emotions = {row[1]: str(row[9]).lower() for row in cells(path) if row[1]}
    head = next(at for at, row in enumerate(cells(source)) if row[0] == "Subject")
    rows = Rows()
    for row in cells(source)[head + 1 :]:
        video = "_".join(row[1].split("_")[:2])
        onset, apex, offset = (int(float(value) + 0.5) for value in row[3:6])
        micro = row[7].startswith("Micro")
        onset, apex = max(1, onset), None if row[4] == -1 else apex  # files count from 1
        emotion = emotions.get(row[1]) if micro else None
        kind = "micro" if micro else "macro"
        rows[((row[0], video), onset, apex, offset, kind, emotion, words(row[8]))] += 1
        lay(root, f"SAMM_longvideos/{video}", f"{video}_{{:04d}}.jpg", {1, onset, offset})
        lay(root, f"SAMM_longvideos/{video}", f"{video}_{{:04d}}.jpg", {apex or onset})
    return rows


def casme_squared(source: pathlib.Path, root: pathlib.Path) -> Rows:
    """CAS(ME)^2 by its own naming rules, tabs 2 and 3."""
    subjects = {row[2]: row[1] for row in cells(source, 1)}
    stimuli = {row[1]: row[0] for row in cells(source, 2)}
    rows = Rows()
    for row in cells(source):
        subject, video = subjects[row[0]], stimuli[row[1].split("_")[0]]
        onset, apex, offset = row[2:5]
        if not offset:
            offset = apex
        elif not onset <= apex <= offset:
            apex = None
        rest = (row[7].split("-")[0].lower(), row[6], words(row[5]))
        rows[((subject, video), onset, apex, offset, *rest)] += 1
        folder = f"rawpic/{subject}/{subject[1:]}_{video}x"
        lay(root, folder, "img{:03d}.jpg", {1, onset, apex or onset, offset})
    return rows


def casme3(source: pathlib.Path, root: pathlib.Path) -> Rows:
    """CAS(ME)^3 part A; emotions from the sheet of micro-expressions, by two of three instants."""
    emotions = {}
    for path in source.parent.glob("cas(me)3_part_A_ME_label_JpgIndex_v2*"):
        shutil.copy(path, root)
        for row in cells(path)[1:]:
            if row[0]:
                key, at = (row[0], row[1].lower()), [str(value) for value in row[2:5]]
                for without in range(3):
                    pair = tuple(None if i == without else at[i] for i in range(3))
                    emotions[(*key, pair)] = row[7].lower()
    rows = Rows()
    for row in cells(source)[1:]:
        onset, apex, offset = (int(float(value)) for value in row[2:5])
        micro, emotion = row[6].startswith("Micro"), None
        for without in (2, 1, 0):
            instants = [str(int(float(value))) for value in row[2:5]]
            pair = tuple(None if i == without else instants[i] for i in range(3))
            emotion = emotion or emotions.get((row[0], row[1].lower(), pair))
        if offset == 3460 and row[0].endswith(".214"):
            offset = 34
        name = (f"spNo.{row[0].split('.')[1]}", row[1].lower())
        kind = "micro" if micro else "macro"
        rows[(name, onset, apex, offset, kind, emotion if micro else None, words(row[5]))] += 1
        lay(root, f"part_A/{row[0]}/{row[1]}/color", "{}.jpg", {onset, apex, offset})
    return rows


def smic(source: pathlib.Path, root: pathlib.Path) -> Rows:
    """SMIC-HS-E; second and third expressions where they lie inside of the clip."""
    head, *table = cells(source)
    first, last = head.index("FirstF"), head.index("LastF")
    rows = Rows()
    for row in table:
        if not isinstance(row[3], int | float):
            continue
        prefix, code, number = row[1].split("_")
        video = f"s{int(prefix[1:]):02d}_{code}_{int(number):02d}"
        emotion = {"ne": "negative", "po": "positive", "sur": "surprise"}[code]
        spans = {(int(row[3]), int(row[4]))}
        for at, name in enumerate(head):
            ends = row[at : at + 2]
            if re.fullmatch(r"Onset\dF", str(name)) and all(isinstance(e, int) for e in ends):
                inside = row[first] <= ends[0] < ends[1] <= row[last]
                spans |= {(ends[0], ends[1])} if inside else set()
        subject = f"s{int(row[0]):02d}"
        for onset, offset in spans:
            rows[((subject, video), onset, None, offset, "micro", emotion, "")] += 1
            lay(root, f"HS_long/SMIC-HS-E/{subject}/{row[1]}", "image{}.jpg", {onset, offset})
    return rows


SHEETS: dict[str, tuple[str, Callable]] = {
    "SAMM_LongVideos*": ("samm_lv", samm_lv),
    "CAS(ME)^2code*": ("casme_squared", casme_squared),
    "CAS(ME)3_part_A_v*": ("casme3", casme3),
    "SMIC-HS-E_annotation*": ("smic", smic),
}


def compare(database: str, sheet: pathlib.Path, second_parse: Callable) -> int:
    """Prints the line of a sheet and its differences; their number."""
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        shutil.copy(sheet, root)
        theirs = second_parse(sheet, root)
        found = recordings.inspect(database, root)
        ours = Rows()
        for video in found.recordings:
            numbers = video.read.numbers
            for each in video.intervals:
                apex = None if each.apex is None else int(numbers[each.apex])
                ends = int(numbers[each.onset]), apex, int(numbers[each.offset])
                rest = (each.kind, each.emotion, each.action_units)
                ours[((video.subject, video.name), *ends, *rest)] += 1
    counts = ", ".join(f"{n} {name}" for name, n in recordings.counts(found.recordings).items())
    different = sum(((ours - theirs) + (theirs - ours)).values())
    print(f"{sheet.name}: {counts}; {len(found.problems)} problem(s); {different} difference(s)")
    for row in [*(ours - theirs), *(theirs - ours)][:10]:
        print(f"  {'ours' if row in ours else 'theirs'}: {row}")
    return different + len(found.problems)


def dfme(sheets: list[pathlib.Path]) -> int:
    """As `compare`, for the three sheets of DFME, whose clips are short."""
    theirs = {}
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for sheet in sheets:
            shutil.copy(sheet, root / sheet.name.replace("DFME_", ""))
            for row in cells(sheet)[1:]:
                if row[0]:
                    lay(root, f"DFME/{row[1]}", "{:05d}.png", {*row[2:5]})
                    key = f"dfme/{row[0]}/{row[1]}"
                    theirs[key] = (*row[2:6], float(row[7]), words(row[8]))
        found = datasets.inspect("dfme", root, allow_mismatch=True)
        ours = {}
        for clip in found.clips:
            number = [int(file.stem) for file in clip.read.files]
            instants = (number[at] for at in (clip.onset, clip.apex, clip.offset))
            ours[clip.key] = (*instants, clip.emotion, clip.fps, clip.action_units)
    different = sum(ours.get(key) != theirs.get(key) for key in {*ours, *theirs})
    print(f"DFME: {len(ours)} clips; {len(found.problems)} problem(s); {different} difference(s)")
    return different + len(found.problems)


def main(folder: str) -> int:
    """Compares all sheets of a folder."""
    files = sorted(pathlib.Path(folder).iterdir())
    wrong = 0
    for pattern, (database, second_parse) in SHEETS.items():
        for sheet in (file for file in files if file.match(pattern)):
            wrong += compare(database, sheet, second_parse)
    parts = [
        f for f in files if re.match(r"(DFME_)?(train|test_?[AB])", f.name) and "xls" in f.suffix
    ]
    return wrong + (dfme(parts) if parts else 0)


if __name__ == "__main__":
    sys.exit(min(1, main(sys.argv[1])))
