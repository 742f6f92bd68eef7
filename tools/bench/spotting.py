"""Spotting: evidence beside OpenCV's flow, memory over the length of a film, and training."""

import json
import subprocess
import sys
import time
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from mer_jax import models, spotting
from mer_jax.models.sizes import by
from mer_jax.recordings import Recording
from mer_jax.spotting import samples
from mer_jax.training import Parallel, Settings
from tools.bench.timing import Table, compare, timing_table
from tools.bench.workloads import job, leave_out, select, torch_folds

_RATE, _SPAN = 200, 40  # Hz, frames: half of a micro-expression of 0.4 s
_FILM, _FACE = (480, 640), (128, 128)  # px
_MINUTES = (1, 10, 60)
_SMALL = (32, 32)  # px of the film whose memory is measured, at 25 Hz
_SUBJECTS, _LOOP = 8, 2


class _Network(NamedTuple):
    """A network at the sizes of its configuration."""

    name: str
    shape: tuple[int, ...]  # of a sample
    outputs: int
    batch: int
    per_subject: int  # samples
    twin: tuple  # class of tests.twins.networks and its arguments
    sizes: Mapping[str, Any] = types.MappingProxyType({})


_NO_DROPOUT = {"dropout": 0.0, "head_dropout": 0.0}  # the twin has none
_NETWORKS = (
    _Network("softnet", (42, 42, 3), 1, 64, 450, ("SOFTNet", 1, 784)),
    _Network("mean_spotting", (42, 42, 3), 1, 32, 450, ("MEAN", 1, 42, (3, 3, 8), 8, False),
             _NO_DROPOUT),
    _Network("mtsn", (28, 28, 6), 1, 32, 450, ("MTSN", 1, 2, 28, (3, 5, 8), 128)),
    _Network("sfamnet", (42, 42, 3), 6, 1024, 450, ("SFAMNet", 5, 3, 42, 3, 8, False)),
    _Network("pem", (270, 12, 2), 2700, 128, 64, ("PEM", 10, 12, 64, False)),
    _Network("auw_gcn", (270, 12, 2), 2700, 128, 64, ("AUWGCN", 10, (1 / 12,) * 144, 64, 16)),
)  # fmt: skip


def tables(rounds: int, quick: bool, *, only: str = "") -> Iterator[Table]:
    """The evidence of a recording, its memory, and the folds of each network."""
    names = {work.network for work in select(quick=quick, only=only)}
    yield _evidence(rounds, 96 if quick else 600)
    yield _memory(_MINUTES[:2] if quick else _MINUTES)
    yield _folds(rounds, [each for each in _NETWORKS if each.name in names], quick)


def _evidence(rounds: int, count: int) -> Table:
    """The strain rule, decoded frames to one number a frame."""
    import cv2

    rng = np.random.default_rng(0)
    texture = cv2.GaussianBlur(rng.random(_FILM).astype(np.float32), (0, 0), 4)
    texture = np.uint8(255 * (texture - texture.min()) / (texture.max() - texture.min()))
    # A fifth of a pixel of the face from a frame to the next over a span.
    film = np.stack([np.roll(texture, t // _SPAN, 1) for t in range(count)])[..., None]
    video = Recording("bench", "s", "v", lambda a, b: film[a:b], count, float(_RATE))
    dis: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    farneback: Any = cv2.calcOpticalFlowFarneback
    cases = {
        "mer_jax": lambda: spotting.compute(video, evidence="strain", span=_SPAN, size=_FACE),
        "OpenCV DIS medium": lambda: _opencv(film, lambda a, b: dis.calc(a, b, None)),
        "OpenCV Farneback": lambda: _opencv(
            film, lambda a, b: farneback(a, b, None, 0.5, 3, 15, 3, 5, 1.2, 0)
        ),
    }
    title = (
        f"Strain of a frame, 640 x 480 to faces of 128 x 128, span {_SPAN}; real time at "
        f"{_RATE} Hz is {1e3 / _RATE:g} ms"
    )
    return timing_table(title, compare(cases, rounds=rounds, per=count))


def _opencv(film: np.ndarray, flow: Callable) -> np.ndarray:
    """The strain rule with a flow of OpenCV."""
    import cv2

    small = [cv2.resize(frame, _FACE[::-1], interpolation=cv2.INTER_AREA) for frame in film]
    values = np.zeros(len(film), np.float32)
    half = _SPAN // 2
    for t in range(half, len(film) - half):
        u, v = np.moveaxis(flow(small[t - half], small[t + half]), -1, 0)
        (u_y, u_x), (v_y, v_x) = np.gradient(u), np.gradient(v)
        shear = 0.5 * (u_y + v_x)
        values[t] = np.sqrt(u_x**2 + v_y**2 + 2 * shear**2).mean()
    return values


_PROGRAM = """
import json, sys
import numpy as np
from mer_jax import runtime, spotting
from mer_jax.recordings import Recording
side, count = int(sys.argv[1]), int(sys.argv[2])
texture = np.random.default_rng(0).integers(0, 255, (side, 2 * side, 1), np.uint8)
read = lambda a, b: np.stack([texture[:, t % side : t % side + side] for t in range(a, b)])
video = Recording("bench", "s", "v", read, count, 25.0)
spotting.compute(video, evidence="strain", span=6, size=(side, side))
print(json.dumps(runtime.peak_memory()))
"""


def _memory(minutes) -> Table:
    """The peak of a process that computes the evidence of films of several lengths."""
    rows = []
    for each in minutes:
        count = each * 60 * 25
        command = [sys.executable, "-c", _PROGRAM, str(_SMALL[0]), str(count)]
        began = time.perf_counter()
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        peak = json.loads(done.stdout) / 2**20
        rows.append((each, count, peak, time.perf_counter() - began))
    title = f"Peak memory of the strain rule, films of {_SMALL[0]} x {_SMALL[1]} at 25 Hz"
    return Table(title, ("minutes", "frames", "MiB", "s, start included"), rows)


def _folds(rounds: int, networks: Sequence[_Network], quick: bool) -> Table:
    """An epoch of a fold of each network, on the same samples and batches."""
    rows = []
    for network in networks:
        if quick:
            network = network._replace(batch=16, per_subject=4)
        cases = _cases(network)
        per = dict(zip(cases, (_SUBJECTS, _LOOP)))
        ours, *others = compare(cases, rounds=rounds, per=per)
        size = by(network.shape)
        count = (_SUBJECTS - 1) * network.per_subject
        times = [(row.milliseconds, row.ratio, row.low, row.high) for row in others]
        theirs = times[0] if times else ("torch is not installed", "", "", "")
        rows.append((network.name, size, network.batch, count, ours.milliseconds, *theirs))
    title = f"An epoch of a fold, {_SUBJECTS} folds as one job and PyTorch fold after fold"
    columns = ("", "sample", "B", "samples", "ms", "PyTorch, ms", "time / ours", "from", "to")
    return Table(title, columns, rows)


def _cases(network: _Network) -> dict[str, Callable[[], object]]:
    """The job, and the loop where PyTorch is installed."""
    count = _SUBJECTS * network.per_subject
    rng = np.random.default_rng(0)
    inputs = rng.normal(0, 1, (count, *network.shape)).astype(np.float32)
    labels = rng.random((count, network.outputs)).astype(np.float32)
    folds = leave_out(count, _SUBJECTS)
    build = lambda rngs: models.create(
        network.name, num_classes=network.outputs, rngs=rngs, shape=network.shape, **network.sizes
    )
    examples = samples.examples(inputs, normalize="training", mirror=False)
    settings = Settings(epochs=1, batch_size=network.batch, loss="mse")
    layout = Parallel().layout(_SUBJECTS)
    ours, *_ = job(
        examples, jnp.asarray(labels), [folds], settings, build, layout=layout,
        num_classes=network.outputs,
    )  # fmt: skip
    try:
        from tests.twins import networks
    except ImportError:  # of torch
        return {"mer_jax": ours}
    kind, *arguments = network.twin
    make, some = partial(getattr(networks, kind), *arguments), folds.take(range(_LOOP))
    theirs = torch_folds(inputs, labels, some, settings, make, spots=True)
    return {"mer_jax": ours, "PyTorch": theirs}
