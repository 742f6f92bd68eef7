"""MMEW: 300 micro-expressions of 36 subjects at 90 Hz (Ben et al., TPAMI 2021).

    Micro_Expression/disgust/S03-01-002/1.jpg
    MMEW_Micro_Exp.xlsx

The sheet's 'others' lie in the folder 'repression'.
"""

import functools
import re

from mer_jax.datasets import database, records
from mer_jax.datasets.annotations import zero_padded
from mer_jax.datasets.folders import FolderLayout


def _adapt(row, cells):
    if re.match(r"S\d+-", row.name):  # the clip's name settles how the subject is written
        row.subject = SPEC.normalize_subject(row.name.split("-")[0])
    return row


SPEC = records.Database(
    name="mmew",
    title="MMEW",
    fps=90.0,
    layouts={
        "cropped": FolderLayout(
            ("Micro_Expression", "MMEW"),
            r"(^|/)(?P<emotion>[a-z]+)/(?P<name>(?P<subject>S\d+)-\d+-\d+)$",
            exclude="macro_expression",
        )
    },
    sheets=("MMEW_Micro_Exp*",),
    columns={
        "subject": records.SUBJECT,
        "name": records.NAME,
        **records.INSTANTS,
        "action_units": records.AUS,
        "emotion": records.EMOTION,
    },
    emotions=("happiness", "anger", "surprise", "disgust", "fear", "sadness", "others"),
    normalize_subject=functools.partial(zero_padded, "S", 2),
    normalize_clip=str.upper,
    adapt_row=_adapt,
    folder_label={"others": "repression"},
    published=dict(happiness=36, anger=8, surprise=89, disgust=72, fear=16, sadness=13, others=66),
    subjects=36,
)

inspect = functools.partial(database.inspect, SPEC)
