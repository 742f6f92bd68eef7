"""What mer_jax says when a user's input is wrong: one sentence each, with the place and the cure.

Everything that comes from outside (a folder, a label sheet, a config key, a flag) is checked where
it enters. A single mistake raises `UserError`; a database is read to its end and all that is wrong
with it is raised at once as `DataError`. Programs catch `UserError`, print it and exit with 2; they
never show a traceback for it.
"""

import contextlib
import difflib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple


class UserError(ValueError):
    """A mistake in what the user gave: the message says where it is and what to do."""


class Problem(NamedTuple):
    """One thing that is wrong with a database."""

    where: str  # the file, row or clip
    what: str  # what is wrong there and what to do about it

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


class DataError(UserError):
    """All that is wrong with a database or a file, as one list.

    most: how many problems of a kind the message shows, all of them by default; a kind is what
    remains of a problem without its numbers and quotations.
    """

    def __init__(self, database: str, problems: Sequence[Problem], *, most: int | None = None):
        self.database = database
        self.problems = tuple(problems)
        kinds: dict[str, list[Problem]] = {}
        for problem in self.problems:
            kinds.setdefault(re.sub(r"'.*?'|\d+", "", problem.what), []).append(problem)
        shown = {id(problem) for found in kinds.values() for problem in found[:most]}
        lines = [f"  {problem}" for problem in self.problems if id(problem) in shown]
        if most is not None:
            lines += [
                f"  and {len(found) - most} more of this kind: {found[most].what}"
                for found in kinds.values()
                if len(found) > most
            ]
        super().__init__("\n".join([f"{database}: {len(self.problems)} problem(s):", *lines]))


@contextlib.contextmanager
def report_write_errors(path: str | os.PathLike) -> Iterator[None]:
    """What the system refuses while `path` is written (no room, no right to) as a `UserError`."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror or error}); make room or choose another "
            "place, and give the same command again"
        ) from error


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UserError:
    """A `UserError` for a name that does not exist; it offers the nearest one that does."""
    known = sorted(known)
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}."
    return UserError(f"unknown {kind} {name!r}; {hint}")


def filter_by_regex(flag: str, pattern: str, names: Iterable[str]) -> list[str]:
    """The `names` in which the regular expression `pattern` of a `flag` occurs.

    Raises `UserError` where it is none.
    """
    try:
        return [name for name in names if re.search(pattern, name)]
    except re.error as error:
        raise UserError(f"{flag}={pattern} is no regular expression ({error})") from None
