"""MUG: posed expressions of 86 subjects (Aifanti, Papachristou & Delopoulos, WIAMIS 2010).

    subjects3/001/001/anger/take000/img_0000.jpg        one level fewer in some distributions

The folder is the label; there is no apex.
"""

import functools

from mer_jax.datasets import database, records
from mer_jax.datasets.folders import Folder, FolderLayout
from mer_jax.datasets.records import Row

EMOTIONS = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")


def _clip(name: str) -> str:
    return name.lower().replace("/", "_")


def _row(folder: Folder) -> Row:
    name, emotion = _clip(folder.groups["name"]), folder.groups["emotion"].lower()
    return Row(str(folder.path), folder.groups["subject"], name, emotion, has_instants=False)


SPEC = records.Database(
    name="mug",
    title="MUG",
    fps=19.0,
    layouts={
        "images": FolderLayout(
            ("subjects3", "MUG"),
            r"(^|/)(?P<subject>\d{3})/(\d{3}/)?(?P<name>(?P<emotion>[a-z]+)/take\d+)$",
        )
    },
    row_from_folder=_row,
    emotions=EMOTIONS,
    normalize_clip=_clip,
    subjects=86,
)

inspect = functools.partial(database.inspect, SPEC)
