"""CAS(ME)^2: 57 micro- and 300 macro-expressions of 22 subjects (Qu et al., TAC 9(4), 2018).

    cropped/s15/anger1_1/img552.jpg                 one expression per folder; also 15/anger1_1
    selectedpic/s15/anger1_1/img552.jpg
    rawpic/s15/15_0401girlcrashing/img001.jpg       recordings at 30 Hz, several expressions each
    CAS(ME)^2code_final.xlsx, CAS(ME)^2code_final (Updated).xlsx

The sheet has no header. It numbers the subjects from 1 and names clips by their stimulus. The
folders of both are in its other two tabs ('naming rule1' and 'naming rule2'); `SUBJECTS` and
`STIMULI` repeat them, so that a .csv of the first tab is enough. An apex or offset of 0 means none.
Two sheets are in circulation with the same instants and emotions and other action units in 216 of
357 rows, and so with other objective classes (data.labels chooses).
The names in selectedpic are assumed to be those in cropped (not verified).
"""

import dataclasses
import functools
import pathlib
from collections.abc import Iterable

from mer_jax.datasets import database, records
from mer_jax.datasets.annotations import Column, zero_padded
from mer_jax.datasets.folders import FolderLayout
from mer_jax.datasets.records import Inspection, KnownIssue
from mer_jax.errors import unknown_name

KINDS = ("micro", "macro", "all")
_CLIP = r"(^|/)(?P<subject>s?\d+)/(?P<name>[a-z]+\d+_\d+)$"
RECORDING = r"(^|/)(?P<subject>s?\d+)/\d+_(?P<name>\d{4})[^/]*$"
FIELDS = (  # of the sheet's columns, from left to right
    *("subject", "name", "onset", "apex", "offset", "action_units", "emotion", "kind"),
    "feeling",
)
SHEETS = ("CAS(ME)^2code_final*(Updated)*", "CAS(ME)^2code*", "*code_final*")
_INTEGERS = ("onset", "apex", "offset")
SUBJECTS = (15, 16, *range(19, 28), *range(29, 39), 40)  # folder of the sheet's subject 1 to 22
STIMULI = {  # the four digits of their recordings
    **{"disgust1": "0101", "disgust2": "0102", "anger1": "0401", "anger2": "0402"},
    **{"happy1": "0502", "happy2": "0503", "happy3": "0505", "happy4": "0507", "happy5": "0508"},
}


def _late_apex(onset: int, apex: int, offset: int) -> tuple[KnownIssue, ...]:
    why = "the published apex is after the offset: the clip's apex is set to None"
    return (
        KnownIssue(
            "instants", why, corrected=(onset, None, offset), published=(onset, apex, offset)
        ),
    )


SPEC = records.Database(
    name="casme_squared",
    title="CAS(ME)^2",
    fps=30.0,
    layouts={
        "cropped": FolderLayout(("cropped", "casme^2_cropped"), _CLIP),
        "selected": FolderLayout(("selectedpic",), _CLIP),
        "raw": FolderLayout(("rawpic",), RECORDING, recordings=True),
    },
    sheets=SHEETS,
    worksheets=("CASFEcode_final", "CASMEcode_final"),
    columns={field: Column((field,), int if field in _INTEGERS else str) for field in FIELDS},
    positions=FIELDS,
    emotions=("positive", "negative", "surprise", "others"),
    normalize_subject=functools.partial(zero_padded, "s", 2),
    normalize_clip=str.lower,
    published={"negative": 21, "positive": 8, "surprise": 9, "others": 19},
    subjects=22,
    known_issues={
        ("s27", "disgust1_5"): _late_apex(1221, 1230, 1224),
        ("s31", "happy2_1"): _late_apex(2169, 2203, 2202),
        ("s32", "anger1_12"): _late_apex(2407, 2455, 2451),
    },
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
    """As `database.inspect`; `kind` is "micro", "macro" or "all".

    The published counts are of the micro-expressions.
    """
    if kind not in KINDS:
        raise unknown_name("kind of expression", kind, KINDS)

    def adapt(row, cells):
        number = cells["subject"] or ""
        if number.isdigit() and 1 <= int(number) <= len(SUBJECTS):
            row.subject = f"s{SUBJECTS[int(number) - 1]}"
        row.video = STIMULI.get(row.name.split("_")[0], "")
        row.apex, row.offset = row.apex or None, row.offset or None
        own = (cells["kind"] or "").lower()
        if own not in ("micro-expression", "macro-expression"):
            row.problem = f"{own!r} is neither micro-expression nor macro-expression"
        row.is_clip = bool(row.problem) or kind == "all" or own.startswith(kind)
        return row

    return database.inspect(
        dataclasses.replace(
            SPEC, adapt_row=adapt, published=SPEC.published if kind == "micro" else {}
        ),
        root,
        images=images,
        labels=labels,
        allow_mismatch=allow_mismatch,
        exclude=exclude,
    )
