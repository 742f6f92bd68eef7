"""The databases, each by name: a folder on the disk to clips, or all that is wrong with it.

    clips = load("casme2", "~/data/CASME II")
    clips = load("synthetic")
    clips = load("prepared", "~/data/prepared")     # what mer_jax.cli.prepare wrote
    clips = load("psn", "~/data")       # a composite: ~/data/casme, ~/data/casme2, ...
    clips = load("package.module:name", root)   # a function of your own: (root, *, options) -> clips

`labels.label` turns clips into classes; `composites` are the sets that papers share.
"""

import importlib
import pathlib
from collections.abc import Callable
from typing import Any

from mer_jax.clips import Clip
from mer_jax.datasets.records import Inspection
from mer_jax.errors import DataError, UserError
from mer_jax.options import check, defaults, find

# Databases that lie in a folder: modules with `inspect(root, **options)`.
_FOLDERS = (
    *("casme", "casme2", "casme3", "casme_squared", "ck_plus", "flow_maps", "fourdme", "mmew"),
    *("mug", "oulu_casia", "prepared", "samm", "smic"),
)
# Databases that are made: modules with `clips(**options)`.
_MADE = ("synthetic",)


def names() -> list[str]:
    """The names `load` takes."""
    return sorted(_FOLDERS + _MADE)


def in_folder(name: str) -> bool:
    """Whether a database lies in a folder, rather than being made."""
    return name in _FOLDERS


def options(name: str) -> dict[str, Any]:
    """The options of database `name` and their defaults; a composite has none."""
    return {} if name in _composites().names() else defaults(_reader(name), without=("root",))


def load(name: str, root: str | pathlib.Path | None = None, **given) -> list[Clip]:
    """The clips of a database, in the order of its sheet; frames are read when asked for.

    Options are those of the database's module (images=, labels=, exclude=, ...). Notes on the data
    are logged; `inspect` returns them. The `root` of a composite holds one folder for each
    database, named like it; the clips that the composite excludes are logged.

    Raises:
      UserError: for a database or an option that does not exist, or a root that is not given.
      DataError: with every problem of the database, where there is one.
    """
    if name in _composites().names():
        if given:
            raise UserError(f"{name} is a composite and has no option {next(iter(given))!r}")
        return _compose(name, root)
    found = inspect(name, root, **given)
    if found.problems:
        raise DataError(name, found.problems)
    if found.notes:
        from absl import logging

        logging.info("%s: %d note(s), e.g. %s", name, len(found.notes), found.notes[0])
    return found.clips


def inspect(name: str, root: str | pathlib.Path | None, **given) -> Inspection:
    """The clips of a database, its problems, and notes on known issues."""
    reader, given = _reader(name), check("data", name, given, options(name))
    if name in _MADE:
        return Inspection(_module(name).clips(**given), [], [])
    if root is None and name in _FOLDERS:
        raise UserError(f"{name} is read from a folder; say where it lies with root=")
    found = reader(root, **given)
    return found if isinstance(found, Inspection) else Inspection(list(found), [], [])


def _compose(name: str, root: str | pathlib.Path | None) -> list[Clip]:
    if root is None:
        raise UserError(f"{name} is read from a folder of databases; say where it lies with root=")
    parts = dict.fromkeys(database for database, _ in _composites().get(name).parts)
    found = _composites().load(name, {part: pathlib.Path(root) / part for part in parts})
    if found.left_out:
        from absl import logging

        key, why = found.left_out[0]
        logging.warning(
            "%s leaves out %d clip(s), e.g. %s: %s", name, len(found.left_out), key, why
        )
    return list(found.clips)


def _composites():
    return importlib.import_module(f"{__name__}.composites")


def _reader(name: str) -> Callable:
    if name in _MADE:
        return _module(name).scenes  # `clips` takes what `scenes` takes
    found = find("database", name, dict.fromkeys(names()))
    return _module(name).inspect if name in _FOLDERS else found


def _module(name: str):
    return importlib.import_module(f"{__name__}.{name}")
