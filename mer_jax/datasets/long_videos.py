"""The databases of long videos: their folders and files, and how a row of their sheets is read.

samm_lv         SAMM_longvideos/006_1/006_1_0001.jpg        SAMM_LongVideos_V2_Release.xlsx
casme_squared   rawpic/s15/15_0101disgustingteeth/img001.jpg    CAS(ME)^2code_final.xlsx
                rawvideo/s15/15_0101disgustingteeth.avi
casme3          part_A/spNO.1/a/color/355.jpg               CAS(ME)3_part_A_v2.xls
smic            HS_long/SMIC-HS-E/s03/s3_ne_04/image302370.jpg  SMIC-HS-E_annotation.xlsx
"""

import dataclasses
import math
import pathlib
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from mer_jax.datasets import annotations, casme3, casme_squared, records, samm, sheets, smic
from mer_jax.datasets.annotations import Column, zero_padded
from mer_jax.datasets.folders import FolderLayout
from mer_jax.errors import UserError, unknown_name
from mer_jax.recordings import KINDS


class Mark(NamedTuple):
    """One row of a sheet: an expression, with instants as frame numbers of its recording."""

    subject: str
    video: str
    kind: str
    onset: int | None
    apex: int | None
    offset: int | None
    emotion: str | None = None
    action_units: str = ""
    name: str = ""  # of the expression, by which another sheet gives its emotion
    note: str = ""  # how a fault of the published row is resolved


@dataclasses.dataclass(frozen=True, kw_only=True)
class LongVideos(records.DatabaseFiles):
    """A database of long videos. `published` counts recordings, micro and macro."""

    marks: Callable[[Mapping[str, Any]], list[Mark]]  # of a row; raises `UserError` for a fault
    # From another sheet, with its problems.
    emotions: Callable[[list[Mark], pathlib.Path, records.IssueLog], list[Mark]] | None = None
    identify: Callable[[Mapping[str, str]], tuple[str, str]]  # a folder's groups: subject, video
    tolerance: int = 2  # frames by which a marked instant may miss the nearest frame
    unlisted: str = "empty"  # recordings without a row: "empty", or "left out"
    absent: frozenset[tuple[str, str]] = frozenset()  # marked in a sheet, but in no release


def _number(cells: Mapping[str, Any], field: str) -> int | None:
    """A frame number; fractions are rounded to the nearest frame, halves up."""
    text = str(cells.get(field) or "")
    if annotations.slug(text) in ("", "na", "nan", "none", "null") or text in ("/", "-", "?"):
        return None
    try:
        value = float(text)
        if not math.isfinite(value):
            raise ValueError
    except ValueError:
        raise UserError(f"{field} is {text!r}, not the number of a frame") from None
    return math.floor(value + 0.5)


def _kind(cells: Mapping[str, Any]) -> str:
    word = annotations.slug(cells["kind"])
    for kind in KINDS:
        if word.startswith(kind):
            return kind
    raise UserError(f"{cells['kind']!r} is neither a micro- nor a macro-expression")


def _units(cells: Mapping[str, Any]) -> str:
    text = cells.get("action_units") or ""
    return "" if annotations.slug(text) == "null" else text


_INSTANTS = {
    field: Column((field.title(), f"{field.title()}Frame", f"{field.title()} Frame"))
    for field in ("onset", "apex", "offset")
}


def _samm(cells):
    name = cells["name"]
    if not re.fullmatch(r"\d+_\d+_\d+", name):
        raise UserError(f"{name!r} is no expression of a recording, like 006_1_2")
    subject, video, _ = name.split("_")
    apex = _number(cells, "apex")
    return [
        Mark(
            subject=f"{int(subject):03d}",
            video=f"{int(subject):03d}_{int(video)}",
            kind=_kind(cells),
            onset=_number(cells, "onset"),
            apex=None if apex == -1 else apex,  # the sheet's mark of an apex that is not annotated
            offset=_number(cells, "offset"),
            action_units=_units(cells),
            name=name,
        )
    ]


def _emotion_rows(names, root, columns, emotions, log, **options):
    """The rows of the sheet of emotions; those of another word than `emotions` are problems."""
    found = sheets.locate(names, root)
    rows, wrong = annotations.read(found[0], columns, **options) if found else ([], [])
    log.problems += wrong
    out = []
    for row in rows:
        word = row.values["emotion"].lower()
        if not row.invalid and word not in emotions:
            log.add_problem(row.where, str(unknown_name("emotion", word, emotions)))
        elif not row.invalid:
            out.append(row)
    return out


def _samm_emotions(marks, root, log):
    """The emotions of micro-expressions are in the sheet of the short clips, by file name."""
    columns = {"name": records.NAME, "emotion": records.EMOTION}
    options = {"sheets": ("MICRO_ONLY",), "keys": ("name",)}
    emotions = samm.SPEC.emotions
    rows = _emotion_rows(("SAMM*Micro*FACS*",), root, columns, emotions, log, **options)
    emotion = {row.values["name"]: row.values["emotion"].lower() for row in rows}
    own = lambda mark: emotion.get(mark.name) if mark.kind == "micro" else None
    return [mark._replace(emotion=own(mark)) for mark in marks]


def _squared(cells):
    number, stimulus = cells["subject"], cells["name"].split("_")[0].lower()
    if number not in map(str, range(1, 23)):
        raise UserError(f"{number!r} is no subject of CAS(ME)^2, a number from 1 to 22")
    if stimulus not in casme_squared.STIMULI:
        raise unknown_name("stimulus", stimulus, casme_squared.STIMULI)
    onset, offset = _number(cells, "onset"), _number(cells, "offset")
    apex, note = _number(cells, "apex") or None, ""
    if not offset:
        offset = apex
        note = "has no offset frame; its apex frame replaces it, as in the MEGC 2020 baseline"
    elif apex is not None and onset is not None and not onset <= apex <= offset:
        note = f"the apex frame {apex} is outside of {onset} to {offset}; it is None"
        apex = None
    return [
        Mark(
            subject=f"s{casme_squared.SUBJECTS[int(number) - 1]}",
            video=casme_squared.STIMULI[stimulus],
            kind=_kind(cells),
            onset=onset,
            apex=apex,
            offset=offset,
            emotion=cells["emotion"].lower() or None,
            action_units=_units(cells),
            note=note,
        )
    ]


def _casme3(cells):
    mark = Mark(
        subject=zero_padded("spNo.", 1, cells["subject"]),
        video=cells["name"].lower(),
        kind=_kind(cells),
        onset=_number(cells, "onset"),
        apex=_number(cells, "apex"),
        offset=_number(cells, "offset"),
        action_units=_units(cells),
    )
    if (mark.subject, mark.video, mark.offset) == ("spNo.214", "c", 3460):
        note = "the published offset 3460 has two digits too many; it is 34"
        mark = mark._replace(offset=34, note=note)
    return [mark]


_CASME3_EMOTIONS = "cas(me)3_part_A_ME_label_JpgIndex"


def _casme3_emotions(marks, root, log):
    """The emotions of micro-expressions are in a sheet of their own; an instant may differ."""
    names = (f"{_CASME3_EMOTIONS}_v2*", f"{_CASME3_EMOTIONS}*")
    columns = {"subject": records.SUBJECT, "name": records.NAME, "emotion": records.EMOTION}
    emotions = casme3.SPEC.emotions
    rows = _emotion_rows(names, root, columns | _INSTANTS, emotions, log, sheets=("label",))

    def keys(subject, video, instants):  # two of the three instants are enough
        onset, apex, offset = instants
        pairs = ((onset, apex, None), (onset, None, offset), (None, apex, offset))
        return [(subject, video, *pair) for pair in pairs]

    emotion = dict[tuple, str]()
    for row in rows:
        cells = row.values
        subject, video = zero_padded("spNo.", 1, cells["subject"]), cells["name"].lower()
        try:
            instants = [_number(cells, field) for field in _INSTANTS]
        except UserError as error:
            log.add_problem(row.where, str(error))
            continue
        emotion |= dict.fromkeys(keys(subject, video, instants), cells["emotion"].lower())

    def labeled(mark):
        of_mark = keys(mark.subject, mark.video, (mark.onset, mark.apex, mark.offset))
        return next((emotion[key] for key in of_mark if key in emotion), None)

    return [m._replace(emotion=labeled(m) if m.kind == "micro" else None) for m in marks]


def _smic(cells):
    subject, video = _smic_video(cells)
    if not re.fullmatch(r"s\d+_[a-z]+_\d+", video):
        raise UserError(f"{cells['name']!r} is no clip of SMIC, like s3_ne_04")
    emotions = {code: emotion for emotion, code in smic.CODES.items()}
    first = Mark(
        subject=subject,
        video=video,
        kind="micro",
        onset=_number(cells, "onset"),
        apex=None,
        offset=_number(cells, "offset"),
        emotion=emotions.get(video.split("_")[1]),  # one row of the sheet contradicts it
    )
    found = [first]
    for at in ("2", "3"):
        onset, offset = _number(cells, f"onset{at}"), _number(cells, f"offset{at}")
        # In some releases these cells are formulas over blank ones, which give any number.
        if first.onset is None or onset is None or offset is None:
            continue
        usable = abs(onset - first.onset) < 1000 and 0 < offset - onset < 1000
        if usable and all((onset, offset) != (mark.onset, mark.offset) for mark in found):
            found.append(first._replace(onset=onset, offset=offset))
    return found


def _smic_video(groups):
    return zero_padded("s", 2, groups["subject"]), smic.clip_name(groups["name"])


_NAME = Column(("Filename", "File name"))
_KIND = Column(("Type", "Expression type"))

SPECS = {
    # Yap, Kendrick & Yap, FG 2020. Macro-expressions were coded at another rate: their frames have
    # fractions, and an onset of 0 or 1 means that the video begins with the expression.
    "samm_lv": LongVideos(
        name="samm_lv",
        title="SAMM Long Videos",
        fps=200.0,
        layouts={
            "raw": FolderLayout(
                ("SAMM_longvideos", "SAMM_long_videos", "SAMM Long Videos"),
                r"(^|/)(?P<subject>\d{3})_(?P<name>\d+)$",
                r".*_(\d+)",
            )
        },
        sheets=(*(f"SAMM_LongVideos_V{n}*" for n in (3, 2, 1)), "SAMM_LongVideos*"),
        worksheets=("FACS_Movement_Only",),
        columns={
            "subject": records.SUBJECT,
            "name": _NAME,
            **_INSTANTS,
            "kind": _KIND,
            "action_units": records.AUS,
        },
        marks=_samm,
        emotions=_samm_emotions,
        identify=lambda groups: (groups["subject"], f"{groups['subject']}_{int(groups['name'])}"),
        published={"recordings": 147, "micro": 159, "macro": 343},
        gray=True,
    ),
    # Qu, Wang, Yan, Li, Wu & Fu, TAC 2018. MEGC 2020 counts 98 videos.
    "casme_squared": LongVideos(
        name="casme_squared",
        title="CAS(ME)^2",
        fps=30.0,
        layouts={
            "pictures": FolderLayout(("rawpic",), casme_squared.RECORDING),
            "video": FolderLayout(("rawvideo",), casme_squared.RECORDING, video_files=True),
        },
        sheets=casme_squared.SHEETS,
        worksheets=("CASFEcode_final", "CASMEcode_final"),
        columns={field: Column((field,)) for field in casme_squared.FIELDS},
        positions=casme_squared.FIELDS,
        marks=_squared,
        identify=lambda groups: (zero_padded("s", 2, groups["subject"]), groups["name"]),
        published={"recordings": 98, "micro": 57, "macro": 300},
    ),
    # Li et al., TPAMI 2023; version 2 of the sheet turns 61 micro- into macro-expressions.
    "casme3": LongVideos(
        name="casme3",
        title="CAS(ME)^3 part A",
        fps=30.0,
        layouts={
            "raw": FolderLayout(
                ("part_A", "Part_A"),
                r"(^|/)(?P<subject>spno\.\d+)/(?P<name>[a-z]\d*)/color$",
                exclude="(^|/)depth(/|$)",
            )
        },
        sheets=("CAS(ME)3_part_A_v2*", "CAS(ME)3_part_A_v1*"),
        worksheets=("AU+Emotion",),
        columns={
            "subject": records.SUBJECT,
            "name": records.NAME,
            **_INSTANTS,
            "kind": _KIND,
            "action_units": records.AUS,
        },
        marks=_casme3,
        emotions=_casme3_emotions,
        identify=lambda groups: (
            zero_padded("spNo.", 1, groups["subject"]),
            groups["name"].lower(),
        ),
        published={"recordings": 1300, "micro": 860, "macro": 3346},
        tolerance=30,  # recordings were published with frames missing
    ),
    # Li, Pfister, Huang, Zhao & Pietikäinen, FG 2013; the extended release.
    "smic": LongVideos(
        name="smic",
        title="SMIC-HS-E",
        fps=100.0,
        layouts={
            "long": FolderLayout(
                ("SMIC-HS-E", "HS_long"), r"(^|/)(?P<subject>s\d+)/(?P<name>s\d+_[a-z]+_\d+)$"
            )
        },
        sheets=("SMIC-HS-E_annotation_2019*", "SMIC-HS-E_annotation*"),
        worksheets=("HS",),
        columns={
            "subject": records.SUBJECT,
            "name": _NAME,
            "onset": Column(("OnsetF", "Onset")),
            "offset": Column(("OffsetF", "Offset")),
            **{
                f"{field}{at}": Column((f"{field.title()}{at}F",), required=False)
                for at in "23"
                for field in ("onset", "offset")
            },
        },
        marks=_smic,
        identify=_smic_video,
        published={"recordings": 157},
        unlisted="left out",
        absent=frozenset(
            key for key, issues in smic.EXTENDED.known_issues.items() if issues == smic.NO_FOLDER
        ),
    ),
}
