"""The test session: strict dtypes and ranks, eight simulated CPU devices, a compilation cache."""

import atexit
import os
import platform
import tempfile

from mer_jax import runtime

# In the environment, so that the processes which tests start find them too.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(runtime.compile_cache_folder()))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
# The tests ask for numbers, not for speed, and most of their time is compiling: without LLVM's
# optimizations, with the older fusions and one module a program it is a fifth. Without fused
# multiply-adds, too: with them, the gradient of a maximum can be NaN (WORKSPACE.md). Those that run
# long are worth level 1 (`.ci/run`). An empty XLA_FLAGS tests the programs as users get them.
_LEVEL = os.environ.get("MER_JAX_TEST_OPTIMIZATION", "0")
_FLAGS = [f"--xla_backend_optimization_level={_LEVEL}", "--xla_llvm_disable_expensive_passes=true"]
if tuple(map(int, runtime.version("jaxlib").split(".")[:2])) < (0, 12):
    _FLAGS.append("--xla_cpu_use_fusion_emitters=false")  # later ones abort: an unknown flag
if _LEVEL == "0":
    _FLAGS.append("--xla_cpu_parallel_codegen_split_count=1")
    if platform.machine().lower() in ("x86_64", "amd64"):
        _FLAGS.append("--xla_cpu_max_isa=AVX")
os.environ.setdefault("XLA_FLAGS", " ".join(_FLAGS))
# Examples that a test computes are no other test's.
_CACHE = tempfile.TemporaryDirectory(prefix="mer_jax-tests-", ignore_cleanup_errors=True)
os.environ["MER_JAX_CACHE_DIR"] = _CACHE.name
atexit.register(_CACHE.cleanup)

import jax  # noqa: E402
import pytest  # noqa: E402

# tools/gpu_report.sh runs some on a GPU.
jax.config.update("jax_platforms", os.environ.get("MER_JAX_TEST_PLATFORM", "cpu"))
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_collection_modifyitems(items):
    """The tier of tests/faults is the folder."""
    for item in items:
        if item.path.parent.name == "faults":
            item.add_marker(pytest.mark.faults)
