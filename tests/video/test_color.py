"""Colour spaces against hand-written sums and scikit-image."""

import numpy as np
import pytest
import skimage.color

from mer_jax.errors import UserError
from mer_jax.video import color

IMAGE = np.random.default_rng(0).random((2, 5, 7, 3), np.float32)


def test_yiq_is_scikit_images_up_to_the_digits_of_the_matrix():
    ours = color.rgb_to_yiq(IMAGE)
    np.testing.assert_allclose(ours, skimage.color.rgb2yiq(IMAGE), atol=2e-3)


def test_rgb_from_yiq_is_the_printed_matrix():
    y, i, q = np.moveaxis(IMAGE.astype(np.float64), -1, 0)
    expected = np.stack(
        [y + 0.956 * i + 0.621 * q, y - 0.272 * i - 0.647 * q, y - 1.106 * i + 1.703 * q], axis=-1
    )
    np.testing.assert_allclose(color.yiq_to_rgb(IMAGE), expected, atol=1e-6)


def test_there_and_back():
    np.testing.assert_allclose(color.yiq_to_rgb(color.rgb_to_yiq(IMAGE)), IMAGE, atol=1e-6)


def test_ranges():
    corners = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1]), -1).astype(np.float32)
    y, i, q = np.moveaxis(np.asarray(color.rgb_to_yiq(corners)), -1, 0)
    assert y.min() == pytest.approx(0, abs=1e-6) and y.max() == pytest.approx(1, abs=1e-6)
    assert np.abs(i).max() < 0.6 and np.abs(q).max() < 0.53


def test_grey():
    gray = color.to_gray(IMAGE)
    assert gray.shape == (2, 5, 7, 1)
    np.testing.assert_allclose(gray[..., 0], IMAGE @ [0.299, 0.587, 0.114], atol=2e-4)
    np.testing.assert_array_equal(color.to_gray(gray), gray)


def test_other_channels_are_refused():
    with pytest.raises(UserError, match=r"\[\.\.\., C\]"):
        color.to_gray(IMAGE[..., :2])
    for function in (color.rgb_to_yiq, color.yiq_to_rgb):
        for count in (1, 2):
            with pytest.raises(UserError, match=r"expected \[\.\.\., 3\]"):
                function(IMAGE[..., :count])
    with pytest.raises(UserError, match=r"image of shape \(\): expected \[\.\.\., 3\]"):
        color.mix(np.float32(1), color.YIQ_FROM_RGB)
