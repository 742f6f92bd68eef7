"""Writes the table of systems from the working directories of their runs: strict, and as published.

    python -m tools.leaderboard RUN RUN... [--files=FILE,FILE] [--bench=FILE]

A run has a line for each way in which its epoch was selected: the last one or inner validation
(strict), or the best one on the test subject (marked), beside which the same run also has its last
epoch. A FILE is .md or .html; by default experiments/results/leaderboard.md and leaderboard.html.
Seeds are combined to their mean and deviation, whether one job trained them or several that differ
in train.seed alone; intervals are those of the first. --bench is the --json of
`python -m tools.bench networks`, for the times of PyTorch.
"""

import contextlib
import dataclasses
import json
import pathlib
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from absl import flags

from mer_jax import configuration, models
from mer_jax.cli import command
from mer_jax.errors import UserError, unknown_name
from mer_jax.io import reading, saving
from mer_jax.leakage import Reason
from mer_jax.metrics import intervals
from mer_jax.reporting import comparison, figures
from mer_jax.reporting.page import number, score_text
from mer_jax.training import Settings

_FILES = flags.DEFINE_list(
    "files", ["experiments/results/leaderboard.md", "leaderboard.html"], "Files to write."
)
_BENCH = flags.DEFINE_string("bench", "", "Result of `tools.bench networks --json`.")
_SELECTED = {
    "last": "last epoch",
    "best_val": "inner validation",
    "best_test": "best epoch on the test subject",
    "nested": "last; recipe by inner validation",  # of tools.nested
}
_AS_GIVEN = "as they were given"
_IN_CHART = {
    _SELECTED["last"]: "last epoch",
    _SELECTED["best_val"]: "validation",
    _SELECTED["best_test"]: "best on test",
    _SELECTED["nested"]: "nested",
    _AS_GIVEN: "as given",
}
_HEAD = (
    *("system", "epoch", "", "UF1", "UAR", "UF1, seeds", "UAR, seeds", "UF1, ensemble"),
    *("inflation of UF1", "s / fold-epoch", "step / PyTorch's", "GiB"),
)
_NOTES = (
    "Intervals: 95 % percentile bootstrap over subjects, of the first seed. Ensemble: mean "
    "probability of the seeds of one job. Inflation: the UF1 of the line above the strict one of "
    "the same run, with the interval of the difference, of the first seed. Seconds: training of "
    "all folds, seeds and rates, divided by their number and the epochs; what a job was halted "
    "for counts. Step: time of a training step of a fold of a job, over PyTorch's in the same "
    "benchmark. GiB: peak memory of the process, or of a GPU.",
)


class Line(NamedTuple):
    """One line of the table."""

    system: str
    epoch: str  # how it was selected
    verdict: str  # "strict", "NOT STRICT" or "not verified"
    scores: Mapping[str, Any]  # `summary.scores_with_intervals`
    seeds: Sequence[int]
    every: Mapping[str, Sequence[float]]  # "uf1" and "uar" of each seed
    ensemble: Mapping[str, Any]  # its scores, {} of one seed or of several jobs
    inflation: str
    seconds: float | None  # a fold-epoch
    memory: float | None  # GiB
    network: str
    command: str
    job: str  # the configuration without the seed: equal for runs that differ in it alone


def lines(folder: str | pathlib.Path) -> list[Line]:
    """The lines of a run: one, or two if its epoch was selected on the test subject.

    Raises `UserError` if the folder holds no finished run.
    """
    folder = pathlib.Path(folder)
    names = ("config.json", "metrics.json")
    config, summary = (reading.load_json(folder / name, dict[str, Any]) for name in names)
    if "spotting" in summary:
        raise UserError(f"{folder} is a run of spotting; the leaderboard is of recognition")
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
    # An estimator has no epochs, a committee none of its own.
    network, nested = config["model"]["name"], train["model_selection"] == "nested"
    estimator = not nested and models.info(network).estimator
    trained = summary["protocol"]["folds"] * train["epochs"] * runs
    trained *= not (nested or estimator)
    seconds = provenance.get("training_seconds")
    shared = {
        "system": config["title"] or network,
        "seconds": seconds / trained if trained and seconds is not None else None,
        "memory": provenance.get("peak_memory_gib") or None,
        "network": network if trained else "",
        "seeds": range(train.get("seed", 0), train.get("seed", 0) + len(summaries)),
        "command": portable(provenance["command"], folder.resolve().name),
        "job": _without_seed(config),
    }

    def line(
        epoch: str,
        verdict: str,
        parts: Sequence[Mapping[str, Any]],
        inflation: str,
        ensemble: Mapping[str, Any],
    ) -> Line:
        every = {score: [part[score]["value"] for part in parts] for score in ("uf1", "uar")}
        of_line: dict[str, Any] = {"epoch": epoch, "verdict": verdict, "inflation": inflation}
        return Line(scores=parts[0], every=every, ensemble=ensemble, **of_line, **shared)

    ensemble = summary.get("variants", {}).get("ensemble", {})
    selected = _SELECTED[train["model_selection"]] if train["epochs"] else _AS_GIVEN
    if estimator:
        selected = ""
    verdict = _verdict([leak for each in summaries for leak in each["verdict"]["leaks"]])
    found = [line(selected, verdict, [each["overall"] for each in summaries], "", ensemble)]
    if "inflation" in summary:
        gap = summary["inflation"]
        low, high = gap["interval"]["uf1"]
        inflation = f"{gap['difference']['uf1']:+.4f} [{low:+.2f}, {high:+.2f}]"
        leaks = [leak for each in summaries for leak in each["inflation"]["remaining_leaks"]]
        verdict = _verdict(leaks)
        strict = [each["inflation"]["strict"] for each in summaries]
        epoch = _SELECTED["last"] if train["model_selection"] == "best_test" else selected
        found = [line(epoch, verdict, strict, "", {}), found[0]._replace(inflation=inflation)]
    return found


def _without_seed(config: Mapping[str, Any]) -> str:
    """What two runs have in common that differ in the seed; an older run lacks newer options."""
    sections = configuration.job_of(config) | {"title": config["title"]}
    for section, options in configuration.SECTIONS.items():
        with contextlib.suppress(KeyError, UserError):  # of a part that is not installed
            sections[section] = options(sections[section]["name"]) | sections[section]
    sections["train"] = dataclasses.asdict(Settings()) | sections["train"]
    for name in ("seed", "seeds"):
        del sections["train"][name]
    return json.dumps(sections, sort_keys=True)


def combined(rows: Sequence[Line]) -> list[Line]:
    """`rows` with those of one job, epoch and verdict as one line of all their seeds.

    Raises `UserError` if two of them have a seed in common.
    """
    groups: dict[tuple[str, ...], list[Line]] = {}
    for row in rows:
        groups.setdefault((row.job, row.epoch, row.verdict), []).append(row)
    found = []
    for first, *others in groups.values():
        each = [first, *others]
        seeds = [seed for row in each for seed in row.seeds]
        if len(set(seeds)) < len(seeds):
            raise UserError(f"two runs of {first.system!r} have a seed in common; name one of them")
        every = {
            score: [value for row in each for value in row.every[score]] for score in first.every
        }
        seconds = [row.seconds for row in each if row.seconds is not None]
        found.append(
            first._replace(
                every=every,
                command="; ".join(dict.fromkeys(row.command for row in each)),
                ensemble={} if others else first.ensemble,
                seconds=sum(seconds) / len(seconds) if seconds else None,
                memory=max((row.memory for row in each if row.memory), default=None),
            )
        )
    return found


def step_ratios(path: str | pathlib.Path) -> dict[str, float]:
    """Of each network the time of a training step over PyTorch's, of `tools.bench networks`.

    Raises `UserError` for a file of another form.
    """
    record = reading.load_json(path, dict[str, Any])
    with reading.report_damage(path):
        tables = [table for table in record["tables"] if table["suite"] == "networks"]
        found = {}
        for table in tables:
            ratio = table["columns"].index("job / PyTorch")
            for row in table["rows"]:
                if isinstance(row[ratio], float):
                    found[row[0].split()[0].strip(",")] = row[ratio]
    if not found:
        raise UserError(f"{path} has no table of networks beside PyTorch")
    return found


def _verdict(leaks: Sequence[Mapping[str, Any]]) -> str:
    reasons = {leak["reason"] for leak in leaks}
    if not reasons:
        return "strict"
    return "not verified" if reasons == {Reason.UNVERIFIED} else "NOT STRICT"


_PLACES = {
    **dict.fromkeys(("--config.data.root", "--root", "--data_root"), "DIR"),
    "--config.train.init_from": "WEIGHTS",
}


def portable(text: str, name: str) -> str:
    """A run's command with folders that mean something elsewhere.

    >>> portable("python -m mer_jax run psn --config.data.root=/home/me/x --workdir=/tmp/y", "psn")
    'mer-jax run psn --config.data.root=DIR --workdir=runs/psn'
    """
    text = re.sub(r"^python -m mer_jax\b", "mer-jax", text)
    text = re.sub(r" /\S*/(?=experiments/)", " ", text)  # of a checkout
    words = list[str]()
    given = iter(shlex.split(text))
    for word in given:
        key, has_value, _ = word.partition("=")
        place = f"runs/{name}" if key in ("--workdir", "--results") else _PLACES.get(key)
        words.append(f"{key}={place}" if place else word)
        if place and not has_value:
            next(given, None)  # the folder is a word of its own
    return shlex.join(words)


def cells(rows: Sequence[Line], ratios: Mapping[str, float] | None = None) -> list[list[str]]:
    """The text of the table, its heading first; columns without an entry are left out."""
    out = [list(_HEAD)]
    for row in rows:
        out.append(
            [
                row.system,
                row.epoch,
                row.verdict,
                score_text(row.scores["uf1"]),
                score_text(row.scores["uar"]),
                *(_over_seeds(row.every[score]) for score in ("uf1", "uar")),
                score_text(row.ensemble["uf1"]) if row.ensemble else "",
                row.inflation,
                _if_known(row.seconds),
                _if_known((ratios or {}).get(row.network), digits=2),
                _if_known(row.memory, digits=2),
            ]
        )
    filled = [any(column) for column in zip(*out[1:])]
    return [[cell for cell, keep in zip(line, filled) if keep] for line in out]


def _label(row: Line) -> str:
    """Of a row in the chart, which has room for 28 letters: two rows of a system are told apart."""
    if not row.epoch:
        return row.system
    return f"{figures.shorten(row.system, longest=13)}, {_IN_CHART[row.epoch]}"


def _if_known(value: float | None, *, digits: int = 4) -> str:
    return "" if value is None else number(value, digits=digits)


def _over_seeds(values: Sequence[float]) -> str:
    return score_text(intervals.mean_and_std(values)) if len(values) > 1 else ""


def ranked(rows: Sequence[Line]) -> list[Line]:
    """Strict lines first, the higher UF1 (of several seeds their mean) above the lower."""
    uf1 = lambda row: sum(row.every["uf1"]) / len(row.every["uf1"])
    return sorted(rows, key=lambda row: (row.verdict != "strict", -uf1(row)))


def write(
    runs: Sequence[str | pathlib.Path],
    files: Sequence[str | pathlib.Path],
    *,
    bench: str | pathlib.Path = "",
) -> str:
    """Writes the table of `runs` to `files`; returns it in Markdown.

    Raises `UserError` for a folder without a finished run, or a file of another form.
    """
    rows = ranked(combined([line for run in runs for line in lines(run)]))
    table = cells(rows, step_ratios(bench) if bench else None)
    commands = dict.fromkeys(f"{row.system}: {row.command}" for row in rows)
    notes = [*_NOTES, *(f"`{each}`" for each in commands)]
    text = f"# Leaderboard\n\n{comparison.markdown(table, notes=notes)}"
    forms = {
        ".md": lambda: text,
        ".html": lambda: comparison.table_page(
            "Leaderboard",
            [(_label(row), row.scores) for row in rows],
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
    print(write(argv[1:], _FILES.value, bench=_BENCH.value), end="")


if __name__ == "__main__":
    raise SystemExit(command.run(command.start, sys.modules[__name__], sys.argv))
