"""Results of long computations on disk, one file for each: written whole, verified when read.

    cache = ArrayCache("cache", limit_bytes=50e9)
    cache.write("strcn_g", digest, {"flow": flow})
    entry = cache.read("strcn_g", digest)      # None: not there, or damaged

An entry is a dictionary of arrays. Its file is DIRECTORY/GROUP/NAME.npz, with a checksum for each
array; a file that is cut short, damaged or another entry's is removed and counts as missing. A name
is a digest of 64 hexadecimal digits: files with other names are not the cache's and are left alone.
"""

import contextlib
import dataclasses
import os
import pathlib
import re
import time
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from mer_jax.errors import UserError
from mer_jax.io import saving

Entry = dict[str, np.ndarray]
_NAME = "__name__"  # the array that holds the entry's name
_TORN_ENTRY = re.compile(r"\.part-\d+-[0-9a-f]{8}-[0-9a-f]{64}\.npz")  # of `saving.atomic`
_TORN_ARRAY = re.compile(r"\.part-\w{8}")
_LEFT = 24 * 3600  # seconds since the last change of a file that nobody is writing any more


class Usage(NamedTuple):
    """What one group of a cache takes."""

    entries: int
    bytes: int
    last_used: float  # seconds since the epoch


@dataclasses.dataclass
class ArrayCache:
    """The entries in `directory`, at most `limit_bytes` of them; the oldest are removed first."""

    directory: pathlib.Path
    limit_bytes: float
    _written: float = dataclasses.field(default=0.0, init=False)  # bytes since the last trim

    def read(self, group: str, name: str) -> Entry | None:
        """The entry, or None where it is missing or damaged. Marks it as used now."""
        path = self._path(group, name)
        try:
            with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
                entry = {key: file[key] for key in file.files}
            if str(entry.pop(_NAME)) != name:
                raise ValueError("another entry's file")
        except (OSError, MemoryError):  # not there, or not readable now
            return None
        except Exception:  # zip, zlib and NumPy raise a dozen kinds
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        with contextlib.suppress(OSError):  # another user's file
            os.utime(path)
        return entry

    def has(self, group: str, name: str) -> bool:
        """Whether there is a file of the entry; `read` verifies it."""
        return self._path(group, name).is_file()

    def write(self, group: str, name: str, entry: Mapping[str, np.ndarray]) -> None:
        """Writes the entry. Raises `UserError` where the disk is full or the folder read-only."""
        with saving.atomic(self._path(group, name)) as temporary:
            np.savez(temporary, **{_NAME: np.array(name)}, **entry)  # type: ignore[arg-type]
        self._written += sum(array.nbytes for array in entry.values())
        if self._written > self.limit_bytes / 10:
            self.trim()

    def trim(self) -> None:
        """Removes the entries that were used longest ago until the limit is kept.

        `write` does so after each tenth of the limit.
        """
        self._written = 0.0
        _remove_torn(self.directory)
        files = sorted(_files(self.directory), key=lambda file: file[1].st_mtime_ns)
        excess = sum(stat.st_size for _, stat in files) - self.limit_bytes
        for path, stat in files:
            if excess <= 0:
                return
            with contextlib.suppress(OSError):
                path.unlink()
            excess -= stat.st_size

    def _path(self, group: str, name: str) -> pathlib.Path:
        return self.directory / group.replace(":", "-").replace(os.sep, "-") / f"{name}.npz"


def usage(directory: str | os.PathLike) -> dict[str, Usage]:
    """What each group of a cache takes, by name; empty for a folder that does not exist."""
    found: dict[str, Usage] = {}
    for path, stat in _files(pathlib.Path(directory)):
        entries, size, last = found.get(path.parent.name, Usage(0, 0, 0.0))
        found[path.parent.name] = Usage(entries + 1, size + stat.st_size, max(last, stat.st_mtime))
    return dict(sorted(found.items()))


def clear(directory: str | os.PathLike, *, group: str | None = None) -> dict[str, Usage]:
    """Removes all entries, or those of one group; returns what they took.

    Raises:
      UserError: for a group that is not there.
    """
    found = usage(directory)
    if group is not None and group not in found:
        raise UserError(f"{directory} has no {group!r}; it has {', '.join(found) or 'nothing'}")
    chosen = {name: took for name, took in found.items() if group in (None, name)}
    for name in chosen:
        for path, _ in _files(pathlib.Path(directory), name):
            with contextlib.suppress(OSError):
                path.unlink()
        with contextlib.suppress(OSError):
            (pathlib.Path(directory) / name).rmdir()
    _remove_torn(pathlib.Path(directory))
    return chosen


def _remove_torn(directory: pathlib.Path) -> None:
    """Removes what killed processes were writing: entries, and the arrays of `large_arrays`."""
    for pattern, names in ((".part-*", _TORN_ARRAY), ("*/.part-*", _TORN_ENTRY)):
        for path in directory.glob(pattern):
            with contextlib.suppress(OSError):
                if names.fullmatch(path.name) and time.time() - path.stat().st_mtime > _LEFT:
                    path.unlink()


def _files(directory: pathlib.Path, group: str = "*") -> list[tuple[pathlib.Path, os.stat_result]]:
    found = []
    for path in directory.glob(f"{group}/*.npz"):
        if not re.fullmatch(r"[0-9a-f]{64}", path.stem):
            continue
        with contextlib.suppress(OSError):  # another process removed it
            found.append((path, path.stat()))
    return found
