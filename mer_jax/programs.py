"""Compiled programs, kept from one start of a command to the next."""

import os
import pathlib


def keep() -> None:
    """Has JAX keep what it compiles in the user's cache folder, unless it has a folder for that.

    JAX_COMPILATION_CACHE_DIR says where else; empty, nothing is kept.
    """
    import jax

    kept = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]  # made as it runs
    if "JAX_COMPILATION_CACHE_DIR" in os.environ or kept:
        return
    caches = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    jax.config.update("jax_compilation_cache_dir", str(pathlib.Path(caches) / "mer_jax"))
