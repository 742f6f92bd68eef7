"""What is computed of each recording of a job, cached on disk like the examples of clips.

A recording that is finished is kept: a killed job goes on where it was, and other seeds, networks
and sweeps begin at once. With a pipeline (`example_cache.Stage`), its workers compute what is
missing, and write it to the cache.
"""

import dataclasses
import inspect
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax

from mer_jax.errors import UserError
from mer_jax.io.array_cache import ArrayCache, Entry
from mer_jax.io.progress import Progress
from mer_jax.methods import example_cache
from mer_jax.recordings import Recording


class Task(NamedTuple):
    """One recording, and the entry of the cache that exists once it is computed."""

    recording: Recording
    function: Callable[..., Entry]
    options: Mapping[str, Any]
    cache: ArrayCache
    group: str
    key: str

    @property
    def done(self) -> bool:
        """Whether the entry exists."""
        return self.cache.has(self.group, self.key)


def compute(
    recordings: Sequence[Recording],
    function: Callable[..., Entry],
    options: Mapping[str, Any],
    *,
    group: str,
    depends_on: Any = None,
) -> Iterator[Entry]:
    """The arrays of each recording, in their order: from the cache, or computed and cached.

    Args:
      recordings: of a job.
      function: (recording, **options) -> a dictionary of arrays; of a module, so that the workers
        of a pipeline import it.
      options: in JSON's types or tuples of them.
      group: of the cache.
      depends_on: what the arrays depend on beside the recording and the options, in JSON's types.

    Raises:
      UserError: what `function` raises; a pipeline without a cache that its workers see.
    """
    stage, count = example_cache.stage(), len(recordings)
    with example_cache.for_method(group, options, function):
        keys = example_cache.example_keys(recordings, depends_on=depends_on)
    cache, tasks = stage.cache, list[Task]()
    if cache:
        tasks = [
            Task(video, function, options, cache, group, key)
            for video, key in zip(recordings, keys)
        ]
    elif stage.pipeline:
        raise UserError("--runner needs a cache of examples; set examples_limit_gib above 0")
    missing = [at for at in range(count) if not tasks or not tasks[at].done]
    found = count - len(missing)
    bar = Progress(total=count, done=found, unit="recordings", quiet=stage.quiet or not missing)

    def show() -> None:
        nonlocal found
        found += 1
        bar.update(1, f"{group}: recordings {found}/{count}")

    with bar:
        if stage.pipeline and missing:
            for _ in _by_workers([tasks[at] for at in missing], stage.pipeline):
                show()
        for at, video in enumerate(recordings):
            entry = cache.read(group, keys[at]) if cache else None
            if entry is None:
                entry = function(video, **options)
                if cache:
                    cache = example_cache.write(cache, group, keys[at], entry)
                if at in missing and not stage.pipeline:
                    show()
            yield entry
    if cache and missing:
        cache.trim()


def _by_workers(tasks: Sequence[Task], pipeline: Any) -> Iterator[Task]:
    """Each task when a worker has written its entry."""
    from mer_jax.datasets import beam

    # A wrapper that keeps frames in memory stays here: workers read the files.
    plain = [
        task._replace(
            recording=dataclasses.replace(task.recording, read=inspect.unwrap(task.recording.read))
        )
        for task in tasks
    ]
    finished = lambda missing: [task for task in missing if task.done]
    yield from beam.run(_on_worker, plain, pipeline, finished=finished)


_one_at_a_time = threading.Lock()


def _on_worker(task: Task) -> None:
    """Computes the entry of one recording, on the CPU."""
    jax.config.update("jax_platforms", "cpu")
    with _one_at_a_time:
        entry = task.function(task.recording, **task.options)
        task.cache.write(task.group, task.key, entry)
