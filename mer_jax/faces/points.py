"""The 68 facial landmarks in the iBUG order, and what is read off them.

Left and right are the image's. Landmarks are [68, 2] px (x, y) with pixel centers at whole numbers;
boxes are [4] px (x, y, width, height). NumPy or JAX arrays in, the same out; any leading axes.
(Sagonas et al., "300 Faces in-the-Wild Challenge", 2013.)
"""

from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

Array = TypeVar("Array", jax.Array, np.ndarray)

REGIONS = {
    "jaw": slice(0, 17),
    "left_brow": slice(17, 22),
    "right_brow": slice(22, 27),
    "nose": slice(27, 36),
    "left_eye": slice(36, 42),
    "right_eye": slice(42, 48),
    "mouth": slice(48, 68),
}

# What neither blinks, speech nor brows move: the corners of the eyes, and the nose.
STABLE = (36, 39, 42, 45, *range(27, 36))


def eye_centers(landmarks: Array) -> Array:
    """[..., 68, 2] -> [..., 2, 2]: the mean of each eye's six points, the left one first.

    Of fewer landmarks (YuNet's five: eyes, nose, corners of the mouth) the first two.

    >>> eye_centers(np.array([[30, 40], [70, 40], [50, 60], [35, 80], [65, 80]])).tolist()
    [[30, 40], [70, 40]]
    """
    if landmarks.shape[-2] < 68:
        return landmarks[..., :2, :]
    eyes = [landmarks[..., REGIONS[name], :].mean(-2) for name in ("left_eye", "right_eye")]
    return namespace(landmarks).stack(eyes, -2)


def in_profile(landmarks: Array) -> Array:
    """[..., 68, 2] -> [...] bool: whether the nose is not between the eyes, but beyond one of them.

    So it is where the head is turned by more than about 45 degrees by YuNet's five landmarks, and
    35 degrees by dlib's 68, of which number 30 is the tip of the nose.

    >>> in_profile(np.array([[30, 40], [70, 40], [50, 60], [35, 80], [65, 80]])).item()
    False
    >>> in_profile(np.array([[30, 40], [46, 40], [22, 60], [33, 80], [45, 80]])).item()
    True
    """
    eyes = eye_centers(landmarks)
    axis = eyes[..., 1, :] - eyes[..., 0, :]
    nose = landmarks[..., 30 if landmarks.shape[-2] >= 68 else 2, :] - eyes.mean(-2)
    return abs((nose * axis).sum(-1)) > 0.5 * (axis * axis).sum(-1)


def eye_openness(landmarks: Array) -> Array:
    """[..., 68, 2] -> [...]: the distance of the lids over the width of the eye, mean of both eyes.

    The eye aspect ratio of Soukupova & Cech, "Real-time eye blink detection using facial
    landmarks", 2016: about 0.3 where the eyes are open, 0.1 where they are closed.
    """
    eyes = landmarks[..., 36:48, :]
    eyes = eyes.reshape(*eyes.shape[:-2], 2, 6, 2)
    heights = _length(eyes[..., (1, 2), :] - eyes[..., (5, 4), :]).mean(-1)
    return (heights / _length(eyes[..., 0, :] - eyes[..., 3, :])).mean(-1)


def mouth_opening(landmarks: Array) -> Array:
    """[..., 68, 2] -> [...]: the mean distance of the inner lips over that of the eyes."""
    gap = _length(landmarks[..., (61, 62, 63), :] - landmarks[..., (67, 66, 65), :]).mean(-1)
    eyes = eye_centers(landmarks)
    return gap / _length(eyes[..., 0, :] - eyes[..., 1, :])


def both_eyes_box(landmarks: Array, *, margin: float = 0.2) -> Array:
    """[..., 68, 2] -> [..., 4]: one box around both eyes, as MicroExpFuseNet sees them.

    `margin` is added on each side, as a share of the width of the eyes' points.
    """
    return box(landmarks[..., 36:48, :], margin=margin)


def mouth_box(landmarks: Array, *, margin: float = 0.2) -> Array:
    """[..., 68, 2] -> [..., 4]: a box around the mouth; `margin` as in `both_eyes_box`."""
    return box(landmarks[..., REGIONS["mouth"], :], margin=margin)


def face_box(landmarks: Array) -> Array:
    """[..., 68, 2] -> [..., 4]: the square that `detect_face` would find around them.

    The shares are means over the synthetic faces: the landmarks fill 0.88 of its width and begin
    0.05 from its left and 0.25 from its top (standard deviations 0.04, 0.025, 0.025).
    """
    low, high = landmarks.min(-2), landmarks.max(-2)
    side = (high[..., :1] - low[..., :1]) / 0.88
    corner = namespace(landmarks).concatenate([0.05 * side, 0.25 * side], -1)
    return namespace(landmarks).concatenate([low - corner, side, side], -1)


def box(points: Array, *, margin: float = 0.0) -> Array:
    """[..., P, 2] -> [..., 4]: the pixels that hold all points, and `margin` times the width.

    >>> box(np.array([[3, 4], [8, 6]]))
    array([3., 4., 6., 3.])
    """
    low, high = points.min(-2), points.max(-2)
    around = margin * (high[..., :1] - low[..., :1])
    extent = high - low + 1 + 2 * around
    return namespace(points).concatenate([low - around, extent], -1)


def _length(vectors: Array) -> Array:
    return namespace(vectors).sqrt((vectors * vectors).sum(-1))


def namespace(array: jax.Array | np.ndarray) -> Any:
    """The library that `array` belongs to: what comes in as NumPy stays exact and on the host."""
    return jnp if isinstance(array, jax.Array) else np
