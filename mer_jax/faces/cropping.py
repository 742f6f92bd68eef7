"""A face: detected in one frame, and cropped in all frames of a clip or long video alike."""

import dataclasses
import functools
import math
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mer_jax.clips import LUMA_WEIGHTS, Clip, in_memory
from mer_jax.errors import UserError, unknown_name
from mer_jax.faces import detection, points
from mer_jax.faces.alignment import template
from mer_jax.faces.landmarker import Landmarker
from mer_jax.faces.rectangles import Rectangle, box_rectangle, eye_rectangle, grid, locate, own_size
from mer_jax.faces.sampling import sample
from mer_jax.recordings import Recording

CROPS = ("eyes", "box", "none")
_OUTSIDE = 0.2  # of a crop's area: where the frame's edge is repeated for more, a note says so
_LOOKED = 10  # frames of a recording in which a face is looked for
_CHUNK = 16  # frames at a time: bounds the memory, and one compilation serves clips of any length
_GRAY = LUMA_WEIGHTS.astype(np.float32)


@dataclasses.dataclass(frozen=True)
class CropConfig:
    """How a face is cropped.

    crop: "eyes" by the distance of the eyes (`eye_rectangle`), "box" the square around the face,
    "none" the whole frame. size: (H, W), None the crop's own. gray: one channel instead of three.
    align: the affine map that brings eye corners and nose (`points.STABLE`) nearest to those of
    `template`, before the crop. `faces.align` moves all 68 landmarks, as STRCN does; where eyes
    are closed or a mouth is open in the first frame, it folds the skin of the others.
    """

    crop: str = "eyes"
    size: tuple[int, int] | None = None
    gray: bool = False
    align: bool = False

    def __post_init__(self):
        if self.crop not in CROPS:
            raise unknown_name("crop", self.crop, CROPS)
        if self.size is not None and min(self.size) < 1:
            raise UserError(f"size={self.size}: a crop has at least one pixel")


def crop_face(
    clip: Clip, config: CropConfig, *, landmarker: Landmarker | None = None
) -> tuple[Clip, str]:
    """Reads a clip and crops its face, by the first frame for all frames.

    Landmarks are the clip's own or, where it has none, those of `landmarker`. Without either the
    face and eyes are detected. Where the crop is smaller than what it shows, pixels are means.

    Returns:
      The clip with frames in memory (uint8 stays uint8) and its landmarks moved along; and a note
      where a fallback replaced a failed detection, else "".

    Raises:
      UserError: no face was found, or 68 landmarks for the alignment are missing; the message does
        not name the clip.
    """
    if clip.content != "video" and config != CropConfig("none", config.size):
        raise UserError(f"its content is {clip.content}, not a face: give crop=none and no gray")
    frames = clip.frames
    rectangle, marks, transform, zoom, note = _find_face(
        frames[0], clip.landmarks, config, landmarker
    )
    size = config.size or own_size(rectangle)
    times = _oversampling(rectangle, size, zoom)
    places = transform(grid(rectangle, size=(size[0] * times, size[1] * times)))
    bounds = np.array(frames.shape[2:0:-1]) - 1
    if (outside := float(((places < 0) | (places > bounds)).any(-1).mean())) > _OUTSIDE:
        lies = f"{100 * outside:.0f} % of the crop lie outside of its frame"
        note = "; ".join(filter(None, [note, lies]))
    out = _cut(frames, places, times, gray=config.gray)
    if marks is not None:
        marks = locate(rectangle, marks, size=size)
    return dataclasses.replace(clip, read=in_memory(out), landmarks=marks), note


def _oversampling(rectangle: Rectangle, size: tuple[int, int], zoom: float = 1.0) -> int:
    """Samples of a pixel and side. Fewer samples than pixels would alias: texture seems to move.

    A crop of its own size is one to one, whatever it was rounded to.
    """
    sides = np.array([rectangle.height, rectangle.width])
    return max(1, math.ceil(zoom * float(np.max(sides / size)) - 0.05))


def _cut(frames: np.ndarray, places: jax.Array, times: int, *, gray: bool) -> np.ndarray:
    """Frames [T, H, W, C] at places [times h, times w, 2]: [T, h, w, C]."""
    parts = [frames[i : i + _CHUNK] for i in range(0, len(frames), _CHUNK)]
    short = _CHUNK - len(parts[-1])
    parts[-1] = np.pad(parts[-1], ((0, short), (0, 0), (0, 0), (0, 0)))
    gray = gray and frames.shape[-1] == 3
    out = np.concatenate([np.asarray(_resample(part, places, times, gray)) for part in parts])
    return out[: len(frames)]


def crop_recording(recording: Recording, config: CropConfig) -> Recording:
    """A long video cropped to its face: one crop for all frames, so that it adds no motion.

    It is that of the first frame with a face, of ten that are spread over the recording, and found
    when frames are first read: "eyes" by `find_eyes`, "box" by `detect_face`. Alignment needs
    landmarks, which recordings do not have.

    Raises:
      UserError: config.align; and, when frames are read, no face.

    >>> video = Recording("mine", "s", "v", lambda i, j: np.zeros((j - i, 9, 9, 1), np.uint8), 5, 9)
    >>> crop_recording(video, CropConfig("none", size=(4, 6)))[1:3].shape
    (2, 4, 6, 1)
    """
    if config.align:
        raise UserError(f"{recording.key}: a recording has no landmarks to align it by")
    read = CroppedRead(recording.read, recording.length, config, recording.key)
    return dataclasses.replace(recording, read=read)


@dataclasses.dataclass(frozen=True, eq=False)
class CroppedRead:
    """The `read` of `crop_recording`; its files and numbers are those of what it reads from."""

    frames_from: Callable[[int, int], np.ndarray]
    length: int
    crop: CropConfig
    key: str

    def __getattr__(self, name: str) -> Any:
        """What else is known of the frames: `files` or `path`, `numbers`, `gray`, `step`."""
        if name in ("files", "path", "numbers", "gray", "step"):
            return getattr(self.frames_from, name)
        raise AttributeError(name)

    @property
    def files_of_the_crop(self) -> list[pathlib.Path]:
        """The files of the frames in which a face is looked for, where each has its own."""
        files = getattr(self.frames_from, "files", ())
        return [files[at] for at in self._looked] if files and self.crop.crop != "none" else []

    @property
    def _looked(self) -> list[int]:
        return np.unique(np.linspace(0, self.length - 1, _LOOKED).astype(int)).tolist()

    def __call__(self, start: int, stop: int) -> np.ndarray:
        (top, bottom, left, right), places, times = self._places
        frames = self.frames_from(start, stop)[:, top:bottom, left:right]
        return _cut(frames, places, times, gray=self.crop.gray)

    @functools.cached_property
    def _places(self) -> tuple[tuple[int, int, int, int], jax.Array, int]:
        """Rows and columns that the crop needs, its places in them, and samples a pixel."""
        rectangle, shape = self._find()
        size = self.crop.size or own_size(rectangle)
        times = _oversampling(rectangle, size)
        places = np.asarray(grid(rectangle, size=(size[0] * times, size[1] * times)))
        # Whole frames can have thirty times as many pixels.
        low = np.clip(np.floor(places.min((0, 1))) - 1, 0, None).astype(int)
        high = np.clip(np.ceil(places.max((0, 1))) + 2, 2, None).astype(int)
        low = np.minimum(low, np.array(shape[1::-1]) - 1)
        places = (places - low).astype(np.float32)
        return (low[1], high[1], low[0], high[0]), places, times

    def _find(self) -> tuple[Rectangle, tuple[int, ...]]:
        """The crop, and the shape of the frame that has it."""
        looked = self._looked
        for at in looked:
            frame = self.frames_from(at, at + 1)[0]
            if self.crop.crop == "none":
                return _rectangle(frame, None, None, self.crop)[0], frame.shape
            if self.crop.crop == "eyes" and len(eyes := detection.find_eyes(frame)):
                return eye_rectangle(eyes[0]), frame.shape
            if self.crop.crop == "box" and (box := detection.detect_face(frame)) is not None:
                return box_rectangle(box), frame.shape
        raise UserError(
            f"{self.key}: no face was found in {len(looked)} frames from {looked[0]} to "
            f"{looked[-1]}; exclude it, or take the frames as they are stored (crop=none)"
        )


def _find_face(frame, marks, config, landmarker):
    """(rectangle, 68 landmarks in its plane, plane -> frame, px of the frame a px of it, note)."""
    here = lambda places: places
    five, several = None, ""
    if marks is None and landmarker is not None:
        found = landmarker(frame)
        if not len(found):
            raise UserError("no face was found in its first frame by the landmark model")
        marks, five = (found[0], None) if found.shape[1] == 68 else (None, found[0])
        eyes = points.eye_centers(found)
        several = _several(np.linalg.norm(eyes[:, 1] - eyes[:, 0], axis=-1))
    if config.align:
        if marks is None:
            raise UserError("it has no 68 landmarks to align it by; name a model that finds them")
        target = template(frame.shape[:2])
        slopes, shift = _affine(target, marks)
        zoom = float(np.sqrt(np.linalg.det(slopes)))
        plane = lambda positions: positions @ slopes + shift
        aligned = ((marks - shift) @ np.linalg.inv(slopes)).astype(np.float32)
        return _rectangle(frame, target, None, config)[0], aligned, plane, zoom, several
    rectangle, note = _rectangle(frame, marks, five, config)
    return rectangle, marks, here, 1.0, several or note


def _several(widths: np.ndarray) -> str:
    """A note on other faces that are at least half as wide as the first; "" if there are none."""
    count = int((widths >= widths[0] / 2).sum())
    return f"{count} faces in its first frame; the largest is cropped" if count > 1 else ""


def _rectangle(frame, marks, five, config) -> tuple[Rectangle, str]:
    if config.crop == "none":
        return box_rectangle(np.array([0, 0, *frame.shape[1::-1]], np.float32)), ""
    if marks is not None:
        _check_eyes(frame, points.eye_centers(marks))
        if config.crop == "box":
            return box_rectangle(points.face_box(marks)), ""
        return eye_rectangle(points.eye_centers(marks)), ""
    if five is not None and config.crop == "eyes":
        return eye_rectangle(points.eye_centers(five)), ""
    boxes = detection.detect_faces(frame)
    if not len(boxes):
        raise UserError("no face was found in its first frame")
    box, notes = boxes[0], list(filter(None, [_several(boxes[:, 2])]))
    if config.crop == "box":
        return box_rectangle(box), "; ".join(notes)
    eyes = detection.detect_eyes(frame, box)
    if eyes is None:
        # An uncertain face without eyes may be one that lies on its side or head.
        if not detection.is_sure(frame, box):
            raise UserError(
                "no eyes and no certain face were found in its first frame; is it upright? Else "
                "name a landmark model, or crop by the face's box (crop=box)"
            )
        eyes = detection.nominal_eyes(box)
        notes.append("eyes not found; taken from the face's box")
    return eye_rectangle(eyes), "; ".join(notes)


def _check_eyes(frame: np.ndarray, eyes: np.ndarray) -> None:
    """Raises `UserError` unless the eyes, [2, 2] px, are apart, in order and in the frame."""
    height, width = frame.shape[:2]
    middle = eyes.mean(0)
    if not (
        eyes[0, 0] < eyes[1, 0]
        and (middle >= 0).all()
        and (middle <= (width - 1, height - 1)).all()
    ):
        raise UserError(
            f"its landmarks have the eyes at {eyes.round(1).tolist()} px, which are no upright "
            f"face in a frame of {width} x {height} px"
        )


def _affine(target: np.ndarray, marks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """slopes [2, 2] and shift [2]: marks = target @ slopes + shift, least squares over `STABLE`.

    Raises `UserError` where the marks are no upright face.
    """
    stable = list(points.STABLE)
    ones = np.ones((len(stable), 1))
    terms = np.concatenate([target[stable], ones], 1).astype(np.float64)
    solved = np.linalg.lstsq(terms, marks[stable].astype(np.float64), rcond=None)[0]
    slopes, shift = solved[:2].astype(np.float32), solved[2].astype(np.float32)
    largest, smallest = np.linalg.svd(slopes, compute_uv=False)
    if np.linalg.det(slopes) <= 0 or smallest < largest / 3:
        raise UserError("the landmarks in its first frame are no upright face to align")
    return slopes, shift


@functools.partial(jax.jit, static_argnums=(2, 3))
def _resample(frames, places, times, gray):
    """Samples, means over times x times samples, and the frames' own type again."""
    out = sample(frames.astype(jnp.float32), places)  # in their own range, gray levels too
    length, height, width, channels = out.shape
    out = out.reshape(length, height // times, times, width // times, times, channels)
    out = out.mean((2, 4))
    if gray:
        out = jnp.matmul(out, _GRAY[:, None], precision=jax.lax.Precision.HIGHEST)
    if frames.dtype == jnp.uint8:
        out = jnp.round(jnp.clip(out, 0, 255))
    return out.astype(frames.dtype)
