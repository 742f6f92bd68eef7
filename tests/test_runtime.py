"""How commands start: in large pages, and with the compiled programs of before."""

import os
import pathlib
import subprocess
import sys

import jax
import jaxlib
import numpy as np
import pytest

from mer_jax import runtime
from mer_jax.errors import UserError


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """No folder is set; afterwards that of the session again."""
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", None)
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    monkeypatch.delenv("MER_JAX_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    yield
    jax.config.update("jax_compilation_cache_dir", before)


def test_they_are_kept_in_the_users_cache_unless_told_otherwise(nowhere, monkeypatch, tmp_path):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")
    runtime.enable_compile_cache()
    assert not jax.config.jax_compilation_cache_dir
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    runtime.enable_compile_cache()
    folder = pathlib.Path(jax.config.jax_compilation_cache_dir)
    assert folder.parent == tmp_path / "mer_jax"
    assert folder.name.startswith(f"jaxlib-{jaxlib.__version__}-")
    jax.config.update("jax_compilation_cache_dir", "elsewhere")
    runtime.enable_compile_cache()
    assert jax.config.jax_compilation_cache_dir == "elsewhere"


@pytest.mark.skipif(sys.platform != "linux", reason="other platforms keep the highest peak")
def test_a_jobs_peak_is_its_own():
    """Neither of the job before it in this process, nor of the process that started this one."""
    large = np.ones(2**26)  # 512 MiB
    runtime.watch_memory()
    with_large = runtime.peak_memory()
    program = "from mer_jax import runtime; print(runtime.peak_memory())"
    given = [sys.executable, "-c", program]
    done = subprocess.run(given, capture_output=True, text=True, check=True)
    assert float(done.stdout) < with_large - 2**28
    del large
    runtime.watch_memory()
    assert runtime.peak_memory() < with_large - 2**28


def test_a_peak_that_cannot_be_set_back_is_of_no_later_job(monkeypatch):
    for found, expected in ((5.0, 5.0), (5.0, None), (4.0, None), (6.0, 6.0)):
        monkeypatch.setattr(runtime, "_peak", lambda found=found: {"device": found})
        assert runtime.peak_memory() == expected
        runtime.watch_memory()


def test_another_cpu_has_another_cache(monkeypatch, tmp_path):
    """XLA:CPU's programs hold instructions of the CPU that compiled them."""
    monkeypatch.setattr(runtime, "_CPU", tmp_path / "cpuinfo")

    def folder(model, features, clock):
        text = f"model\t: {model}\nflags\t: fpu {features}\ncpu MHz\t: {clock}\n"
        runtime._CPU.write_text(text + text)  # two cores
        return runtime.compile_cache_folder()

    here = folder(6, "avx2", 2600)
    assert folder(6, "avx2", 3100) == here  # the clock differs from minute to minute
    assert len({here, folder(6, "avx2 amx_tile", 2600), folder(7, "avx2", 2600)}) == 3


@pytest.mark.skipif(sys.platform != "linux", reason="large pages are asked for on Linux only")
@pytest.mark.parametrize(
    ("tunables", "said"),
    [
        (None, "start\nstart\nglibc.malloc.hugetlb=1 ['--a', 'b c']\n"),
        ("", "start\n ['--a', 'b c']\n"),
    ],
    ids=["unset", "set"],
)
def test_a_command_starts_anew_once_unless_the_environment_decides(tunables, said):
    environment = {name: text for name, text in os.environ.items() if name != "GLIBC_TUNABLES"}
    if tunables is not None:
        environment["GLIBC_TUNABLES"] = tunables
    code = """
import os, sys
print("start", flush=True)
from mer_jax import runtime
from mer_jax.errors import UserError
runtime.enable_huge_pages()
print(os.environ["GLIBC_TUNABLES"], sys.argv[1:])
"""
    command = [sys.executable, "-c", code, "--a", "b c"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == said


def test_a_device_that_is_not_there_is_a_sentence(monkeypatch):
    """JAX raises an AssertionError where its plugin is not installed, else a RuntimeError."""

    def lacking():
        raise AssertionError

    with pytest.raises(ValueError, match="own"), runtime.on_devices():
        raise ValueError("own")  # there are devices: it is something else
    monkeypatch.setattr(jax, "devices", lacking)
    with pytest.raises(UserError, match="JAX_PLATFORMS=cpu; unset it"), runtime.on_devices():
        jax.devices()


@pytest.mark.e2e
@pytest.mark.skipif(pathlib.Path("/dev/nvidia0").exists(), reason="there is a GPU")
@pytest.mark.parametrize(
    "command",
    [
        ["mer_jax", "run", "--config=mer_jax/configs/default.py", "--workdir=NOWHERE"],
        ["mer_jax", "show", "synthetic:0"],
    ],
    ids=lambda command: command[0],
)
def test_commands_say_that_there_is_no_gpu(command, tmp_path):
    command = [word.replace("NOWHERE", str(tmp_path / "run")) for word in command]
    done = subprocess.run(
        [sys.executable, "-m", *command],
        env=os.environ | {"JAX_PLATFORMS": "cuda"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and "no device here for JAX_PLATFORMS=cuda" in done.stderr
    assert "Traceback" not in done.stderr
