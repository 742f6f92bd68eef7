"""CASME II: 255 clips of 26 subjects at 200 Hz (Yan et al., PLoS ONE 9(1), 2014).

    Cropped/sub01/EP02_01f/reg_img46.jpg            faces, onset to offset
    CASME2_RAW_selected/sub01/EP02_01f/img46.jpg
    CASME2-RAW/sub01/EP02_01f/img1.jpg              full clips
    CASME2-coding-20140508.xlsx, CASME2-coding-20190701.xlsx, CASME2-coding-updated.xlsx

File names carry no leading zeros. Subjects are '01' or 1 in the sheets and sub01 here.
CASME2-ObjectiveClasses.xlsx, made for the sheet of 2014, is read where it exists and lists every
clip. The sheet of 2019 has other action units in 57 rows and another emotion in three.
"""

import functools

from mer_jax.datasets import casme, database, records
from mer_jax.datasets.annotations import zero_padded
from mer_jax.datasets.folders import FolderLayout
from mer_jax.datasets.records import KnownIssue

_CLIP = r"(^|/)(?P<subject>sub\d+)/(?P<name>EP\d[\w-]*)$"
_NO_ROW = (KnownIssue("no row", "it was published without a label and is left out"),)
_NUMBERING = "the releases number the frames of this clip differently"
_EMOTION = (
    KnownIssue(
        "emotion", "the sheet of 2014 has sadness", corrected="surprise", published="surprise"
    ),
    KnownIssue(
        "emotion", "the sheet of 2019 has surprise", corrected="sadness", published="sadness"
    ),
)


def _numberings(*use: tuple[int, int, int]) -> tuple[KnownIssue, ...]:
    """Whichever of the two numberings of (onset, apex, offset) the sheet has."""
    return tuple(KnownIssue("numbering", _NUMBERING, o, s) for o, s in (use, use[::-1]))


SPEC = records.Database(
    name="casme2",
    title="CASME II",
    fps=200.0,
    layouts={
        "cropped": FolderLayout(("Cropped",), _CLIP),
        "raw_selected": FolderLayout(("CASME2_RAW_selected", "RAW_selected"), _CLIP),
        "raw": FolderLayout(("CASME2-RAW", "RAW"), _CLIP),
    },
    sheets=("CASME2-coding-20190701", "CASME2-coding-updated", "CASME2-coding*", "CASME2_label*"),
    columns={**records.COLUMNS, "objective": records.OBJECTIVE},
    class_sheets=("CASME2-ObjectiveClasses*",),
    emotions=("others", "disgust", "happiness", "repression", "surprise", "sadness", "fear"),
    normalize_subject=functools.partial(zero_padded, "sub", 2),
    normalize_clip=casme.clip_name,
    known_issues={
        ("sub09", "EP02_02f"): _NO_ROW,
        ("sub24", "EP02_07"): _NO_ROW,
        ("sub07", "EP06_01"): _numberings((15, 49, 68), (56, 89, 116)),
        ("sub12", "EP09_02"): _numberings((16, 59, 101), (161, 176, 206)),
        ("sub24", "EP07_01"): _EMOTION,
        ("sub24", "EP07_04f"): _EMOTION,
        ("sub24", "EP10_03"): _EMOTION,
    },
    # The sheet of 2014.
    published=dict(
        others=99, disgust=63, happiness=32, repression=27, surprise=25, sadness=7, fear=2
    ),
    subjects=26,
)

inspect = functools.partial(database.inspect, SPEC)
