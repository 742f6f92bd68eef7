"""Landmarks from a model file of the user's: none comes with the library.

    find = landmarker("shape_predictor_68_face_landmarks.dat")
    points = find(frame)

The ending of the file says whose it is:

    .dat          dlib's shape predictor        68 points         dlib
    .yaml, .yml   OpenCV's LBF                  68 points         opencv-contrib-python
    .onnx         YuNet                         5 points          opencv-python
    .task         MediaPipe's face landmarker   68 of its 478     mediapipe
"""

import importlib
import pathlib
from collections.abc import Callable

import numpy as np

from mer_jax.errors import UserError, unknown_name
from mer_jax.faces.detection import detect_face, to_gray, to_rgb

Landmarker = Callable[[np.ndarray], np.ndarray | None]

# The points of MediaPipe's mesh that come nearest to the 68, in their order.
_MESH = (
    *(162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389),  # jaw
    *(70, 63, 105, 66, 107, 336, 296, 334, 293, 300),  # brows
    *(168, 197, 5, 4, 98, 97, 2, 326, 327),  # nose
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),  # eyes
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181),  # lips, outside
    *(78, 81, 13, 311, 308, 402, 14, 178),  # and inside
)


def landmarker(path: str | pathlib.Path) -> Landmarker:
    """Loads a model: a function from a frame, [H, W, C] uint8 or float32 in [0, 1], to landmarks.

    It returns [68, 2] px (x, y) float32 in the iBUG order, or [5, 2] (left and right eye, nose,
    left and right corner of the mouth, as the image has them), of the largest face; None where the
    model finds no face.

    Raises:
      UserError: there is no such file, its ending is none of those above, the package it needs is
        not installed, or the package cannot read it.
    """
    path = pathlib.Path(path).expanduser()
    if path.suffix.lower() not in _KINDS:
        raise unknown_name("ending of a landmark model", path.suffix, _KINDS)
    if not path.is_file():
        raise UserError(f"{path}: there is no such landmark model")
    try:
        return _KINDS[path.suffix.lower()](path)
    except UserError:
        raise
    except Exception as error:  # each package has its own way to fail on a file that is not its
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: cannot be read as a landmark model ({reason})") from error


def _dlib(path: pathlib.Path) -> Landmarker:
    dlib = _need("dlib", path)
    faces, shapes = dlib.get_frontal_face_detector(), dlib.shape_predictor(str(path))

    def find(frame):
        gray = to_gray(frame)
        found = faces(gray, 1)
        if not found:
            return None
        shape = shapes(gray, max(found, key=lambda rectangle: rectangle.area()))
        return _sixty_eight([(part.x, part.y) for part in shape.parts()], path)

    return find


def _lbf(path: pathlib.Path) -> Landmarker:
    import cv2

    if not hasattr(cv2, "face"):
        raise UserError(f"{path} needs OpenCV's face module; pip install opencv-contrib-python")
    model = cv2.face.createFacemarkLBF()
    model.loadModel(str(path))

    def find(frame):
        box = detect_face(frame)
        if box is None:
            return None
        fits, found = model.fit(to_gray(frame), box[None].astype(np.int32))
        return _sixty_eight(found[0].reshape(-1, 2), path) if fits else None

    return find


def _yunet(path: pathlib.Path) -> Landmarker:
    import cv2

    model = cv2.FaceDetectorYN.create(str(path), "", (320, 320))

    def find(frame):
        model.setInputSize(frame.shape[1::-1])
        _, found = model.detect(np.ascontiguousarray(to_rgb(frame)[..., ::-1]))
        if found is None:
            return None
        return max(found, key=lambda row: row[2] * row[3])[4:14].reshape(5, 2)

    return find


def _mediapipe(path: pathlib.Path) -> Landmarker:
    package = _need("mediapipe", path)
    vision = importlib.import_module("mediapipe.tasks.python.vision")
    model = vision.FaceLandmarker.create_from_model_path(str(path))

    def find(frame):
        image = package.Image(image_format=package.ImageFormat.SRGB, data=to_rgb(frame))
        found = model.detect(image).face_landmarks
        if not found:
            return None
        mesh = np.array([(point.x, point.y) for point in found[0]], np.float32)
        return mesh[list(_MESH)] * np.float32(frame.shape[1::-1]) - np.float32(0.5)

    return find


_KINDS: dict[str, Callable[[pathlib.Path], Landmarker]] = {
    ".dat": _dlib,
    ".yaml": _lbf,
    ".yml": _lbf,
    ".onnx": _yunet,
    ".task": _mediapipe,
}


def _need(package: str, path: pathlib.Path):
    try:
        return importlib.import_module(package)
    except ImportError:
        raise UserError(f"{path} needs {package}; pip install {package}") from None


def _sixty_eight(points, path: pathlib.Path) -> np.ndarray:
    if len(points) != 68:
        raise UserError(f"{path} finds {len(points)} landmarks where 68 are needed")
    return np.asarray(points, np.float32)
