"""The flow of facial regions in each frame of a long video, in constant memory."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from mer_jax import runtime
from mer_jax.clips import resize
from mer_jax.descriptors.region_flow import LANDMARKS, region_flow
from mer_jax.errors import UserError
from mer_jax.options import checked
from mer_jax.recordings import Recording
from mer_jax.spotting import evidence
from mer_jax.video import optical_flow, to_gray


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
      preset: of `video.optical_flow`; the authors' is "tvl1".

    Raises:
      UserError: landmarks of another shape.
    """
    points = np.asarray(landmarks, np.float32)
    if points.shape not in ((68, 2), (recording.length, 68, 2)):
        raise UserError(
            f"{recording.key}: landmarks are [68, 2] or [{recording.length}, 68, 2]; "
            f"these are {list(points.shape)}"
        )
    points = np.broadcast_to(points, (recording.length, 68, 2))
    score = _compiled(preset, radius)
    found = [np.zeros((1, len(LANDMARKS), 2), np.float32)]
    for start, frames in recording.blocks(evidence._BLOCK + 1, overlap=1):
        scale = np.array(size[::-1]) / np.array(frames.shape[2:0:-1])
        # Pixel centers are whole numbers.
        at = ((points[start : start + len(frames)] + 0.5) * scale - 0.5).astype(np.float32)
        gray = np.asarray(to_gray(jnp.asarray(resize(frames, size))))
        count = len(gray) - 1
        for begin in range(0, count, evidence._CHUNK):
            rows = np.minimum(np.arange(begin, begin + evidence._CHUNK), count - 1)
            part = score(gray[rows], gray[rows + 1], at[rows + 1])
            found.append(np.asarray(part)[: count - begin])
    return np.concatenate(found)


@functools.lru_cache(maxsize=16)
def _compiled(preset: str, radius: int) -> Callable[..., Array]:
    def one(frames):
        before, after, landmarks = frames
        flow = optical_flow(before, after, preset=preset, **evidence.FLOW)
        return region_flow(flow, landmarks, radius=radius)

    return jax.jit(lambda *frames: jax.lax.map(one, frames))
