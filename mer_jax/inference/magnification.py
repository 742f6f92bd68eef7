"""The face of a video, cropped and with its motion magnified, frame by frame."""

from collections.abc import Iterable, Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from mer_jax.clips import to_float, to_uint8
from mer_jax.video import stream_init, stream_step

_SIDE = 160  # px of the longer side of the crop


def magnify_face(
    frames: Iterable[np.ndarray], corners: Sequence[np.ndarray | None], *, alpha: float = 8.0
) -> Iterator[np.ndarray | None]:
    """Yields each frame's face with its motion magnified (`mer_jax.video.stream_step`).

    Args:
      frames: each [H, W, C] uint8.
      corners: the face in each frame, [4, 2] px (x, y) (`FaceBox.corners`), or None.
      alpha: the largest magnification.

    Yields:
      [h, w, C] uint8 of at most 160 px, or None without a face. Magnification restarts where the
      corners change.
    """
    import cv2

    state, previous = None, None
    for frame, box in zip(frames, corners):
        if box is None:
            previous = None
            yield None
            continue
        if previous is None or not np.array_equal(box, previous):
            state, previous = None, box
            sides = np.linalg.norm(box[[1, 3]] - box[0], axis=1)
            width, height = np.maximum(1, np.round(_SIDE * sides / sides.max())).astype(int)
            edges = np.array([[0, 0], [width, 0], [width, height]], np.float32) - 0.5
            transform = cv2.getAffineTransform(box[:3].astype(np.float32), edges)
        crop = cv2.warpAffine(
            to_uint8(frame, axes="HWC"),
            transform,
            (int(width), int(height)),
            borderMode=cv2.BORDER_REPLICATE,
        )
        crop = jnp.asarray(to_float(crop.reshape(height, width, -1)))
        if state is None:
            state, magnified = stream_init(crop), crop
        else:
            state, magnified = _step(state, crop, jnp.float32(alpha))
        yield np.round(np.asarray(magnified) * 255).astype(np.uint8)


_step = jax.jit(lambda state, frame, alpha: stream_step(state, frame, alpha=alpha))
