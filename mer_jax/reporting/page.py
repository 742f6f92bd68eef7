"""The HTML page of `report` and `comparison`: its style, and functions from values to HTML.

One self-contained file without scripts or links: style and pictures are embedded. It follows the
reader's light or dark setting, fits a phone, and prints on white.
"""

import base64
import html
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mer_jax.reporting.verdict import headline, sentence

_STYLE = """
:root { color-scheme: light dark; --paper: #ffffff; --card: #f5f7f9; --ink: #1f2933;
  --faint: #5b6673; --line: #d4dae1; --blue: #0072b2; --on-blue: #ffffff; --orange: #e69f00;
  --green: #009e73; --purple: #cc79a7; --vermilion: #d55e00; --sky: #56b4e9; --olive: #a79a00;
  --good: #00694d; --good-card: #e3f4ee; --bad: #a84300; --bad-card: #fdeee3 }
@media screen and (prefers-color-scheme: dark) {
  :root { --paper: #12161b; --card: #1b2129; --ink: #e6eaef; --faint: #9aa6b4; --line: #343d48;
  --blue: #4aa8e0; --on-blue: #08131b; --orange: #f0b63c; --green: #2fc298; --purple: #dd97bf;
  --vermilion: #f0813a; --sky: #7cc7f2; --olive: #c9bd3a;
  --good: #5fd6b1; --good-card: #12302a; --bad: #ffa268; --bad-card: #3a2216 } }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 1.5rem 1.25rem 4rem; max-width: 62rem; background: var(--paper);
  color: var(--ink); font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans",
  "DejaVu Sans", sans-serif; overflow-wrap: anywhere }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0 0 .25rem }
h2 { font-size: 1.15rem; margin: 2.75rem 0 .75rem; padding-top: .9rem;
  border-top: 1px solid var(--line) }
p { margin: .4rem 0; max-width: 46rem }
.faint, caption, figcaption { color: var(--faint); font-size: .9rem }
.banner { border-left: .35rem solid; border-radius: .3rem; padding: .6rem .9rem; margin: 1rem 0 }
.banner b { letter-spacing: .04em } .banner ul { margin: .3rem 0 0; padding-left: 1.2rem }
.strict { color: var(--good); background: var(--good-card) }
.warning { color: var(--bad); background: var(--bad-card) }
.headline { display: grid; grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr)); gap: 1rem;
  margin: 1rem 0 }
.headline > div { background: var(--card); border-radius: .6rem; padding: .9rem 1.1rem }
.big { font-size: 2.5rem; font-weight: 700; line-height: 1.1; font-variant-numeric: tabular-nums }
.scale { position: relative; height: .5rem; margin: .7rem 0 .3rem; border-radius: .25rem;
  background: var(--line) }
.scale i { position: absolute; top: 0; bottom: 0; border-radius: .25rem; background: var(--blue);
  opacity: .45 }
.scale b { position: absolute; top: -.2rem; bottom: -.2rem; width: .22rem; margin-left: -.11rem;
  border-radius: .1rem; background: var(--ink) }
.scale u { position: absolute; top: -.2rem; bottom: -.2rem; border-left: 2px dotted var(--faint) }
.wide { overflow-x: auto; margin: .75rem 0 }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .93rem }
caption { text-align: left; padding-bottom: .3rem }
th, td { padding: .35rem .9rem .35rem 0; text-align: right; vertical-align: top;
  border-bottom: 1px solid var(--line); overflow-wrap: normal }
th { font-weight: 600; color: var(--faint) } tbody th { color: var(--ink); font-weight: 500 }
th:first-child, td:first-child, .text th, .text td { text-align: left }
.text td { overflow-wrap: anywhere } .text tbody th { white-space: nowrap }
td small, .big + small { color: var(--faint); white-space: nowrap }
figure { margin: 1.25rem 0; break-inside: avoid } figcaption { margin-top: .3rem; max-width: 46rem }
figure svg { display: block; width: 100%; height: auto }
figure svg text { font-family: inherit !important }
figure img { display: block; max-width: min(100%, 40rem); height: auto }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr));
  gap: 0 2.5rem; align-items: start }
.subjects { columns: 15rem auto; column-gap: 2rem; font-size: .88rem; padding: 0; list-style: none }
.subjects li { display: grid; grid-template-columns: 1fr 4.5rem 4rem; gap: .5rem;
  align-items: center; break-inside: avoid }
.subjects span { height: .45rem; border-radius: .2rem; background: linear-gradient(90deg,
  var(--blue) var(--part), var(--line) var(--part)) }
.subjects em { font-style: normal; text-align: right; white-space: nowrap; color: var(--faint) }
pre { background: var(--card); border-radius: .4rem; padding: .7rem .9rem; white-space: pre-wrap;
  font-size: .85rem }
summary { cursor: pointer; font-weight: 600; margin: .6rem 0 } a { color: var(--blue) }
@media print { body { font-size: 9.5pt; padding: 0; max-width: none }
  h2 { break-after: avoid; margin-top: 1.5rem } tr, .banner, .headline > div { break-inside: avoid }
  .headline { grid-template-columns: repeat(3, 1fr) } .pair { grid-template-columns: 1fr 1fr }
  .wide { overflow: visible } table { font-size: 8pt } th, td { padding: .15rem .6rem .15rem 0 }
  details::details-content { content-visibility: visible; height: auto }
  figure img { max-width: 28rem }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact } }
"""


class Raw(str):
    """HTML that `text` does not escape."""


def text(value: Any) -> Raw:
    """`value` as escaped HTML text, with a box for each character that cannot be printed."""
    return value if isinstance(value, Raw) else Raw(html.escape(printable(str(value))))


def printable(string: str) -> str:
    """`string` with a box for each character that cannot be printed."""
    box = "\N{REPLACEMENT CHARACTER}"
    return "".join(c if c.isprintable() or c in "\n\t" else box for c in string)


def number(value: float | None, *, digits: int = 4) -> str:
    """A score to `digits` decimals; a dash where it is undefined (None or NaN)."""
    return "–" if undefined(value) else f"{value:.{digits}f}"


def undefined(value: float | None) -> bool:
    """True for None and NaN: files hold the first where scores hold the second."""
    return value is None or math.isnan(value)


def interval(score: Mapping[str, float | None]) -> str:
    """'[0.68, 0.78]', or '' without an interval."""
    if undefined(score["low"]):
        return ""
    return f"[{number(score['low'], digits=2)}, {number(score['high'], digits=2)}]"


def score_cell(score: dict[str, float | None]) -> Raw:
    """A score with its interval, for a cell of a table."""
    bounds = interval(score)
    return Raw(number(score["value"]) + (f" <small>{bounds}</small>" if bounds else ""))


def table(
    header: Sequence[Any],
    rows: Iterable[Sequence[Any]],
    *,
    caption: str = "",
    is_text: bool = False,
) -> Raw:
    """A table that scrolls sideways if it is too wide. is_text: cells are text, not numbers."""
    head = "".join(f'<th scope="col">{text(cell)}</th>' for cell in header)
    body = "".join(
        f'<tr><th scope="row">{text(first)}</th>' + "".join(f"<td>{text(c)}</td>" for c in rest)
        + "</tr>" for first, *rest in rows
    )  # fmt: skip
    title = f"<caption>{text(caption)}</caption>" if caption else ""
    style = ' class="text"' if is_text else ""
    head = f"<thead><tr>{head}</tr></thead>" if header else ""
    return Raw(f'<div class="wide"><table{style}>{title}{head}<tbody>{body}</tbody></table></div>')


def figure(content: str, caption: Any) -> Raw:
    """A picture with its caption."""
    return Raw(f"<figure>{content}<figcaption>{text(caption)}</figcaption></figure>")


def image(content: bytes, *, kind: str, alt: str) -> Raw:
    """An embedded picture. kind: "png" or "webp"."""
    data = base64.b64encode(content).decode()
    return Raw(f'<img alt="{text(alt)}" src="data:image/{kind};base64,{data}">')


def scale(score: Mapping[str, Any], *, chance: float | None = None) -> Raw:
    """A bar from 0 to 1 with the score, its interval, and a dotted mark at chance."""
    if undefined(score["value"]):
        return Raw("")
    parts = []
    if not undefined(score["low"]):
        width = score["high"] - score["low"]
        parts.append(f'<i style="left:{100 * score["low"]:.2f}%;width:{100 * width:.2f}%"></i>')
    if chance is not None and not undefined(chance):
        parts.append(f'<u style="left:{100 * chance:.2f}%"></u>')
    parts.append(f'<b style="left:{100 * score["value"]:.2f}%"></b>')
    return Raw(f'<div class="scale" aria-hidden="true">{"".join(parts)}</div>')


def verdict_banner(verdict: dict[str, Any]) -> Raw:
    """STRICT or AS PUBLISHED, with the leaks."""
    if verdict["strict"]:
        return _banner("strict", "STRICT", headline(verdict), ())
    return warning_banner("AS PUBLISHED", headline(verdict), map(sentence, verdict["leaks"]))


def warning_banner(title: str, sentence: str, items: Iterable[str]) -> Raw:
    """A warning with a list of items."""
    return _banner("warning", title, sentence, items)


def _banner(kind: str, title: str, sentence: str, items: Iterable[str]) -> Raw:
    entries = "".join(f"<li>{text(item)}</li>" for item in items)
    below = f"<ul>{entries}</ul>" if entries else ""
    return Raw(f'<div class="banner {kind}"><b>{title}</b><br>{text(sentence)}{below}</div>')


def page(title: str, body: Iterable[str]) -> str:
    """The HTML file."""
    head = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{text(title)}</title><style>{_STYLE}</style></head>"
    )
    return f"{head}\n<body>\n" + "\n".join(body) + "\n</body></html>\n"
