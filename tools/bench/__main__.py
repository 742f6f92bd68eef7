"""Our speed beside that of what people use now, in one run, as ratios.

  python -m tools.bench video              magnification, robust PCA, optical flow, TIM
  python -m tools.bench folds              training of folds against a PyTorch loop
  python -m tools.bench all --out=FILE.md  everything, kept as a table

Peers come with the extra `bench` (pip install -e '.[bench]'); one that is missing is left out.
Times are medians of interleaved rounds. On a machine with a GPU the same command measures the GPU:
JAX uses it by itself, the peers of `video` stay on the CPU.
"""

import importlib
import os
import pathlib
import platform
import sys

from absl import app, flags, logging

_ROUNDS = flags.DEFINE_integer("rounds", 7, "Interleaved rounds; the median counts.", lower_bound=1)
_OUT = flags.DEFINE_string("out", None, "A Markdown file that gets the tables too.")
_SUITES = ("video", "folds")


def main(argv: list[str]) -> None:
    chosen = argv[1:] or ["all"]
    if set(chosen) - {*_SUITES, "all"}:
        print(f"error: say one of {', '.join(_SUITES)} or all", file=sys.stderr)
        raise SystemExit(2)
    logging.set_verbosity(logging.WARNING)
    import jax

    device = jax.devices()[0]
    head = (
        f"jax {jax.__version__}, Python {platform.python_version()}, {os.cpu_count()} CPU cores, "
        f"{device.device_kind} ({device.platform}); load {os.getloadavg()[0]:.1f} at the start\n"
    )
    print(head)
    parts = [head]
    for suite in _SUITES if "all" in chosen else chosen:
        for table in importlib.import_module(f"tools.bench.{suite}").tables(_ROUNDS.value):
            print(table, flush=True)
            parts.append(table)
    if _OUT.value:
        pathlib.Path(_OUT.value).write_text("\n".join(parts))


if __name__ == "__main__":
    app.run(main)
