"""Arrays in main memory up to a limit; larger ones in a file that is mapped into memory.

A mapped array has the same values, and JAX on CPUs computes on it without a copy: the kernel reads
its pages when they are used and drops them when memory is short. The file has no name any more once
it is mapped, so that nothing is left behind by a process that is killed.
"""

import math
import os
import pathlib
import tempfile
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from mer_jax.errors import report_write_errors

_ALIGNMENT = 64  # bytes; what XLA needs to use a host array without a copy


class Storage(NamedTuple):
    """Where arrays lie that are larger than `limit_bytes`."""

    limit_bytes: float
    folder: pathlib.Path


IN_MEMORY = Storage(math.inf, pathlib.Path())


def empty(shape: tuple[int, ...], dtype: Any, *, storage: Storage = IN_MEMORY) -> np.ndarray:
    """An array without values, aligned for XLA; a `np.memmap` if it is larger than the limit.

    Raises:
      UserError: if the folder has no space for it, or is not writable.

    >>> empty((2, 3), np.float32).ctypes.data % 64
    0
    """
    count = math.prod(shape)
    size = count * np.dtype(dtype).itemsize
    if size > storage.limit_bytes:
        return _mapped(shape, dtype, size, storage.folder)
    raw = np.empty(size + _ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % _ALIGNMENT
    return raw[start : start + size].view(dtype).reshape(shape)


def joined(blocks: Iterable[np.ndarray], count: int, *, storage: Storage = IN_MEMORY) -> np.ndarray:
    """[count, ...]: all rows of `blocks` [M, ...], which are read one at a time.

    >>> joined(iter([np.zeros((2, 3)), np.ones((1, 3))]), 3).sum(1).tolist()
    [0.0, 0.0, 3.0]
    """
    found, begin = np.zeros(0), 0
    for block in blocks:
        if not begin:
            found = empty((count, *block.shape[1:]), block.dtype, storage=storage)
        found[begin : begin + len(block)] = block
        begin += len(block)
    return found


def aligned(array: Any) -> np.ndarray:
    """`array` on the host: itself if XLA can use it without a copy, else an aligned copy."""
    array = np.asarray(array)
    if array.ctypes.data % _ALIGNMENT == 0 and array.flags.c_contiguous:
        return array
    out = empty(array.shape, array.dtype)
    out[...] = array
    return out


def as_dtype(array: Any, dtype: Any) -> np.ndarray:
    """`array` [N, ...] as another dtype, row after row; mapped if `array` is."""
    storage = IN_MEMORY
    if isinstance(array, np.memmap):
        storage = Storage(0, pathlib.Path(str(array.filename)).parent)
    array = np.asarray(array)
    out = empty(array.shape, dtype, storage=storage)
    with np.errstate(over="ignore"):  # to infinity
        for n, row in enumerate(array):
            out[n] = row
    return out


def _mapped(shape: tuple[int, ...], dtype: Any, size: int, folder: pathlib.Path) -> np.memmap:
    with report_write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".part-") as file:
            # Space is reserved now: the kernel would end a process that writes to a full disk.
            if hasattr(os, "posix_fallocate"):  # not on macOS
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                os.truncate(file.fileno(), size)
            return np.memmap(file.name, dtype, "r+", shape=shape)
