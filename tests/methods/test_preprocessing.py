import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from mer_jax import methods
from mer_jax.errors import UserError
from mer_jax.methods import preprocessing

transform = jax.jit(preprocessing.transform)
VIDEO = np.random.default_rng(0).random((3, 9, 12, 2), np.float32)


def test_identity_and_flips_are_exact():
    for matrix, want in (
        (np.eye(2, dtype=np.float32), VIDEO),
        (preprocessing.flip_matrix("none"), VIDEO),
        (preprocessing.flip_matrix("vertical"), VIDEO[:, ::-1]),
        (preprocessing.flip_matrix("horizontal"), VIDEO[:, :, ::-1]),
    ):
        np.testing.assert_array_equal(transform(VIDEO, matrix), want)
    with pytest.raises(UserError, match="did you mean 'vertical'"):
        methods.create("r3d", [], flip="verticl")


def test_a_quarter_turn_is_numpys_rot90():
    square = VIDEO[:, :, :9]
    got = transform(square, preprocessing.rotation_matrix(90.0))
    np.testing.assert_allclose(got, np.rot90(square, axes=(1, 2)), atol=1e-5)


def test_a_small_rotation_is_scipys_on_a_smooth_video():
    rows, columns = np.mgrid[:24, :24]
    smooth = np.sin(rows / 5) * np.cos(columns / 7)
    turn = preprocessing.rotation_matrix(8.0)
    got = np.asarray(transform(smooth[None, ..., None].astype(np.float32), turn))
    want = ndimage.rotate(smooth, 8.0, reshape=False, order=3, mode="nearest")
    inner = np.s_[4:-4, 4:-4]
    np.testing.assert_allclose(got[0, ..., 0][inner], want[inner], atol=2e-3)


def test_constant_maps_become_zero_whatever_their_rounding():
    rng = np.random.default_rng(0)
    for level in (0.0, 0.4, 1e-5, 300.0):
        maps = np.float32(level) * (1 + 1e-7 * rng.normal(size=(9, 9, 2)).astype(np.float32))
        maps[..., 1] = rng.normal(size=(9, 9)) * 1e-9
        unit = np.asarray(preprocessing.to_unit_range(jnp.asarray(maps)))
        assert (unit[..., 0] == 0).all()
        assert unit[..., 1].min() == 0 and unit[..., 1].max() == 1
