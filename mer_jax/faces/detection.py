"""Detection of faces and eyes by the cascades of OpenCV's wheel: no model file, no network.

Frames are [H, W, C] uint8, or float32 in [0, 1] (or what `clips.to_float` makes that); boxes are
[4] px (x, y, width, height).
"""

import functools

import numpy as np

from mer_jax.clips import resize, to_uint8
from mer_jax.errors import UserError

_NOMINAL = np.array(
    [[0.31, 0.39], [0.67, 0.39]], np.float32
)  # eyes in a face's box; see nominal_eyes
_SMALLEST = 1 / 8  # width of the smallest face, of the frame's shorter side
_BORDER = 1 / 4  # width of the border around a tight crop, of the frame's longer side
_ROI = 160  # px: width of a face in which eyes are detected
_DETECTION = 480  # px of the longer side, in which faces are looked for
_APART = (0.30, 0.52)  # eyes' distances in a face's box that are plausible, of the box's width
_SURE = 20  # `neighbors` of a face that counts without detected eyes


def detect_faces(frame: np.ndarray, *, neighbors: int = 4) -> np.ndarray:
    """Detects upright frontal faces: square boxes [n, 4] float32, the largest first.

    Viola & Jones' cascade (OpenCV's frontalface_alt2). If it finds none, it is run again on the
    frame with its edge repeated around it, which finds faces that fill their frame, as in the
    databases' cropped images.

    Args:
      frame: [H, W, C] uint8, or float32 in [0, 1].
      neighbors: overlapping detections that a face needs. Upright faces have 30 or more, chins and
        mouths of upside-down ones 6 to 10 (on 13 clips of real people).

    Raises:
      UserError: OpenCV has no cascade classifier.
    """
    import cv2

    gray = to_gray(frame)
    border = round(_BORDER * max(gray.shape))
    for around in (0, border):
        image = cv2.copyMakeBorder(gray, around, around, around, around, cv2.BORDER_REPLICATE)
        smallest = max(20, round(_SMALLEST * min(gray.shape)))
        found = _cascade("haarcascade_frontalface_alt2.xml").detectMultiScale(
            image, 1.1, neighbors, minSize=(smallest, smallest)
        )
        if len(found):
            boxes = found.astype(np.float32) - np.array([around, around, 0, 0], np.float32)
            return boxes[np.argsort(-boxes[:, 2], kind="stable")]
    return np.zeros((0, 4), np.float32)


def detect_face(frame: np.ndarray) -> np.ndarray | None:
    """The largest of `detect_faces`, [4] float32, or None."""
    found = detect_faces(frame)
    return found[0] if len(found) else None


def is_sure(frame: np.ndarray, box: np.ndarray) -> bool:
    """Whether the face in a box of `detect_faces` is certain: found `_SURE` times near there."""
    sure = detect_faces(frame, neighbors=_SURE)
    middle, width = box[:2] + box[2:] / 2, box[2]
    off = np.linalg.norm(sure[:, :2] + sure[:, 2:] / 2 - middle, axis=-1)
    return bool(((off < width / 4) & (np.abs(sure[:, 2] / width - 1) < 0.5)).any())


def detect_eyes(frame: np.ndarray, box: np.ndarray) -> np.ndarray | None:
    """Detects the centers of both eyes: [2, 2] px (x, y), the image's left first, or None.

    Of the detections of the eye cascade in the box's upper part, the two nearest to
    `nominal_eyes(box)`, if both are within 0.15 of the box's width of it.

    Args:
      frame: [H, W, C] uint8, or float32 in [0, 1].
      box: [4] px, of a face in it.
    """
    import cv2

    gray = to_gray(frame)
    x, y, width, height = np.asarray(box, np.float64)
    left, top = max(0, round(x)), max(0, round(y))
    part = gray[top : max(0, round(y + 0.65 * height)), left : max(0, round(x + width))]
    if min(part.shape) < 2:
        return None
    zoom = max(1.0, _ROI / part.shape[1])
    part = cv2.resize(part, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC)
    smallest = round(zoom * width / 8)
    found = _cascade("haarcascade_eye.xml").detectMultiScale(
        part, 1.05, 3, minSize=(smallest, smallest)
    )
    if not len(found):
        return None
    corner, extent = found[:, :2], found[:, 2:]
    centers = (corner + (extent - 1) / 2 + 0.5) / zoom - 0.5 + (left, top)
    expected = nominal_eyes(box)
    distances = np.linalg.norm(centers[None] - expected[:, None], axis=-1)  # [2, found]
    if distances.min(1).max() > 0.15 * width:
        return None
    return centers[distances.argmin(1)].astype(np.float32)


def nominal_eyes(box: np.ndarray) -> np.ndarray:
    """The usual positions of the eyes in a box of `detect_face`, [2, 2] px (x, y).

    At 0.31 and 0.67 of the width and 0.39 of the height: near the mean of detected eyes in thirteen
    films of twelve real people (0.316, 0.657 and 0.390; they differ by 0.013), a little wider, for
    some have 0.29 and 0.75 (the astronaut of scikit-image). Rendered faces have 0.30, 0.70, 0.40.

    >>> nominal_eyes(np.array([10, 20, 100, 100]))
    array([[40.5, 58.5],
           [76.5, 58.5]], dtype=float32)
    """
    box = np.asarray(box, np.float32)
    return box[:2] + _NOMINAL * box[2:] - np.float32(0.5)


def find_eyes(frame: np.ndarray) -> np.ndarray:
    """The eyes of the faces in a frame, [n, 2, 2] px (x, y), the largest face first.

    Faces less than half as wide as the largest count as background. Eyes that are not detected,
    or not at a plausible distance, are placed by the box of a face that is certain. Where no face
    is found, a face with both eyes is looked for with the contrast stretched, and turned by 15
    degrees either way. Faces are looked for in a frame of at most 480 px, eyes in the frame itself.
    """
    import cv2

    rgb = to_rgb(frame)
    found = _eyes_in(rgb, need_eyes=False)
    for degrees in (0, -15, 15):
        if len(found):
            break
        turn, back = _turned(rgb.shape, degrees)
        low, high = np.percentile(rgb[::4, ::4], (1, 99))
        stretched = np.clip((rgb - low) * (255 / max(high - low, 1)), 0, 255).astype(np.uint8)
        stretched = cv2.warpAffine(stretched, turn, rgb.shape[1::-1])
        found = _eyes_in(stretched, need_eyes=True) @ back[:, :2].T + back[:, 2]
    return found.astype(np.float32)


def _turned(shape: tuple[int, ...], degrees: float) -> tuple[np.ndarray, np.ndarray]:
    """The turn about the middle of a frame, and back: [2, 3] each."""
    import cv2

    middle = (shape[1] - 1) / 2, (shape[0] - 1) / 2
    return cv2.getRotationMatrix2D(middle, degrees, 1), cv2.getRotationMatrix2D(middle, -degrees, 1)


def _eyes_in(frame: np.ndarray, *, need_eyes: bool) -> np.ndarray:
    """[n, 2, 2] px: the eyes of the near faces, by the box where they are not detected."""
    longest = _DETECTION // 2 if need_eyes else _DETECTION  # a second look may be coarse
    scale = min(1.0, longest / max(frame.shape[:2]))
    small = resize(frame[None], [max(1, round(scale * side)) for side in frame.shape[:2]])[0]
    boxes, sure = detect_faces(small), None
    eyes = []
    for box in boxes:
        if box[2] < boxes[0, 2] / 2:
            continue
        in_small, box = box, box / np.float32(scale)
        found = detect_eyes(frame, box)
        if found is not None:
            apart = float(np.hypot(*(found[1] - found[0]))) / box[2]
            found = found if _APART[0] <= apart <= _APART[1] else None
        if found is None and not need_eyes:
            sure = detect_faces(small, neighbors=_SURE) if sure is None else sure
            found = nominal_eyes(box) if (sure == in_small).all(1).any() else None
        if found is not None:
            eyes.append(found)
    return np.array(eyes, np.float32).reshape(-1, 2, 2)


def to_gray(frame: np.ndarray) -> np.ndarray:
    """[H, W, C] uint8, or float32 in [0, 1] -> [H, W] uint8."""
    import cv2

    return cv2.cvtColor(to_rgb(frame), cv2.COLOR_RGB2GRAY)


def to_rgb(frame: np.ndarray) -> np.ndarray:
    """[H, W, C] uint8, or float32 in [0, 1] -> [H, W, 3] uint8."""
    frame = to_uint8(frame, axes="HWC")
    return np.ascontiguousarray(np.broadcast_to(frame, (*frame.shape[:2], 3)))


@functools.cache
def _cascade(name: str):
    import cv2

    if not hasattr(cv2, "CascadeClassifier"):
        raise UserError(
            f"OpenCV {cv2.__version__} has no cascade classifier to find faces with; "
            "pip install 'opencv-python>=4.10,<5'"
        )
    import cv2.data

    cascade = cv2.CascadeClassifier()
    if not cascade.load(cv2.data.haarcascades + name):
        raise UserError(f"OpenCV {cv2.__version__} came without {name}; install opencv-python anew")
    return cascade
