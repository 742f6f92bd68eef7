"""Differences of frames and the choices by them, against loops over pixels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mer_jax.errors import UserError
from mer_jax.video.difference import (
    apex_index,
    core_region,
    difference_heatmap,
    remove_global_motion,
    top_pixels,
)
from mer_jax.video.magnify import magnify
from tests.compiled import compiled

RNG = np.random.default_rng(0)
CLIP = RNG.random((9, 6, 8, 3), np.float32)


@pytest.mark.parametrize("length", [None, 1, 5, 9])
def test_heatmap(length):
    expected = np.zeros((6, 8))
    for t in range(9 if length is None else length):
        for y, x, c in np.ndindex(6, 8, 3):
            expected[y, x] += abs(float(CLIP[t, y, x, c]) - float(CLIP[0, y, x, c]))
    np.testing.assert_allclose(
        compiled(difference_heatmap, length=length)(CLIP), expected, atol=1e-5
    )


def test_heatmaps_of_folds_are_one_product():
    """The sum over a fold's training clips, as one product of fold weights and per-clip maps."""
    clips = RNG.random((4, 5, 6, 8, 1), np.float32)
    train = np.array([[1, 1, 0, 0], [0, 1, 1, 1]], np.float32)
    maps = jax.jit(jax.vmap(difference_heatmap))(clips).reshape(4, -1)
    for row, fold in zip(train @ np.asarray(maps), train):
        total = np.abs(clips - clips[:, :1])[fold > 0].sum((0, 1, 4))
        np.testing.assert_allclose(row.reshape(6, 8), total, atol=1e-5)


def test_top_mask_is_a_stable_sort():
    heatmap = RNG.integers(0, 5, (7, 9)).astype(np.float32)  # many ties
    order = np.argsort(-heatmap.reshape(-1), kind="stable")
    for num_pixels in (1, 10, 62, 63):
        mask = jax.jit(top_pixels, static_argnames="num_pixels")(heatmap, num_pixels=num_pixels)
        np.testing.assert_array_equal(mask, np.sort(order[:num_pixels]))
    assert mask.dtype == jnp.int32


@pytest.mark.parametrize("num_pixels", [0, 64, -3])
def test_masks_of_no_size_are_refused(num_pixels):
    with pytest.raises(UserError, match="num_pixels"):
        top_pixels(np.zeros((7, 9), np.float32), num_pixels=num_pixels)
    with pytest.raises(UserError, match="num_pixels"):
        core_region(7, 9, num_pixels=num_pixels)


def test_core_region_of_mer_rcnn():
    region = core_region(64, 48, num_pixels=1966)
    assert region.shape == (1966,) and region.dtype == np.int32
    assert (np.diff(region) > 0).all()
    inside = np.zeros(64 * 48, bool)
    inside[region] = True
    inside = inside.reshape(64, 48)
    # 80 % of each side, up to the ring that 1966 cuts.
    assert inside[7:57, 5:43].all()
    assert not inside[:6].any() and not inside[:, :4].any()
    assert not inside[58:].any() and not inside[:, 44:].any()


def test_core_region_by_loop():
    height, width, num_pixels = 7, 10, 31
    distance = [
        (max(abs(y - 3) / 7, abs(x - 4.5) / 10), y * width + x)
        for y in range(height)
        for x in range(width)
    ]
    expected = sorted(index for _, index in sorted(distance)[:num_pixels])
    np.testing.assert_array_equal(core_region(height, width, num_pixels=num_pixels), expected)


def test_core_region_of_a_rectangle():
    inside = np.zeros((10, 20), bool)
    inside[1:9, 2:18] = True  # 80 % of both sides
    np.testing.assert_array_equal(core_region(10, 20, num_pixels=128), np.flatnonzero(inside))


@pytest.mark.parametrize("length", [None, 4, 9])
def test_apex(length):
    spread = [np.std(frame - CLIP[0]) for frame in CLIP[:length]]
    apex = compiled(apex_index, length=length)(CLIP)
    assert apex == np.argmax(spread)
    assert apex.dtype == jnp.int32


def test_apex_is_where_the_movement_peaks():
    clip = np.full((11, 16, 16, 1), 0.5, np.float32)
    clip[:, 4:8, 4:8] += 0.1 * np.sin(np.linspace(0, np.pi, 11))[:, None, None, None]
    assert compiled(apex_index)(clip) == 5
    # A change of light of the whole frame is no movement.
    clip[9] += 0.3
    assert compiled(apex_index)(clip) == 5


def test_nothing_moves():
    assert compiled(apex_index)(np.full((5, 6, 7, 1), 0.3, np.float32)) == 0


def test_rounding_is_no_movement():
    find, rng = compiled(apex_index), np.random.default_rng(1)
    still = np.repeat(rng.random((1, 20, 20, 1), np.float32), 9, 0)
    assert find(compiled(magnify, alpha=14.0)(still)) == 0
    assert find(still + np.float32(1e-6) * rng.standard_normal(still.shape, np.float32)) == 0
    still[6] += rng.integers(0, 2, still.shape[1:]) / np.float32(255)  # noise of one level counts
    assert find(still) == 6


@pytest.mark.parametrize("function", [difference_heatmap, remove_global_motion])
def test_padding_reaches_no_gradient(function):
    gradient = jax.jit(jax.grad(lambda clip: jnp.sum(function(clip, length=5) ** 2)))
    repeated, spoiled = (
        np.asarray(gradient(jnp.asarray(np.concatenate([CLIP[:5], padding]))))
        for padding in (CLIP[[4, 4]], np.full_like(CLIP[:2], np.nan))
    )
    np.testing.assert_array_equal(spoiled, repeated)
    assert np.isfinite(spoiled).all() and spoiled[:5].any() and not spoiled[5:].any()
