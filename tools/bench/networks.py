"""One training step of every network: by itself, per fold in a job, and PyTorch's."""

from collections.abc import Iterator

from tools.bench.race import Table, race
from tools.bench.workloads import WORKLOADS, ours, peer

_FOLDS = 4


def tables(rounds: int, quick: bool) -> Iterator[Table]:
    """A row a network, as soon as it is measured a table of its own; then all as one."""
    rows = []
    for work in WORKLOADS:
        if quick and not work.quick:
            continue
        cases = {"job": ours(work, folds=_FOLDS).run, "alone": ours(work, folds=1).run}
        theirs = peer(work)
        if theirs:
            cases["torch"] = theirs
        found = {
            r.name: r
            for r in race(cases, rounds=rounds, per={"job": _FOLDS, "alone": 1, "torch": 1})
        }
        torch = found.get("torch")
        rows.append(
            (
                str(work),
                found["alone"].milliseconds,
                found["job"].milliseconds,
                torch.milliseconds if torch else "no peer",
                1 / torch.ratio if torch else "",
                f"{1 / torch.high:.2f} to {1 / torch.low:.2f}" if torch else "",
            )
        )
        print(f"  {rows[-1]}", flush=True)
    columns = (
        "step of",
        "alone, ms",
        f"per fold of {_FOLDS}, ms",
        "PyTorch, ms",
        "ours / PyTorch",
        "spread",
    )
    yield Table("One training step, float32, one device", columns, rows)
