"""Hundreds of epochs with checkpoints: nothing is compiled again, and the process does not grow."""

import os
import pathlib

import jax
import pytest

from mer_jax.training import Settings, fit
from tests.training import small

STATM = pathlib.Path("/proc/self/statm")
EPOCHS = 600  # in 50 blocks, with a checkpoint after each


@pytest.mark.slow
@pytest.mark.skipif(not STATM.exists(), reason="resident memory is read from /proc")
def test_memory_is_flat_and_nothing_is_compiled_again(tmp_path):
    compiled, resident = [], {}

    def heard(event, *_, **__):
        if event.endswith("backend_compile_duration"):
            compiled.append(event)

    def look(_, line):
        if line["epoch"] % (EPOCHS // 50) == 0:
            pages = int(STATM.read_text().split()[1])
            resident[line["epoch"]] = pages * os.sysconf("SC_PAGE_SIZE") / 2**20, len(compiled)

    jax.monitoring.register_event_duration_secs_listener(heard)
    try:
        examples, labels, folds = small.problem(persons=4)
        fit(
            examples,
            labels,
            [folds],
            Settings(epochs=EPOCHS, batch_size=8),
            num_classes=3,
            build=small.build,
            devices=jax.devices()[:1],
            directory=tmp_path,
            checkpoint_seconds=0.0,
            observe=look,
            quiet=True,
        )
    finally:
        jax.monitoring.unregister_event_duration_listener(heard)
    assert len(resident) == 50
    early, late = (resident[EPOCHS * share // 50] for share in (10, 50))
    print(f"resident {early[0]:.0f} MiB after a fifth, {late[0]:.0f} MiB at the end")
    assert compiled and late[1] == early[1]
    assert late[0] - early[0] < 32  # a checkpoint kept by mistake would add up to more
