"""The flow of facial regions in each frame of a long video, in constant memory."""

import functools
from collections.abc import Callable

import jax
import numpy as np
from absl import logging
from jax import Array

from mer_jax import runtime
from mer_jax.datasets.synthetic import long_videos
from mer_jax.descriptors.region_flow import LANDMARKS, region_flow
from mer_jax.errors import UserError
from mer_jax.faces.landmarker import landmarker
from mer_jax.options import checked
from mer_jax.recordings import Recording
from mer_jax.spotting import evidence

_DETECTED = 8  # frames from one detection of landmarks to the next


@checked
@runtime.pinned()
def region_flows(
    recording: Recording,
    landmarks: np.ndarray,
    *,
    size: tuple[int, int] = (128, 128),
    radius: int = 5,
    preset: str = "horn_schunck",
) -> np.ndarray:
    """`descriptors.region_flow` between successive frames, [T, 12, 2] float32 px.

    Row t is the flow from frame t - 1 to frame t, at the landmarks of frame t; row 0 is 0.

    Args:
      recording: a cropped face; it is read in blocks and never held in memory.
      landmarks: [T, 68, 2] or, of a face that rests, [68, 2] px (x, y) of the recording's frames,
        iBUG order.
      size: (H, W) px that frames are resized to.
      radius: px of the resized frames.
      preset: of `video.optical_flow`; the authors' is "tv_l1".

    Raises:
      UserError: landmarks of another shape.
    """
    points = np.asarray(landmarks, np.float32)
    if points.shape not in ((68, 2), (recording.length, 68, 2)):
        raise UserError(
            f"{recording.key}: landmarks are [68, 2] or [{recording.length}, 68, 2]; "
            f"these are {list(points.shape)}"
        )
    scale = np.array(size[::-1]) / np.array(recording[0].shape[1::-1])
    # Pixel centers are whole numbers.
    points = ((points + 0.5) * scale - 0.5).astype(np.float32)
    values = np.zeros((recording.length, len(LANDMARKS), 2), np.float32)
    for frames, found in evidence.over_frames(
        recording,
        _compiled(preset, radius),
        offsets=(-1, 0),
        size=size,
        per_frame=[np.broadcast_to(points, (recording.length, 68, 2))],
    ):
        values[frames] = found
    return values


@checked
def landmarks(recording: Recording, *, model: str = "") -> np.ndarray:
    """[T, 68, 2] px (x, y), iBUG order, of the largest face in each frame.

    Args:
      recording: a rendered one knows its landmarks.
      model: file of a landmark model (`faces.landmarker`); it finds them in every eighth frame, and
        between these they are interpolated. A face that is lost for more than a second is logged.

    Raises:
      UserError: no model for a recording that does not know its landmarks, or no face.
    """
    if not model:
        return long_videos.landmarks(recording)
    find = landmarker(model)
    frames, found = list[int](), list[np.ndarray]()
    for start, block in recording.blocks(evidence._BLOCK):
        for row in range(0, len(block), _DETECTED):
            faces = find(block[row])
            if len(faces) and faces.shape[1] == 68:
                frames.append(start + row)
                found.append(faces[0])
    if not found:
        raise UserError(f"{recording.key}: {model} finds no face with 68 landmarks")
    around = np.array([0, *frames, recording.length - 1])
    longest = int(np.diff(around).argmax())
    first, last = around[longest : longest + 2].tolist()
    if last - first > max(recording.fps, 2 * _DETECTED):
        logging.warning(
            "%s: %s finds no face between frames %d and %d; its landmarks are interpolated there",
            recording.key, model, first, last,
        )  # fmt: skip
    time, points = np.arange(recording.length), np.stack(found).reshape(len(found), -1)
    columns = [np.interp(time, frames, column) for column in points.T]
    return np.stack(columns, axis=-1).reshape(-1, 68, 2).astype(np.float32)


@functools.lru_cache(maxsize=16)
def _compiled(preset: str, radius: int) -> Callable[..., Array]:
    def one(given):
        (before, after), landmarks = given
        flow = evidence.flow_between(before, after, preset=preset)
        return region_flow(flow, landmarks, radius=radius)

    return jax.jit(lambda *given: jax.lax.map(one, given))
