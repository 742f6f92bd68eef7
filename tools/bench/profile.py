"""Memory and a trace of the training of STSTNet: what it takes, and where its time goes."""

import collections
import pathlib
import re
import tempfile
from collections.abc import Callable, Iterator

import jax
import psutil

from tools.bench.loso import EPOCHS, jax_job
from tools.bench.timing import Table

_SHOWN = 12  # operations
# Neither the executor's own events nor operations that contain others.
_CPU_OPERATION = re.compile(r"(?!while|call|conditional)[a-z][\w.-]*")


def tables(rounds: int, quick: bool) -> Iterator[Table]:
    """The memory of a job of 68 folds, then the operations of its epochs by their time."""
    del rounds
    folds = 8 if quick else 68
    run = jax_job(folds)
    jax.block_until_ready(run())
    title = f"{folds} folds of STSTNet as one job"
    yield Table(f"Memory, {title}", ("", "MiB"), _memory())
    yield Table(f"Trace, {EPOCHS} epochs of {title}", ("operation", "ms", "share"), _trace(run))


def _memory() -> list[tuple[str, float]]:
    rows = [("this process, main memory", psutil.Process().memory_info().rss / 2**20)]
    stats = jax.devices()[0].memory_stats() or {}
    for name in ("bytes_in_use", "peak_bytes_in_use", "bytes_limit"):
        if name in stats:
            rows.append((f"device, {name}", stats[name] / 2**20))
    return rows


def _trace(run: Callable[[], object]) -> list[tuple[str, float, float]]:
    """Time of each kind of operation, summed over streams (GPU) or threads (CPU)."""
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            jax.block_until_ready(run())
        (path,) = pathlib.Path(folder).rglob("*.xplane.pb")
        planes = list(jax.profiler.ProfileData.from_file(str(path)).planes)
        on_device = [plane for plane in planes if plane.name.startswith("/device:")]
        spent: collections.Counter[str] = collections.Counter()
        for plane in on_device or planes:
            for line in plane.lines:
                # Of a GPU the streams; of a CPU the threads of XLA's executor.
                if not re.match("Stream" if on_device else "tf_XLA", line.name or ""):
                    continue
                for event in line.events:
                    if on_device or _CPU_OPERATION.fullmatch(event.name):
                        spent[re.sub(r"[._\d]+$", "", event.name)] += event.duration_ns / 1e6
    total = sum(spent.values()) or 1.0
    return [(name, ms, ms / total) for name, ms in spent.most_common(_SHOWN)]
