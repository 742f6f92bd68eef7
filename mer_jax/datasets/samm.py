"""SAMM: 159 gray clips of 29 subjects at 200 Hz (Davison et al., TAC 9(1), 2018).

    SAMM/006/006_1_2/006_05562.jpg              as published
    SAMM_cropped/006/006_1_2/006_05562.jpg      SAMM_CROP and kin: faces that a user cut out
    SAMM_Micro_FACS_Codes_v2.xlsx, SAMM_20181215_Micro_FACS_Codes_v2.xlsx

The first sheet has its header in row 14 under the FACS key, the second in row 1. Most frame numbers
have five digits, some four.
"""

import functools

from mer_jax.datasets import database, records
from mer_jax.datasets.annotations import Column, zero_padded
from mer_jax.datasets.folders import FolderLayout
from mer_jax.datasets.records import KnownIssue

_CLIP, _FRAME = r"(^|/)(?P<subject>\d{3})/(?P<name>\d{3}_\d+_\d+)$", r".*_(\d+)"
_OUTSIDE = (KnownIssue("outside", "some releases give no usable apex: the clip's apex is None"),)

SPEC = records.Database(
    name="samm",
    title="SAMM",
    fps=200.0,
    layouts={
        "cropped": FolderLayout(("SAMM_cropped", "SAMM_crop", "Cropped", "Crop"), _CLIP, _FRAME),
        "raw": FolderLayout(("SAMM",), _CLIP, _FRAME),
    },
    sheets=("SAMM_20181215_Micro_FACS_Codes_v2", "SAMM*Micro*FACS*", "SAMM"),
    worksheets=("MICRO_ONLY",),
    columns={
        "subject": records.SUBJECT,
        "name": records.NAME,
        "onset": Column(("Onset Frame", "Onset"), int),
        "apex": Column(("Apex Frame", "Apex"), int),
        "offset": Column(("Offset Frame", "Offset"), int),
        "action_units": records.AUS,
        "emotion": records.EMOTION,
        "objective": records.OBJECTIVE,
    },
    emotions=(
        *("anger", "other", "others", "happiness", "surprise", "contempt", "disgust", "fear"),
        "sadness",
    ),
    normalize_subject=functools.partial(zero_padded, "", 3),
    known_issues={
        ("028", "028_4_1"): _OUTSIDE,
        ("032", "032_3_1"): _OUTSIDE,
        ("032", "032_3_2"): _OUTSIDE,
        ("013", "013_1_9"): (
            KnownIssue("offset", "the frames end there", corrected=5739, published=5793),
        ),
    },
    gray=True,
    published=dict(
        anger=57, other=26, happiness=26, surprise=15, contempt=12, disgust=9, fear=8, sadness=6
    ),
    subjects=29,
)

inspect = functools.partial(database.inspect, SPEC)
