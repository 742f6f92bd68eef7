"""The one reader: text, JSON and arrays that match a schema, or one sentence.

A schema of JSON:

    str, int, float, bool, None        one such value; numbers have at most 64 bits, and an int is
                                       accepted as a float
    object                             anything
    [schema]                           a list of these
    {"name": schema, "more?": schema}  an object with these keys and any others; ? is optional
    {str: schema}                      an object with any keys
    (schema, schema)                   either
"""

import contextlib
import json
import os
import pathlib
import re
import reprlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from mer_jax.errors import UserError

Schema = Any
RERUN_HINT = "run the command that made it again"
_SYSTEM = re.compile("No space left on device|Permission denied|Read-only file system")
MAX_NUMBER = 2**63


@contextlib.contextmanager
def report_damage(path: str | os.PathLike, *, hint: str = RERUN_HINT) -> Iterator[None]:
    """Raises any error of the block, which reads `path`, as a `UserError` with the path."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # zip, JSON, NumPy and Orbax raise a dozen kinds
        raise UserError(f"{path} is damaged ({error_summary(error)}); {hint}") from None


def error_summary(error: Exception) -> str:
    """The message of an exception in at most 120 characters."""
    system_error = _SYSTEM.search(str(error))
    text = (isinstance(error, OSError) and error.strerror) or " ".join(str(error).split())
    text = system_error[0] if system_error else text
    return text[:120] if " " in text else f"{type(error).__name__} {text[:100]}".strip()


def read_text(path: str | os.PathLike) -> str:
    """The UTF-8 text of a file, line ends unchanged. Raises `UserError` if it cannot be read."""
    try:
        return pathlib.Path(path).read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not UTF-8 text (byte {error.start})") from error


def load_json(path: str | os.PathLike, schema: Schema, *, hint: str = RERUN_HINT) -> Any:
    """Reads JSON that matches `schema`.

    Raises:
      UserError: for a missing file, invalid JSON (with the line), too deep nesting, a number that
        is not finite or too long, or a mismatch (with its path in the file).
    """
    content = read_text(path)
    try:
        found = json.loads(content, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: line {error.lineno} is not JSON ({error.msg}); {hint}") from error
    except RecursionError:
        raise UserError(f"{path}: is nested too deeply; {hint}") from None
    except ValueError as error:
        what = str(error).partition(":")[0]  # without Python's advice on its limit of digits
        raise UserError(f"{path}: has a number that cannot be used ({what}); {hint}") from None
    check(found, schema, path, hint=hint)
    return found


def lists_to_tuples(found: Mapping[str, Any]) -> dict[str, Any]:
    """A copy with tuples for lists, as options and records have them."""
    return {name: tuple(v) if isinstance(v, list) else v for name, v in found.items()}


def check(found: Any, schema: Schema, path: str | os.PathLike, *, hint: str = RERUN_HINT) -> None:
    """Raises `UserError` where `found`, the content of `path`, does not match `schema`."""
    if wrong := schema_mismatch(found, schema):
        raise UserError(f"{path} is damaged ({wrong}); {hint}")


def load_arrays(
    path: str | os.PathLike, schema: Mapping[str, tuple[str, tuple]], *, hint: str = RERUN_HINT
) -> dict[str, np.ndarray]:
    """Reads arrays of an .npz file; no pickle is run.

    Args:
      schema: for each array the kinds allowed for its dtype, as in `np.dtype.kind`, and its shape;
        None matches any length, ... at the end any further axes.

    Raises:
      UserError: where the file is damaged or an array does not match.
    """
    found = {}
    with report_damage(path, hint=hint), np.load(path, allow_pickle=False) as archive:
        for name, (kinds, shape) in schema.items():
            found[name] = array = archive[name]
            fixed = shape[:-1] if shape[-1:] == (...,) else shape
            lengths = array.shape[: len(fixed)] if fixed is not shape else array.shape
            fits = len(lengths) == len(fixed) and all(
                b in (a, None) for a, b in zip(lengths, fixed)
            )
            if not fits or array.dtype.kind not in kinds:
                raise ValueError(f"{name} is {array.dtype} of shape {array.shape}")
    return found


def schema_mismatch(found: Any, schema: Schema, *, location: str = "") -> str:
    """The first mismatch of `found` with `schema`, as text with its path; '' if there is none."""
    parts = []
    match schema, found:
        case tuple(), _:
            misfits = [schema_mismatch(found, each, location=location) for each in schema]
            return "" if "" in misfits else misfits[-1]
        case [each], list():
            parts = [(value, each, f"{location}[{index}]") for index, value in enumerate(found)]
        case dict(), dict():
            for name, each in schema.items():
                if name is str:
                    parts += [(value, each, f"{location}.{key}") for key, value in found.items()]
                elif name.removesuffix("?") in found:
                    key = name.removesuffix("?")
                    parts.append((found[key], each, f"{location}.{key}"))
                elif not name.endswith("?"):
                    return f"{location[1:]} has no {name}".strip()
        case _:
            if not _is(found, schema):
                kinds: dict[type, str] = {dict: "an object", list: "a list"}
                kind = kinds.get(type(found))
                return (
                    f"{location.removeprefix('.') or 'all of it'} is {kind or reprlib.repr(found)}"
                )
    misfits = (schema_mismatch(value, each, location=at) for value, each, at in parts)
    return next(filter(None, misfits), "")


def _is(value: Any, schema: Schema) -> bool:
    if schema is object:
        return True
    if schema is None or isinstance(value, bool):
        return value is schema or (schema is bool and isinstance(value, bool))
    if isinstance(value, int | float) and not abs(value) < MAX_NUMBER:
        return False
    if schema is float:
        return isinstance(value, int | float)
    return isinstance(schema, type) and isinstance(value, schema)


def _no_number(name: str):
    raise ValueError(f"{name} is not a number")
