import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg

from mer_jax.video.flow import PRESETS
from mer_jax.video.flow_solver import Linearized, divergence, gradient, solve


def _difference_matrices(height, width):
    """Sparse matrices of the differences to the right and down, over pixels in row order."""

    def along(n):
        return scipy.sparse.diags([-np.ones(n - 1), np.ones(n - 1)], [0, 1], shape=(n - 1, n))

    eye = scipy.sparse.eye
    return (
        scipy.sparse.kron(eye(height), along(width)),
        scipy.sparse.kron(along(height), eye(width)),
    )


def _system(data, faces, it, ix, iy, flow):
    """The normal equations of the increment, solved by a direct sparse solver in float64."""
    height, width = it.shape
    operators = []
    for across, down in zip(*faces, strict=True):
        right, below = _difference_matrices(height, width)
        operators.append(
            right.T @ scipy.sparse.diags(across.ravel()) @ right
            + below.T @ scipy.sparse.diags(down.ravel()) @ below
        )
    diagonal = scipy.sparse.diags
    cross = diagonal((data * ix * iy).ravel())
    matrix = scipy.sparse.bmat(
        [
            [diagonal((data * ix**2).ravel()) + operators[0], cross],
            [cross, diagonal((data * iy**2).ravel()) + operators[1]],
        ]
    )
    right_side = np.concatenate(
        [
            -operators[0] @ flow[0].ravel() - (data * it * ix).ravel(),
            -operators[1] @ flow[1].ravel() - (data * it * iy).ravel(),
        ]
    )
    step = scipy.sparse.linalg.spsolve(matrix.tocsc(), right_side)
    return step.reshape(2, height, width)


def _linearised(rng, shape):
    return tuple((scale * rng.normal(size=shape)).astype(np.float32) for scale in (3, 8, 8))


@pytest.mark.parametrize("shape", [(12, 16), (11, 13), (7, 8), (8, 5), (2, 2)])
def test_solve_equals_a_direct_sparse_solve(shape):
    rng = np.random.default_rng(0)
    height, width = shape
    it, ix, iy = _linearised(rng, shape)
    data = rng.uniform(0.01, 1, shape).astype(np.float32)
    faces = [
        rng.uniform(1, 60, (2, *size)).astype(np.float32)
        for size in [(height, width - 1), (height - 1, width)]
    ]
    flow = rng.normal(size=(2, *shape)).astype(np.float32)
    solved = jax.jit(functools.partial(solve, sweeps=150, omega=1.7))
    got = solved(data, faces, Linearized(it, ix, iy), flow)
    wide = [np.asarray(x, float) for x in (it, ix, iy)]
    expected = flow + _system(data.astype(float), faces, *wide, flow.astype(float))
    np.testing.assert_allclose(got, expected, atol=2e-5)


@pytest.mark.parametrize("stage", [1.0, 0.5, 0.0])
def test_classic_l_solves_the_lorentzian_system_of_the_stage(stage):
    rng = np.random.default_rng(1)
    shape = (10, 13)
    it, ix, iy = _linearised(rng, shape)
    flow = (0.05 * rng.normal(size=(2, *shape))).astype(np.float32)
    settings = dataclasses.replace(PRESETS["classic_l"], sweeps=30)

    def weight(x, sigma, wide):
        lorentzian = 2 / (2 * sigma**2 + x**2)
        return stage * 2 / wide**2 + (1 - stage) * lorentzian

    wide = flow.astype(float)
    faces = [0.06 * weight(np.diff(wide, axis=axis), 0.03, 1) for axis in (2, 1)]
    system = _system(
        weight(it.astype(float), 1.5, 50), faces, *(x.astype(float) for x in (it, ix, iy)), wide
    )
    got, _ = jax.jit(settings.refine)(Linearized(it, ix, iy), flow, None, jnp.float32(stage))
    np.testing.assert_allclose(got - flow, np.clip(system, -1, 1), atol=2e-4)


def test_tv_l1_equals_a_loop_over_the_published_cases():
    rng = np.random.default_rng(2)
    height, width = shape = (6, 7)
    it, ix, iy = _linearised(rng, shape)
    flow = rng.normal(size=(2, *shape)).astype(np.float32)
    memory = (0.3 * rng.normal(size=(2, 2, *shape))).astype(np.float32)
    tau, weight, theta = 0.25, 0.15, 0.3
    u, p = flow.astype(float), memory.astype(float)
    for _ in range(3):
        new = np.zeros_like(u)
        for y, x in np.ndindex(*shape):
            slope = np.array([ix[y, x], iy[y, x]], float)
            rho = it[y, x] + slope @ (u[:, y, x] - flow[:, y, x])
            square = slope @ slope
            if rho < -weight * theta * square:
                step = weight * theta * slope
            elif rho > weight * theta * square:
                step = -weight * theta * slope
            else:
                step = -rho * slope / square
            for k in range(2):
                spread = 0.0
                spread += p[k, 0, y, x] if x < width - 1 else 0
                spread -= p[k, 0, y, x - 1] if x > 0 else 0
                spread += p[k, 1, y, x] if y < height - 1 else 0
                spread -= p[k, 1, y - 1, x] if y > 0 else 0
                new[k, y, x] = u[k, y, x] + step[k] + theta * spread
        u = new
        for k in range(2):
            for y, x in np.ndindex(*shape):
                right = u[k, y, x + 1] - u[k, y, x] if x < width - 1 else 0.0
                below = u[k, y + 1, x] - u[k, y, x] if y < height - 1 else 0.0
                size = 1 + tau / theta * np.hypot(right, below)
                p[k, 0, y, x] = (p[k, 0, y, x] + tau / theta * right) / size
                p[k, 1, y, x] = (p[k, 1, y, x] + tau / theta * below) / size
    settings = dataclasses.replace(PRESETS["tv_l1"], iterations=3)
    refine = jax.jit(settings.refine)
    memory = memory.swapaxes(0, 1)
    got, dual = refine(Linearized(it, ix, iy), flow, memory, jnp.float32(0))
    np.testing.assert_allclose(got, u, atol=1e-4)
    np.testing.assert_allclose(dual, p.swapaxes(0, 1), atol=1e-4)


@pytest.mark.parametrize("preset", ["classic_l", "classic_c", "tv_l1"])
def test_gradients_are_finite_where_nothing_moves(preset):
    settings = PRESETS[preset]
    still = jnp.zeros((2, 5, 6), jnp.float32)
    memory = jnp.zeros((2, 2, 5, 6), jnp.float32)

    def moved(images):
        return settings.refine(Linearized(*images), still, memory, jnp.float32(0))[0].sum()

    for level in (0.0, 1.0):
        slopes = jax.jit(jax.grad(moved))(jnp.full((3, 5, 6), level, jnp.float32))
        assert np.isfinite(slopes).all()


def test_divergence_is_minus_the_adjoint_of_the_gradient():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(6, 9)).astype(np.float32)
    p = rng.normal(size=(2, 6, 9)).astype(np.float32)
    along_w, along_h = gradient(x)
    inner = (along_w * p[0] + along_h * p[1]).sum()
    np.testing.assert_allclose(inner, -(x * divergence(*p)).sum(), atol=1e-4)
