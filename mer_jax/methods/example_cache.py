"""The cache of examples on disk, and what computes those that are not in it.

    with caching(cache, quiet=False):           # of a job
        ...
        with for_method("strcn_g", options, function):
            keys = example_keys(clips)

An example's key has the digest of its clip or recording, its method and options, the package's
source, and the versions and the kind of device that compute it.
"""

import contextlib
import contextvars
import functools
import hashlib
import itertools
import json
import pathlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict

import mer_jax
from mer_jax import runtime
from mer_jax.clips import Clip
from mer_jax.datasets import identity
from mer_jax.errors import UserError
from mer_jax.io import large_arrays, reading, saving
from mer_jax.io.array_cache import ArrayCache, Entry
from mer_jax.options import source_digest
from mer_jax.recordings import Recording

# What computes examples, decodes videos and finds landmarks.
_LIBRARIES = ("jax", "jaxlib", "numpy", *runtime.OPENCV, "av", "dlib", "mediapipe")
_PACKAGE = pathlib.Path(mer_jax.__file__).parent


class Stage(NamedTuple):
    """How the examples of a job are computed."""

    cache: ArrayCache | None = None
    storage: large_arrays.Storage = large_arrays.IN_MEMORY  # where all of them lie together
    quiet: bool = True
    pipeline: Any = None  # of `datasets.beam.download_config`: workers compute those of recordings
    digests: dict[int, tuple[Recording, str]] | None = None  # of `identity.digest`, by id


class _Method(NamedTuple):
    """The method whose examples are computed, and its options."""

    method: str
    options: Mapping[str, Any]
    function: Callable
    calls: Iterator[int]  # numbers those of `example_keys`


_stage = contextvars.ContextVar[Stage | None]("stage", default=None)
_method = contextvars.ContextVar[_Method | None]("method", default=None)


def stage() -> Stage:
    """How the job that is running computes its examples: as the innermost `caching` says."""
    return _stage.get() or Stage()


def method() -> str | None:
    """The name that the innermost `for_method` gives; None outside."""
    return current.method if (current := _method.get()) else None


@contextlib.contextmanager
def caching(
    cache: ArrayCache | None,
    *,
    quiet: bool,
    storage: large_arrays.Storage = large_arrays.IN_MEMORY,
    pipeline: Any = None,
) -> Iterator[None]:
    """Within the block, methods read and write their examples in `cache` (None: in none).

    The other arguments are the fields of `Stage`.
    """
    with _set(_stage, Stage(cache, storage, quiet, pipeline, {})):
        yield


@contextlib.contextmanager
def for_method(name: str, options: Mapping[str, Any], function: Callable) -> Iterator[None]:
    """Within the block, examples are those of the method `name`, a `function` with `options`."""
    with _set(_method, _Method(name, options, function, itertools.count())):
        yield


@contextlib.contextmanager
def _set(variable: contextvars.ContextVar[Any], value: Any) -> Iterator[None]:
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


def of_job(config: ConfigDict) -> tuple[ArrayCache | None, large_arrays.Storage]:
    """The cache of a job, if any, and where its examples lie together.

    config: examples_dir, "" for a folder in the user's cache; examples_limit_gib of the cache, 0
    for none; examples larger than examples_memory_gib lie in a file, 0 for half of the free memory.
    """
    folder = config.examples_dir or runtime.cache_folder() / "examples"
    path = reading.expanded(folder).absolute()
    limit = config.examples_limit_gib * 2**30
    cache = ArrayCache(path, limit) if limit else None
    limit = config.examples_memory_gib * 2**30 or runtime.available_memory() / 2
    return cache, large_arrays.Storage(limit, path)


def example_keys(items: Sequence[Clip | Recording], *, depends_on: Any = None) -> list[str]:
    """The key of each item's example; [] without a cache or a method.

    depends_on: what an example depends on beside its item, the method and the method's options, in
    JSON's types.
    """
    current = _method.get()
    if not stage().cache or not current:
        return []
    # A method may compute several examples of a clip, by other functions or options of its own.
    number = next(current.calls)
    common = _common_key(current, [number, depends_on] if number else depends_on)
    return [saving.digest(common, _digest(item)) for item in items]


def _digest(item: Clip | Recording) -> str:
    """`identity.digest`; a recording has many files and is used for several spans: once a job."""
    found = stage().digests
    if isinstance(item, Clip) or found is None:
        return identity.digest(item)
    if id(item) not in found:
        found[id(item)] = item, identity.digest(item)
    return found[id(item)][1]


def write(cache: ArrayCache, group: str, name: str, entry: Entry) -> bool:
    """Writes an example. Where that fails, it says so, makes room, and returns False."""
    try:
        cache.write(group, name, entry)
    except UserError as error:
        print(f"examples are not cached from here on: {error}", file=sys.stderr, flush=True)
        cache.trim()
        return False
    return True


def _common_key(current: _Method, depends_on: Any) -> str:
    """What an example depends on beside its clip or recording."""
    options = json.dumps([saving.to_builtins(dict(current.options)), depends_on], sort_keys=True)
    own = source_digest(current.function)
    versions = [runtime.version(name) for name in _LIBRARIES]
    device = "cpu" if stage().pipeline else jax.devices()[0].device_kind  # workers have no other
    return saving.digest(current.method, options, _package_digest(), own, repr([*versions, device]))


@functools.cache
def _package_digest() -> str:
    """A digest of the package's source: other code may give other numbers under one version."""
    found = hashlib.sha256()
    for folder in ("datasets", "descriptors", "faces", "io", "methods", "spotting", "video"):
        for path in sorted((_PACKAGE / folder).rglob("*.py")):
            found.update(path.read_bytes())
    for name in ("clips.py", "recordings.py", "runtime.py", "training/rng.py"):
        found.update((_PACKAGE / name).read_bytes())
    return found.hexdigest()
