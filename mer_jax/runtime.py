"""The environment of a job: huge pages, compilation cache, devices, and JAX settings that change
numbers."""

import contextlib
import hashlib
import importlib.metadata
import os
import pathlib
import platform
import re
import sys
from collections.abc import Iterator
from concurrent import futures

from mer_jax.errors import UserError

_CPU = pathlib.Path("/proc/cpuinfo")
_CGROUP = pathlib.Path("/proc/self/cgroup")
_CGROUPS = pathlib.Path("/sys/fs/cgroup")
# By the controllers of a line of _CGROUP ("": version 2): folder, and what its files are called.
_CGROUP_FILES = {
    "": (_CGROUPS, "memory.max", "memory.current", ""),
    "memory": (_CGROUPS / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
}


# The packages of OpenCV: as it is, without windows, with its extra modules, and both.
OPENCV = (
    *("opencv-python", "opencv-python-headless", "opencv-contrib-python"),
    "opencv-contrib-python-headless",
)


def version(package: str) -> str:
    """The version of an installed package; "" if it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def enable_huge_pages() -> None:
    """Restarts this process, once, so that large arrays are in pages of 2 MB, on Linux.

    A CPU job's arrays are new memory at every call, which the kernel hands out page by page: in
    pages of 4 kB that took a tenth of STSTNet's time and a third of FuseNet's. glibc (2.35 and
    later) uses large ones if set before the process starts. Where GLIBC_TUNABLES is set, also
    empty, nothing is done.
    """
    if sys.platform != "linux" or "GLIBC_TUNABLES" in os.environ:
        return
    os.environ["GLIBC_TUNABLES"] = "glibc.malloc.hugetlb=1"
    with contextlib.suppress(OSError):
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def cores() -> int:
    """How many processor cores this process may use."""
    return len(getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))(0))


@contextlib.contextmanager
def threads(*, at_most: int = 1024) -> Iterator[futures.ThreadPoolExecutor]:
    """A thread for each core that this process may use; an error drops the calls that wait."""
    with futures.ThreadPoolExecutor(min(cores(), at_most)) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def cache_folder() -> pathlib.Path:
    """The user's folder for what can be made again: MER_JAX_CACHE_DIR, XDG_CACHE_HOME/mer_jax or
    ~/.cache/mer_jax."""
    if folder := os.environ.get("MER_JAX_CACHE_DIR"):
        return pathlib.Path(folder)
    caches = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(caches) / "mer_jax"


def compile_cache_folder() -> pathlib.Path:
    """The folder of compiled programs in the user's cache, by jaxlib version and CPU.

    XLA compiles for the instructions of the CPU it runs on; another CPU, with the same home
    folder, cannot run these programs.
    """
    import jaxlib

    processor = platform.machine() + platform.processor()
    with contextlib.suppress(OSError):  # Linux: model and features, the same for all cores
        text = _CPU.read_text()
        lines = re.findall(r"^(?:vendor_id|model|flags|CPU .*|Features)\b.*:.*", text, re.M)
        processor += "".join(sorted(set(lines)))
    digest = hashlib.sha256(processor.encode()).hexdigest()[:8]
    return cache_folder() / f"jaxlib-{jaxlib.__version__}-{digest}"


def enable_compile_cache() -> None:
    """Sets JAX's compilation cache to `compile_cache_folder`, unless one is set.

    JAX_COMPILATION_CACHE_DIR sets another folder; if it is empty, there is no cache.
    """
    import jax

    directory = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]  # made as it runs
    if "JAX_COMPILATION_CACHE_DIR" in os.environ or directory:
        return
    jax.config.update("jax_compilation_cache_dir", str(compile_cache_folder()))


def available_memory() -> float:
    """Bytes of main memory that this process can still take: what the machine has, and what the
    limits of its cgroups (containers, batch jobs) leave. Cached files count as free."""
    import psutil

    free = float(psutil.virtual_memory().available)
    with contextlib.suppress(OSError, ValueError, KeyError):
        for controllers, own in re.findall(r"^\d+:(.*?):/(.*)$", _CGROUP.read_text(), re.M):
            if controllers not in _CGROUP_FILES:
                continue
            root, limit, usage, prefix = _CGROUP_FILES[controllers]
            for group in (root / own, *(root / own).parents):
                if not (group / limit).exists() or (group / limit).read_text() == "max\n":
                    continue
                stat = dict(re.findall(r"^(\w+) (\d+)$", (group / "memory.stat").read_text(), re.M))
                cached = sum(int(stat[f"{prefix}{kind}_file"]) for kind in ("active", "inactive"))
                used = int((group / usage).read_text()) - cached
                free = min(free, int((group / limit).read_text()) - used)
    return max(free, 0.0)


_STATUS = pathlib.Path("/proc/self/status")
_peaks_before: dict[str, float] = {}  # that `watch_memory` has found and could not set back


def watch_memory() -> None:
    """Begins a job, whose `peak_memory` is not that of the jobs before it in this process."""
    with contextlib.suppress(OSError):  # Linux: 5 sets the peak back
        _STATUS.with_name("clear_refs").write_text("5")
    _peaks_before.update(_peak())


def peak_memory() -> float | None:
    """Bytes: the most that a device has had in use, or this process where devices do not report it.

    Since the last `watch_memory`. None where it is not known: on some platforms, and where a peak
    that cannot be set back was higher before.
    """
    ((kind, value),) = _peak().items()
    same = kind != "VmHWM" and _peaks_before.get(kind, 0.0) >= value
    return None if same else value


def _peak() -> dict[str, float]:
    """The peak of devices or process since it started, by what tells it."""
    import jax

    stats = [device.memory_stats() or {} for device in jax.local_devices()]
    if peaks := [each["peak_bytes_in_use"] for each in stats if "peak_bytes_in_use" in each]:
        return {"device": float(max(peaks))}
    # Not `ru_maxrss`, which on Linux begins with the peak of the process that started this one.
    with contextlib.suppress(OSError, AttributeError):
        found = re.search(r"^VmHWM:\s+(\d+) kB", _STATUS.read_text(), re.M)
        return {"VmHWM": 1024.0 * int(found[1])}  # type: ignore[index]  # a kernel without it
    try:
        import resource
    except ImportError:  # Windows
        return {"": 0.0}
    unit = 1 if sys.platform == "darwin" else 1024
    return {"process": float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)}


@contextlib.contextmanager
def on_devices() -> Iterator[None]:
    """Runs the body; raises `UserError` if it fails because JAX finds no requested device."""
    try:
        yield
    except UserError:
        raise
    except Exception:
        import jax

        platforms = jax.config.jax_platforms  # type: ignore[attr-defined]  # made as it runs
        try:
            jax.devices()
        except (RuntimeError, AssertionError) as error:  # the second without the plugin
            reason = f" ({' '.join(str(error).split())[:120]})" if str(error) else ""
            raise UserError(
                f"JAX finds no device here for JAX_PLATFORMS={platforms or ''}{reason}; unset it, "
                "or set JAX_PLATFORMS=cpu (mer-jax doctor checks this machine)"
            ) from None
        raise


@contextlib.contextmanager
def pinned() -> Iterator[None]:
    """Runs the body, or a function decorated by `@pinned()`, with fixed values of the JAX settings
    that change numbers, whatever the environment sets.

    JAX_ENABLE_X64, JAX_DEFAULT_PRNG_IMPL, JAX_THREEFRY_PARTITIONABLE and
    JAX_DEFAULT_MATMUL_PRECISION would else give the same command and seed other scores.
    """
    import jax

    with (
        jax.enable_x64(False),
        jax.default_prng_impl("threefry2x32"),
        jax.threefry_partitionable(True),
        jax.default_matmul_precision(None),
    ):
        yield
