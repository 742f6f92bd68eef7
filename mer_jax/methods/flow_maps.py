"""Onset-to-apex flow maps (u, v, optical strain), the input of STSTNet and similar networks."""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from mer_jax.clips import Clip, ClipBatch, stack
from mer_jax.errors import UserError
from mer_jax.methods import rows
from mer_jax.methods.examples import Examples
from mer_jax.options import checked
from mer_jax.video import apex_index, magnify, optical_flow, optical_strain

CHANNELS = ("u", "v", "strain")


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
) -> Examples:
    """[H, W, len(channels)]: one map a clip.

    A clip whose content is "flow" (a pre-computed map, uint8) is used as stored, as 0..255 like in
    the field's code. A video gives the flow from onset to apex at its own
    resolution: `apex` "given" takes the marked frame where there is one and finds it otherwise
    (STRCN Eq. 5), "found" always finds it; alpha > 0 magnifies first. Flow and strain are then
    averaged down to `size`. Either is divided by `flow_scale` (for flow in px, for strain in
    px per px, for a stored map in gray levels): a fixed scale preserves sign and size of movements,
    which min-max scaling of each map loses. Networks without normalization (OFF-ApexNet,
    Dual-Inception) need a `flow_scale` of 255 for stored maps.
    """
    pick = np.array([CHANNELS.index(name) for name in channels])
    contents = {clip.content for clip in clips}
    if contents == {"flow"}:
        maps = _stored(clips, tuple(size))
    elif contents == {"video"}:
        compute = _small_map(tuple(size), preset=preset, alpha=alpha, apex=apex)
        maps = jnp.asarray(rows.make_on_device(clips, compute))
    else:
        raise UserError("some clips are videos and some are flow maps; give one kind")
    maps = maps[..., pick] / flow_scale
    return Examples(inputs=maps, input_shape=maps.shape[1:])


def _stored(clips: Sequence[Clip], size: tuple[int, ...]) -> jax.Array:
    maps = stack(clips).frames[:, 0] * 255
    if maps.shape[1:3] != size:
        raise UserError(f"the flow maps are {maps.shape[1:3]}; set method.size to that")
    return maps


@functools.cache  # one function for one choice: what is jitted with it is compiled once
def onset_to_apex(*, preset: str, alpha: float, apex: str) -> Callable[[ClipBatch], jax.Array]:
    """A function of one clip of a batch: its flow from onset to apex, [H, W, 2] px.

    apex "given" takes the marked frame where there is one, "found" (and elsewhere) STRCN's Eq. 5.
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
