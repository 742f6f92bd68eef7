import subprocess
import sys

import pytest

import mer_jax


def test_importing_the_package_imports_no_jax_and_starts_no_backend():
    code = (
        "import sys, mer_jax, mer_jax.problems; assert 'jax' not in sys.modules, 'jax is imported';"
        "import mer_jax.config, jax;"
        "from jax._src import xla_bridge; assert not xla_bridge._backends, 'a backend was started'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_rooms_are_found_by_name():
    assert mer_jax.problems.UserError is not None
    assert "training" in dir(mer_jax)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        mer_jax.nonsense  # noqa: B018
