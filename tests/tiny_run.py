"""One finished run for all tests of prediction: three rendered persons, two epochs.

Its method has a statistic of the fold's training clips, so that prediction must take the fold's.
"""

import fcntl
import os
import pathlib

import jax
import pytest

from mer_jax import configuration, experiment, inference


def tiny_run(factory: pytest.TempPathFactory, *, model_selection: str = "last") -> pathlib.Path:
    """The working directory, made by whichever worker of the session asks first."""
    root = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent  # what the workers share
    folder = root / f"tiny_run_{model_selection}"
    with open(root / "tiny_run.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / inference.profile.FILENAME).is_file():
            make(folder, model_selection)
    return folder


def make(folder: pathlib.Path, model_selection: str) -> None:
    experiment.run(
        job(model_selection=model_selection), folder, devices=jax.devices()[:1], quiet=True
    )


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
