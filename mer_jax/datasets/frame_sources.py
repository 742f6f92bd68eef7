"""Frames of a recording on disk, read by blocks: a folder of images, or a video file."""

import dataclasses
import functools
import itertools
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from mer_jax.clips import LUMA_WEIGHTS
from mer_jax.datasets import folders
from mer_jax.errors import UserError
from mer_jax.io import video_files


@functools.lru_cache(maxsize=4)
def list_frames(path: pathlib.Path, pattern: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """The frame numbers of a folder, ascending [T], and the names of their files.

    pattern: of a file's stem; group 1 is the number. Only the last few folders are cached: a
    database has millions of names. Raises `UserError` for two files with one number.
    """
    numbered_files: dict[int, str] = {}
    for entry in folders.list_entries(path):
        stem, dot, suffix = entry.name.rpartition(".")
        match = re.fullmatch(pattern, stem, re.I)
        if match and f"{dot}{suffix}".lower() in folders.IMAGES:
            other = numbered_files.setdefault(int(match[1]), entry.name)
            if other != entry.name:
                raise UserError(f"{path}: {other} and {entry.name} have one frame number")
    order = sorted(numbered_files)
    return np.array(order, np.int64), tuple(numbered_files[number] for number in order)


def nearest(numbers: Sequence[int] | np.ndarray, number: int) -> int:
    """The index of the member of `numbers` [T], ascending, that is nearest; the lower of two.

    >>> nearest([1, 2, 5, 9], 7)
    2
    """
    at = int(np.searchsorted(numbers, number))
    around = range(max(0, at - 1), min(len(numbers), at + 1))
    return min(around, key=lambda i: (abs(int(numbers[i]) - number), i))


@dataclasses.dataclass(frozen=True, eq=False)
class FrameFolder:
    """The `read` of a recording with one image file a frame: [T, H, W, C] uint8, RGB or gray."""

    path: pathlib.Path
    pattern: str
    numbers: np.ndarray  # [T] frame numbers, ascending
    gray: bool = False
    step: int = 1  # every which file of the folder is a frame
    _first: dict[str, Any] = dataclasses.field(default_factory=dict, repr=False)  # file and shape

    @property
    def files(self) -> tuple[pathlib.Path, ...]:
        """The file of each frame. Raises `UserError` if their number has changed."""
        return self._files(0, len(self.numbers))

    def __call__(self, start: int, stop: int) -> np.ndarray:
        files = self._files(start, stop)
        frames = folders.Frames(str(self.path), files, self.gray)()
        first, shape = self._first.setdefault("block", (files[0], frames.shape[1:]))
        folders.check_size(files[0], frames[0], first.name, shape)
        return frames

    def _files(self, start: int, stop: int) -> tuple[pathlib.Path, ...]:
        numbers, names = list_frames(self.path, self.pattern)
        if len(numbers[:: self.step]) != len(self.numbers):
            raise UserError(f"{self.path}: the folder changed since it was listed; load it again")
        return tuple(self.path / name for name in names[:: self.step][start:stop])


@dataclasses.dataclass(eq=False)
class VideoFile:
    """The `read` of a recording in a video file; frame by frame from the start, so it is exact.

    A block that follows the last one goes on from there; any other starts the file again.
    """

    path: pathlib.Path
    numbers: np.ndarray  # [T], counted from 1
    gray: bool = False
    step: int = 1  # every which frame of the file is one of the recording
    _frames: Iterator[np.ndarray] = dataclasses.field(default_factory=lambda: iter(()), repr=False)
    _next: int = dataclasses.field(default=-1, repr=False)

    def __call__(self, start: int, stop: int) -> np.ndarray:
        if not 0 <= self._next <= start:
            frames = (frame for _, frame in video_files.decode(self.path))
            self._frames, self._next = itertools.islice(frames, 0, None, self.step), 0
        wanted = list(itertools.islice(self._frames, start - self._next, stop - self._next))
        self._next = stop
        if len(wanted) < stop - start:
            self._next = -1
            last = start + len(wanted)
            raise UserError(
                f"{self.path}: frame {last} of {len(self.numbers)} cannot be read; the file is cut "
                "at its end, or at its beginning between frames that others depend on: convert it"
            )
        block = np.stack(wanted)
        if self.gray and block.shape[-1] == 3:
            block = np.round(block @ LUMA_WEIGHTS)[..., None].astype(np.uint8)
        return block

    def __reduce__(self):  # a copy starts the file again
        return VideoFile, (self.path, self.numbers, self.gray, self.step)
