"""The commands of an installed mer_jax: `mer-jax NAME ...`, or `python -m mer_jax NAME ...`.

Each command is a module of this package: its docstring is the help, its absl flags are the options,
`main(argv)` runs it. A command's module is imported only when it runs.
"""

import ast
import functools
import importlib
import pathlib
import sys
from collections.abc import Sequence

from absl import app

import mer_jax
from mer_jax import runtime
from mer_jax.cli import command
from mer_jax.errors import unknown_name

COMMANDS = (
    *("run", "predict", "score", "compare", "audit", "check-data", "prepare", "show", "analyse"),
    *("summary", "tensorboard", "convert-weights", "cache", "doctor"),
)


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command named by `argv` (default: the command line) and exits."""
    name, *rest = (sys.argv[1:] if argv is None else argv) or ["--help"]
    if name == "--version":
        print(f"mer_jax {mer_jax.__version__}")
        raise SystemExit(0)
    if name in command.HELP:
        print(usage())
        raise SystemExit(0)
    if name not in COMMANDS:
        print(f"error: {unknown_name('command', name, COMMANDS)}", file=sys.stderr)
        raise SystemExit(2)
    if name == "run":
        runtime.enable_huge_pages()
    sys.argv[:] = [f"mer-jax {name}", *rest]  # ml_collections reads it
    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    app.run(module.main, argv=sys.argv, flags_parser=functools.partial(command.parse, module))


def usage() -> str:
    """The list of commands, each with the first sentence of its help."""
    width = max(map(len, COMMANDS))
    lines = ["mer-jax COMMAND ...    (details: mer-jax COMMAND --help)", ""]
    for name in COMMANDS:
        path = pathlib.Path(__file__).with_name(f"{name.replace('-', '_')}.py")
        doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        lines.append(f"  {name:<{width}}  {' '.join(doc.split(chr(10) * 2)[0].split())}")
    return "\n".join(lines)
