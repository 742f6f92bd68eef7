"""Errors for wrong user input: one sentence each, with the location and what to do.

All input (a folder, a label sheet, a config key, a flag) is checked where it enters. A single
mistake raises `UserError`; a database is read to its end and all its problems are raised at once
as `DataError`. Commands catch `UserError`, print it without a traceback and exit with 2.
"""

import contextlib
import difflib
import os
import re
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple


class UserError(ValueError):
    """Wrong user input; the message has the location and what to do."""


class Problem(NamedTuple):
    """One problem of a database or file."""

    where: str  # the file, row or clip
    what: str  # the problem and what to do

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


class DataError(UserError):
    """All problems of a database or a file.

    max_per_kind: how many problems of a kind the message lists (`format_problems`), by default all.
    """

    def __init__(
        self, database: str, problems: Sequence[Problem], *, max_per_kind: int | None = None
    ):
        self.database = database
        self.problems = tuple(problems)
        lines = format_problems(self.problems, max_per_kind=max_per_kind)
        super().__init__("\n".join([f"{database}: {len(self.problems)} problem(s):", *lines]))


def format_problems(problems: Sequence[Problem], *, max_per_kind: int | None = None) -> list[str]:
    """A line for each problem, at most `max_per_kind` of a kind, and one that counts the others.

    Problems are of a kind if they differ only in numbers, quoted text and paths.
    """
    kinds: dict[str, list[Problem]] = {}
    for problem in problems:
        kind = re.sub(r"'.*?'|\S*/\S*|\d+", "", problem.what)
        kinds.setdefault(kind, []).append(problem)
    listed = {id(problem) for found in kinds.values() for problem in found[:max_per_kind]}
    shown = [f"  {problem}" for problem in problems if id(problem) in listed]
    if max_per_kind is not None:
        shown += [
            f"  and {len(found) - max_per_kind} more of this kind: {found[max_per_kind].what}"
            for found in kinds.values()
            if len(found) > max_per_kind
        ]
    return shown


@contextlib.contextmanager
def report_write_errors(path: str | os.PathLike) -> Iterator[None]:
    """Raises `OSError`s while `path` is written (disk full, no permission) as `UserError`."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror or error}); free disk space or choose "
            "another folder, and run the same command again"
        ) from error


@contextlib.contextmanager
def located(where: str | os.PathLike) -> Iterator[None]:
    """Raises a `UserError` of the block with `where` and a colon in front."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


@contextlib.contextmanager
def own_code(kind: str, name: str, *, about: str = "") -> Iterator[None]:
    """Within the block an object of the user's runs, if `name` is "package.module:Name".

    What it raises becomes a `UserError` with its last line in that module. about: added to it.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if ":" not in name:
            raise
        file = getattr(sys.modules.get(name.partition(":")[0]), "__file__", None)
        lines = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
        place = f" ({lines[-1].filename}, line {lines[-1].lineno})" if lines else ""
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        reason = reason if len(reason) <= 300 else f"{reason[:297]}..."
        raise UserError(f"{kind} {name}{about}: {reason}{place}") from error


def first_of(names: Sequence[str]) -> str:
    """The first name, and how many more there are.

    >>> first_of(["a"]), first_of(["a", "b", "c"])
    ('a', 'a (and 2 more)')
    """
    return names[0] + (f" (and {len(names) - 1} more)" if names[1:] else "")


def suggestion(name: str, known: Sequence[str], *, cutoff: float = 0.3) -> str:
    """The most similar known name as a question, or all known ones.

    >>> suggestion("suprise", ["surprise", "sadness"]), suggestion("x", ["a", "b"])
    ("did you mean 'surprise'?", 'known: a, b')
    """
    folded = {each.casefold(): each for each in known}
    near = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=cutoff)
    return f"did you mean {folded[near[0]]!r}?" if near else f"known: {', '.join(known)}"


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UserError:
    """A `UserError` for an unknown name, which suggests the most similar known one.

    >>> str(unknown_name("method", "strnc", ["strcn", "psn"]))
    "unknown method 'strnc'; did you mean 'strcn'?"
    """
    hint = suggestion(str(name), sorted(known), cutoff=0.5)
    hint = hint if hint.endswith("?") else f"{hint}."
    shown = str(name) if len(str(name)) <= 100 else f"{str(name)[:97]}..."
    return UserError(f"unknown {kind} {shown!r}; {hint}")


def filter_by_regex(flag: str, pattern: str, names: Iterable[str]) -> list[str]:
    """The `names` that the regular expression `pattern` of `flag` matches anywhere.

    Raises `UserError` for an invalid pattern.
    """
    try:
        return [name for name in names if re.search(pattern, name)]
    except re.error as error:
        raise UserError(f"{flag}={pattern} is not a regular expression ({error})") from None
