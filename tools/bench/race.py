"""Timing that can be trusted on a shared machine: interleaved rounds, medians, ratios."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax


class Row(NamedTuple):
    """One line of a table."""

    name: str
    milliseconds: float  # median over the rounds
    ratio: float  # median over the rounds of this time over ours in the same round
    error: str = ""  # what the result is worth, where that can be said


def race(
    cases: Mapping[str, Callable[[], object]],
    *,
    rounds: int = 7,
    per: int = 1,
    errors: Mapping[str, str] | None = None,
) -> list[Row]:
    """Runs the cases in turn, `rounds` times after a warm-up; the first case is ours.

    per: how many units of work one call does; times are per unit.
    """
    for run in cases.values():
        jax.block_until_ready(run())
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, run in cases.items():
            began = time.perf_counter()
            jax.block_until_ready(run())
            times[name].append((time.perf_counter() - began) * 1e3 / per)
    ours = next(iter(times.values()))
    return [
        Row(
            name,
            statistics.median(spent),
            statistics.median(theirs / mine for theirs, mine in zip(spent, ours)),
            (errors or {}).get(name, ""),
        )
        for name, spent in times.items()
    ]


def table(title: str, rows: list[Row]) -> str:
    """A Markdown table."""
    lines = [f"### {title}", "", "| | ms | time / ours | |", "|---|---|---|---|"]
    lines += [f"| {r.name} | {r.milliseconds:.2f} | {r.ratio:.2f} | {r.error} |" for r in rows]
    return "\n".join(lines) + "\n"
