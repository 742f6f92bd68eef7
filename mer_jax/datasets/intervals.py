"""The marked intervals of long videos as clips, from onset to offset: "NAME_intervals".

    clips = datasets.load("casme_squared_intervals", root, kind="micro")

NAME is a database of long videos (`recordings.names()`, or your own). Intervals without an emotion
are left out. Faces are cropped as in the recordings; `mer-jax prepare` crops them itself, of the
stored frames.
Subjects are named as in the recordings, so that a recognizer of these clips and a spotter of the
recordings leave out the same ones.
"""

import pathlib
from typing import Any

from mer_jax.datasets import recordings
from mer_jax.datasets.records import Inspection
from mer_jax.errors import Problem, unknown_name
from mer_jax.options import exists
from mer_jax.recordings import KINDS

_SUFFIX = "_intervals"


def names() -> list[str]:
    """The names `inspect` takes."""
    return [f"{name}{_SUFFIX}" for name in recordings.names()]


def database_of(name: str) -> str:
    """The database of long videos whose marked intervals `name` names; "" if it names none.

    >>> database_of("samm_lv_intervals"), database_of("samm")
    ('samm_lv', '')
    """
    base = name.removesuffix(_SUFFIX)
    if name in names() or (base != name and exists(base) and not exists(name)):
        return base
    return ""


def options(name: str) -> dict[str, Any]:
    """The options of `name` and their defaults: those of the recordings, and `kind`."""
    return {**recordings.options(database_of(name)), "kind": ""}


def inspect(name: str, root: str | pathlib.Path | None, *, kind: str = "", **given) -> Inspection:
    """The marked intervals of the recordings, and the problems and notes of their database.

    Args:
      name: one of `names()`, or "package.module:name_intervals" of your own recordings.
      root: of the recordings.
      kind: "micro" or "macro"; "" takes both.
      **given: options of the recordings.
    """
    if kind not in ("", *KINDS):
        raise unknown_name("data.kind", kind, KINDS)
    found = recordings.inspect(database_of(name), root, **given)
    clips = [clip for video in found.recordings for clip in video.clips(kind=kind)]
    labeled = [clip for clip in clips if clip.emotion]
    notes = list(found.notes)
    if missing := len(clips) - len(labeled):
        notes.append(Problem(name, f"{missing} interval(s) have no emotion; they are left out"))
    return Inspection(labeled, found.problems, notes)
