"""Timing that can be trusted on a shared machine: interleaved rounds, medians, ratios."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax


class Table(NamedTuple):
    """A table of results, as Markdown or JSON."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]  # numbers are rounded for the eye only

    def __str__(self) -> str:
        line = lambda cells: "| " + " | ".join(map(_shown, cells)) + " |"
        rule = "|---" * len(self.columns) + "|"
        rows = [line(row) for row in self.rows]
        return "\n".join([f"### {self.title}", "", line(self.columns), rule, *rows]) + "\n"


class Timing(NamedTuple):
    """The times of one case."""

    name: str
    milliseconds: float  # median over the rounds
    ratio: float  # median over the rounds of this time over ours in the same round
    low: float  # smallest and largest of these ratios
    high: float
    error: str = ""  # of the result, where there is a reference


def compare(
    cases: Mapping[str, Callable[[], object]],
    *,
    rounds: int = 7,
    per: int | Mapping[str, int] = 1,
    errors: Mapping[str, str] | None = None,
) -> list[Timing]:
    """Runs the cases in turn, `rounds` times after a warm-up; the first case is ours.

    per: how many units of work a call does, of all cases or of each; times are per unit.
    """
    for run in cases.values():
        jax.block_until_ready(run())
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, run in cases.items():
            units = per if isinstance(per, int) else per[name]
            began = time.perf_counter()
            jax.block_until_ready(run())
            times[name].append((time.perf_counter() - began) * 1e3 / units)
    ours = next(iter(times.values()))
    ratios = {n: [t / o for t, o in zip(spent, ours)] for n, spent in times.items()}
    return [
        Timing(
            name,
            statistics.median(spent),
            statistics.median(ratios[name]),
            min(ratios[name]),
            max(ratios[name]),
            (errors or {}).get(name, ""),
        )
        for name, spent in times.items()
    ]


def timing_table(title: str, rows: Sequence[Timing]) -> Table:
    """The times of all cases as a table."""
    columns = ("", "ms", "time / ours", "from", "to", "")
    return Table(title, columns, [tuple(row) for row in rows])


def _shown(value: Any) -> str:
    if not isinstance(value, float):
        return str(value).replace("|", r"\|")
    return f"{value:.2f}" if abs(value) < 1000 else f"{value:,.0f}"
