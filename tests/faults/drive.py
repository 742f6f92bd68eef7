r"""Kills the shrunk default job at random moments, again and again, and looks at what comes out.

    python -m tests.faults.drive                    30 kills, then the tests of this folder in full
    python -m tests.faults.drive --kills=100 --seed=7 --tests=False
    python -m tests.faults.drive --long             68 folds x 800 epochs of a small network

A kill is SIGKILL. Two of three come at a moment drawn evenly over the time that an undisturbed job
takes, from the first import to the report; every third waits for a checkpoint that is being written
and comes within a few milliseconds. The same command is then given again, in the same folder, until
the job ends; what it leaves must be bitwise what the undisturbed job left. Then it begins anew, in
another folder, until all kills are spent. Ends with a table for experiments/results/faults.md.
"""

import argparse
import collections
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

from tests.faults import jobs


class Kill(NamedTuple):
    """What a kill hit."""

    moment: str
    epochs: int  # that the job had told of


class Drive(NamedTuple):
    kills: list[Kill]
    jobs: int  # that came to their end
    differing: list[str]  # what was not bitwise the same, with the job's folder


def drive(folder: pathlib.Path, *, kills: int, seed: int = 0, say=lambda text: None) -> Drive:
    """Spends `kills` kills on jobs below `folder`; one job there runs undisturbed."""
    draw = random.Random(seed)
    jobs.finish(folder / "warm")  # compiles what the others find compiled
    began = time.monotonic()
    jobs.finish(folder / "undisturbed")
    takes = time.monotonic() - began
    reference = jobs.outcome(folder / "undisturbed")
    say(f"undisturbed: {takes:.1f} s")
    spent, differing, number = [], [], 0
    while True:
        workdir = folder / f"job{number}"
        before = _parts(workdir)  # what the kill before left
        process = jobs.start(*jobs.SMALL, f"--workdir={workdir}")
        if len(spent) < kills and _killed(process, workdir, draw, takes, before, len(spent) % 3):
            spent.append(Kill(_moment(workdir, before), jobs.epochs_done(workdir)))
            say(f"kill {len(spent)}, job {number}: {spent[-1].moment}, epoch {spent[-1].epochs}")
            continue
        _, err = process.communicate(timeout=600)
        if process.returncode:
            raise RuntimeError(f"{workdir} ended with {process.returncode}: {err}")
        differing += [f"job{number}/{name}" for name in jobs.differences(workdir, reference)]
        say(f"job {number} ended; bitwise the same: {not differing}")
        number += 1
        if len(spent) >= kills:
            return Drive(spent, number, differing)


def _killed(process, workdir, draw, takes, before, turn) -> bool:
    """Whether the job was killed; False: it came to its end before. turn 2: while it writes."""
    report_write_errors = turn == 2
    deadline = time.monotonic() + draw.uniform(0, takes)
    while process.poll() is None:
        parts = _parts(workdir)
        before &= parts  # what has been cleared away may come again
        if report_write_errors and parts - before:
            time.sleep(draw.uniform(0, 0.02))
            break
        if not report_write_errors and time.monotonic() > deadline:
            break
        time.sleep(0.0005)
    process.kill()
    process.communicate()
    return process.returncode == -signal.SIGKILL


def _parts(workdir: pathlib.Path) -> set[str]:
    """Checkpoints that are being written, or were when their job was killed."""
    return {path.name for path in workdir.glob("checkpoints/steps/*.orbax-checkpoint-tmp*")}


def _moment(workdir: pathlib.Path, before: set[str]) -> str:
    """Where a killed job was, by what it left and the one before had not."""
    if _parts(workdir) - before:
        return "while a checkpoint was written"
    if (workdir / "predictions.csv").exists():
        return "while results were written"
    if jobs.epochs_done(workdir):
        return "between checkpoints, or while resuming"
    return "before the first epoch"


def main() -> int:
    flags = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    flags.add_argument("--kills", type=int, default=30)
    flags.add_argument("--seed", type=int, default=0)
    flags.add_argument("--long", action="store_true")
    flags.add_argument("--tests", type=lambda word: word != "False", default=True)
    given = flags.parse_args()
    if given.long:
        return _long()
    with tempfile.TemporaryDirectory() as folder:
        done = drive(pathlib.Path(folder), kills=given.kills, seed=given.seed, say=_say)
    print(f"{len(done.kills)} kills, {done.jobs} jobs, differing: {done.differing or 'nothing'}")
    for moment, count in collections.Counter(kill.moment for kill in done.kills).most_common():
        print(f"| SIGKILL {moment} | {count} |")
    if done.differing:
        return 1
    if given.tests:
        return subprocess.call(
            [sys.executable, "-m", "pytest", "-n0", "-m", "faults", "tests/faults"]
        )
    return 0


def _long() -> int:
    from tests.faults import test_long_runs

    with tempfile.TemporaryDirectory() as folder:
        found = test_long_runs.long_run(
            pathlib.Path(folder), folds=68, each=3, epochs=800, at_a_time=18
        )
    print("| fifth | resident (MiB) | an epoch of 18 folds, CPU (ms) | wall (ms) |")
    for number, row in enumerate(found.parts, 1):
        print(f"| {number} | {row[0]:.0f} | {row[1]:.1f} | {row[2]:.1f} |")
    print(f"programs compiled up to the second chunk of folds, the third, ...: {found.compiled}")
    print(found.wrong or "memory is flat, and nothing is compiled again")
    return bool(found.wrong)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
