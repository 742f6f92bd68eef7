"""SKD-TSTSAN: apex and onset, their blocks, flows to and from the apex (Zhu et al. 2024)."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from mer_jax.clips import Clip
from mer_jax.errors import UserError
from mer_jax.methods import per_clip, preprocessing
from mer_jax.methods.examples import Examples
from mer_jax.options import checked
from mer_jax.video import optical_flow


@checked
def skd_tstsan(
    clips: Sequence[Clip],
    *,
    size: Sequence[int] = (48, 48),
    frame_size: Sequence[int] = (128, 128),
    blocks: Sequence[int] = (4, 4),
    preset: str = "tv_l1",
    apex: str = "given",
) -> Examples:
    """[H, W, 2 L + 6] float32 in [0, 1]: what `models` "skd_tstsan" takes, L blocks a frame.

    Channels: apex; onset; the blocks of the apex, row by row; those of the onset; u and v from
    onset to apex; u and v from apex to offset. Frames are gray, each scaled to [0, 1] by its own
    extremes; each component of a flow likewise, after its reduction. All are interpolated linearly
    to `size`, without a filter. The authors' code also rounds frames and flows to 8 bits, as JPEG
    files.

    Args:
      clips: videos.
      size: (H, W) px of a channel.
      frame_size: (H, W) px of the frames of which blocks and flows are computed.
      blocks: of a frame, along H and W; pixels that remain are not used.
      preset: of `video.optical_flow`.
      apex: as in `preprocessing.choose_apex`.

    Raises:
      UserError: for a `frame_size` of fewer px than `blocks`.
    """
    rows, columns = blocks
    if frame_size[0] < rows or frame_size[1] < columns:
        raise UserError(
            f"method.frame_size {tuple(frame_size)} is smaller than method.blocks "
            f"{tuple(blocks)}; give every block a pixel or more"
        )
    height, width = (side // count for side, count in zip(frame_size, blocks))

    def interpolated(maps):  # [..., h, w] -> [..., *size]
        return jax.image.resize(maps, (*maps.shape[:-2], *size), "linear", antialias=False)

    @jax.jit
    def channels(onset, apex, offset):  # [h, w] each
        flows = [optical_flow(*pair, preset=preset) for pair in ((onset, apex), (apex, offset))]
        flows = interpolated(jnp.moveaxis(jnp.stack(flows), -1, 1).reshape(4, *onset.shape))
        frames = jnp.moveaxis(preprocessing.to_unit_range(jnp.stack([apex, onset], -1)), -1, 0)
        cut = frames[:, : rows * height, : columns * width]
        cut = cut.reshape(2, rows, height, columns, width).swapaxes(2, 3)
        small = interpolated(cut.reshape(-1, height, width))
        flows = preprocessing.to_unit_range(jnp.moveaxis(flows, 0, -1))
        frames = jnp.concatenate([interpolated(frames), small])
        return jnp.concatenate([jnp.moveaxis(frames, 0, -1), flows], -1)

    def compute(clip):
        video = preprocessing.to_size(clip.frames, frame_size, gray=True)
        last = len(video) - 1 if clip.offset is None else clip.offset
        at = preprocessing.choose_apex(clip, video, apex=apex)
        return np.asarray(channels(*video[[clip.onset, at, last], ..., 0]))

    found = per_clip.compute(clips, compute)
    return Examples(inputs=found, input_shape=found.shape[1:])
