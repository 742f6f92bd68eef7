"""MMEW: 300 micro-expressions of 36 subjects at 90 Hz (Ben et al., TPAMI 44(9), 2022).

    Micro_Expression/disgust/S03-01-002/1.jpg
    MMEW_Micro_Exp.xlsx

Clips labeled 'others' in the sheet are in the folder 'repression'. The macro-expressions are not
read.
"""

import functools
import re

from mer_jax.datasets import database, records
from mer_jax.datasets.annotations import zero_padded
from mer_jax.datasets.folders import FolderLayout


def _subject_of_clip(row, cells):
    """The subject as the clip's name begins; a cell with another number is a problem."""
    if named := re.match(r"S(\d+)-", row.name):
        cell = re.search(r"\d+", row.subject)
        if cell and int(cell[0]) != int(named[1]):
            row.problem = f"subject {cells['subject']!r} of a clip named {row.name}; correct one"
        row.subject = SPEC.normalize_subject(f"S{named[1]}")
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
    columns=records.COLUMNS,
    emotions=("happiness", "anger", "surprise", "disgust", "fear", "sadness", "others"),
    normalize_subject=functools.partial(zero_padded, "S", 2),
    normalize_clip=str.upper,
    adapt_row=_subject_of_clip,
    folder_label={"others": "repression"},
    published=dict(happiness=36, anger=8, surprise=89, disgust=72, fear=16, sadness=13, others=66),
    subjects=36,
)

inspect = functools.partial(database.inspect, SPEC)
