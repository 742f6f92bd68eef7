"""Arrays computed from each recording of a job, cached on disk like the examples of clips.

A killed job goes on after the last finished recording; other seeds, networks and sweeps compute
nothing again. With a pipeline (`example_cache.Stage`), its workers compute what is missing, and
write it to the cache.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from mer_jax.clips import source
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
    cache, writable = stage.cache, True
    if stage.pipeline and not cache:
        raise UserError("--runner needs a cache of examples; set examples_limit_gib above 0")
    exists = lambda at: cache is not None and cache.has(group, keys[at])
    if cache and stage.pipeline:  # workers compute what is damaged, too
        exists = lambda at: cache.read(group, keys[at]) is not None
    missing = [at for at in range(count) if not exists(at)]
    done = itertools.count(count - len(missing) + 1)
    bar = Progress(
        total=count, done=count - len(missing), unit="recordings", quiet=stage.quiet or not missing
    )
    show = lambda: bar.update(1, f"{group}: recordings {next(done)}/{count}")
    with bar:
        if cache and stage.pipeline and missing:
            given = [(recordings[at], function, options, cache, group, keys[at]) for at in missing]
            for _ in _by_workers(itertools.starmap(Task, given), stage.pipeline):
                show()
        for at, video in enumerate(recordings):
            entry = cache.read(group, keys[at]) if cache else None
            if entry is None:
                if stage.pipeline:
                    raise UserError(
                        f"{video.key}: its entry in the cache of examples was removed or damaged "
                        "while the workers filled it; run the command again"
                    )
                entry = function(video, **options)
                if cache and writable:
                    writable = example_cache.write(cache, group, keys[at], entry)
                if at in missing:
                    show()
            yield entry
    if cache:
        cache.trim()


def _by_workers(tasks: Iterable[Task], pipeline: Any) -> Iterator[Task]:
    """Each task when a worker has written its entry."""
    from mer_jax.datasets import beam

    def sent(task: Task) -> Task:  # without the frames in memory: workers read the files
        read = source(task.recording.read)
        return task._replace(recording=dataclasses.replace(task.recording, read=read))

    finished = lambda missing: [task for task in missing if task.done]
    yield from beam.run(_on_worker, list(map(sent, tasks)), pipeline, finished=finished)


def _on_worker(task: Task) -> None:
    entry = task.function(task.recording, **task.options)
    task.cache.write(task.group, task.key, entry)
