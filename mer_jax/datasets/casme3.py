"""CAS(ME)^3 part A: 860 micro-expressions of 94 of 100 subjects at 30 Hz (Li et al., TPAMI 2023).

    Part_A_ME_clip/frame/spNo.1_a_355/355.jpg       one expression a folder, 355 its onset
    Part_A_ME_clip/depth/..., video/...             the same names, another modality: not read
    part_A/spNO.1/a/color/355.jpg                   recordings; beside it depth
    cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx       sheet 'label'; v1 is an .xls of 921 clips

Subject and file name do not identify a clip: its name here is the recording's letter and the
onset (a_355). Recordings are published with frames missing, most of them at the start, so the
nearest frame stands for one that is marked but not there.
"""

import functools

from mer_jax.datasets import database, records
from mer_jax.datasets.annotations import Column, zero_padded
from mer_jax.datasets.folders import FolderLayout
from mer_jax.datasets.records import KnownIssue

_OFFSET = "the published offset is 0 or has a digit too many"
_PART_A = "the authors' sheet of all of part A has these values"


def _adapt(row, cells):
    row.video, row.name = row.name, f"{row.name}_{row.onset}"
    row.offset = row.offset or None
    return row


SPEC = records.Database(
    name="casme3",
    title="CAS(ME)^3 part A",
    fps=30.0,
    layouts={
        "clips": FolderLayout(
            ("Part_A_ME_clip",), r"(^|/)(?P<subject>spno\.\d+)_(?P<name>[a-z]\d*_\d+)$"
        ),
        "raw": FolderLayout(
            ("part_A",), r"(^|/)(?P<subject>spno\.\d+)/(?P<name>[a-z]\d*)/color$", recordings=True
        ),
    },
    sheets=(
        "cas(me)3_part_A_ME_label_JpgIndex_v2",
        "cas(me)3_part_A_ME_label_JpgIndex*",
        "cas(me)3_part_A*",
        "cas(me)3*",
    ),
    worksheets=("label",),
    columns={
        "subject": records.SUBJECT,
        "name": records.NAME,
        "onset": Column(("Onset",), int),
        "apex": Column(("Apex",), int),
        "offset": Column(("Offset",), int),
        "action_units": records.AUS,
        "objective": records.OBJECTIVE,
        "emotion": records.EMOTION,
    },
    emotions=("disgust", "surprise", "others", "fear", "anger", "sad", "happy"),
    normalize_subject=functools.partial(zero_padded, "spNo.", 1),
    normalize_clip=str.lower,
    adapt_row=_adapt,
    known_issues={
        ("spNo.40", "e_1812"): (KnownIssue("offset", _OFFSET, corrected=1845, published=None),),
        ("spNo.40", "e_2327"): (KnownIssue("offset", _OFFSET, corrected=2403, published=None),),
        ("spNo.214", "c"): (KnownIssue("offset", _OFFSET, corrected=34, published=3460),),
        ("spNo.149", "d"): (
            KnownIssue("instants", _PART_A, corrected=(112, 160, 358), published=(112, 83, 358)),
        ),
        ("spNo.216", "d"): (
            KnownIssue(
                "instants", _PART_A, corrected=(2647, 2668, 2694), published=(3647, 2668, 2694)
            ),
            KnownIssue("name", _PART_A, corrected="d_2647", published="d_3647"),
        ),
    },
    allow_mismatch=True,
    published=dict(disgust=250, surprise=187, others=161, fear=86, anger=64, sad=57, happy=55),
    subjects=94,
)

inspect = functools.partial(database.inspect, SPEC)
