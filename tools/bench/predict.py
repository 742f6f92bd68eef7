"""A video through a finished run, end to end: decoding, faces, cutting, flow and networks."""

import pathlib
import statistics
import tempfile
import time
from collections.abc import Iterator

import cv2
import numpy as np

from mer_jax import configuration, experiment, inference
from mer_jax.datasets import synthetic, video_source
from mer_jax.io import video_files
from tools.bench.timing import Table

FPS, SIZE = 100, (480, 640)
CASES = {
    "first video of a process": {},  # compiles
    "every further one": {},
    "further, every window predicted": {"threshold": 0.0},
}


def tables(rounds: int, quick: bool = False) -> Iterator[Table]:
    """Seconds of clock and of processor for one video; over 1 times real time is faster."""
    seconds = 2 if quick else 10
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        path = film(folder / "film.mp4", seconds)
        predictor, rows = trained(folder / "run", quick), []
        for case, options in CASES.items():
            times = 1 if case.startswith("first") else min(rounds, 3)
            spent = [clock(predictor, path, options) for _ in range(times)]
            wall, busy = (statistics.median(s[i] for s in spent) for i in (0, 1))
            result = spent[-1][2]
            predicted = int(np.isfinite(result.probabilities[:, 0]).sum())
            rows.append((case, wall, seconds / wall, busy, len(result.start), predicted))
    columns = ("", "s", "times real time", "CPU s", "windows", "predicted")
    title = f"Prediction by STSTNet, {seconds} s of {SIZE[1]} x {SIZE[0]} at {FPS} Hz"
    yield Table(f"{title}, {len(predictor.networks.folds)} folds", columns, rows)


def trained(workdir: pathlib.Path, quick: bool):
    """A predictor of a job of one epoch: as fast as a good one, and as careful."""
    job = configuration.make(
        data={"name": "synthetic", "subjects": 3 if quick else 12, "clips_per_subject": 3},
        method="flow_maps",
        model="ststnet",
        train={"epochs": 1, "batch_size": 16},
    )
    experiment.run(job, workdir, command="bench", quiet=True)
    return inference.load(workdir)


def clock(predictor, path: pathlib.Path, options: dict):
    """(seconds, CPU seconds, predictions)."""
    began, busy = time.perf_counter(), time.process_time()
    source = video_source.open_video(path)
    result = predictor.predict_video(source.frames(), source.fps, total=source.count, **options)
    return time.perf_counter() - began, time.process_time() - busy, result


def film(path: pathlib.Path, seconds: int) -> pathlib.Path:
    """One subject, a micro-expression per second; rendered at half the size, which takes a quarter
    of the time, and enlarged."""
    half = (SIZE[0] // 2, SIZE[1] // 2)
    scenes = synthetic.scenes(
        subjects=1, clips_per_subject=seconds, size=half, frames=(FPS, FPS), fps=FPS
    )
    frames = (frame for scene in scenes for frame in scene.frames)
    large = (cv2.resize(frame, SIZE[::-1], interpolation=cv2.INTER_CUBIC) for frame in frames)
    return video_files.write(path, large, FPS)
