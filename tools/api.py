"""Writes the public API as one HTML page: signatures, docstrings, examples, links between names.

    python -m tools.api --out=DIR     writes DIR/api.html

The modules are those of the table in WORKSPACE.md. Of each the page has the names in `__all__`, or
the functions and classes that it defines without a leading underscore; of a package without any of
its own, those of the modules in it.
"""

import ast
import importlib
import inspect
import pathlib
import pkgutil
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any, NamedTuple

import pygments
from absl import flags
from markupsafe import Markup, escape
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonConsoleLexer, PythonLexer

import mer_jax
from mer_jax.cli import command
from mer_jax.io import saving
from mer_jax.reporting import page

_OUT = flags.DEFINE_string("out", None, "The folder that gets api.html.")

_WORKSPACE = pathlib.Path(__file__).parents[1] / "WORKSPACE.md"
_NO_API = ("cli", "configs", "__main__")  # commands and jobs
_SHOWN_DECORATORS = re.compile(r"property|classmethod|staticmethod|dataclass|contextmanager")
_SECTION = re.compile(r"(Args|Returns|Yields|Raises|References|Source|Note|Attributes):$")


class Entry(NamedTuple):
    """A function, class or method."""

    name: str
    anchor: str
    code: Markup  # its signature, with the fields of a class
    text: Markup  # its docstring
    members: list["Entry"]


class Section(NamedTuple):
    """A module."""

    name: str
    text: Markup  # its docstring
    names: dict[str, str]  # public names, and the anchors of their descriptions
    entries: list[Entry]  # what is described here


def write(folder: str | pathlib.Path) -> pathlib.Path:
    """Writes api.html to `folder` and returns its path."""
    found = {module.__name__: public(module) for module in (mer_jax, *modules())}
    # An object is described once, under its first name; the others are links.
    first: dict[Any, str] = {}
    anchors: dict[str, str] = {}
    for module, objects in found.items():
        for name, thing in objects.items():
            anchors[f"{module}.{name}"] = first.setdefault(thing, f"{module}.{name}")
    sections = []
    for module, objects in found.items():
        link = _linker(module, anchors)
        names = {name: anchors[f"{module}.{name}"] for name in objects}
        entries = [
            _entry(name, anchor, objects[name], link)
            for name, anchor in names.items()
            if anchor == f"{module}.{name}"
        ]
        text = docstring(importlib.import_module(module).__doc__ or "", link)
        sections.append(Section(module, text, names, entries))
    colors = {
        mode: HtmlFormatter(style=style).get_style_defs(".code")
        for mode, style in {"light": "default", "dark": "github-dark"}.items()
    }
    html = page.environment(pathlib.Path(__file__).parent).get_template("api.html")
    content = html.render(title=f"mer_jax {mer_jax.__version__}", sections=sections, colors=colors)
    return saving.write(pathlib.Path(folder) / "api.html", content)


def modules() -> Iterator[ModuleType]:
    """The modules of WORKSPACE's table; of a package without names of its own, those in it, too."""
    for row in re.findall(r"^\| `mer_jax/(.*?) \|", _WORKSPACE.read_text("utf-8"), re.MULTILINE):
        for name in re.findall(r"(\w+)(?:\.py|/)?`", row):
            if name in _NO_API:
                continue
            module = importlib.import_module(f"mer_jax.{name}")
            if module.__doc__:
                yield module
            if not public(module):
                for each in pkgutil.iter_modules(module.__path__):
                    yield importlib.import_module(f"{module.__name__}.{each.name}")


def public(module: ModuleType) -> dict[str, Any]:
    """The public functions and classes of a module by name, in its own order."""
    names = getattr(module, "__all__", None)
    if names is None:
        own = lambda thing: getattr(thing, "__module__", "") == module.__name__
        names = [n for n, thing in vars(module).items() if not n.startswith("_") and own(thing)]
    found = {name: getattr(module, name) for name in names}
    return {name: thing for name, thing in found.items() if _source(thing)}


def _source(thing: Any) -> str:
    """The source code of a function or class; '' for anything else."""
    if not callable(thing) or not hasattr(thing, "__qualname__"):
        return ""
    try:
        return textwrap.dedent(inspect.getsource(inspect.unwrap(thing)))
    except (OSError, TypeError):
        return ""


def _entry(name: str, anchor: str, thing: Any, link: Callable[[str], Markup]) -> Entry:
    source = _source(thing)
    (node,) = ast.parse(source).body
    assert isinstance(node, ast.FunctionDef | ast.ClassDef)
    members = []
    for each in node.body if isinstance(node, ast.ClassDef) else ():
        if not isinstance(each, ast.FunctionDef) or each.name.startswith("_"):
            continue
        if text := ast.get_docstring(each):
            code = _highlight(_signature(each, source))
            member = Entry(each.name, f"{anchor}.{each.name}", code, docstring(text, link), [])
            members.append(member)
    # The facade names some objects otherwise than their modules.
    written = re.compile(rf"^(def|class) {node.name}\b", re.MULTILINE)
    code = _highlight(written.sub(rf"\1 {name}", _signature(node, source)))
    text = ast.get_docstring(node) or ""
    return Entry(name, anchor, code, docstring(text, link), members)


def _signature(node: ast.FunctionDef | ast.ClassDef, source: str) -> str:
    """The lines of a definition before its docstring; of a class also its fields and __init__."""
    lines = source.splitlines()
    head = lines[node.lineno - 1 : node.body[0].lineno - 1]
    shown = [f"@{ast.unparse(each)}" for each in node.decorator_list]
    shown = [each for each in shown if _SHOWN_DECORATORS.search(each)]
    if isinstance(node, ast.ClassDef):
        for each in node.body:
            if isinstance(each, ast.AnnAssign) and not ast.unparse(each.target).startswith("_"):
                head += lines[each.lineno - 1 : each.end_lineno]
            if isinstance(each, ast.FunctionDef) and each.name == "__init__":
                head += lines[each.lineno - 1 : each.body[0].lineno - 1]
    return textwrap.dedent("\n".join([*shown, textwrap.dedent("\n".join(head))]))


def _highlight(code: str) -> Markup:
    lexer = PythonConsoleLexer() if code.startswith(">>>") else PythonLexer()
    return Markup(pygments.highlight(code, lexer, HtmlFormatter(nowrap=True)).rstrip("\n"))


def _linker(module: str, anchors: Mapping[str, str]) -> Callable[[str], Markup]:
    """A function from text to HTML: `names` are code, with a link where the page has them."""

    def name(found: re.Match[str]) -> str:
        code = f"<code>{found[1]}</code>"
        parents = (f"{module}.", f"{module.rpartition('.')[0]}.", "mer_jax.", "")
        targets = (anchors.get(f"{parent}{found[1]}") for parent in parents)
        target = next(filter(None, targets), None)
        return f'<a href="#{target}">{code}</a>' if target else code

    return lambda text: Markup(re.sub(r"`([^`]+)`", name, str(escape(text))))


def docstring(text: str, link: Callable[[str], Markup]) -> Markup:
    """A docstring as HTML: paragraphs, code, examples, and sections (Args, Returns, Raises, ...).

    Args:
      text: the docstring.
      link: from text of a paragraph to HTML.
    """
    out, lines = [], inspect.cleandoc(text).splitlines()
    while lines:
        if _SECTION.match(lines[0]):
            title = lines.pop(0)
            count = next((i for i, line in enumerate(lines) if line and line[0] != " "), len(lines))
            body = textwrap.dedent("\n".join(lines[:count])).strip()
            out.append(f"<h4>{escape(title.rstrip(':'))}</h4>{_section_body(title, body, link)}")
        else:
            ends = (i for i, line in enumerate(lines) if not line or _SECTION.match(line))
            count = next(ends, len(lines))
            out.append(_block("\n".join(lines[:count]), link))
        del lines[:count]
        while lines and not lines[0].strip():
            del lines[0]
    return Markup("\n".join(out))


def _section_body(title: str, body: str, link: Callable[[str], Markup]) -> str:
    """A list of entries "name: text", or else paragraphs."""
    entries = re.split(r"\n(?=\S)", body)
    named = [re.match(r"([\w*., ]+): (.*)", entry, re.DOTALL) for entry in entries]
    if not all(named):
        return "".join(_block(textwrap.dedent(part), link) for part in re.split(r"\n\s*\n", body))
    name = lambda text: link(f"`{text}`") if title == "Raises:" else Markup(f"<code>{text}</code>")
    items = (f"<dt>{name(found[1])}</dt><dd>{link(found[2])}</dd>" for found in named if found)
    return f"<dl>{''.join(items)}</dl>"


def _block(block: str, link: Callable[[str], Markup]) -> str:
    """A paragraph, an example, or code."""
    code = textwrap.dedent(block)
    if code.startswith(">>>") or _is_code(code):
        return f'<pre class="code">{_highlight(code)}</pre>'
    if block.startswith("  "):
        return f"<pre>{escape(code)}</pre>"
    return f"<p>{link(block)}</p>"


def _is_code(text: str) -> bool:
    """Whether `text` is Python with a call, an assignment or an import; prose hardly ever is."""
    try:
        nodes = list(ast.walk(ast.parse(text)))
    except SyntaxError:
        return False
    return any(isinstance(n, ast.Call | ast.Assign | ast.Import | ast.ImportFrom) for n in nodes)


def main(argv: list[str]) -> None:
    """Writes the page and prints its path."""
    command.no_arguments(argv)
    print(write(command.required(_OUT)))


if __name__ == "__main__":
    raise SystemExit(command.run(command.start, sys.modules[__name__], sys.argv))
