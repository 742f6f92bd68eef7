"""Action units as displacement fields, and the emotions that they make up.

An action unit is a sum of Gaussian bumps around the subject's own features, one set a side; a clip
shows a few units with a strength for each side. Fields are in face units (x right, y down).
Directions and sites follow the descriptions in Ekman and Friesen, "Facial Action Coding System",
1978; the combinations are those that the label sheets of CASME II and SAMM use.
"""

import jax
import jax.numpy as jnp
import numpy as np

from mer_jax.datasets.action_units import action_units as parse
from mer_jax.datasets.synthetic import face as shape
from mer_jax.datasets.synthetic.face import Face

# unit: bumps (site, sigma x, sigma y, towards the side, down), as on the image's right half
UNITS = {
    1: [("inner brow", 0.13, 0.14, 0.05, -1.0)],
    2: [("outer brow", 0.15, 0.13, 0.1, -1.0)],
    4: [("inner brow", 0.16, 0.14, -0.5, 0.85)],
    5: [("upper lid", 0.14, 0.09, 0.0, -1.0)],
    6: [("cheek", 0.19, 0.15, -0.15, -1.0), ("lower lid", 0.15, 0.09, 0.0, -0.3)],
    7: [("lower lid", 0.14, 0.08, -0.1, -1.0), ("upper lid", 0.14, 0.08, 0.0, 0.35)],
    9: [("nose", 0.13, 0.17, 0.05, -1.0), ("inner brow", 0.14, 0.12, -0.2, 0.4)],
    10: [("upper lip", 0.14, 0.12, 0.1, -1.0), ("nose", 0.1, 0.12, 0.0, -0.35)],
    12: [("mouth corner", 0.16, 0.14, 0.8, -0.75), ("cheek", 0.17, 0.14, 0.05, -0.3)],
    14: [("mouth corner", 0.1, 0.11, 1.0, -0.05)],
    15: [("mouth corner", 0.13, 0.14, 0.15, 1.0)],
    17: [("chin", 0.16, 0.14, 0.0, -1.0), ("lower lip", 0.14, 0.1, 0.0, -0.5)],
    20: [("mouth corner", 0.2, 0.17, 1.0, 0.25)],
    23: [("mouth corner", 0.13, 0.12, -1.0, 0.0), ("upper lip", 0.13, 0.1, -0.1, 0.35)],
    24: [("upper lip", 0.16, 0.1, 0.0, 0.8), ("lower lip", 0.16, 0.1, 0.0, -0.9)],
    25: [("lower lip", 0.16, 0.12, 0.0, 1.0), ("upper lip", 0.15, 0.1, 0.0, -0.25)],
    26: [("chin", 0.26, 0.24, 0.0, 1.0), ("lower lip", 0.18, 0.14, 0.0, 0.5)],
}

# emotion: what a clip of it may show; L and R are the subject's own sides
EMOTIONS = {
    "happiness": ("6+12", "12", "6+12+25", "L12", "R12"),
    "surprise": ("1+2", "1+2+25", "1+2+5", "1+2+5+26"),
    "disgust": ("4+9", "9", "4+7+9", "10", "4+7+10"),
    "repression": ("14", "15", "17", "15+17", "14+17", "23"),
    "sadness": ("1+4+15", "1+4", "15+17"),
    "anger": ("4+7", "4+7+23", "4+7+24"),
    "fear": ("1+2+4+20", "1+2+4+5+20+25", "20+25"),
    "contempt": ("L14", "R14", "L12+L14", "R12+R14"),
    "others": ("4", "4+7", "7", "24"),
}


def strengths(action_units: str) -> np.ndarray:
    """[len(UNITS), 2] float32: 1 for each unit that "1+2", "L12", ... names; image left, right.

    The subject's left side is the image's right half.
    """
    rows = list(UNITS)
    out = np.zeros((len(rows), 2), np.float32)
    for unit in parse(action_units):
        out[rows.index(unit.number)] += {"": (1, 1), "L": (0, 1), "R": (1, 0)}[unit.side]
    return out


def sites(face: Face) -> dict[str, tuple[jax.Array, jax.Array]]:
    """Where on this face, image right, the units act: (x, y) in face units."""
    top, line, bottom = shape.lips(face, jnp.float32(0.5))
    upper, lower = shape.lids(face, jnp.float32(0.0))
    half = 0.5 * face.mouth_width
    return {
        "inner brow": (face.brow_inner + 0.07, shape.brow(face, jnp.float32(0.15))[0]),
        "outer brow": (face.brow_outer - 0.1, shape.brow(face, jnp.float32(0.75))[0]),
        "upper lid": (face.eye_x, upper),
        "lower lid": (face.eye_x, lower + 0.02),
        "cheek": (face.eye_x + 0.06, face.eye_y + 0.25),
        "nose": (face.nose_width - 0.05, face.nose_y - 0.13),
        "upper lip": (half, 0.5 * (top + line) - 0.01),
        "lower lip": (half, 0.5 * (bottom + line) + 0.02),
        "mouth corner": (face.mouth_width, face.mouth_y + face.mouth_curve),
        "chin": (jnp.full_like(half, 0.12), face.chin - 0.17),
    }


def displacement(face: Face, strength: jax.Array, where: jax.Array) -> jax.Array:
    """The units' field at `where` [2, ...], for their `strength` [len(UNITS), 2]; [2, ...].

    All in face units: a bump of strength 1 moves its middle by its direction in UNITS.
    """
    site = sites(face)
    rows = [(i, *bump) for i, bumps in enumerate(UNITS.values()) for bump in bumps]
    unit, name, *numbers = zip(*rows)
    center = jnp.stack([jnp.stack(site[n]) for n in name])
    sigma, push = jnp.split(jnp.array(numbers, jnp.float32).T, 2, axis=-1)
    power = strength[np.array(unit)]

    mirror = jnp.array([[-1.0, 1.0]])
    left = (center * mirror, sigma, push * mirror * power[:, :1])
    right = (center, sigma, push * power[:, 1:])

    # One bump at a time: a loop also keeps the compiler from computing the sum anew for each use.
    def add(total, bump):
        (cx, cy), (sx, sy), push = bump
        near = jnp.exp(-0.5 * (((where[0] - cx) / sx) ** 2 + ((where[1] - cy) / sy) ** 2))
        return total + push.reshape(2, *[1] * near.ndim) * near[None], None

    both = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), left, right)
    return jax.lax.scan(add, jnp.zeros_like(where), both)[0]
