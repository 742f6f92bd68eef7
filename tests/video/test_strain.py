import jax
import numpy as np
import pytest

from mer_jax.errors import UserError
from mer_jax.video.strain import optical_strain, strain_tensor
from tests.compiled import compiled


def _affine(a, shape=(7, 9)):
    """The flow of u = a00 x + a01 y + 3, v = a10 x + a11 y - 1."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    u, v = a[0][0] * x + a[0][1] * y + 3, a[1][0] * x + a[1][1] * y - 1
    return np.stack([u, v], -1).astype(np.float32)


@pytest.mark.parametrize("scheme", ["backward", "central"])
def test_affine_flow(scheme):
    a = [[0.02, -0.03], [0.05, 0.01]]
    got = np.asarray(compiled(strain_tensor, scheme=scheme)(_affine(a)))[1:, 1:]
    np.testing.assert_allclose(got, np.broadcast_to([0.02, 0.01, 0.01], got.shape), atol=1e-6)
    size = np.asarray(compiled(optical_strain, scheme=scheme)(_affine(a)))[1:, 1:]
    expected = np.linalg.norm([[0.02, 0.01], [0.01, 0.01]])  # Frobenius norm of the tensor
    np.testing.assert_allclose(size, expected, atol=1e-6)


def test_rotation_and_translation_strain_nothing():
    np.testing.assert_allclose(
        compiled(optical_strain, scheme="central")(_affine([[0, -0.1], [0.1, 0]])), 0, atol=1e-6
    )


def test_backward_equals_a_loop():
    flow = np.random.default_rng(0).normal(size=(5, 6, 2)).astype(np.float32)
    expected = np.zeros((5, 6))
    for y, x in np.ndindex(5, 6):
        u_x, v_x = flow[y, x] - flow[y, x - 1] if x else (0, 0)
        u_y, v_y = flow[y, x] - flow[y - 1, x] if y else (0, 0)
        expected[y, x] = np.sqrt(u_x**2 + v_y**2 + 0.5 * (u_y + v_x) ** 2)
    np.testing.assert_allclose(compiled(optical_strain)(flow), expected, atol=1e-6)


def test_central_equals_the_analytic_strain_of_a_smooth_flow():
    y, x = np.mgrid[:60, :60] / 20.0
    flow = np.stack([np.sin(x) * np.cos(y), np.cos(x + y)], -1).astype(np.float32)
    u_x, u_y = np.cos(x) * np.cos(y) / 20, -np.sin(x) * np.sin(y) / 20
    v_x = v_y = -np.sin(x + y) / 20
    expected = np.sqrt(u_x**2 + v_y**2 + (u_y + v_x) ** 2 / 2)
    got = np.asarray(compiled(optical_strain, scheme="central")(flow))
    np.testing.assert_allclose(got[1:-1, 1:-1], expected[1:-1, 1:-1], atol=1e-4)


def test_gradient_at_no_motion_is_finite():
    slope = jax.jit(jax.grad(lambda flow: optical_strain(flow).sum()))(
        np.zeros((4, 5, 2), np.float32)
    )
    np.testing.assert_array_equal(slope, 0)


def test_batches():
    flows = np.random.default_rng(1).normal(size=(3, 5, 6, 2)).astype(np.float32)
    got = jax.jit(jax.vmap(optical_strain))(flows)
    np.testing.assert_allclose(got, [compiled(optical_strain)(flow) for flow in flows], atol=1e-6)


def test_an_unknown_scheme_is_named():
    with pytest.raises(UserError, match="did you mean 'backward'"):
        optical_strain(np.zeros((4, 4, 2), np.float32), scheme="backwards")
