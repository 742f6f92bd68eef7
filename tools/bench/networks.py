"""One training step of every network: by itself, as a fold of a job, and PyTorch's."""

from collections.abc import Iterator

import jax

from tools.bench.race import Table, race
from tools.bench.workloads import STEPS, WORKLOADS, ours, peer


def tables(rounds: int, quick: bool) -> Iterator[Table]:
    """A line a network as soon as it is measured, then all as one table."""
    devices = jax.devices()
    many = 2 if devices[0].platform == "cpu" else 16  # folds a device
    folds = many * len(devices)
    per = {"job": folds * STEPS, "narrow": folds * STEPS, "alone": STEPS, "torch": 1}
    rows = []
    for work in WORKLOADS:
        if quick and not work.quick:
            continue
        cases = {
            "job": ours(work, folds=folds, devices=devices).run,
            "alone": ours(work, folds=1, devices=devices[:1]).run,
            "narrow": ours(work, folds=folds, devices=devices, precision="bfloat16").run,
        }
        if theirs := peer(work):
            cases["torch"] = theirs
        found = {row.name: row for row in race(cases, rounds=rounds, per=per)}
        job, alone, narrow = (found[name].milliseconds for name in ("job", "alone", "narrow"))
        if theirs:
            torch = found["torch"]
            spread = f"{1 / torch.high:.2f} to {1 / torch.low:.2f}"
            compared = (torch.milliseconds, 1 / torch.ratio, spread)
        else:
            compared = ("no peer", "", "")
        rows.append((str(work), alone, job, narrow, *compared))
        print("  " + ", ".join(map(str, rows[-1])), flush=True)
    columns = (
        "step of",
        "alone, ms",
        "a fold in a job, ms",
        "the same in bfloat16, ms",
        "PyTorch, ms",
        "job / PyTorch",
        "spread",
    )
    title = f"One training step; a job has {many} folds on each of {len(devices)} devices"
    yield Table(title, columns, rows)
