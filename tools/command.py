"""What all commands have in common: exit code 0 for help too, and for a mistake of the user, in a
flag or in what it names, one sentence and exit code 2."""

import functools
import sys
from collections.abc import Callable

from absl import app, flags, logging

from mer_jax import programs
from mer_jax.problems import UserError


def start(main: Callable[[list[str]], int | None]) -> None:
    """Runs `main` with what is on the command line, and ends the process."""
    app.run(main, flags_parser=parse)


def parse(argv: list[str]) -> list[str]:
    """Sets the flags that `argv` names; what is left of it."""
    try:
        return flags.FLAGS(argv)
    except flags.Error as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except SystemExit:  # --help, of which Abseil makes a failure
        raise SystemExit(0) from None


def command(main: Callable[[list[str]], int | None]) -> Callable[[list[str]], int]:
    """`main` for `start`: 0 where it returns nothing; what it raises as `UserError` is told.

    Warnings of the libraries below are left out unless --verbosity asks for them.
    """

    @functools.wraps(main)
    def run(argv: list[str]) -> int:
        if not flags.FLAGS["verbosity"].present:
            logging.set_verbosity(logging.ERROR)
        try:
            with programs.on_devices():
                return main(argv) or 0
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2

    return run


def said(flag: flags.FlagHolder[str | None]) -> str:
    """What a flag says that the command cannot do without. Raises `UserError` where it is not."""
    if not flag.value:
        raise UserError(f"say which {flag.name}: --{flag.name}=...")
    return flag.value


def no_arguments(argv: list[str]) -> None:
    """Raises `UserError` where something stands on the command line that is no flag."""
    if argv[1:]:
        raise UserError(f"{argv[1]!r} is no flag; flags begin with -- and join values with =")
