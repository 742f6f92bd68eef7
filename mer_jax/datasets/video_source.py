"""A user's own recording: a video file, a folder of frames, a picture, a camera, a rendered clip.

video = open_video("me.mp4")
for frame in video.frames(): ...      # [H, W, 3] uint8 RGB, one at a time
clip = video.clip                     # the same as a Clip, all frames in memory when read

The frames of a source have a constant rate. A recording whose rate varies is interpolated by its
timestamps, so that frame t is the face at t / fps seconds.
"""

import dataclasses
import decimal
import functools
import itertools
import math
import os
import pathlib
import re
import time
from collections.abc import Callable, Iterator

import numpy as np

from mer_jax import options
from mer_jax.clips import Clip
from mer_jax.datasets import folders
from mer_jax.errors import UserError
from mer_jax.io import reading, video_files

RENDERED, CAMERA = "synthetic:", "camera:"
_MAX_BYTES = 2**31  # of frames from a camera
_CLOCK_TOLERANCE = 0.25  # of a step: gaps this near to multiples of a step come from one clock
_EXACT_TOLERANCE = 0.1  # of a step: a frame this near to a tick is used as it is
_MAX_TICKS_PER_FRAME = 100  # ticks a frame, beyond which timestamps make no sense


@dataclasses.dataclass(frozen=True, eq=False)
class VideoSource:
    """Frames in their order, read anew each time `frames` is called."""

    name: str
    frames: Callable[[], Iterator[np.ndarray]]  # each [H, W, C] uint8, RGB or gray
    fps: float  # Hz; 0 where it is not known
    count: int  # frames, as the file announces them; 0 where it does not
    notes: list[str]  # irregularities, filled while it is read
    rendered: Clip | None = None  # a rendered clip, with its onset and apex

    @property
    def clip(self) -> Clip:
        """All frames as one clip, of an unknown subject."""
        if self.rendered:
            return self.rendered
        read = functools.partial(_stacked, self.frames)
        return Clip("footage", "unknown", self.name, read, emotion="", fps=self.fps or None)


def _stacked(frames: Callable[[], Iterator[np.ndarray]]) -> np.ndarray:
    return np.stack(list(frames()))


def open_video(
    source: str | os.PathLike, *, fps: float | None = None, seconds: float = 10.0
) -> VideoSource:
    """Opens a video file, a folder with one image a frame, a picture (one frame),
    "camera:INDEX", which is recorded now for `seconds`, or "synthetic:INDEX", a clip of
    `datasets.load("synthetic")`.

    Args:
      fps: Hz, where the file has none or a wrong one; its timestamps are then not used.

    Raises:
      UserError: there is nothing that can be read. `VideoSource.frames` raises it for damage
        that is found while reading.
    """
    if fps is not None:
        fps = options.check_value("fps", "fps", fps)
    seconds = options.check_value("seconds", "seconds", seconds)
    source = str(source)
    if source.startswith(RENDERED):
        return _from_synthetic(source, fps)
    if source.startswith(CAMERA):
        return _from_camera(source, fps, seconds)
    path = reading.expanded(source)
    if path.is_dir():
        return _folder(path, fps)
    if not path.is_file():
        raise UserError(
            f"{path}: there is no such file or folder (a camera is {CAMERA}INDEX, a rendered clip "
            f"{RENDERED}INDEX)"
        )
    suffix = path.suffix.lower()
    # Of a TIFF with several pictures FFmpeg reads the first alone: it is refused as a picture.
    is_tiff = suffix in (".tif", ".tiff")
    if suffix in folders.IMAGES and (is_tiff or folders.damage(path) != folders.ANIMATED):
        frame = folders.read_image(path)
        return VideoSource(path.name, functools.partial(iter, [frame]), fps or 0.0, 1, [])
    return _video(path, fps)


def _from_synthetic(source: str, fps: float | None) -> VideoSource:
    from mer_jax.datasets import load

    clips, index = load("synthetic"), source.removeprefix(RENDERED)
    if not index.isdigit() or int(index) >= len(clips):
        raise UserError(f"{source}: INDEX is a number from 0 to {len(clips) - 1}")
    clip = clips[int(index)]
    clip = dataclasses.replace(clip, fps=fps or clip.fps)
    frames = functools.partial(iter, clip.frames)
    return VideoSource(source, frames, clip.fps or 0.0, len(clip.frames), [], clip)


def _from_camera(source: str, fps: float | None, seconds: float) -> VideoSource:
    import cv2

    index = source.removeprefix(CAMERA)
    if not index.isdigit():
        raise UserError(f"{source}: INDEX is the camera's number, 0 for the first")
    camera = cv2.VideoCapture(int(index))
    if not camera.isOpened():
        raise UserError(
            f"{source} cannot be opened: is it plugged in, used by another program, or forbidden?"
        )
    frames, times, notes, num_bytes = [], [], [], 0
    try:
        while (got := camera.read())[0]:
            times.append(time.monotonic())
            frames.append(cv2.cvtColor(got[1], cv2.COLOR_BGR2RGB))
            num_bytes += frames[-1].nbytes
            if times[-1] - times[0] >= seconds:
                break
            if num_bytes > _MAX_BYTES:
                notes.append(
                    f"filmed {times[-1] - times[0]:.1f} s only: the memory limit is reached"
                )
                break
        else:
            if not frames:
                raise UserError(f"{source} gives no picture; is it used by another program?")
            notes.append(f"the camera stopped after {times[-1] - times[0]:.1f} s")
    finally:
        camera.release()
    # Measured: the rate that cameras report is often wrong.
    if fps:
        return VideoSource(source, functools.partial(iter, frames), fps, len(frames), notes)
    seconds_from_first = np.array(times) - times[0]
    timed = functools.partial(zip, seconds_from_first, frames)
    return _constant_rate(source, seconds_from_first, timed, notes, 0.0)


def _folder(path: pathlib.Path, fps: float | None) -> VideoSource:
    files = [pathlib.Path(e.path) for e in folders.list_entries(path) if e.is_file()]
    files = [file for file in files if file.suffix.lower() in folders.IMAGES]
    if not files:
        raise UserError(f"{path}: the folder holds no images ({', '.join(sorted(folders.IMAGES))})")
    decimals = _decimals(files)
    ordered = sorted(zip(decimals or map(_numbered, files), files))
    for (number, file), (next_number, following) in itertools.pairwise(ordered):
        if number == next_number:
            raise UserError(
                f"{path}: {file.name} and {following.name} are one frame by their names; remove "
                "one of them"
            )
    files = [file for _, file in ordered]
    frames = functools.partial(_pictures, files)
    notes = [] if decimals else _missing(files)
    return VideoSource(path.name, frames, fps or 0.0, len(files), notes)


def _numbered(file: pathlib.Path) -> list[int | str]:
    """By the numbers in the names: img100.jpg comes after img46.jpg."""
    parts = re.split(r"(\d+)", file.stem)
    return [int(part) if part.isdecimal() else part for part in parts]


def _decimals(files: list[pathlib.Path]) -> list[decimal.Decimal]:
    """The numbers of files like t0.25.png and t0.5.png; [] for other names.

    Fractions of several lengths are not padded, and none but .0 ends in 0. A counter's 10 does:
    take1.9.png and take1.10.png are no decimals, nor are take1.0009.png and take1.0010.png, nor
    take1.1.png, take1.3.png, ..., take1.11.png in even steps.
    """
    matches = [re.fullmatch(r"(.*?)(\d+)\.(\d+)", file.stem) for file in files]
    found = [match.groups() for match in matches if match]
    if len(found) < len(files) or len({prefix for prefix, _, _ in found}) > 1:
        return []
    wholes, fractions = ([row[at] for row in found] for at in (1, 2))
    several = len({*map(len, fractions)}) > 1
    padded = several and any(re.fullmatch(r"\d+0", fraction) for fraction in fractions)
    steps = set(np.diff(sorted(map(int, fractions))).tolist())
    counted = len(steps) == 1 and not any(fraction.startswith("0") for fraction in fractions)
    if padded or (len(set(wholes)) == 1 and (counted or not several)):
        return []
    return [decimal.Decimal(f"{whole}.{part}") for whole, part in zip(wholes, fractions)]


def _missing(files: list[pathlib.Path]) -> list[str]:
    """A note if frame numbers are missing between `files`, whose names differ in one number."""
    numbered = [re.split(r"(\d+)", file.stem) for file in files]
    varying = [i for i, parts in enumerate(zip(*numbered)) if len(set(parts)) > 1]
    if len({len(parts) for parts in numbered}) > 1 or len(varying) != 1 or varying[0] % 2 == 0:
        return []
    numbers = [int(parts[varying[0]]) for parts in numbered]
    steps = [after - before for before, after in itertools.pairwise(numbers)]
    smallest = max(1, min(steps))
    gaps = [index for index, step in enumerate(steps) if step > smallest]
    if not gaps:
        return []
    lost = sum(steps[index] // smallest - 1 for index in gaps)
    where = ", ".join(f"{files[i].name} and {files[i + 1].name}" for i in gaps[:3])
    more = ", ..." if len(gaps) > 3 else ""
    return [f"{lost} frame number(s) are missing, between {where}{more}; times do not count them"]


def _pictures(files: list[pathlib.Path]) -> Iterator[np.ndarray]:
    shape = None
    for file in files:
        frame = folders.read_image(file)
        shape = shape or frame.shape
        folders.check_size(file, frame, files[0].name, shape)
        yield frame


def _video(path: pathlib.Path, fps: float | None) -> VideoSource:
    """A video file, or an animated picture."""
    if path.suffix.lower() == ".webp":  # FFmpeg does not read animated ones
        times, announced_rate, announced = np.array([s for s, _ in _animated(path)]), 0.0, 0
    else:
        times, announced_rate, announced = video_files.timestamps(path)
    notes: list[str] = []
    frames = functools.partial(_decoded, path, announced, notes)
    if fps:
        return VideoSource(path.name, functools.partial(_untimed, frames), fps, len(times), notes)
    return _constant_rate(path.name, times, frames, notes, announced_rate)


def _decoded(
    path: pathlib.Path, announced: int, notes: list[str]
) -> Iterator[tuple[float, np.ndarray]]:
    """The frames of a file and their times (s); adds to `notes` what is not yet there."""
    count, found = 0, list[str]()
    animated = path.suffix.lower() == ".webp"
    try:
        for timed in _animated(path) if animated else video_files.decode(path, notes=found):
            count += 1
            yield timed
        if count < announced:
            found.append(f"only {count} of the {announced} frames the file announces can be read")
    finally:
        notes += [note for note in found if note not in notes]


def _animated(path: pathlib.Path) -> Iterator[tuple[float, np.ndarray]]:
    """The pictures of an animated WebP file and their times (s)."""
    from PIL import Image, ImageSequence

    milliseconds = 0
    try:
        with Image.open(path) as pictures:
            for picture in ImageSequence.Iterator(pictures):
                frame = np.asarray(picture.convert("RGB"))
                yield milliseconds / 1000, frame
                milliseconds += picture.info.get("duration", 0)
    except (OSError, ValueError, SyntaxError) as error:
        raise UserError(f"{path}: cannot be read as an animated picture ({error})") from None


_TimedFrames = Callable[[], Iterator[tuple[float, np.ndarray]]]


def _untimed(frames: _TimedFrames) -> Iterator[np.ndarray]:
    return (frame for _, frame in frames())


def _constant_rate(
    name: str, times: np.ndarray, frames: _TimedFrames, notes: list[str], announced_rate: float
) -> VideoSource:
    """Frames at `times` [T] (s) as a source of a constant rate, interpolated where it varies."""
    step, regular = clock(times)
    rate = 1 / step if step else announced_rate
    # The announced rate is exact, unlike timestamps in ms, unless it moves a frame by half of one.
    other = abs(rate / announced_rate - 1) if announced_rate else math.inf
    if other < 0.005 and other * len(times) < 0.5:
        rate = announced_rate
    if regular:
        return VideoSource(name, functools.partial(_untimed, frames), rate, len(times), notes)
    step = 1 / rate
    count = int(times[-1] / step + _EXACT_TOLERANCE) + 1
    if count > _MAX_TICKS_PER_FRAME * len(times):
        raise UserError(
            f"{name}: its timestamps make no sense ({len(times)} frames in {times[-1]:.0f} s, most "
            f"of them {step:.4f} s apart); give the frame rate in Hz"
        )
    longest = int(np.argmax(np.diff(times)))
    notes.append(
        f"the frame rate varies (longest gap {times[longest + 1] - times[longest]:.3g} s, at "
        f"{times[longest]:.2f} s); frames are interpolated by their timestamps at {rate:.4g} Hz"
    )
    read = functools.partial(_interpolated, frames, step)
    return VideoSource(name, read, rate, count, notes)


def clock(times: np.ndarray) -> tuple[float, bool]:
    """The step of a clock that ticks at `times` [T], and whether the times are regular.

    The step is the mean gap, with a longer one counted as several if each is about a multiple of
    the median gap, else the median gap. Regular times lie within half a step of tick 0, 1, 2, ...

    >>> clock(np.array([0.0, 0.033, 0.067, 0.1]))
    (0.03333..., True)
    >>> clock(np.array([0.0, 0.1, 0.2, 0.5]))
    (0.1, False)
    """
    gaps = np.diff(times)
    typical = float(np.median(gaps)) if len(gaps) else 0.0
    if typical <= 0:
        return 0.0, True
    ticks = np.maximum(1, np.round(gaps / typical))
    clocked = (ticks == 1).all() or np.abs(gaps / typical - ticks).max() < _CLOCK_TOLERANCE
    step = float(times[-1] - times[0]) / float(ticks.sum()) if clocked else typical
    late = times - times[0] - step * np.arange(len(times))
    return step, bool(np.abs(late).max() < step / 2)


def _interpolated(frames: _TimedFrames, step: float) -> Iterator[np.ndarray]:
    """Frames at 0, `step`, 2 `step`, ... s, each between its two neighbors in time, linearly."""
    ticks = itertools.count()
    at, before = step * next(ticks), None
    for time_, frame in frames():
        while at <= time_ + _EXACT_TOLERANCE * step:
            if before is None or at >= time_ - _EXACT_TOLERANCE * step:
                yield frame
            else:
                weight = np.float32((at - before[0]) / (time_ - before[0]))
                mean = before[1] + weight * (frame.astype(np.float32) - before[1])
                yield np.round(mean).astype(np.uint8)
            at = step * next(ticks)
        before = time_, frame
