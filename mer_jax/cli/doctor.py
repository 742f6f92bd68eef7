"""Diagnoses the installation on this machine and suggests fixes.

    mer-jax doctor [--folder=DIR,DIR]

Prints the versions of required packages, the devices and their memory, the compilation cache, the
folders that can be written to, and the time of one small training step. A line begins with "ok",
"hint" (it works, but could be faster or safer) or "WRONG", followed by a fix. Exit code: 0 no
problems, 1 problems, 2 a mistake in the command.

Example:

    mer-jax doctor --folder=runs
"""

import importlib
import os
import pathlib
import platform
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from typing import NamedTuple

from absl import flags

from mer_jax import runtime
from mer_jax.cli.command import no_arguments
from mer_jax.errors import UserError
from mer_jax.io import reading

_FOLDER = flags.DEFINE_list("folder", None, "Further folders to check, separated by commas.")

OK, HINT, WRONG = "ok", "hint", "WRONG"
_SPACE = 2.0  # GiB for the checkpoints of a large network
_MEMORY = 4.0  # GiB


class Finding(NamedTuple):
    """One line of the output: a state, what was checked, what was found, and a fix."""

    state: str
    what: str
    found: str
    fix: str = ""

    def __str__(self) -> str:
        fix = f"\n{'':27}-> {self.fix}" if self.fix else ""
        return f"{self.state:<6}{self.what:<21}{self.found}{fix}"


def python() -> Iterator[Finding]:
    """Python and the machine."""
    found = f"{platform.python_version()} in {sys.prefix}"
    yield Finding(OK, "Python", f"{found}, {platform.system()} {platform.machine()}")


def packages() -> Iterator[Finding]:
    """Each package that mer_jax requires: installed, new enough, and importable."""
    try:
        lines = metadata.requires("mer_jax") or ()
    except metadata.PackageNotFoundError:
        yield Finding(WRONG, "mer_jax", "is not installed", "pip install -e . in its folder")
        return
    for line in lines:
        found = re.match(r"([\w-]+)(?:\[.*?\])?[^;]*?(?:>=([\d.]+)|;|$)", line)
        if found and "extra ==" not in line:
            yield package(found[1], found[2])
    versions = [metadata.version(name) for name in ("jax", "jaxlib")]
    if versions[0] != versions[1]:
        pair = f"jax {versions[0]} with jaxlib {versions[1]}"
        yield Finding(HINT, "jax, jaxlib", pair, f"pip install jaxlib=={versions[0]}")


# Import names that differ from the package's.
_MODULES = {"absl-py": "absl", "opencv-python": "cv2", "orbax-checkpoint": "orbax.checkpoint"}
_MODULES |= {"pillow": "PIL", "tensorflow-datasets": "tensorflow_datasets"}
_ALTERNATIVES = {runtime.OPENCV[0]: runtime.OPENCV[1:]}  # other packages of the same module


def package(name: str, least: str | None) -> Finding:
    """Whether package `name` is there, in version `least` or later, and can be imported."""
    names = (name, *_ALTERNATIVES.get(name, ()))
    there = {each: found for each in names if (found := runtime.version(each))}
    if not there:
        return Finding(WRONG, name, "is not installed", f"pip install '{name}>={least or 0}'")
    installed, version = next(iter(there.items()))
    if least and numbers(version) < numbers(least):
        return Finding(WRONG, installed, f"{version}, too old", f"pip install -U '{name}>={least}'")
    try:
        module = importlib.import_module(_MODULES.get(name, name.replace("-", "_")))
    except Exception as error:  # a missing shared library, a half-removed package, ...
        reason = " ".join(str(error).split())[:120]
        fix = f"pip install --force-reinstall {installed}"
        if "libGL" in reason or "libxcb" in reason or "libgthread" in reason:
            fix = "pip uninstall -y opencv-python; pip install 'opencv-python-headless<5'"
        return Finding(WRONG, installed, f"{version} cannot be imported: {reason}", fix)
    if name not in _ALTERNATIVES:
        return Finding(OK, installed, version)
    # Several OpenCV packages share one folder: the one installed last is imported.
    imported = getattr(module, "__version__", version)
    place = f"{imported} is imported, from {getattr(module, '__file__', '?')}"
    if len(there) == 1 and numbers(imported)[:3] == numbers(version)[:3]:
        return Finding(OK, installed, place)
    versions = ", ".join(f"{each} {found}" for each, found in there.items())
    # What needs the extra modules, as MediaPipe does, runs with those of the last one.
    fix = f"pip uninstall -y {' '.join(there)}; pip install '{list(there)[-1]}>={least or 0},<5'"
    return Finding(HINT, installed, f"{versions}: {place}", fix)


def numbers(version: str) -> tuple[int, ...]:
    """ "0.10.2.dev3" -> (0, 10, 2): enough to compare releases."""
    found = re.match(r"[\d.]*\d", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def devices() -> Iterator[Finding]:
    """What JAX computes on, and a GPU that it does not see."""
    import jax

    try:
        with runtime.on_devices():
            found = jax.devices()
    except UserError as error:
        yield Finding(WRONG, "devices", str(error), "unset JAX_PLATFORMS, or install JAX for it")
        return
    kinds = ", ".join(sorted({device.device_kind for device in found}))
    yield Finding(OK, "devices", f"{len(found)} x {kinds} ({found[0].platform})")
    stats = found[0].memory_stats() or {}
    if "bytes_limit" in stats:
        free = (stats["bytes_limit"] - stats.get("bytes_in_use", 0)) / 2**30
        state = OK if free > _MEMORY else HINT
        fix = (
            ""
            if state == OK
            else "end other programs on the device, or lower parallel.folds_per_device"
        )
        yield Finding(state, "device memory", f"{free:.1f} GiB for JAX", fix)
    chosen = os.environ.get("JAX_PLATFORMS", "")
    if found[0].platform == "cpu" and pathlib.Path("/dev/nvidia0").exists():
        fix = "pip install -U 'jax[cuda13]'"
        if chosen:
            fix = f"unset JAX_PLATFORMS (it is {chosen!r}); if that is not enough, {fix}"
        yield Finding(WRONG, "GPU", "there is one, but JAX does not use it", fix)
    elif found[0].platform == "cpu":
        cores = runtime.cores()
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
        text = f"{cores} core(s), load {load:.1f}"
        fix = "other programs are using them: times will be longer" if load > 1.5 * cores else ""
        yield Finding(HINT if fix else OK, "processor", text, fix)


def memory() -> Iterator[Finding]:
    """Free main memory."""
    free = runtime.available_memory() / 2**30
    short = free < _MEMORY
    fix = "end other programs, or choose fewer clips or a smaller method.size" if short else ""
    yield Finding(HINT if short else OK, "memory", f"{free:.1f} GiB free", fix)


def folders() -> Iterator[Finding]:
    """Where runs, temporary files and compiled programs go."""
    import jax

    checked = {"here": pathlib.Path.cwd(), "temporary": pathlib.Path(tempfile.gettempdir())}
    for number, folder in enumerate(_FOLDER.value or (), 1):
        checked[f"folder {number}"] = reading.expanded(folder)
    for name, folder in checked.items():
        yield writable(name, folder)
    runtime.enable_compile_cache()  # as the commands do
    cache = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]  # made as it runs
    if cache:
        yield writable("compilation cache", reading.expanded(cache), space=0.2)
    else:
        fix = "unset JAX_COMPILATION_CACHE_DIR, so that the next run need not compile again"
        yield Finding(HINT, "compilation cache", "none", fix)


def writable(name: str, folder: pathlib.Path, *, space: float = _SPACE) -> Finding:
    """Whether a file can be written to `folder` (made if need be), with `space` GiB left.

    Nothing stays behind: neither the file nor a folder that was not there.
    """
    there = folder
    while not there.exists():
        there = there.parent
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"x")
    except OSError as error:
        fix = "choose another folder, or change its permissions"
        return Finding(WRONG, name, f"{folder}: cannot be written to ({error.strerror})", fix)
    free = shutil.disk_usage(there).free / 2**30
    fix = "checkpoints of a large network may not fit; free some" if free < space else ""
    return Finding(HINT if fix else OK, name, f"{folder}, {free:.1f} GiB free", fix)


def faces() -> Iterator[Finding]:
    """OpenCV's cascades, with which faces are found in a user's own video."""
    from mer_jax.datasets import load
    from mer_jax.faces import detect_face

    frame = load("synthetic", subjects=1, clips_per_subject=1, size=(160, 128))[0].frames[0]
    if detect_face(frame) is None:
        fix = "pip install --force-reinstall 'opencv-python<5'"
        yield Finding(WRONG, "faces", "OpenCV does not find a rendered face", fix)
    else:
        yield Finding(OK, "faces", "found by OpenCV")


def speed() -> Iterator[Finding]:
    """One training step of STSTNet on 32 flow maps: the time to compile it, and to run it."""
    import jax
    import jax.numpy as jnp
    import optax
    from flax import nnx

    from mer_jax import models

    model = models.create("ststnet", num_classes=3, rngs=nnx.Rngs(0), shape=(28, 28, 3))
    graph, *parts = nnx.split(model, nnx.Param, ...)
    params, rest = map(nnx.as_pure, parts)
    maps = jax.random.uniform(jax.random.key(0), (32, 28, 28, 3))
    labels = jnp.arange(32, dtype=jnp.int32) % 3

    def loss(params):
        logits = nnx.merge(graph, params, rest)(maps)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    @jax.jit
    def step(params):
        value, slope = jax.value_and_grad(loss)(params)
        return value, jax.tree.map(lambda p, g: p - 1e-3 * g, params, slope)

    began = time.perf_counter()
    value, params = jax.block_until_ready(step(params))
    compiled = time.perf_counter() - began
    times = []
    for _ in range(20):
        began = time.perf_counter()
        value, params = jax.block_until_ready(step(params))
        times.append(time.perf_counter() - began)
    if not jnp.isfinite(value):
        yield Finding(WRONG, "one step", "its loss is not finite", "reinstall jax and jaxlib")
        return
    one = sorted(times)[len(times) // 2]
    text = f"{1e3 * one:.1f} ms for 32 maps by STSTNet, {32 / one:,.0f} maps/s"
    yield Finding(OK, "one step", f"{text}; compiled in {compiled:.1f} s")


CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    *(python, packages, devices, memory, folders, faces, speed),
)


def examine(checks=CHECKS) -> Iterator[Finding]:
    """All findings in turn. A check that fails is a finding, and the next one runs; without a
    device those that need one do not."""
    for check in checks:
        states = []
        try:
            for finding in check():
                states.append(finding.state)
                yield finding
        except Exception as error:  # reported as a finding
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            yield Finding(WRONG, check.__name__, reason, "first fix what is WRONG above")
        if check is devices and WRONG in states:
            return  # those that follow compute on a device


def main(argv: list[str]) -> int:
    """Prints the findings; 1 if something is wrong."""
    no_arguments(argv)
    states = []
    for finding in examine():
        print(finding, flush=True)
        states.append(finding.state)
    wrong = states.count(WRONG)
    print(f"\n{wrong} thing(s) wrong" if wrong else "\nNothing is wrong.")
    return 1 if wrong else 0
