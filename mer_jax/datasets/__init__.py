"""Reads the databases by name: a folder to clips, or a list of all its problems.

    clips = load("casme2", "~/data/CASME II")
    clips = load("synthetic")
    clips = load("prepared", "~/data/prepared")     # written by mer-jax prepare
    clips = load("psn", "~/data")       # a composite: ~/data/casme, ~/data/casme2, ...
    clips = load("samm_lv_intervals", root)     # the marked intervals of long videos
    clips = load("package.module:name", root)   # your own function: (root, *, options) -> clips

`labels.label` assigns classes to clips; `composites` are sets of several databases.
"""

import functools
import importlib
import pathlib
from collections.abc import Callable
from typing import Any

from mer_jax.clips import Clip
from mer_jax.datasets.folders import absolute
from mer_jax.datasets.records import Inspection
from mer_jax.errors import DataError, UserError, own_code
from mer_jax.keys import ambiguous
from mer_jax.options import check, defaults, find

# Databases in a folder: modules with `inspect(root, **options)`.
_FOLDERS = (
    *("casme", "casme2", "casme3", "casme_squared", "ck_plus", "flow_maps", "fourdme", "mmew"),
    *("mug", "oulu_casia", "prepared", "samm", "smic", "dfme"),
)
# Rendered databases: modules with `clips(**options)`.
_RENDERED = ("synthetic",)

# Usual names of the databases' folders, and of the databases, besides those of `names()`.
FOLDER_NAMES = {
    "casme2": ("CASME II",),
    "casme3": ("CASME III", "CAS(ME)^3", "CAS(ME)3", "CASME^3"),
    "casme_squared": ("CAS(ME)^2", "CAS(ME)2", "CASME^2"),
    "ck_plus": ("CK+",),
    "fourdme": ("4DME",),
    "samm": ("SAMM dataset", "SAMM_cropped", "SAMM_CROP"),
    "smic": ("SMIC-HS", "SMIC_all_cropped", "SMIC_all_raw", "SMIC-E", "SMIC-HS-E"),
}

MAX_PER_KIND = 10  # problems or notes of a kind that are listed, then a count


def names() -> list[str]:
    """The names of databases that `load` takes."""
    return sorted(_FOLDERS + _RENDERED)


def in_folder(name: str) -> bool:
    """Whether a database is read from a folder (not rendered)."""
    of_folder = name in _intervals().names() and name != "synthetic_intervals"
    return name in _FOLDERS or of_folder


def options(name: str) -> dict[str, Any]:
    """The options of a database or composite and their defaults."""
    if _intervals().database_of(name):
        return _intervals().options(name)
    return defaults(_reader(name), without=("root", "name"))


def load(name: str, root: str | pathlib.Path | None = None, **given) -> list[Clip]:
    """The clips of a database, in the order of its sheet; frames are read when asked for.

    Args:
      name: a database (`names()`), a composite, or "NAME_intervals" of a database of long videos.
      root: the database's folder; for a composite, a folder with one for each of its databases,
        named like it. None for "synthetic".
      **given: options of the database (`options(name)`).

    The files that are read and the first note on the data are logged; `inspect` returns all notes.

    Raises:
      UserError: an unknown database or option, or no root.
      DataError: every problem of the database.

    >>> clips = load("synthetic", subjects=1, clips_per_subject=2, frames=(8, 8), size=(24, 24))
    >>> [clip.key for clip in clips]
    ['synthetic/s01/s01_01', 'synthetic/s01/s01_02']
    >>> clips[0].frames.shape
    (8, 24, 24, 3)

    """
    found = inspect(name, root, **given)
    if found.problems:
        raise DataError(name, found.problems, max_per_kind=MAX_PER_KIND)
    from absl import logging

    for source in found.sources:
        level = logging.WARNING if source.alternatives else logging.INFO
        logging.log(level, "%s: %s", name, source)
    if found.notes:
        told = name in _composites().names() or given.get("allow_mismatch")
        level = logging.WARNING if told else logging.INFO
        logging.log(level, "%s: %d note(s), e.g. %s", name, len(found.notes), found.notes[0])
    return found.clips


def inspect(name: str, root: str | pathlib.Path | None, **given) -> Inspection:
    """The clips of a database or composite, its problems, and notes on resolved mismatches.

    Args:
      name, root, **given: as of `load`.

    Raises:
      UserError: an unknown database or option, or no root where one is needed.
    """
    found = _inspect(name, root, check("data", name, given, options(name)))
    return found._replace(problems=found.problems + ambiguous(found.clips))


def _inspect(name: str, root: str | pathlib.Path | None, given: dict) -> Inspection:
    if name in _RENDERED:
        return Inspection(_module(name).clips(**given), [], [])
    if _intervals().database_of(name):
        return _intervals().inspect(name, root, **given)
    if name in (*_FOLDERS, *_composites().names()):
        if root is None:
            raise UserError(f"{name} is read from a folder; give it as root=")
        root = absolute(root)
    with own_code("database", name):
        found = _reader(name)(root, **given)
        return found if isinstance(found, Inspection) else Inspection(list(found), [], [])


def _composites():
    return importlib.import_module(f"{__name__}.composites")


def _intervals():
    return importlib.import_module(f"{__name__}.intervals")


def _reader(name: str) -> Callable:
    if name in _RENDERED:
        return _module(name).scenes  # `clips` takes what `scenes` takes
    if name in _composites().names():
        return functools.partial(_composites().inspect, name)
    if f"{name}_intervals" in _intervals().names() and name not in names():
        raise UserError(
            f"{name} has long videos: check them by --long_videos, or read their marked intervals "
            f"as clips, {name}_intervals"
        )
    usual = {each.casefold(): own for own, all_ in FOLDER_NAMES.items() for each in all_}
    if name.casefold() in usual:
        raise UserError(f"unknown database {name!r}; did you mean {usual[name.casefold()]!r}?")
    found = find("database", name, dict.fromkeys(names()))
    return _module(name).inspect if name in _FOLDERS else found


def _module(name: str):
    return importlib.import_module(f"{__name__}.{name}")
