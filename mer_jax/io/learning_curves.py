"""Learning curves: metrics.jsonl, written during training.

One line per epoch and chunk of folds:

    {"epoch": 3, "folds": ["sub01", "sub02"], "train_loss": [0.9, 1.1],
     "train_accuracy": [0.5, 0.6], "test_accuracy": [0.4, 0.5]}

Any other key with a list as long as `folds` is a curve, too.
"""

import contextlib
import functools
import json
import os
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import msgspec
import numpy as np

from mer_jax.errors import DataError, Problem, report_write_errors
from mer_jax.io import reading


class _Line(msgspec.Struct):
    epoch: Annotated[int, msgspec.Meta(ge=0, lt=2**31)]
    folds: list[str]


def read(path: str | os.PathLike) -> dict[str, Any]:
    """Reads the curves of a job.

    A repeated line (of a resumed job) replaces the earlier one; an incomplete last line is ignored.

    Returns:
      "folds": F names, "epochs": [E] int, and [F, E] float64 for each curve, NaN where a fold has
      no value at an epoch.

    Raises:
      DataError: with every other line that cannot be read.
    """
    lines = reading.read_text(path).split("\n")
    numbered = [(f"line {number}", line) for number, line in enumerate(lines, 1)]
    problems, found = [], []
    for where, line in numbered:
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            msgspec.convert(row, _Line)
            count, lists = len(row["folds"]), _lists(row).values()
            if any(np.array(values, np.float64).ndim != 1 for values in lists):
                raise ValueError
        except (ValueError, TypeError, OverflowError, RecursionError):
            if (where, line) != numbered[-1]:
                problems.append(Problem(where, "is not a JSON object with `epoch` and `folds`"))
            continue
        found.append(row)
        for name, values in _lists(row).items():
            if len(values) != count:
                problems.append(
                    Problem(where, f"{name} has {len(values)} values for {count} folds")
                )
    if problems:
        raise DataError(str(path), problems, max_per_kind=10)
    folds = tuple(dict.fromkeys(name for row in found for name in row["folds"]))
    epochs = sorted({row["epoch"] for row in found})
    names = {name for row in found for name in _lists(row)}
    curves = {name: np.full((len(folds), len(epochs)), np.nan) for name in names}
    fold_index = {name: index for index, name in enumerate(folds)}
    for row in found:
        rows, column = [fold_index[name] for name in row["folds"]], epochs.index(row["epoch"])
        for name, values in _lists(row).items():
            curves[name][rows, column] = np.array(values, np.float64)
    return {"folds": folds, "epochs": np.array(epochs), **dict(sorted(curves.items()))}


def _lists(row: dict[str, Any]) -> dict[str, list]:
    """The curves of a line: all lists but `folds`."""
    return {k: v for k, v in row.items() if isinstance(v, list) and k not in ("folds", "epochs")}


@contextlib.contextmanager
def jsonl_writer(path: str | os.PathLike) -> Iterator[Callable[[dict], None]]:
    """A function that appends an object to `path` as a line of JSON.

    The first call creates the file, or removes an incomplete last line of a killed job. Raises
    `UserError` where the file cannot be written.
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
                while line:  # a full disk takes part of a line before the error
                    line = line[opened().write(line) :]

        yield add
