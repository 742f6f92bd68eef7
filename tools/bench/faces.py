"""Real faces: how many are found, how steady their crops are, and what a run says about them.

The clips lie beside the checkout (../shared/data/real_faces); without them rendered faces alone are
measured. No emotion is known of any: what counts is that nothing is made up.
"""

import collections
import pathlib
import tempfile
import time
from collections.abc import Iterator, Mapping

import cv2
import numpy as np

from mer_jax import faces, inference
from mer_jax.datasets import load, video_source
from mer_jax.errors import UserError
from tools.bench import predict
from tools.bench.timing import Table

REAL = pathlib.Path(__file__).resolve().parents[3] / "shared/data/real_faces"
VIDEOS = (".mpg", ".mp4", ".mov")
FPS, LENGTH = 100, 100  # of the films made of a photograph


def tables(rounds: int, quick: bool = False) -> Iterator[Table]:
    """Faces found, movement and verdicts of each clip; then of a photograph that moves."""
    real = sorted(REAL.glob("*")) if REAL.is_dir() else []
    names = [str(path) for path in real if path.suffix in VIDEOS][: 2 if quick else None]
    names += [f"synthetic:{index}" for index in range(0, 6 if quick else 60, 6)]
    yield _found(names, quick)
    with tempfile.TemporaryDirectory() as folder:
        predictor = predict.trained(pathlib.Path(folder) / "run", quick)
        sources = {name: video_source.open_video(name) for name in names}
        films = {pathlib.Path(n).name: (list(s.frames()), s.fps) for n, s in sources.items()}
        yield _answers("Verdicts", predictor, films)
        photographs = [path for path in real if "single" in path.name and path.suffix == ".jpg"]
        picture = load("synthetic", size=(320, 320))[0].frames[0]
        if photographs:
            picture = video_source.open_video(photographs[0]).clip.frames[0]
        moved = {name: (film, FPS) for name, film in shaken(picture).items()}
        yield _answers("A photograph that moves", predictor, moved)


def _found(names: list[str], quick: bool) -> Table:
    """Detection in every sixth frame."""
    rows = []
    for name in names:
        source = video_source.open_video(name)
        frames = list(source.frames())[:: 24 if quick else 6]
        began = time.process_time()
        eyes = [inference.find_eyes(frame) for frame in frames]
        spent = time.process_time() - began
        alone = sum(len(faces.detect_faces(frame)) > 0 for frame in frames)
        apart = [float(np.hypot(*(each[0, 1] - each[0, 0]))) for each in eyes if len(each)]
        jitter = 100 * float(np.std(apart) / np.mean(apart)) if apart else float("nan")
        shares = [f"{100 * count / len(frames):.0f} %" for count in (len(apart), alone)]
        row = pathlib.Path(name).name, f"{source.fps:.4g} Hz", len(frames), *shares
        rows.append((*row, f"{jitter:.1f} %", 1e3 * spent / len(frames)))
    columns = ("clip", "rate", "frames", "found", "cascade alone", "eyes' distance ±", "CPU ms")
    return Table("Faces found", columns, rows)


def _answers(title: str, predictor, films: Mapping[str, tuple[list[np.ndarray], float]]) -> Table:
    """Movement (px of a frame of 64 px), steadiness of the crop, and verdicts."""
    rows = []
    for name, (frames, fps) in films.items():
        try:
            result = predictor.predict_video(frames, fps)
        except UserError as error:
            rows.append((name, 0, np.nan, np.nan, "", str(error)))
            continue
        corners = [box.corners for box in result.face_boxes if box.corners is not None]
        sides = [np.hypot(*(each[1] - each[0])) for each in corners]
        counts = collections.Counter(verdict or "a class" for verdict in result.verdicts)
        share = [f"{100 * n / len(result.start):.0f} % {v}" for v, n in counts.most_common()]
        movement = float(np.nanmedian(result.movement)), float(np.nanmax(result.movement))
        crop = f"{100 * (max(sides) / min(sides) - 1):.1f} %"
        rows.append((name, len(result.start), *movement, crop, ", ".join(share)))
    columns = ("clip", "windows", "median px", "largest px", "crop ±", "verdicts")
    return Table(title, columns, rows)


def shaken(picture: np.ndarray) -> dict[str, list[np.ndarray]]:
    """Films of a still picture, [H, W, 3] uint8: nothing in them is an emotion."""
    height, width = picture.shape[:2]
    draw = np.random.default_rng(0)
    across = np.linspace(-1, 1, width)[None, :, None]

    def moved(scale, x, y):
        middle = (1 - scale) * width / 2 + x, (1 - scale) * height / 2 + y
        affine = np.array([[scale, 0, middle[0]], [0, scale, middle[1]]], np.float32)
        edge = cv2.BORDER_REPLICATE
        return cv2.warpAffine(picture, affine, (width, height), None, cv2.INTER_CUBIC, edge)

    bytes_ = lambda film: [np.clip(frame, 0, 255).round().astype(np.uint8) for frame in film]
    time_ = np.arange(LENGTH) / FPS
    return {
        "still": [picture] * LENGTH,
        "noise of 4 levels": bytes_(picture + draw.normal(0, 4, picture.shape) for _ in time_),
        "shaken by 4 px": [moved(1, 4 * np.sin(20 * t), 2.4 * np.sin(27 * t)) for t in time_],
        "zoom of 10 % a second": [moved(1 + 0.1 * t, 0, 0) for t in time_],
        "side light ± 5 %": bytes_(picture * (1 + 0.05 * np.sin(10 * t) * across) for t in time_),
    }
