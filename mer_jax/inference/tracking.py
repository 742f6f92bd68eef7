"""A video, frame by frame, to windows that show the face as the run's own clips do."""

import collections
import concurrent.futures
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np

from mer_jax import faces
from mer_jax.clips import check_finite, to_uint8
from mer_jax.errors import UserError
from mer_jax.inference.profile import DatasetProfile, match_profile

_FINEST = 6  # samples a pixel and side, where a large face is shrunk: their means


class Window(NamedTuple):
    """Some frames in a row."""

    start: int  # its first frame in the video
    frames: np.ndarray | None  # [n, H, W, C] uint8; None where there was no face


class FaceBox(NamedTuple):
    """Where the face is from a frame on."""

    start: int
    corners: np.ndarray | None  # [4, 2] px (x, y) of what is cut out; None: no face
    faces: int = 1  # how many there are


_Grid = tuple[np.ndarray, np.ndarray]  # where a cut's samples lie, as `cv2.remap` takes it
EyeDetector = Callable[[np.ndarray], np.ndarray]  # frame -> [n, 2, 2] px: each face's eyes (x, y)


def find_eyes(frame: np.ndarray) -> np.ndarray:
    """The eyes of the faces in a frame, [n, 2, 2] px (x, y), the largest face first.

    Faces less than half as wide as the largest are taken for background. Where a face's eyes are
    not found they are taken from its box.
    """
    boxes = faces.detect_faces(frame)
    near = [box for box in boxes if box[2] >= boxes[0, 2] / 2]
    found = [faces.detect_eyes(frame, box) for box in near]
    eyes = [faces.nominal_eyes(box) if e is None else e for box, e in zip(near, found)]
    return np.array(eyes, np.float32).reshape(-1, 2, 2)


def prefetch(frames: Iterable[np.ndarray], *, depth: int = 16) -> Iterator[np.ndarray]:
    """The same frames, read by another thread up to `depth` before they are asked for."""
    source: Iterator[Any] = iter(frames)
    end: Any = object()
    with concurrent.futures.ThreadPoolExecutor(1) as reader:
        waiting = collections.deque(reader.submit(next, source, end) for _ in range(depth))
        while (frame := waiting.popleft().result()) is not end:
            waiting.append(reader.submit(next, source, end))
            yield frame


class FaceTracker:
    """Cuts windows out of frames as they come.

    The face is looked for at every `every`-th frame, of several the largest and later the one that
    is nearest to it. What starts after that is cut out by it, all frames of a window alike: a cut
    that followed the face within a window would add motion of its own. `eye_detector` None takes frames
    whole.
    """

    def __init__(
        self,
        profile: DatasetProfile,
        *,
        length: int,
        stride: int,
        every: int,
        eye_detector: EyeDetector | None = find_eyes,
        first: int = 0,
        least: int = 1,
    ):
        """length, stride, every: frames. first: the first frame at which a window may start.

        least: frames that a video must have from there on. What has as many, but too few for a
        window, is one window.
        """
        self._profile, self._finder = profile, eye_detector
        self._length, self._stride, self._every, self._first = length, stride, every, first
        self._least = least
        self.face_boxes: list[FaceBox] = []
        self._before: np.ndarray | None = None  # [2, 2] px, the eyes found last
        self.count = 0  # frames seen

    def windows(self, frames: Iterable[np.ndarray]) -> Iterator[Window]:
        """frames: each [H, W, C] uint8, or float32 in [0, 1].

        Raises `UserError` where there are too few frames, or one is no picture.
        """
        open_parts: list[tuple[int, tuple | None, list]] = []  # start, grid, frames
        for number, frame in enumerate(frames):
            self.count = number + 1
            if number < self._first:
                continue
            if frame.dtype != np.uint8:
                check_finite(frame[None], first=number)
            frame = np.ascontiguousarray(to_uint8(frame, axes="HWC"))
            if (number - self._first) % self._every == 0:
                grid, corners, count = self._look(frame)
                self.face_boxes.append(FaceBox(number, corners, count))
                open_parts.append((number, grid, []))
            for _, grid, kept in open_parts:
                kept.append(self._cut(frame, grid))
            # The last window of a part starts before the next part does.
            if len(open_parts) > 1 and number + 1 == open_parts[1][0] + self._length - 1:
                yield from self._of_part(open_parts.pop(0), self._every)
        seen = self.count - self._first
        if seen < self._length:
            if seen < self._least:
                raise UserError(
                    f"{max(seen, 0)} frames from frame {self._first} on are too few, and "
                    f"{self._least} are needed; give a longer video, a shorter window or "
                    "other marks"
                )
            self._length = seen
        while open_parts:
            yield from self._of_part(open_parts.pop(0), self._every)

    def _of_part(self, part, span: int) -> Iterator[Window]:
        start, grid, kept = part
        film = None if grid is None and self._finder else np.stack(kept)
        for number in range(start, min(start + span, start + len(kept) - self._length + 1)):
            if (number - self._first) % self._stride == 0:
                at = number - start
                yield Window(number, None if film is None else film[at : at + self._length])

    def _look(self, frame: np.ndarray) -> tuple[_Grid | None, np.ndarray | None, int]:
        """(where the cut's samples lie, corners [4, 2], faces); None where there is no face."""
        height, width = frame.shape[:2]
        if self._finder is None:
            edge = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
            return None, edge - 0.5, 1
        found = self._finder(frame)
        if not len(found):
            return None, None, 0
        if self._profile.eyes is None:
            raise UserError(
                "the run's own clips show no eyes that could be found, so a face cannot be placed "
                "as theirs are; give frames that are cut like them, and say that they are"
            )
        if self._before is None:
            self._before = found[0]
        else:
            self._before = min(found, key=lambda eyes: np.linalg.norm(eyes - self._before))
        cut = faces.eye_rectangle(self._before, constants=self._profile.eyes)
        rows, columns = self._profile.size
        times = int(np.clip(np.ceil(float(cut.height) / rows), 1, _FINEST))
        face_boxes = np.asarray(faces.grid(cut, size=(rows * times, columns * times)))
        corner, across, down = (np.asarray(a) for a in (cut.corner, cut.across, cut.down))
        across, down = across * float(cut.width), down * float(cut.height)
        corners = corner + 0.5 + np.stack([0 * across, across, across + down, down])
        # As OpenCV would lay them down anew for each frame; it takes None for the second map.
        grid: Any = cv2.convertMaps(face_boxes, None, cv2.CV_16SC2)  # type: ignore[call-overload]
        return grid, corners, len(found)

    def _cut(self, frame: np.ndarray, grid: _Grid | None) -> np.ndarray | None:
        if grid is not None:
            frame = cv2.remap(
                frame, grid[0], grid[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
            frame = frame.reshape(*grid[0].shape[:2], -1)
        elif self._finder:
            return None
        return match_profile(frame, self._profile)
