"""Bi-WOOF against its definition, block by block and pixel by pixel, in float64."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mer_jax.descriptors import bi_woof
from mer_jax.errors import UserError


def ranges(size, count):
    """The released code's inclusive ranges, counted from 1."""
    step = size // count
    out = [(1, step + 1)]
    out += [((k - 1) * step, k * step + 1) for k in range(2, count)]
    return [*out, ((count - 1) * step, size)]


def by_loop(flow, blocks, bins):
    u, v = (flow[..., c].astype(np.float64) for c in (0, 1))
    slope = lambda a, axis: np.diff(a, axis=axis, prepend=np.take(a, [0], axis))
    shear = (slope(u, 0) + slope(v, 1)) / 2
    strain = np.sqrt(slope(u, 1) ** 2 + slope(v, 0) ** 2 + 2 * shear**2)
    strain[strain < 1e-4] = 0
    out = []
    for top, bottom in ranges(flow.shape[0], blocks[0]):
        for left, right in ranges(flow.shape[1], blocks[1]):
            histogram, total = np.zeros(bins), 0.0
            for y in range(top - 1, bottom):
                for x in range(left - 1, right):
                    degrees = math.degrees(math.atan2(v[y, x], u[y, x]))
                    k = sum(degrees >= -180 + 360 / bins * edge for edge in range(1, bins))
                    length = math.hypot(u[y, x], v[y, x])
                    histogram[k] += length if length >= 1e-4 else 0
                    total += strain[y, x]
            if histogram.sum():
                histogram /= histogram.sum()
            out.append(histogram * total)
    out = np.concatenate(out)
    return out / np.linalg.norm(out) if out.any() else out


@pytest.mark.parametrize(
    ("size", "blocks", "bins"), [((28, 33), (5, 5), 8), ((13, 9), (2, 3), 6), ((40, 40), (5, 5), 8)]
)
def test_it_is_the_loop(size, blocks, bins):
    flow = np.random.default_rng(0).standard_normal((*size, 2)).astype(np.float32)
    found = jax.jit(lambda f: bi_woof(f, blocks=blocks, bins=bins))(flow)
    assert found.dtype == jnp.float32 and found.shape == (blocks[0] * blocks[1] * bins,)
    np.testing.assert_allclose(found, by_loop(flow, blocks, bins), rtol=2e-5, atol=1e-7)


def test_directions_on_an_edge_belong_to_the_bin_that_begins_there():
    describe = jax.jit(lambda flow: bi_woof(flow, blocks=(1, 1)))
    rows = np.linspace(1, 2, 10)[:, None, None]  # magnitudes that strain
    for k, (u, v) in enumerate([(1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1)]):
        flow = (rows * np.ones((1, 10, 1)) * np.array([u, v])).astype(np.float32)
        found = np.asarray(describe(flow))
        assert found.argmax() == (4 + k) % 8, (u, v)
        np.testing.assert_allclose(found.max(), 1, rtol=1e-6)


def test_blocks_that_stand_still_are_zero():
    flow = np.random.default_rng(1).standard_normal((30, 30, 2)).astype(np.float32)
    flow[:20, :20] = 0
    describe = jax.jit(bi_woof)
    found = np.asarray(describe(flow)).reshape(5, 5, 8)
    assert not found[:2, :2].any() and found[4, 4].any()
    np.testing.assert_allclose(found.reshape(-1), by_loop(flow, (5, 5), 8), rtol=2e-5, atol=1e-7)
    assert not describe(np.zeros((30, 30, 2), np.float32)).any()
    assert not describe(np.ones((30, 30, 2), np.float32)).any()  # a shift strains nothing


def test_rounding_is_no_motion():
    rng = np.random.default_rng(2)
    noise = (1e-6 * rng.standard_normal((30, 30, 2))).astype(np.float32)
    flow = noise.copy()
    flow[18:] += rng.standard_normal((12, 30, 2)).astype(np.float32)
    describe = jax.jit(bi_woof)
    found = np.asarray(describe(flow)).reshape(5, 5, 8)
    np.testing.assert_allclose(found.reshape(-1), by_loop(flow, (5, 5), 8), rtol=2e-5, atol=1e-7)
    assert not found[:2].any() and found[4].any()
    for shift in (0, 1):  # a still face, and one that moves as a whole
        np.testing.assert_array_equal(describe(noise + np.float32(shift)), 0)
    assert np.linalg.norm(describe(1e3 * noise)) == pytest.approx(1, abs=1e-5)


def test_more_blocks_than_pixels():
    with pytest.raises(UserError, match="4 px into 5 blocks"):
        bi_woof(np.zeros((20, 4, 2), np.float32))
