"""Hundreds of epochs of many folds: after the first chunk of folds nothing is compiled again, the
process does not grow, and an epoch takes as long at the end as at the beginning."""

import itertools
import os
import pathlib
import time
from typing import NamedTuple

import jax
import pytest

from mer_jax.training import Checkpointing, Hooks, Parallel, Settings, fit
from tests.training import small

STATM = pathlib.Path("/proc/self/statm")
PARTS = 5


class Long(NamedTuple):
    """What a long job took. A row of `parts` is a fifth of it."""

    parts: list[tuple[float, float, float]]  # MiB resident at its end; ms an epoch, of CPU and wall
    compiled: list[int]  # programs up to the second chunk's first epoch, the third's, ..., the end

    @property
    def wrong(self) -> str:
        """What is not as it should be; '' where all is."""
        first, *others = self.compiled
        grown = self.parts[-1][0] - self.parts[0][0]
        if grown > 32:  # a checkpoint kept by mistake would add up to more
            return f"{grown:.0f} MiB more at the end than after a fifth"
        return "" if first and not any(others) else f"programs compiled: {self.compiled}"


def long_run(folder: pathlib.Path, *, folds: int, each: int, epochs: int, at_a_time: int) -> Long:
    """Trains `folds` persons left out of `each` clips apiece, with checkpoints in `folder`."""
    chunks = -(-folds // at_a_time)
    total, count, compiled, marks = chunks * epochs, 0, [0], []

    def heard(event, *_, **__):
        compiled[-1] += event.endswith("backend_compile_duration")

    def look(_, line):
        nonlocal count
        count += 1
        if count * PARTS // total >= len(marks):  # the first time when all is compiled
            marks.append(_mark())
        if line["epoch"] == 1 and count > 1:
            compiled.append(0)

    examples, labels, loso = small.problem(subjects=folds, each=each)
    jax.monitoring.register_event_duration_secs_listener(heard)
    try:
        fit(
            examples,
            labels,
            [loso],
            Settings(epochs=epochs, batch_size=16),
            num_classes=3,
            build=small.build,
            parallel=Parallel(devices=jax.devices()[:1], folds_per_device=at_a_time),
            checkpointing=Checkpointing(folder, interval_s=1.0),
            hooks=Hooks(on_epoch_end=look, quiet=True),
        )
    finally:
        jax.monitoring.unregister_event_duration_listener(heard)
    steps = total / PARTS / 1000  # thousands of epochs in a part
    rows = [
        (after[0], (after[1] - before[1]) / steps, (after[2] - before[2]) / steps)
        for before, after in itertools.pairwise(marks)
    ]
    return Long(rows, compiled)


def _mark() -> tuple[float, float, float]:
    """MiB resident, seconds of CPU, seconds."""
    resident = int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    return resident, time.process_time(), time.monotonic()


@pytest.mark.skipif(not STATM.exists(), reason="resident memory is read from /proc")
def test_memory_is_flat_and_nothing_is_compiled_again(tmp_path):
    """`python -m tests.faults.drive --long` does so with 68 folds and 800 epochs."""
    found = long_run(tmp_path, folds=7, each=5, epochs=400, at_a_time=3)
    print(found)
    assert len(found.parts) == PARTS and len(found.compiled) == 3
    assert not found.wrong
