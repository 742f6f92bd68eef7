import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mer_jax import faces
from mer_jax.errors import UserError
from mer_jax.faces.rectangles import own_size

RNG = np.random.default_rng(1)
FRAMES = RNG.integers(0, 256, (2, 60, 70, 3), np.uint8)


def some_eyes(count):
    left = RNG.uniform(15, 25, (count, 2))
    turn, distance = RNG.uniform(-0.4, 0.4, count), RNG.uniform(12, 30, count)
    right = left + np.stack([distance * np.cos(turn), distance * np.sin(turn)], -1)
    return np.stack([left, right], 1).astype(np.float32)


def formula(eyes):
    """The crop's coordinates one by one, in float32 as the formula is written."""
    f = np.float32
    (xl, yl), (xr, yr) = eyes
    d = np.sqrt((xr - xl) * (xr - xl) + (yr - yl) * (yr - yl))
    ex, ey = (xr - xl) / d, (yr - yl) / d
    nx, ny = -ey, ex
    x0, y0 = xl - f(0.4) * d * ex - f(0.6) * d * nx, yl - f(0.4) * d * ey - f(0.6) * d * ny
    height, width = int(np.floor(f(2.2) * d + f(0.5))), int(np.floor(f(1.8) * d + f(0.5)))
    out = np.empty((height, width, 2), f)
    for h in range(1, height + 1):
        for w in range(1, width + 1):
            out[h - 1, w - 1] = x0 + f(h) * nx + f(w) * ex, y0 + f(h) * ny + f(w) * ey
    return out


def eye_crop(frames, eyes, *, size=None, order="nearest"):
    return faces.sample(frames, faces.grid(faces.eye_rectangle(eyes), size=size), order=order)


@pytest.mark.parametrize("eyes", some_eyes(6))
def test_crop_coordinates_are_the_formulas_bit_for_bit(eyes):
    expected = formula(eyes)
    np.testing.assert_array_equal(faces.grid(faces.eye_rectangle(eyes)), expected)
    x, y = np.floor(expected + 0.5).clip(0, (69, 59)).astype(int).transpose(2, 0, 1)
    np.testing.assert_array_equal(eye_crop(FRAMES, eyes), FRAMES[:, y, x])


def test_upright_eyes_crop_a_slice():
    eyes = np.array([[20, 22], [40, 22]], np.float32)  # d = 20: 44 x 36, corner at (12, 10)
    np.testing.assert_array_equal(eye_crop(FRAMES, eyes), FRAMES[:, 11:55, 13:49])


def test_eyes_come_to_lie_where_the_constants_say():
    for eyes in some_eyes(4):
        rectangle = faces.eye_rectangle(eyes)
        d = np.linalg.norm(eyes[1] - eyes[0])
        size = (220, 180)
        places = np.asarray(faces.locate(rectangle, eyes, size=size)) + 0.5
        expected = np.array([[0.4, 0.6], [1.4, 0.6]]) / (1.8, 2.2) * (180, 220)
        np.testing.assert_allclose(places, expected - 0.5 * 100 / d, atol=0.01)


def test_locate_undoes_grid():
    rectangle = faces.eye_rectangle(some_eyes(1)[0])
    for size in ((44, 36), (13, 50)):
        places = faces.grid(rectangle, size=size)
        y, x = np.mgrid[: size[0], : size[1]]
        back = faces.locate(rectangle, places, size=size)
        np.testing.assert_allclose(back, np.stack([x, y], -1), atol=2e-4)


def test_a_box_and_another_size():
    box = np.array([5, 7, 20, 10], np.float32)
    rectangle = faces.box_rectangle(box)
    assert own_size(rectangle) == (10, 20)
    y, x = np.mgrid[7:17, 5:25]
    np.testing.assert_allclose(faces.grid(rectangle), np.stack([x, y], -1), atol=1e-5)
    halves = faces.grid(rectangle, size=(5, 10))  # each in the middle of four pixels
    np.testing.assert_allclose(halves[0, 0], [5.5, 7.5], atol=1e-5)
    np.testing.assert_allclose(halves[-1, -1], [23.5, 15.5], atol=1e-5)


def test_jit_and_vmap_crop_the_same():
    eyes = some_eyes(3)
    crop = lambda frames, eyes: eye_crop(frames, eyes, size=(12, 10), order="bilinear")
    frames = np.stack([FRAMES, FRAMES[:, ::-1], FRAMES[:, :, ::-1]]).astype(np.float32) / 255
    loop = np.stack([crop(f, e) for f, e in zip(frames, eyes)])
    np.testing.assert_allclose(jax.jit(jax.vmap(crop))(frames, eyes), loop, atol=1e-4)
    near = lambda eyes: eye_crop(FRAMES, eyes, size=(44, 36))
    np.testing.assert_array_equal(jax.jit(near)(eyes[0]), near(eyes[0]))


def test_gradients_reach_the_eyes():
    """Of a linear picture the crop is linear in the eyes' place, so differences are exact."""
    y, x = np.mgrid[:60, :70].astype(np.float32)
    frames = (0.01 * x + 0.02 * y)[None, ..., None]
    eyes = np.array([[25, 24], [43, 26]], np.float32)

    @jax.jit
    def total(eyes):
        crop = eye_crop(frames, eyes, size=(6, 5), order="bilinear")
        return jnp.sum(crop * jnp.arange(30, dtype=jnp.float32).reshape(1, 6, 5, 1))

    gradient = jax.grad(total)(eyes)
    assert np.isfinite(gradient).all() and np.abs(gradient).min() > 0
    for i, j in np.ndindex(2, 2):
        step = np.zeros((2, 2), np.float32)
        step[i, j] = 0.25
        difference = (total(eyes + step) - total(eyes - step)) / 0.5
        np.testing.assert_allclose(gradient[i, j], difference, rtol=2e-3, atol=2e-3)


def test_a_size_that_follows_the_eyes_cannot_be_compiled():
    with pytest.raises(UserError, match=r"size=\(H, W\)"):
        jax.jit(lambda eyes: eye_crop(FRAMES, eyes))(some_eyes(1)[0])
