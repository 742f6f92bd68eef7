"""The examples of a method, one a clip (a row of arrays), computed in chunks and cached on disk.

Within `example_cache.caching`, rows that an earlier job, seed or sweep row made are read, and those
of a finished chunk written, so that a killed job goes on where it was and the
next one begins at once. A line on stderr shows clips, clips/s and the time left. Rows that together
are larger than the limit lie in a file, see `io.large_arrays`.
"""

import functools
import itertools
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mer_jax import runtime
from mer_jax.clips import Clip, check_frame_shapes, stack
from mer_jax.datasets import folders
from mer_jax.errors import UserError
from mer_jax.io import large_arrays
from mer_jax.io.array_cache import Entry
from mer_jax.io.progress import Progress
from mer_jax.methods.example_cache import example_keys, method, stage, write

_REDUCED = 16  # rows of one call of `reduce`
_READERS = 8  # cached rows that are read at a time, at most
_UNNAMED = "row"  # the entry of a row that is one array and no dictionary
_FRAME = "frame shape"  # the entry with (H, W, C) of the frames that a row was computed of


def compute(
    clips: Sequence[Clip], compute: Callable[[Clip], Any], *, depends_on: Any = None
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
    cache, name = stage().cache, method() or "rows"
    writable = True
    rows, missing = _Rows(clips, time_axes), list(range(len(clips)))
    keys = example_keys(clips, depends_on=depends_on)
    if cache and keys:
        read = lambda n: rows.set(n, cache.read(name, keys[n]))
        missing = list(itertools.takewhile(lambda n: not read(n), missing))  # the first allocates
        with runtime.threads(at_most=_READERS) as pool:
            rest = range(len(missing) + 1, len(keys))
            missing += [n for n, is_set in zip(rest, pool.map(read, rest)) if not is_set]
    done = len(clips) - len(missing)
    with Progress(total=len(clips), done=done, quiet=stage().quiet or not missing) as bar:
        for start in range(0, len(missing), chunk):
            indices = missing[start : start + chunk]
            for n, row in zip(indices, compute([clips[n] for n in indices]), strict=True):
                named = {entry: np.asarray(value) for entry, value in _named(row).items()}
                rows.set(n, named)
                if cache and keys and writable:
                    writable = write(cache, name, keys[n], named)
            done += len(indices)
            bar.update(len(indices), f"examples ({name}): clips {done}/{len(clips)}")
    if cache and missing:
        cache.trim()
    return rows.arrays[_UNNAMED] if set(rows.arrays) == {_UNNAMED} else rows.arrays


class _Rows:
    """The rows of all clips as arrays [N, ...], allocated by the first row that is set."""

    def __init__(self, clips: Sequence[Clip], time_axes: Mapping[str, int]):
        self._clips, self._time_axes = clips, time_axes
        self._first: tuple[str, dict, Any] = ("", {}, None)  # key, shapes and frames of that row
        self.arrays: Entry = {}

    def set(self, n: int, row: Entry | None) -> bool:
        """Sets row n, padded along a time axis by its last element; False if there is none.

        Several threads may set rows after the first one. Raises `UserError` for a row of another
        shape than the first one, or of frames of another shape.
        """
        if row is None:
            return False
        key = self._clips[n].key
        values = {name: value for name, value in row.items() if name != _FRAME}
        frame = tuple(map(int, row[_FRAME])) if _FRAME in row else ()
        shapes = {name: self._shape(name, value) for name, value in values.items()}
        if not self.arrays:
            self._first = key, shapes, frame
            self._allocate(values)
        first, expected, other = self._first
        check_frame_shapes(key, frame, first, other)
        if shapes != expected:
            raise UserError(
                f"{key}: its example has the shape {_shown(shapes)} where that of {first} has "
                f"{_shown(expected)}; make all of one shape"
            )
        for name, value in values.items():
            array = self.arrays[name][n, ...]
            if (axis := self._time_axes.get(name)) is not None:
                array, value = np.moveaxis(array, axis, 0), np.moveaxis(value, axis, 0)
                array[len(value) :] = value[-1]
                array = array[: len(value)]
            array[...] = value
        return True

    def _shape(self, name: str, value: np.ndarray) -> tuple[int, ...]:
        """Without the time axis, along which rows differ."""
        axis = self._time_axes.get(name)
        return value.shape if axis is None else value.shape[:axis] + value.shape[axis + 1 :]

    def _allocate(self, row: Entry) -> None:
        shapes = {name: list(value.shape) for name, value in row.items()}
        for name, axis in self._time_axes.items():
            shapes[name][axis] = max(folders.length(clip) for clip in self._clips)
        count, storage = len(self._clips), stage().storage
        size = count * sum(math.prod(shapes[name]) * row[name].itemsize for name in row)
        if size > storage.limit_bytes:
            storage = storage._replace(limit_bytes=0)
            if not stage().quiet:
                print(
                    f"examples: {size / 2**30:.3g} GiB are more than examples_memory_gib; they lie "
                    f"in a file in {storage.folder}, read as batches need them",
                    file=sys.stderr,
                    flush=True,
                )
        else:
            storage = large_arrays.IN_MEMORY
        self.arrays = {
            name: large_arrays.empty((count, *shapes[name]), value.dtype, storage=storage)
            for name, value in row.items()
        }


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
      clips: the clips of a job; all are padded to the longest of them. Of a composite that has
        gray and RGB frames, gray ones are repeated over three channels.
      compute: one clip of a `ClipBatch` (and `more` of it) -> its row; `vmap` adds the clips.
      size: (H, W) that frames are resized to; None: their own.
      chunk: clips of one call.
      more: further arguments of `compute` for a clip, a tree of arrays; they follow from the clip
        and the method's options.
      time_axes: entries of a row with the clip's own length along that axis; shorter ones are
        padded to the longest by their last element.
    """
    longest = max(folders.length(clip) for clip in clips)
    chunk, to_rgb = min(chunk, len(clips)), _are_mixed(clips)

    def compute_chunk(members: Sequence[Clip]) -> list[Any]:
        full = [*members, *[members[-1]] * (chunk - len(members))]
        batch = stack(full, size=size, length=longest, to_rgb=to_rgb)
        extra = (jax.tree.map(lambda *a: jnp.stack(a), *map(more, full)),) if more else ()
        found = jax.tree.map(np.asarray, _compiled(compute)(batch, *extra))
        lengths, frame = np.asarray(batch.length), np.array(batch.frames.shape[2:], np.int32)
        return [
            _named(_row(found, n, int(lengths[n]), time_axes or {})) | {_FRAME: frame}
            for n in range(len(members))
        ]

    depends_on = [longest, chunk, *["rgb"] * to_rgb]
    return _compute(clips, compute_chunk, chunk, depends_on, time_axes or {})


def _are_mixed(clips: Sequence[Clip]) -> bool:
    """Whether some databases have gray frames and others RGB, by the first clip of each."""
    first = {clip.database: clip for clip in reversed(clips)}
    return len(first) > 1 and len({clip.frames.shape[-1] for clip in first.values()}) > 1


def reduce(function: Callable[[jax.Array], jax.Array], rows: np.ndarray) -> np.ndarray:
    """[N] numbers of rows [N, ...] by `function` of [B, ...], a few rows at a time.

    All calls have one B, which is large enough that XLA divides no row's sum over several cores.
    """
    count = len(rows)
    blocks = np.arange(-(-count // _REDUCED) * _REDUCED).reshape(-1, _REDUCED)
    found = [np.asarray(function(jnp.asarray(rows[np.minimum(i, count - 1)]))) for i in blocks]
    return np.concatenate(found)[:count]


@functools.lru_cache(maxsize=4)  # a function that is cached itself is compiled once
def _compiled(compute: Callable[..., Any]) -> Callable[..., Any]:
    return jax.jit(jax.vmap(compute))


def _named(row: Any) -> dict[str, Any]:
    return row if isinstance(row, dict) else {_UNNAMED: row}


def _shown(shapes: Mapping[str, tuple[int, ...]]) -> Any:
    return shapes[_UNNAMED] if set(shapes) == {_UNNAMED} else dict(shapes)


def _row(found: Any, n: int, length: int, time_axes: Mapping[str, int]) -> Any:
    row = jax.tree.map(lambda a: a[n], found)
    for name, axis in time_axes.items():
        row[name] = row[name].take(range(length), axis)
    return row
