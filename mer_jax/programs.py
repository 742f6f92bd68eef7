"""What commands do at their start: memory in large pages, and compiled programs that are kept."""

import contextlib
import os
import pathlib
import sys


def in_large_pages() -> None:
    """Starts this process anew, once, so that large arrays lie in pages of 2 MB, on Linux.

    A CPU job's arrays are new memory at every call, which the kernel hands out page by page: in
    pages of 4 kB that took a tenth of STSTNet's time and a third of FuseNet's. glibc (2.35 and
    later) asks for large ones if told so before the process begins. GLIBC_TUNABLES in the
    environment, also an empty one, leaves all as it is.
    """
    if sys.platform != "linux" or "GLIBC_TUNABLES" in os.environ:
        return
    os.environ["GLIBC_TUNABLES"] = "glibc.malloc.hugetlb=1"
    with contextlib.suppress(OSError):
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


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
