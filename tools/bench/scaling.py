"""What further folds and further devices cost: STSTNet, batches of 221, maps of 28 x 28."""

from collections.abc import Iterator

import jax

from tools.bench import loso
from tools.bench.timing import Table, compare


def tables(rounds: int, quick: bool) -> Iterator[Table]:
    """Milliseconds of a fold-epoch by folds in the job, then by devices under them."""
    folds = (1, 4, 16) if quick else (1, 2, 4, 8, 17, 34, 68)
    one = jax.devices()[:1]
    yield _by(
        "folds on one device", {n: loso.jax_job(n, devices=one) for n in folds}, folds, rounds
    )
    devices = [n for n in (1, 2, 4, 8, 16) if n <= len(jax.devices())]
    most = folds[-1]
    cases = {n: loso.jax_job(most, devices=jax.devices()[:n]) for n in devices}
    yield _by(f"devices, {most} folds", cases, [most] * len(devices), rounds)


def _by(what: str, cases: dict, folds, rounds: int) -> Table:
    per = {str(n): count * loso.EPOCHS for n, count in zip(cases, folds)}
    found = compare({str(n): run for n, run in cases.items()}, rounds=rounds, per=per)
    rows = [(int(r.name), r.milliseconds, r.ratio, 1 / r.ratio) for r in found]
    return Table(
        f"A fold-epoch by {what}", (what, "ms a fold-epoch", "time / first", "speed-up"), rows
    )
