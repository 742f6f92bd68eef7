"""A user's own recording: a video file, a folder of frames, a picture, a camera, a rendered clip.

video = find("me.mp4")
for frame in video.frames(): ...      # [H, W, 3] uint8 RGB, one at a time
clip = video.clip                     # the same as a Clip, all frames in memory when read
"""

import dataclasses
import functools
import os
import pathlib
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from mer_jax import options
from mer_jax.clips import Clip
from mer_jax.datasets import folders
from mer_jax.errors import UserError

_STILL = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"}
RENDERED, CAMERA = "synthetic:", "camera:"
_MOST = 2**31  # bytes of frames that a camera fills
_UNSTEADY = "the frame rate varies; all times assume {:.4g} Hz"
_UNEVEN = 0.25  # of a frame's duration: timestamps that stray by more are no constant rate


@dataclasses.dataclass(frozen=True, eq=False)
class VideoSource:
    """Frames in their order, read anew each time `frames` is called."""

    name: str
    frames: Callable[[], Iterator[np.ndarray]]  # each [H, W, C] uint8, RGB or grey
    fps: float  # Hz; 0 where it is not known
    count: int  # frames, as the file announces them; 0 where it does not
    notes: list[str]  # irregularities, filled while it is read
    marked: Clip | None = None  # of a rendered clip, with its onset and apex

    @property
    def clip(self) -> Clip:
        """The whole video as one clip without a subject."""
        if self.marked:
            return self.marked
        read = functools.partial(_stacked, self.frames)
        return Clip("footage", "unknown", self.name, read, emotion="", fps=self.fps or None)


def _stacked(frames: Callable[[], Iterator[np.ndarray]]) -> np.ndarray:
    return np.stack(list(frames()))


def find(
    source: str | os.PathLike, *, fps: float | None = None, seconds: float = 10.0
) -> VideoSource:
    """What `source` names: a video file, a folder with one image a frame, a picture (one frame),
    "camera:INDEX", which is filmed now for `seconds`, or "synthetic:INDEX", a clip of
    `datasets.load("synthetic")`.

    fps: Hz, where the file does not say it or is wrong. Raises `UserError` where there is nothing
    that can be read; `frames` raises it for what turns out to be broken on the way.
    """
    if fps is not None:
        fps = options.check_value("fps", "fps", fps)
    seconds = options.check_value("seconds", "seconds", seconds)
    source = str(source)
    if source.startswith(RENDERED):
        return _rendered(source, fps)
    if source.startswith(CAMERA):
        return _filmed(source, fps, seconds)
    path = pathlib.Path(source).expanduser()
    if path.is_dir():
        return _folder(path, fps)
    if not path.is_file():
        raise UserError(
            f"{path}: there is no such file or folder (a camera is {CAMERA}INDEX, a rendered clip "
            f"{RENDERED}INDEX)"
        )
    if path.suffix.lower() in _STILL:
        frame = folders.read_image(path)
        return VideoSource(path.name, functools.partial(iter, [frame]), fps or 0.0, 1, [])
    return _video(path, fps)


def _rendered(source: str, fps: float | None) -> VideoSource:
    from mer_jax.datasets import load

    clips, index = load("synthetic"), source.removeprefix(RENDERED)
    if not index.isdigit() or int(index) >= len(clips):
        raise UserError(f"{source}: INDEX is a number from 0 to {len(clips) - 1}")
    clip = clips[int(index)]
    clip = dataclasses.replace(clip, fps=fps or clip.fps)
    frames = functools.partial(iter, clip.frames)
    return VideoSource(source, frames, clip.fps or 0.0, len(clip.frames), [], clip)


def _filmed(source: str, fps: float | None, seconds: float) -> VideoSource:
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
            if num_bytes > _MOST:
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
    rate = fps or (len(times) - 1) / max(times[-1] - times[0], 1e-9)
    if uneven(times):
        notes.append(_UNSTEADY.format(rate))
    return VideoSource(source, functools.partial(iter, frames), float(rate), len(frames), notes)


def _folder(path: pathlib.Path, fps: float | None) -> VideoSource:
    files = [pathlib.Path(e.path) for e in folders.visible(path) if e.is_file()]
    files = [file for file in files if file.suffix.lower() in _STILL]
    if not files:
        raise UserError(f"{path}: the folder holds no images ({', '.join(sorted(_STILL))})")
    # By the numbers in the names: img100.jpg comes after img46.jpg.
    order = lambda file: [
        int(part) if part.isdigit() else part for part in re.split(r"(\d+)", file.name)
    ]
    files.sort(key=order)
    return VideoSource(path.name, functools.partial(_pictures, files), fps or 0.0, len(files), [])


def _pictures(files: list[pathlib.Path]) -> Iterator[np.ndarray]:
    shape = None
    for file in files:
        frame = folders.read_image(file)
        if shape and frame.shape != shape:
            raise UserError(
                f"{file}: is {frame.shape[0]} x {frame.shape[1]} where {files[0].name} is "
                f"{shape[0]} x {shape[1]}; the frames of a clip have one size"
            )
        shape = frame.shape
        yield frame


def _video(path: pathlib.Path, fps: float | None) -> VideoSource:
    import cv2

    film = _opened(path)
    rate = fps or film.get(cv2.CAP_PROP_FPS) or 0.0
    count = max(0, int(film.get(cv2.CAP_PROP_FRAME_COUNT)))
    film.release()
    notes: list[str] = []
    frames = functools.partial(_played, path, rate, count, notes)
    return VideoSource(path.name, frames, float(rate), count, notes)


def _opened(path: pathlib.Path) -> Any:
    import cv2

    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # one sentence of ours is enough
    film = cv2.VideoCapture(str(path))
    if not film.isOpened():
        raise UserError(f"{path}: cannot be read as a video; convert it to .mp4 or to images")
    return film


def _played(path: pathlib.Path, rate: float, count: int, notes: list[str]) -> Iterator[np.ndarray]:
    import cv2

    film, times = _opened(path), []
    notes.clear()
    try:
        while (got := film.read())[0]:
            times.append(film.get(cv2.CAP_PROP_POS_MSEC) / 1000)
            yield cv2.cvtColor(got[1], cv2.COLOR_BGR2RGB)
    finally:
        film.release()
    if not times:
        raise UserError(f"{path}: not one frame of this video can be read")
    if len(times) < 0.9 * count:
        notes.append(f"only {len(times)} of the {count} frames the file announces can be read")
    if uneven(times):
        notes.append(_UNSTEADY.format(rate))


def uneven(times: list[float]) -> bool:
    """True where instants in seconds are no ticks of one clock."""
    if len(times) < 3 or times[-1] <= times[0]:
        return False
    step = (times[-1] - times[0]) / (len(times) - 1)
    ticks = times[0] + step * np.arange(len(times))
    return bool(np.abs(np.diff(times) - step).max() > _UNEVEN * step + 2e-3) and bool(
        np.abs(times - ticks).max() > step
    )
