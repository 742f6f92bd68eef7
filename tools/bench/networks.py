"""One training step of every network: by itself, as a fold of a job, and PyTorch's."""

from collections.abc import Iterator

import jax

from tools.bench.timing import Table, compare
from tools.bench.workloads import STEPS, jax_step, select, torch_step


def tables(rounds: int, quick: bool, *, only: str = "") -> Iterator[Table]:
    """A line a network as soon as it is measured, then all as one table.

    Of a large network neither a step alone nor a narrow one.
    """
    devices = jax.devices()
    many = 1 if devices[0].platform == "cpu" else 16  # folds a device
    folds = many * len(devices)
    precisions = ("bfloat16",) if devices[0].platform == "cpu" else ("tf32", "bfloat16")
    units = {"job": folds * STEPS, "alone": STEPS, "torch": 1}
    units |= dict.fromkeys(precisions, folds * STEPS)
    rows = []
    for work in select(quick=quick, only=only):
        cases = {"job": jax_step(work, folds=folds, devices=devices).run}
        if not work.large:
            cases["alone"] = jax_step(work, folds=1, devices=devices[:1]).run
            for name in precisions:
                cases[name] = jax_step(work, folds=folds, devices=devices, precision=name).run
        if theirs := torch_step(work):
            cases["torch"] = theirs
        found = {row.name: row for row in compare(cases, rounds=rounds, per=units)}
        times = {name: row.milliseconds for name, row in found.items()}
        if theirs:
            torch = found["torch"]
            compared = (1 / torch.ratio, f"{1 / torch.high:.2f} to {1 / torch.low:.2f}")
        else:
            compared = ("not available", "")
        names = ("alone", "job", *precisions, "torch")
        milliseconds = (times.get(name, "") for name in names)
        rows.append((str(work), *milliseconds, *compared))
        print("  " + ", ".join(map(str, rows[-1])), flush=True)
    columns = (
        "step of",
        "alone, ms",
        "a fold in a job, ms",
        *(f"the same in {name}, ms" for name in precisions),
        "PyTorch, ms",
        "job / PyTorch",
        "range",
    )
    title = f"One training step; a job has {folds} folds on {len(devices)} device(s)"
    yield Table(title, columns, rows)
