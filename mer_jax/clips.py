"""The records that cross rooms, and the letters of their axes.

    N clips    T frames    H rows    W columns    C channels
    K classes  F folds     B batch   E epochs

`Clip` lives on the host and reads its frames when asked; `ClipBatch` holds many on the device,
padded to one length. Frames are uint8 on the host or float32 in [0, 1]; displacements are in px,
rates in Hz, instants in frames counted from 0 at the clip's first frame.
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence

import chex
import jax
import jax.numpy as jnp
import numpy as np

from mer_jax.problems import UserError

_LONGEST = 2**15 - 1  # px of a side, the most that OpenCV takes


@dataclasses.dataclass(frozen=True, eq=False)
class Clip:
    """One clip of one subject, as its database describes it.

    `read` returns the frames, [T, H, W, C] uint8 or float32 in [0, 1]; it is called each time
    `frames` is asked for, so that a database of any size can be listed. `content` says what the
    channels mean: "video" (1 grey or 3 RGB) or "flow" (one frame: u, v and strain as an image).
    """

    database: str
    subject: str
    name: str
    read: Callable[[], np.ndarray]
    emotion: str  # as the database names it, lower case
    fps: float = 0.0  # Hz; 0 where it has no meaning
    onset: int = 0  # frame of the first movement
    apex: int | None = None  # frame of the strongest movement; None where nobody marked it
    offset: int | None = None  # last frame of the movement; None: the last frame
    action_units: str = ""  # as the database writes them; datasets.labels parses
    objective: str = ""  # "I" to "VII" where the database gives an objective class
    content: str = "video"
    landmarks: np.ndarray | None = None  # [68, 2] px (x, y) in the first frame

    @property
    def frames(self) -> np.ndarray:
        """[T, H, W, C], read now."""
        return self.read()

    @property
    def key(self) -> str:
        """'database/subject/name': unique in a job, the same on every machine."""
        return f"{self.database}/{self.subject}/{self.name}"

    @property
    def person(self) -> str:
        """'database/subject': subjects of two databases never collide."""
        return f"{self.database}/{self.subject}"


def hold(frames: np.ndarray) -> Callable[[], np.ndarray]:
    """The `read` of a clip whose frames are in memory already."""
    return lambda: frames


@chex.dataclass(frozen=True)
class ClipBatch:
    """Clips of different length on the device. Frames past a clip's end repeat its last one."""

    frames: jax.Array  # [N, T, H, W, C] float32 in [0, 1]
    length: jax.Array  # [N] int32, frames that are real
    onset: jax.Array  # [N] int32
    apex: jax.Array  # [N] int32, -1 where unknown
    offset: jax.Array  # [N] int32


def to_float(frames: np.ndarray) -> np.ndarray:
    """Frames as float32 in [0, 1]; uint8 is divided by 255."""
    if frames.dtype == np.uint8:
        return frames.astype(np.float32) / np.float32(255)
    return np.asarray(frames, np.float32)


def resize(frames: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """[T, H, W, C] -> [T, *size, C], area-averaged when shrinking and bilinear when growing.

    Raises `UserError` for a size that frames cannot have.
    """
    if frames.shape[1:3] == tuple(size):
        return frames
    if len(size) != 2 or not all(side in range(1, _LONGEST + 1) for side in size):
        raise UserError(f"frames of size {size}: it is two whole numbers, 1 to {_LONGEST} px")
    import cv2

    height, width = size
    shrinks = height <= frames.shape[1] and width <= frames.shape[2]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    out = [cv2.resize(frame, (width, height), interpolation=how) for frame in frames]
    return np.stack(out).reshape(len(frames), height, width, frames.shape[3])


def check_finite(name: str, frames: np.ndarray, *, first: int = 0) -> None:
    """Raises `UserError` with the first of `frames` [T, ...] that holds NaN or infinity.

    name: of the clip. first: the number of the first frame.
    """
    good = np.isfinite(frames).reshape(len(frames), -1).all(1)
    if not good.all():
        raise UserError(
            f"{name}: frame {first + int(np.argmin(good))} holds NaN or infinity; mend that frame, "
            "or leave the clip out"
        )


def stack(clips: Sequence[Clip], *, size: Sequence[int] | None = None) -> ClipBatch:
    """Reads `clips` and lays them on the device as one `ClipBatch`, resized to `size` (H, W).

    Raises `UserError` where two clips differ in height, width or channels, and for a frame that
    holds NaN or infinity.
    """
    arrays = []
    for clip in clips:
        frames = to_float(clip.frames)
        arrays.append(resize(frames, size) if size else frames)
        check_finite(clip.key, frames)
        if arrays[-1].shape[1:] != arrays[0].shape[1:]:
            raise UserError(
                f"{clip.key}: frames are {arrays[-1].shape[1:]} where {clips[0].key} has "
                f"{arrays[0].shape[1:]}; crop the clips to one size, or all to grey, first"
            )
    length = np.array([len(frames) for frames in arrays], np.int32)
    out = np.empty((len(arrays), np.max(length), *arrays[0].shape[1:]), np.float32)
    for row, frames in zip(out, arrays):
        row[: len(frames)] = frames
        row[len(frames) :] = frames[-1]
    last = [n - 1 if clip.offset is None else clip.offset for clip, n in zip(clips, length)]
    return ClipBatch(
        frames=jnp.asarray(out),
        length=jnp.asarray(length),
        onset=jnp.array([clip.onset for clip in clips], jnp.int32),
        apex=jnp.array([-1 if c.apex is None else c.apex for c in clips], jnp.int32),
        offset=jnp.array(last, jnp.int32),
    )


def duplicates(clips: Iterable[Clip]) -> list[str]:
    """Keys that occur more than once."""
    seen, twice = set(), []
    for clip in clips:
        if clip.key in seen:
            twice.append(clip.key)
        seen.add(clip.key)
    return twice
