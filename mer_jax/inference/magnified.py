"""The face of a video with its motion magnified, frame by frame."""

from collections.abc import Iterable, Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from mer_jax.clips import to_float, to_uint8
from mer_jax.video import stream_init, stream_step

_SIDE = 160  # px of the longer side of what is cut out


def magnified(
    frames: Iterable[np.ndarray], corners: Sequence[np.ndarray | None], *, alpha: float = 8.0
) -> Iterator[np.ndarray | None]:
    """Each frame's face, [h, w, C] uint8 of at most 160 px, magnified `alpha` times at the most.

    frames: each [H, W, C] uint8. corners: for each of them those of the face, [4, 2] px (x, y) as a
    `VideoPredictions` has them, or None. The magnification runs along with the frames (`stream_step`); it
    begins anew where the corners change.
    """
    import cv2

    state, before = None, None
    for frame, box in zip(frames, corners):
        if box is None:
            before = None
            yield None
            continue
        if before is None or not np.array_equal(box, before):
            state, before = None, box
            sides = np.linalg.norm(box[[1, 3]] - box[0], axis=1)
            width, height = np.maximum(1, np.round(_SIDE * sides / sides.max())).astype(int)
            edges = np.array([[0, 0], [width, 0], [width, height]], np.float32) - 0.5
            onto = cv2.getAffineTransform(box[:3].astype(np.float32), edges)
        cut = cv2.warpAffine(
            to_uint8(frame, axes="HWC"),
            onto,
            (int(width), int(height)),
            borderMode=cv2.BORDER_REPLICATE,
        )
        cut = jnp.asarray(to_float(cut.reshape(height, width, -1)))
        if state is None:
            state, seen = stream_init(cut), cut
        else:
            state, seen = _step(state, cut, jnp.float32(alpha))
        yield np.round(np.asarray(seen) * 255).astype(np.uint8)


_step = jax.jit(lambda state, frame, alpha: stream_step(state, frame, alpha=alpha))
