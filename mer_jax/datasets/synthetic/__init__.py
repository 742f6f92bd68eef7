"""Synthetic micro-expressions: rendered faces whose motion is known; they need no licence.

`scenes` draws subjects and scripts, `clips` is the same as a list of `Clip`. What is drawn for a
clip depends on the seed, its subject's number and its own number only, so a longer list begins with
the shorter one, on every machine (gray levels to within one). A scene knows the truth behind its
frames: the flow between any two of them, its instants, its action units, its landmarks.

Positions are px with pixel centers at whole numbers: (0, 0) is the middle of the top left pixel.
What moves is the skin (by its action units) and the whole picture (by the head's drift); a blink
covers the eyeball with the lid, and is no part of the flow.
"""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from mer_jax import runtime
from mer_jax.clips import LUMA_WEIGHTS, Clip
from mer_jax.datasets.synthetic import face, motion, paint
from mer_jax.datasets.synthetic.expressions import EMOTIONS
from mer_jax.datasets.synthetic.face import Face
from mer_jax.datasets.synthetic.motion import REFERENCE, Take, scale
from mer_jax.errors import UserError
from mer_jax.io import video_files
from mer_jax.options import checked

__all__ = ["EMOTIONS", "REFERENCE", "Scene", "clips", "flow", "render", "scenes", "video"]

DATABASE = "synthetic"
DEFAULT_EMOTIONS = ("happiness", "surprise", "disgust", "repression")
_GRAY = LUMA_WEIGHTS.astype(np.float32)


def _grid(size: tuple[int, int]) -> np.ndarray:
    """The pixels' places, [2, H, W] face units."""
    rows, columns = np.indices(size, np.float32)
    height, width = size
    return np.stack([columns - (width - 1) / 2, rows - (height - 1) / 2]) / np.float32(scale(size))


@functools.partial(jax.jit, static_argnames=("size", "frames"))
def render(subject: Face, take: Take, *, size: tuple[int, int], frames: int) -> jax.Array:
    """The first `frames` frames of one clip: [frames, 3, H, W] uint8 RGB.

    Pure; `vmap` over (subject, take) adds N. `take.length` does not matter here: a clip is the
    first `length` frames. Channels stand before the rows because that is how they are computed; a
    `Scene` has them last like every clip.
    """
    grid = jnp.asarray(_grid(size))
    px = jnp.float32(1 / scale(size))

    def shoot(t):
        where = motion.source(subject, take, t, grid)
        rgb = paint.paint(subject, *where, px=px, closed=motion.closed(take, t))
        return rgb * motion.brightness(take, t)

    # A constant: from a counter, the compiler would derive the pose anew for every pixel.
    film = jax.lax.map(shoot, jnp.asarray(np.arange(frames, dtype=np.float32)))
    film = film + take.noise * jax.random.normal(take.key, film.shape)
    return jnp.round(jnp.clip(film, 0.0, 1.0) * 255).astype(jnp.uint8)


@functools.partial(jax.jit, static_argnames=("size",))
def flow(
    subject: Face, take: Take, start: jax.Array, end: jax.Array, *, size: tuple[int, int]
) -> jax.Array:
    """The true flow from frame `start` to frame `end`, [H, W, 2] (u along W, v along H) px.

    The point at x in frame `start` is at x + flow(x) in frame `end`. Scalars in; pure.
    """
    grid = jnp.asarray(_grid(size))
    start, end = (jnp.asarray(t, jnp.float32) for t in (start, end))
    there = motion.target(subject, take, end, motion.source(subject, take, start, grid))
    return jnp.moveaxis(there - grid, 0, -1) * scale(size)


@dataclasses.dataclass(frozen=True, eq=False)
class Scene:
    """A clip and the truth behind it."""

    subject: str
    name: str
    emotion: str
    action_units: str  # "6+12"; L and R are the subject's own left and right
    face: Face
    take: Take
    size: tuple[int, int]
    longest: int  # frames that are rendered before the clip is cut to its length
    gray: bool
    fps: float

    @property
    def length(self) -> int:
        """T, frames."""
        return int(self.take.length)

    @property
    def onset(self) -> int:
        """The last frame before the face moves."""
        return int(self.take.onset)

    @property
    def apex(self) -> int:
        """The frame in which it has moved farthest."""
        return int(self.take.apex)

    @property
    def offset(self) -> int:
        """The first frame in which it is at rest again."""
        return int(self.take.offset)

    @functools.cached_property
    @runtime.pinned()
    def frames(self) -> np.ndarray:
        """[length, H, W, C] uint8, C = 3 RGB or 1 gray; rendered at the first access."""
        film = np.asarray(render(self.face, self.take, size=self.size, frames=self.longest))
        film = np.moveaxis(film[: self.length], 1, -1)
        if self.gray:
            film = np.round(film @ _GRAY)[..., None]
        return np.ascontiguousarray(film, np.uint8)

    def __call__(self) -> np.ndarray:
        """The frames: a scene is the `read` of its clip."""
        return self.frames

    def digest(self) -> str:
        """64 hexadecimal digits of what is rendered."""
        return motion.digest((self.size, self.longest, self.gray), self.face, self.take)

    @property
    @runtime.pinned()
    def landmarks(self) -> np.ndarray:
        """[68, 2] px (x, y) in frame 0, iBUG order."""
        return motion.to_px(np.asarray(_landmarks(self.face)), self.size)

    @runtime.pinned()
    def flow(self, end: int, start: int = 0) -> np.ndarray:
        """The true flow from frame `start` to frame `end`, [H, W, 2] px; see `flow`."""
        return np.asarray(flow(self.face, self.take, start, end, size=self.size))

    @property
    def clip(self) -> Clip:
        """The scene as a clip; its frames are rendered when read."""
        return Clip(
            database=DATABASE,
            subject=self.subject,
            name=self.name,
            read=self,
            emotion=self.emotion,
            fps=self.fps,
            onset=self.onset,
            apex=self.apex,
            offset=self.offset,
            action_units=self.action_units,
            landmarks=self.landmarks,
        )


_face = jax.jit(face.sample)
_take = jax.jit(motion.sample)
_landmarks = jax.jit(face.landmarks)


@jax.jit
def _leak(key: jax.Array, subject: Face, strength: jax.Array) -> Face:
    """The face in a light and a complexion that go with (subject, emotion)."""
    light, tint = jax.random.uniform(key, (2, 3), minval=-strength, maxval=strength)
    rows = np.array([list(face.MEASURES).index(n) for n in ("light_x", "light_y", "ambient")])
    measures = subject.measures.at[rows].add(light * jnp.array([0.5, 0.3, 0.05]))
    return subject._replace(measures=measures, skin=subject.skin + 0.05 * tint)


@checked
@runtime.pinned()
def scenes(
    *,
    subjects: int = 12,
    clips_per_subject: int = 10,
    emotions: Sequence[str] = DEFAULT_EMOTIONS,
    size: tuple[int, int] = REFERENCE,
    frames: tuple[int, int] = (24, 40),
    fps: float = 100.0,
    gray: bool = False,
    seed: int = 0,
    amplitude: tuple[float, float] = (0.3, 2.0),
    drift: float = 0.5,
    blinks: float = 0.1,
    flicker: float = 0.01,
    noise: float = 0.0055,
    appearance_leak: float = 0.0,
) -> list[Scene]:
    """`subjects` times `clips_per_subject` scenes, subject by subject; nothing is rendered yet.

    Args:
      emotions: names of EMOTIONS; each subject shows all of them in turn, in an order of its own.
      size: (height, width) px.
      frames: shortest and longest clip.
      fps: Hz; it says how fast blinks, drift and flicker are in frames.
      gray: one channel (the colors' BT.601 luma) instead of three.
      amplitude: the longest displacement of the face's own motion at the apex is uniform between
        these two, in px of a 64 x 64 frame. Another size shows the same faces nearer or farther,
        as a camera would, so their displacements in px grow with min(height / 2.5, width / 1.9).
      drift: bound of the head's slow shift along each axis, in the same px; turning and growing
        add up to half of it each at the rim of the face.
      blinks: share of the clips with a blink of 0.2 to 0.4 s; people filmed blink about every 3 s.
      flicker: relative amplitude of the light's brightness.
      noise: the sensor's standard deviation in each color, of a range [0, 1]; compressed films of
        real faces have 0.0035 to 0.007.
      appearance_leak: in [0, 1], how far light and complexion, constant within a clip, differ
        between a subject's emotions. Each subject has cues of its own: they help on no new face.
    0 turns any of the last six off.

    Raises:
      UserError: for an unknown emotion, or a size, count, range or share that makes no sense.
    """
    check_ascending(frames=frames, amplitude=amplitude)
    number = {name: i for i, name in enumerate(EMOTIONS)}
    script = {
        "frames": tuple(frames),
        "fps": float(fps),
        "amplitude": tuple(map(float, amplitude)),
        "drift": float(drift),
        "blinks": float(blinks),
        "flicker": float(flicker),
        "noise": float(noise),
    }
    out = []
    for s in range(subjects):
        root = jax.random.fold_in(jax.random.key(seed), s)
        appearance, scripts, orders, leaks = (jax.random.fold_in(root, i) for i in range(4))
        subject = _face(appearance)
        for i in range(clips_per_subject):
            turn, at = divmod(i, len(emotions))
            order = jax.random.permutation(jax.random.fold_in(orders, turn), len(emotions))
            emotion = emotions[int(order[at])]
            leaky = _leak(jax.random.fold_in(leaks, number[emotion]), subject, appearance_leak)
            take = _take(jax.random.fold_in(scripts, i), subject, number[emotion], **script)
            out.append(
                Scene(
                    subject=f"s{s + 1:02d}",
                    name=f"s{s + 1:02d}_{i + 1:02d}",
                    emotion=emotion,
                    action_units=EMOTIONS[emotion][int(take.shown)],
                    face=leaky,
                    take=take,
                    size=(size[0], size[1]),
                    longest=int(frames[1]),
                    gray=gray,
                    fps=float(fps),
                )
            )
    return out


def check_ascending(**options: Sequence[float]) -> None:
    """Raises `UserError` for an option (least, most) whose first number is the larger one."""
    for name, ends in options.items():
        if ends[0] > ends[1]:
            raise UserError(f"data.{name} is {ends}; the first of them is above the second")


def clips(**options) -> list[Clip]:
    """The scenes as clips; the options are those of `scenes`. Frames are rendered when read."""
    return [scene.clip for scene in scenes(**options)]


def video(path: str | os.PathLike, scene: Scene) -> pathlib.Path:
    """Writes a scene as a video, .mp4 (H.264) or .webm (VP9), at its own rate.

    Raises `UserError` for another ending or where FFmpeg cannot write the file.
    """
    frames = (np.broadcast_to(frame, (*scene.size, 3)) for frame in scene.frames)
    return video_files.write(path, frames, scene.fps)
