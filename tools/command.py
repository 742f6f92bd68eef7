"""What all commands have in common: a mistake of the user is one sentence, and exit code 2."""

import functools
import sys
from collections.abc import Callable

from absl import flags, logging

from mer_jax.problems import UserError


def command(main: Callable[[list[str]], int | None]) -> Callable[[list[str]], int]:
    """`main` for `absl.app.run`: 0 where it returns nothing; what it raises as `UserError` is told.

    Warnings of the libraries below are left out unless --verbosity asks for them.
    """

    @functools.wraps(main)
    def run(argv: list[str]) -> int:
        if not flags.FLAGS["verbosity"].present:
            logging.set_verbosity(logging.ERROR)
        try:
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
