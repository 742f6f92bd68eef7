import functools

import jax
import numpy as np
import pytest

from mer_jax import faces
from mer_jax.errors import UserError

RNG = np.random.default_rng(2)
FIXED = faces.template((192, 192))
MOVING = (FIXED + 4 * np.sin(FIXED[:, ::-1] / 30) + RNG.normal(0, 1, FIXED.shape)).astype(
    np.float32
)
PLACES = RNG.uniform(-20, 212, (300, 2)).astype(np.float32)


@functools.partial(jax.jit, static_argnames="neighbors")
def apply(fixed, moving, neighbors=12):
    return faces.lwm_apply(faces.lwm_fit(fixed, moving, neighbors=neighbors), PLACES)


def literal(fixed, moving, neighbors, places):
    """Point by point in float64, from Goshtasby's definition."""
    fixed, moving = fixed.astype(np.float64), moving.astype(np.float64)
    discs = []
    for center in fixed:
        distance = np.hypot(*(fixed - center).T)
        near = np.argsort(distance, kind="stable")[:neighbors]
        radius = distance[near[-1]]
        x, y = ((fixed[near] - center) / radius).T
        terms = np.stack([np.ones_like(x), x, y, x * y, x**2, y**2], 1)
        discs.append((center, radius, np.linalg.lstsq(terms, moving[near], rcond=None)[0]))
    found = np.full((len(places), 2), np.nan)
    for i, place in enumerate(places.astype(np.float64)):
        above, below = 0.0, 0.0
        for center, radius, solved in discs:
            r = np.hypot(*(place - center)) / radius
            if r < 1:
                x, y = (place - center) / radius
                weight = 1 - 3 * r**2 + 2 * r**3
                above = above + weight * np.array([1, x, y, x * y, x**2, y**2]) @ solved
                below += weight
        if below:
            found[i] = above / below
    return found


@pytest.mark.parametrize("neighbors", [8, 12, 20])
def test_is_goshtasbys(neighbors):
    found, covered = apply(FIXED, MOVING, neighbors=neighbors)
    covered = np.asarray(covered)
    expected = literal(FIXED, MOVING, neighbors, PLACES)
    np.testing.assert_array_equal(covered, ~np.isnan(expected[:, 0]))
    assert 50 < covered.sum() < 290
    np.testing.assert_allclose(np.asarray(found)[covered], expected[covered], atol=0.02)


def test_a_quadratic_map_is_found_exactly():
    """Every local fit is the map itself, so the mean of them is."""

    def quadratic(p):
        x, y = p[..., 0] / 100, p[..., 1] / 100
        return 100 * np.stack([0.1 + x + 0.05 * x * y - 0.1 * y**2, 0.9 * y - 0.2 + 0.1 * x**2], -1)

    found, covered = apply(FIXED, quadratic(FIXED).astype(np.float32))
    covered = np.asarray(covered)
    np.testing.assert_allclose(np.asarray(found)[covered], quadratic(PLACES)[covered], atol=0.02)


def test_where_no_disc_reaches_the_best_affine_map_stands_in():
    found, covered = apply(FIXED, MOVING)
    terms = np.c_[np.ones(len(FIXED)), FIXED].astype(np.float64)
    affine = np.linalg.lstsq(terms, MOVING, rcond=None)[0]
    expected = np.c_[np.ones(len(PLACES)), PLACES] @ affine
    outside = ~np.asarray(covered)
    np.testing.assert_allclose(np.asarray(found)[outside], expected[outside], atol=2e-3)


def test_vmap_jit_and_gradients():
    several = np.stack([MOVING, MOVING + 3, MOVING[::-1]])
    run = lambda moving: apply(FIXED, moving)[0]
    loop = np.stack([run(moving) for moving in several])
    np.testing.assert_allclose(jax.jit(jax.vmap(run))(several), loop, atol=0.02)
    gradient = jax.jit(jax.grad(lambda moving: run(moving).sum()))(MOVING)
    assert np.isfinite(gradient).all()
    # Moving all points by a pixel moves every place by it.
    np.testing.assert_allclose(gradient.sum(0), [300, 300], rtol=1e-3)


def test_points_in_a_line_or_at_one_place_break_nothing():
    line = FIXED.copy()
    line[:17, 1] = 50
    for moving in (MOVING, np.zeros_like(MOVING)):
        found, _ = apply(line, moving)
        assert np.isfinite(found).all()


@pytest.mark.parametrize(
    "fixed, moving, neighbors, words",
    [
        (FIXED, MOVING[:-1], 12, "should both be"),
        (FIXED, MOVING, 5, "neighbors=5"),
        (FIXED[:10], MOVING[:10], 12, "10 control points"),
    ],
)
def test_mistakes_are_one_sentence(fixed, moving, neighbors, words):
    with pytest.raises(UserError, match=words):
        faces.lwm_fit(fixed, moving, neighbors=neighbors)
