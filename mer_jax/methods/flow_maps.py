"""Onset-to-apex flow maps (u, v, optical strain), the input of STSTNet and similar networks."""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mer_jax.clips import Clip, ClipBatch, stack
from mer_jax.errors import UserError
from mer_jax.methods import per_clip, preprocessing
from mer_jax.methods.examples import Examples, mean_probability
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


def _standardized(maps: jax.Array) -> jax.Array:
    mean, deviation = maps.mean((1, 2), keepdims=True), maps.std((1, 2), keepdims=True)
    # A channel that varies only in the last bits of a float32 is constant.
    varies = deviation > 1e-6 * jnp.abs(maps).max((1, 2), keepdims=True)
    return jnp.where(varies, (maps - mean) / jnp.where(varies, deviation, 1), 0)


# maps [N, H, W, C] -> the same, each channel of each map by itself.
NORMALIZATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "none": lambda maps: maps,
    "sample": preprocessing.to_unit_range,
    "standard": _standardized,
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
    normalize: str = "none",
    regions: str = "",
    mirror: bool = False,
    rotation: float = 0.0,
    zoom: float = 0.0,
    turned_views: bool = False,
) -> Examples:
    """[H, W, len(channels)] float32: one map a clip.

    A clip of content "flow" (a pre-computed map, uint8) is used as stored, in 0..255 as in the
    field's code. Of a video it is the flow from onset to apex at the video's resolution, and its
    strain, averaged down to `size`.

    Args:
      clips: all videos, or all maps.
      size: (H, W) px; stored maps of another size are averaged down, or interpolated, to it.
      channels: of "u", "v" (px) and "strain" (px per px).
      preset: of `video.optical_flow`.
      alpha: above 0: factor of motion magnification, applied first.
      apex: as in `preprocessing.choose_apex`.
      flow_scale: divides the maps. A fixed scale preserves sign and size of movements, which
        min-max scaling of each map loses. Networks without normalization (OFF-ApexNet,
        Dual-Inception) need 255 for stored maps.
      normalize: each channel of each map: "sample": scaled to [0, 1] (MEAN); "standard": to mean 0
        and deviation 1, a constant one to 0; both lose how far a face moves; "none": as it is.
      regions: a key of `REGIONS`: a map of four windows of it, half as large, around two eyes and
        two corners of the mouth (HTNet); "": the map as it is.
      mirror: half of the training samples have left and right exchanged and the sign of u turned;
        of a test clip the mean probability of both views is predicted. A stored map was stretched
        over its own range, so that its mirrored u is 255 - u, exactly. Strain is by differences
        backwards, half a px to one side: its mirror image is that of the mirrored face less about
        7 % of its mean.
      rotation: degrees; a training sample is turned by up to so many, either way.
      zoom: a training sample is enlarged by a factor of 1 - zoom to 1 + zoom. Vectors turn and grow
        with the map, except where each channel has a scale of its own: in stored maps, and with
        `normalize`.
      turned_views: of a test clip the mean probability of further views is predicted, turned by
        `rotation` either way and enlarged by 1 - zoom and 1 + zoom. An estimator, which draws no
        samples, trains on all views (the virtual samples of Schoelkopf et al. 1996).

    Raises:
      UserError: for clips of both contents, regions of an odd size or of a map that is moved,
        a rotation of vectors of which a component is missing, or views that nothing turns.
    """
    pick = np.array([CHANNELS.index(name) for name in channels])
    contents, moves = {clip.content for clip in clips}, mirror or rotation or zoom
    if turned_views and not (rotation or zoom):
        raise UserError("method.turned_views needs method.rotation or method.zoom above 0")
    if regions and moves:
        raise UserError("method.regions takes no method.mirror, rotation or zoom; leave one out")
    if contents == {"flow"}:
        if alpha or preset != "tv_l1" or apex != "given":
            raise UserError(
                "stored flow maps are made already: method.preset, alpha and apex are of videos; "
                "leave them out"
            )
        maps = _stored(clips, tuple(size))
    elif contents == {"video"}:
        compute = _small_map(tuple(size), preset=preset, alpha=alpha, apex=apex)
        maps = jnp.asarray(per_clip.compute_on_device(clips, compute))
    else:
        raise UserError("some clips are videos and some are flow maps; give one kind")
    maps = maps[..., pick] / flow_scale
    maps = NORMALIZATIONS[normalize](maps)
    if regions:
        maps = _windows(maps, REGIONS[regions])
    if not moves:
        return Examples(inputs=maps, input_shape=maps.shape[1:])
    stored = contents == {"flow"}
    vectors = () if stored or normalize != "none" else tuple(channels)
    if rotation and len({"u", "v"} & set(vectors)) == 1:
        raise UserError("method.rotation turns vectors; add 'u' and 'v' to method.channels")
    # u + mirrored u
    top = {"none": 255 / flow_scale if stored else 0.0, "sample": 1.0, "standard": 0.0}[normalize]
    is_u = np.array([name == "u" for name in channels])[None, None, :]

    def mirrored(sample):
        flipped = sample[:, ::-1]
        # A constant channel has no direction: it stays as it is.
        varies = flipped.max((0, 1), keepdims=True) > flipped.min((0, 1), keepdims=True)
        return jnp.where(is_u & (varies | (top == 0)), top - flipped, flipped)

    def augment(key, sample, statistics):
        del statistics
        for_angle, for_factor, for_mirror = jax.random.split(key, 3)
        if rotation or zoom:
            angle = rotation * jax.random.uniform(for_angle, minval=-1, maxval=1)
            factor = 1 + zoom * jax.random.uniform(for_factor, minval=-1, maxval=1)
            sample = turned(sample, angle, factor, vectors=vectors)
        if mirror:
            sample = jnp.where(jax.random.bernoulli(for_mirror), mirrored(sample), sample)
        return sample

    turns: list[tuple[float, float]] = []
    if turned_views:
        turns = sorted(itertools.product({-rotation, rotation}, {1 - zoom, 1 + zoom}))

    def views_of(sample, statistics):
        del statistics
        found = [sample, *(turned(sample, *turn, vectors=vectors) for turn in turns)]
        return jnp.stack(found + [mirrored(view) for view in found if mirror])

    views: dict[str, Any] = {}
    if mirror or turned_views:
        views = {
            "eval_transform": views_of,
            "num_views": (1 + len(turns)) * (1 + mirror),
            "combine_views": mean_probability,
        }
    return Examples(inputs=maps, augment=augment, input_shape=maps.shape[1:], **views)


@checked
def turned(
    sample: jax.Array,
    degrees: jax.Array | float,
    factor: jax.Array | float = 1.0,
    *,
    vectors: Sequence[str] = (),
) -> jax.Array:
    """A map [H, W, C], turned counter-clockwise about its center and enlarged by `factor`.

    Edge pixels are repeated beyond the edges. `vectors` names the channels, of which "u" and "v"
    (along W and H) then turn and grow, too; empty: only positions do.

    >>> right = np.zeros((3, 3, 2), np.float32) + np.float32([1, 0])
    >>> up = jax.jit(lambda flow: turned(flow, 90.0, vectors=("u", "v")))(right)
    >>> print(np.asarray(up)[1, 1].round(3))
    [-0. -1.]
    """
    inverse = preprocessing.rotation_matrix(degrees)  # of (row, column)
    moved = preprocessing.transform(sample[None], inverse / factor)[0]
    if not vectors:
        return moved
    parts = {name: moved[..., at] for at, name in enumerate(vectors)}
    if {"u", "v"} <= set(vectors):
        cos, sin, u, v = inverse[0, 0], inverse[0, 1], parts["u"], parts["v"]
        parts |= {"u": cos * u + sin * v, "v": cos * v - sin * u}
    # A channel may be there twice, for a network of three.
    grown = [parts[name] * factor if name in ("u", "v") else parts[name] for name in vectors]
    return jnp.stack(grown, -1)


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
    for clip in clips:
        if (shape := clip.frames.shape)[0] != 1 or shape[-1] != 3:
            raise UserError(
                f"{clip.key}: its flow map is {shape}; it must be one frame of three channels: u, "
                "v and strain"
            )
    maps = stack(clips).frames[:, 0] * 255
    if maps.shape[1:3] == size:
        return maps
    return jax.image.resize(maps, (len(maps), *size, 3), "linear", antialias=True)


@functools.cache  # equal options give the same function, so that jit compiles once
def onset_to_apex(*, preset: str, alpha: float, apex: str) -> Callable[[ClipBatch], jax.Array]:
    """A function of one clip of a batch: its flow from onset to apex, [H, W, 2] px.

    Options as in `flow_maps`.
    """

    def flow(clip):
        frames = magnify(clip.frames, alpha=alpha) if alpha else clip.frames
        # Frames before the onset and after the offset are like the onset frame: not the apex.
        order = jnp.arange(len(frames), dtype=clip.onset.dtype)
        moving = (order >= clip.onset) & (order <= clip.offset)
        within = frames[jnp.where(moving, order, clip.onset)]
        # 0 where nothing moves.
        found = jnp.maximum(apex_index(within, length=clip.length), clip.onset)
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
