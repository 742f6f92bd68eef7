"""Face tracking: a video, frame by frame, to windows cropped like the run's own clips."""

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

_FINEST = 6  # samples a pixel and side, averaged, where a large face is shrunk


class Window(NamedTuple):
    """Consecutive frames."""

    start: int  # its first frame in the video
    frames: np.ndarray | None  # [n, H, W, C] uint8; None without a face


class FaceBox(NamedTuple):
    """The position of the face from frame `start` on."""

    start: int
    corners: np.ndarray | None  # [4, 2] px (x, y) of the crop; None: no face
    faces: int = 1  # number of faces in the frame


_Grid = tuple[np.ndarray, np.ndarray]  # sample positions of a crop, as `cv2.remap` takes them
EyeDetector = Callable[[np.ndarray], np.ndarray]  # frame -> [n, 2, 2] px: each face's eyes (x, y)


def find_eyes(frame: np.ndarray) -> np.ndarray:
    """The eyes of the faces in a frame, [n, 2, 2] px (x, y), the largest face first.

    Faces less than half as wide as the largest count as background. Eyes that are not detected
    are placed by the face's box.
    """
    boxes = faces.detect_faces(frame)
    near = [box for box in boxes if box[2] >= boxes[0, 2] / 2]
    found = [faces.detect_eyes(frame, box) for box in near]
    eyes = [faces.nominal_eyes(box) if e is None else e for box, e in zip(near, found)]
    return np.array(eyes, np.float32).reshape(-1, 2, 2)


def prefetch(frames: Iterable[np.ndarray], *, depth: int = 16) -> Iterator[np.ndarray]:
    """The same frames, read by another thread up to `depth` frames ahead."""
    source: Iterator[Any] = iter(frames)
    end: Any = object()
    with concurrent.futures.ThreadPoolExecutor(1) as reader:
        pending = collections.deque(reader.submit(next, source, end) for _ in range(depth))
        while (frame := pending.popleft().result()) is not end:
            pending.append(reader.submit(next, source, end))
            yield frame


class FaceTracker:
    """Crops windows of a stream of frames.

    The face is detected in every `every`-th frame: first the largest, later the nearest to the
    previous one. Windows that start after it are cropped by it. All frames of a window have the
    same crop: one that followed the face within a window would add motion of its own.
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
        min_frames: int = 1,
    ):
        """Starts a new video.

        Args:
          profile: of the run whose clips the windows are cropped like.
          length, stride: of the windows, frames.
          every: frames between two detections.
          eye_detector: of `Predictor.predict_video`; None: frames are not cropped.
          first: the first frame at which a window may start.
          min_frames: frames that the video needs from there on; with fewer than `length` it is one
            window.
        """
        self._profile, self._eye_detector = profile, eye_detector
        self._length, self._stride, self._every, self._first = length, stride, every, first
        self._min_frames = min_frames
        self.face_boxes: list[FaceBox] = []
        self._eyes: np.ndarray | None = None  # [2, 2] px, as detected last
        self.num_frames = 0  # frames read

    def windows(self, frames: Iterable[np.ndarray]) -> Iterator[Window]:
        """Yields the windows of a video in their order; call it once.

        Args:
          frames: each [H, W, C] uint8, or float32 in [0, 1].

        Raises:
          UserError: for too few frames, or one that is not an image.
        """
        open_parts: list[tuple[int, tuple | None, list]] = []  # start, grid, frames
        for number, frame in enumerate(frames):
            self.num_frames = number + 1
            if number < self._first:
                continue
            if frame.dtype != np.uint8:
                check_finite(frame[None], first=number)
            frame = np.ascontiguousarray(to_uint8(frame, axes="HWC"))
            if (number - self._first) % self._every == 0:
                grid, corners, count = self._detect(frame)
                self.face_boxes.append(FaceBox(number, corners, count))
                open_parts.append((number, grid, []))
            for _, grid, crops in open_parts:
                crops.append(self._crop(frame, grid))
            # The last window of a part starts before the next part does.
            if len(open_parts) > 1 and number + 1 == open_parts[1][0] + self._length - 1:
                yield from self._of_part(open_parts.pop(0), self._every)
        available = self.num_frames - self._first
        if available < self._length:
            if available < self._min_frames:
                raise UserError(
                    f"{max(available, 0)} frames from frame {self._first} on are too few, and "
                    f"{self._min_frames} are needed; give a longer video, a shorter window or "
                    "other marks"
                )
            self._length = available
        while open_parts:
            yield from self._of_part(open_parts.pop(0), self._every)

    def _of_part(self, part, span: int) -> Iterator[Window]:
        start, grid, crops = part
        frames = None if grid is None and self._eye_detector else np.stack(crops)
        for number in range(start, min(start + span, start + len(crops) - self._length + 1)):
            if (number - self._first) % self._stride == 0:
                at = number - start
                yield Window(number, None if frames is None else frames[at : at + self._length])

    def _detect(self, frame: np.ndarray) -> tuple[_Grid | None, np.ndarray | None, int]:
        """(sample positions, corners [4, 2], number of faces); None without a face."""
        height, width = frame.shape[:2]
        if self._eye_detector is None:
            edge = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
            return None, edge - 0.5, 1
        found = self._eye_detector(frame)
        if not len(found):
            return None, None, 0
        if self._profile.eyes is None:
            raise UserError(
                "no eyes were detected in the run's own clips, so a face cannot be cropped like "
                "them; give frames that are cropped already (--noface)"
            )
        if self._eyes is None:
            self._eyes = found[0]
        else:
            self._eyes = min(found, key=lambda eyes: np.linalg.norm(eyes - self._eyes))
        crop = faces.eye_rectangle(self._eyes, constants=self._profile.eyes)
        rows, columns = self._profile.size
        times = int(np.clip(np.ceil(float(crop.height) / rows), 1, _FINEST))
        positions = np.asarray(faces.grid(crop, size=(rows * times, columns * times)))
        corner, across, down = (np.asarray(a) for a in (crop.corner, crop.across, crop.down))
        across, down = across * float(crop.width), down * float(crop.height)
        corners = corner + 0.5 + np.stack([0 * across, across, across + down, down])
        # Fixed-point maps, converted once; OpenCV takes None for the second map.
        grid: Any = cv2.convertMaps(positions, None, cv2.CV_16SC2)  # type: ignore[call-overload]
        return grid, corners, len(found)

    def _crop(self, frame: np.ndarray, grid: _Grid | None) -> np.ndarray | None:
        if grid is not None:
            frame = cv2.remap(
                frame, grid[0], grid[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
            frame = frame.reshape(*grid[0].shape[:2], -1)
        elif self._eye_detector:
            return None
        return match_profile(frame, self._profile)
