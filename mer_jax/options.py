"""What a function can be told: its options and their defaults, read off its signature."""

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from mer_jax.problems import unknown


def defaults(function: Callable, *, without: Iterable[str] = ()) -> dict[str, Any]:
    """Options of `function` (of a class: of its constructor and its bases') with their defaults."""
    functions = [c.__init__ for c in function.__mro__] if inspect.isclass(function) else [function]
    found: dict[str, Any] = {}
    for one in functions:
        for name, parameter in inspect.signature(one).parameters.items():
            if parameter.default is not parameter.empty and name not in without:
                found.setdefault(name, parameter.default)
    return found


def check(what: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raises `UserError` for the first of `given` that is not `known`, and offers the nearest."""
    known = list(known)
    for name in given:
        if name not in known:
            raise unknown(what, name, known)
