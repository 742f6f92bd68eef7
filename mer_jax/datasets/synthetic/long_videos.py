"""Synthetic long videos: a rendered face with marked expressions among movements that are none.

A recording is drawn from its seed, its subject's number and its own number; frame t is a function
of that script and of t alone, so that any block of any recording has the same pixels however it is
read, and no length needs memory. Expressions do not overlap; the onset is the last frame before
the face moves, the offset the first at rest again. Distractors are labeled nowhere: blinks, gaze,
turns and drift of the head, speech-like movement of the mouth (between expressions), and light.
"""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mer_jax import runtime
from mer_jax.datasets import synthetic
from mer_jax.datasets.synthetic import expressions, face, motion, paint
from mer_jax.datasets.synthetic.face import Face
from mer_jax.datasets.synthetic.motion import REFERENCE, scale, to_px
from mer_jax.errors import UserError
from mer_jax.options import checked
from mer_jax.recordings import Distractor, Interval, Recording

__all__ = ["DISTRACTORS", "landmarks", "recordings"]

DISTRACTORS = ("blinks", "gaze", "head", "speech", "light")
# Seconds. A micro-expression lasts half a second at most (Yan et al., J. Nonverbal Behav. 2013).
_DURATION = {"micro": (0.2, 0.5), "macro": (0.6, 3.0), "speech": (1.0, 2.5)}
_REST = 0.4  # least time between two of these
_SACCADE = 0.05
_CHUNK = 16  # frames of one call; the same compiled program draws every frame
_ROWS = 16  # rows of a script's arrays are padded to a multiple, for few compilations
_EYES = np.array([list(face.MEASURES).index(name) for name in ("gaze_x", "gaze_y")])
_LIGHT = list(face.MEASURES).index("light_x")


class Script(NamedTuple):
    """What happens in a recording. Rows that are padding have amplitude 0. Times are frames."""

    movement: jax.Array  # [E, 6] onset, apex, offset, exponents of rise and fall, Hz (0: none)
    strength: jax.Array  # [E, units, 2] peak of each unit, image left and right, face units
    blink: jax.Array  # [B, 3] first frame, how far the lids close, duration in s
    saccade: jax.Array  # [G, 3] first frame, change of gaze x and y, face units
    turn: jax.Array  # [H, 5] first and last frame; yaw and pitch (face units), roll (rad)
    drift: jax.Array  # [4, 2, 3] of angle, log scale, x, y: amplitude, Hz, phase
    light: jax.Array  # [4, 3] amplitude, Hz, phase: two of brightness, two of the light's side
    noise: jax.Array  # [] standard deviation, in the frames' [0, 1]
    key: jax.Array  # of the noise
    fps: jax.Array  # []


class State(NamedTuple):
    """What a frame shows: the script at one instant. T in front for several."""

    strength: jax.Array  # [units, 2] of each unit, face units
    closed: jax.Array  # [] how far the lids are down
    gaze: jax.Array  # [2] change of the gaze, face units
    side: jax.Array  # [] change of the light's direction
    brightness: jax.Array  # [] factor
    pose: jax.Array  # [6] angle, log scale, x, y of the head; yaw, pitch
    time: jax.Array  # [] int32


@jax.jit
def _states(script: Script, times: jax.Array) -> State:
    """The states of the frames `times` [T] int32."""

    def state(time):
        t = time.astype(jnp.float32)
        seconds = t / script.fps
        shown = _profile(script, t) @ script.strength.reshape(len(script.strength), -1)
        begin, close, duration = script.blink.T
        lids = motion.lids((t - begin) / script.fps, duration)
        moved = motion._ease((t - script.saccade[:, 0]) / (_SACCADE * script.fps))
        amplitude, hertz, phase = script.light.T
        waves = amplitude * jnp.sin(2 * jnp.pi * hertz * seconds + phase)
        first, last, yaw, pitch, roll = script.turn.T
        half = 0.5 * (last - first)
        bump = motion._ease((t - first) / half) * motion._ease((last - t) / half)
        amplitude, hertz, phase = jnp.moveaxis(script.drift, -1, 0)
        angle = 2 * jnp.pi * hertz * seconds
        drift = jnp.sum(amplitude * (jnp.sin(angle + phase) - jnp.sin(phase)), -1)
        turn = jnp.stack([bump @ yaw, bump @ pitch])
        return State(
            strength=shown.reshape(script.strength.shape[1:]),
            closed=jnp.clip(close @ lids, 0.0, 1.0),
            gaze=moved @ script.saccade[:, 1:],
            side=waves[2:].sum(),
            brightness=1 + waves[:2].sum(),
            pose=jnp.concatenate([drift.at[0].add(bump @ roll), turn]),
            time=time,
        )

    return jax.lax.map(state, times)


def _profile(script: Script, t: jax.Array) -> jax.Array:
    """How much of its peak each movement shows in frame t, [E]."""
    onset, apex, offset, rise, fall, hertz = script.movement.T
    up = motion._ease((t - onset) / (apex - onset)) ** rise
    down = motion._ease((offset - t) / (offset - apex)) ** fall
    beat = 0.5 - 0.5 * jnp.cos(2 * jnp.pi * hertz * (t - onset) / script.fps)
    return jnp.where(t <= apex, up, down) * jnp.where(hertz > 0, beat, 1.0)


@functools.partial(jax.jit, static_argnames=("size",))
def _render(
    key: jax.Array, neutral: Face, states: State, noise: jax.Array, *, size: tuple[int, int]
) -> jax.Array:
    """The frames of `states`, [T, H, W, 3] uint8; noise: its standard deviation in [0, 1]."""
    grid = jnp.asarray(synthetic._grid(size))
    px = jnp.float32(1 / scale(size))

    def frame(state):
        measures = neutral.measures.at[_EYES].add(state.gaze).at[_LIGHT].add(state.side)
        posed = neutral._replace(measures=measures)
        where = _source(posed, state, grid)
        rgb = paint.paint(posed, *where, px=px, closed=state.closed) * state.brightness
        grain = jax.random.normal(jax.random.fold_in(key, state.time), rgb.shape)
        rgb = jnp.clip(rgb + noise * grain, 0.0, 1.0)
        return jnp.moveaxis(jnp.round(rgb * 255).astype(jnp.uint8), 0, -1)

    return jax.lax.map(frame, states)


def _source(neutral: Face, state: State, where: jax.Array) -> jax.Array:
    """Where on the neutral face the points `where` [2, H, W] of a frame come from."""
    angle, grow, right, down, *turn = state.pose
    c, s = jnp.cos(angle) * jnp.exp(-grow), jnp.sin(angle) * jnp.exp(-grow)
    x, y = where[0] - right, where[1] - down
    x, y = c * x + s * y, c * y - s * x
    # A turn moves what is near the camera most: the middle of the face, not its rim.
    near = jnp.exp(-0.5 * (x * x + y * y) / 0.45**2)
    frontal = jnp.stack([x - turn[0] * near, y - turn[1] * near])
    return frontal - expressions.displacement(neutral, state.strength, frontal)


@jax.jit
def _points(neutral: Face, states: State) -> jax.Array:
    """[T, 68, 2] face units: where the landmarks of the neutral face are in the frames of `states`.

    `_source` is inverted by a fixed point: it is within a few hundredths of the identity.
    """
    target = face.landmarks(neutral).T[..., None]  # [2, 68, 1]

    def frame(state):
        step = lambda _, where: where + target - _source(neutral, state, where)
        return jax.lax.fori_loop(0, 12, step, target)[..., 0].T

    return jax.lax.map(frame, states)


@dataclasses.dataclass(frozen=True, eq=False)
class _Rendered:
    """The `read` of a synthetic recording: [T, H, W, C] uint8."""

    neutral: Face
    script: Script
    size: tuple[int, int]
    gray: bool

    def digest(self) -> str:
        """64 hexadecimal digits of what is rendered."""
        return motion.digest((self.size, self.gray), self.neutral, self.script)

    @runtime.pinned()
    def __call__(self, start: int, stop: int) -> np.ndarray:
        blocks = []
        for begin in range(start, stop, _CHUNK):
            states = _states(self.script, jnp.arange(begin, begin + _CHUNK, dtype=jnp.int32))
            script = self.script
            frames = _render(script.key, self.neutral, states, script.noise, size=self.size)
            blocks.append(np.asarray(frames)[: stop - begin])
        film = np.concatenate(blocks)
        return np.round(film @ synthetic._GRAY)[..., None].astype(np.uint8) if self.gray else film


@runtime.pinned()
def landmarks(recording: Recording) -> np.ndarray:
    """The 68 landmarks of each frame of a synthetic recording, as they were rendered.

    They move with the head and the expressions; lids and gaze do not move them.

    Returns:
      [T, 68, 2] float32 px (x, y), iBUG order.

    Raises:
      UserError: for another recording.
    """
    rendered = recording.read
    if not isinstance(rendered, _Rendered):
        raise UserError(f"{recording.key}: is not rendered; set evidence.landmarks to a model")
    found = []
    for begin in range(0, recording.length, _CHUNK):
        states = _states(rendered.script, jnp.arange(begin, begin + _CHUNK, dtype=jnp.int32))
        found.append(np.asarray(_points(rendered.neutral, states)))
    return to_px(np.concatenate(found)[: recording.length], rendered.size)


@checked
@runtime.pinned()
def recordings(
    *,
    subjects: int = 2,
    recordings_per_subject: int = 2,
    seconds: float = 20.0,
    micro: int = 3,
    macro: int = 2,
    emotions: Sequence[str] = synthetic.DEFAULT_EMOTIONS,
    size: tuple[int, int] = REFERENCE,
    fps: float = 30.0,
    gray: bool = False,
    seed: int = 0,
    amplitude: tuple[float, float] = (0.3, 1.5),
    macro_amplitude: tuple[float, float] = (1.5, 2.5),
    distractors: Sequence[str] = DISTRACTORS,
    noise: float = 0.0055,
) -> list[Recording]:
    """`subjects` times `recordings_per_subject` recordings; frames are rendered when read.

    Args:
      seconds: duration of each.
      micro, macro: expressions of each kind in a recording, at random instants.
      emotions: names of EMOTIONS, drawn at random.
      size: (height, width) px.
      fps: Hz.
      gray: one channel (BT.601 luma) instead of three.
      amplitude, macro_amplitude: the longest displacement at the apex of a micro- or
        macro-expression is uniform between these two, in px of a 64 x 64 frame.
      distractors: members of DISTRACTORS; () for a still face.
      noise: standard deviation of the sensor in each channel, of a range [0, 1]; see `scenes`.

    Raises `UserError` where the expressions do not fit into the duration.
    """
    synthetic.check_ascending(amplitude=amplitude, macro_amplitude=macro_amplitude)
    length = round(seconds * fps)
    peaks = {"micro": amplitude, "macro": macro_amplitude, "speech": (0.8, 1.6)}
    out = []
    for subject in range(subjects):
        root = jax.random.fold_in(jax.random.key(seed), subject)
        neutral = synthetic._face(jax.random.fold_in(root, 0))
        for number in range(recordings_per_subject):
            rng = np.random.default_rng([seed, subject, number])
            kinds = ["micro"] * micro + ["macro"] * macro
            kinds += ["speech"] * round(seconds / 20 if "speech" in distractors else 0)
            spans = _spans(rng, list(rng.permutation(kinds)), length, fps)
            drawn = [_movement(rng, neutral, span, list(emotions), peaks) for span in spans]
            intervals, movement, strength = map(list, zip(*drawn)) if drawn else ([], [], [])
            key = jax.random.fold_in(jax.random.fold_in(root, 1), number)
            script = _script(rng, key, movement, strength, distractors, length, fps, noise)
            speech = [
                Distractor("speech", onset, offset) for k, onset, offset in spans if k == "speech"
            ]
            out.append(
                Recording(
                    database=synthetic.DATABASE,
                    subject=f"s{subject + 1:02d}",
                    name=f"s{subject + 1:02d}_{number + 1:02d}",
                    read=_Rendered(neutral, script, (size[0], size[1]), gray),
                    length=length,
                    fps=float(fps),
                    intervals=tuple(each for each in intervals if each),
                    distractors=_distractors(script, length, fps, speech),
                )
            )
    return out


_peak = jax.jit(motion._peak)


def _movement(
    rng: np.random.Generator,
    neutral: Face,
    span: tuple[str, int, int],
    emotions: Sequence[str],
    peaks: Mapping[str, tuple[float, float]],
) -> tuple[Interval | None, tuple[float, ...], np.ndarray]:
    """An expression, or speech, in a span (kind, onset, offset): its mark, and rows of a script."""
    kind, onset, offset = span
    apex = onset + max(1, round((offset - onset) * rng.uniform(0.35, 0.6)))
    emotion, units, hertz = str(rng.choice(emotions)), "25+26", 0.0
    if kind == "speech":
        hertz = rng.uniform(3.0, 5.0)
    else:
        units = str(rng.choice(list(synthetic.EMOTIONS[emotion])))
    movement = (onset, apex, offset, *rng.uniform(0.8, 1.3, 2), hertz)
    strength = expressions.strengths(units)
    strength = strength * rng.uniform(0.7, 1.3, (len(strength), 1))
    strength = (strength * rng.uniform(0.75, 1.25, 2)).astype(np.float32)
    reach = float(rng.uniform(*peaks[kind]))
    peak = reach / scale(REFERENCE) / float(_peak(neutral, jnp.asarray(strength)))
    marked = None
    if kind != "speech":
        marked = Interval(onset, apex, offset, kind, emotion, units, reach)
    return marked, movement, strength * peak


def _distractors(script: Script, length: int, fps: float, speech) -> tuple[Distractor, ...]:
    """The movements of a script that are no expressions and have a beginning and an end."""
    gaze = _SACCADE * fps
    found = [(kind, float(a), float(b)) for kind, a, b in speech]
    found += [("blinks", float(a), float(a + s * fps)) for a, close, s in script.blink if close]
    found += [("gaze", float(a), float(a) + gaze) for a, *moved in script.saccade if any(moved)]
    found += [("head", float(a), float(b)) for a, b, *angles in script.turn if any(angles)]
    last = length - 1
    rows = [Distractor(k, min(int(a), last), min(math.ceil(b), last)) for k, a, b in found]
    return tuple(sorted(rows, key=lambda each: (each.onset, each.kind)))


def _spans(rng, kinds, length, fps) -> list[tuple[str, int, int]]:
    """(kind, onset, offset) in that order, at random, without overlap and `_REST` apart."""
    limits = {kind: tuple(int(end * fps) for end in ends) for kind, ends in _DURATION.items()}
    frames = [max(3, int(rng.integers(limits[k][0], limits[k][1] + 1))) for k in kinds]
    rest = int(np.ceil(_REST * fps))
    free = length - sum(frames) - rest * (len(kinds) + 1)
    if free < 0:
        raise UserError(
            f"{len(kinds)} movements of {sum(frames) / fps:.1f} s do not fit into "
            f"{length / fps:g} s; raise data.seconds, or lower data.micro and data.macro"
        )
    before = np.sort(rng.integers(0, free + 1, len(kinds)))
    spans, used = [], 0
    for kind, count, gap in zip(kinds, frames, before):
        used += rest
        spans.append((str(kind), int(gap) + used, int(gap) + used + count - 1))
        used += count
    return spans


def _script(rng, key, movement, strength, distractors, length, fps, noise) -> Script:
    def some(name, every):
        """Frames at random, one in `every` seconds on average."""
        count = round(length / fps / every) if name in distractors else 0
        return np.sort(rng.uniform(0.3 * fps, max(0.3 * fps, length - fps), count))

    starts = some("blinks", 4.0)
    blink = np.column_stack([starts, np.ones(len(starts)), rng.uniform(*motion.BLINK, len(starts))])
    starts = some("gaze", 1.5)
    target = rng.uniform(-1, 1, (len(starts), 2)) * (0.04, 0.02)
    saccade = np.column_stack([starts, np.diff(target, axis=0, prepend=np.zeros((1, 2)))])
    starts = some("head", 6.0)
    reach = rng.uniform(-1, 1, (len(starts), 3)) * (0.06, 0.05, 0.04)
    turn = np.column_stack([starts, starts + rng.uniform(0.8, 2.0, len(starts)) * fps, reach])
    bound = np.array([0.25, 0.25, 0.5, 0.5])[:, None] / scale(REFERENCE) / 2
    share, hertz, phase = rng.uniform(0, 1, (3, 4, 2))
    drift = np.stack([bound * (2 * share - 1), 0.1 + 0.5 * hertz, 2 * np.pi * phase], -1)
    drift[..., 0] *= "head" in distractors
    light = np.array([(0.08, 0.05), (0.01, 5.0), (0.25, 0.04), (0.05, 0.2)])
    light = np.column_stack([light * rng.uniform(0.5, 1.5, (4, 2)), rng.uniform(0, 6.28, 4)])
    light[:, 0] *= "light" in distractors
    units = len(expressions.UNITS)
    still = (-3.0, -2.0, -1.0, 1.0, 1.0, 0.0)
    return Script(
        movement=_padded(movement, still),
        strength=_padded(strength, np.zeros((units, 2))),
        blink=_padded(blink, (-9.0, 0.0, 1.0)),
        saccade=_padded(saccade, (-9.0, 0.0, 0.0)),
        turn=_padded(turn, (-3.0, -1.0, 0.0, 0.0, 0.0)),
        drift=jnp.asarray(drift, jnp.float32),
        light=jnp.asarray(light, jnp.float32),
        noise=jnp.float32(noise),
        key=key,
        fps=jnp.float32(fps),
    )


def _padded(rows, filler) -> jax.Array:
    """[R, ...] float32, R the next multiple of `_ROWS` that holds all rows."""
    rows = [np.asarray(row, np.float32) for row in rows]
    missing = _ROWS - len(rows) % _ROWS
    return jnp.asarray(np.stack([*rows, *[np.asarray(filler, np.float32)] * missing]))
