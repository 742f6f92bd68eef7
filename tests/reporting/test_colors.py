import math

import numpy as np
import pytest

from mer_jax.reporting.colors import flow_to_rgb, wheel


def literal(u, v, largest):
    """One vector, following Baker et al.'s public colour code step by step with 8-bit hues."""
    hues = []
    for k in range(15):
        hues.append((255, 255 * k / 15, 0))
    for k in range(6):
        hues.append((255 - 255 * k / 6, 255, 0))
    for k in range(4):
        hues.append((0, 255, 255 * k / 4))
    for k in range(11):
        hues.append((0, 255 - 255 * k / 11, 255))
    for k in range(13):
        hues.append((255 * k / 13, 0, 255))
    for k in range(6):
        hues.append((255, 0, 255 - 255 * k / 6))
    u, v = u / largest, v / largest
    radius = math.sqrt(u * u + v * v)
    position = (math.atan2(-v, -u) / math.pi + 1) / 2 * 54
    first = int(position)
    second = (first + 1) % 55
    part = position - first
    out = []
    for channel in range(3):
        color = ((1 - part) * hues[first][channel] + part * hues[second][channel]) / 255
        out.append(1 - radius * (1 - color) if radius <= 1 else color * 0.75)
    return out


def test_equals_the_public_code_vector_by_vector():
    flow = np.random.default_rng(0).normal(size=(9, 11, 2))
    for largest in (0.7, 5.0):
        found = flow_to_rgb(flow, largest=largest)
        for row, column in np.ndindex(9, 11):
            expected = literal(*flow[row, column], largest)
            np.testing.assert_allclose(found[row, column], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("vector", "color"),
    [((1, 0), "red"), ((0, 1), "yellow"), ((-1, 0), "cyan"), ((0, -1), "violet")],
)
def test_directions_have_their_colours(vector, color):
    red, green, blue = flow_to_rgb(np.array([vector], float))[0]
    named = {
        "red": red > 0.99 and green < 0.01 and blue < 0.2,
        "yellow": red > 0.99 and green > 0.85 and blue < 0.01,
        "cyan": red < 0.01 and green > 0.7 and blue > 0.99,
        "violet": 0.2 < red < 0.6 and green < 0.01 and blue > 0.99,
    }
    assert named[color]


def test_no_motion_is_white_and_unknown_is_black():
    flow = np.zeros((2, 2, 2))
    np.testing.assert_array_equal(flow_to_rgb(flow), 1)
    flow[0, 0] = np.nan
    flow[1, 1] = (3, 4)
    found = flow_to_rgb(flow)
    np.testing.assert_array_equal(found[0, 0], 0)
    assert found.dtype == np.float32 and np.isfinite(found).all()
    np.testing.assert_allclose(found[1, 1], literal(3, 4, 5), atol=1e-6)


def test_wheel_has_the_published_steps():
    hues = wheel()
    assert hues.shape == (55, 3)
    corners = np.flatnonzero((hues == np.round(hues)).all(-1))
    np.testing.assert_array_equal(corners, [0, 15, 21, 25, 36, 49])
