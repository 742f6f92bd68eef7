"""The profile of a run's clips, which videos are matched to before prediction.

Size and rate of the frames, position of the eyes, length of a clip, and a threshold of movement. A
finished run writes it to WORKDIR/predict.json, so that predictions do not need the database.
"""

import collections
import pathlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Annotated, Literal, NamedTuple, TypeVar

import msgspec
import numpy as np

from mer_jax import faces
from mer_jax.clips import Clip, resize
from mer_jax.errors import UserError
from mer_jax.faces.detection import to_gray
from mer_jax.io import reading, saving
from mer_jax.recordings import Recording

T = TypeVar("T")
_Constants = tuple[float, float, float, float]  # of `faces.eye_rectangle`
FILENAME = "predict.json"
STILL_QUANTILE = 0.1  # share of the run's own clips below the threshold of movement
_CLIPS = 64  # clips that are measured, evenly over the run
_BLOCK = 64  # frames of a recording that are read at a time
_LARGEST = 64  # px of the longer side, on which movement is measured
_SMOOTH = 0.5  # px of these: standard deviation of the Gaussian that precedes the shrinking
_BLUR = 5  # px of these: averages out sensor noise, not moving skin
_FEW = 5  # frames, under which noise and movement cannot be told apart
_FLOOR = 1e-4  # px of these, below which movement counts as 0
_RIM = 6  # px of these at the border, into which a drift of the head may move the background


_Count = Annotated[int, msgspec.Meta(ge=1, lt=2**15)]
_Positive = Annotated[float, msgspec.Meta(gt=0)]
_NotNegative = Annotated[float, msgspec.Meta(ge=0)]


class Motion(NamedTuple):
    """What moves in a clip, in px of a frame whose longer side has 64 px."""

    skin: float  # `movement`
    apex: int  # the frame of the largest movement
    head: float  # the farthest that the face's affine map moves a corner of the frame


class DatasetProfile(msgspec.Struct, frozen=True):
    """Geometry, rate and movement of a run's clips; the content of predict.json."""

    size: tuple[_Count, _Count]  # (H, W)
    channels: Literal[1, 3]  # 1 gray, 3 RGB
    eyes: tuple[float, float, _Positive, _Positive] | None  # `constants` of faces.eye_rectangle
    fps: _NotNegative  # Hz; 0 if unknown
    length: _Count  # frames of the median clip
    marked: bool  # the run's clips have a marked apex
    movement: _NotNegative  # threshold on `movement`, px
    largest: _NotNegative  # `movement` of the clip that moves most, px
    head: _NotNegative  # `Motion.head` of the clip whose head moves most, px
    trained_on: str  # the run's databases, in words


def profile_clips(clips: Sequence[Clip]) -> DatasetProfile:
    """Measures up to 64 of `clips` (videos), evenly spaced.

    Returns:
      Their most frequent size, median length (in time) and eye positions, the 10 % quantile of
      their `movement`, and the rate of most of them.
    """
    chosen = _evenly(clips)
    shapes, lengths, eyes, motions = [], [], [], list[Motion]()
    for clip in chosen:
        frames = clip.frames
        shapes.append(frames.shape[1:])
        lengths.append(len(frames))
        motions.append(motion(frames))
        eyes.append(_eyes(frames[0], clip.landmarks))
    # 0 unless that of more than half is known; of two rates as frequent the lower one.
    rates = [clip.fps for clip in chosen if clip.fps]
    fps = float(np.quantile(rates, 0.5, method="lower")) if 2 * len(rates) > len(chosen) else 0.0
    if fps:
        of_rate = [clip.fps and fps / clip.fps for clip in chosen]
        lengths = [length * scale for length, scale in zip(lengths, of_rate) if scale]
    height, width, channels = collections.Counter(shapes).most_common(1)[0][0]
    return DatasetProfile(
        size=(height, width),
        channels=channels,
        eyes=_typical(eyes),
        fps=fps,
        length=int(np.median(lengths)),
        marked=sum(clip.apex is not None for clip in chosen) > len(chosen) / 2,
        movement=round(float(np.quantile([each.skin for each in motions], STILL_QUANTILE)), 4),
        largest=max(each.skin for each in motions),
        head=max(each.head for each in motions),
        trained_on=_trained_on(clips),
    )


class Framing(NamedTuple):
    """What the faces of recordings have in common, by up to 64 of their expressions."""

    eyes: _Constants | None  # as `DatasetProfile.eyes`
    largest: Mapping[str, float]  # kind -> px: `movement_of` the expression that moves most


def framing(recordings: Iterable[Recording], *, size: tuple[int, int]) -> Framing:
    """Measures up to 64 expressions of each kind, evenly spaced. size: as of `movement_of`."""
    marked = [(video, each) for video in recordings for each in video.intervals]
    found, eyes = dict.fromkeys((each.kind for _, each in marked), 0.0), []
    for kind in found:
        for video, each in _evenly([row for row in marked if row[1].kind == kind]):
            moved = movement_of(video, each.onset, each.offset, size=size)
            found[kind] = max(found[kind], moved)
            eyes.append(_eyes(video[each.onset], None))
    return Framing(_typical(eyes), found)


def movement_of(recording: Recording, onset: int, offset: int, *, size: tuple[int, int]) -> float:
    """`Motion.skin` (px) of the frames onset to offset, read in blocks and resized to (H, W)."""
    starts, stop = range(onset, offset + 1, _BLOCK), offset + 1
    blocks = (recording[start : min(start + _BLOCK, stop)] for start in starts)
    return motion(np.concatenate([_shrink(resize(block, size)) for block in blocks])).skin


def _evenly(items: Sequence[T]) -> list[T]:
    return [items[i] for i in np.unique(np.linspace(0, len(items) - 1, _CLIPS).astype(int))]


def _trained_on(clips: Sequence[Clip]) -> str:
    """The databases of `clips`, in words."""
    databases = sorted({clip.database for clip in clips})
    subjects = len({clip.subject_key for clip in clips})
    return f"{len(clips)} clips of {subjects} subjects ({', '.join(databases)})" + rendered_only(
        databases
    )


def long_videos(subjects: Collection[str]) -> str:
    """The "database/subject" keys of a spotting run, in words."""
    databases = sorted({subject.partition("/")[0] for subject in subjects})
    text = f"long videos of {len(subjects)} subjects ({', '.join(databases)})"
    return text + rendered_only(databases)


def emotions_too(spotting: str, recognition: str) -> str:
    """What a spotting run and the run of other data that labels its intervals were trained on."""
    return f"{spotting}; emotions: {recognition}"


def rendered_only(databases: Sequence[str]) -> str:
    """What follows if all `databases` are rendered; else ""."""
    rendered = all(database.startswith("synthetic") for database in databases)
    return "; rendered faces: it has seen no real one" if rendered else ""


def movement(frames: np.ndarray) -> tuple[float, int]:
    """`motion(frames)[:2]`: how far skin moves (px), and the frame of the largest movement."""
    return motion(frames)[:2]


def motion(frames: np.ndarray) -> Motion:
    """How far a face's skin, and the head, move in a clip.

    With d(t) the mean square of the residual of I_t - I_0 (`remove_global_motion`, on blurred gray
    frames) and n the median over t of the mean square of its change from t - 1 to t (what noise
    alone gives; 0 for under five frames, in which it would be the movement itself), skin is
    sqrt(q90(d) - n) over the root mean square of the first frame's gradient. It does not depend on
    sensor noise, light, contrast, focus, the head's drift or single frames that jump.

    Args:
      frames: [T, H, W, C] uint8, or float32 in [0, 1].

    Returns:
      `Motion`; skin is 0 for one frame or below 1e-4 px, apex the frame with the largest d.

    >>> movement(np.zeros((5, 32, 32, 1), np.uint8))
    (0.0, 0)
    """
    import cv2

    small = _shrink(frames)
    if len(frames) < 2 or min(small.shape[1:3]) < 2:
        return Motion(0.0, 0, 0.0)
    gray = np.stack([cv2.blur(to_gray(f).astype(np.float32), (_BLUR, _BLUR)) for f in small])
    residual, head = remove_global_motion(gray)
    distance = np.square(residual).mean((1, 2))
    noise = np.median(np.square(np.diff(residual, axis=0)).mean((1, 2)))
    noise = noise if len(frames) >= _FEW else 0.0
    slope = np.square(np.gradient(gray[0])).sum(0).mean()
    moved = max(0.0, np.quantile(distance, 0.9) - noise) / max(slope, 1e-6)
    skin = float(np.sqrt(moved)) if moved >= _FLOOR**2 else 0.0
    return Motion(skin, int(np.argmax(distance)), float(head.max()))


def _shrink(frames: np.ndarray) -> np.ndarray:
    """[T, h, w, C]: frames whose longer side has 64 px, or fewer if it had."""
    import cv2

    shrink = min(1.0, _LARGEST / max(frames.shape[1:3]))
    sides = tuple(max(1, round(side * shrink)) for side in frames.shape[1:3])
    if shrink < 1:  # means of pixels alone alias
        smooth = [cv2.GaussianBlur(frame, (0, 0), _SMOOTH / shrink) for frame in frames]
        frames = np.stack(smooth).reshape(frames.shape)
    return resize(frames, sides)


def remove_global_motion(gray: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The residual of I_t - I_0 after affine motion and changes of light and focus.

    Registers each frame to the first by an affine map (Lucas and Kanade 1981: one Gauss-Newton step
    from the map of the previous frame), then subtracts the least-squares fit of the map's six
    derivatives, an offset, a gain that changes linearly over the frame (light from the side), and
    the Laplacian (blur and zoom). The rim is cropped if the frame is large enough.

    Args:
      gray: [T, H, W] float32, both sides at least 2.

    Returns:
      [T, h, w] float32, and [T] px: the farthest that the map moves a corner of the frame.
    """
    import cv2

    first = gray[0]
    height, width = first.shape
    inner = slice(_RIM, -_RIM) if min(height, width) > 4 * _RIM else slice(None)
    down, across = np.gradient(first)
    y, x = np.indices(first.shape, np.float32)
    y, x = (y - (height - 1) / 2) / height, (x - (width - 1) / 2) / width
    blur = cv2.Laplacian(first, cv2.CV_32F, borderType=cv2.BORDER_REPLICATE)
    parts = (
        *(across, x * across, y * across, down, x * down, y * down),
        *(np.ones_like(first), first, x * first, y * first, blur),
    )
    slopes = np.stack([part[inner, inner].ravel() for part in parts], 1).astype(np.float64)
    square = slopes.T @ slopes
    solve = np.linalg.solve(square + 1e-9 * (1 + np.trace(square)) * np.eye(len(parts)), slopes.T)
    # From px to the (x, y, 1) above.
    centered = np.array([[1 / width, 0, 0.5 / width - 0.5], [0, 1 / height, 0.5 / height - 0.5],
                        [0, 0, 1]])  # fmt: skip
    corners = np.array([[0, width, 0, width], [0, 0, height, height], [1, 1, 1, 1]], np.float64)
    affine, out, head = np.eye(3), [], []
    for frame in gray:
        for last in (False, True):
            warped = cv2.warpAffine(
                frame, affine[:2], (width, height), None,
                cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, cv2.BORDER_REPLICATE,
            )  # fmt: skip
            error = (warped - first)[inner, inner]
            p = solve @ error.ravel()
            if not last:
                shift = np.array([[p[1], p[2], p[0]], [p[4], p[5], p[3]], [0, 0, 0]]) @ centered
                affine = affine @ (np.eye(3) - shift)
        out.append(error - (slopes @ p).reshape(error.shape).astype(np.float32))
        head.append(np.hypot(*((affine - np.eye(3)) @ corners)[:2]).max())
    return np.stack(out), np.array(head)


def read(workdir: pathlib.Path) -> DatasetProfile:
    """The profile in `workdir`. Raises `UserError` if there is none."""
    if not (workdir / FILENAME).is_file():
        raise UserError(
            f"{workdir} has no profile of its clips ({FILENAME} is not there). A run on "
            "precomputed flow maps cannot predict videos: train on videos with "
            "method.name=flow_maps. For any other run, re-run its command with "
            "--config.report.profile=True"
        )
    return reading.load_json(workdir / FILENAME, DatasetProfile)


def save_profile(workdir: pathlib.Path, clips: Sequence[Clip]) -> DatasetProfile:
    """Writes the profile of `clips` to `workdir`, for `read`."""
    measured = profile_clips(clips)
    saving.write_json(workdir / FILENAME, msgspec.structs.asdict(measured))
    return measured


def match_profile(frame: np.ndarray, profile: DatasetProfile) -> np.ndarray:
    """Resizes a frame to the profile's size and number of channels.

    Args:
      frame: [H, W, C] uint8, C = 1 or 3.
      profile: of a run.

    Returns:
      [*profile.size, profile.channels] uint8.
    """
    frame = resize(frame[None], profile.size)[0]
    if frame.shape[-1] == profile.channels:
        return frame
    if profile.channels == 1:
        return to_gray(frame)[..., None]
    return np.repeat(frame, 3, axis=-1)


def _typical(eyes: Sequence[_Constants | None]) -> _Constants | None:
    """The median of what is known, if that is more than half of them."""
    known = [each for each in eyes if each is not None]
    return tuple(np.median(known, 0).round(4).tolist()) if len(known) > len(eyes) / 2 else None


def _eyes(frame: np.ndarray, landmarks: np.ndarray | None) -> _Constants | None:
    """`_constants` of a frame, by the landmarks or by detection."""
    if landmarks is not None:
        return _constants(np.asarray(faces.eye_centers(landmarks)), *frame.shape[:2])
    box = faces.detect_face(frame)
    eyes = None if box is None else faces.detect_eyes(frame, box)
    return None if eyes is None else _constants(eyes, *frame.shape[:2])


def _constants(eyes: np.ndarray, height: int, width: int) -> _Constants:
    """`constants` for which `faces.eye_rectangle(eyes)` is the whole frame."""
    distance = float(np.hypot(*(eyes[1] - eyes[0])))
    # A rectangle's corner lies one pixel before its first pixel.
    along, below = (float(x) + 1 for x in eyes.mean(0))
    return along / distance - 0.5, below / distance, height / distance, width / distance
