import jax
import numpy as np
import pytest
import scipy.ndimage

from mer_jax.errors import UserError
from mer_jax.video import warp as module
from mer_jax.video.warp import prefilter, warp
from tests.compiled import compiled


def _case(seed=0, shape=(9, 12), size=2.0):
    rng = np.random.default_rng(seed)
    image = rng.normal(size=(*shape, 3)).astype(np.float32)
    flow = rng.normal(size=(*shape, 2), scale=size).astype(np.float32)
    return image, flow


def _keys_loop(image, flow):
    """Keys' kernel as it is printed, at the distance of every tap, pixel by pixel."""

    def kernel(s):
        s = abs(s)
        if s < 1:
            return 1.5 * s**3 - 2.5 * s**2 + 1
        return -0.5 * s**3 + 2.5 * s**2 - 4 * s + 2 if s < 2 else 0.0

    height, width, _ = image.shape
    out = np.zeros(image.shape)
    for y, x in np.ndindex(height, width):
        py = np.clip(y + float(flow[y, x, 1]), 0, height - 1)
        px = np.clip(x + float(flow[y, x, 0]), 0, width - 1)
        for j in range(int(np.floor(py)) - 1, int(np.floor(py)) + 3):
            for i in range(int(np.floor(px)) - 1, int(np.floor(px)) + 3):
                tap = image[np.clip(j, 0, height - 1), np.clip(i, 0, width - 1)]
                out[y, x] += kernel(py - j) * kernel(px - i) * tap
    return out


def test_keys_equals_a_loop_over_the_taps():
    image, flow = _case()
    got, _ = compiled(warp, kernel="keys")(image, flow)
    np.testing.assert_allclose(got, _keys_loop(image, flow), atol=2e-5)


def test_spline_equals_scipy():
    image, flow = _case()
    height, width, _ = image.shape
    y = np.clip(np.arange(height)[:, None] + flow[..., 1].astype(float), 0, height - 1)
    x = np.clip(np.arange(width) + flow[..., 0].astype(float), 0, width - 1)
    expected = [
        scipy.ndimage.map_coordinates(plane.astype(float), [y, x], order=3, mode="mirror")
        for plane in np.moveaxis(image, -1, 0)
    ]
    got, _ = compiled(warp)(compiled(prefilter)(image), flow)
    np.testing.assert_allclose(got, np.stack(expected, -1), atol=2e-5)


@pytest.mark.parametrize("kernel", sorted(module.KERNELS))
def test_no_motion_returns_the_image_and_a_whole_step_its_neighbours(kernel):
    image, flow = _case()
    smooth, move = compiled(prefilter, kernel=kernel)(image), compiled(warp, kernel=kernel)
    still, inside = move(smooth, 0 * flow)
    np.testing.assert_allclose(still, image, atol=1e-5)
    assert inside.all()
    right, inside = map(np.asarray, move(smooth, 0 * flow + np.array([1, 0], np.float32)))
    np.testing.assert_allclose(right[:, :-1], image[:, 1:], atol=1e-5)
    assert inside[:, :-1].all() and not inside[:, -1].any()


def test_vmap_and_jit_equal_one_at_a_time():
    images, flows = (np.stack(parts) for parts in zip(_case(0), _case(1), strict=True))
    got, _ = jax.jit(jax.vmap(warp))(images, flows)
    for one, image, flow in zip(got, images, flows, strict=True):
        np.testing.assert_allclose(one, compiled(warp)(image, flow)[0], atol=1e-5)


def test_an_unknown_kernel_is_named():
    with pytest.raises(UserError, match="did you mean 'spline'"):
        prefilter(_case()[0], kernel="splin")
