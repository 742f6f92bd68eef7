"""The region flow against the authors' steps written out with NumPy, region by region."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mer_jax.descriptors import region_flow
from mer_jax.descriptors.region_flow import LANDMARKS
from mer_jax.errors import UserError

SIZE = 56, 60


def sector(vector, edges):
    """The index of the (first, last) pair of degrees that the angle of (u, v) is in."""
    angle = math.degrees(math.atan2(vector[1], vector[0])) % 360
    for index, (low, high) in enumerate(edges):
        if low <= angle < high or low <= angle + 360 < high:
            return index
    raise AssertionError(angle)


def main(vectors, edges, share):
    groups = [[v for v in vectors if sector(v, edges) == index] for index in range(4)]
    fullest = max(groups, key=len)  # the first of equal ones
    longest = sorted(fullest, key=lambda v: -np.hypot(*v))[: max(1, int(len(fullest) * share))]
    total = np.sum(longest, axis=0)
    mean = np.mean([np.hypot(*v) for v in longest])
    return total / max(np.hypot(*total), 1e-12) * mean


def written_out(flow, landmarks, radius):
    height, width = flow.shape[:2]
    points = np.round(landmarks).astype(int)

    def box(left, top, right, bottom):
        rows, columns = (
            range(max(top, 0), min(bottom + 1, height)),
            range(max(left, 0), min(right + 1, width)),
        )
        return [flow[y, x].astype(np.float64) for y in rows for x in columns]

    reach = int((points[42, 0] - points[39, 0]) / 2 * 0.35)
    (x0, y0), (x1, y1) = points[[29, 30]].min(0) - reach, points[[29, 30]].max(0) + reach
    quarters = [(45, 135), (135, 225), (225, 315), (315, 405)]
    head = main(box(x0, y0, x1, y1), quarters, 0.88)
    wide = [(30, 150), (150, 210), (210, 330), (330, 390)]
    found = []
    for x, y in points[list(LANDMARKS)]:
        vectors = [v - head for v in box(x - radius, y - radius, x + radius, y + radius)]
        found.append(main(vectors, wide, 0.6) if vectors else np.zeros(2))
    return np.array(found)


@pytest.fixture(scope="module")
def compiled():
    return jax.jit(lambda flow, landmarks: region_flow(flow, landmarks, radius=3))


@pytest.mark.parametrize("seed", range(4))
def test_region_flow_is_the_steps_written_out(compiled, seed):
    rng = np.random.default_rng(seed)
    landmarks = rng.uniform(4, 50, (68, 2))
    landmarks[39], landmarks[42] = (20, 25), (38.4, 25)
    landmarks[29], landmarks[30] = (29, 28), (30, 33)
    landmarks[18], landmarks[25] = (0, 1), (59, 20)  # partly outside of the image
    landmarks[57] = (80, 90)  # outside
    drift = rng.normal(size=2) * 2
    flow = (rng.normal(size=(*SIZE, 2)) + drift).astype(np.float32)
    got = compiled(flow, landmarks.astype(np.float32))
    np.testing.assert_allclose(got, written_out(flow, landmarks.astype(np.float32), 3), atol=2e-5)
    assert got.shape == (12, 2) and not got[11].any()


def test_a_moving_head_leaves_nothing_and_a_brow_its_own_motion(compiled):
    landmarks = np.tile(np.array([[30.0, 30.0]], np.float32), (68, 1))
    landmarks[18] = (12, 12)
    flow = np.tile(np.array([1.5, -0.5], np.float32), (*SIZE, 1))
    assert np.abs(compiled(flow, landmarks)).max() < 1e-5
    flow[:20, :20] += (0.0, -2.0)
    got = compiled(flow, landmarks)
    np.testing.assert_allclose(got[0], (0, -2), atol=1e-5)
    assert np.abs(got[1:]).max() < 1e-5


def test_other_axes_are_refused():
    with pytest.raises(UserError, match="landmarks"):
        region_flow(jnp.zeros((*SIZE, 2)), jnp.zeros((5, 2)))
    with pytest.raises(UserError, match="flow"):
        region_flow(jnp.zeros(SIZE), jnp.zeros((68, 2)))
