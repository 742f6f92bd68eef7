"""Dense optical flow between two images: one coarse-to-fine minimization of several energies.

Parameters of the Classic and Horn-Schunck presets: D. Sun, S. Roth & M. J. Black, "Secrets of
optical flow estimation and their principles", CVPR 2010, section 3; of TV-L1: J. Sanchez, E.
Meinhardt-Llopis & G. Facciolo, "TV-L1 optical flow estimation", IPOL 2013.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from mer_jax.clips import check_axes, to_float
from mer_jax.errors import UserError
from mer_jax.options import check, checked
from mer_jax.video.color import to_gray
from mer_jax.video.flow_solver import (
    Linearized,
    Robust,
    TotalVariation,
    gradient,
)
from mer_jax.video.median import median_filter
from mer_jax.video.warp import prefilter, warp

_CLASSIC: dict[str, Any] = dict(texture=0.95, blend=0.5, warps=10, median=5)

Energy = Robust | TotalVariation

PRESETS: dict[str, Energy] = {
    "classic_l": Robust(
        **_CLASSIC,
        penalty="lorentzian",
        sigma_data=1.5,
        sigma_smooth=0.03,
        smoothness=0.06,
        sweeps=10,  # a warp starts where the last one ended; 30 sweeps give the same error
        stages=(1.0, 0.5, 0.0),
    ),
    "classic_c": Robust(
        **_CLASSIC,
        penalty="charbonnier",
        sigma_data=1e-3,
        sigma_smooth=1e-3,
        smoothness=5.0,
        stages=(1.0, 0.5, 0.0),
    ),
    "horn_schunck": Robust(
        **_CLASSIC, penalty="quadratic", sigma_data=1.0, sigma_smooth=1.0, smoothness=40.0
    ),
    "tv_l1": TotalVariation(
        texture=0.0,
        blend=0.0,
        warps=5,
        median=1,
        attachment=0.15,
        tightness=0.3,
        step=0.25,
        iterations=30,
    ),
}

_MIN_CONTRAST = 1e-3  # of a range of 1; an 8-bit image that is not flat has four times as much
_MIN_SIZE = 16  # px of the shorter side of the coarsest level, at least


def _gray(image: jax.Array) -> jax.Array:
    """[H, W], [H, W, 1] or [H, W, 3] to [H, W]."""
    if image.ndim == 2:
        return image
    if image.ndim == 3:
        return to_gray(image)[..., 0]
    raise UserError(
        f"image of shape {image.shape}: expected [H, W], [H, W, 1] or [H, W, 3] for optical flow"
    )


def _rescale(images: jax.Array, low: float, high: float) -> jax.Array:
    """`images` from their common range to [low, high]; constant ones to low."""
    lowest, highest = images.min(), images.max()
    return low + (high - low) * (images - lowest) / jnp.maximum(highest - lowest, 1e-6)


def _structure(images: jax.Array) -> jax.Array:
    """The structure (without texture) of images [..., H, W] in [-1, 1].

    The model of Rudin, Osher & Fatemi by 100 dual steps (Wedel et al. 2009, section 3).
    """
    theta = 1 / 8
    step = 1 / (4 * theta)
    height, width = images.shape[-2:]

    def iterate(_, state):
        # The dual lies between pixels, with zeros outside of the image: no masks, no copies.
        along_w, along_h, structure = state
        right, down = gradient(structure)
        x, y = along_w[..., 1:] + step * right, along_h[..., 1:, :] + step * down
        shrink = lax.rsqrt(jnp.maximum(1.0, x * x + y * y))
        along_w = along_w.at[..., 1:width].set((x * shrink)[..., :-1])
        along_h = along_h.at[..., 1:height, :].set((y * shrink)[..., :-1, :])
        return (
            along_w,
            along_h,
            images + theta * (jnp.diff(along_w, axis=-1) + jnp.diff(along_h, axis=-2)),
        )

    zeros = jnp.zeros((*images.shape[:-2], height + 1, width + 1), images.dtype)
    state = (zeros[..., 1:, :], zeros[..., 1:], images)
    return lax.fori_loop(0, 100, iterate, state)[-1]


def _preprocess(pair: jax.Array, texture: float) -> jax.Array:
    """Gray levels of 0..255; with `texture`, that share of the structure is subtracted first."""
    if not texture:
        return 255 * pair
    pair = _rescale(pair, -1.0, 1.0)
    return _rescale(pair - texture * _structure(pair), 0.0, 255.0)


def _resize(planes: jax.Array, shape: Sequence[int]) -> jax.Array:
    return jax.image.resize(
        planes, (len(planes), *shape), "linear", antialias=False, precision=lax.Precision.HIGHEST
    )


def _blur(planes: jax.Array, sigma: float) -> jax.Array:
    radius = round(1.5 * sigma)
    taps = [math.exp(-0.5 * (i / sigma) ** 2) for i in range(-radius, radius + 1)]
    height, width = planes.shape[-2:]
    padded = jnp.pad(planes, ((0, 0), (radius, radius), (radius, radius)), mode="symmetric")
    down: Any = sum(tap * padded[:, i : i + height] for i, tap in enumerate(taps))
    return sum(tap * down[:, :, i : i + width] for i, tap in enumerate(taps)) / sum(taps) ** 2


def _pyramid(pair: jax.Array, levels: int, spacing: float) -> list[jax.Array]:
    """`levels` pairs from [2, H, W], the finest first, each 1 / spacing as large as the last."""
    out = [pair]
    for _ in range(levels - 1):
        shape = tuple(math.ceil(n / spacing) for n in out[-1].shape[1:])
        out.append(_resize(_blur(out[-1], math.sqrt(spacing / 2)), shape))
    return out


def _derivatives(images: jax.Array) -> jax.Array:
    """[..., H, W] to [..., H, W, 2]: along W and along H, by [1, -8, 0, 8, -1] / 12, mirrored."""
    height, width = images.shape[-2:]
    p = jnp.pad(images, [(0, 0)] * (images.ndim - 2) + [(2, 2)] * 2, mode="symmetric")

    def five(a, b, c, d):
        return (8 * (c - b) - (d - a)) / 12

    across = five(*(p[..., 2:-2, i : i + width] for i in (0, 1, 3, 4)))
    down = five(*(p[..., i : i + height, 2:-2] for i in (0, 1, 3, 4)))
    return jnp.stack([across, down], axis=-1)


def _refine(pair: jax.Array, flow: jax.Array, stage: jax.Array, settings: Energy) -> jax.Array:
    """The flow [2, H, W] after the warps of one level."""
    first, second = pair
    first_derivatives, second_derivatives = _derivatives(pair)
    kernel = settings.kernel
    moving = prefilter(jnp.concatenate([second[..., None], second_derivatives], -1), kernel=kernel)

    def sampled(flow):
        return warp(moving, jnp.moveaxis(flow, 0, -1), kernel=kernel)

    def refine(count, state):
        flow, memory, samples = state
        warped, inside = samples
        derivatives = settings.blend * first_derivatives + (1 - settings.blend) * warped[..., 1:]
        terms = (warped[..., 0] - first, derivatives[..., 0], derivatives[..., 1])
        it, ix, iy = (jnp.where(inside, term, 0) for term in terms)
        flow, memory = settings.refine(Linearized(it, ix, iy), flow, memory, stage)
        flow = jax.vmap(functools.partial(median_filter, size=settings.median))(flow)
        more = count + 1 < settings.warps
        return flow, memory, lax.cond(more, sampled, lambda flow: samples, flow)

    memory = jnp.zeros((2, 2, *first.shape), first.dtype)
    # The samples are part of the loop's state so that they are computed once: fused into the
    # equations they would be computed at every use, and a warp takes twice as long.
    return lax.fori_loop(0, settings.warps, refine, (flow, memory, sampled(flow)))[0]


def _coarse_to_fine(
    pyramid: list[jax.Array], flow: jax.Array, stage: jax.Array, settings: Energy
) -> jax.Array:
    for pair in reversed(pyramid):
        height, width = flow.shape[1:]
        shape = pair.shape[1:]
        ratio = jnp.array([shape[1] / width, shape[0] / height], flow.dtype)
        flow = _resize(flow, shape) * ratio[:, None, None]
        flow = _refine(pair, flow, stage, settings)
    return flow


@functools.partial(jax.jit, static_argnames="settings")
def _estimate(first: jax.Array, second: jax.Array, settings: Energy) -> jax.Array:
    both = jnp.stack([first, second])
    pair = _preprocess(both, settings.texture)
    shortest = min(first.shape)
    levels = 1 + max(0, math.floor(math.log(shortest / _MIN_SIZE, settings.spacing) + 1e-9))
    stages = jnp.array(settings.stages, jnp.float32)
    flow = jnp.zeros((2, *first.shape), jnp.float32)
    flow = _coarse_to_fine(_pyramid(pair, levels, settings.spacing), flow, stages[0], settings)
    if len(settings.stages) > 1:
        late = _pyramid(pair, 2, settings.late_spacing)
        flow, _ = lax.scan(
            lambda flow, stage: (_coarse_to_fine(late, flow, stage, settings), None),
            flow,
            stages[1:],
        )
    # The flow between equal images is rounding; its gradient is not.
    flow = flow - lax.stop_gradient(jnp.where(jnp.all(first == second), flow, 0))
    # A flat pair, stretched to its own range, would be noise.
    contrast = jnp.max(both.max((1, 2)) - both.min((1, 2)))
    flow = jnp.where(contrast < _MIN_CONTRAST, 0, flow)
    return jnp.moveaxis(flow, 0, -1)


@checked
def optical_flow(
    first: jax.Array, second: jax.Array, *, preset: str = "classic_l", **options
) -> jax.Array:
    """The displacement of every pixel of `first` in `second`: second(x + flow) is first(x).

    Args:
      first: [H, W], [H, W, 1] or [H, W, 3] (RGB, converted to luma) in [0, 1], or uint8 and other
        dtypes of `clips.to_float`; H and W at least 3.
      second: the same shape.
      preset: "classic_l" (Lorentzian; the robust flow of STRCN-G), "classic_c" (Charbonnier),
        "horn_schunck" or "tv_l1".
      options: fields of the preset's `Robust` or `TotalVariation` to replace.

    Returns:
      [H, W, 2] float32, (u, v) px along W and H. Exactly 0 for two equal images, and for a pair
      without contrast: each image within a quarter of an 8-bit gray level (1e-3).

    Raises:
      UserError: for images of different shapes, of other axes, too small or out of range, and for
        an unknown preset or option.

    >>> y, x = jnp.meshgrid(jnp.arange(16.0), jnp.arange(16.0), indexing="ij")
    >>> blob = lambda cx: jnp.exp(-((x - cx) ** 2 + (y - 8.0) ** 2) / 18)
    >>> flow = optical_flow(blob(7.0), blob(8.0), preset="tv_l1")
    >>> print(flow.shape, f"{flow[8, 8, 0]:.1f} px to the right")
    (16, 16, 2) 1.0 px to the right
    """
    settings = PRESETS[preset]
    options = check("", "optical_flow", options, dataclasses.asdict(settings))
    first, second = to_float(first), to_float(second)
    first, second = (_gray(jnp.asarray(image, jnp.float32)) for image in (first, second))
    if first.shape != second.shape:
        raise UserError(
            f"optical flow needs two images of one size, not {first.shape} and {second.shape}"
        )
    check_axes(first, "HW", name="image", min_size=3)
    return _estimate(first, second, dataclasses.replace(settings, **options))
