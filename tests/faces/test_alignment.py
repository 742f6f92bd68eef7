import functools

import jax
import jax.numpy as jnp
import numpy as np

from mer_jax import faces
from mer_jax.datasets import synthetic
from mer_jax.datasets.synthetic import face, motion

ALIGN = jax.jit(faces.align, static_argnames="size")


@functools.cache
def scenes():
    return synthetic.scenes(subjects=4, clips_per_subject=1, size=(80, 64), frames=(8, 8))


def test_the_template_is_symmetric_and_a_face():
    template = faces.template((100, 76))
    left, right = faces.eye_centers(template)
    np.testing.assert_allclose(left[1], right[1], atol=1e-4)
    np.testing.assert_allclose((left[0] + right[0]) / 2, (76 - 1) / 2, atol=1e-4)
    nose, mouth, chin = template[30], template[48:68].mean(0), template[8]
    assert left[1] < nose[1] < mouth[1] < chin[1]
    np.testing.assert_allclose(faces.template((200, 152)) + 0.5, 2 * (template + 0.5), atol=1e-3)


def test_the_template_is_the_mean_synthetic_face():
    middles = jnp.array([middle for middle, _ in face.MEASURES.values()], jnp.float32)
    unused = dict.fromkeys({*face.Face._fields} - {"measures"})
    points = np.asarray(face.landmarks(face.Face(measures=middles, **unused)))
    for size in ((150, 120), (64, 64)):
        np.testing.assert_allclose(faces.template(size), motion.to_px(points, size), atol=1e-4)


def test_an_affine_change_is_undone_exactly():
    """A linear picture seen through an affine map is another linear picture."""
    target = faces.template((80, 64))
    matrix, shift = np.array([[0.9, 0.1], [-0.05, 1.05]], np.float32), np.float32([2, -1])
    landmarks = target @ matrix + shift
    y, x = np.mgrid[:80, :64].astype(np.float32)
    frames = np.stack([x + 2 * y, x - y])[..., None]
    aligned, _ = ALIGN(frames, landmarks, target)
    u, v = np.moveaxis(np.stack([x, y], -1) @ matrix + shift, -1, 0)
    inside = (u >= 0) & (u <= 63) & (v >= 0) & (v <= 79)
    np.testing.assert_allclose(aligned[0, inside, 0], (u + 2 * v)[inside], atol=0.02)
    np.testing.assert_allclose(aligned[1, inside, 0], (u - v)[inside], atol=0.02)


def test_faces_of_several_people_become_alike():
    """Dots painted at the landmarks come to lie where the template has them."""
    target = faces.template((80, 64)) * np.float32([1.1, 0.95]) - np.float32([5, 0])
    target += np.sin(target[:, ::-1] / 20)
    y, x = np.mgrid[:80, :64]
    for scene in scenes():
        before, after = [], []
        for point in (30, 36, 45, 48, 54, 19, 24):
            px, py = scene.landmarks[point]
            dot = np.exp(-((x - px) ** 2 + (y - py) ** 2) / 8).astype(np.float32)
            out, covered = ALIGN(dot[None, ..., None], scene.landmarks, target)
            weights = np.asarray(out[0, ..., 0])
            mean = np.array([(weights * x).sum(), (weights * y).sum()]) / weights.sum()
            after.append(np.hypot(*(mean - target[point])))
            before.append(np.hypot(*(scene.landmarks[point] - target[point])))
        assert np.mean(after) < 0.45 * np.mean(before) and max(after) < 2.5
        corner, chest = covered[0, 0], covered[48, 32]
        assert chest and not corner


def test_one_transform_serves_all_frames():
    scene, target = scenes()[0], faces.template((80, 64))
    frames = scene.frames[:2, ..., :1].astype(np.float32)
    together, _ = ALIGN(frames, scene.landmarks, target)
    alone, _ = ALIGN(frames[1:], scene.landmarks, target)
    np.testing.assert_allclose(together[1], alone[0], atol=1e-3)
