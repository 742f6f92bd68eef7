"""Flow vectors of twelve regions around facial landmarks, less the head's own motion.

Leng et al., ABPN (ACM MM 2022), and Yin et al., AUW-GCN (ICME 2023), by their authors' code: 12
vectors describe a frame of a long video, the input of `models.pem` and `models.auw_gcn`.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from mer_jax.clips import check_axes, check_finite
from mer_jax.descriptors.directions import polar
from mer_jax.options import checked
from mer_jax.video.strain import to_flow

# Landmarks in iBUG's order, counted from 0: brows of the image's left and right, bridge and tip of
# the nose, and corners, upper and lower middle of the mouth.
LANDMARKS = (18, 19, 20, 23, 24, 25, 28, 30, 48, 51, 54, 57)
_NOSE = (29, 30)
_INNER_EYE_CORNERS = (39, 42)
# Sectors around down, left, up and right (y is down), by the angle where each begins.
_QUARTERS = np.pi * np.array([1 / 4, 3 / 4, 5 / 4, 7 / 4])
_WIDE = np.pi * np.array([1 / 6, 5 / 6, 7 / 6, 11 / 6])  # 120 degrees down and up, 60 sideways


@checked
def region_flow(
    flow: Array,
    landmarks: Array,
    *,
    radius: int = 5,
    share: float = 0.6,
    nose_share: float = 0.88,
    nose_margin: float = 0.35,
) -> Array:
    """The main flow vector of each region, less that of the nose.

    A region is a square of 2 `radius` + 1 px around a landmark of `LANDMARKS`. Of its vectors less
    that of the nose, those of the fullest of four sectors count (the first of equal ones: down,
    left, up, right), and of these the longest `share`. The result has the direction of their sum
    and their mean length.

    The vector of the nose is found in the same way, with quarters of a circle as sectors, in the
    rectangle around landmarks 29 and 30 with a margin of `nose_margin` times half the distance
    between the inner corners of the eyes. It stands for the motion of the head.

    Our choice, where the authors' code fails: pixels outside of the image are left out, and at
    least one vector is averaged. Vectors under 1e-4 px are 0, with the angle 0.

    Args:
      flow: [H, W, 2] px, (u, v) between two frames. The authors take TV-L1 between successive
        frames and store it as 8 bits over 20 px, so that their vectors are 1/20 of these.
      landmarks: [68, 2] px (x, y), iBUG order, in the second frame; rounded to pixels.
      radius: px.
      share, nose_share: of the vectors of a sector, rounded down.
      nose_margin: rounded down to px.

    Returns:
      [12, 2] float32, px; regions in the order of `LANDMARKS`, 0 for one outside of the image.

    Raises:
      UserError: for other axes, NaN or infinity (in arrays with values: not under `jit`).

    >>> import functools
    >>> flow = np.full((48, 48, 2), 2.0)
    >>> flow[:16, :16] = 3.0
    >>> points = np.full((68, 2), 24.0)
    >>> points[18] = 8.0
    >>> found = jax.jit(functools.partial(region_flow, radius=2))(flow, points)
    >>> np.asarray(found)[:2].round(4).tolist()
    [[1.0, 1.0], [0.0, 0.0]]
    """
    flow = to_flow(flow)
    check_finite(flow, axis="row")
    check_axes(landmarks, "68 2", name="landmarks")
    check_finite(landmarks, axis="landmark")
    points = jnp.round(jnp.asarray(landmarks, jnp.float32)).astype(jnp.int32)
    head = _nose_vector(flow, points, nose_share, nose_margin)
    size = jnp.array(flow.shape[1::-1], jnp.int32)  # of x, y
    offsets = np.stack(np.meshgrid(*[np.arange(-radius, radius + 1)] * 2), -1).reshape(-1, 2)
    pixels = points[np.array(LANDMARKS), None, :] + jnp.asarray(offsets, jnp.int32)[None]
    inside = ((pixels >= 0) & (pixels < size[None, None, :])).all(-1)
    x, y = jnp.moveaxis(jnp.clip(pixels, 0, size[None, None, :] - 1), -1, 0)
    vectors = flow[y, x] - head[None, None, :]
    return jax.vmap(lambda v, m: _main_vector(v, m, _WIDE, share))(vectors, inside)


def _nose_vector(flow: Array, points: Array, share: float, margin: float) -> Array:
    """[H, W, 2] and [68, 2] int px -> [2] px."""
    left, right = (points[corner, 0] for corner in _INNER_EYE_CORNERS)
    reach = jnp.trunc((right - left).astype(jnp.float32) / 2 * margin).astype(jnp.int32)
    nose = points[np.array(_NOSE)]
    low, high = nose.min(0) - reach, nose.max(0) + reach
    y, x = (
        lax.broadcasted_iota(jnp.int32, flow.shape[:2], axis) for axis in range(2)
    )  # [H, W] each
    inside = (x >= low[0]) & (x <= high[0]) & (y >= low[1]) & (y <= high[1])
    return _main_vector(flow.reshape(-1, 2), inside.reshape(-1), _QUARTERS, share)


def _main_vector(vectors: Array, member: Array, starts: np.ndarray, share: float) -> Array:
    """The direction of the sum, and the mean length, of the main vectors among the members.

    Args:
      vectors: [P, 2].
      member: [P] bool.
      starts: [4] ascending angles in [0, 2 pi), where sectors begin; the last one passes 0.
      share: of the main sector's vectors, the longest.
    """
    length, angle = polar(vectors)
    angle = jnp.where(angle < 0, angle + 2 * np.pi, angle)
    ends = jnp.asarray(starts, angle.dtype)
    sector = (jnp.sum(angle[:, None] >= ends[None, :], -1) - 1) % len(starts)
    sectors = jnp.arange(len(starts), dtype=sector.dtype)
    each = (sector[:, None] == sectors[None, :]) & member[:, None]  # [P, 4]
    main = jnp.argmax(each.sum(0))
    chosen = jnp.take(each, main, axis=1)
    # floor(share n) in double precision, as Python rounds it
    counts = np.maximum(1, np.floor(np.arange(len(vectors) + 1) * share)).astype(np.int32)
    count = jnp.asarray(counts)[chosen.sum()]
    key = jnp.where(chosen, -length, jnp.inf)
    kept = jnp.where(length[:, None] > 0, vectors, 0)
    _, length, u, v = lax.sort(
        (key, jnp.where(chosen, length, 0), *(jnp.where(chosen, kept[:, i], 0) for i in range(2))),
        num_keys=1,
    )
    longest = (jnp.arange(len(vectors), dtype=jnp.int32) < count).astype(length.dtype)
    total = jnp.stack([(u * longest).sum(), (v * longest).sum()])
    norm = jnp.sqrt((total * total).sum())
    mean = (length * longest).sum() / count.astype(length.dtype)
    return jnp.where(norm > 0, total * (mean / jnp.where(norm > 0, norm, 1)), 0)
