import functools

import jax.numpy as jnp
import numpy as np
import pytest

from mer_jax import faces
from mer_jax.datasets import synthetic


@functools.cache
def scene():
    return synthetic.scenes(subjects=1, clips_per_subject=1, size=(80, 64), frames=(8, 8))[0]


@pytest.mark.parametrize("array", [np.asarray, jnp.asarray])
def test_centres_and_boxes(array):
    marks = scene().landmarks
    both = array(np.stack([marks, marks + 3]))
    eyes = faces.eye_centers(both)
    assert type(eyes) is type(both) and eyes.shape == (2, 2, 2)
    for i, first in enumerate((36, 42)):
        np.testing.assert_allclose(eyes[0, i], marks[first : first + 6].mean(0), rtol=1e-6)
    assert eyes[0, 0, 0] < eyes[0, 1, 0]  # the image's left comes first
    boxes = faces.both_eyes_box(both, margin=0.5)
    (x0, y0), (x1, y1) = marks[36:48].min(0), marks[36:48].max(0)
    around = 0.5 * (x1 - x0)
    expected = [x0 - around, y0 - around, x1 - x0 + 1 + 2 * around, y1 - y0 + 1 + 2 * around]
    np.testing.assert_allclose(boxes[0], expected, rtol=1e-4)
    np.testing.assert_allclose(boxes[1] - boxes[0], [3, 3, 0, 0], atol=1e-3)
    x, y, width, height = faces.mouth_box(both, margin=0.0)[0]
    inside = marks[48:68]
    assert ((inside >= [x, y]) & (inside <= [x + width - 1, y + height - 1])).all()
    x, y, width, height = faces.both_eyes_box(both)[0]
    assert x < marks[36, 0] and x + width - 1 > marks[45, 0] and y + height < marks[33, 1]


def test_five_landmarks_begin_with_the_eyes():
    five = np.array([[1, 2], [3, 4], [5, 6], [7, 8], [9, 10]], np.float32)
    np.testing.assert_array_equal(faces.eye_centers(five), [[1, 2], [3, 4]])


def test_the_box_of_the_landmarks_is_the_detectors():
    apart = []
    for scene in synthetic.scenes(subjects=5, clips_per_subject=1, size=(120, 92), frames=(8, 8)):
        found = faces.detect_face(scene.frames[0])
        apart.append((faces.face_box(scene.landmarks) - found) / found[2])
    assert np.abs(apart).max() < 0.15
    assert np.abs(np.mean(apart, 0)).max() < 0.06


@pytest.mark.parametrize("roll", [0, 25])
def test_a_head_that_turns_by_45_degrees_is_in_profile(roll):
    """The eyes of an adult are 63 mm apart, the tip of the nose is about 33 mm before them."""
    eyes_nose = np.array([[-31.5, 0, 0], [31.5, 0, 0], [0, 40, 33], [-25, 75, 10], [25, 75, 10]])
    found = {}
    for yaw in (0, 15, 30, 60, 75, -75):
        c, s = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
        x, y, z = eyes_nose.T
        c2, s2 = np.cos(np.radians(roll)), np.sin(np.radians(roll))
        seen = c * x + s * z
        found[yaw] = bool(faces.in_profile(np.stack([c2 * seen - s2 * y, s2 * seen + c2 * y], -1)))
    assert found == {0: False, 15: False, 30: False, 60: True, 75: True, -75: True}


def test_rendered_faces_are_not_in_profile():
    marks = scene().landmarks
    assert not faces.in_profile(np.stack([marks, 2 * marks])).any()
    marks = marks.copy()
    marks[30, 0] = marks[45, 0]
    assert faces.in_profile(marks)
