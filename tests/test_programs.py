"""Where compiled programs are kept."""

import jax
import pytest

from mer_jax import programs


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """No folder is set; afterwards that of the session again."""
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", None)
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    yield
    jax.config.update("jax_compilation_cache_dir", before)


def test_they_are_kept_in_the_users_cache_unless_told_otherwise(nowhere, monkeypatch, tmp_path):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")
    programs.keep()
    assert not jax.config.jax_compilation_cache_dir
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    programs.keep()
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "mer_jax")
    jax.config.update("jax_compilation_cache_dir", "elsewhere")
    programs.keep()
    assert jax.config.jax_compilation_cache_dir == "elsewhere"
