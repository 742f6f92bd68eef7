"""MDMO: main directional mean optical flow in 36 regions of the face.

Liu, Zhang, Yan, Wang, Zhao, Fu, "A main directional mean optical flow feature for spontaneous
micro-expression recognition", IEEE Transactions on Affective Computing 7 (2016).
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from mer_jax.clips import check_axes, check_finite
from mer_jax.descriptors.directions import bin_of, polar
from mer_jax.errors import UserError
from mer_jax.options import checked
from mer_jax.video.strain import to_flow

DIRECTIONS = 8

# The regions of the image's left half, from 68 landmarks in iBUG's order counted from 0. A vertex
# is a landmark, the midpoint of two, or ("up", landmarks): their midpoint, raised above the brows.
_LEFT: list[tuple[Any, ...]] = [
    # forehead
    (17, ("up", 17), ("up", 19), 19),
    (19, ("up", 19), ("up", 21), 21),
    (21, ("up", 21), ("up", 21, 22), 27),
    # between brow and eye
    (1, 0, 17, 36),
    (36, 17, 19, 38),
    (38, 19, 21, 39),
    (39, 21, 27, 28),
    # cheek and nose
    (3, 2, (2, 41), (3, 29)),
    ((3, 29), (2, 41), 41, 39),
    ((3, 29), 39, 28, 29),
    ((4, 33), (3, 29), 29, 33),
    (4, 3, (3, 29), (4, 33)),
    # beside and below the mouth
    ((5, 59), (4, 33), 33, 59),
    (5, 4, (4, 33), (5, 59)),
    ((6, 58), (5, 59), 59, 58),
    ((8, 57), (6, 58), 58, 57),
    (6, 5, (5, 59), (6, 58)),
    (8, 6, (6, 58), (8, 57)),
]
# The contour and the tip of the nose, which move only with the head.
_RIGID = np.array([0, 1, 2, 3, 4, 5, 11, 12, 13, 14, 15, 16, 30])


def _mirrored() -> np.ndarray:
    """[68]: the landmark on the other side of the face."""
    mirrored = np.arange(68)
    mirrored[:17] = mirrored[16::-1]
    for first, last in ((17, 26), (31, 35), (48, 54), (55, 59), (60, 64), (65, 67)):
        mirrored[first : last + 1] = np.arange(last, first - 1, -1)
    for left, right in (range(36, 40), (45, 44, 43, 42)), ((40, 41), (47, 46)):
        mirrored[list(left)], mirrored[list(right)] = right, left
    return mirrored


def _vertices() -> tuple[np.ndarray, np.ndarray]:
    """Weights of the landmarks in each vertex, [36, 4, 68], and whether it is raised, [36, 4]."""
    weights = np.zeros((len(_LEFT), 4, 68), np.float32)
    raised = np.zeros((len(_LEFT), 4), np.float32)
    for region, corners in enumerate(_LEFT):
        for place, corner in enumerate(corners):
            points = [corner] if isinstance(corner, int) else list(corner)
            if points[0] == "up":
                raised[region, place] = 1
                points = points[1:]
            weights[region, place, points] = 1 / len(points)
    both = np.concatenate([weights, weights[:, :, _mirrored()]])
    return both, np.concatenate([raised, raised])


_WEIGHTS, _RAISED = _vertices()


@checked
def regions(landmarks: Array, *, brow: float = 1 / 3) -> Array:
    """The regions of a face: 18 quadrangles of the image's left half, then their mirror images.

    They are those of the authors' code, which draws the upper edge of the forehead 20 px above the
    brows at its own scale: here it is `brow` times the distance between the eyes' centers above
    them (our decision; about the same on faces of CASME).

    Args:
      landmarks: [68, 2] px (x, y), iBUG order.
      brow: height of the forehead, in distances between the eyes' centers.

    Returns:
      [36, 4, 2] vertices, px (x, y).

    Raises:
      UserError: for other axes, NaN or infinity (in arrays with values: not under `jit`).
    """
    landmarks = jnp.asarray(landmarks, jnp.float32)
    check_axes(landmarks, "68 2", name="landmarks")
    check_finite(landmarks, axis="landmark")
    corners = jnp.einsum("kvl,lc->kvc", _WEIGHTS, landmarks, precision=lax.Precision.HIGHEST)
    eyes = landmarks[36:42].mean(0) - landmarks[42:48].mean(0)
    lift = brow * jnp.sqrt(jnp.sum(eyes * eyes))
    return corners.at[..., 1].add(-lift * _RAISED)


@checked
def inside(polygons: Array, height: int, width: int) -> Array:
    """The pixels whose center is in a polygon, by the even-odd rule.

    Args:
      polygons: [K, V, 2] vertices, px (x, y).
      height, width: of the image, px.

    Returns:
      [K, H, W] bool; of two polygons with a common edge, one has the pixels on it.

    Raises:
      UserError: for other axes.

    >>> import jax
    >>> square = jnp.array([[[0.5, 0.5], [2.5, 0.5], [2.5, 2.5], [0.5, 2.5]]])
    >>> jax.jit(inside, static_argnums=(1, 2))(square, 4, 4).sum(axis=(0, 1)).tolist()
    [0, 2, 2, 0]
    """
    polygons = jnp.asarray(polygons, jnp.float32)
    check_axes(polygons, "KV2", name="polygons")
    y = jnp.arange(height, dtype=jnp.float32)[None, :, None]
    x = jnp.arange(width, dtype=jnp.float32)[None, None, :]
    found = jnp.zeros((len(polygons), height, width), bool)
    at = lambda corner: polygons[:, corner, None, None, :]
    for corner in range(polygons.shape[1]):
        start, end = at(corner - 1), at(corner)
        crosses = (start[..., 1] > y) != (end[..., 1] > y)
        rise = jnp.where(crosses, end[..., 1] - start[..., 1], 1)
        crossing = start[..., 0] + (end[..., 0] - start[..., 0]) * (y - start[..., 1]) / rise
        found ^= crosses & (x < crossing)
    return found


@checked
def mdmo(
    flows: Array,
    landmarks: Array,
    *,
    brow: float = 1 / 3,
    align: bool = True,
    length: int | Array | None = None,
) -> Array:
    """The main directional mean flow of 36 regions over a clip.

    In each frame and region the vectors are sorted into eight directions (sectors of pi / 4 around
    0, pi / 4, ...), and those of the fullest sector (the first of equal ones) are averaged in
    length and angle. The averages are summed over frames, each frame weighted by its share of all
    lengths, and the lengths divided by the largest of them. Vectors under 1e-4 px, after alignment,
    are rounding: they have no direction and are not averaged (ours). A region without a pixel, or
    without motion, gives 0.

    Our choice: a frame's weight is its share of the lengths of all regions and frames; the public
    port of the authors' code (meb) divides its sum of angles by that of the lengths, which rotates
    with the frame and does not measure motion, puts the sector around -pi / 4 to that around 0, and
    turns the angles by pi.

    Args:
      flows: [T, H, W, 2] px, (u, v) from the first frame to every frame; that of frame 0 may be
        included (it is 0 and has no weight).
      landmarks: [68, 2] px (x, y) in the first frame, iBUG order.
      brow: as for `regions`.
      align: remove the head's motion from every flow first (`aligned`).
      length: flows without padding, default all.

    Returns:
      [72] float32: 36 lengths in [0, 1], then 36 angles in [-pi, pi] from +x towards +y (down); 0
      where nothing moves. The two halves are not weighted against each other.

    Raises:
      UserError: for other axes of landmarks or flows, and, in arrays with values (not under
        `jit`), NaN or infinity, or landmarks of which no region has a pixel.
    """
    flows = to_flow(flows, axes="THW")
    check_finite(flows, length=length, axis="flow")
    landmarks = jnp.asarray(landmarks, jnp.float32)
    frames, height, width = flows.shape[:3]
    if length is not None:
        valid = jnp.arange(frames) < length
        flows = jnp.where(valid[:, None, None, None], flows, 0)  # padding has no weight
    masks = inside(regions(landmarks, brow=brow), height, width).astype(jnp.float32)
    if not isinstance(masks, jax.core.Tracer) and not masks.any():
        raise UserError(
            f"the landmarks are outside of the flow of {height} x {width} px; give px (x, y) in it"
        )

    def describe(flow: Array) -> Array:
        return _main_vectors(aligned(flow, landmarks) if align else flow, masks)

    vectors = lax.map(describe, flows)  # [T, 36, 2]
    weight = polar(vectors)[0].sum(1)
    weight = weight / _nonzero(weight.sum())
    lengths, angles = polar(jnp.sum(weight[:, None, None] * vectors, axis=0))
    return jnp.concatenate([lengths / _nonzero(lengths.max()), angles])


def aligned(flow: Array, landmarks: Array) -> Array:
    """A flow without the head's motion.

    The affine map that brings 13 moved landmarks of the contour and the tip of the nose back to
    their first positions (least squares) is applied to the end point of every pixel. That it has a
    translation is our choice: the port fits none, and leaves the step out.

    Args:
      flow: [H, W, 2] px.
      landmarks: [68, 2] px (x, y).

    Returns:
      [H, W, 2] px.
    """
    height, width = flow.shape[:2]
    rigid = landmarks[_RIGID]
    size = jnp.array([width, height], jnp.float32)
    nearest = jnp.clip(jnp.round(rigid), 0, size[None, :] - 1).astype(jnp.int32)
    moved = flow[nearest[:, 1], nearest[:, 0]]

    def columns(x, y):  # relative to the frame's center and size, for the precision of float32
        x, y = (2 * a / size[i] - 1 for i, a in enumerate((x, y)))
        return jnp.stack([x, y, jnp.ones_like(x)], axis=-1)

    # The map is fitted as a displacement, so that a flow of 0 stays exactly 0.
    end = rigid + moved
    fit = jnp.linalg.pinv(columns(end[:, 0], end[:, 1]))
    affine = jnp.matmul(fit, moved, precision=lax.Precision.HIGHEST)  # [3, 2]
    y, x = jnp.meshgrid(*(jnp.arange(n, dtype=jnp.float32) for n in (height, width)), indexing="ij")
    design = columns(x + flow[..., 0], y + flow[..., 1])
    return flow - jnp.matmul(design, affine, precision=lax.Precision.HIGHEST)


def _main_vectors(flow: Array, masks: Array) -> Array:
    """[H, W, 2] and [K, H, W] -> [K, 2]: the mean vector of each region's fullest direction."""
    lengths, angles = polar(flow)
    step = 2 * np.pi / DIRECTIONS
    sector = bin_of(angles, bins=DIRECTIONS, start=-step / 2)
    # Relative to the sector's middle, angles on both sides of pi are adjacent.
    middle = step * sector.astype(jnp.float32)
    offset = (angles - middle + np.pi) % (2 * np.pi) - np.pi
    member = sector[None] == jnp.arange(DIRECTIONS, dtype=jnp.int32)[:, None, None]
    member = (member & (lengths > 0)[None]).astype(jnp.float32)
    count, length, offset = (
        jnp.einsum("bhw,khw->kb", member * weight[None], masks, precision=lax.Precision.HIGHEST)
        for weight in (jnp.ones_like(lengths), lengths, offset)
    )
    main = jnp.argmax(count, axis=1)
    pick = lambda sums: jnp.take_along_axis(sums, main[:, None], axis=1)[:, 0]
    total = jnp.maximum(pick(count), 1)
    length, angle = pick(length) / total, step * main.astype(jnp.float32) + pick(offset) / total
    return length[:, None] * jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=-1)


def _nonzero(total: Array) -> Array:
    """`total` as a divisor: 1 in place of 0."""
    return jnp.where(total > 0, total, 1)
