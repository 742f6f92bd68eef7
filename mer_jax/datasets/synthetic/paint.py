"""What a face looks like: a color for every point of the plane.

`paint` is a function of position only (and of how far the lids are closed), so that moving the face
is evaluating it elsewhere. Skin is lit as a surface: the head is an ellipsoid, features are
Gaussian bumps on it, and the light falls on the gradient of their sum. Features are soft masks laid
over one another. Every edge is at least a pixel wide, which is what keeps a point sample of this
function free of aliasing at any size.
"""

import jax
import jax.numpy as jnp

from mer_jax.datasets.synthetic import face as shape
from mer_jax.datasets.synthetic.face import Face


def paint(face: Face, x: jax.Array, y: jax.Array, *, px: jax.Array, closed: jax.Array) -> jax.Array:
    """RGB at the points (x, y) in face units, [3, *x.shape] float32, about [0, 1].

    `px` is the size of a pixel in face units; `closed` in [0, 1] is how far the lids are down and
    broadcasts with x.
    """
    brush = _Brush(px)
    ax = jnp.abs(x)
    width, v = shape.outline(face, y)
    radius = jnp.sqrt((x / width) ** 2 + v * v + 1e-6)
    grain = face.grain * _texture(face, x, y, px)
    head = brush.inside((radius - 1) * 0.75)
    shade, gloss = _light(face, x, y, ax, radius)

    skin = _skin(face, brush, x, y, ax, grain)
    skin = _nose(face, brush, skin, y, ax)
    skin = _mouth(face, brush, skin, x, y, grain)
    skin = _lids(face, brush, skin, y, ax) * shade[None] + gloss[None]
    skin = _eyes(face, brush, skin, x, y, ax, closed, shade)
    skin = _brows(face, brush, skin, y, ax, grain, shade)
    rgb = _over(_behind(face, brush, x, y, ax, grain), skin, head)
    return _hair(face, brush, rgb, x, y, ax, grain, radius)


class _Brush:
    """Soft masks whose edges never fall under a pixel."""

    def __init__(self, px: jax.Array):
        self.px = px

    def inside(self, distance: jax.Array, soft: float = 0.0) -> jax.Array:
        """1 where distance < 0, 0 where > 0, over `soft` units or 1.4 px, whichever is wider."""
        t = jnp.clip(0.5 - distance / jnp.maximum(soft, 1.4 * self.px), 0.0, 1.0)
        return t * t * (3 - 2 * t)

    def stroke(self, distance: jax.Array, sigma: jax.Array | float) -> jax.Array:
        """A line of Gaussian section; a thin one gets pale in place of narrower than a pixel."""
        wide = jnp.sqrt(sigma * sigma + (0.45 * self.px) ** 2)
        return sigma / wide * jnp.exp(-0.5 * (distance / wide) ** 2)


def _over(under: jax.Array, color: jax.Array, mask: jax.Array) -> jax.Array:
    """`color`, [3] or [3, ...], laid over `under` where mask is 1."""
    if color.ndim == 1:
        color = color.reshape(3, *[1] * mask.ndim)
    return under + (color - under) * mask[None]


def _tint(color: jax.Array, values: jax.Array) -> jax.Array:
    """`color` [3] times `values` [...]: [3, ...]."""
    return color.reshape(3, *[1] * values.ndim) * values[None]


_Number = jax.Array | float


def _spot(x: jax.Array, y: _Number, sx: _Number, sy: _Number) -> jax.Array:
    return jnp.exp(-0.5 * ((x / sx) ** 2 + (y / sy) ** 2))


def _wave(angle: jax.Array) -> jax.Array:
    """A parabola's likeness of cos: as good for a pattern, and a tenth of the time."""
    turns = angle * (0.5 / jnp.pi) + 0.25
    turns = turns - jnp.round(turns)
    return 8 * turns * (1 - 2 * jnp.abs(turns))


def _texture(face: Face, x: jax.Array, y: jax.Array, px: jax.Array) -> jax.Array:
    """Plane waves of unit variance in all; those too short for the pixel fade out."""

    # A loop also keeps the compiler from computing the sum anew in each part that uses it.
    def add(total, wave):
        kx, ky, phase, weight = wave
        seen = weight * jnp.exp(-0.5 * (kx * kx + ky * ky) * (0.45 * px) ** 2)
        return total + seen * _wave(kx * x + ky * y + phase), None

    return jax.lax.scan(add, jnp.zeros_like(x), face.waves)[0]


def _behind(face, brush, x, y, ax, grain):
    """Backdrop, long hair, neck, clothes and ears."""
    glow = 1.08 - 0.14 * (x * x + (y + 0.3) ** 2) + 0.06 * face.light_x * x
    rgb = _tint(face.backdrop, glow)

    # Long hair falls from the temples and ends round; hair shorter than that has no such part.
    reach = face.head_width + face.hair_volume - 0.14 * jnp.clip(y, 0.0, 1.2) ** 2
    end = y - face.hair_length + 0.5 * ax * ax - 0.2
    behind = brush.inside(ax - reach - 0.02 * _wave(9 * y), 0.06) * brush.inside(end, 0.12)
    behind = behind * brush.inside(-0.15 - y, 0.3)
    strands = 0.75 + 0.25 * _wave(70 * x + 8 * y) * _wave(23 * x)
    rgb = _over(rgb, _tint(face.hair, strands), behind)

    neck = brush.inside(ax - 0.43 - 0.3 * jnp.clip(y - 1.05, 0.0, 1.0) ** 2, 0.05)
    under_chin = jnp.clip(0.42 + 0.5 * (y - 0.95) - 0.25 * ax, 0.3, 0.8) * (1 + grain)
    neck = neck * brush.inside(0.5 - y, 0.1)
    rgb = _over(rgb, _tint(face.skin, under_chin), neck)
    collar = brush.inside(1.16 - 0.25 * (ax - 0.3) ** 2 - y)
    fabric = 0.85 + 0.1 * _wave(19 * x + 5 * y) + 0.1 * face.light_x * x
    rgb = _over(rgb, _tint(face.clothes, fabric), collar)

    ex, ey = (ax - face.head_width - 0.005) / 0.085, (y - 0.0) / 0.2
    ear = brush.inside((jnp.sqrt(ex * ex + ey * ey + 1e-6) - 1) * 0.09)
    hollow = 0.72 - 0.25 * _spot(ex, ey, 0.45, 0.5) + 0.12 * face.light_x * jnp.sign(x)
    return _over(rgb, _tint(face.skin, hollow), ear)


def _light(face, x, y, ax, radius):
    """Shading [...] and gloss [...] from the gradient of the face's relief."""
    drop = jnp.sqrt(jnp.maximum(1.12 - radius * radius, 0.08))
    gx = -0.62 * x / (face.head_width**2 * drop)
    gy = -0.5 * (y - 0.05) / (1.1 * drop)
    side = jnp.sign(x)
    nose = face.nose_y
    # (x, y, sigma x, sigma y, height): pairs are given by their right one
    singles = (
        (0.5 * (nose + face.eye_y) - 0.02, 0.06, 0.2, 0.4 * face.nose_depth),
        (nose - 0.09, 0.085, 0.07, 0.42 * face.nose_depth),
        (face.mouth_y - 0.5 * face.lip_upper, 0.17, 0.035, 0.022),
        (face.mouth_y + 0.5 * face.lip_lower, 0.14, 0.04, 0.045),
        (face.mouth_y + face.lip_lower + 0.055, 0.14, 0.04, -0.03),
        (face.chin - 0.15, 0.16, 0.1, 0.05),
        (0.5 * (nose + face.mouth_y) + 0.01, 0.03, 0.06, -0.015),
        (-0.62, 0.4, 0.22, 0.07),
    )
    pairs = (
        (face.eye_x - 0.02, face.eye_y - 0.02, 0.13, 0.1, -0.075),
        (face.eye_x, face.eye_y, 0.1, 0.07, 0.05),
        (0.33, face.brow_y + 0.01, 0.13, 0.07, 0.055),
        (face.nose_width - 0.045, nose - 0.03, 0.05, 0.055, 0.055),
        (0.42, 0.12, 0.16, 0.14, face.cheeks),
        (face.mouth_width + 0.07, face.mouth_y, 0.05, 0.09, -0.02),
    )
    for cy, sx, sy, h in singles:
        g = h * _spot(x, y - cy, sx, sy)
        gx, gy = gx - g * x / sx**2, gy - g * (y - cy) / sy**2
    for cx, cy, sx, sy, h in pairs:
        g = h * _spot(ax - cx, y - cy, sx, sy)
        gx, gy = gx - side * g * (ax - cx) / sx**2, gy - g * (y - cy) / sy**2
    facing = jax.lax.rsqrt(1 + gx * gx + gy * gy)
    lx, ly, lz = face.light_x, face.light_y, 1.0
    power = jax.lax.rsqrt(lx * lx + ly * ly + lz * lz)
    lit = jnp.maximum((lz - lx * gx - ly * gy) * facing * power, 0.0)
    # Half way between light and eye, for the gloss.
    hx, hy, hz = lx * power, ly * power, lz * power + 1
    half = (hz - hx * gx - hy * gy) * facing * jax.lax.rsqrt(hx * hx + hy * hy + hz * hz)
    gloss = jnp.maximum(half, 0.0) ** 2
    gloss = gloss * gloss
    gloss = gloss * gloss
    gloss = gloss * gloss * gloss
    return face.ambient + face.light * lit, face.shine * face.light * gloss


def _skin(face, brush, x, y, ax, grain):
    """Albedo of bare skin: [3, ...]."""
    red = _spot(ax - 0.42, y - 0.2, 0.2, 0.15) + 0.8 * _spot(x, y - face.nose_y + 0.08, 0.13, 0.1)
    beard = _spot(ax - 0.2, y - 0.78, 0.38, 0.2) + 0.8 * _spot(x, y - face.nose_y - 0.1, 0.2, 0.05)
    beard = jnp.maximum(face.stubble, 0.0) * 2.2 * jnp.clip(beard, 0.0, 1.0) * (1 + 4 * grain)
    # The fold from the nose's wing to beside the mouth, and the shadow under the eye.
    s = (y - face.nose_y + 0.04) / (face.mouth_y - face.nose_y + 0.12)
    fold = brush.stroke(ax - face.nose_width - 0.03 - 0.17 * s, 0.024)
    fold = face.folds * fold * brush.inside(-s, 0.3) * brush.inside(s - 1, 0.5)
    bag_y = face.eye_y + face.lid_lower + 0.055 - 0.25 * (ax - face.eye_x) ** 2
    bag = face.bags * brush.stroke(y - bag_y, 0.025) * _spot(ax - face.eye_x, 0.0, 0.12, 1.0)
    dark = (1 + grain) * (1 - fold) * (1 - bag) * (1 - beard)
    for mx, my, radius in face.moles:
        spot = jnp.sqrt(radius * radius + (0.4 * brush.px) ** 2)
        dark = dark * (1 - 0.4 * (radius / spot) ** 2 * _spot(x - mx, y - my, spot, spot))
    return jnp.stack(
        [
            face.skin[0] * dark * (1 + 0.02 * red),
            face.skin[1] * dark * (1 - 0.07 * red),
            face.skin[2] * dark * (1 - 0.06 * red + 0.25 * beard),
        ]
    )


def _nose(face, brush, skin, y, ax):
    dark = skin * 0.25
    hole = _spot(ax - 0.5 * face.nose_width, y - face.nose_y + 0.005 - 0.1 * ax, 0.042, 0.02)
    skin = _over(skin, dark, 0.9 * hole)
    r = jnp.sqrt(((ax - 0.72 * face.nose_width) / 0.9) ** 2 + (y - face.nose_y + 0.05) ** 2 + 1e-6)
    wing = brush.stroke(r - 0.075, 0.014) * brush.inside(0.74 * face.nose_width - ax, 0.06)
    skin = _over(skin, dark, 0.4 * wing)
    return _over(skin, dark, 0.22 * _spot(ax, y - face.nose_y - 0.03, 0.11, 0.022))


def _mouth(face, brush, skin, x, y, grain):
    u = x / face.mouth_width
    top, line, bottom = shape.lips(face, u)
    tone = face.skin * jnp.stack([0.93, 0.62, 0.64]) * (1 - 0.15 * face.lip_red)
    mask = brush.inside(jnp.maximum(top - y, y - bottom), 0.02) * brush.inside(jnp.abs(u) - 1, 0.1)
    upper = brush.inside(y - line, 0.02)
    creases = 1 - 0.16 * upper + 0.04 * _wave(95 * x + 40 * grain)
    red = _tint(tone, creases)
    skin = _over(skin, red, mask * (0.35 + 0.5 * face.lip_red))
    ends = brush.inside(jnp.abs(u) - 1.02, 0.06)
    skin = _over(skin, skin * 0.28, 0.85 * ends * brush.stroke(y - line, 0.012))
    corner = _spot(jnp.abs(x) - face.mouth_width, y - face.mouth_y - face.mouth_curve, 0.025, 0.02)
    skin = _over(skin, skin * 0.45, 0.6 * corner)
    below = _spot(x, y - bottom - 0.035, 0.6 * face.mouth_width, 0.025)
    return _over(skin, skin * 0.7, 0.35 * below)


def _lids(face, brush, skin, y, ax):
    """The fold above the eye and the rim below it."""
    u = (ax - face.eye_x) / face.eye_width
    upper, lower = shape.lids(face, u)
    fade = brush.inside(jnp.abs(u) - 0.95, 0.35)
    fold = brush.stroke(y - upper + face.crease * (0.6 + 0.4 * u), 0.013) * fade
    skin = _over(skin, skin * 0.5, 0.55 * fold)
    return _over(skin, skin * 0.6, 0.3 * fade * brush.stroke(y - lower - 0.015, 0.01))


def _eyes(face, brush, skin, x, y, ax, closed, shade):
    side = jnp.sign(x)
    u = (ax - face.eye_x) / face.eye_width
    upper, lower = shape.lids(face, u)
    upper = upper + closed * (lower - upper)
    opening = brush.inside(jnp.maximum(upper - y, y - lower), 0.015)
    opening = opening * brush.inside(jnp.abs(u) - 1, 0.02)
    lit = (0.45 + 0.5 * shade) * (1 - 0.18 * u * u)

    dx, dy = x - side * face.eye_x - face.gaze_x, y - face.eye_y - face.gaze_y + 0.008
    r = jnp.sqrt(dx * dx + dy * dy + 1e-8)
    ball = jnp.stack([0.93 * lit, 0.9 * lit, 0.88 * lit])
    size = face.iris_size
    ring = 1 - 0.45 * brush.inside(0.8 * size - r, 0.02) + 6 * jnp.maximum(dy, 0.0)
    iris = _tint(face.iris, ring)
    ball = _over(ball, iris, brush.inside(r - size, 0.012))
    ball = _over(ball, jnp.full((3,), 0.03), brush.inside(r - 0.42 * size, 0.012))
    glint = _spot(dx - 0.3 * size * jnp.sign(face.light_x), dy + 0.022, 0.012, 0.012)
    shadow = 1 - 0.55 * brush.stroke(y - upper, 0.025)
    ball = _over(ball * shadow[None], jnp.ones(3), 0.9 * glint)
    skin = _over(skin, ball, opening)

    taper = brush.inside(jnp.abs(u) - 1, 0.25)
    lash = brush.stroke(y - upper - 0.002, 0.013) * taper
    skin = _over(skin, 0.5 * face.hair, 0.85 * lash)
    return _over(skin, 0.5 * face.hair + 0.15, 0.3 * brush.stroke(y - lower, 0.008) * taper)


def _brows(face, brush, skin, y, ax, grain, shade):
    s = (ax - face.brow_inner) / (face.brow_outer - face.brow_inner)
    middle, thick = shape.brow(face, jnp.clip(s, 0.0, 1.0))
    mask = brush.inside(jnp.abs(y - middle) - thick, 0.03)
    mask = mask * brush.inside(-s, 0.2) * brush.inside(s - 1, 0.15)
    hairs = 0.85 + 0.08 * _wave(110 * ax + 60 * y) + 2 * grain
    return _over(skin, _tint(face.hair, shade), mask * jnp.clip(hairs, 0.0, 0.95))


def _hair(face, brush, rgb, x, y, ax, grain, radius):
    """The hair over the forehead and around the head."""
    volume = face.hair_volume
    line = face.hairline + face.hair_part * x + 0.9 * (ax / face.head_width) ** 6
    line = jnp.where(radius > 1, 1.0, line + 0.012 * _wave(31 * x))
    line = jnp.minimum(line, 0.02) + 0.4 * grain
    crown = brush.inside((radius - 1 - volume / 0.75) * 0.75, 0.03)
    front = crown * brush.inside(y - line, 0.07)
    sheen = 0.8 + 0.5 * _spot(x - 0.4 * face.light_x, y + 1.0, 0.5, 0.1)
    strands = sheen + 0.16 * _wave(60 * x * (1.4 + y * 0.4)) + 0.1 * _wave(27 * x + 9 * y)
    return _over(rgb, _tint(face.hair, strands + 2 * grain), front)
