"""Onset-to-apex flow maps (u, v, optical strain), the input of STSTNet and similar networks."""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from mer_jax.clips import Clip, ClipBatch, stack
from mer_jax.errors import UserError
from mer_jax.methods import per_clip
from mer_jax.methods.examples import Examples
from mer_jax.options import checked
from mer_jax.video import apex_index, magnify, optical_flow, optical_strain

CHANNELS = ("u", "v", "strain")
# Centers (row, column) of the windows that HTNet puts together, in a map of 28 x 28: where its code
# finds no face; "htnet" as that code cuts them, with the landmarks' x for the row, "upright" as its
# text describes them. Eyes above, corners of the mouth below.
_EYES_AND_MOUTH = ((11, 9), (10, 21), (21, 10), (21, 20))
REGIONS = {
    "": (),
    "htnet": tuple((column, row) for row, column in _EYES_AND_MOUTH),
    "upright": _EYES_AND_MOUTH,
}


@checked
def flow_maps(
    clips: Sequence[Clip],
    *,
    size: Sequence[int] = (28, 28),
    channels: Sequence[str] = CHANNELS,
    preset: str = "tv_l1",
    alpha: float = 0.0,
    apex: str = "given",
    flow_scale: float = 1.0,
    own_range: bool = False,
    regions: str = "",
) -> Examples:
    """[H, W, len(channels)] float32: one map a clip.

    A clip of content "flow" (a pre-computed map, uint8) is used as stored, in 0..255 as in the
    field's code. Of a video it is the flow from onset to apex at the video's resolution, and its
    strain, averaged down to `size`.

    Args:
      clips: all videos, or all maps.
      size: (H, W) px; of stored maps their own.
      channels: of "u", "v" (px) and "strain" (px per px).
      preset: of `video.optical_flow`.
      alpha: above 0: factor of motion magnification, applied first.
      apex: "given": the annotated one where there is one, else that of STRCN's Eq. 5; "found":
        always the latter.
      flow_scale: divides the maps. A fixed scale preserves sign and size of movements, which
        min-max scaling of each map loses. Networks without normalization (OFF-ApexNet,
        Dual-Inception) need 255 for stored maps.
      own_range: each channel of each map scaled to [0, 1] (MEAN), which loses how far a face moves.
      regions: a key of `REGIONS`: a map of four windows of it, half as large, around two eyes and
        two corners of the mouth (HTNet); "": the map as it is.

    Raises:
      UserError: for clips of both contents, stored maps of another size, or regions of an odd size.
    """
    pick = np.array([CHANNELS.index(name) for name in channels])
    contents = {clip.content for clip in clips}
    if contents == {"flow"}:
        maps = _stored(clips, tuple(size))
    elif contents == {"video"}:
        compute = _small_map(tuple(size), preset=preset, alpha=alpha, apex=apex)
        maps = jnp.asarray(per_clip.compute_on_device(clips, compute))
    else:
        raise UserError("some clips are videos and some are flow maps; give one kind")
    maps = maps[..., pick] / flow_scale
    if own_range:
        low, high = (reduce(maps, (1, 2), keepdims=True) for reduce in (jnp.min, jnp.max))
        maps = (maps - low) / jnp.maximum(high - low, 1e-12)
    if regions:
        maps = _windows(maps, REGIONS[regions])
    return Examples(inputs=maps, input_shape=maps.shape[1:])


def _windows(maps: jax.Array, centers: Sequence[tuple[int, int]]) -> jax.Array:
    """Four windows around `centers` (of 28 x 28) of maps [N, H, W, C], as one map [N, H, W, C]."""
    sides = maps.shape[1:3]
    if any(side % 2 for side in sides):
        raise UserError(f"method.regions needs an even method.size, not {sides}")
    cuts = []
    for center in centers:
        starts = [
            min(max(at * side // 28 - side // 4, 0), side // 2) for at, side in zip(center, sides)
        ]
        rows, columns = (slice(at, at + side // 2) for at, side in zip(starts, sides))
        cuts.append(maps[:, rows, columns])
    above, below = (jnp.concatenate(pair, axis=2) for pair in (cuts[:2], cuts[2:]))
    return jnp.concatenate([above, below], axis=1)


def _stored(clips: Sequence[Clip], size: tuple[int, ...]) -> jax.Array:
    maps = stack(clips).frames[:, 0] * 255
    if maps.shape[1:3] != size:
        raise UserError(f"the flow maps are {maps.shape[1:3]}; set method.size to that")
    return maps


@functools.cache  # equal options give the same function, so that jit compiles once
def onset_to_apex(*, preset: str, alpha: float, apex: str) -> Callable[[ClipBatch], jax.Array]:
    """A function of one clip of a batch: its flow from onset to apex, [H, W, 2] px.

    Options as in `flow_maps`.
    """

    def flow(clip):
        frames = magnify(clip.frames, alpha=alpha) if alpha else clip.frames
        found = apex_index(frames, length=clip.length)
        index = jnp.where((clip.apex >= 0) & (apex == "given"), clip.apex, found)
        return optical_flow(frames[clip.onset], frames[index], preset=preset)

    return flow


@functools.cache
def _small_map(
    size: tuple[int, ...], *, preset: str, alpha: float, apex: str
) -> Callable[[ClipBatch], jax.Array]:
    """A function of one clip of a batch: its flow and strain, averaged down to [*size, 3]."""
    flow = onset_to_apex(preset=preset, alpha=alpha, apex=apex)

    def compute(clip):
        moved = flow(clip)
        maps = jnp.concatenate([moved, optical_strain(moved)[..., None]], axis=-1)
        return jax.image.resize(maps, (*size, 3), "linear", antialias=True)

    return compute
