"""What a run's own clips look like: the measure that a video of somebody else is brought to.

Size and rate of the frames, where the eyes lie in them, how long a clip is, and how much moves in
the quietest of them. At its end a run reads that off its clips and keeps it as
WORKDIR/predict.json: a prediction needs no database.
"""

import collections
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mer_jax import faces
from mer_jax.clips import Clip, resize
from mer_jax.errors import UserError
from mer_jax.faces.detection import to_gray
from mer_jax.io import reading, saving

FILE = "predict.json"
STILL_QUANTILE = 0.1  # share of the run's own clips that move less than what counts as movement
_CLIPS = 64  # how many are looked at, evenly over the run
_LARGEST = 64  # px of the longer side, on which movement is measured
_BLUR = 5  # px of these: sensor noise is averaged out, skin that moves is not
_FLOOR = 1e-4  # px of these, less of which is no movement
_RIM = 6  # px of these that a drift may bring in from outside


_SCHEMA = {
    "size": [int],
    "channels": int,
    "eyes": ([float], None),
    "fps": float,
    "length": int,
    "marked": bool,
    "movement": float,
}
_MOST = 2**32  # px of all frames of a clip


class DatasetProfile(NamedTuple):
    """How the frames of a run are, and how much moves in them."""

    size: tuple[int, int]  # (H, W)
    channels: int  # 1 grey, 3 RGB
    eyes: tuple[float, float, float, float] | None  # `constants` of faces.eye_rectangle
    fps: float  # Hz; 0 where the database has none
    length: int  # frames of the median clip
    marked: bool  # whether the run's clips have a marked apex
    movement: float  # threshold on `movement`, px


def profile_clips(clips: Sequence[Clip]) -> DatasetProfile:
    """Measures up to 64 of `clips`, which are videos, evenly spread."""
    chosen = [clips[i] for i in np.unique(np.linspace(0, len(clips) - 1, _CLIPS).astype(int))]
    shapes, lengths, eyes, movements = [], [], [], []
    for clip in chosen:
        frames = clip.frames
        shapes.append(frames.shape[1:])
        lengths.append(len(frames))
        movements.append(movement(frames)[0])
        found = _eyes(frames[0], clip.landmarks)
        if found is not None:
            eyes.append(_constants(found, *frames.shape[1:3]))
    height, width, channels = collections.Counter(shapes).most_common(1)[0][0]
    known = len(eyes) > len(chosen) / 2
    return DatasetProfile(
        size=(height, width),
        channels=channels,
        eyes=tuple(np.median(eyes, 0).round(4).tolist()) if known else None,
        fps=float(np.median([clip.fps for clip in chosen])),
        length=int(np.median(lengths)),
        marked=sum(clip.apex is not None for clip in chosen) > len(chosen) / 2,
        movement=round(float(np.quantile(movements, STILL_QUANTILE)), 4),
    )


def movement(frames: np.ndarray) -> tuple[float, int]:
    """How far a face's skin moves in a clip, in px, and the frame in which it has moved farthest.

    frames: [T, H, W, C] uint8, or float32 in [0, 1]; px are those of a frame whose longer side has
    64. Of the blurred grey frames, as `remove_global_motion` leaves them, d(t) is the mean square of I_t - I_0
    and n the median of that of I_t - I_(t-1), which is what noise alone would give: the root of the
    0.9 quantile of d less n, over the root mean square of the first frame's slope. Sensor noise,
    light, contrast, the head's drift and single frames that jump count for nothing; a face at rest
    is near 0. Less than 1e-4 px is rounding and 0, as one frame is.
    """
    import cv2

    shrink = min(1.0, _LARGEST / max(frames.shape[1:3]))
    small = resize(frames, tuple(max(1, round(side * shrink)) for side in frames.shape[1:3]))
    if len(frames) < 2 or min(small.shape[1:3]) < 2:
        return 0.0, 0
    gray = np.stack([cv2.blur(to_gray(f).astype(np.float32), (_BLUR, _BLUR)) for f in small])
    left = remove_global_motion(gray)
    away = np.square(left).mean((1, 2))
    noise = np.median(np.square(np.diff(left, axis=0)).mean((1, 2)))
    slope = np.square(np.gradient(gray[0])).sum(0).mean()
    moved = max(0.0, np.quantile(away, 0.9) - noise) / max(slope, 1e-6)
    return float(np.sqrt(moved)) * (moved >= _FLOOR**2), int(np.argmax(away))


def remove_global_motion(gray: np.ndarray) -> np.ndarray:
    """What of I_t - I_0 no motion of the whole picture and no light explains, [T, h, w] float32.

    grey: [T, H, W] float32, both sides at least 2. Each frame is laid over the first by an affine
    map (Lucas and Kanade 1981: one Gauss-Newton step from the map of the frame before); then, of
    what is left, the part linear in the map's six numbers, a gain and an offset is taken away. The
    rim is left out, where there is enough else.
    """
    import cv2

    first = gray[0]
    height, width = first.shape
    inner = slice(_RIM, -_RIM) if min(height, width) > 4 * _RIM else slice(None)
    down, across = np.gradient(first)
    y, x = np.indices(first.shape, np.float32)
    y, x = (y - (height - 1) / 2) / height, (x - (width - 1) / 2) / width
    parts = (across, x * across, y * across, down, x * down, y * down, first, np.ones_like(first))
    slopes = np.stack([part[inner, inner].ravel() for part in parts], 1).astype(np.float64)
    square = slopes.T @ slopes
    solve = np.linalg.solve(square + 1e-9 * (1 + np.trace(square)) * np.eye(8), slopes.T)
    # From px to the (x, y, 1) above.
    centered = np.array([[1 / width, 0, 0.5 / width - 0.5], [0, 1 / height, 0.5 / height - 0.5],
                        [0, 0, 1]])  # fmt: skip
    place, out = np.eye(3), []
    for frame in gray:
        for last in (False, True):
            over = cv2.warpAffine(
                frame, place[:2], (width, height), None,
                cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, cv2.BORDER_REPLICATE,
            )  # fmt: skip
            apart = (over - first)[inner, inner]
            p = solve @ apart.ravel()
            if not last:
                shift = np.array([[p[1], p[2], p[0]], [p[4], p[5], p[3]], [0, 0, 0]]) @ centered
                place = place @ (np.eye(3) - shift)
        out.append(apart - (slopes @ p).reshape(apart.shape).astype(np.float32))
    return np.stack(out)


def read(workdir: pathlib.Path) -> DatasetProfile:
    """What is kept in `workdir`. Raises `UserError` where nothing is."""
    if not (workdir / FILE).is_file():
        raise UserError(
            f"{workdir} does not say what its clips look like ({FILE} is not there). Of a run on "
            "pre-computed maps nobody knows how they were made: train one on videos, of which "
            "method.name=flow_maps computes the maps itself. Of any other, give its command again"
        )
    kept = reading.load_json(workdir / FILE, _SCHEMA)
    with reading.report_damage(workdir / FILE):
        found = DatasetProfile(**reading.lists_to_tuples(kept))
        _check(found)
    return found


def _check(kept: DatasetProfile) -> None:
    """Raises `ValueError` for what no clip is like."""
    height, width = kept.size
    if min(height, width, kept.length) < 1 or height * width * kept.length > _MOST:
        raise ValueError(f"{kept.length} frames of {height} x {width}")
    if kept.channels not in (1, 3) or kept.fps < 0 or kept.movement < 0:
        raise ValueError("channels, fps or movement is what no clip has")
    if kept.eyes is not None and not (len(kept.eyes) == 4 and min(kept.eyes[2:]) > 0):
        raise ValueError("eyes are four numbers, the last two above 0")


def save_profile(workdir: pathlib.Path, clips: Sequence[Clip]) -> DatasetProfile:
    """Measures `clips` and writes that to `workdir`, where `read` finds it."""
    measured = profile_clips(clips)
    saving.write_json(workdir / FILE, measured._asdict())
    return measured


def match_profile(frame: np.ndarray, profile: DatasetProfile) -> np.ndarray:
    """[H, W, C] uint8 of any size -> that of the reference, with its channels."""
    frame = resize(frame[None], profile.size)[0]
    if frame.shape[-1] == profile.channels:
        return frame
    if profile.channels == 1:
        return to_gray(frame)[..., None]
    return np.repeat(frame, 3, axis=-1)


def _eyes(frame: np.ndarray, landmarks: np.ndarray | None) -> np.ndarray | None:
    """[2, 2] px, by the landmarks or by detection."""
    if landmarks is not None:
        return np.asarray(faces.eye_centers(landmarks))
    box = faces.detect_face(frame)
    return None if box is None else faces.detect_eyes(frame, box)


def _constants(eyes: np.ndarray, height: int, width: int) -> tuple[float, float, float, float]:
    """`constants` with which `faces.eye_rectangle` of `eyes` is the whole frame."""
    distance = float(np.hypot(*(eyes[1] - eyes[0])))
    # A rectangle's corner lies one pixel before the first: its middle of the eyes in the middle.
    along, below = (float(x) + 1 for x in eyes.mean(0))
    return along / distance - 0.5, below / distance, height / distance, width / distance
