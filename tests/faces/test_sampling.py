import jax
import numpy as np
import pytest
from scipy import ndimage

from mer_jax import faces
from mer_jax.errors import UserError

RNG = np.random.default_rng(0)
FRAMES = RNG.random((3, 9, 7, 2), np.float32)
GRID = RNG.uniform(-3, 12, (5, 6, 2)).astype(np.float32)  # some of it outside
sample = jax.jit(faces.sample, static_argnames="order")
GRID[0, :4] = [[0, 0], [6, 8], [6, 0], [2.5, 3.5]]


def scipy_sample(frames, grid, order):
    places = [grid[..., 1], grid[..., 0]]
    planes = [
        [ndimage.map_coordinates(f[..., c], places, order=order, mode="nearest") for c in (0, 1)]
        for f in frames
    ]
    return np.moveaxis(np.array(planes), 1, -1)


def test_bilinear_is_scipys():
    np.testing.assert_allclose(sample(FRAMES, GRID), scipy_sample(FRAMES, GRID, 1), atol=1e-6)


def test_nearest_takes_the_pixel_and_keeps_the_type():
    frames = (FRAMES * 255).astype(np.uint8)
    out = sample(frames, GRID, order="nearest")
    assert out.dtype == np.uint8
    for i, j in np.ndindex(GRID.shape[:2]):
        x, y = np.floor(GRID[i, j] + 0.5).clip(0, (6, 8)).astype(int)
        np.testing.assert_array_equal(out[:, i, j], frames[:, y, x])


def test_a_frame_of_one_pixel_is_that_pixel_everywhere():
    out = sample(FRAMES[:, :1, :1], GRID)
    np.testing.assert_allclose(out, np.broadcast_to(FRAMES[:, :1, :1], out.shape), atol=1e-7)


def test_jit_vmap_and_gradients():
    plain = np.asarray(faces.sample(FRAMES, GRID))
    np.testing.assert_allclose(sample(FRAMES, GRID), plain, atol=1e-6)
    pair = jax.jit(jax.vmap(faces.sample))(np.stack([FRAMES, -FRAMES]), np.stack([GRID, GRID]))
    np.testing.assert_allclose(pair, np.stack([plain, -plain]), atol=1e-6)
    inside = RNG.integers(0, 6, (4, 4, 2)) + np.float32(0.5)  # halfway: no kink near
    weights = RNG.random((3, 4, 4, 2), np.float32)
    value = jax.jit(lambda f, g: (faces.sample(f, g) * weights).sum())
    by_frame, by_grid = map(np.asarray, jax.jit(jax.grad(value, (0, 1)))(FRAMES, inside))
    for array, gradient in ((FRAMES, by_frame), (inside, by_grid)):
        way = RNG.standard_normal(array.shape).astype(np.float32)
        step = 0.05 * way
        ends = [
            value(*(array + s if a is array else a for a in (FRAMES, inside)))
            for s in (step, -step)
        ]
        np.testing.assert_allclose((gradient * way).sum(), (ends[0] - ends[1]) / 0.1, rtol=2e-2)


def test_integers_become_floats_where_they_are_weighed():
    frames = (FRAMES * 255).astype(np.uint8)
    expected = scipy_sample(frames / 255, GRID, 1)
    np.testing.assert_allclose(sample(frames, GRID), expected, atol=1e-6)
    np.testing.assert_allclose(sample(np.float32(frames), GRID), 255 * expected, atol=1e-4)


def test_an_unknown_order_is_named():
    with pytest.raises(UserError, match="did you mean 'bilinear'"):
        faces.sample(FRAMES, GRID, order="bilnear")
