"""Learning curves: metrics.jsonl, which training writes while it runs.

One line an epoch and chunk of folds:

    {"epoch": 3, "folds": ["sub01", "sub02"], "train_loss": [0.9, 1.1],
     "train_accuracy": [0.5, 0.6], "test_accuracy": [0.4, 0.5]}

Further keys are taken as further curves where they are lists as long as `folds`.
"""

import contextlib
import functools
import json
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from mer_jax.errors import DataError, Problem, report_write_errors
from mer_jax.io import reading

_LINE = {"epoch": int, "folds": [str]}


def read(path: str | os.PathLike) -> dict[str, Any]:
    """The curves of a job: "folds" (F names), "epochs" [E] int, and float64 [F, E] for each curve.

    NaN stands where a fold has no value at an epoch. A line that comes again (a job that was
    resumed) replaces the earlier one; a last line that was cut off is left out.
    Raises `DataError` with every other line that cannot be read.
    """
    lines = reading.read_text(path).split("\n")
    *whole, rest = [(f"line {number}", line) for number, line in enumerate(lines, 1)]
    problems, found = [], []
    for where, line in [*whole, rest]:
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            if reading.schema_mismatch(row, _LINE) or not 0 <= row["epoch"] < 2**31:
                raise ValueError
            count, lists = len(row["folds"]), _lists(row).values()
            if any(np.array(values, np.float64).ndim != 1 for values in lists):
                raise ValueError
        except (ValueError, TypeError, OverflowError, RecursionError):
            if (where, line) != rest:
                problems.append(Problem(where, "is not a JSON object with `epoch` and `folds`"))
            continue
        found.append(row)
        for name, values in _lists(row).items():
            if len(values) != count:
                problems.append(
                    Problem(where, f"{name} has {len(values)} values for {count} folds")
                )
    if problems:
        raise DataError(str(path), problems, most=10)
    folds = tuple(dict.fromkeys(name for row in found for name in row["folds"]))
    epochs = sorted({row["epoch"] for row in found})
    names = {name for row in found for name in _lists(row)}
    curves = {name: np.full((len(folds), len(epochs)), np.nan) for name in names}
    place = {name: index for index, name in enumerate(folds)}
    for row in found:
        rows, column = [place[name] for name in row["folds"]], epochs.index(row["epoch"])
        for name, values in _lists(row).items():
            curves[name][rows, column] = np.array(values, np.float64)
    return {"folds": folds, "epochs": np.array(epochs), **dict(sorted(curves.items()))}


def _lists(row: dict[str, Any]) -> dict[str, list]:
    """The curves of a line: what is a list under a name of its own."""
    return {k: v for k, v in row.items() if isinstance(v, list) and k not in ("folds", "epochs")}


@contextlib.contextmanager
def jsonl_writer(path: str | os.PathLike) -> Iterator[Callable[[dict], None]]:
    """A function that adds a line to `path`, for a job to call while it trains.

    At the first line, and not before, the file is made, or a line that a killed job left unfinished
    is cut off. Raises `UserError` where the system does not let it write.
    """
    with contextlib.ExitStack() as stack:

        @functools.cache
        def opened():
            file = stack.enter_context(open(path, "a+b", buffering=0))
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)
            return file

        def add(row: dict) -> None:
            line = json.dumps(row).encode() + b"\n"
            with report_write_errors(path):
                while line:  # on a disk that fills up, part of it is written before the error
                    line = line[opened().write(line) :]

        yield add
