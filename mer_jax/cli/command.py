"""Shared by all commands: flags, help, and exit codes (0 success, 2 a mistake of the user)."""

import functools
import inspect
import sys
from collections.abc import Callable
from types import ModuleType

from absl import flags, logging

from mer_jax import runtime
from mer_jax.errors import UserError

HELP = ("--help", "-h", "-help", "--helpshort", "--helpfull")


def parse(module: ModuleType, argv: list[str]) -> list[str]:
    """Parses the flags of the command `module` from `argv`; returns the remaining arguments.

    Prints a mistake in a flag as one sentence and exits with code 2. `module.parse` replaces the
    default parser for a command that needs more.
    """
    if set(argv) & {*HELP}:
        listed = flags.FLAGS.module_help(module).strip()
        print(inspect.getdoc(module), *([f"flags of {listed}"] if listed else []), sep="\n\n")
        raise SystemExit(0)
    try:
        return getattr(module, "parse", flags.FLAGS)(argv)
    except flags.Error as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def command(main: Callable[[list[str]], int | None]) -> Callable[[list[str]], int]:
    """Wraps `main` as a command: returns its exit code or 0; prints a `UserError` and returns 2.

    Hides the warnings of libraries unless --verbosity is given.
    """

    @functools.wraps(main)
    def run(argv: list[str]) -> int:
        if not flags.FLAGS["verbosity"].present:
            logging.set_verbosity(logging.ERROR)
        try:
            with runtime.on_devices():
                return main(argv) or 0
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2

    return run


def required(flag: flags.FlagHolder[str | None]) -> str:
    """The value of a required flag. Raises `UserError` if it is missing."""
    if not flag.value:
        raise UserError(f"--{flag.name}=... is required")
    return flag.value


def no_arguments(argv: list[str]) -> None:
    """Raises `UserError` if the command line has an argument that is not a flag."""
    if argv[1:]:
        raise UserError(f"{argv[1]!r} is no flag; flags begin with -- and join values with =")
