"""What a function can be told: its options and their defaults, read off its signature."""

import inspect
import numbers
import reprlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mer_jax.problems import UserError, unknown
from mer_jax.reading import LARGEST

# What a default is, and what may stand in its place.
_KINDS: dict[Any, Any] = {
    bool: bool,
    int: numbers.Integral,
    float: numbers.Real,
    str: str,
    tuple: (tuple, list),
}


def defaults(function: Callable, *, without: Iterable[str] = ()) -> dict[str, Any]:
    """Options of `function` (of a class: of its constructor and its bases') with their defaults."""
    classes: tuple[Any, ...] = inspect.getmro(function) if inspect.isclass(function) else ()
    functions = [one.__init__ for one in classes] or [function]
    found: dict[str, Any] = {}
    for one in functions:
        for name, parameter in inspect.signature(one).parameters.items():
            if parameter.default is not parameter.empty and name not in without:
                found.setdefault(name, parameter.default)
    return found


def check(what: str, given: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """Raises `UserError` for the first of `given` that is not `known`, and offers the nearest, or
    that is no value of the kind of its default there."""
    for name, value in given.items():
        if name not in known:
            raise unknown(what, name, known)
        if not _alike(value, known[name]):
            shown = reprlib.repr(value)
            raise UserError(f"{what} {name}: {shown} is not of the kind of {known[name]!r}")


def _alike(value: Any, default: Any) -> bool:
    for kind, taken in _KINDS.items():
        if isinstance(default, kind):
            if not isinstance(value, taken) or isinstance(value, bool) != (kind is bool):
                return False
            if kind in (int, float) and not abs(value) < LARGEST:
                return False
            if kind is tuple and default:
                one = float(default[0]) if isinstance(default[0], int) else default[0]
                return all(_alike(each, one) for each in value)
            return True
    return True  # None: the default says nothing
