"""The databases, each by name: a folder on the disk to clips, or all that is wrong with it.

    clips = load("casme2", "~/data/CASME II")
    clips = load("synthetic")

`labels.label` turns clips into classes; `composites.compose` builds the sets that papers share.
"""

import importlib
import inspect as signatures
import pathlib

from mer_jax.clips import Clip
from mer_jax.datasets.database import Inspection
from mer_jax.problems import DataError, UserError, unknown

# Databases that lie in a folder: name -> module with `inspect(root, **options)`.
_FOLDERS = {
    "casme2": "casme2",
    "flow_maps": "flow_maps",
}
# Databases that are made: name -> module with `clips(**options)`.
_MADE = {"synthetic": "synthetic"}


def names() -> list[str]:
    """The names `load` takes."""
    return sorted(_FOLDERS | _MADE)


def load(name: str, root: str | pathlib.Path | None = None, **options) -> list[Clip]:
    """The clips of a database, in the order of its sheet; frames are read when asked for.

    Options are those of the database's module (images=, labels=, nearest=, leave_out=, ...).
    What was settled on the way is logged; `inspect` returns it.

    Raises:
      UserError: for a database or an option that does not exist, or a root that is not given.
      DataError: with every problem of the database, where there is one.
    """
    if name in _MADE:
        module = _module(_MADE[name])
        _check_options(name, module.clips, options)
        return module.clips(**options)
    found = inspect(name, root, **options)
    if found.problems:
        raise DataError(name, found.problems)
    if found.notes:
        from absl import logging

        logging.info("%s: %d note(s), e.g. %s", name, len(found.notes), found.notes[0])
    return found.clips


def inspect(name: str, root: str | pathlib.Path | None, **options) -> Inspection:
    """What a folder holds: its sound clips, its problems and what was settled."""
    if name not in _FOLDERS:
        raise unknown("database", name, names())
    if root is None:
        raise UserError(f"{name} is read from a folder; say where it lies with root=")
    module = _module(_FOLDERS[name])
    _check_options(name, module.inspect, options)
    return module.inspect(root, **options)


def _module(name: str):
    return importlib.import_module(f"mer_jax.datasets.{name}")


def _check_options(name, function, options):
    known = list(signatures.signature(function).parameters)
    for option in options:
        if option not in known:
            raise unknown(f"option of {name}", option, [k for k in known if k != "root"])
