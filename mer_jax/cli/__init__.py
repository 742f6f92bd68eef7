"""The commands of an installed mer_jax: `mer-jax NAME ...`, or `python -m mer_jax NAME ...`.

Each command is a module of this package: its docstring is the help, its absl flags are the options,
`main(argv)` runs it. A command's module is imported only when it runs.
"""

import ast
import importlib
import pathlib
import sys
from collections.abc import Sequence

import mer_jax
from mer_jax import runtime
from mer_jax.cli import command
from mer_jax.errors import unknown_name

COMMANDS = (
    *("run", "predict", "score", "compare", "audit", "check-data", "prepare", "show", "analyse"),
    *("flow-maps", "summary", "tensorboard", "convert-weights", "databases", "cache"),
    *("export-run", "import-run", "doctor"),
)


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command named by `argv` (default: the command line) and exits."""
    raise SystemExit(command.run(_start, sys.argv[1:] if argv is None else argv))


def _start(argv: Sequence[str]) -> None:
    name, *rest = argv or ["--help"]
    if name == "--version":
        print(f"mer_jax {mer_jax.__version__}")
        return
    if name in command.HELP:
        print(usage())
        return
    if name not in COMMANDS:
        raise unknown_name("command", name, COMMANDS)
    if name == "run":
        runtime.enable_huge_pages()
    sys.argv[:] = [f"mer-jax {name}", *rest]  # ml_collections reads it
    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    command.start(module, sys.argv)


def usage() -> str:
    """The list of commands, each with the first sentence of its help."""
    width = max(map(len, COMMANDS))
    lines = ["mer-jax COMMAND ...    (details: mer-jax COMMAND --help)", ""]
    for name in COMMANDS:
        path = pathlib.Path(__file__).with_name(f"{name.replace('-', '_')}.py")
        doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        lines.append(f"  {name:<{width}}  {' '.join(doc.split(chr(10) * 2)[0].split())}")
    return "\n".join(lines)
