"""The one reader: text, JSON and arrays that match a schema, or a `UserError` of one sentence.

A schema of JSON is a type: `dict[str, Any]`, `list[str]`, a `msgspec.Struct`, a dataclass or a
`TypedDict`. Keys that it does not name are ignored; an int is accepted as a float.

    class Line(msgspec.Struct):
        name: str
        scores: list[float] = []

    load_json("line.json", Line).name
"""

import contextlib
import csv
import io
import json
import os
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import numpy as np

from mer_jax.errors import UserError

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


@contextlib.contextmanager
def report_no_table(path: str | os.PathLike) -> Iterator[None]:
    """Raises a `csv.Error` of the block, which reads `path`, as a `UserError`."""
    try:
        yield
    except csv.Error as error:
        raise UserError(f"{path}: is not a table of separated values ({error})") from None


def error_summary(error: Exception) -> str:
    """The message of an exception in at most 120 characters."""
    system_error = _SYSTEM.search(str(error))
    text = (isinstance(error, OSError) and error.strerror) or " ".join(str(error).split())
    text = system_error[0] if system_error else text
    return text[:120] if " " in text else f"{type(error).__name__} {text[:100]}".strip()


def expanded(path: str | os.PathLike) -> pathlib.Path:
    """`path` with ~ expanded; a name that only begins with it (~$sheet.xlsx) as it is."""
    try:
        return pathlib.Path(path).expanduser()
    except RuntimeError:
        return pathlib.Path(path)


def read_text(path: str | os.PathLike) -> str:
    """The UTF-8 text of a file, line ends unchanged. Raises `UserError` if it cannot be read."""
    try:
        return expanded(path).read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not UTF-8 text (byte {error.start})") from error


def rows(text: str, delimiter: str, *, skip_blanks: bool) -> Any:
    """The rows of a table, an iterator with `line_num`.

    skip_blanks: leave out blanks before a cell, which quotes may follow.
    """
    stream = io.StringIO(text, newline="")
    return csv.reader(stream, delimiter=delimiter, skipinitialspace=skip_blanks)


def integer(text: str) -> int | None:
    """The integer that a cell of a table holds, also as 12.0 or 12,0; None for other text.

    >>> integer("12.00"), integer("-3"), integer("7,0"), integer("1.5"), integer("1,000")
    (12, -3, 7, None, None)
    """
    match = re.fullmatch(r"(-?\d{1,18})(\.0*|,00?)?", text)  # of 64 bits
    return int(match[1]) if match else None


def without_zeros(text: str) -> str:
    """The cell of a table, and 12.0, as a table of floats writes an integer, as 12.

    >>> without_zeros("12.0"), without_zeros("006"), without_zeros("1.5")
    ('12', '006', '1.5')
    """
    return text.partition(".")[0] if re.fullmatch(r"\d+\.0*", text) else text


def load_json(path: str | os.PathLike, schema: Any, *, hint: str = RERUN_HINT) -> Any:
    """Reads JSON that matches `schema`.

    Args:
      path: of a UTF-8 file.
      schema: the type of its content, see above.
      hint: what the user can do about a damaged file.

    Returns:
      An object of that type.

    Raises:
      UserError: for a missing file, invalid JSON (with the line), too deep nesting, a number that
        is not finite or has over 64 bits, or a mismatch (with its key).
    """
    content = read_text(path)
    try:
        found = json.loads(
            content,
            parse_int=_number(int),
            parse_float=_number(float),
            parse_constant=_number(float),
        )
        return msgspec.convert(found, schema)
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: line {error.lineno} is not JSON ({error.msg}); {hint}") from error
    except msgspec.ValidationError as error:
        what, _, key = str(error).partition(" - at ")
        where = key.strip("`").removeprefix("$").removeprefix(".")
        raise UserError(f"{path} is damaged ({f'{where}: ' * bool(where)}{what}); {hint}") from None
    except RecursionError:
        raise UserError(f"{path}: is nested too deeply; {hint}") from None
    except ValueError as error:
        what = str(error).partition(":")[0]  # without Python's advice on its limit of digits
        raise UserError(f"{path}: has a number that cannot be used ({what}); {hint}") from None


def _number(kind: type) -> Any:
    """A function of a number's text that raises `ValueError` if it is beyond 64 bits."""

    def parse(text: str) -> float:
        number = kind(text)
        if not abs(number) < MAX_NUMBER:  # NaN, too
            raise ValueError(f"{text[:20]} is too large, or no number")
        return number

    return parse


def load_arrays(
    path: str | os.PathLike, schema: Mapping[str, tuple[str, tuple]]
) -> dict[str, np.ndarray]:
    """Reads arrays of an .npz file; no pickle is run.

    Args:
      path: of the file.
      schema: for each array the kinds allowed for its dtype, as in `np.dtype.kind`, and its shape;
        None matches any length, ... at the end any further axes.

    Returns:
      The arrays of the schema by name.

    Raises:
      UserError: if the file is damaged or an array does not match.
    """
    found = {}
    with report_damage(path), np.load(path, allow_pickle=False) as archive:
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
