"""The test session: strict dtypes, eight fake CPU devices, compiled functions kept on disk."""

import os
import pathlib

ROOT = pathlib.Path(__file__).resolve().parent.parent
# In the environment, so that the processes which tests start find them too.
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(ROOT / ".jax_cache")
# The tests ask for numbers, not for speed, and most of their time is compiling: with few of LLVM's
# optimizations that is two thirds (with none, the gradient of a maximum can be NaN: WORKSPACE.md).
# An empty XLA_FLAGS tests the programs as users get them.
os.environ.setdefault(
    "XLA_FLAGS", "--xla_backend_optimization_level=1 --xla_llvm_disable_expensive_passes=true"
)

import jax  # noqa: E402

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
