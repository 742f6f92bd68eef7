"""How long a first time takes: import, first step, and the first step from a warm cache."""

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from tools.bench.timing import Table

_STEP = """
import json, sys, time
began = time.perf_counter()
import mer_jax
imported = time.perf_counter() - began
import jax
jax.config.update("jax_compilation_cache_dir", sys.argv[1])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
from tools.bench.workloads import WORKLOADS, jax_step
jax.block_until_ready(jax_step(WORKLOADS[0], folds=4, devices=jax.devices()).run())
print(json.dumps([imported, time.perf_counter() - began]))
"""


def tables(rounds: int, quick: bool) -> Iterator[Table]:
    """Each in a process of its own; medians."""
    imports, cold, warm = [], [], []
    for _ in range(1 if quick else min(rounds, 3)):
        with tempfile.TemporaryDirectory() as cache:
            first, again = (_process(cache) for _ in range(2))
        imports += [first[0], again[0]]
        cold.append(first[1])
        warm.append(again[1])
    rows = [
        ("import mer_jax", statistics.median(imports), 1.0),
        ("import to the end of the first step of STSTNet, cold", statistics.median(cold), 20.0),
        ("the same, compiled before", statistics.median(warm), 5.0),
    ]
    yield Table("A process' first time", ("what", "s", "wanted below, s"), rows)


def _process(cache: str) -> list[float]:
    run = [sys.executable, "-c", _STEP, cache]
    return json.loads(subprocess.run(run, check=True, capture_output=True, text=True).stdout)
