"""Long videos with marked intervals, for spotting: frames are read in blocks, never all at once.

    recording = load_recordings("samm_lv", root)[0]
    recording[120:180]                             # [60, H, W, C] uint8, read now
    for start, frames in recording.blocks(256): ...
    recording.clips(kind="micro")                       # its micro-expressions as `Clip`s

Instants are frames counted from 0 at the first frame of the recording; the onset and the offset of
an interval belong to it, so that its duration is offset - onset + 1 frames.
"""

import dataclasses
import math
import numbers
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, overload

import numpy as np

from mer_jax.clips import Clip, check_instants, source
from mer_jax.errors import UserError, unknown_name
from mer_jax.keys import Keyed

KINDS = ("micro", "macro")


def same_rate(first: float, second: float) -> bool:
    """Whether two rates (Hz) are one that was rounded, such as 29.97 and 30.

    >>> same_rate(29.97, 30.0), same_rate(25.0, 30.0)
    (True, False)
    """
    return math.isclose(first, second, rel_tol=0.01)


@dataclasses.dataclass(frozen=True)
class Interval:
    """One expression of a recording, from onset to offset, both included.

    Raises `UserError` for an unknown kind, and unless 0 <= onset <= apex <= offset.

    >>> Interval(onset=40, apex=52, offset=59).duration
    20
    """

    onset: int
    apex: int | None  # None: not marked
    offset: int
    kind: str = "micro"  # or "macro"
    emotion: str | None = None  # as its database names it, lower case; None: not labeled
    action_units: str = ""  # as its database writes them
    intensity: float | None = None  # px of a 64 x 64 frame, of synthetic ones

    def __post_init__(self):
        if self.kind not in KINDS:
            raise unknown_name("kind of expression", self.kind, KINDS)
        if self.offset is None:
            raise UserError("an interval has an offset; it is None")
        check_instants(self.onset, self.apex, self.offset)
        for field in ("onset", "apex", "offset"):  # NumPy's integers are none to JSON
            frame = getattr(self, field)
            object.__setattr__(self, field, None if frame is None else int(frame))

    @property
    def duration(self) -> int:
        """Frames from onset to offset, both included."""
        return self.offset - self.onset + 1


class Distractor(NamedTuple):
    """A movement that is no expression, from onset to offset, both included."""

    kind: str  # such as "blinks" or "speech": `long_videos.DISTRACTORS`
    onset: int
    offset: int


@dataclasses.dataclass(frozen=True, eq=False)
class Recording(Keyed):
    """A long video of one subject and the intervals that its database marks in it.

    `read(start, stop)` returns the frames start to stop - 1, [T, H, W, C] uint8; it is called each
    time frames are asked for. Intervals are sorted by onset; they may overlap.

    Raises `UserError` for names as `Keyed` does, for a length or rate that is not above 0, for an
    interval past the last frame, and for an attribute `numbers` of `read` that is not `length`
    ascending integers.

    >>> frames = np.zeros((9, 4, 4, 1), np.uint8)
    >>> marked = (Interval(2, 3, 5),)
    >>> video = Recording("mine", "s1", "a", lambda i, j: frames[i:j], 9, 30.0, marked)
    >>> [(start, len(block)) for start, block in video.blocks(4)]
    [(0, 4), (4, 4), (8, 1)]
    >>> video.mask().tolist()
    [False, False, True, True, True, True, False, False, False]
    """

    read: Callable[[int, int], np.ndarray]
    length: int  # frames
    fps: float  # Hz
    intervals: tuple[Interval, ...] = ()
    distractors: tuple[Distractor, ...] = ()  # of synthetic recordings, which know them

    def __post_init__(self):
        super().__post_init__()
        if not isinstance(self.length, numbers.Integral) or self.length < 1:
            raise UserError(f"{self.key}: its length is {self.length!r}; it is 1 frame or more")
        if not isinstance(self.fps, numbers.Real) or not 0 < self.fps < math.inf:
            raise UserError(f"{self.key}: its rate is {self.fps!r}; it is a number of Hz above 0")
        given = getattr(source(self.read), "numbers", None)
        found = np.arange(self.length) if given is None else np.asarray(given)
        integers = found.dtype.kind in "iu" and found.shape == (self.length,)
        if not integers or (np.diff(found.astype(np.int64)) <= 0).any():
            raise UserError(
                f"{self.key}: the attribute `numbers` of its `read` is {self.length} ascending "
                f"integers, one a frame; it is {found.dtype} of shape {found.shape}"
            )
        ordered = sorted(self.intervals, key=lambda each: (each.onset, each.offset))
        object.__setattr__(self, "intervals", tuple(ordered))
        for each in ordered:
            if each.offset >= self.length:
                raise UserError(
                    f"{self.key}: the {each.kind}-expression from frame {each.onset} to "
                    f"{each.offset} ends after the last frame, {self.length - 1}"
                )

    def __len__(self) -> int:
        return self.length

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, index: slice) -> np.ndarray: ...
    def __getitem__(self, index):
        """Frame [H, W, C] or, of a slice, frames [T, H, W, C]; only what lies between is read."""
        if isinstance(index, slice):
            span = range(self.length)[index]
            if not span:
                return self._block(0, 1)[:0]
            low, high = min(span[0], span[-1]), max(span[0], span[-1])
            block = self._block(low, high + 1)
            return block if span.step == 1 else block[np.array(span) - low]
        at = range(self.length)[index]
        return self._block(at, at + 1)[0]

    def _block(self, start: int, stop: int) -> np.ndarray:
        frames = np.asarray(self.read(start, stop))
        if frames.ndim != 4 or len(frames) != stop - start or frames.dtype != np.uint8:
            raise UserError(
                f"{self.key}: frames {start} to {stop - 1} are read as {frames.dtype} of shape "
                f"{frames.shape}; they are uint8 [{stop - start}, H, W, C]"
            )
        return frames

    def blocks(self, size: int) -> Iterator[tuple[int, np.ndarray]]:
        """(first frame, frames [T, H, W, C]) of block after block, T = `size` but for the last."""
        for start in range(0, self.length, size):
            yield start, self._block(start, min(start + size, self.length))

    @property
    def numbers(self) -> np.ndarray:
        """[T] int64: how its database numbers the frames, ascending; from 0 where `read` has no
        attribute `numbers`."""
        given = getattr(source(self.read), "numbers", None)
        return np.arange(self.length) if given is None else np.asarray(given, np.int64)

    @property
    def step(self) -> int:
        """How many frames of its database each frame stands for: itself and those after it."""
        return getattr(source(self.read), "step", 1)

    def mask(self, *, kind: str = "") -> np.ndarray:
        """[T] bool: the frames inside of an interval (of `kind`, if given)."""
        inside = np.zeros(self.length, bool)
        for each in self.of_kind(kind):
            inside[each.onset : each.offset + 1] = True
        return inside

    def of_kind(self, kind: str) -> tuple[Interval, ...]:
        """The intervals of `kind`, "micro" or "macro"; "" takes all."""
        if kind and kind not in KINDS:
            raise unknown_name("kind of expression", kind, KINDS)
        return tuple(each for each in self.intervals if kind in ("", each.kind))

    def clips(self, *, kind: str = "") -> list[Clip]:
        """Its expressions as clips from onset to offset, named NAME_KIND_ONSET_OFFSET (from 0)."""
        return [
            Clip(
                database=self.database,
                subject=self.subject,
                name=f"{self.name}_{each.kind}_{each.onset}_{each.offset}",
                read=Part(self, each.onset, each.offset + 1),
                emotion=each.emotion or "",
                fps=float(self.fps),
                onset=0,
                apex=None if each.apex is None else each.apex - each.onset,
                offset=each.offset - each.onset,
                action_units=each.action_units,
            )
            for each in self.of_kind(kind)
        ]


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """The `read` of a clip: the frames `start` to `stop` - 1 of a recording."""

    recording: Recording
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def __call__(self) -> np.ndarray:
        return self.recording._block(self.start, self.stop)

    @property
    def frames_from(self) -> Callable[[int, int], np.ndarray]:
        """The `read` of the recording."""
        return self.recording.read

    @property
    def files(self) -> Sequence[pathlib.Path]:
        """What the frames are read from, and the crop of all is found in; none without a file."""
        read: Any = source(self.recording.read)
        if files := getattr(read, "files", ()):
            return (*files[self.start : self.stop], *getattr(read, "files_of_the_crop", ()))
        return [read.path] if hasattr(read, "path") else []

    @property
    def gray(self) -> bool | None:
        """Whether colors are left out, where the recording says so."""
        return getattr(source(self.recording.read), "gray", None)

    @property
    def crop(self) -> Any:
        """How frames are cropped when they are read; None where they are as stored."""
        return getattr(source(self.recording.read), "crop", None)
