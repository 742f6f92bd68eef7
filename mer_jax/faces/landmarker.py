"""Landmarks from a model file of the user's: none comes with the library.

    find = landmarker("shape_predictor_68_face_landmarks.dat")
    points = find(frame)                # [n, 68, 2] px, of n faces

The suffix names the kind of model, and the package that runs it:

    .dat          dlib's shape predictor        68 points         dlib
    .yaml, .yml   OpenCV's LBF                  68 points         opencv-contrib-python
    .onnx         YuNet                         5 points          opencv-python
    .task         MediaPipe's face landmarker   68 of its 478     mediapipe
"""

import importlib
import pathlib
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from mer_jax.clips import resize
from mer_jax.errors import UserError, unknown_name
from mer_jax.faces.detection import detect_faces, to_gray, to_rgb
from mer_jax.faces.points import in_profile
from mer_jax.io import reading

_Model = Callable[[np.ndarray], Iterable[np.ndarray]]
Landmarker = Callable[[np.ndarray], np.ndarray]  # frame -> [n, points, 2] px, the largest first

_YUNET = 640  # px of the longer side of a frame that YuNet gets
_FACES = 4  # faces that MediaPipe detects at most

# The points of MediaPipe's mesh that come nearest to the 68, in their order.
MESH = (
    *(162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389),  # jaw
    *(70, 63, 105, 66, 107, 336, 296, 334, 293, 300),  # brows
    *(168, 197, 5, 4, 98, 97, 2, 326, 327),  # nose
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),  # eyes
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181),  # lips, outside
    *(78, 81, 13, 311, 308, 402, 14, 178),  # and inside
)


def landmarker(path: str | pathlib.Path) -> Landmarker:
    """Loads a model: a function from a frame, [H, W, C] uint8 or float32 in [0, 1], to landmarks.

    It returns [n, 68, 2] px (x, y) float32 in the iBUG order, or [n, 5, 2] (left and right eye,
    nose, left and right corner of the mouth, as the image has them), of the n faces in the frame,
    the largest first. Faces in profile (`points.in_profile`) are left out: only one eye is seen.

    Raises:
      UserError: there is no such file, its suffix is none of those above, the package it needs is
        not installed, or the package cannot read it; later, if it fails on a frame.
    """
    path = reading.expanded(path)
    if path.suffix.lower() not in _KINDS:
        raise unknown_name("suffix of a landmark model", path.suffix, _KINDS)
    if not path.is_file():
        raise UserError(f"{path}: there is no such landmark model")
    model = _attempt(path, "cannot be read as a landmark model", _KINDS[path.suffix.lower()], path)

    def find(frame):
        return _largest_first(_attempt(path, "fails on a frame", lambda: list(model(frame))))

    return find


def _attempt(path: pathlib.Path, problem: str, function: Callable, *args):
    """function(*args), with every error as a `UserError`."""
    try:
        return function(*args)
    except UserError:
        raise
    except Exception as error:  # each package fails in its own way
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: {problem} ({reason})") from error


def _largest_first(faces: list[np.ndarray]) -> np.ndarray:
    """[n, P, 2] float32 without profiles, by the area around the points; [0, 68, 2] for none."""
    faces = [points for points in faces if not in_profile(points)]
    faces = sorted(faces, key=lambda points: -np.ptp(points, axis=0).prod())
    return np.stack(faces) if faces else np.zeros((0, 68, 2), np.float32)


def _dlib(path: pathlib.Path) -> _Model:
    dlib = _import("dlib", path)
    detector, predictor = dlib.get_frontal_face_detector(), dlib.shape_predictor(str(path))

    def find(frame):
        gray = to_gray(frame)
        for box in detector(gray, 1):
            parts = predictor(gray, box).parts()
            yield _check_68([(part.x, part.y) for part in parts], path)

    return find


def _lbf(path: pathlib.Path) -> _Model:
    import cv2

    if not hasattr(cv2, "face"):
        raise UserError(f"{path} needs OpenCV's face module; pip install opencv-contrib-python")
    model = cv2.face.createFacemarkLBF()
    model.loadModel(str(path))

    def find(frame):
        gray = to_gray(frame)
        for box in detect_faces(frame):
            fitted, points = model.fit(gray, box[None].astype(np.int32))
            if fitted:
                yield _check_68(points[0].reshape(-1, 2), path)

    return find


def _yunet(path: pathlib.Path) -> _Model:
    import cv2

    model = cv2.FaceDetectorYN.create(str(path), "", (320, 320))

    def find(frame):
        rgb = to_rgb(frame)
        scale = min(1.0, _YUNET / max(rgb.shape[:2]))  # it misses faces of over 400 px
        small = resize(rgb[None], [max(1, round(scale * side)) for side in rgb.shape[:2]])[0]
        model.setInputSize(small.shape[1::-1])
        _, rows = model.detect(np.ascontiguousarray(small[..., ::-1]))
        stretch = np.array(rgb.shape[1::-1], np.float32) / np.array(small.shape[1::-1], np.float32)
        for row in () if rows is None else rows:
            yield (row[4:14].reshape(5, 2) + np.float32(0.5)) * stretch - np.float32(0.5)

    return find


def _mediapipe(path: pathlib.Path) -> _Model:
    package = _import("mediapipe", path)
    vision: Any = importlib.import_module("mediapipe.tasks.python.vision")
    base = importlib.import_module("mediapipe.tasks.python").BaseOptions
    options = vision.FaceLandmarkerOptions(base(model_asset_path=str(path)), num_faces=_FACES)
    model = vision.FaceLandmarker.create_from_options(options)

    def close(model):
        try:  # noqa: SIM105  # at shutdown contextlib may be gone, as are MediaPipe's threads
            model.close()
        except Exception:
            pass

    model.__class__ = type("QuietModel", (vision.FaceLandmarker,), {"__del__": close})

    def find(frame):
        image = package.Image(image_format=package.ImageFormat.SRGB, data=to_rgb(frame))
        for mesh in model.detect(image).face_landmarks:
            points = np.array([(point.x, point.y) for point in mesh], np.float32)[list(MESH)]
            yield points * np.float32(frame.shape[1::-1]) - np.float32(0.5)

    return find


_KINDS: dict[str, Callable[[pathlib.Path], _Model]] = {
    ".dat": _dlib,
    ".yaml": _lbf,
    ".yml": _lbf,
    ".onnx": _yunet,
    ".task": _mediapipe,
}


def _import(package: str, path: pathlib.Path):
    try:
        return importlib.import_module(package)
    except ImportError:
        raise UserError(f"{path} needs {package}; pip install {package}") from None


def _check_68(points, path: pathlib.Path) -> np.ndarray:
    if len(points) != 68:
        raise UserError(f"{path} finds {len(points)} landmarks where 68 are needed")
    return np.asarray(points, np.float32)
