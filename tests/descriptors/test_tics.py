"""TICS against mixtures of known sources, scikit-learn's FastICA, and a search by SciPy."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation
from sklearn.decomposition import FastICA

from mer_jax.descriptors import color_levels, independent_colors, lbp_tics, lbp_top
from mer_jax.errors import UserError

MIXING = np.array([[25.0, 14.0, -3.0], [20.0, -15.0, 8.0], [15.0, 5.0, -9.0]])  # rows R, G, B
fit = jax.jit(independent_colors)


def mixed(shape=(4, 5, 80, 80), seed=0):
    """Clips [N, T, H, W, 3] uint8 of three independent sources of different shape."""
    rng = np.random.default_rng(seed)
    sources = [
        rng.uniform(-np.sqrt(3), np.sqrt(3), shape),
        rng.laplace(0, np.sqrt(0.5), shape),
        rng.choice([-1.0, 1.0], shape),
    ]
    return np.clip(np.round(128 + np.stack(sources, -1) @ MIXING.T), 0, 255).astype(np.uint8)


def rows_of(mixing):
    """Comon's convention for the inverse: by norm of the columns, their largest entry positive."""
    order = np.argsort(-np.linalg.norm(mixing, axis=0))
    columns = mixing[:, order] * np.sign(
        [column[np.abs(column).argmax()] for column in mixing[:, order].T]
    )
    rows = np.linalg.inv(columns)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_known_sources_and_those_of_fast_ica_are_found():
    levels = mixed()
    found = fit(levels, np.ones(levels.shape[:2], np.float32))
    np.testing.assert_allclose(found, rows_of(MIXING), atol=0.01)
    ica = FastICA(3, fun="cube", whiten="unit-variance", random_state=0, tol=1e-8)
    ica.fit(levels.reshape(-1, 3).astype(float))
    np.testing.assert_allclose(found, rows_of(ica.mixing_), atol=0.005)


def test_a_clip_of_a_million_pixels_has_the_colors_of_its_frames():
    """Weak colors beside a strong luma: a float32 sum in order was off by .14."""
    mixing = MIXING * np.array([[4.0, 0.3, 0.25]])
    rng = np.random.default_rng(0)
    shape = (30, 200, 200)
    sources = [rng.laplace(0, np.sqrt(0.5), shape), rng.choice([-1.0, 1.0], shape)]
    sources.append(rng.uniform(-np.sqrt(3), np.sqrt(3), shape))
    levels = np.clip(np.round(128 + np.stack(sources, -1) @ mixing.T), 0, 255).astype(np.uint8)
    one = fit(levels[None], np.ones((1, 30), np.float32))
    each = fit(levels[:, None], np.ones((30, 1), np.float32))
    np.testing.assert_allclose(one, each, atol=1e-3)
    x = levels.reshape(-1, 3).astype(np.float64)
    y = (x - x.mean(0)) @ np.float64(one).T
    correlation = np.corrcoef(y.T)
    np.testing.assert_allclose(correlation, np.eye(3), atol=1e-3)


def test_the_rotation_is_the_best_that_a_search_finds():
    rng = np.random.default_rng(1)
    pixels = rng.gamma(2.0, 12.0, (400, 3)) @ rng.uniform(0, 1, (3, 3))  # not independent
    levels = np.clip(np.round(pixels), 0, 255).astype(np.uint8)
    x = levels - levels.mean(0)
    variance, axes = np.linalg.eigh(x.T @ x / len(x))
    white = x @ axes / np.sqrt(variance)
    delta = np.eye(3)
    cumulant = np.zeros((3, 3, 3, 3))
    for i, j, k, l in itertools.product(range(3), repeat=4):
        moment = np.mean(white[:, i] * white[:, j] * white[:, k] * white[:, l])
        cumulant[i, j, k, l] = moment - delta[i, j] * delta[k, l]
        cumulant[i, j, k, l] -= delta[i, k] * delta[j, l] + delta[i, l] * delta[j, k]

    def across(vector):
        rotation = Rotation.from_rotvec(vector).as_matrix()
        slices = np.einsum("ai,bj,abkl->ijkl", rotation, rotation, cumulant)
        return sum(np.sum(slices[i, j] ** 2) for i in range(3) for j in range(3) if i != j)

    starts = rng.normal(size=(8, 3))
    best = min(
        (minimize(across, start, method="BFGS", options={"gtol": 1e-9}) for start in starts),
        key=lambda each: each.fun,
    )
    rotation = Rotation.from_rotvec(best.x).as_matrix()
    expected = rows_of(axes * np.sqrt(variance) @ rotation)
    found = fit(levels.reshape(1, 1, 20, 20, 3), np.ones((1, 1), np.float32))
    np.testing.assert_allclose(found, expected, atol=4e-3)  # moments of 400 pixels in float32


def test_frames_without_weight_change_nothing():
    levels = mixed((3, 4, 12, 12))
    weights = np.array([[1, 1, 1, 0], [0, 0, 0, 0], [1, 1, 0, 0]], np.float32)
    other = np.where(weights[..., None, None, None] > 0, levels, 255 - levels)
    np.testing.assert_array_equal(fit(other, weights), fit(levels, weights))
    alone = levels[weights > 0][:, None]
    np.testing.assert_allclose(
        fit(levels, weights), fit(alone, np.ones((5, 1), np.float32)), atol=1e-4
    )


@pytest.mark.parametrize("varies", [True, False])
def test_of_gray_frames_the_first_component_is_gray_and_the_others_are_0(varies):
    gray = np.random.default_rng(2).integers(0, 256 if varies else 1, (1, 3, 9, 9, 1), np.uint8)
    levels = np.asarray(color_levels(gray[0], length=None))[None]
    found = np.asarray(fit(levels, np.ones((1, 3), np.float32)))
    np.testing.assert_allclose(found[0], np.full(3, 3**-0.5 if varies else 0), atol=1e-3)
    np.testing.assert_array_equal(found[1:], 0)


def test_gray_frames_have_the_patterns_of_lbp_top_and_of_two_constants():
    gray = np.random.default_rng(4).integers(0, 256, (7, 12, 13, 1), np.uint8)
    colors = fit(np.asarray(color_levels(gray))[None], np.ones((1, 7), np.float32))
    options = dict(radii=(2, 1, 2), blocks=(2, 2))
    top = jax.jit(functools.partial(lbp_top, **options))
    found = jax.jit(functools.partial(lbp_tics, **options))(gray, colors)
    expected = np.concatenate([top(gray), *[top(np.zeros_like(gray))] * 2])
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_axes_and_weights_of_a_color_space_are_checked():
    levels = np.zeros((2, 3, 5, 5, 3), np.uint8)
    for given, weights, said in (
        (levels[0], np.ones((2, 3)), r"levels of shape .*: expected \[N, T, H, W, 3\]"),
        (levels[..., :1], np.ones((2, 3)), "levels of shape"),
        (levels, np.ones((2, 2)), r"weights of shape .*: expected \[2, 3\]"),
        (levels, -np.ones((2, 3)), "weights are below 0"),
        (levels, np.full((2, 3), np.nan), "row 0 holds NaN or infinity"),
    ):
        with pytest.raises(UserError, match=said):
            independent_colors(given, weights)


def test_weights_of_zero_give_no_component():
    levels = mixed((2, 3, 9, 9))
    np.testing.assert_array_equal(fit(levels, np.zeros((2, 3), np.float32)), np.zeros((3, 3)))


def test_colors_are_three_finite_numbers_a_component():
    clip = np.zeros((3, 5, 5, 3), np.uint8)
    options = dict(radii=(1, 1, 1), points=4, blocks=(1, 1))
    wrongs = [np.ones(3), np.ones((3, 2)), np.ones((1, 3, 3)), np.zeros((0, 3)), 1j * np.eye(3)]
    for wrong in (*wrongs, "ab", [[1, 2, 3], [1, 2]]):
        with pytest.raises(UserError, match=r"colors are .*; they must be \[K, 3\]"):
            lbp_tics(clip, wrong, **options)
    for number in (np.nan, np.inf):
        with pytest.raises(UserError, match="row 1 of colors holds NaN or infinity"):
            lbp_tics(clip, [[1, 0, 0], [0, number, 0]], **options)
    np.testing.assert_array_equal(
        lbp_tics(clip, [[0, 0, 0]], **options), lbp_tics(clip, [[0, 1, 0]], **options)
    )


def test_patterns_are_those_of_each_component():
    """Components of integer weights are gray clips, which `lbp_top` describes."""
    rng = np.random.default_rng(3)
    rgb = rng.integers(0, 80, (9, 12, 13, 3), np.uint8)
    options = dict(radii=(2, 1, 2), blocks=(2, 2), points=8)
    weights = np.array([[1, 1, 1], [0, 1, 0], [1, -1, 0]])
    volumes = [np.uint8(rgb @ row + 80 * (row.sum() < 1)) for row in weights]
    for more in ({}, {"interpolate": True}):
        top = jax.jit(functools.partial(lbp_top, **options, **more))
        expected = jnp.concatenate([top(volume[..., None]) for volume in volumes])
        describe = jax.jit(functools.partial(lbp_tics, **options, **more))
        for scale in (1, 3**-0.5, 1e-30, 1e30):
            found = describe(rgb, (weights * scale).astype(np.float32))
            np.testing.assert_allclose(found, expected, atol=1e-7)
