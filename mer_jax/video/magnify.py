"""Eulerian motion magnification: a Laplacian pyramid in space, an IIR band-pass in time.

Every pixel of every band passes through the difference of two first-order low-passes, is scaled by
its level's gain and is added to the frame. The filter is linear in time and the same for all
pixels: one T x T matrix that commutes with the pyramid, so that a clip needs one product and one
pyramid, no recursion. `stream_step` is the same filter as a recursion, for live video.

Wu, Rubinstein, Shih, Guttag, Durand, Freeman, "Eulerian video magnification for revealing subtle
changes in the world", ACM TOG 31 (2012), in the Laplacian + IIR form of the authors' released code.

Arguments of all functions
    clip       [T, H, W, C] in [0, 1] (or uint8 and other dtypes of `clips.to_float`), C = 1 (gray)
               or 3 (RGB), H and W at least 10 px
    alpha      magnification; a number or a traced scalar (differentiable; vmap it for many)
    wavelength lambda_c, px: shorter spatial wavelengths are magnified less
    exaggeration  factor on the bound of a level's gain: 1 in STRCN and MER-RCNN, 2 in Wu's code
    r1, r2     coefficients of the fast and the slow low-pass, y += r (x - y); or, if `fps` is
               given, their -3 dB frequencies in Hz (see `coefficients`)
    fps        Hz; None: r1 and r2 are coefficients
    chroma     factor on the I and Q channels of the magnified motion (NTSC); no effect on gray
    saturate   bring the result back into [0, 1] as MATLAB's ntsc2rgb does: negative values become
               0, a pixel with a channel above 1 is divided by its largest channel (same hue)

The finest band and the low-pass residual are never magnified; L = depth(H, W) - 2 is the number of
magnified bands.
"""

import functools
import itertools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from mer_jax.clips import check_axes, to_float
from mer_jax.errors import UserError
from mer_jax.options import checked
from mer_jax.video import color, pyramid


@checked
def magnify(
    clip: Array,
    *,
    alpha: float | Array,
    wavelength: float = 16.0,
    r1: float = 0.4,
    r2: float = 0.05,
    exaggeration: float = 1.0,
    fps: float | None = None,
    chroma: float = 0.1,
    saturate: bool = True,
) -> Array:
    """Magnifies the motion of a clip.

    Frame 0 is unchanged, and so is a clip without motion. The filter is causal: padding at the end
    changes no other frame. A frame with NaN or infinity makes itself and all later frames NaN.

    Args:
      clip: [T, H, W, C]; the other arguments are those of the module.

    Returns:
      [T, H, W, C] in [0, 1], or beyond if not `saturate`.

    Raises:
      UserError: for other axes, floats out of range, frames under 10 px, or options out of bounds.

    >>> clip = jnp.full((2, 12, 12, 1), 0.5).at[1, 6:].add(0.01)  # an edge gets lighter
    >>> magnified = jax.jit(functools.partial(magnify, alpha=8.0, wavelength=2.0))(clip)
    >>> change = lambda x: float(jnp.abs(x[1] - x[0]).max())
    >>> magnified.shape, change(magnified) > 1.5 * change(clip)
    ((2, 12, 12, 1), True)
    """
    clip = to_float(clip, axes="THWC")
    gain = gains(*clip.shape[1:3], alpha=alpha, wavelength=wavelength, exaggeration=exaggeration)
    levels = _levels(clip, r1=r1, r2=r2, fps=fps, chroma=chroma)
    return _add(clip, _collapse(levels, gain, like=clip), saturate)


@checked
def bands(
    clip: Array,
    *,
    r1: float = 0.4,
    r2: float = 0.05,
    fps: float | None = None,
    chroma: float = 0.1,
) -> Array:
    """The change of a clip by each magnified band at a gain of 1.

    A magnified clip is linear in its gains: `combine(clip, bands(clip), gains(H, W, alpha=a))` is
    `magnify(clip, alpha=a)` for any a. Worth its memory (L clips) where one clip is magnified many
    times: each further a is one weighted sum.

    Args:
      clip: [T, H, W, C]; the other arguments are those of the module.

    Returns:
      [L, T, H, W, C].

    Raises:
      UserError: as `magnify`.

    >>> jax.eval_shape(bands, jnp.zeros((5, 64, 48, 3))).shape
    (3, 5, 64, 48, 3)
    """
    clip = to_float(clip, axes="THWC")
    levels = _levels(clip, r1=r1, r2=r2, fps=fps, chroma=chroma)
    one_band = np.eye(num_magnified_bands(*clip.shape[1:3]), dtype=np.float32)
    return jax.vmap(lambda gain: _collapse(levels, gain, like=clip))(one_band)


@checked
def gains(
    height: int,
    width: int,
    *,
    alpha: float | Array,
    wavelength: float = 16.0,
    exaggeration: float = 1.0,
) -> Array:
    """The gain of each magnified band, min(alpha, exaggeration (lambda_l / (8 delta) - 1)) or 0.

    lambda_l is sqrt(H^2 + W^2) / 3 at the residual and halves with every finer level, and delta =
    wavelength / (8 (1 + alpha)). In Wu's code the bound turns negative where lambda_l is below 8
    delta, which inverts the motion of that level; here such a level has the gain 0.

    Args:
      height, width: px; the other arguments are those of the module.

    Returns:
      [L] float32, finest first.

    Raises:
      UserError: for frames under 10 px, which have no magnified band.

    >>> [round(float(gain), 2) for gain in gains(64, 64, alpha=2.0)]
    [0.0, 0.41, 1.83]
    """
    count = num_magnified_bands(height, width)
    wavelengths = np.hypot(height, width) / 3 / 2.0 ** np.arange(count, 0, -1)
    alpha = jnp.asarray(alpha, jnp.float32)
    bound = (wavelengths / wavelength).astype(np.float32) * (1 + alpha) - 1
    return jnp.clip(exaggeration * bound, 0, alpha)


@checked
def combine(clip: Array, bands: Array, gains: Array, *, saturate: bool = True) -> Array:
    """A magnified clip from its bands: clip + the sum over L of gains x bands.

    Args:
      clip: [T, H, W, C].
      bands: [L, T, H, W, C], of `bands`.
      gains: [L], of `gains`.
      saturate: see the module.

    Returns:
      [T, H, W, C].

    Raises:
      UserError: for other axes or floats out of range.
    """
    clip = to_float(clip, axes="THWC")
    check_axes(bands, "L" + " ".join(map(str, clip.shape)), name="bands")
    check_axes(gains, str(len(bands)), name="gains")
    motion: Any = sum(gain * band for gain, band in zip(gains, bands))
    return _add(clip, motion, saturate)


class Stream(NamedTuple):
    """The two low-passes of a live video after the frames so far, one level down the pyramid."""

    fast: Array  # [H', W', C]
    slow: Array  # [H', W', C]


def stream_init(frame: Array) -> Stream:
    """The state of a live video after frame 0, which is shown unchanged.

    Args:
      frame: [H, W, C].

    Raises:
      UserError: for other axes, floats out of range, or frames under 5 px.
    """
    smaller = pyramid.down(to_float(frame, axes="HWC"))
    return Stream(smaller, smaller)


@checked
def stream_step(
    state: Stream,
    frame: Array,
    *,
    alpha: float | Array,
    wavelength: float = 16.0,
    r1: float = 0.4,
    r2: float = 0.05,
    exaggeration: float = 1.0,
    fps: float | None = None,
    chroma: float = 0.1,
    saturate: bool = True,
) -> tuple[Stream, Array]:
    """Magnifies the next frame of a live video.

    The frames of a clip through `lax.scan` of this are frames 1.. of `magnify(clip, ...)`.

    Args:
      state: of the frames so far.
      frame: [H, W, C]; the other arguments are those of the module.

    Returns:
      The new state, and the magnified frame [H, W, C].

    Raises:
      UserError: as `magnify`.
    """
    frame = to_float(frame, axes="HWC")
    fast, slow = coefficients(r1, r2, fps=fps)
    smaller = pyramid.down(frame)
    state = Stream(
        state.fast + fast * (smaller - state.fast), state.slow + slow * (smaller - state.slow)
    )
    gain = gains(*frame.shape[:2], alpha=alpha, wavelength=wavelength, exaggeration=exaggeration)
    levels = _gaussians(_attenuate(state.fast - state.slow, chroma), len(gain))
    return state, _add(frame, _collapse(levels, gain, like=frame), saturate)


@checked
def coefficients(r1: float, r2: float, *, fps: float | None = None) -> tuple[float, float]:
    """The coefficients of the two low-passes, from themselves or from frequencies.

    y_t = y_{t-1} + r (x_t - y_{t-1}) has its -3 dB point at the w with cos w = 1 - r^2 / (2 (1 -
    r)), w = 2 pi f / fps. With `fps`, r1 and r2 are such frequencies f, and r = sqrt(c^2 + 2 c) - c
    with c = 1 - cos w. At 200 Hz the default coefficients 0.4 and 0.05 are 16.6 and 1.63 Hz, while
    0.4 and 0.05 Hz would be coefficients of 0.0125 and 0.0016: almost no effect within a clip of
    0.3 s.

    Args:
      r1, r2: of the fast and the slow low-pass; Hz if `fps` is given.
      fps: Hz.

    Returns:
      (fast, slow).

    Raises:
      UserError: unless 0 < r2 < r1, and r1 <= 1 or r1 <= fps / 2.

    >>> [round(r, 3) for r in coefficients(16.6, 1.63, fps=200)]
    [0.4, 0.05]
    """
    largest = 1.0 if fps is None else fps / 2
    if not 0 < r2 < r1 <= largest:
        raise UserError(
            f"a temporal band needs 0 < r2 < r1 <= {largest:g} "
            f"({'coefficients' if fps is None else 'Hz, half of fps'}), not r2 = {r2}, r1 = {r1}"
        )
    if fps is None:
        return r1, r2
    # 1 - cos w, whose digits would cancel at low frequencies.
    drop = 2 * np.sin(np.pi * np.array([r1, r2]) / fps) ** 2
    fast, slow = np.sqrt(drop**2 + 2 * drop) - drop
    return float(fast), float(slow)


@checked
def temporal_matrix(
    length: int, *, r1: float = 0.4, r2: float = 0.05, fps: float | None = None
) -> np.ndarray:
    """The band-pass as a matrix F: (F x)_t = fast - slow low-pass of frames 0..t.

    A low-pass that starts at frame 0 weights frame s of frame t's past by r (1 - r)^(t - s), and
    frame 0 by (1 - r)^t. Rows of F sum to zero, row 0 is zero, and F is lower triangular.

    Args:
      length: T, frames.
      r1, r2, fps: see `coefficients`.

    Returns:
      [T, T] float64.

    >>> temporal_matrix(3, r1=0.5, r2=0.25).tolist()
    [[0.0, 0.0, 0.0], [-0.25, 0.25, 0.0], [-0.3125, 0.0625, 0.25]]
    """
    age = np.subtract.outer(np.arange(length), np.arange(length))

    def low_pass(r: float) -> np.ndarray:
        weights = np.where(age >= 0, r * (1 - r) ** np.maximum(age, 0), 0)
        weights[:, 0] = (1 - r) ** np.arange(length)
        return weights

    fast, slow = coefficients(r1, r2, fps=fps)
    return low_pass(fast) - low_pass(slow)


def num_magnified_bands(height: int, width: int) -> int:
    """L, the number of bands that are magnified: all but the finest and the residual.

    Args:
      height, width: px.

    Raises:
      UserError: for frames under 10 px, which have none.
    """
    count = pyramid.depth(height, width) - 2
    if count < 1:
        raise UserError(
            f"frames of {height} x {width} px are too small to magnify; each side needs 10 px"
        )
    return count


_EXACT = lax.Precision.HIGHEST


def _levels(clip: Array, *, r1: float, r2: float, fps: float | None, chroma: float) -> list[Array]:
    """The filtered clip smoothed and halved 1, 2, ..., L + 1 times, chroma attenuated."""
    # As the finest band is not magnified, the clip is filtered after its first halving: a quarter
    # of the work.
    smaller = pyramid.down(clip)
    matrix = temporal_matrix(len(clip), r1=r1, r2=r2, fps=fps).astype(clip.dtype)
    # In a product 0 times NaN is NaN, which would carry it to earlier frames.
    finite = jnp.isfinite(smaller).all((1, 2, 3), keepdims=True)
    moving = jnp.einsum("ts,s...->t...", matrix, jnp.where(finite, smaller, 0), precision=_EXACT)
    moving = jnp.where(jnp.cumsum(~finite, axis=0) > 0, jnp.nan, moving)
    return _gaussians(_attenuate(moving, chroma), num_magnified_bands(*clip.shape[1:3]))


def _gaussians(image: Array, count: int) -> list[Array]:
    """`image` and its `count` successive halvings."""
    levels = [image]
    for _ in range(count):
        levels.append(pyramid.down(levels[-1]))
    return levels


def _collapse(levels: list[Array], gains: Array, *, like: Array) -> Array:
    """The Laplacian bands of `levels`, each times its gain, as one image of the size of `like`."""
    # Level l adds g_l (x_l - up(x_{l+1})) + up(coarser levels): one expansion for both.
    image = jnp.zeros_like(levels[-1])
    for level, (finer, coarser) in reversed(list(enumerate(itertools.pairwise(levels)))):
        gain = gains[level]
        image = gain * finer + pyramid.up(image - gain * coarser, like=finer)
    return pyramid.up(image, like=like)


def _attenuate(image: Array, chroma: float) -> Array:
    """Scales I and Q of NTSC by `chroma`; gray images have neither and are unchanged."""
    # Y enters red, green and blue alike, hence the color of pure luma is gray.
    return chroma * image + (1 - chroma) * color.to_gray(image)


def _add(clip: Array, motion: Array, saturate: bool) -> Array:
    out = clip + motion
    if not saturate:
        return out
    # Without the barrier the motion would be computed again for every channel of the maximum.
    out = jnp.maximum(lax.optimization_barrier(out), 0)
    largest = functools.reduce(jnp.maximum, jnp.split(out, out.shape[-1], -1))
    return out / jnp.maximum(largest, 1)
