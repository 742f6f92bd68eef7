"""The default job, shrunk, as a user starts it: a process of its own."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

import numpy as np

from mer_jax.io import learning_curves

ROOT = pathlib.Path(__file__).resolve().parents[2]
# 3 rendered persons, 3 folds, 40 blocks of one epoch; a checkpoint after each.
SMALL = (
    "--config=mer_jax/configs/default.py",
    "--config.data.subjects=3",
    "--config.data.clips_per_subject=4",
    "--config.data.frames=(8, 9)",
    "--config.data.size=(24, 24)",
    "--config.method.preset=horn_schunck",
    "--config.train.epochs=40",
    "--config.checkpoint_seconds=0",
    "--config.report.thumbnails=False",
    "--config.report.example_figures=False",
)


def start(*flags: str, environment: dict[str, str] | None = None) -> subprocess.Popen:
    """`python -m mer_jax run` with `flags`."""
    return subprocess.Popen(
        [sys.executable, "-m", "mer_jax", "run", *flags],
        cwd=ROOT,
        env=os.environ | {"JAX_PLATFORMS": "cpu"} | (environment or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(*flags: str) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of the job, to its end."""
    process = start(*flags)
    out, err = process.communicate(timeout=600)
    return process.returncode, out, err


def finish(workdir: pathlib.Path, *flags: str) -> str:
    """Runs the job in `workdir` to its end, which must be a good one; what it says on the way."""
    code, _, err = run(*SMALL, *flags, f"--workdir={workdir}")
    assert code == 0, err
    return err


def epochs_done(workdir: pathlib.Path) -> int:
    """Epochs that the job has told of."""
    jsonl_writer = workdir / "metrics.jsonl"
    return jsonl_writer.read_bytes().count(b"\n") if jsonl_writer.exists() else 0


def stop_after(
    process: subprocess.Popen, workdir: pathlib.Path, epochs: int, number: signal.Signals
) -> tuple[int, str]:
    """Sends the signal once `epochs` are told of; (exit code, stderr)."""
    while process.poll() is None:
        if epochs_done(workdir) >= epochs:
            process.send_signal(number)
            break
        time.sleep(0.005)
    _, err = process.communicate(timeout=120)
    return process.returncode, err


def outcome(workdir: pathlib.Path) -> dict[str, object]:
    """All that a job leaves behind and that may not depend on what happened to it on the way."""
    names = ("config.json", "folds.json", "predictions.csv", "megc_log.txt", "metrics.jsonl")
    found: dict[str, object] = {name: (workdir / name).read_bytes() for name in names[:4]}
    summary = json.loads((workdir / "metrics.json").read_text())
    found["metrics.json"] = {k: v for k, v in summary.items() if k != "provenance"}
    for name, curve in learning_curves.read(workdir / names[4]).items():
        found[f"curve {name}"] = np.asarray(curve).tobytes() if name != "folds" else curve
    with np.load(workdir / "audit.npz") as audit:
        found |= {f"audit {name}": value.tobytes() for name, value in audit.items()}
    found["report.html"] = (workdir / "report.html").is_file()
    found["left behind"] = sorted(p.name for p in workdir.iterdir() if p.name.startswith(".part-"))
    return found


def differences(workdir: pathlib.Path, reference: dict[str, object]) -> Sequence[str]:
    """The names of what is not bitwise what it is in `reference`, an undisturbed job's outcome."""
    found = outcome(workdir)
    return [name for name in {*found, *reference} if found.get(name) != reference.get(name)]
