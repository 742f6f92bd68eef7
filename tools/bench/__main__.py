"""Compares our speed with other packages', in one run, as ratios, and with this machine's limits.

  python -m tools.bench video        magnification, robust PCA, optical flow, TIM, LBP-TOP
  python -m tools.bench loso         68 folds of STSTNet against a PyTorch loop over the folds
  python -m tools.bench networks     a training step of every network against PyTorch
  python -m tools.bench scaling      1 to 68 folds, 1 device to all there are
  python -m tools.bench startup      import, first step cold, first step from a warm cache
  python -m tools.bench roofline     operations and bytes of each network, and the ceilings here
  python -m tools.bench spotting     evidence of long videos, its memory, folds of each network
  python -m tools.bench predict      a ten-second video through a finished run
  python -m tools.bench profile      memory and a trace of 68 folds of STSTNet
  python -m tools.bench faces        real clips beside the checkout, and a photograph that moves
  python -m tools.bench all --out=FILE.md --json=FILE.json

--quick takes small sizes and few rounds, to see that it works, not to quote. --only=rcn selects the
networks of that name, --landmarks=FILE,FILE adds models to `faces`. Other packages come with the
extras `bench` and `torch`; one that is missing is skipped and named. Times are medians of
interleaved rounds, ratios those of the same round, with the smallest and the largest.

All is measured in memory pages of 4 kB, the default of Python and PyTorch. `mer-jax run` uses large
ones; GLIBC_TUNABLES=glibc.malloc.hugetlb=1 in the environment gives them to all programs.

On a machine with a GPU the same command measures the GPU, with whatever versions are there: JAX
uses it by itself and so does the PyTorch loop; the other packages of `video` stay on the CPU.
"""

import importlib
import os
import platform
import sys
from typing import Any

from absl import flags

from mer_jax import runtime
from mer_jax.cli import command
from mer_jax.errors import UserError
from mer_jax.io import saving
from tools.bench.timing import Table

_ROUNDS = flags.DEFINE_integer("rounds", 7, "Interleaved rounds; the median counts.", lower_bound=1)
_QUICK = flags.DEFINE_bool("quick", False, "Small sizes, few rounds.")
_ONLY = flags.DEFINE_string(
    "only",
    "",
    "For networks, roofline and spotting: only networks that match this regular expression.",
)
_MODELS = flags.DEFINE_list("landmarks", [], "For faces: landmark models, separated by commas.")
_OUT = flags.DEFINE_string("out", None, "Also write the tables to this Markdown file.")
_JSON = flags.DEFINE_string("json", None, "Also write the unrounded numbers to this JSON file.")
_SUITES = ("video", "loso", "networks", "scaling", "startup", "roofline", "predict", "profile")
_SUITES += ("spotting", "faces")
_BY_NETWORK = ("networks", "roofline", "spotting")


def main(argv: list[str]) -> None:
    """Runs the suites that `argv` names and prints their tables."""
    chosen = argv[1:] or ["all"]
    if set(chosen) - {*_SUITES, "all"}:
        raise UserError(f"name one of {', '.join(_SUITES)} or all")
    import jax

    from mer_jax.training import parallel
    from tools.bench import workloads

    parallel.use_all_cores()  # as mer_jax.cli.run does
    workloads.select(quick=_QUICK.value, only=_ONLY.value)  # raises for a mistake, at once
    device = jax.devices()[0]
    machine = {
        "jax": jax.__version__,
        "python": platform.python_version(),
        "torch": runtime.version("torch") or "not installed",
        "cpu_cores": os.cpu_count(),
        "device": f"{len(jax.devices())} x {device.device_kind} ({device.platform})",
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else 0.0,
    }
    head = ", ".join(f"{name} {value}" for name, value in machine.items()) + "\n"
    print(head)
    tables: list[tuple[str, Table]] = []
    rounds = min(_ROUNDS.value, 2) if _QUICK.value else _ROUNDS.value
    _write(machine, head, tables)  # raises at once where it cannot be written
    for suite in _SUITES if "all" in chosen else chosen:
        module = importlib.import_module(f"tools.bench.{suite}")
        options: dict = {"only": _ONLY.value} if suite in _BY_NETWORK else {}
        options |= {"landmarks": _MODELS.value} if suite == "faces" else {}
        for table in module.tables(rounds, _QUICK.value, **options):
            print(table, flush=True)
            tables.append((suite, table))
            _write(machine, head, tables)


def _write(machine: dict[str, Any], head: str, tables: list[tuple[str, Table]]) -> None:
    """Writes the tables so far, so that a run that is stopped keeps them."""
    if _OUT.value:
        saving.write(_OUT.value, "\n".join([head, *(str(table) for _, table in tables)]))
    if _JSON.value:
        found = [{"suite": suite, **table._asdict()} for suite, table in tables]
        saving.write_json(_JSON.value, {"machine": machine, "tables": found})


if __name__ == "__main__":
    raise SystemExit(command.run(command.start, sys.modules[__name__], sys.argv))
