"""The examples of a method, one a clip (a row of arrays), computed in chunks and cached on disk.

A chunk that is finished is kept: `caching(cache)` reads rows that an earlier job, seed or sweep row
made and writes the new ones, so that a killed job goes on where it was and the next one begins at
once. A line on stderr shows clips, clips/s and the time left.
"""

import contextlib
import contextvars
import functools
import hashlib
import inspect
import json
import pathlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import cv2
import jax
import jax.numpy as jnp
import jaxlib
import numpy as np
from tqdm import tqdm

import mer_jax
from mer_jax.clips import Clip, stack
from mer_jax.datasets import folders, identity
from mer_jax.errors import UserError
from mer_jax.io import saving
from mer_jax.io.array_cache import ArrayCache, Row

_PACKAGE = pathlib.Path(mer_jax.__file__).parent
_UNNAMED = "row"  # the entry of a row that is one array and no dictionary
_SECONDS_BETWEEN_LINES = 10.0


class _Method(NamedTuple):
    """The method whose examples are computed, and its options."""

    method: str
    options: Mapping[str, Any]
    function: Callable


_cache = contextvars.ContextVar[ArrayCache | None]("cache", default=None)
_quiet = contextvars.ContextVar("quiet", default=True)
_method = contextvars.ContextVar[_Method | None]("method", default=None)


@contextlib.contextmanager
def caching(cache: ArrayCache | None, *, quiet: bool) -> Iterator[None]:
    """Within the block, methods read and write their examples in `cache` (None: in none)."""
    tokens = _cache.set(cache), _quiet.set(quiet)
    try:
        yield
    finally:
        _cache.reset(tokens[0])
        _quiet.reset(tokens[1])


@contextlib.contextmanager
def for_method(method: str, options: Mapping[str, Any], function: Callable) -> Iterator[None]:
    """Within the block, examples are those of `method`, a `function` with these `options`."""
    token = _method.set(_Method(method, options, function))
    try:
        yield
    finally:
        _method.reset(token)


def compute(
    clips: Sequence[Clip],
    compute: Callable[[Clip], Any],
    *,
    depends_on: Any = None,
) -> Any:
    """The rows of all clips, stacked: an array [N, ...] or a dictionary of them, on the host.

    Args:
      clips: the clips of a job.
      compute: a clip -> its row, an array or a dictionary of arrays of one shape for all clips.
      depends_on: what a row depends on beside its clip, the method and the method's options, in
        JSON's types.
    """
    return _compute(clips, lambda members: [compute(members[0])], 1, depends_on, {})


def _compute(
    clips: Sequence[Clip],
    compute: Callable[[Sequence[Clip]], Sequence[Any]],
    chunk: int,
    depends_on: Any,
    time_axes: Mapping[str, int],
) -> Any:
    cache, current = _cache.get(), _method.get()
    made: list[Row | None] = [None] * len(clips)
    keys: list[str] = []
    if cache and current:
        common = _common_key(current, depends_on)
        keys = [saving.digest(common, identity.digest(clip)) for clip in clips]
        made = [cache.read(current.method, key) for key in keys]
    missing = [n for n, row in enumerate(made) if row is None]
    with _Bar(current.method if current else "rows", len(clips), len(missing)) as bar:
        for start in range(0, len(missing), chunk):
            indices = missing[start : start + chunk]
            for n, row in zip(indices, compute([clips[n] for n in indices]), strict=True):
                named = row if isinstance(row, dict) else {_UNNAMED: row}
                made[n] = {name: np.asarray(value) for name, value in named.items()}
                if cache and current:
                    cache = _write(cache, current.method, keys[n], made[n])
            bar.update(len(indices))
    if cache and missing:
        cache.trim()
    return _stack(made, time_axes)


def _write(cache: ArrayCache, method: str, key: str, row: Any) -> ArrayCache | None:
    """Writes a row; where that fails, the job goes on without a cache."""
    try:
        cache.write(method, key, row)
    except UserError as error:
        print(f"examples are not cached from here on: {error}", file=sys.stderr, flush=True)
        return None
    return cache


def compute_on_device(
    clips: Sequence[Clip],
    compute: Callable[..., Any],
    *,
    size: Sequence[int] | None = None,
    chunk: int = 16,
    more: Callable[[Clip], Any] | None = None,
    time_axes: Mapping[str, int] | None = None,
) -> Any:
    """As `compute`, with one compiled program for all chunks.

    Args:
      clips: the clips of a job; all are padded to the longest of them.
      compute: one clip of a `ClipBatch` (and `more` of it) -> its row; `vmap` adds the clips.
      size: (H, W) that frames are resized to; None: their own.
      chunk: clips of one call.
      more: further arguments of `compute` for a clip, a tree of arrays; they follow from the clip
        and the method's options.
      time_axes: entries of a row with the clip's own length along that axis; shorter ones are
        padded to the longest by their last element.
    """
    longest = max(folders.length(clip) for clip in clips)
    chunk = min(chunk, len(clips))

    def compute_chunk(members: Sequence[Clip]) -> list[Any]:
        full = [*members, *[members[-1]] * (chunk - len(members))]
        batch = stack(full, size=size, length=longest)
        extra = (jax.tree.map(lambda *a: jnp.stack(a), *map(more, full)),) if more else ()
        found = jax.tree.map(np.asarray, _compiled(compute)(batch, *extra))
        lengths = np.asarray(batch.length)
        return [_row(found, n, int(lengths[n]), time_axes or {}) for n in range(len(members))]

    return _compute(clips, compute_chunk, chunk, [longest, chunk], time_axes or {})


@functools.lru_cache(maxsize=4)  # a function that is cached itself is compiled once
def _compiled(compute: Callable[..., Any]) -> Callable[..., Any]:
    return jax.jit(jax.vmap(compute))


def _row(found: Any, n: int, length: int, time_axes: Mapping[str, int]) -> Any:
    row = jax.tree.map(lambda a: a[n], found)
    for name, axis in time_axes.items():
        row[name] = row[name].take(range(length), axis)
    return row


def _stack(rows: list, time_axes: Mapping[str, int]) -> Any:
    """The rows as arrays [N, ...]; each row is freed as soon as it is copied."""
    shapes: dict[str, list[int]] = {name: list(value.shape) for name, value in rows[0].items()}
    for name, axis in time_axes.items():
        shapes[name][axis] = max(row[name].shape[axis] for row in rows)
    out = {
        name: np.empty((len(rows), *shape), rows[0][name].dtype) for name, shape in shapes.items()
    }
    for n in range(len(rows)):
        for name, value in rows[n].items():
            if (axis := time_axes.get(name)) is not None:
                order = np.minimum(np.arange(shapes[name][axis]), value.shape[axis] - 1)
                value = value.take(order, axis)
            out[name][n] = value
        rows[n] = None
    return out[_UNNAMED] if set(out) == {_UNNAMED} else out


def _common_key(current: _Method, depends_on: Any) -> str:
    """What a row depends on beside its clip: method, options, code, versions, kind of device."""
    options = json.dumps([saving.to_builtins(dict(current.options)), depends_on], sort_keys=True)
    module = inspect.getmodule(inspect.unwrap(current.function))
    source = pathlib.Path(getattr(module, "__file__", None) or mer_jax.__file__)
    own = b"" if source.is_relative_to(_PACKAGE) else source.read_bytes()
    versions = [library.__version__ for library in (jax, jaxlib, np, cv2)]
    device = jax.devices()[0].device_kind
    return saving.digest(current.method, options, _source_digest(), own, repr([*versions, device]))


@functools.cache
def _source_digest() -> str:
    """A digest of the package's source: other code may give other numbers under one version."""
    found = hashlib.sha256()
    for folder in ("datasets", "descriptors", "faces", "methods", "video"):
        for path in sorted((_PACKAGE / folder).rglob("*.py")):
            found.update(path.read_bytes())
    found.update((_PACKAGE / "clips.py").read_bytes())
    return found.hexdigest()


class _Bar:
    """Progress over clips: a bar on a terminal, in a log file a line every ten seconds."""

    def __init__(self, method: str, total: int, missing: int):
        self._method, self._total, self._done = method, total, 0
        self._missing = missing
        self._began = self._printed = time.monotonic()
        self._bar = None
        if missing and not _quiet.get() and sys.stderr.isatty():
            kept = total - missing
            self._bar = tqdm(total=total, initial=kept, desc=f"examples ({method})", unit=" clips")

    def __enter__(self) -> "_Bar":
        return self

    def __exit__(self, *exc) -> None:
        if self._bar is not None:
            self._bar.close()

    def update(self, count: int) -> None:
        """`count` more clips are done."""
        self._done += count
        now = time.monotonic()
        if self._bar is not None:
            self._bar.update(count)
        elif not _quiet.get() and now - self._printed > _SECONDS_BETWEEN_LINES:
            self._printed = now
            rate = self._done / (now - self._began)
            left = (self._missing - self._done) / rate
            done = self._total - self._missing + self._done
            print(
                f"examples ({self._method}): clips {done}/{self._total}, "
                f"{rate:.3g} clips/s, {left:.0f} s left",
                file=sys.stderr,
                flush=True,
            )
