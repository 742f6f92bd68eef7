"""Options of functions: their defaults, read from the signatures, and checks of their values.

Their bounds are in the table `bounds.BOUNDS`. Objects created by name are checked by `check`,
public functions that take options by the decorator `checked`. The arrays that a function takes are
checked by the function (`clips.check_axes`).
"""

import contextlib
import functools
import importlib
import inspect
import modulefinder
import numbers
import operator
import os
import pathlib
import re
import reprlib
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, cast

from mer_jax.bounds import BOUNDS, LENGTH, Bound, bound
from mer_jax.errors import UserError, unknown_name
from mer_jax.io import saving

_F = TypeVar("_F", bound=Callable)
# Pairs of options of one function, and how the first is to the second.
_ORDERED = {("low", "high"): (operator.lt, "below"), ("frames", "length"): (operator.le, "at most")}
# Section of a configuration, by the module of a function; it is named in messages.
_SECTIONS = {"datasets": "data", "methods": "method", "models": "model", "protocols": "protocol"}


def defaults(function: Callable, *, without: Iterable[str] = ()) -> dict[str, Any]:
    """The options of a function, or of a class (of its constructor and those of its bases).

    Args:
      function: a function or class.
      without: names to leave out.

    Returns:
      Name -> default of each parameter that has one.

    >>> defaults(lambda clip, *, size=28, gray=True: None)
    {'size': 28, 'gray': True}
    """
    classes: tuple[Any, ...] = inspect.getmro(function) if inspect.isclass(function) else ()
    functions = [each.__init__ for each in classes] or [function]
    found: dict[str, Any] = {}
    for each in functions:
        parameters = inspect.signature(each).parameters
        for name, parameter in parameters.items():
            if parameter.default is not parameter.empty and name not in without:
                found.setdefault(name, parameter.default)
        if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            break  # it hands no option on to its base
    return found


def to_python(value: Any) -> Any:
    """`value` as a type of Python and JSON: no NumPy or JAX array or scalar, path or list.

    A traced array has no value and is returned unchanged.

    >>> import numpy as np
    >>> to_python([np.float32(0.5), np.arange(2)])
    (0.5, (0, 1))
    """
    if hasattr(value, "tolist"):
        try:
            value = value.tolist()
        except TypeError:  # JAX's error for a traced array
            return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return tuple(map(to_python, value)) if isinstance(value, list | tuple) else value


def check(
    section: str, owner: str, given: Mapping[str, Any], known: Mapping[str, Any]
) -> dict[str, Any]:
    """Checks option values against their bounds.

    Args:
      section: of a configuration, as "method"; "" for a function outside of them.
      owner: the function whose options they are, as "strcn_a". Options of a user's own function
        ("package.module:Name") have no row in the table: they must be of the kind of their default.
      given: name -> value.
      known: name -> default of all options of `owner`. Where the default is None, None is valid.

    Returns:
      `given` as plain values.

    Raises:
      UserError: for the first option that is not in `known`, with the most similar one, that is out
        of bounds, or that is greater than an option it must not exceed.

    >>> check("method", "flow_maps", {"size": [28, 20]}, {"size": (28, 28)})
    {'size': (28, 20)}
    """
    for name in given:
        if name not in known:
            kind = " ".join(filter(None, (section, owner)))
            raise unknown_name(f"option of {kind}" if kind else "configuration key", name, known)
    where = f"{section}." if section else f"{owner}: " if owner else ""
    found = {
        name: _validated(
            where + name,
            value,
            _bound_like(known[name]) if ":" in owner else bound(section, owner, name),
            known[name] is None,
        )
        for name, value in given.items()
    }
    if ":" not in owner:
        _check_order(where, {**known, **found})
    return found


def check_value(label: str, name: str, given: Any) -> Any:
    """`given` as a plain value of option `name`; `label` names it in the `UserError` for a bad one.

    >>> check_value("--fps", "fps", 25)
    25.0
    """
    return _validated(label, given, BOUNDS[name], False)


def checked(function: _F) -> _F:
    """Decorates `function`: each call checks its keyword-only options against `BOUNDS`.

    Positional parameters annotated as `int` are sizes and must be 1 or more. Traced arrays have no
    values and are not checked.
    """
    section = _SECTIONS.get(f"{function.__module__}.".split(".")[1], "")
    owner, known = function.__name__, defaults(function)
    where = f"{section}." if section else f"{owner}: "
    rows: dict[str, Bound] = {}
    parameters = inspect.signature(function).parameters
    for name, parameter in parameters.items():
        row: Bound | None = LENGTH if parameter.annotation is int else None
        if parameter.kind is parameter.KEYWORD_ONLY:
            row = bound(section, owner, name)
        if row and row.kind is not object:
            rows[name] = row

    @functools.wraps(function)
    def run(*args, **options):
        for name, given in (options | dict(zip(parameters, args))).items():
            if name in rows and not hasattr(to_python(given), "shape"):
                _validated(where + name, given, rows[name], known.get(name, ...) is None)
        _check_order(where, known | options)
        return function(*args, **options)

    return cast(_F, run)


def _check_order(where: str, values: Mapping[str, Any]) -> None:
    for (lesser, greater), (ordered, words) in _ORDERED.items():
        low, high = (to_python(values.get(name)) for name in (lesser, greater))
        numeric = isinstance(low, numbers.Real) and isinstance(high, numbers.Real)
        if numeric and not ordered(low, high):
            raise UserError(f"{where}{lesser} is {low}; it must be {words} {greater}, {high}")


def _validated(label: str, given: Any, row: Bound | None, optional: bool) -> Any:
    """`given` as a plain value; `UserError` if it does not fit `row`. optional: None is valid."""
    found = to_python(given)
    if row is None or (optional and found is None) or row.fits(found):
        return _as_float(found) if row is not None and row.kind is float else found
    shown = re.sub(r"\s+", " ", reprlib.repr(found))[:100]
    if row.choices and row.kind is str:
        for each in found if isinstance(found, tuple) else (found,):
            if isinstance(each, str) and each not in row.known:
                raise unknown_name(label, each[:60], row.known)
    raise UserError(f"{label} is {shown}; it must be {row.description}")


def _as_float(value: Any) -> Any:
    """Integers of an option that is a number as floats: a configuration keeps the type it has."""
    if isinstance(value, tuple):
        return tuple(map(_as_float, value))
    return float(value) if type(value) is int else value


def _bound_like(default: Any) -> Bound:
    """The bound of an option without a row: any number, text or flag, as its default is."""
    kind = type(to_python(default))
    return Bound(kind if kind in (bool, int, float, str) else object)


def find(kind: str, name: str, known: Mapping[str, Any]) -> Any:
    """An entry of a registry, or the user's own object that "package.module:Name" names.

    Args:
      kind: the sort of object, for messages, as "protocol".
      name: a key of `known`, or "package.module:Name"; that module must be installed, on PYTHONPATH
        or in the current folder.
      known: the registry.

    Returns:
      The entry or the object.

    Raises:
      UserError: for an unknown name, a module that cannot be imported, or an attribute that does
        not exist or cannot be called.

    >>> find("function", "math:sqrt", {})(9)
    3.0
    """
    if name in known:
        return known[name]
    module, colon, attribute = str(name).partition(":")
    if not colon:
        if "." in str(name):
            own = ":".join(str(name).rsplit(".", 1))
            raise UserError(f"unknown {kind} {name!r}; one of your own is written {own!r}")
        raise unknown_name(kind, name, known)
    if os.getcwd() not in sys.path:  # a console script does not search the current folder
        sys.path.append(os.getcwd())
    try:
        found = getattr(importlib.import_module(module), attribute, None)
    except (ImportError, ValueError, TypeError) as error:  # the last two: not a module name
        raise UserError(
            f"{kind} {name!r}: cannot import module {module!r} ({error}); run this in the folder "
            "of that module, or put it on PYTHONPATH"
        ) from error
    if not callable(found):
        lacks = f"module {module!r} has no class or function {attribute!r}"
        raise UserError(f"{kind} {name!r}: {lacks}; write package.module:Name")
    return found


def exists(name: str) -> bool:
    """Whether "package.module:Name" names an object of the user's."""
    try:
        find("object", name, {})
    except UserError:
        return False
    return True


@functools.cache  # by the object: an edited file counts once it is imported again
def source_digest(function: Callable) -> str:
    """64 hexadecimal digits of the source of a user's function or class; "" for one of mer_jax.

    They are of its file and of the modules in its folder and below that it imports, anywhere; of
    an installed package, of the file alone; in a notebook, of its own lines.
    """
    module = inspect.getmodule(inspect.unwrap(function))
    file = getattr(module, "__file__", None)
    if module is None or file is None:
        with contextlib.suppress(OSError, TypeError):
            return saving.digest(inspect.getsource(function))
        return ""
    source, name = pathlib.Path(file).absolute(), module.__name__
    if source.is_relative_to(pathlib.Path(__file__).absolute().parent):
        return ""
    files = {source}
    if not {"site-packages", "dist-packages"} & set(source.parts):
        depth = 0 if name == "__main__" else name.count(".") + (source.stem == "__init__")
        finder = modulefinder.ModuleFinder([str(source.parents[depth])], excludes=["mer_jax"])
        # The last: a folder without __init__.py.
        with contextlib.suppress(ImportError, SyntaxError, UnicodeError, AttributeError):
            finder.run_script(file) if name == "__main__" else finder.import_hook(name)
        found = (each.__file__ for each in finder.modules.values())  # type: ignore[attr-defined]
        files |= {pathlib.Path(each).absolute() for each in found if each}
    return saving.digest(*(path.read_bytes() for path in sorted(files)))
