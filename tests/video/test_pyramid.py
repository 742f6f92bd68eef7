"""The pyramid against pyrtools, against its definition, and against itself."""

import jax
import numpy as np
import pyrtools
import pytest

from mer_jax.video import pyramid

# No level of exactly 5 px: pyrtools 1.1 expands to 5 px with a wrong last pixel; see below.
SIZES = [(64, 64), (65, 97), (170, 139), (9, 10), (11, 40)]


build, reconstruct = jax.jit(pyramid.build), jax.jit(pyramid.reconstruct)


def peer(image):
    other = pyrtools.pyramids.LaplacianPyramid(image)
    return [other.pyr_coeffs[level, 0] for level in range(other.num_scales)]


def by_definition(image):
    """np.pad 'reflect', five taps and every other sample; zeros between the samples to go back."""
    taps = np.sqrt(2) * np.array([1, 4, 6, 4, 1]) / 16

    def smooth(x):
        padded = np.pad(x, [(2, 2), (0, 0)], mode="reflect")
        return sum(tap * padded[k : k + len(x)] for k, tap in enumerate(taps))

    def expand(x, size):
        out = np.zeros((size, x.shape[1]))
        out[::2] = x
        return smooth(out)

    bands = []
    side = min(image.shape)
    while side >= 5:
        smaller = smooth(smooth(image)[::2].T)[::2].T
        back = expand(expand(smaller, image.shape[0]).T, image.shape[1]).T
        bands.append(image - back)
        image, side = smaller, side // 2
    return [*bands, image]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("oracle", [peer, by_definition])
def test_bands(size, oracle):
    image = np.random.default_rng(0).random(size)
    ours = build(image.astype(np.float32)[..., None])
    expected = oracle(image)
    assert len(ours) == len(expected) == pyramid.depth(*size)
    for level, (band, other) in enumerate(zip(ours, expected)):
        assert band.shape == (*other.shape, 1)
        # The gain of a band doubles with every level, and so does its rounding.
        np.testing.assert_allclose(np.asarray(band)[..., 0], other, atol=4e-7 * 2**level)


@pytest.mark.parametrize("size", [(5, 5), (10, 13), (20, 40)])
def test_levels_of_five_pixels_follow_the_definition(size):
    image = np.random.default_rng(1).random(size)
    for band, other in zip(
        build(image.astype(np.float32)[..., None]), by_definition(image), strict=True
    ):
        np.testing.assert_allclose(np.asarray(band)[..., 0], other, atol=4e-6)


@pytest.mark.parametrize("size", [(64, 64), (65, 97), (5, 5), (4, 30)])
def test_reconstruct_inverts_build(size):
    image = np.random.default_rng(2).random((2, *size, 3), np.float32)
    np.testing.assert_allclose(reconstruct(build(image)), image, atol=3e-7)


def test_leading_axes_and_channels_are_independent():
    clip = np.random.default_rng(3).random((2, 3, 22, 31, 3), np.float32)
    whole = jax.tree.map(np.asarray, build(clip))
    for n, t, c in np.ndindex(2, 3, 3):
        for band, all_bands in zip(build(clip[n, t, :, :, c : c + 1]), whole, strict=True):
            np.testing.assert_allclose(
                all_bands[n, t, :, :, c], np.asarray(band)[..., 0], atol=1e-6
            )


def test_is_linear_under_grad_and_jit():
    image = np.random.default_rng(4).random((21, 34, 1), np.float32)
    total = jax.jit(jax.value_and_grad(lambda image: sum(band.sum() for band in build(image))))
    forward, gradient = total(image)
    assert forward == pytest.approx(np.vdot(gradient, image), rel=1e-4)
