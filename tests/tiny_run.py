"""One finished run for all tests of prediction: three rendered persons, two epochs.

Its method has a statistic of the fold's training clips, so that prediction must take the fold's.
"""

import os
import pathlib
from collections.abc import Callable

import filelock
import jax
import pytest

from mer_jax import configuration, experiment


def shared(
    factory: pytest.TempPathFactory, name: str, make: Callable[[pathlib.Path], object]
) -> pathlib.Path:
    """A folder of the session, filled by `make` in whichever worker needs it first."""
    root = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent  # of all workers
    folder = root / name
    with filelock.FileLock(root / f"{name}.lock"):
        if not (root / f"{name}.done").exists():
            make(folder)
            (root / f"{name}.done").touch()
    return folder


def tiny_run(factory: pytest.TempPathFactory, *, model_selection: str = "last") -> pathlib.Path:
    """The working directory of `job`, which is run once a session."""
    config = job(model_selection=model_selection)
    run = lambda folder: experiment.run(config, folder, devices=jax.devices()[:1], quiet=True)
    return shared(factory, f"tiny_run_{model_selection}", run)


def job(**train):
    return configuration.make(
        data={
            "name": "synthetic",
            "subjects": 3,
            "clips_per_subject": 4,
            "frames": (8, 12),
            "size": (40, 40),
        },
        method={"name": "stcnn", "size": (16, 16), "length": 8, "time": "resample"},
        model={"name": "stcnn", "filters": 4, "kernel": (3, 3, 3), "hidden": 8},
        train={"epochs": 2, "batch_size": 8} | train,
    )
