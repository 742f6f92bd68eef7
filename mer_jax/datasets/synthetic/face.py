"""A subject's face: its measures, its colors, and the curves that its features follow.

Everything is in face units: x to the right of the image, y down, the origin between nose and eyes,
1 unit about 94 mm (a face is about 1.45 wide and, hairline to chin, 2 high). `paint` draws these
curves and `landmarks` samples them, so the landmarks lie on the features by construction.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

# The part of the plane that a frame shows at least, in face units (height, width).
VIEW = (2.5, 1.9)
WAVES = 32  # plane waves in the skin's texture
MOLES = 3

# measure: (middle, half range); subjects are uniform in between
MEASURES = {
    "head_width": (0.72, 0.05),  # half the width at the cheekbones
    "chin": (1.0, 0.06),  # y of the chin
    "jaw": (0.22, 0.12),  # how much the jaw narrows
    "eye_x": (0.335, 0.025),  # half the distance of the eyes' centers
    "eye_y": (-0.18, 0.03),
    "eye_width": (0.165, 0.015),  # half widths and heights from here on
    "lid_upper": (0.072, 0.016),
    "lid_lower": (0.042, 0.008),
    "eye_slant": (0.05, 0.08),
    "iris_size": (0.066, 0.005),
    "gaze_x": (0.0, 0.015),
    "gaze_y": (-0.005, 0.008),
    "crease": (0.045, 0.015),  # distance of the fold above the upper lid
    "brow_y": (-0.39, 0.03),
    "brow_inner": (0.115, 0.03),
    "brow_outer": (0.53, 0.03),
    "brow_arch": (0.06, 0.03),
    "brow_tilt": (0.0, 0.035),
    "brow_thick": (0.036, 0.013),
    "nose_y": (0.3, 0.035),  # y of the nose's base
    "nose_width": (0.175, 0.025),
    "nose_depth": (0.24, 0.06),
    "mouth_y": (0.54, 0.03),
    "mouth_width": (0.27, 0.03),
    "mouth_curve": (-0.005, 0.022),  # corners below (+) or above (-) the middle
    "lip_upper": (0.062, 0.02),
    "lip_lower": (0.085, 0.02),
    "lip_red": (0.6, 0.3),
    "cheeks": (0.11, 0.05),
    "folds": (0.13, 0.09),  # strength of the nasolabial folds
    "bags": (0.1, 0.07),
    "hairline": (-0.86, 0.12),
    "hair_part": (0.0, 0.16),
    "hair_length": (0.4, 0.9),  # y to which the hair reaches behind the face
    "hair_volume": (0.1, 0.05),
    "stubble": (-0.02, 0.14),  # negative: none
    "grain": (0.042, 0.014),  # amplitude of the skin's texture
    "shine": (0.14, 0.07),
    "light_x": (0.0, 0.75),
    "light_y": (-0.45, 0.3),
    "light": (0.56, 0.12),  # strength of the directed light
    "ambient": (0.5, 0.06),
}

# Display RGB in [0, 1]; a subject lies on the line from one to the next.
SKIN = ((0.96, 0.80, 0.70), (0.90, 0.70, 0.56), (0.78, 0.56, 0.42), (0.52, 0.35, 0.25))
HAIR = ((0.07, 0.06, 0.06), (0.17, 0.11, 0.08), (0.36, 0.23, 0.13), (0.62, 0.48, 0.28))
IRIS = ((0.22, 0.13, 0.08), (0.33, 0.22, 0.12), (0.33, 0.40, 0.30), (0.35, 0.48, 0.60))


class Face(NamedTuple):
    """One subject. Each of MEASURES is an attribute, [] float32."""

    measures: jax.Array  # [len(MEASURES)]
    skin: jax.Array  # [3] RGB, like all colors
    hair: jax.Array
    iris: jax.Array
    backdrop: jax.Array
    clothes: jax.Array
    waves: jax.Array  # [WAVES, 4] wave vector (rad / unit) x, y; phase; weight
    moles: jax.Array  # [MOLES, 3] x, y, radius

    def __getattr__(self, name: str) -> jax.Array:
        if name not in _ROW:
            raise AttributeError(name)
        return self.measures[_ROW[name]]


_ROW = {name: row for row, name in enumerate(MEASURES)}


def _between(palette, at: jax.Array) -> jax.Array:
    """The color at `at` in [0, 1] along a palette. [3]."""
    stops = jnp.arange(len(palette), dtype=jnp.float32)
    near = jnp.maximum(1 - jnp.abs(at * stops[-1] - stops), 0.0)
    return jnp.sum(near[:, None] * jnp.asarray(palette), 0)


def sample(key: jax.Array) -> Face:
    """Draws a subject."""
    n = len(MEASURES)
    draws = jax.random.uniform(key, (n + 19 + 4 * WAVES + 3 * MOLES,))
    shape, tone, tint, wave, mole = jnp.split(draws, (n, n + 4, n + 19, n + 19 + 4 * WAVES))
    middle, half = jnp.array(list(MEASURES.values()), jnp.float32).T
    skin, hair, iris, gray = tone
    tint = 2 * tint.reshape(5, 3) - 1
    # Wavelengths from 0.03 to 0.5 units, long waves strong: skin is blotchy first, then grainy.
    # Both they and the directions (by the golden angle) are spread evenly, so that no grain shows.
    length, angle, phase, weight = wave.reshape(4, WAVES)
    order = jnp.arange(WAVES, dtype=jnp.float32)
    number = 2 * jnp.pi / (0.03 * (0.5 / 0.03) ** ((order + length) / WAVES))
    angle = 0.381966 * order + 0.05 * angle
    weight = (0.5 + weight) * number**-0.3
    weight /= jnp.sqrt(jnp.sum(weight**2) / 2)
    angle, phase = 2 * jnp.pi * angle, 2 * jnp.pi * phase
    waves = jnp.stack([number * jnp.cos(angle), number * jnp.sin(angle), phase, weight], -1)
    return Face(
        measures=middle + half * (2 * shape - 1),
        skin=_between(SKIN, skin) + 0.02 * tint[0],
        hair=_between(HAIR, hair**1.5) + 0.02 * tint[1],
        iris=_between(IRIS, iris**1.5),
        backdrop=0.35 + 0.4 * gray + 0.06 * tint[2],
        clothes=0.4 + 0.3 * tint[3] + 0.05 * tint[4],
        waves=waves,
        moles=mole.reshape(MOLES, 3) * jnp.array([[1.1, 1.1, 0.008]])
        + jnp.array([[-0.55, -0.25, 0.005]]),
    )


def outline(face: Face, y: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The head as x^2 / width^2 + v^2 = 1: half width at height y, and v, 1 at the chin."""
    middle = 0.05
    v = jnp.where(y < middle, (y - middle) / 1.22, (y - middle) / (face.chin - middle))
    return _width(face, v), v


def _width(face: Face, v: jax.Array) -> jax.Array:
    below = jnp.clip(v, 0.0, 1.2)
    return face.head_width * (1 - face.jaw * below * below * (1.6 - 0.6 * below))


def lids(face: Face, u: jax.Array) -> tuple[jax.Array, jax.Array]:
    """y of the upper and lower lid; u runs from -1 (inner corner) to 1 (outer corner)."""
    arc = 1 - u * u
    base = face.eye_y - face.eye_slant * face.eye_width * u
    return base - face.lid_upper * arc * (1 - 0.18 * u), base + face.lid_lower * arc * (1 + 0.2 * u)


def brow(face: Face, s: jax.Array) -> tuple[jax.Array, jax.Array]:
    """y of the brow's middle line and its half thickness; s from 0 (inner end) to 1 (outer)."""
    rise = face.brow_arch * (1 - ((s - 0.62) / 0.62) ** 2)
    thick = face.brow_thick * (0.8 + 0.9 * s - 1.35 * s * s)
    return face.brow_y - rise + face.brow_tilt * (s - 0.5), thick


def lips(face: Face, u: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """y of the upper lip's edge, of the mouth's line and of the lower lip's edge; u in [-1, 1]."""
    arc = jnp.clip(1 - u * u, 0.0, 1.0)
    bow = jnp.exp(-0.5 * (u / 0.13) ** 2)
    line = face.mouth_y + face.mouth_curve * u * u + 0.012 * bow - 0.012 * arc
    return line - face.lip_upper * arc * (1 - 0.25 * bow), line, line + face.lip_lower * arc


def landmarks(face: Face) -> jax.Array:
    """The 68 landmarks in the iBUG order, [68, 2] (x, y) in face units.

    Left and right are the image's; Sagonas et al., "300 Faces in-the-Wild Challenge", 2013.
    """
    mirror = jnp.array([[-1.0, 1.0]])

    def points(x, y):
        return jnp.stack(jnp.broadcast_arrays(x, y), -1)

    turn = jnp.linspace(-1.0, 1.0, 17) * jnp.deg2rad(100.0)
    v = jnp.cos(turn)
    reach = jnp.where(v < 0, 1.22, face.chin - 0.05)
    jaw = points(_width(face, v) * jnp.sin(turn), 0.05 + v * reach)

    s = jnp.linspace(0.03, 0.97, 5)
    right_brow = points(face.brow_inner + s * (face.brow_outer - face.brow_inner), brow(face, s)[0])
    left_brow = right_brow[::-1] * mirror

    tip = face.nose_y - 0.09
    bridge = points(jnp.zeros(4), jnp.linspace(0.0, 1.0, 4) * (tip - face.eye_y) + face.eye_y)
    across = jnp.linspace(-1.0, 1.0, 5)
    base = points(0.85 * face.nose_width * across, face.nose_y + 0.02 * (1 - across**2))

    u = jnp.array([-1.0, -0.35, 0.35, 1.0, 0.35, -0.35])  # inner, upper lid, outer, lower lid
    upper, lower = lids(face, u)
    lid = jnp.concatenate([upper[:3], lower[3:]])
    right_eye = points(face.eye_x + face.eye_width * u, lid)
    left_eye = right_eye[jnp.array([3, 2, 1, 0, 5, 4])] * mirror

    u = jnp.array([-1.0, -0.6, -0.27, 0.0, 0.27, 0.6, 1.0])
    top, line, bottom = lips(face, u)
    x = face.mouth_width * u
    outer = jnp.concatenate([points(x, top), points(x, bottom)[5:0:-1]])
    u = jnp.array([-0.85, -0.3, 0.0, 0.3, 0.85])
    line = lips(face, u)[1]
    x = face.mouth_width * u
    inner = jnp.concatenate([points(x, line), points(x, line)[3:0:-1]])

    parts = [jaw, left_brow, right_brow, bridge, base, left_eye, right_eye, outer, inner]
    return jnp.concatenate(parts)
