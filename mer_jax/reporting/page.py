"""HTML pages from the Jinja2 templates beside this module, and how they write numbers.

    render("report.html", title=..., ...)

A page is one self-contained file without scripts or links: style and pictures are embedded. It
follows the reader's light or dark setting, fits a phone, and prints on white. Values are escaped,
and a name that a template uses but is not given is an error.
"""

import base64
import functools
import math
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jinja2
from markupsafe import Markup

from mer_jax.reporting.figures import printable
from mer_jax.reporting.verdict import headline, sentence

_TEMPLATES = pathlib.Path(__file__).with_name("templates")


def render(template: str, **values: Any) -> str:
    """The HTML of a page.

    Args:
      template: file name of a template.
      **values: what it uses; escaped, with a box for each character that cannot be printed.

    Raises:
      jinja2.UndefinedError: if the template uses a value that is not given.
    """
    return environment().get_template(template).render(values)


@functools.cache
def environment(*folders: str | os.PathLike) -> jinja2.Environment:
    """The templates of this package, before them those in `folders`, with their filters.

    >>> environment().from_string("{{ name }}: {{ uf1 | number(digits=2) }}").render(
    ...     name="<mine>", uf1=0.7251)
    '&lt;mine&gt;: 0.73'
    """
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader([*folders, _TEMPLATES]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    filters: dict[str, Any] = {
        "headline": headline,
        "sentence": sentence,
        "base64": lambda content: base64.b64encode(content).decode(),
        "interval": interval,
        "number": number,
        "score_text": score_text,
    }
    found.filters |= filters
    found.tests["missing"] = missing
    return found


def _finalize(value: Any) -> Any:
    return value if isinstance(value, Markup) else printable(str(value), allowed="\n\t")


def number(value: float | None, *, digits: int = 4) -> str:
    """A score to `digits` decimals; a dash where it is undefined (None or NaN).

    >>> number(2 / 3), number(None)
    ('0.6667', '–')
    """
    return "–" if missing(value) else f"{value:.{digits}f}"


def alternatives(scores: Mapping[str, float]) -> list[str]:
    """The `alternative_scores` of a summary as lines for a terminal."""
    rows = [f"    {number(value):6}  {name}" for name, value in scores.items()]
    return ["  by other definitions:", *rows]


def missing(value: float | None) -> bool:
    """True for None and NaN: files have the first where scores in memory have the second."""
    return value is None or math.isnan(value)


def interval(score: Mapping[str, float | None]) -> str:
    """'[0.68, 0.78]' of a score's "low" and "high", or '' without an interval."""
    if missing(score["low"]):
        return ""
    return f"[{number(score['low'], digits=2)}, {number(score['high'], digits=2)}]"


def score_text(score: Mapping[str, float | None]) -> str:
    """A score ("value", "low", "high") with its interval, or a "mean" with its "std".

    >>> score_text({"value": 0.7251, "low": 0.68, "high": 0.78})
    '0.7251 [0.68, 0.78]'
    >>> score_text({"mean": 0.7251, "std": 0.0123})
    '0.7251 ± 0.0123'
    """
    if "mean" in score:
        return f"{number(score['mean'])} ± {number(score['std'])}"
    return f"{number(score['value'])} {interval(score)}".strip()
