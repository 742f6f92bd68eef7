"""What all commands have in common: exit code 0 for help too, and for a mistake of the user, in a
flag or in what it names, one sentence and exit code 2."""

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
    """Sets the flags of the command `module` that `argv` names; returns the remaining arguments.

    A mistake in a flag is one sentence and exit code 2. `module.parse` replaces the plain parsing
    where a command needs more.
    """
    if set(argv) & {*HELP}:
        print(f"{inspect.getdoc(module)}\n\nflags:\n{flags.FLAGS.module_help(module)}")
        raise SystemExit(0)
    try:
        return getattr(module, "parse", flags.FLAGS)(argv)
    except flags.Error as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def command(main: Callable[[list[str]], int | None]) -> Callable[[list[str]], int]:
    """`main` as a command: 0 where it returns nothing; a `UserError` is printed, and returns 2.

    Warnings of the libraries below are left out unless --verbosity asks for them.
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
    """What a flag says that the command cannot do without. Raises `UserError` where it is not."""
    if not flag.value:
        raise UserError(f"say which {flag.name}: --{flag.name}=...")
    return flag.value


def no_arguments(argv: list[str]) -> None:
    """Raises `UserError` where something stands on the command line that is no flag."""
    if argv[1:]:
        raise UserError(f"{argv[1]!r} is no flag; flags begin with -- and join values with =")
