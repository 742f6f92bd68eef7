import pytest

from mer_jax import locks
from mer_jax.problems import UserError


def test_one_holds_it_until_it_is_closed(tmp_path):
    with locks.take(tmp_path / "lock", "in use"):
        with pytest.raises(UserError, match="in use"):
            locks.take(tmp_path / "lock", "in use")
        locks.take(tmp_path / "other", "in use").close()
    locks.take(tmp_path / "lock", "in use").close()
