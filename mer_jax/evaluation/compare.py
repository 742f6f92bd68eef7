"""Several runs in one table: scores with intervals, and whether each differs from the first.

runs = [open_run(path) for path in paths]
rows = compare(runs)
markdown(cells(rows)), latex(cells(rows)), html(rows, cells(rows))
"""

import os
import pathlib
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from mer_jax.evaluation import figures, files, intervals, page
from mer_jax.evaluation.intervals import COMPARED
from mer_jax.evaluation.page import interval, number
from mer_jax.evaluation.predictions import Predictions, read
from mer_jax.evaluation.scores import scores
from mer_jax.evaluation.summary import rated
from mer_jax.problems import UserError

HEADER = ("run", "protocol", "clips", "UF1", "UAR", "accuracy", "UF1 gain", "p", "p (McNemar)")
MARKS = {None: "", True: "strict", False: "AS PUBLISHED"}
NOTES = (
    "Intervals: 95 % percentile bootstrap over subjects. Gain: UF1 minus that of the first run, "
    "with the interval of the difference under the same resampling.",
    "p: the two runs swapped subject by subject, on UF1; p (McNemar): exact, on clips that one of "
    "the two has right; both against the first run and adjusted for their number (Holm).",
)


class Run(NamedTuple):
    """One run to compare."""

    name: str
    predictions: Predictions
    protocol: str = ""
    strict: bool | None = None  # None: nobody said


class Row(NamedTuple):
    """One line of the table."""

    name: str
    protocol: str
    strict: bool | None
    scores: dict[str, Any]  # `summary.rated`
    gain: intervals.Paired | None  # None for the first run
    p_swap: float | None  # adjusted
    p_mcnemar: float | None  # adjusted


def open_run(path: str | os.PathLike) -> Run:
    """A working directory, a predictions.csv or a log. What metrics.json beside it says about the
    protocol and strictness is taken over."""
    path = pathlib.Path(path)
    folder = path if path.is_dir() else path.parent
    predictions, said = read(path), {}
    if (folder / "metrics.json").exists() and (path.is_dir() or path.name == "predictions.csv"):
        said = files.read_json(folder / "metrics.json")
    name = path.resolve().name if not said or path.is_dir() else folder.resolve().name
    return Run(
        name,
        predictions,
        said.get("protocol", {}).get("name", ""),
        said.get("verdict", {}).get("strict"),
    )


def compare(runs: Sequence[Run], *, draws: int = intervals.DRAWS, seed: int = 0) -> list[Row]:
    """One row a run; the first is what the others are compared with.

    Raises `UserError` where a run did not test the same clips as the first.
    """
    first, *others = runs
    gains = []
    for run in others:
        try:
            gains.append(
                intervals.paired(first.predictions, run.predictions, draws=draws, seed=seed)
            )
        except UserError as error:
            raise UserError(f"{first.name} and {run.name} cannot be compared: {error}") from error
    swap = intervals.holm([gain.p_swap["uf1"] for gain in gains])
    mcnemar = intervals.holm([gain.p_mcnemar for gain in gains])
    tests = [(None, None, None), *zip(gains, swap, mcnemar)]
    return [
        Row(
            run.name,
            run.protocol,
            run.strict,
            rated(run.predictions, draws=draws, seed=seed),
            *test,
        )
        for run, test in zip(runs, tests)
    ]


def over_runs(runs: Sequence[Run]) -> dict[str, dict[str, float]]:
    """Mean and standard deviation of the scores of runs that differ in their seed alone."""
    found = [scores(run.predictions.confusion()) for run in runs]
    return {name: intervals.spread([each[name] for each in found]) for name in COMPARED}


def cells(rows: Sequence[Row], runs: Sequence[Run] = ()) -> list[list[str]]:
    """The table as text under `HEADER`. runs: adds their mean and deviation as a last line."""
    out = []
    for row in rows:
        line = [row.name, f"{row.protocol} {MARKS[row.strict]}".strip(), str(row.scores["clips"])]
        line += [f"{number(row.scores[n]['value'])} {interval(row.scores[n])}" for n in COMPARED]
        if row.gain is None:
            out.append([*line, "", "", ""])
            continue
        low, high = row.gain.interval["uf1"]
        gain = f"{row.gain.difference['uf1']:+.4f} [{low:+.2f}, {high:+.2f}]"
        out.append([*line, gain, _p(row.p_swap), _p(row.p_mcnemar)])
    if runs:
        spread = over_runs(runs)
        means = [f"{number(spread[n]['mean'])} ± {number(spread[n]['std'])}" for n in COMPARED]
        out.append([f"mean ± deviation of {len(runs)}", "", "", *means, "", "", ""])
    return out


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """`cells` as a Markdown table with its notes."""
    table = [HEADER, ("---", "---", *["---:"] * (len(HEADER) - 2)), *lines]
    body = "\n".join("| " + " | ".join(map(_markdown, line)) + " |" for line in table)
    return body + "\n\n" + "\n\n".join(NOTES) + "\n"


def latex(lines: Sequence[Sequence[str]]) -> str:
    """`cells` as a LaTeX tabular; needs the package booktabs."""
    head, *body = (" & ".join(map(_latex, line)) + r" \\" for line in (HEADER, *lines))
    notes = "\n".join(f"% {note}" for note in NOTES)
    columns = "ll" + "r" * (len(HEADER) - 2)
    return "\n".join(
        [notes, rf"\begin{{tabular}}{{{columns}}}", r"\toprule", head, r"\midrule", *body,
         r"\bottomrule", r"\end{tabular}", ""]
    )  # fmt: skip


def html(rows: Sequence[Row], lines: Sequence[Sequence[str]]) -> str:
    """The rows and their `cells` as a page of the report's kind, with a chart of the intervals."""
    names = [row.name for row in rows]
    values = {
        title: [[row.scores[name][part] for part in ("low", "value", "high")] for row in rows]
        for name, title in (("uf1", "UF1"), ("uar", "UAR"))
    }
    alt = "; ".join(f"{row.name}: UF1 {number(row.scores['uf1']['value'])}" for row in rows)
    chart = figures.svg(figures.score_intervals(names, values), name="scores", alt=alt)
    title = f"{len(rows)} runs compared"
    body = [
        f"<h1>{page.text(title)}</h1>",
        page.figure(chart, "Scores of all clips, with their intervals."),
        page.table(HEADER, ([*line[:3], *map(_small, line[3:])] for line in lines)),
        *(f'<p class="faint">{page.text(note)}</p>' for note in NOTES),
    ]
    return page.page(title, body)


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else "<0.001"


def _small(cell: str) -> page.Raw:
    return page.Raw(re.sub(r"(\[.*\])", r"<small>\1</small>", page.text(cell)))


def _markdown(cell: str) -> str:
    clean = re.sub(r"\s+", " ", cell)
    return re.sub(r"([\\|`*_<>])", r"\\\1", clean)


_LATEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "±": r"$\pm$", "–": "--", "<": "$<$", ">": "$>$", **{c: f"\\{c}" for c in "&%$#_{}"},
}  # fmt: skip


def _latex(cell: str) -> str:
    clean = "".join(_LATEX.get(c, c) for c in re.sub(r"\s+", " ", cell))
    return (
        f"{{}}{clean}" if clean.startswith(("[", "*")) else clean
    )  # else an argument of the line end
