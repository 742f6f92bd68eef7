import pathlib

import numpy as np
import pytest
import skimage.data

from mer_jax import faces
from mer_jax.datasets import synthetic
from mer_jax.errors import UserError
from mer_jax.faces import detection
from mer_jax.io import video_files

REAL = pathlib.Path(__file__).resolve().parents[3] / "shared/data/real_faces"


def test_the_astronaut():
    photograph = skimage.data.astronaut()
    x, y, width, height = box = faces.detect_face(photograph)
    assert 165 < x < 185 and 55 < y < 75 and 85 < width < 110 and width == height
    eyes = faces.detect_eyes(photograph, box)
    expected = np.array([[202, 101], [247, 103]])  # read off the picture
    np.testing.assert_allclose(eyes, expected, atol=4)
    np.testing.assert_allclose(faces.nominal_eyes(box), expected, atol=6)
    as_float = faces.detect_face(photograph.astype(np.float32) / 255)
    np.testing.assert_array_equal(as_float, box)


@pytest.mark.skipif(not REAL.is_dir(), reason="needs the films of real faces beside the checkout")
def test_nominal_eyes_are_those_of_real_people():
    found = []
    for path in sorted(REAL.glob("grid_*.mpg")):
        frame = next(frame for _, frame in video_files.decode(path))
        box = faces.detect_face(frame)
        apart = (faces.detect_eyes(frame, box) - faces.nominal_eyes(box)) / box[2]
        assert np.abs(apart).max() < 0.05
        found.append(apart)
    assert len(found) == 11 and np.abs(np.mean(found, 0)).max() < 0.02


@pytest.mark.parametrize("gray", [False, True])
def test_rendered_faces(gray):
    for scene in synthetic.scenes(
        subjects=6, clips_per_subject=1, size=(128, 128), frames=(8, 8), gray=gray
    ):
        frame, truth = scene.frames[0], faces.eye_centers(scene.landmarks)
        distance = truth[1, 0] - truth[0, 0]
        box = faces.detect_face(frame)
        eyes, nominal = faces.detect_eyes(frame, box), faces.nominal_eyes(box)
        assert np.abs(eyes - truth).max() < 0.1 * distance
        assert np.abs(nominal - truth).max() < 0.25 * distance


def test_a_face_that_fills_its_frame_is_found():
    scene = synthetic.scenes(subjects=1, clips_per_subject=1, size=(160, 160), frames=(8, 8))[0]
    low, high = scene.landmarks.min(0).astype(int), scene.landmarks.max(0).astype(int)
    tight = scene.frames[0, low[1] - 8 : high[1], low[0] : high[0]]
    box = faces.detect_face(tight)
    truth = faces.eye_centers(scene.landmarks) - (low - [0, 8])
    assert np.abs(faces.nominal_eyes(box) - truth).max() < 10


def test_nothing_is_found_where_nothing_is():
    noise = np.random.default_rng(0).integers(0, 256, (90, 80, 3), np.uint8)
    for frame in (np.zeros((90, 80, 3), np.uint8), np.full((90, 80, 1), 128, np.uint8), noise):
        assert faces.detect_face(frame) is None
    sky = np.zeros((90, 80, 3), np.uint8)
    assert faces.detect_eyes(sky, np.array([10, 10, 60, 60], np.float32)) is None
    assert faces.detect_eyes(sky, np.array([-90, -90, 60, 60], np.float32)) is None


def test_what_is_no_frame_is_refused():
    frame = np.zeros((30, 30, 3), np.uint8)
    for wrong, words in (
        (frame[..., 0], "None"), (frame[..., :2], "C = 1"), (frame[None], "H, W, C"),
        (np.float32(frame) + 99, "divide them by 255"), (frame.astype(int), "dtype int64"),
    ):  # fmt: skip
        for call in (faces.detect_faces, lambda x: faces.detect_eyes(x, np.array([0, 0, 30, 30]))):
            with pytest.raises(UserError, match=words):
                call(wrong)


def test_the_dtype_of_a_frame_does_not_matter():
    frame = np.random.default_rng(0).integers(0, 256, (9, 8, 3), np.uint8)
    for same in (np.float32(frame) / 255, frame / 255, frame.astype(np.uint16) * 257):
        np.testing.assert_array_equal(detection.to_gray(same), detection.to_gray(frame))
