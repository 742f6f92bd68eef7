"""A table of several runs: scores with intervals, and tests of each against the first.

    runs = open_runs(paths)
    rows = compare(runs)
    markdown(cells(rows)), latex(cells(rows)), html(rows, cells(rows))

A run may have published scores; the table then has a column of them next to ours.
"""

import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypedDict

import numpy as np

from mer_jax.errors import UserError
from mer_jax.io import reading
from mer_jax.metrics import intervals
from mer_jax.metrics.intervals import COMPARED
from mer_jax.metrics.prediction_files import read
from mer_jax.metrics.predictions import Predictions
from mer_jax.metrics.scores import scores
from mer_jax.metrics.summary import scores_with_intervals
from mer_jax.reporting import figures, page, report
from mer_jax.reporting.page import number, score_text

TESTS = ("UF1 gain", "p", "p (McNemar)")
AVERAGES = {
    "last_epochs": "accuracy, last epochs (ten at most)",
    "over_folds": "accuracy, mean of folds",
    "over_seeds": "UF1, mean of seeds",
}
TITLES = report.TITLES | AVERAGES
VERDICTS = {None: "", True: "strict", False: "NOT STRICT"}
NOTES = (
    "Intervals: 95 % percentile bootstrap over subjects; a class that a draw lacks is 0 in UF1, "
    "which lowers the low end where few subjects have a class. Gain: UF1 minus that of the first "
    "run (of the first on the same clips), with the interval of the difference under the same "
    "resampling.",
    "p: the two runs swapped subject by subject, on UF1; p (McNemar): exact, on clips that one of "
    "the two has right; both against that first run and adjusted (Holm) for the number of runs on "
    "the same clips.",
    "Of fewer than about ten subjects intervals and p say little.",
    "Of a job of several seeds the first one is compared; the mean of all is a column of its own.",
)


class _MeanStd(TypedDict):
    mean: float | None
    std: float | None


class _Metrics(TypedDict, total=False):
    """The part of metrics.json that is compared."""

    last_epochs: _MeanStd
    over_folds: _MeanStd
    protocol: TypedDict("Protocol", {"name": str})  # type: ignore[valid-type]
    verdict: TypedDict("Verdict", {"strict": bool})  # type: ignore[valid-type]
    variants: TypedDict(  # type: ignore[valid-type]
        "Variants",
        {"names": list[str], "overall": TypedDict("Overall", {"uf1": _MeanStd})},  # type: ignore[misc]
    )
    multi_label: bool
    classes: list[str]
    recognition: dict[str, Any]  # of a spotting run


class Run(NamedTuple):
    """One run to compare."""

    name: str
    predictions: Predictions
    protocol: str = ""
    strict: bool | None = None  # None: unknown
    averages: Mapping[str, Any] = {}  # names of `AVERAGES`: mean and std
    published: Mapping[str, Any] = {}  # score: the published value, or (mean, deviation)


class Row(NamedTuple):
    """One line of the table."""

    name: str
    protocol: str
    strict: bool | None
    scores: dict[str, Any]  # `summary.scores_with_intervals`, and the run's averages
    published: Mapping[str, Any]
    gain: intervals.PairedComparison | None  # None for the first run
    p_permutation: float | None  # adjusted
    p_mcnemar: float | None  # adjusted


def summary_of(path: str | os.PathLike) -> dict[str, Any]:
    """What metrics.json has of a working directory, or of the predictions.csv, megc_log.txt or
    units/NAME.csv in one, of the last the protocol and the verdict; {} of other files.

    Raises `UserError` if its clips have several labels, which are no classes.
    """
    path = reading.expanded(path)
    folder = path if path.is_dir() else path.parent
    of_unit = folder.name == "units" and not path.is_dir()
    folder = folder.parent if of_unit else folder
    of_run = path.is_dir() or of_unit or path.name in ("predictions.csv", "megc_log.txt")
    if not of_run or not (folder / "metrics.json").exists():
        return {}
    summary: dict[str, Any] = reading.load_json(folder / "metrics.json", _Metrics)
    if of_unit:
        return {key: summary[key] for key in ("protocol", "verdict") if key in summary}
    if summary.get("multi_label"):
        raise UserError(f"{path} has several labels a clip; give one of its units/NAME.csv")
    return summary


def open_run(path: str | os.PathLike) -> Run:
    """Reads a working directory, a predictions.csv or a log.

    Protocol, strictness and averages come from metrics.json in the same folder, if there is one.
    """
    path = pathlib.Path(path)
    folder = path if path.is_dir() else path.parent
    summary = summary_of(path)
    predictions = read(path, classes=log_classes(path, summary))
    of_unit = not path.is_dir() and folder.resolve().name == "units"
    of_file = not summary or path.is_dir() or of_unit
    name = path.resolve().name if of_file else folder.resolve().name
    averages = {kind: summary[kind] for kind in AVERAGES if kind in summary}
    if all(name.startswith("seed") for name in summary.get("variants", {}).get("names", [""])):
        averages["over_seeds"] = summary["variants"]["overall"]["uf1"]
    return Run(
        name,
        predictions,
        summary.get("protocol", {}).get("name", ""),
        summary.get("verdict", {}).get("strict"),
        averages,
    )


def log_classes(path: str | os.PathLike, summary: Mapping[str, Any]) -> list[str] | None:
    """The classes of the numbers in a run's log, from its `summary_of`; None of other files."""
    return summary.get("classes") if pathlib.Path(path).name == "megc_log.txt" else None


def open_runs(paths: Sequence[str | os.PathLike]) -> list[Run]:
    """`open_run` of each; where two would have one name, as much of their paths as tells them
    apart."""
    runs = [open_run(path) for path in paths]
    parts = [pathlib.Path(path).resolve().parts for path in paths]
    names = [run.name for run in runs]
    for n, run in enumerate(runs):
        same = [m for m, name in enumerate(names) if name == run.name]
        differ = range(1, min(len(parts[m]) for m in same) + 1)
        count = next(
            (k for k in differ if len({parts[m][-k:] for m in same}) == len(same)), len(parts[n])
        )
        if len({parts[m] for m in same}) > 1:
            runs[n] = run._replace(name="/".join(parts[n][-count:]))
    return runs


def compare(runs: Sequence[Run], *, draws: int = intervals.DRAWS, seed: int = 0) -> list[Row]:
    """One row per run; all others are compared with the first.

    Args:
      runs: on the same clips.
      draws: resamples of each interval and permutation test.
      seed: of the resampling.

    Raises:
      UserError: a run did not test the same clips as the first.

    >>> def run(name, predicted):
    ...     return Run(name, Predictions(
    ...         classes=("negative", "positive"), database=np.full(4, "mine"),
    ...         subject=np.array(list("aabb")), clip=np.array(list("1212")),
    ...         fold=np.array(list("aabb")), label=np.array([0, 1, 0, 1]),
    ...         probabilities=np.eye(2, dtype=np.float32)[predicted]))
    >>> rows = compare([run("first", [0, 0, 0, 1]), run("second", [0, 1, 0, 1])], draws=20)
    >>> header, first, second = cells(rows)
    >>> header[3:6], [cell.split()[0] for cell in second[3:6]]
    (['UF1', 'UAR', 'accuracy'], ['1.0000', '1.0000', '1.0000'])
    >>> print(f"{rows[1].gain.difference['uf1']:.4f}")
    0.2667
    """
    first, *others = runs
    gains = []
    for run in others:
        try:
            gains.append(
                intervals.compare_paired(first.predictions, run.predictions, draws=draws, seed=seed)
            )
        except UserError as error:
            raise UserError(f"{first.name} and {run.name} cannot be compared: {error}") from error
    swap = intervals.holm([gain.p_permutation["uf1"] for gain in gains])
    single = intervals.holm([gain.p_mcnemar for gain in gains])
    mcnemar = [None if np.isnan(p) else p for p in single]  # clips are tested repeatedly
    tests = [(None, None, None), *zip(gains, swap, mcnemar)]
    return [
        Row(
            run.name,
            run.protocol,
            run.strict,
            scores_with_intervals(run.predictions, draws=draws, seed=seed) | dict(run.averages),
            run.published,
            *test,
        )
        for run, test in zip(runs, tests)
    ]


def compare_per_clip_set(runs: Sequence[Run], *, draws: int = intervals.DRAWS) -> list[Row]:
    """`compare` for runs on different sets of clips: each with the first run on the same clips."""
    groups: dict[Any, list[int]] = {}
    for index, run in enumerate(runs):
        tested = run.predictions
        labels = np.array(tested.classes, object)[tested.label]
        clips = (frozenset(tested.classes), *sorted(zip(tested.keys, labels)))
        groups.setdefault(clips, []).append(index)
    rows = dict[int, Row]()
    for members in groups.values():
        found = compare([runs[index] for index in members], draws=draws)
        rows |= dict(zip(members, found))
    return [rows[index] for index in range(len(runs))]


def mean_over_runs(runs: Sequence[Run]) -> dict[str, dict[str, float]]:
    """Mean and standard deviation of the scores of runs that differ only in their seed."""
    found = [scores(run.predictions.confusion()) for run in runs]
    return {name: intervals.mean_and_std([each[name] for each in found]) for name in COMPARED}


def cells(rows: Sequence[Row], *, runs: Sequence[Run] = ()) -> list[list[str]]:
    """The cells of the table, its header first.

    A score that some row has a published value for is followed by a column of these. A column has
    the mean over the seeds (or learning rates) that a run trained together.

    Args:
      rows: from `compare`.
      runs: adds their mean and deviation as a last line.
    """
    printed = {name for row in rows for name in row.published}
    extra = printed | {"over_seeds" for row in rows if "over_seeds" in row.scores}
    columns = [*COMPARED, *(name for name in TITLES if name in extra.difference(COMPARED))]
    head = ["run", "protocol", "clips"]
    for name in columns:
        head += [TITLES[name], "published"] if name in printed else [TITLES[name]]
    out = [[*head, *TESTS]]
    text = lambda scores, name: score_text(scores[name]) if name in scores else ""
    for row in rows:
        line = [
            row.name,
            f"{row.protocol} {VERDICTS[row.strict]}".strip(),
            str(row.scores["clips"]),
        ]
        for name in columns:
            line.append(text(row.scores, name))
            line += [_published(row.published.get(name))] if name in printed else []
        if row.gain is None:
            out.append([*line, "", "", ""])
            continue
        low, high = row.gain.interval["uf1"]
        gain = f"{row.gain.difference['uf1']:+.4f} [{low:+.2f}, {high:+.2f}]"
        out.append([*line, gain, _p(row.p_permutation), _p(row.p_mcnemar)])
    if runs:
        overall = mean_over_runs(runs)
        line = [f"mean ± deviation of {len(runs)}", "", ""]
        for name in columns:
            line += [text(overall, name)] + [""] * (name in printed)
        out.append([*line, "", "", ""])
    return out


def markdown(lines: Sequence[Sequence[str]], *, notes: Sequence[str] = NOTES) -> str:
    """`cells` as a Markdown table with its notes."""
    head, *rest = lines
    table = [head, ("---", "---", *["---:"] * (len(head) - 2)), *rest]
    body = "\n".join("| " + " | ".join(map(_markdown, line)) + " |" for line in table)
    return body + "\n\n" + "\n\n".join(notes) + "\n"


def latex(lines: Sequence[Sequence[str]]) -> str:
    """`cells` as a LaTeX tabular; needs the package booktabs."""
    head, *body = (" & ".join(map(_latex, line)) + r" \\" for line in lines)
    notes = "\n".join(f"% {note}" for note in NOTES)
    columns = "ll" + "r" * (len(lines[0]) - 2)
    return "\n".join(
        [notes, rf"\begin{{tabular}}{{{columns}}}", r"\toprule", head, r"\midrule", *body,
         r"\bottomrule", r"\end{tabular}", ""]
    )  # fmt: skip


def html(rows: Sequence[Row], lines: Sequence[Sequence[str]]) -> str:
    """The HTML page of a comparison, with a chart of the intervals.

    Args:
      rows: from `compare`.
      lines: from `cells`.
    """
    return table_page(
        f"{len(rows)} runs compared",
        [(row.name, row.scores) for row in rows],
        lines,
        sentences=sentences(rows),
        notes=NOTES,
    )


def table_page(
    title: str,
    scores: Sequence[tuple[str, Mapping[str, Any]]],
    lines: Sequence[Sequence[str]],
    *,
    sentences: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> str:
    """An HTML page of a table, under a chart of the intervals of UF1 and UAR.

    Args:
      title: of the page.
      scores: the name and the `summary.scores_with_intervals` of each row.
      lines: the text of the table, its heading first.
      sentences: above the chart.
      notes: below the table.
    """
    values = {
        label: [[row[name][part] for part in ("low", "value", "high")] for _, row in scores]
        for name, label in (("uf1", "UF1"), ("uar", "UAR"))
    }
    alt = "; ".join(f"{name}: UF1 {number(row['uf1']['value'])}" for name, row in scores)
    chart = figures.svg(
        figures.score_intervals([name for name, _ in scores], values), name="scores", alt=alt
    )
    header, *body = lines
    return page.render(
        "comparison.html",
        title=title,
        sentences=sentences,
        chart=chart,
        header=header,
        rows=body,
        notes=notes,
    )


def sentences(rows: Sequence[Row]) -> list[str]:
    """A sentence per run: its UF1, and whether that differs from the first run's."""
    out = []
    for row in rows:
        sentence = f"{row.name}: UF1 {number(row.scores['uf1']['value'])}"
        if row.strict is False:
            sentence += f", {VERDICTS[False]}"
        if row.gain is not None:
            gain, (low, high) = row.gain.difference["uf1"], row.gain.interval["uf1"]
            p = row.p_permutation  # adjusted for the number of comparisons, unlike the interval
            significant = (low > 0 or high < 0) and p is not None and p < 1 - intervals.LEVEL
            better = "better than" if gain > 0 else "worse than"
            sentence += f", {better if significant else 'not significantly different from'}"
            sentence += f" the first run on these clips ({gain:+.4f}, 95 % interval {low:+.2f} to "
            sentence += f"{high:+.2f}, p {_p(row.p_permutation)})"
        out.append(f"{sentence}.")
    return out


def _published(published: float | tuple[float, float] | None) -> str:
    """A published number, or (mean, deviation)."""
    if published is None:
        return ""
    parts = published if isinstance(published, tuple) else (published,)
    return " ± ".join(f"{part:.4f}" for part in parts)


def _p(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if value >= 0.001 else "<0.001"


def _markdown(cell: str) -> str:
    clean = re.sub(r"\s+", " ", cell)
    return re.sub(r"([\\|`*_<>])", r"\\\1", clean)


_LATEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "±": r"$\pm$", "–": "--", "<": "$<$", ">": "$>$", **{c: f"\\{c}" for c in "&%$#_{}"},
}  # fmt: skip


def _latex(cell: str) -> str:
    clean = "".join(_LATEX.get(c, c) for c in re.sub(r"\s+", " ", cell))
    # A leading [ or * would be an argument of the line end before it.
    return f"{{}}{clean}" if clean.startswith(("[", "*")) else clean
