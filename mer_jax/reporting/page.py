"""HTML pages from the Jinja2 templates beside this module, and how they write numbers.

    render("report.html", title=..., ...)

A page is one self-contained file without scripts or links: style and pictures are embedded. It
follows the reader's light or dark setting, fits a phone, and prints on white. Values are escaped,
and a name that a template uses but is not given is an error.
"""

import base64
import functools
import json
import math
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import jinja2
from markupsafe import Markup

from mer_jax.io import saving
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


def made(config: Mapping[str, Any], provenance: Mapping[str, Any]) -> dict[str, Any]:
    """What the pages of runs say of how they were made, for the macro `made`, and their `title`.

    Args:
      config: content of config.json; of its sections any may be missing.
      provenance: as metrics.json has it; {} if nothing is known.

    >>> made({"title": "", "model": {"name": "rcn_a"}, "data": {"name": "smic"}}, {})["title"]
    'rcn_a on smic'
    >>> made({"title": "As published", "data": {"name": "smic"}}, {})["system"]
    'smic'
    """

    def first_name(*keys: str) -> str:
        sections = (config.get(key) for key in keys)
        return next((str(each["name"]) for each in sections if each and "name" in each), "")

    names = [
        name for name in (first_name("model", "evidence", "method"), first_name("data")) if name
    ]
    title = config.get("title") or " on ".join(names) or "Report"
    facts = {name: value for name, value in provenance.items() if name != "command"}
    return {
        "title": title,
        "system": " on ".join(names) if names and config.get("title") else "",
        "command": provenance.get("command"),
        "provenance": [(_fact_title(name), _format_fact(name, v)) for name, v in facts.items()],
        "config": list(_flat(config)),
    }


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


def _fact_title(name: str) -> str:
    return name.replace("_seconds", " time").replace("_", " ")


def _format_fact(name: str, value: Any) -> str:
    if name.endswith("_seconds") and isinstance(value, int | float):
        minutes, seconds = divmod(round(value), 60)
        hours, minutes = divmod(minutes, 60)
        larger = (f"{count} {unit} " for count, unit in ((hours, "h"), (minutes, "min")) if count)
        return f"{''.join(larger)}{seconds} s"
    if isinstance(value, Mapping):
        return ", ".join(f"{part} {_format_fact(part, content)}" for part, content in value.items())
    return value if isinstance(value, str) else json.dumps(saving.to_builtins(value))


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", json.dumps(saving.to_builtins(value), ensure_ascii=False)
