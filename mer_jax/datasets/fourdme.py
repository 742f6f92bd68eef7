"""4DME: 267 micro-expressions of 41 subjects at 60 Hz, the gray videos.

Li et al., TAC 14(4), 2023.

    gray_micro/<subject>/<clip>/1.jpg
    gray_micro_crop/<subject>/<clip>/1.jpg          cropped by MEB, the authors of cd6me
    4DME_Labelling_Micro_release v1.xlsx

A clip may have several emotions: they are joined with '+' in alphabetical order. Two neighboring
rows of the published sheet have each other's action units; nothing in the sheet shows it, and they
are read as published.
"""

import functools
import re

from mer_jax.datasets import database, records
from mer_jax.datasets.annotations import Column
from mer_jax.datasets.folders import FolderLayout


def _join_emotions(row, cells):
    """'positive and surprise' -> 'positive+surprise'."""
    words = re.split(r"[^a-z]+", row.emotion)
    row.emotion = "+".join(sorted({word for word in words if word not in ("", "and")}))
    return row


SPEC = records.Database(
    name="fourdme",
    title="4DME",
    fps=60.0,
    layouts={
        "gray": FolderLayout(
            ("gray_micro", "grey_micro"), r"(^|/)gr[ae]y_micro/(?P<subject>[^/]+)/(?P<name>[^/]+)$"
        ),
        "cropped": FolderLayout(
            ("gray_micro_crop",), r"(^|/)gray_micro_crop/(?P<subject>[^/]+)/(?P<name>[^/]+)$"
        ),
    },
    sheets=("4DME_Labelling_Micro*", "4DME*Micro*"),
    columns={
        "subject": Column(("sub_ID", "Subject")),
        "name": Column(("fold_name", "Filename")),
        "onset": Column(("Onset",), int),
        "apex": Column(("Apex",), int),
        "offset": Column(("Offset",), int),
        "emotion": Column(("Emotion",)),
        "action_units": Column(("AUs", "AU"), required=False),
    },
    emotions=("positive", "negative", "surprise", "repression", "others"),
    adapt_row=_join_emotions,
    gray=True,
    subjects=41,
)

inspect = functools.partial(database.inspect, SPEC)
