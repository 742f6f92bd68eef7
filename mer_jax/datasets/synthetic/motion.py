"""What happens in a clip: when and how far the face moves, and what else disturbs the picture.

Maps between the neutral face (face units) and a frame (px):

    frame t -> neutral   source(t):  undo the head's drift, then subtract p(t) D, both closed forms
    neutral -> frame t   target(t):  its inverse, by Newton's method

D is the action units' field, p(t) the temporal profile. Frames are painted at their `source`, so
that the picture at t is exactly the neutral face moved by `target`; the flow between two frames is
`target` after `source`. D is a function of where skin arrives, not of where it starts: the
displacements, and so their peak, are the same set of numbers either way.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mer_jax.datasets.synthetic import expressions
from mer_jax.datasets.synthetic.face import VIEW, Face
from mer_jax.io import saving

REFERENCE = (64, 64)  # the frame size at which amplitudes and drifts are given in px
_DRIFTS = 2  # sinusoids in each of angle, log scale and shift
BLINK = (0.2, 0.4)  # s: the shortest and the longest; filmed speakers blink so


def scale(size: tuple[int, int]) -> float:
    """px per face unit in a frame of `size` (height, width)."""
    return min(size[0] / VIEW[0], size[1] / VIEW[1])


def to_px(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """[..., 2] face units as px (x, y) in a frame of `size` (height, width)."""
    center = (np.array(size[::-1], np.float32) - 1) / 2
    return points * np.float32(scale(size)) + center


def digest(options: object, *drawn: Any) -> str:
    """64 hexadecimal digits of what is rendered: options, and trees of arrays and typed keys."""
    is_key = lambda a: jnp.issubdtype(a.dtype, jax.dtypes.prng_key)
    leaves = map(jnp.asarray, jax.tree.leaves(drawn))
    raw = [np.asarray(jax.random.key_data(a) if is_key(a) else a) for a in leaves]
    return saving.digest(repr(options), *raw)


_COMBINATIONS = max(map(len, expressions.EMOTIONS.values()))
# [emotions, combinations, units, 2], the shorter lists repeated to one length
_SHOWN = np.stack(
    [
        np.stack([expressions.strengths(shown[i % len(shown)]) for i in range(_COMBINATIONS)])
        for shown in expressions.EMOTIONS.values()
    ]
)
_COUNT = np.array([len(shown) for shown in expressions.EMOTIONS.values()])


class Take(NamedTuple):
    """The script of one clip. Instants are frames."""

    length: jax.Array  # [] int32
    onset: jax.Array  # [] int32, the last frame before any movement
    apex: jax.Array  # [] int32
    offset: jax.Array  # [] int32, the first frame without any movement again
    shown: jax.Array  # [] int32, which of the emotion's combinations
    strength: jax.Array  # [units, 2] peak of each unit, image left and right, face units
    bend: jax.Array  # [2] exponents of the rise and the fall
    fps: jax.Array  # [] Hz
    drift: jax.Array  # [4, _DRIFTS, 3]: (angle, log scale, x, y); amplitude, Hz, phase
    blink: jax.Array  # [3] first frame, how far the lids close in [0, 1], duration in s
    flicker: jax.Array  # [3] amplitude, Hz, phase
    noise: jax.Array  # [] standard deviation, in the frames' [0, 1]
    key: jax.Array  # of the noise


def sample(
    key: jax.Array,
    face: Face,
    emotion: jax.Array,
    *,
    frames: tuple[int, int],
    fps: float,
    amplitude: tuple[float, float],
    drift: float,
    blinks: float,
    flicker: float,
    noise: float,
) -> Take:
    """Draws a clip of emotion number `emotion` (order of EMOTIONS); options as in `scenes`."""
    units = _SHOWN.shape[2]
    draws, sensor = jax.random.split(key)
    draws = jax.random.uniform(draws, (15 + units + 12 * _DRIFTS,))
    part = jnp.split(draws[:-1], (1, 4, 5, 6, 8, 10, 12, 14, 14 + units))
    (size,), (begin, middle, end), (which,), (peak,), sides, blink, beat, bend, each, wander = part
    pixel = 1 / scale(REFERENCE)

    length = frames[0] + jnp.floor(size * (frames[1] + 1 - frames[0])).astype(jnp.int32)
    # The movement takes most of the clip: up to a fifth before it and a sixth after it.
    last = (length - 1).astype(jnp.float32)
    onset = jnp.floor(last * 0.2 * begin).astype(jnp.int32)
    offset = length - 1 - jnp.floor(last * 0.17 * end).astype(jnp.int32)
    span = (offset - onset).astype(jnp.float32)
    apex = onset + jnp.round(span * (0.35 + 0.25 * middle)).astype(jnp.int32)

    shown = jnp.floor(which * jnp.asarray(_COUNT, jnp.float32)[emotion]).astype(jnp.int32)
    strength = jnp.asarray(_SHOWN)[emotion, shown]
    strength = strength * (0.7 + 0.6 * each[:, None]) * (0.75 + 0.5 * sides[None, :])
    peak = amplitude[0] + (amplitude[1] - amplitude[0]) * peak
    strength = strength * (peak * pixel / _peak(face, strength))

    # Amplitudes such that no sum of sin(a + b) - sin(b) passes the bound.
    bound = drift * pixel * jnp.array([0.5, 0.5, 1.0, 1.0]) / (2 * _DRIFTS)
    share, hertz, phase = wander.reshape(3, 4, _DRIFTS)
    drifts = [bound[:, None] * (2 * share - 1), 0.4 + 1.6 * hertz, 2 * jnp.pi * phase]
    return Take(
        length=length,
        onset=onset,
        apex=apex,
        offset=offset,
        shown=shown,
        strength=strength,
        bend=0.8 + 0.5 * bend,
        fps=jnp.float32(fps),
        drift=jnp.stack(drifts, -1),
        blink=jnp.stack(
            [
                blink[0] * 0.8 * last,
                (blink[1] < blinks).astype(jnp.float32),
                BLINK[0] + (BLINK[1] - BLINK[0]) * draws[-1],
            ]
        ),
        flicker=jnp.stack([jnp.float32(flicker), 2 + 8 * beat[0], 2 * jnp.pi * beat[1]]),
        noise=jnp.float32(noise),
        key=sensor,
    )


def _peak(face: Face, strength: jax.Array) -> jax.Array:
    """The longest displacement anywhere on the face."""
    where = jnp.meshgrid(jnp.linspace(-0.9, 0.9, 91), jnp.linspace(-0.8, 1.2, 101))
    where = jnp.stack(where)
    return jnp.sqrt(jnp.max(jnp.sum(expressions.displacement(face, strength, where) ** 2, 0)))


def _ease(u: jax.Array) -> jax.Array:
    u = jnp.clip(u, 0.0, 1.0)
    return u * u * (3 - 2 * u)


def profile(take: Take, t: jax.Array) -> jax.Array:
    """How much of the peak displacement frame `t` (any shape, float32) shows.

    0 up to the onset, 1 at the apex, 0 from the offset on, monotone and smooth between them; rise
    and fall differ.
    """
    onset, apex, offset = (v.astype(jnp.float32) for v in (take.onset, take.apex, take.offset))
    rise = _ease((t - onset) / (apex - onset)) ** take.bend[0]
    fall = _ease((offset - t) / (offset - apex)) ** take.bend[1]
    return jnp.where(t <= apex, rise, fall)


def closed(take: Take, t: jax.Array) -> jax.Array:
    """How far a blink has the lids down at frame `t`, in [0, 1]; never at frame 0."""
    first, reach, duration = take.blink
    return reach * lids((t - first) / take.fps, duration)


def lids(since: jax.Array, duration: jax.Array) -> jax.Array:
    """How far a blink that began `since` seconds ago has the lids down; a third of it to close."""
    u = 3 * since / duration
    return _ease(u) - _ease((u - 1) / 2)


def brightness(take: Take, t: jax.Array) -> jax.Array:
    """What the light's flicker multiplies frame `t` by."""
    amplitude, hertz, phase = take.flicker
    return 1 + amplitude * jnp.sin(2 * jnp.pi * hertz * t / take.fps + phase)


def _pose(take: Take, t: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The head at frame `t`, as against frame 0: a matrix [2, 2] and a shift [2]."""
    amplitude, hertz, phase = jnp.moveaxis(take.drift, -1, 0)
    turn = 2 * jnp.pi * hertz * t / take.fps
    angle, grow, *shift = jnp.sum(amplitude * (jnp.sin(turn + phase) - jnp.sin(phase)), -1)
    c, s = jnp.cos(angle) * jnp.exp(grow), jnp.sin(angle) * jnp.exp(grow)
    return jnp.stack([jnp.stack([c, -s]), jnp.stack([s, c])]), jnp.stack(shift)


def _settle(face: Face, take: Take, shown: jax.Array, where: jax.Array) -> jax.Array:
    """From skin as it stands, head undrifted, to where it rests; [2, ...] face units."""
    return where - shown * expressions.displacement(face, take.strength, where)


def source(face: Face, take: Take, t: jax.Array, where: jax.Array) -> jax.Array:
    """Where on the neutral face the points `where` of frame `t` come from; [2, ...] face units."""
    matrix, shift = _pose(take, t)
    away = where - shift.reshape(2, *[1] * (where.ndim - 1))
    inverse = matrix.T / (matrix[0, 0] ** 2 + matrix[1, 0] ** 2)
    return _settle(face, take, profile(take, t), _turn(inverse, away))


def target(face: Face, take: Take, t: jax.Array, neutral: jax.Array) -> jax.Array:
    """Where points of the neutral face stand in frame `t`; the inverse of `source`."""

    def step(i, where):
        # The movement grows over the first eight steps: each starts near its own solution.
        shown = profile(take, t) * jnp.minimum((i + 1) / 8, 1.0)
        settle = functools.partial(_settle, face, take, shown)
        one, zero = jnp.ones_like(where[0]), jnp.zeros_like(where[0])
        rest, (a, c) = jax.jvp(settle, (where,), (jnp.stack([one, zero]),))
        _, (b, d) = jax.jvp(settle, (where,), (jnp.stack([zero, one]),))
        ex, ey = rest - neutral
        return where - jnp.stack([d * ex - b * ey, a * ey - c * ex]) / (a * d - b * c)[None]

    where = jax.lax.fori_loop(0, 13, step, neutral)
    matrix, shift = _pose(take, t)
    return _turn(matrix, where) + shift.reshape(2, *[1] * (where.ndim - 1))


def _turn(matrix: jax.Array, where: jax.Array) -> jax.Array:
    """A 2 x 2 product spelled out: exact in float32 on every device."""
    (a, b), (c, d) = matrix
    x, y = where
    return jnp.stack([a * x + b * y, c * x + d * y])
