"""Files of spotted intervals, as the field passes them on.

    vid,pred_onset,pred_offset,type             MEGC 2022 and 2023; type me or mae (or 2 or 1)
    subject,video,onset,offset,emotion          MEGC 2024 and 2025
    subject,video_name,start_frame,apex_frame,end_frame,...      the annotations of ABPN and AUW-GCN
    1                                           log of MEGC 2020: 1 SAMM Long Videos, 2 CAS(ME)^2,
    006_1  566  743  560  740  TP               video, true onset and offset, predicted ones, or -
    s15/15_0401* __ __ 528 590 FP               likewise without the database, as in MEGC 2021
    s15/15_0401angry,,,528,590,FP,1             likewise

Columns are found by their headings, in any order. Without a column of subjects, the subject is the
name of the video up to its last "_" (006_1, s15_0401). An expression of CAS(ME)^2 that lasts to the
end of its video has the offset 0: it ends here at its apex, as in `datasets.long_videos`.
"""

import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mer_jax.errors import DataError, Problem, UserError
from mer_jax.io import reading, saving
from mer_jax.keys import composed
from mer_jax.metrics.matching import Event

_HEADS = {
    "subject": ("subject",),
    "video": ("video", "vid", "video_name", "clip"),
    "onset": ("onset", "pred_onset", "start_frame"),
    "offset": ("offset", "pred_offset", "end_frame"),
    "apex": ("apex", "apex_frame"),
    "kind": ("type", "kind", "type_idx"),
    "emotion": ("emotion", "pred_emotion"),
}
_KINDS = {
    **dict.fromkeys(("me", "micro", "2", "micro-expression"), "micro"),
    **dict.fromkeys(("mae", "macro", "1", "macro-expression"), "macro"),
}
_DATABASES = {"1": "samm_lv", "2": "casme_squared"}
_NONE = ("", "-", "__", "nan")  # in a log


class Log(NamedTuple):
    """A log of MEGC 2020: both sides, and how many lines it calls TP, FP and FN."""

    truths: list[Event]
    predictions: list[Event]
    claimed: dict[str, int]


def is_log(path: str | os.PathLike) -> bool:
    """Whether a file is a log of MEGC 2020."""
    if reading.expanded(path).is_dir():
        return False
    lines = [line.strip() for line in reading.read_text(path).splitlines() if line.strip()]
    first = next((line for line in lines if line not in _DATABASES), "")
    return _log_line(first) is not None


def _log_line(line: str) -> tuple[str, list[int | None], str] | None:
    """Video, true onset and offset and predicted ones, and TP, FP or FN; None of another line."""
    cells = [cell.strip() for cell in line.split(",")] if "," in line else line.split()
    numbers = [reading.integer(cell) for cell in cells[1:5]]
    known = (n is not None or c.casefold() in _NONE for n, c in zip(numbers, cells[1:5]))
    if len(cells) < 6 or cells[5].upper() not in ("TP", "FP", "FN") or not all(known):
        return None
    return cells[0].rstrip("*"), numbers, cells[5].upper()


def is_table(path: str | os.PathLike) -> bool:
    """Whether a file is a log of MEGC 2020, or has the headings of a table of intervals."""
    if reading.expanded(path).is_dir():
        return False
    head = re.split(r"[,;\t]", reading.read_text(path).partition("\n")[0].casefold())
    names = {cell.strip().strip('"') for cell in head}
    if {"label", "predicted"} <= names:  # recognized clips, with their instants
        return False
    return is_log(path) or all(names & {*_HEADS[field]} for field in ("video", "onset", "offset"))


def read(path: str | os.PathLike) -> list[Event]:
    """The intervals of a table. A predicted onset may be negative, as in files of the field; its
    frames count.

    Raises:
      UserError: for columns that are missing.
      DataError: with all rows that cannot be read.
    """
    text = reading.read_text(path)
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    with reading.report_no_table(path):
        rows = list(reading.rows(text, delimiter, skip_blanks=True))
    heads = [cell.strip().casefold() for cell in rows[0]] if rows else []
    column = {
        field: heads.index(found[0])
        for field, names in _HEADS.items()
        if (found := [name for name in names if name in heads])
    }
    for field in ("video", "onset", "offset"):
        if field not in column:
            names = " or ".join(_HEADS[field])
            raise UserError(f"{path}: line 1 has no column {names}; it begins {','.join(heads)!r}")
    found_events, problems = [], []
    for number, cells in enumerate(rows[1:], 2):
        if not any(cell.strip() for cell in cells):
            continue
        row = {field: cells[at].strip() for field, at in column.items() if at < len(cells)}
        event = _event(row, kinds="kind" in column)
        if isinstance(event, Event):
            found_events.append(event)
        else:
            problems.append(Problem(f"line {number}", event))
    if problems:
        raise DataError(str(path), problems, max_per_kind=10)
    return found_events


def _event(row: Mapping[str, str], *, kinds: bool) -> Event | str:
    """The event of a row, or what is wrong with it."""
    video, kind = row.get("video", ""), row.get("kind", "").casefold()
    onset, offset, apex = (
        reading.integer(row.get(field, "")) for field in ("onset", "offset", "apex")
    )
    if offset == 0 and onset and apex is not None:
        offset = apex
    if onset is None or offset is None:
        field = "onset" if onset is None else "offset"
        return f"{field} is {row.get(field, '')!r}, not the number of a frame"
    if offset < onset:
        return f"the offset {offset} is before the onset {onset}"
    if not video:
        return "the cell of the video is blank"
    if kinds and kind not in _KINDS:
        return f"{kind!r} is no kind of expression; it is me or mae"
    subject = row.get("subject") or video.rpartition("_")[0] or video
    emotion = composed(row.get("emotion", "")).casefold()
    emotion = "" if emotion == "nan" else emotion  # as pandas writes a blank cell
    return Event(subject, video, onset, offset, _KINDS.get(kind, ""), emotion)


def read_log(path: str | os.PathLike) -> Log:
    """Both sides of a log of MEGC 2020. An interval that several lines name is there once.

    Raises `DataError` with all lines that are none of a log.
    """
    database, sides, problems = "", (dict[Event, None](), dict[Event, None]()), []
    claimed = dict.fromkeys(("TP", "FP", "FN"), 0)
    for number, line in enumerate(reading.read_text(path).splitlines(), 1):
        line = line.strip()
        if line in _DATABASES:
            database = _DATABASES[line]
        elif found := _log_line(line):
            name, numbers, verdict = found
            subject, _, video = name.rpartition("/")
            subject = subject or video.rpartition("_")[0] or video
            claimed[verdict] += 1
            for side, (onset, offset) in zip(sides, (numbers[:2], numbers[2:])):
                if onset is not None and offset is not None:
                    side[Event(subject, video, onset, offset, database=database)] = None
        elif line:
            what = "is neither 1 nor 2 nor `video onset offset onset offset TP`, - for none"
            problems.append(Problem(f"line {number}", what))
    if problems:
        raise DataError(str(path), problems, max_per_kind=10)
    return Log(list(sides[0]), list(sides[1]), claimed)


def write(path: str | os.PathLike, events: Sequence[Event]) -> pathlib.Path:
    """Writes intervals as MEGC 2024 reads them if one has an emotion, else as MEGC 2022 does.

    Their kind is a column if all have one.
    """
    names, kinds = {"micro": "me", "macro": "mae"}, all(event.kind for event in events)
    if any(event.emotion for event in events):
        head = ["subject", "video", "onset", "offset", "emotion", *["type"] * kinds]
        rows = [
            [e.subject, e.video, e.onset, e.offset, e.emotion, *[names.get(e.kind)] * kinds]
            for e in events
        ]
    else:
        # Without its own column, the subject is read as the name up to the last underscore.
        own = any(_vid(event).rpartition("_")[0] != event.subject for event in events)
        head = ["vid", "pred_onset", "pred_offset", *["type"] * kinds, *["subject"] * own]
        rows = [
            [_vid(e), e.onset, e.offset, *[names.get(e.kind)] * kinds, *[e.subject] * own]
            for e in events
        ]
    return saving.write(path, saving.csv_text([head, *rows]))


def _vid(event: Event) -> str:
    """The name of a video with that of its subject in front."""
    begins = event.video.startswith(f"{event.subject}_")
    return event.video if begins else f"{event.subject}_{event.video}"
