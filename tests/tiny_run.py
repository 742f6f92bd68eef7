"""One finished run for all tests of prediction: three rendered persons, two epochs.

Its method has a statistic of the fold's training clips, so that prediction must take the fold's.
"""

import fcntl
import os
import pathlib

import jax
import pytest

from mer_jax import config, experiment, predict


def tiny_run(factory: pytest.TempPathFactory, *, choice: str = "last") -> pathlib.Path:
    """The working directory, made by whichever worker of the session asks first."""
    root = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent  # what the workers share
    folder = root / f"tiny_run_{choice}"
    with open(root / "tiny_run.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / predict.reference.FILE).is_file():
            make(folder, choice)
    return folder


def make(folder: pathlib.Path, choice: str) -> None:
    experiment.run(job(choice=choice), folder, devices=jax.devices()[:1], quiet=True)


def job(**train):
    return config.make(
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
