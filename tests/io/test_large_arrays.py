"""Arrays in memory or in a file that is mapped: the same values, and nothing is left behind."""

import errno
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mer_jax.errors import UserError
from mer_jax.io import large_arrays
from mer_jax.io.large_arrays import IN_MEMORY, Storage


@pytest.mark.parametrize("limit", [23, 24])
def test_a_larger_array_lies_in_a_file_without_a_name(tmp_path, limit):
    array = large_arrays.empty((2, 3), np.float32, storage=Storage(limit, tmp_path / "new"))
    assert isinstance(array, np.memmap) == (limit == 23)  # it has 24 bytes
    assert array.ctypes.data % 64 == 0
    array[:] = np.arange(6).reshape(2, 3)
    np.testing.assert_array_equal(array, [[0, 1, 2], [3, 4, 5]])
    assert not list(tmp_path.glob("new/*"))


@pytest.mark.parametrize("shape", [(), (0, 3), (5,)])
def test_any_shape(shape):
    assert large_arrays.empty(shape, np.int8, storage=IN_MEMORY).shape == shape


def test_a_full_disk_is_one_sentence(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(UserError, match=r"cannot be written .No space left on device"):
        large_arrays.empty((9,), np.float32, storage=Storage(0, tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("mapped", [False, True])
def test_float16_rounds_as_jax_does(tmp_path, mapped):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(100, 50)) * 10.0 ** rng.uniform(-10, 4, (100, 50))
    values[0, :6] = [0, -0.0, 65504, 65520, 2.98e-8, np.inf]
    array = large_arrays.empty(
        values.shape, np.float32, storage=Storage(0 if mapped else 1e9, tmp_path)
    )
    array[:] = values
    found = large_arrays.as_dtype(array, "float16")
    assert isinstance(found, np.memmap) == mapped and found.dtype == np.float16
    expected = jax.jit(lambda a: a.astype(jnp.float16))(np.asarray(array))
    np.testing.assert_array_equal(found.view(np.uint16), np.asarray(expected).view(np.uint16))
    assert not list(tmp_path.iterdir())
