"""The records that cross rooms, and the letters of their axes.

    N clips    T frames    H rows    W columns    C channels
    K classes  F folds     B batch   E epochs

`Clip` lives on the host and reads its frames when asked; `ClipBatch` holds many on the device,
padded to one length. Frames are uint8 on the host or float32 in [0, 1] (`to_float` makes these of
those, in every function that takes pixels); displacements are in px, rates in Hz, instants in
frames counted from 0 at the clip's first frame.
"""

import dataclasses
import functools
import math
import numbers
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import chex
import jax
import jax.numpy as jnp
import numpy as np

from mer_jax.errors import UserError

_LONGEST = 2**15 - 1  # px of a side, the most that OpenCV takes
# How far a clip that was magnified and not saturated may lie outside of [0, 1]: the strongest alpha
# of the papers is 14. A face in grey levels of 0..255 is brighter: 16 is video's black.
MAGNIFIED = 15.0

Pixels = TypeVar("Pixels", np.ndarray, jax.Array)


@dataclasses.dataclass(frozen=True, eq=False)
class Clip:
    """One clip of one subject, as its database describes it.

    `read` returns the frames, [T, H, W, C] uint8 or float32 in [0, 1]; it is called each time
    `frames` is asked for, so that a database of any size can be listed. `content` says what the
    channels mean: "video" (1 grey or 3 RGB) or "flow" (one frame: u, v and strain as an image).
    Raises `UserError` for a "/" in `database` or `subject` (no two clips may have one key), and for
    instants that are no whole numbers from 0 in their order. An instant nobody knows is None.
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

    def __post_init__(self):
        for field in ("database", "subject", "name"):
            text = getattr(self, field)
            if not isinstance(text, str) or ("/" in text and field != "name"):
                raise UserError(
                    f"a clip's {field} is {text!r}; it is a string"
                    + ("" if field == "name" else ' without "/", which parts the words of its key')
                )
        self._check()
        for field in ("onset", "apex", "offset"):  # NumPy's whole numbers are none to JSON
            frame = getattr(self, field)
            object.__setattr__(self, field, None if frame is None else int(frame))

    def _check(self, length: int | None = None) -> None:
        try:
            check_instants(self.onset, self.apex, self.offset, length=length)
        except UserError as error:
            raise UserError(f"{self.key}: {error}") from None

    @property
    def frames(self) -> np.ndarray:
        """[T, H, W, C] uint8, or float32 in [0, 1], C = 1 or 3; read now.

        Raises `UserError` where `read` gives no such array (other dtypes become float32, see
        `to_float`), for a frame that holds NaN or infinity, and where an instant of a video lies
        past its last frame.
        """
        frames = np.asarray(self.read())
        try:
            _check_axes(frames, "THWC")
            if frames.dtype != np.uint8:
                check_finite(frames)
                frames = to_float(frames)
        except UserError as error:
            raise UserError(f"{self.key}: {error}") from None
        if self.content == "video":
            self._check(len(frames))
        return frames

    @property
    def key(self) -> str:
        """'database/subject/name': unique in a job, the same on every machine."""
        return f"{self.database}/{self.subject}/{self.name}"

    @property
    def subject_key(self) -> str:
        """'database/subject': subjects of two databases never collide."""
        return f"{self.database}/{self.subject}"


def in_memory(frames: np.ndarray) -> Callable[[], np.ndarray]:
    """The `read` of a clip whose frames are in memory already."""
    return functools.partial(np.asarray, frames)


def check_instants(
    onset: int, apex: int | None, offset: int | None, *, length: int | None = None
) -> None:
    """Raises `UserError` unless onset <= apex <= offset, each a whole number from 0.

    None stands for an apex or an offset that is not known. length: frames of the clip, beyond which
    none may lie; None where that is not known either.
    """
    named: dict[str, Any] = {"onset": onset, "apex": apex, "offset": offset}
    known = {name: at for name, at in named.items() if at is not None or name == "onset"}
    for name, at in known.items():
        if not isinstance(at, numbers.Integral) or int(at) < 0:
            raise UserError(
                f"{name} is {at!r}; it is the number of a frame, counted from 0"
                + ("" if name == "onset" else " (None: not known)")
            )
        if length is not None and int(at) >= length:
            raise UserError(f"{name} is {at}; the clip's frames are 0 to {length - 1}")
    if list(known.values()) != sorted(known.values()):
        words = ", ".join(f"{name} {at}" for name, at in known.items())
        raise UserError(f"{words}: a movement has them in the order onset, apex, offset")


@chex.dataclass(frozen=True)
class ClipBatch:
    """Clips of different length on the device. Frames past a clip's end repeat its last one."""

    frames: jax.Array  # [N, T, H, W, C] float32 in [0, 1]
    length: jax.Array  # [N] int32, frames that are real
    onset: jax.Array  # [N] int32
    apex: jax.Array  # [N] int32, -1 where unknown: an array has no None
    offset: jax.Array  # [N] int32, the last real frame where unknown


def to_float(frames: Pixels, *, axes: str = "", beyond: float = 1.0) -> Pixels:
    """Frames as floats in [0, 1]: the first line of every function that takes pixels.

    uint8 and uint16 are divided by their largest value, bool becomes 0 and 1. Other integers do not
    say where their range ends (a picture in int64 goes to 255 still) and are refused. So are floats
    that lie farther outside of [0, 1] than `beyond`, such as grey levels of 0..255. That costs a
    minimum and a maximum, in which NaN does not count; under jit, vmap and grad there are no
    numbers to look at, and the dtype and the shape alone are checked.

    Args:
      frames: a NumPy or a JAX array, and so is what is returned: float32, or JAX's float as it is.
      axes: a letter for each axis that `frames` has to have, "THWC" for a clip; a C at the end is
        1 or 3 channels, a c any number; "" takes any axes.
      beyond: MAGNIFIED for what takes clips that were magnified without saturation, infinity for
        what takes any numbers.

    Raises:
      UserError: another dtype, other axes, or floats out of range.
    """
    xp: Any = jnp if isinstance(frames, jax.Array) else np
    array = xp.asarray(frames)
    if axes:
        _check_axes(array, axes)
    if array.dtype in (np.uint8, np.uint16):
        top, whole = np.float32(np.iinfo(array.dtype).max), array.astype(np.float32)
        if xp is np:
            return whole / top
        # XLA multiplies by a rounded 1 / top; with what that leaves over (exact, as top + 1 is a
        # power of two) the quotient is NumPy's to the last bit.
        near = jax.lax.optimization_barrier(whole / top)
        return near + (near - (near * (top + 1) - whole)) / top
    if array.dtype == bool:
        return array.astype(np.float32)
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise UserError(
            f"frames of dtype {array.dtype}: they are uint8 (0 to 255), uint16, or float (0 to 1); "
            "convert them first"
        )
    if not isinstance(array, jax.core.Tracer) and beyond < math.inf:
        with jax.ensure_compile_time_eval():  # numbers, though a trace may be under way
            low, high = float(xp.nanmin(array, initial=0)), float(xp.nanmax(array, initial=1))
        if not -beyond <= low <= high <= 1 + beyond:
            raise UserError(
                f"frames from {low:g} to {high:g}: floats are in [0, 1]; give grey levels of "
                "0..255 as uint8, or divide them by 255"
            )
    return array if xp is jnp else array.astype(np.float32, copy=False)


def to_uint8(frames: np.ndarray, *, axes: str) -> np.ndarray:
    """Frames as uint8: the inverse of `to_float`, in 256 steps; beyond [0, 1] it cuts off."""
    _check_axes(frames, axes)
    if frames.dtype == np.uint8:
        return frames
    return np.round(np.clip(to_float(frames), 0, 1) * 255).astype(np.uint8)


def _check_axes(frames: Any, axes: str) -> None:
    shape, color = frames.shape, axes.endswith("C")
    if len(shape) == len(axes) and 0 not in shape and (not color or shape[-1] in (1, 3)):
        return
    hint = ", C = 1 (grey) or 3 (RGB)" if color else ""
    if 0 in shape:
        hint = ", none of them empty"
    elif len(shape) == len(axes) - 1:
        hint = "; grey ones get their channel by frames[..., None]"
    raise UserError(f"frames of shape {shape}: they are [{', '.join(axes.upper())}]{hint}")


def resize(frames: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """[T, H, W, C] -> [T, *size, C], area-averaged when shrinking and bilinear when growing.

    uint8 stays uint8, all else becomes float32 (`to_float`), of any range. Raises `UserError` for
    frames of other axes or none at all, and for a size that frames cannot have.
    """
    _check_axes(frames, "THWC")
    if frames.dtype != np.uint8:
        frames = to_float(frames, beyond=math.inf)
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


def check_finite(frames: np.ndarray, *, first: int = 0) -> None:
    """Raises `UserError` with the first of `frames` [T, ...] that holds NaN or infinity.

    first: the number of the first frame.
    """
    good = np.isfinite(frames).reshape(len(frames), -1).all(1)
    if not good.all():
        raise UserError(
            f"frame {first + int(np.argmin(good))} holds NaN or infinity; mend that frame, "
            "or leave the clip out"
        )


def stack(
    clips: Sequence[Clip], *, size: Sequence[int] | None = None, length: int | None = None
) -> ClipBatch:
    """Reads `clips` and lays them on the device as one `ClipBatch`, resized to `size` (H, W).

    length: frames of the batch, at least those of the longest clip; None: as many.
    Raises `UserError` where two clips differ in height, width or channels, for no clips at all, and
    as `Clip.frames` does.
    """
    if not len(clips):
        raise UserError("there are no clips to stack: the list is empty")
    arrays = []
    for clip in clips:
        frames = to_float(clip.frames)
        arrays.append(resize(frames, size) if size else frames)
        if arrays[-1].shape[1:] != arrays[0].shape[1:]:
            raise UserError(
                f"{clip.key}: frames are {arrays[-1].shape[1:]} where {clips[0].key} has "
                f"{arrays[0].shape[1:]}; crop the clips to one size, or all to grey, first"
            )
    lengths = np.array([len(frames) for frames in arrays], np.int32)
    longest = int(np.max(lengths)) if length is None else length
    if longest < np.max(lengths):
        raise UserError(f"length is {length}; the longest clip has {np.max(lengths)} frames")
    out = np.empty((len(arrays), longest, *arrays[0].shape[1:]), np.float32)
    for row, frames in zip(out, arrays):
        row[: len(frames)] = frames
        row[len(frames) :] = frames[-1]
    last = [n - 1 if clip.offset is None else clip.offset for clip, n in zip(clips, lengths)]
    return ClipBatch(
        frames=jnp.asarray(out),
        length=jnp.asarray(lengths),
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
