"""A video, frame by frame, to windows that show the face as the run's own clips do."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import cv2
import numpy as np

from mer_jax import faces
from mer_jax.predict.reference import Reference, fitted
from mer_jax.problems import UserError

_FINEST = 6  # samples a pixel and side, where a large face is shrunk: their means


class Window(NamedTuple):
    """Some frames in a row."""

    start: int  # its first frame in the video
    frames: np.ndarray | None  # [n, H, W, C] uint8; None where there was no face


class Place(NamedTuple):
    """Where the face is from a frame on."""

    start: int
    corners: np.ndarray | None  # [4, 2] px (x, y) of what is cut out; None: no face


Finder = Callable[[np.ndarray], np.ndarray | None]  # frame -> [2, 2] px eyes (x, y), left first


def find_eyes(frame: np.ndarray) -> np.ndarray | None:
    """The eyes of the largest face in a frame, [2, 2] px, or None where there is no face.

    Where the eyes themselves are not found they are taken from the face's box.
    """
    box = faces.detect_face(frame)
    if box is None:
        return None
    eyes = faces.detect_eyes(frame, box)
    return faces.nominal_eyes(box) if eyes is None else eyes


class Follower:
    """Cuts windows out of frames as they come.

    The face is looked for at every `every`-th frame, and what starts after that is cut out by it,
    all frames of a window alike: a cut that followed the face within a window would add motion of
    its own. `finder` None takes frames whole.
    """

    def __init__(
        self,
        reference: Reference,
        *,
        length: int,
        stride: int,
        every: int,
        finder: Finder | None = find_eyes,
        first: int = 0,
        least: int = 1,
    ):
        """length, stride, every: frames. first: the first frame at which a window may start.

        least: frames that a video must have from there on. What has as many, but too few for a
        window, is one window.
        """
        self._reference, self._finder = reference, finder
        self._length, self._stride, self._every, self._first = length, stride, every, first
        self._least = least
        self.places: list[Place] = []
        self.count = 0  # frames seen

    def windows(self, frames: Iterable[np.ndarray]) -> Iterator[Window]:
        """frames: each [H, W, C] uint8, or float32 in [0, 1].

        Raises `UserError` where there are too few frames, or one is no picture.
        """
        open_parts: list[tuple[int, np.ndarray | None, list]] = []  # start, grid, frames
        for number, frame in enumerate(frames):
            self.count = number + 1
            if number < self._first:
                continue
            frame = _uint8(frame)
            if (number - self._first) % self._every == 0:
                grid, corners = self._look(frame)
                self.places.append(Place(number, corners))
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

    def _look(self, frame: np.ndarray) -> tuple[np.ndarray | None, np.ndarray | None]:
        """(places of the cut's samples [h, w, 2], corners [4, 2]); None where there is no face."""
        height, width = frame.shape[:2]
        if self._finder is None:
            edge = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
            return None, edge - 0.5
        eyes = self._finder(frame)
        if eyes is None:
            return None, None
        if self._reference.eyes is None:
            raise UserError(
                "the run's own clips show no eyes that could be found, so a face cannot be placed "
                "as theirs are; give frames that are cut like them, and say that they are"
            )
        cut = faces.eye_rectangle(eyes, constants=self._reference.eyes)
        rows, columns = self._reference.size
        times = int(np.clip(np.ceil(float(cut.height) / rows), 1, _FINEST))
        grid = np.asarray(faces.grid(cut, size=(rows * times, columns * times)))
        corner, across, down = (np.asarray(a) for a in (cut.corner, cut.across, cut.down))
        across, down = across * float(cut.width), down * float(cut.height)
        return grid, corner + 0.5 + np.stack([0 * across, across, across + down, down])

    def _cut(self, frame: np.ndarray, grid: np.ndarray | None) -> np.ndarray | None:
        if grid is not None:
            frame = cv2.remap(
                frame, grid, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            ).reshape(*grid.shape[:2], -1)
        elif self._finder:
            return None
        return fitted(frame, self._reference)


def _uint8(frame: np.ndarray) -> np.ndarray:
    if frame.ndim != 3 or frame.shape[-1] not in (1, 3):
        raise UserError(f"a frame of shape {frame.shape} is no picture; it is [H, W, 1 or 3]")
    if frame.dtype == np.uint8:
        return np.ascontiguousarray(frame)
    return np.round(np.clip(frame, 0, 1) * 255).astype(np.uint8)
