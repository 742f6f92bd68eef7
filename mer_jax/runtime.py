"""What programs rest on: memory in large pages, compiled programs that are kept, a device, and the
settings of JAX that change numbers."""

import contextlib
import os
import pathlib
import sys
from collections.abc import Iterator

from mer_jax.errors import UserError


def enable_huge_pages() -> None:
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


def enable_compile_cache() -> None:
    """Has JAX keep what it compiles in the user's cache folder, unless it has a folder for that.

    JAX_COMPILATION_CACHE_DIR says where else; empty, nothing is kept.
    """
    import jax

    kept = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]  # made as it runs
    if "JAX_COMPILATION_CACHE_DIR" in os.environ or kept:
        return
    caches = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    jax.config.update("jax_compilation_cache_dir", str(pathlib.Path(caches) / "mer_jax"))


@contextlib.contextmanager
def on_devices() -> Iterator[None]:
    """The body; raises `UserError` where it fails since JAX finds no device of those asked for."""
    try:
        yield
    except UserError:
        raise
    except Exception:
        import jax

        asked = jax.config.jax_platforms  # type: ignore[attr-defined]  # made as it runs
        try:
            jax.devices()
        except (RuntimeError, AssertionError) as error:  # the second without the plugin
            why = f" ({' '.join(str(error).split())[:120]})" if str(error) else ""
            raise UserError(
                f"JAX finds no device here for JAX_PLATFORMS={asked or ''}{why}; unset it, or set "
                "JAX_PLATFORMS=cpu (mer-jax doctor looks at this machine)"
            ) from None
        raise


@contextlib.contextmanager
def pinned() -> Iterator[None]:
    """The body, or a function below `@pinned()`, with those settings of JAX that change numbers as
    this library was tested with, whatever the environment says.

    JAX_ENABLE_X64, JAX_DEFAULT_PRNG_IMPL, JAX_THREEFRY_PARTITIONABLE and
    JAX_DEFAULT_MATMUL_PRECISION would else give the same command and seed other scores; and
    JAX_NUMPY_RANK_PROMOTION=raise, which is for a user's own code, would end a sound job.
    """
    import jax

    with (
        jax.enable_x64(False),
        jax.default_prng_impl("threefry2x32"),
        jax.threefry_partitionable(True),
        jax.default_matmul_precision(None),
        jax.numpy_rank_promotion("allow"),
    ):
        yield
