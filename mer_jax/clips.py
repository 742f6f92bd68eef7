"""Clips, and the letters of their axes.

    N clips    T frames    H rows    W columns    C channels
    K classes  F folds     B batch   E epochs

`Clip` is on the host and reads its frames on demand; `ClipBatch` holds many on the device, padded
to one length. Frames are uint8 on the host or float32 in [0, 1] (`to_float` converts, in every
function that takes pixels); displacements are in px, rates in Hz, instants in frames from 0, the
clip's first frame.
"""

import dataclasses
import functools
import math
import numbers
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import chex
import jax
import jax.numpy as jnp
import numpy as np

from mer_jax.errors import UserError, located
from mer_jax.keys import Keyed
from mer_jax.options import check_value

# Luma of RGB by ITU-R BT.601; cast it to the dtype of the frames.
LUMA_WEIGHTS = np.array([0.299, 0.587, 0.114])
_MAX_SIDE = 2**15 - 1  # px, of OpenCV's images
# How far a magnified, not saturated clip may lie outside of [0, 1]: the largest alpha of the papers
# is 14. A face in gray levels of 0..255 is brighter: black in video is 16.
MAGNIFIED_MARGIN = 15.0

Pixels = TypeVar("Pixels", np.ndarray, jax.Array)
Read = TypeVar("Read", bound=Callable[..., np.ndarray])


@dataclasses.dataclass(frozen=True, eq=False)
class Clip(Keyed):
    """One clip of one subject, as its database describes it.

    `read` returns the frames, [T, H, W, C] uint8 or float32 in [0, 1]; each access to `frames`
    calls it, so that a database of any size can be listed.

    Raises:
      UserError: for an empty `database`, `subject` or `name`, a "/" in one of the first two (keys
        are unique), an fps that is not above 0, instants that are not frame numbers in the order
        onset, apex, offset, and landmarks that are not [68, 2] or not finite.

    >>> frames = np.zeros((9, 8, 8, 1), np.uint8)
    >>> clip = Clip("mine", "s01", "smile", in_memory(frames), emotion="happiness", fps=200)
    >>> clip.key, clip.frames.shape, clip.apex
    ('mine/s01/smile', (9, 8, 8, 1), None)
    """

    read: Callable[[], np.ndarray]
    emotion: str  # as the database names it, lower case
    fps: float | None = None  # Hz; None where it is not known
    onset: int = 0  # frame in which the movement begins: its last still or its first moved one
    apex: int | None = None  # frame of the strongest movement; None where it is not known
    offset: int | None = None  # last frame of the movement; None: the last frame
    action_units: str = ""  # as the database writes them; `datasets.action_units` parses
    objective: str = ""  # "I" to "VII" where the database gives an objective class
    content: str = "video"  # gray or RGB; "flow": one frame, its channels are u, v and strain
    landmarks: np.ndarray | None = None  # [68, 2] px (x, y) in the first frame

    def __post_init__(self):
        super().__post_init__()
        if self.fps is not None:
            object.__setattr__(self, "fps", check_value(f"{self.key}: fps", "fps", self.fps))
        self._check()
        for field in ("onset", "apex", "offset"):  # JSON has no NumPy integers
            frame = getattr(self, field)
            object.__setattr__(self, field, None if frame is None else int(frame))

    def _check(self, length: int | None = None) -> None:
        with located(self.key):
            check_instants(self.onset, self.apex, self.offset, length=length)
            if self.landmarks is not None:
                check_axes(self.landmarks, "68 2", name="landmarks")
                check_finite(self.landmarks, axis="landmark")

    @property
    def frames(self) -> np.ndarray:
        """[T, H, W, C] uint8, or float32 in [0, 1], C = 1 or 3; read at each access.

        Other dtypes are converted by `to_float`.

        Raises:
          UserError: where `read` returns no such array, a frame has NaN or infinity, or an instant
            of a video is past its last frame.
        """
        frames = np.asarray(self.read())
        with located(self.key):
            check_axes(frames, "THWC")
            if frames.dtype != np.uint8:
                check_finite(frames)
                frames = to_float(frames)
        if self.content == "video":
            self._check(len(frames))
        return frames


def in_memory(frames: np.ndarray) -> Callable[[], np.ndarray]:
    """The `read` of a clip whose frames are in memory.

    >>> in_memory(np.ones((2, 4, 4, 1)))().shape
    (2, 4, 4, 1)
    """
    return functools.partial(np.asarray, frames)


def reading_from(read: Callable[..., np.ndarray], function: Read) -> Read:
    """`function`, which gives the frames of `read` in another way: see `source`."""
    function._mer_jax_source = read  # type: ignore[attr-defined]
    return function


def source(read: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """What the `read` of a clip or recording gets its frames from, behind `reading_from`.

    >>> first = in_memory(np.zeros((2, 4, 4, 1), np.uint8))
    >>> source(reading_from(first, lambda: first())) is first
    True
    """
    while hasattr(read, "_mer_jax_source"):
        read = read._mer_jax_source
    return read


def check_instants(
    onset: int, apex: int | None, offset: int | None, *, length: int | None = None
) -> None:
    """Checks that 0 <= onset <= apex <= offset.

    Args:
      onset, apex, offset: frames from 0; None for an unknown apex or offset.
      length: number of frames of the clip, which all must be below; None where it is not known.

    Raises:
      UserError: where they are not integers in this order and range.
    """
    instants: dict[str, Any] = {"onset": onset, "apex": apex, "offset": offset}
    known = {name: at for name, at in instants.items() if at is not None or name == "onset"}
    for name, at in known.items():
        if not isinstance(at, numbers.Integral) or isinstance(at, bool) or int(at) < 0:
            raise UserError(
                f"{name} is {at!r}; it must be a frame number, from 0"
                + ("" if name == "onset" else " (None: not known)")
            )
        if length is not None and int(at) >= length:
            raise UserError(f"{name} is {at}; the clip's frames are 0 to {length - 1}")
    if list(known.values()) != sorted(known.values()):
        order = ", ".join(f"{name} {at}" for name, at in known.items())
        raise UserError(f"{order}: they must be in the order onset, apex, offset")


@chex.dataclass(frozen=True)
class ClipBatch:
    """Clips of different lengths on the device, each padded by its last frame."""

    frames: jax.Array  # [N, T, H, W, C] float32 in [0, 1]
    length: jax.Array  # [N] int32, frames without padding
    onset: jax.Array  # [N] int32
    apex: jax.Array  # [N] int32, -1 where unknown
    offset: jax.Array  # [N] int32, length - 1 where unknown


def to_float(
    frames: Pixels, *, axes: str = "", margin: float = 1.0, name: str = "frames", min_size: int = 1
) -> Pixels:
    """Frames as floats in [0, 1]: the first step of every function that takes pixels.

    uint8 and uint16 are divided by their largest value, bool becomes 0 and 1. Other integers are
    refused, as their dtype does not give their range (an int64 image usually goes to 255). So are
    floats farther than `margin` outside of [0, 1], such as gray levels of 0..255; NaN is ignored.
    Traced arrays have no values: of them only dtype and shape are checked.

    Args:
      frames: a NumPy or JAX array.
      axes, name, min_size: see `check_axes`; "": any axes.
      margin: `MAGNIFIED_MARGIN` for functions that take magnified, not saturated clips; infinity
        for functions of any numbers.

    Returns:
      An array of the same library and shape: float32, or the float dtype of a JAX array.

    Raises:
      UserError: for another dtype, other axes, or floats out of range.

    >>> to_float(np.array([0, 51, 255], np.uint8))
    array([0. , 0.2, 1. ], dtype=float32)
    """
    xp: Any = jnp if isinstance(frames, jax.Array) else np
    array = xp.asarray(frames)
    if axes:
        check_axes(array, axes, name=name, min_size=min_size)
    if array.dtype in (np.uint8, np.uint16):
        top, levels = np.float32(np.iinfo(array.dtype).max), array.astype(np.float32)
        if xp is np:
            return levels / top
        # XLA multiplies by a rounded 1 / top. A correction by the remainder (exact, as top + 1 is a
        # power of two) gives the quotient of NumPy to the last bit.
        near = jax.lax.optimization_barrier(levels / top)
        return near + (near - (near * (top + 1) - levels)) / top
    if array.dtype == bool:
        return array.astype(np.float32)
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise UserError(
            f"{name} of dtype {array.dtype}: expected uint8 (0 to 255), uint16, or float (0 to 1); "
            "convert them first"
        )
    if not isinstance(array, jax.core.Tracer) and margin < math.inf:
        with jax.ensure_compile_time_eval():  # values, also during a trace
            low, high = float(xp.nanmin(array, initial=0)), float(xp.nanmax(array, initial=1))
        if not -margin <= low <= high <= 1 + margin:
            raise UserError(
                f"{name} from {low:g} to {high:g}: floats are in [0, 1]; give gray levels of "
                "0..255 as uint8, or divide them by 255"
            )
    return array if xp is jnp else array.astype(np.float32, copy=False)


def to_uint8(frames: np.ndarray, *, axes: str) -> np.ndarray:
    """Frames as uint8, rounded and clipped: the inverse of `to_float`.

    Args:
      frames: NumPy, as for `to_float`.
      axes: see `check_axes`.

    Raises:
      UserError: as `to_float`.

    >>> to_uint8(np.array([0.0, 0.2, 1.5]), axes="T")
    array([  0,  51, 255], dtype=uint8)
    """
    check_axes(frames, axes)
    if frames.dtype == np.uint8:
        return frames
    return np.round(np.clip(to_float(frames), 0, 1) * 255).astype(np.uint8)


def check_axes(array: Any, axes: str, *, name: str = "frames", min_size: int = 1) -> None:
    """Checks the shape of an array.

    Args:
      array: a NumPy, JAX or traced array.
      axes: a letter or a number for each axis, as "THWC", "HW2" or "68 2". A number is the axis'
        exact size; a C at the end is 1 or 3 channels; "..." stands for any axes.
      name: of the array, for the message.
      min_size: the smallest size of H and W, px; other axes have 1 or more.

    Raises:
      UserError: for another shape.

    >>> check_axes(np.zeros((9, 8, 8, 1)), "THWC")
    >>> check_axes(np.zeros((2, 8, 8)), "HW2", name="flow")
    Traceback (most recent call last):
    mer_jax.errors.UserError: flow of shape (2, 8, 8): expected [H, W, 2]
    """
    shape, parts = np.shape(array), re.findall(r"\.\.\.|\d+|\w", axes)
    names = list(parts)
    if "..." in names:
        at = names.index("...")
        names[at : at + 1] = ["any"] * (len(shape) - len(names) + 1)
    smallest = {"H": min_size, "W": min_size}

    def fits(axis: str, size: int) -> bool:
        if axis == "C":
            return size in (1, 3)
        return size == int(axis) if axis.isdigit() else size >= smallest.get(axis, 1)

    if len(names) == len(shape) and all(map(fits, names, shape)):
        return
    hint = ", C = 1 (gray) or 3 (RGB)" if "C" in axes else ""
    hint += f", H and W at least {min_size}" if min_size > 1 else ""
    if 0 in shape:
        hint = ", none of them empty"
    elif len(shape) == len(names) - 1 and axes[-1] in "Cc":
        hint = f"; add the channel axis of gray {name} by [..., None]"
    raise UserError(f"{name} of shape {shape}: expected [{', '.join(parts).upper()}]{hint}")


def resize(frames: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Resizes frames: by area averages along an axis that shrinks, linearly along one that grows.

    Args:
      frames: [T, H, W, C], uint8 or as for `to_float`, floats of any range.
      size: height and width, px.

    Returns:
      [T, *size, C], uint8 for uint8 and else float32.

    Raises:
      UserError: for frames of other axes, or a size that frames cannot have.

    >>> resize(np.zeros((2, 8, 8, 3), np.uint8), (4, 6)).shape
    (2, 4, 6, 3)
    """
    check_axes(frames, "THWC")
    if frames.dtype != np.uint8:
        frames = to_float(frames, margin=math.inf)
    if frames.shape[1:3] == tuple(size):
        return frames
    if len(size) != 2 or not all(side in range(1, _MAX_SIDE + 1) for side in size):
        raise UserError(f"size is {size}; it must be two integers, 1 to {_MAX_SIDE} px")
    import cv2

    height, width = size
    smaller = min(height, frames.shape[1]), min(width, frames.shape[2])

    def resized(frame):
        if smaller != frame.shape[:2]:
            frame = cv2.resize(frame, smaller[::-1], interpolation=cv2.INTER_AREA)
        if smaller != (height, width):
            frame = cv2.resize(frame, (width, height), interpolation=cv2.INTER_LINEAR)
        return frame

    out = [resized(frame) for frame in frames]
    return np.stack(out).reshape(len(frames), height, width, frames.shape[3])


def check_finite(
    frames: Any, *, length: int | jax.Array | None = None, axis: str = "frame", first: int = 0
) -> None:
    """Checks that an array has no NaN or infinity; traced arrays have no values to check.

    Args:
      frames: [T, ...].
      length: number of frames to check, default all.
      axis: of T, for the message.
      first: the number of the first frame, for the message.

    Raises:
      UserError: with the number of the first bad frame.

    >>> check_finite(np.array([[0.0], [np.nan]]))
    Traceback (most recent call last):
    mer_jax.errors.UserError: frame 1 holds NaN or infinity; correct that frame, or leave it out
    """
    if isinstance(frames, jax.core.Tracer) or isinstance(length, jax.core.Tracer):
        return
    good = np.isfinite(np.asarray(frames)[:length]).reshape(len(frames[:length]), -1).all(1)
    if not good.all():
        number = first + int(np.argmin(good))
        raise UserError(
            f"{axis} {number} holds NaN or infinity; correct that {axis}, or leave it out"
        )


def check_frame_shapes(
    key: str, shape: tuple[int, ...], other: str, other_shape: tuple[int, ...]
) -> None:
    """Raises `UserError` where the frames (H, W, C) of a clip and of another one differ."""
    if shape != other_shape:
        raise UserError(
            f"{key}: frames are {shape} where {other} has {other_shape}; crop the clips to one "
            "size, or all to gray, first"
        )


def stack(
    clips: Sequence[Clip],
    *,
    size: Sequence[int] | None = None,
    length: int | None = None,
    to_rgb: bool = False,
) -> ClipBatch:
    """Reads clips and puts them on the device.

    Args:
      clips: N clips, of equal height, width and channels unless resized.
      size: height and width to resize to, px; default: no resizing.
      length: frames to pad to, at least those of the longest clip, which is the default.
      to_rgb: repeat gray frames over three channels.

    Returns:
      A `ClipBatch`.

    Raises:
      UserError: where two clips differ in height, width or channels, for an empty list, and as
        `Clip.frames`.

    >>> clips = [Clip("d", "s", f"c{n}", in_memory(np.ones((n, 8, 8, 1))), "") for n in (3, 5)]
    >>> batch = stack(clips, size=(4, 4))
    >>> batch.frames.shape, batch.length.tolist(), batch.apex.tolist()
    ((2, 5, 4, 4, 1), [3, 5], [-1, -1])
    """
    if not len(clips):
        raise UserError("there are no clips to stack: the list is empty")
    arrays = []
    for clip in clips:
        frames = to_float(clip.frames)
        frames = resize(frames, size) if size else frames
        is_gray = frames.shape[-1] == 1
        arrays.append(np.repeat(frames, 3, axis=-1) if to_rgb and is_gray else frames)
        check_frame_shapes(clip.key, arrays[-1].shape[1:], clips[0].key, arrays[0].shape[1:])
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
