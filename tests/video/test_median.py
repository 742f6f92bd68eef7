import jax
import numpy as np
import pytest
import scipy.ndimage

from mer_jax.errors import UserError
from mer_jax.video.median import median_filter


@pytest.mark.parametrize("size", [1, 3, 5, 7])
@pytest.mark.parametrize("shape", [(16, 23), (5, 8)])
def test_equals_scipy(size, shape):
    rng = np.random.default_rng(0)
    for image in (rng.normal(size=shape), rng.integers(0, 4, shape)):  # the second has ties
        image = image.astype(np.float32)
        expected = scipy.ndimage.median_filter(image, size, mode="reflect")
        np.testing.assert_array_equal(median_filter(image, size=size), expected)


def test_vmap_equals_one_at_a_time():
    images = np.random.default_rng(1).normal(size=(3, 9, 10)).astype(np.float32)
    got = jax.jit(jax.vmap(median_filter))(images)
    np.testing.assert_array_equal(got, [median_filter(image) for image in images])


@pytest.mark.parametrize(("size", "told"), [(0, "1 or more"), (4, "odd")])
def test_an_even_window_is_refused(size, told):
    with pytest.raises(UserError, match=told):
        median_filter(np.zeros((8, 8), np.float32), size=size)
