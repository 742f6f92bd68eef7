"""Shared by all commands: flags, help, and exit codes (0 success, 2 a mistake of the user)."""

import ast
import contextlib
import functools
import inspect
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, ParamSpec, TypeVar

from absl import app, flags, logging

from mer_jax import runtime
from mer_jax.errors import UserError

HELP = ("--help", "-h", "-help", "--helpshort", "--helpfull")
_Arguments = ParamSpec("_Arguments")
_Value = TypeVar("_Value")


def run(
    function: Callable[_Arguments, int | None], *args: _Arguments.args, **options: _Arguments.kwargs
) -> int:
    """The exit code of `function(*args)`: what it returns, or 0; 2 after printing a `UserError`.

    141, as of a shell's own commands, if nothing reads the output any more (`... | head`). Hides
    the warnings of libraries unless --verbosity is given.
    """
    logging.set_verbosity(logging.ERROR)
    try:
        with runtime.on_devices():
            code = function(*args, **options) or 0
    except UserError as error:
        print(f"error: {error}{_how_to_give(str(error))}", file=sys.stderr)
        code = 2
    except PermissionError as error:  # of any folder on the way
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        code = 2
    except SystemExit as stop:
        if not isinstance(stop.code, int | None):
            raise
        code = stop.code or 0
    except BrokenPipeError:  # of the output, or of another pipe
        if not _is_output_closed("\n"):
            raise
        code = 141
    return 141 if _is_output_closed() else code


def _how_to_give(text: str) -> str:
    """How a command takes the options of a database that a message names as Python does."""
    named = re.search(r"(?<![\w.-])(allow_mismatch|labels|skip_source_check|root)=", text)
    if not named:
        return ""
    if "config" in flags.FLAGS:
        return f"\n(here: --config.data.{named[1]}=...)"
    if named[1] == "root":
        return "\n(here: --root=...)" if "root" in flags.FLAGS else ""
    return f"\n(here: --option={named[1]}=...)" if "option" in flags.FLAGS else ""


def _is_output_closed(text: str = "") -> bool:
    """Whether nothing reads the output any more, tried with `text`; it then gets no more."""
    try:
        if sys.stdout:
            sys.stdout.write(text)
            sys.stdout.flush()
        return False
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True


@contextlib.contextmanager
def at_stop_signals(handler: Callable[[int, Any], object]) -> Iterator[None]:
    """Within the body SIGTERM and Ctrl-C call `handler` with their number and the frame."""
    before = {number: signal.signal(number, handler) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


def start(module: ModuleType, argv: list[str]) -> None:
    """Parses the flags of the command `module`, runs its `main`, exits with its code."""
    app.run(module.main, argv=argv, flags_parser=functools.partial(parse, module))


def parse(module: ModuleType, argv: list[str]) -> list[str]:
    """Parses the flags of the command `module` from `argv`; returns the remaining arguments.

    `module.parse` replaces the default parser for a command that needs more.

    Raises:
      UserError: a mistake in a flag.
      SystemExit: with code 0, after printing the help that `argv` asks for.
    """
    if set(argv) & {*HELP}:
        listed = flags.FLAGS.module_help(module).strip()
        print(inspect.getdoc(module), *([f"flags of {listed}"] if listed else []), sep="\n\n")
        raise SystemExit(0)
    try:
        return getattr(module, "parse", flags.FLAGS)(argv)
    except flags.Error as error:
        raise UserError(str(error)) from None


def required(flag: flags.FlagHolder[_Value | None]) -> _Value:
    """The value of a required flag. Raises `UserError` if it is missing."""
    if not flag.value:
        raise UserError(f"--{flag.name}=... is required")
    return flag.value


def named_values(flag: flags.FlagHolder[list[str]]) -> dict[str, Any]:
    """NAME -> value of a flag given as --option=NAME=VALUE, once or more.

    Values are Python literals or plain text. Raises `UserError` for one of another form.
    """
    found: dict[str, Any] = {}
    for given in flag.value:
        name, equals, value = given.partition("=")
        if not equals:
            raise UserError(f"--{flag.name}={given} is not of the form NAME=VALUE")
        found[name] = value
        with contextlib.suppress(ValueError, SyntaxError):
            found[name] = ast.literal_eval(value)
    return found


def size_of(flag: flags.FlagHolder[Any]) -> tuple[int, int]:
    """(H, W) of a flag given as H,W. Raises `UserError` for another form."""
    if len(flag.value) != 2 or not all(word.strip().isdigit() for word in flag.value):
        raise UserError(f"--{flag.name}={','.join(flag.value)} is not H,W, two integers")
    height, width = map(int, flag.value)
    return height, width


def no_arguments(argv: list[str]) -> None:
    """Raises `UserError` if the command line has an argument that is not a flag."""
    if argv[1:]:
        raise UserError(f"{argv[1]!r} is no flag; flags begin with -- and join values with =")
