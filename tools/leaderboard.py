"""Writes the table of systems from the working directories of their runs: strict, and as published.

    python -m tools.leaderboard RUN RUN... [--files=FILE,FILE]

A run has a line for each way in which its epoch was selected: the last one or inner validation
(strict), or the best one on the test subject (marked), beside which the same run also has its last
epoch. A FILE is .md or .html; by default experiments/results/leaderboard.md and leaderboard.html.
Runs of several seeds have their mean and deviation, and the interval of the first.
"""

import pathlib
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from absl import flags

from mer_jax.cli import command
from mer_jax.errors import UserError, unknown_name
from mer_jax.io import reading, saving
from mer_jax.leakage import Reason
from mer_jax.metrics import intervals
from mer_jax.reporting import comparison
from mer_jax.reporting.page import number, score_text

_FILES = flags.DEFINE_list(
    "files", ["experiments/results/leaderboard.md", "leaderboard.html"], "Files to write."
)
_SELECTED = {
    "last": "last epoch",
    "best_val": "inner validation",
    "best_test": "best epoch on the test subject",
}
_HEAD = ("system", "epoch", "", "UF1", "UAR", "UF1, seeds", "inflation of UF1", "s / fold-epoch")
_NOTES = (
    "Intervals: 95 % percentile bootstrap over subjects, of the first seed. Inflation: the UF1 of "
    "the line above the strict one of the same run, with the interval of the difference. Seconds: "
    "training of all folds, seeds and rates, divided by their number and the epochs.",
)


class Line(NamedTuple):
    """One line of the table."""

    system: str
    epoch: str  # how it was selected
    verdict: str  # "strict", "NOT STRICT" or "not verified"
    scores: Mapping[str, Any]  # `summary.scores_with_intervals`
    seeds: Mapping[str, Any]  # mean and std of UF1, {} of one seed
    inflation: str
    seconds: float | None  # a fold-epoch
    command: str


def lines(folder: str | pathlib.Path) -> list[Line]:
    """The lines of a run: one, or two if its epoch was selected on the test subject.

    Raises `UserError` if the folder holds no finished run.
    """
    folder = pathlib.Path(folder)
    names = ("config.json", "metrics.json")
    config, summary = (reading.load_json(folder / name, dict[str, Any]) for name in names)
    with reading.report_damage(folder):
        return _lines(folder, config, summary)


def _lines(folder: pathlib.Path, config: dict[str, Any], summary: dict[str, Any]) -> list[Line]:
    train, provenance = config["train"], summary["provenance"]
    variants = summary.get("variants", {"names": [""]})["names"]
    rates = max(1, len(train.get("learning_rates") or ()))
    seeds_of_first = variants[1 : len(variants) // rates]
    others = [folder / "variants" / name / "metrics.json" for name in seeds_of_first]
    summaries = [summary, *(reading.load_json(path, dict[str, Any]) for path in others)]
    # As published, each fold is also trained strict.
    runs = len(variants) * (2 if train.get("statistics_on_all_clips") else 1)
    trained = summary["protocol"]["folds"] * train["epochs"] * runs
    shared = {
        "system": config["title"] or config["model"]["name"],
        "seconds": provenance["training_seconds"] / trained if trained else None,
        "command": portable(provenance["command"], folder.resolve().name),
    }

    def line(epoch: str, verdict: str, parts: Sequence[Mapping[str, Any]], inflation: str) -> Line:
        uf1 = [part["uf1"]["value"] for part in parts]
        seeds = intervals.mean_and_std(uf1) if len(uf1) > 1 else {}
        return Line(
            epoch=epoch,
            verdict=verdict,
            scores=parts[0],
            seeds=seeds,
            inflation=inflation,
            **shared,
        )

    selected = _SELECTED[train["model_selection"]] if train["epochs"] else "as they were given"
    verdict = _verdict(summary["verdict"]["leaks"])
    found = [line(selected, verdict, [each["overall"] for each in summaries], "")]
    if "inflation" in summary:
        gap = summary["inflation"]
        low, high = gap["interval"]["uf1"]
        inflation = f"{gap['difference']['uf1']:+.4f} [{low:+.2f}, {high:+.2f}]"
        verdict = _verdict(gap["remaining_leaks"])
        strict = [each["inflation"]["strict"] for each in summaries]
        epoch = _SELECTED["last"] if train["model_selection"] == "best_test" else selected
        found = [line(epoch, verdict, strict, ""), found[0]._replace(inflation=inflation)]
    return found


def _verdict(leaks: Sequence[Mapping[str, Any]]) -> str:
    reasons = {leak["reason"] for leak in leaks}
    if not reasons:
        return "strict"
    return "not verified" if reasons == {Reason.UNVERIFIED} else "NOT STRICT"


_PLACES = {"--config.data.root": "DIR", "--config.train.init_from": "WEIGHTS"}


def portable(text: str, name: str) -> str:
    """A run's command with folders that mean something elsewhere.

    >>> portable("python -m mer_jax run psn --config.data.root=/home/me/x --workdir=/tmp/y", "psn")
    'mer-jax run psn --config.data.root=DIR --workdir=runs/psn'
    """
    text = re.sub(r"^python -m mer_jax\b", "mer-jax", text)
    words = []
    for word in shlex.split(text):
        key, _, _ = word.partition("=")
        place = f"runs/{name}" if key == "--workdir" else _PLACES.get(key)
        words.append(f"{key}={place}" if place else word)
    return shlex.join(words)


def cells(rows: Sequence[Line]) -> list[list[str]]:
    """The text of the table, its heading first."""
    out = [list(_HEAD)]
    for row in rows:
        out.append(
            [
                row.system,
                row.epoch,
                row.verdict,
                score_text(row.scores["uf1"]),
                score_text(row.scores["uar"]),
                score_text(row.seeds) if row.seeds else "",
                row.inflation,
                number(row.seconds) if row.seconds is not None else "",
            ]
        )
    return out


def ranked(rows: Sequence[Line]) -> list[Line]:
    """Strict lines first, the higher UF1 (of several seeds their mean) above the lower."""
    uf1 = lambda row: row.seeds["mean"] if row.seeds else row.scores["uf1"]["value"]
    return sorted(rows, key=lambda row: (row.verdict != "strict", -uf1(row)))


def write(runs: Sequence[str | pathlib.Path], files: Sequence[str | pathlib.Path]) -> str:
    """Writes the table of `runs` to `files`; returns it in Markdown.

    Raises `UserError` for a folder without a finished run, or a file of another form.
    """
    rows = ranked([line for run in runs for line in lines(run)])
    table = cells(rows)
    commands = dict.fromkeys(f"{row.system}: {row.command}" for row in rows)
    notes = [*_NOTES, *(f"`{each}`" for each in commands)]
    text = f"# Leaderboard\n\n{comparison.markdown(table, notes=notes)}"
    forms = {
        ".md": lambda: text,
        ".html": lambda: comparison.table_page(
            "Leaderboard",
            [(f"{row.system}, {row.epoch}", row.scores) for row in rows],
            table,
            notes=[*_NOTES, *commands],
        ),
    }
    for file in files:
        if pathlib.Path(file).suffix not in forms:
            raise unknown_name("form of --files", pathlib.Path(file).suffix, forms)
    for file in files:
        saving.write(file, forms[pathlib.Path(file).suffix]())
    return text


def main(argv: list[str]) -> None:
    """Prints and writes the table of the runs that `argv` names."""
    if len(argv) < 2:
        raise UserError("name the working directories of the runs")
    print(write(argv[1:], _FILES.value), end="")


if __name__ == "__main__":
    raise SystemExit(command.run(command.start, sys.modules[__name__], sys.argv))
