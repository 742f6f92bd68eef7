"""Luma and linear maps of channels against hand-written sums."""

import numpy as np
import pytest

from mer_jax.errors import UserError
from mer_jax.video import color

IMAGE = np.random.default_rng(0).random((2, 5, 7, 3), np.float32)


def test_grey():
    gray = color.to_gray(IMAGE)
    assert gray.shape == (2, 5, 7, 1)
    np.testing.assert_allclose(gray[..., 0], IMAGE @ [0.299, 0.587, 0.114], atol=2e-4)
    np.testing.assert_array_equal(color.to_gray(gray), gray)


def test_luma_is_that_of_the_inverse_of_matlabs_matrix():
    printed = np.array([[1, 0.956, 0.621], [1, -0.272, -0.647], [1, -1.106, 1.703]])
    expected = np.linalg.solve(printed, np.moveaxis(IMAGE, -1, 0).reshape(3, -1))[0]
    np.testing.assert_allclose(np.ravel(color.to_gray(IMAGE)), expected, atol=1e-6)


def test_other_channels_are_refused():
    with pytest.raises(UserError, match=r"\[\.\.\., C\]"):
        color.to_gray(IMAGE[..., :2])
    with pytest.raises(UserError, match=r"image of shape \(\): expected \[\.\.\., 3\]"):
        color.mix(np.float32(1), color.YIQ_FROM_RGB)
