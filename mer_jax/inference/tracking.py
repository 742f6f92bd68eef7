"""Face tracking: a video, frame by frame, to windows cropped like the run's own clips."""

import collections
import concurrent.futures
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np

from mer_jax import faces
from mer_jax.clips import check_finite, resize, to_uint8
from mer_jax.errors import UserError
from mer_jax.inference.profile import DatasetProfile, match_profile

_FINEST = 6  # samples a pixel and side, averaged, where a large face is shrunk
_STEADY = 0.08  # of the eyes' distance: a face that moved less keeps its crop; its size likewise
_ODD = 0.1  # change of the eyes' distance that a second detection has to confirm
_STEP = 1.5  # of the eyes' distance: how far a face moves between two detections, at most
_RATIO = 6  # frames in which blinks and speech are looked for, of those with a detection
_BLUR = 0.5  # px of the crop: standard deviation of the Gaussian that precedes the shrinking


class Window(NamedTuple):
    """Consecutive frames."""

    start: int  # its first frame in the video
    frames: np.ndarray | None  # [n, H, W, C] uint8; None without a face


class FaceBox(NamedTuple):
    """The position of the face from frame `start` on."""

    start: int
    corners: np.ndarray | None  # [4, 2] px (x, y) of the crop; None: no face
    num_faces: int = 1  # number of faces in the frame


class _Grid(NamedTuple):
    """The sample positions of a crop."""

    maps: tuple[np.ndarray, np.ndarray]  # as `cv2.remap` takes them
    oversampling: int  # samples per pixel of the crop, along each axis
    prescale: int  # px of the frame that are averaged to one px of the positions


# frame -> [n, 2, 2] px: each face's eyes (x, y); or its landmarks, as `faces.Landmarker` has them
EyeDetector = Callable[[np.ndarray], np.ndarray]


class Opening(NamedTuple):
    """Eyes and mouth in one frame, by 68 landmarks."""

    frame: int
    eyes: float  # `faces.eye_openness`
    mouth: float  # `faces.mouth_opening`


def prefetch(frames: Iterable[np.ndarray], *, depth: int = 16) -> Iterator[np.ndarray]:
    """The same frames, read by another thread up to `depth` frames ahead."""
    source: Iterator[Any] = iter(frames)
    end: Any = object()
    with concurrent.futures.ThreadPoolExecutor(1) as reader:
        pending = collections.deque(reader.submit(next, source, end) for _ in range(depth))
        while (frame := pending.popleft().result()) is not end:
            pending.append(reader.submit(next, source, end))
            yield frame


def _change(eyes: np.ndarray, others: np.ndarray) -> float:
    """How much the distance of two pairs of eyes differs, of the second's."""
    apart = [float(np.linalg.norm(pair[1] - pair[0])) for pair in (eyes, others)]
    return abs(apart[0] / max(apart[1], 1e-6) - 1)


class FaceTracker:
    """Crops windows of a stream of frames.

    The face is detected in every `every`-th frame: first the largest, later the nearest to the
    previous one, if it is near enough to be the same; the largest again once it was missed twice.
    Windows that start after it are cropped by it. All frames of a window have the same crop: one
    that followed the face within a window would add motion of its own. A face that hardly moved
    keeps its crop, and so does one that is missed once between two detections. Without an
    `eye_detector` frames are not cropped. One that gives 68 landmarks is called in six times as
    many frames, for `openings`.
    """

    def __init__(
        self,
        profile: DatasetProfile,
        *,
        length: int,
        stride: int,
        every: int,
        eye_detector: EyeDetector | None = faces.find_eyes,
        first: int = 0,
        min_frames: int = 1,
    ):
        """Starts a new video.

        Args:
          profile: of the run whose clips the windows are cropped like.
          length, stride: of the windows, frames; the last one ends with the video.
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
        self.openings: list[Opening] = []
        self._sample = max(1, every // _RATIO)
        self._eyes: np.ndarray | None = None  # [2, 2] px, those of the crop in use
        self._seen = np.zeros((2, 2), np.float32)  # px, as detected last
        self._found: tuple[_Grid | None, np.ndarray | None, int] = None, None, 0  # the last face
        self.num_frames = 0  # frames read

    def windows(self, frames: Iterable[np.ndarray]) -> Iterator[Window]:
        """Yields the windows of a video in their order; call it once.

        Args:
          frames: each [H, W, C] uint8, or float32 in [0, 1].

        Raises:
          UserError: for too few frames, or one that is not an image.
        """
        open_parts: list[tuple[int, _Grid | None, list]] = []  # start, grid, frames
        for number, frame in enumerate(frames):
            self.num_frames = number + 1
            if number < self._first:
                continue
            if frame.dtype != np.uint8:
                check_finite(frame[None], first=number)
            frame = np.ascontiguousarray(to_uint8(frame, axes="HWC"))
            passed = number - self._first
            looked = passed % self._every == 0 or (self.openings and passed % self._sample == 0)
            if looked:
                points = self._eye_detector(frame) if self._eye_detector else np.zeros((0, 2, 2))
            if passed % self._every == 0:
                grid, corners, count = self._detect(frame, points)
                last = self.face_boxes[-1:]
                if not count and last and last[0].num_faces:  # missed once: perhaps still there
                    grid, corners, _ = self._found
                elif not count and last and last[0].corners is not None:
                    self._eyes = None
                    self._lose(open_parts)
                self.face_boxes.append(FaceBox(number, corners, count))
                open_parts.append((number, grid, []))
            if looked and passed % self._sample == 0:
                self._measure_opening(number, points)
            cropped: dict[int, np.ndarray | None] = {}  # parts share their crops
            for _, grid, crops in open_parts:
                if id(grid) not in cropped:
                    cropped[id(grid)] = self._crop(frame, grid)
                crops.append(cropped[id(grid)])
            # The last window of a part starts before the next part does, and that of the video
            # not before the next part.
            if len(open_parts) > 1 and number + 1 >= open_parts[1][0] + self._length:
                yield from self._of_part(open_parts.pop(0))
        available = self.num_frames - self._first
        if available < self._length:
            if available < self._min_frames:
                raise UserError(
                    f"{max(available, 0)} frames from frame {self._first} on are too few, and "
                    f"{self._min_frames} are needed; give a longer video, a shorter window or "
                    "other marks"
                )
            self._length = available
        last = self.face_boxes[-1]
        if not last.num_faces and last.corners is not None:  # missed, and not seen again
            self._lose(open_parts)
        for part in open_parts:
            yield from self._of_part(part, final=self.num_frames - self._length)

    def _lose(self, open_parts: list[tuple[int, "_Grid | None", list]]) -> None:
        """The face of the last detection, cropped at its old place since, was not there."""
        self.face_boxes[-1] = self.face_boxes[-1]._replace(corners=None)
        open_parts[-1] = open_parts[-1][0], None, open_parts[-1][2]

    def _of_part(self, part, final: int | None = None) -> Iterator[Window]:
        """The windows that start in a part, and the `final` one, whatever the stride."""
        start, grid, crops = part
        frames = None if grid is None and self._eye_detector else np.stack(crops)
        for number in range(start, start + min(self._every, len(crops) - self._length + 1)):
            if (number - self._first) % self._stride == 0 or number == final:
                at = number - start
                yield Window(number, None if frames is None else frames[at : at + self._length])

    def _followed(self, points: np.ndarray) -> np.ndarray | None:
        """The landmarks of the face that is followed, at first the largest; None without it."""
        if self._eyes is None:
            return points[0] if len(points) else None
        apart = np.linalg.norm(self._seen[1] - self._seen[0])
        steps = [np.linalg.norm((faces.eye_centers(p) - self._seen).mean(0)) for p in points]
        near = steps and min(steps) <= _STEP * apart
        return points[int(np.argmin(steps))] if near else None

    def _measure_opening(self, number: int, points: np.ndarray) -> None:
        """Appends to `openings`, if there are 68 landmarks."""
        if points.shape[1] == 68 and (followed := self._followed(points)) is not None:
            eyes, mouth = faces.eye_openness(followed), faces.mouth_opening(followed)
            self.openings.append(Opening(number, float(eyes), float(mouth)))

    def _detect(
        self, frame: np.ndarray, points: np.ndarray
    ) -> tuple[_Grid | None, np.ndarray | None, int]:
        """(sample positions, corners [4, 2], number of faces); None without the face."""
        height, width = frame.shape[:2]
        if self._eye_detector is None:
            edge = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
            return None, edge - 0.5, 1
        followed = self._followed(points)
        if followed is None:
            return None, None, 0
        if self._profile.eyes is None:
            raise UserError(
                "no eyes were detected in the run's own clips, so a face cannot be cropped like "
                "them; give frames that are cropped already (--noface)"
            )
        nearest = faces.eye_centers(followed)
        if self._eyes is None:
            self._eyes = self._seen = nearest
        else:
            previous = self._eyes
            odd = min(_change(nearest, previous), _change(nearest, self._seen)) > _ODD
            self._seen = nearest
            moved = np.linalg.norm(nearest - previous, axis=-1).max()
            steady = moved < _STEADY * np.linalg.norm(previous[1] - previous[0])
            if self._found[2] and (odd or steady):
                return *self._found[:2], len(points)
            if _change(nearest, previous) < _STEADY:  # of the same size, but for the detector
                middle = nearest.mean(0)
                apart, before = (np.linalg.norm(pair[1] - pair[0]) for pair in (nearest, previous))
                nearest = middle + (nearest - middle) * (before / apart)
            self._eyes = nearest
        crop = faces.eye_rectangle(self._eyes, constants=self._profile.eyes)
        rows, columns = self._profile.size
        ratio = max(float(crop.height) / rows, float(crop.width) / columns)
        oversampling = int(np.clip(np.ceil(ratio), 1, _FINEST))
        prescale = max(1, int(ratio / _FINEST))
        positions = np.asarray(faces.grid(crop, size=(rows * oversampling, columns * oversampling)))
        positions = (positions + np.float32(0.5)) / np.float32(prescale) - np.float32(0.5)
        corner, across, down = (np.asarray(a) for a in (crop.corner, crop.across, crop.down))
        across, down = across * float(crop.width), down * float(crop.height)
        corners = corner + 0.5 + np.stack([0 * across, across, across + down, down])
        # Fixed-point maps, converted once; OpenCV takes None for the second map.
        maps: Any = cv2.convertMaps(positions, None, cv2.CV_16SC2)  # type: ignore[call-overload]
        self._found = _Grid(maps, oversampling, prescale), corners, len(points)
        return self._found

    def _crop(self, frame: np.ndarray, grid: _Grid | None) -> np.ndarray | None:
        if grid is not None:
            if grid.prescale > 1:
                small = [max(1, side // grid.prescale) for side in frame.shape[:2]]
                whole = [side * grid.prescale for side in small]  # a scale of exactly 1 / prescale
                frame = resize(frame[None, : whole[0], : whole[1]], small)[0]
            frame = cv2.remap(frame, *grid.maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            if grid.oversampling > 1:  # means alone alias: a shaken photograph would seem to move
                frame = cv2.GaussianBlur(frame, (0, 0), _BLUR * grid.oversampling)
            frame = frame.reshape(*grid.maps[0].shape[:2], -1)
        elif self._eye_detector:
            return None
        return match_profile(frame, self._profile)
