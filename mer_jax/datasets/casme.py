"""CASME: 189 clips of 19 subjects at 60 Hz, filmed by two cameras (Yan et al., FG 2013).

    Cropped/sub01/EP01_12/reg_EP01_12-73.jpg        faces
    Section A/sub01/EP01_12/EP01_12-73.jpg          1280 x 720
    Section B/sub08/EP01_5/EP01_5-073.jpg           640 x 480
    CASME-coded-20190721.xlsx (published as .xls), casme.xlsx

Frame numbers have three digits in section B and none too many in A. The sheet has two apex columns;
the first is the apex. A third column that is headed Onset is a duration and is not read.
"""

import functools
import re

from mer_jax.datasets import database, records
from mer_jax.datasets.annotations import Column, zero_padded
from mer_jax.datasets.folders import FolderLayout

_CLIP = r"(^|/)(?P<subject>sub\d+)/(?P<name>EP\d[\w-]*)$"
_FRAME = r".*-(\d+)"


def clip_name(name: str) -> str:
    """A clip's name as the sheets write it: 'EP02_01f' for 'ep02_01F'."""
    return re.sub(r"(?i)^ep", "EP", name.strip().lower())


SPEC = records.Database(
    name="casme",
    title="CASME",
    fps=60.0,
    layouts={
        "cropped": FolderLayout(("Cropped", "CASME_cropped"), _CLIP, _FRAME),
        "raw": FolderLayout(("CASME_raw_selected", "RAW_selected", "RAW", "CASME"), _CLIP, _FRAME),
    },
    sheets=("CASME-coded*", "casme"),
    columns={
        "subject": records.SUBJECT,
        "name": records.NAME,
        "onset": Column(("OnsetF", "OnsetFrame"), int),
        "apex": Column(("ApexF1", "ApexF", "ApexFrame"), int),
        "offset": Column(("OffsetF", "OffsetFrame"), int),
        "action_units": Column(("AU", "AUs", "Action Units"), required=False),
        "emotion": Column(("Emotion", "Estimated Emotion")),
    },
    emotions=(
        *("tense", "disgust", "repression", "surprise", "happiness", "sadness", "fear"),
        *("contempt", "others"),
    ),
    normalize_subject=functools.partial(zero_padded, "sub", 2),
    normalize_clip=clip_name,
    # 189 in all (PSN, Table 4); by emotion not checked against a sheet.
    published=dict(
        tense=69, disgust=44, repression=38, surprise=20, happiness=9, sadness=6, fear=2, contempt=1
    ),
    subjects=19,
)

inspect = functools.partial(database.inspect, SPEC)
