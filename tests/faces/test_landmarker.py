import importlib.util
import sys
import types

import numpy as np
import pytest

from mer_jax import faces
from mer_jax.datasets import synthetic
from mer_jax.errors import UserError
from mer_jax.faces.landmarker import MESH


def test_a_missing_file_or_an_unknown_suffix_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="no such landmark model"):
        faces.landmarker(tmp_path / "model.dat")
    (tmp_path / "model.pth").write_text("x")
    with pytest.raises(UserError, match="suffix of a landmark model"):
        faces.landmarker(tmp_path / "model.pth")


@pytest.mark.parametrize("suffix, package", [(".dat", "dlib"), (".task", "mediapipe")])
def test_a_missing_package_is_named(tmp_path, monkeypatch, suffix, package):
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    path = tmp_path / f"model{suffix}"
    path.write_text("x")
    with pytest.raises(UserError, match=f"pip install {package}"):
        faces.landmarker(path)


@pytest.mark.parametrize("suffix", [".onnx", ".yaml", ".dat", ".task"])
def test_a_file_that_is_no_model_is_one_sentence(tmp_path, suffix):
    path = tmp_path / f"model{suffix}"
    path.write_text("this is not a model")
    with pytest.raises(UserError, match=f"model{suffix}.*(cannot be read|pip install)"):
        faces.landmarker(path)


def test_lbf_is_asked_for_the_detected_face(tmp_path, monkeypatch):
    """A stand-in for OpenCV's module gives back the box that it was asked about."""
    import cv2

    (scene,) = synthetic.scenes(subjects=1, clips_per_subject=1, size=(96, 96), frames=(8, 8))

    class Model:
        def loadModel(self, path):
            assert path.endswith("lbf.yaml")

        def fit(self, gray, boxes):
            assert gray.ndim == 2 and boxes.dtype == np.int32
            x, y, width, height = boxes[0]
            return True, [(scene.landmarks[None] * (width, height) / 96 + (x, y)).astype("f4")]

    module = types.SimpleNamespace(createFacemarkLBF=Model)
    monkeypatch.setattr(cv2, "face", module, raising=False)
    (tmp_path / "lbf.yaml").write_text("x")
    find = faces.landmarker(tmp_path / "lbf.yaml")
    frame = scene.frames[0]
    box, points = faces.detect_face(frame), find(frame)
    assert points.shape == (1, 68, 2) and points.dtype == np.float32
    np.testing.assert_allclose(points[0], scene.landmarks * box[2:] / 96 + box[:2], atol=1e-3)
    assert find(np.zeros_like(frame)).shape == (0, 68, 2)


@pytest.mark.parametrize("size", [(240, 320), (900, 1500)])
def test_yunet_gets_at_most_640_px_and_its_points_are_those_of_the_frame(
    tmp_path, monkeypatch, size
):
    """A stand-in puts the points of the larger of two faces around the brightest pixel.

    A third face, the largest, is in profile.
    """
    import cv2

    class Model:
        def setInputSize(self, size):
            self.size = size

        def detect(self, image):
            assert image.shape[1::-1] == self.size and max(self.size) <= 640
            y, x = np.unravel_index(image[..., 0].argmax(), image.shape[:2])
            far, near, profile = np.zeros((3, 15), np.float32)
            far[4:14], near[4:14] = [0, 0, 9, 0, 5, 5, 1, 9, 8, 9], [x, y] * 5
            near[4:8] += 20, 20, -20, -20
            profile[4:14] = 50, 40, 90, 40, 10, 80, 60, 120, 90, 120
            return 1, np.stack([far, near, profile])

    monkeypatch.setattr(cv2.FaceDetectorYN, "create", lambda *_: Model())
    (tmp_path / "yunet.onnx").write_text("x")
    frame = np.zeros((*size, 3), np.uint8)
    frame[size[0] // 3 - 2 : size[0] // 3 + 3, size[1] // 2 - 2 : size[1] // 2 + 3] = 255
    points, _ = faces.landmarker(tmp_path / "yunet.onnx")(frame)
    assert points.dtype == np.float32
    np.testing.assert_allclose(points[2:], [[size[1] // 2, size[0] // 3]] * 3, atol=2.5)


def test_the_points_of_the_mesh_are_sixty_eight_and_distinct():
    assert len(MESH) == len(set(MESH)) == 68 and max(MESH) < 468


@pytest.mark.skipif(not importlib.util.find_spec("mediapipe"), reason="mediapipe is not installed")
def test_the_points_of_the_mesh_lie_on_the_features():
    from mediapipe.tasks.python.vision import FaceLandmarksConnections as mesh

    for name, part in [
        ("FACE_LANDMARKS_FACE_OVAL", slice(0, 17)),
        ("FACE_LANDMARKS_RIGHT_EYEBROW", slice(17, 22)),
        ("FACE_LANDMARKS_LEFT_EYEBROW", slice(22, 27)),
        ("FACE_LANDMARKS_NOSE", slice(27, 36)),
        ("FACE_LANDMARKS_RIGHT_EYE", slice(36, 42)),
        ("FACE_LANDMARKS_LEFT_EYE", slice(42, 48)),
        ("FACE_LANDMARKS_LIPS", slice(48, 68)),
    ]:
        lines = getattr(mesh, name)
        assert set(MESH[part]) <= {end for line in lines for end in (line.start, line.end)}


@pytest.mark.skipif(not importlib.util.find_spec("dlib"), reason="dlib is not installed")
def test_a_model_of_dlibs_finds_rendered_landmarks(tmp_path):
    """One is trained here on some rendered faces and tried on others."""
    import dlib

    scenes = synthetic.scenes(size=(160, 160), clips_per_subject=1, subjects=16, frames=(8, 8))
    detect = dlib.get_frontal_face_detector()
    pictures, shapes = [], []
    for scene in scenes[:12]:
        face = detect(scene.frames[0], 1)[0]
        points = [dlib.point(*map(int, point.round())) for point in scene.landmarks]
        pictures.append(scene.frames[0])
        shapes.append([dlib.full_object_detection(face, points)])
    options = dlib.shape_predictor_training_options()
    options.tree_depth, options.cascade_depth, options.num_trees_per_cascade_level = 2, 6, 60
    options.num_threads, options.be_verbose = 1, False
    dlib.train_shape_predictor(pictures, shapes, options).save(str(tmp_path / "small.dat"))
    find = faces.landmarker(tmp_path / "small.dat")
    for scene in scenes[12:]:
        error = np.hypot(*(find(scene.frames[0])[0] - scene.landmarks).T).mean()
        assert error < 3.5
    assert not len(find(np.zeros((100, 100, 3), np.uint8)))
