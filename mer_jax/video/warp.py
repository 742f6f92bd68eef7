"""Backward warping by cubic interpolation: cubic B-splines or Keys' convolution."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from mer_jax.clips import to_float
from mer_jax.options import checked
from mer_jax.video.strain import to_flow


class Kernel(NamedTuple):
    """Four taps along an axis, at -1, 0, 1 and 2 from the sample's left neighbor."""

    weights: Callable[[jax.Array], tuple[jax.Array, ...]]  # of the fraction of [0, 1)
    edge: str  # mode of `jnp.pad` for the image
    inverse: Callable[[int], np.ndarray] | None  # [n, n]: samples to coefficients


def _keys(f: jax.Array) -> tuple[jax.Array, ...]:
    return (
        ((-0.5 * f + 1) * f - 0.5) * f,
        (1.5 * f - 2.5) * f * f + 1,
        ((-1.5 * f + 2) * f + 0.5) * f,
        (0.5 * f - 0.5) * f * f,
    )


def _spline(f: jax.Array) -> tuple[jax.Array, ...]:
    g = 1 - f
    return (
        g * g * g / 6,
        (0.5 * f - 1) * f * f + 2 / 3,
        (0.5 * g - 1) * g * g + 2 / 3,
        f * f * f / 6,
    )


def _spline_inverse(n: int) -> np.ndarray:
    """The mirrored B-spline's coefficients from n samples of it."""
    samples = (np.eye(n) * 4 + np.eye(n, k=1) + np.eye(n, k=-1)) / 6
    samples[0, 1] = samples[-1, -2] = 2 / 6
    return np.linalg.inv(samples).astype(np.float32)


KERNELS = {
    "spline": Kernel(_spline, "reflect", _spline_inverse),
    "keys": Kernel(_keys, "edge", None),
}


@checked
def prefilter(image: jax.Array, *, kernel: str = "spline") -> jax.Array:
    """The input of `warp`: the image, or its spline coefficients.

    Args:
      image: [H, W, C], floats of any range (it is linear); integers are converted by theirs
        (`clips.to_float`); H and W at least 3.
      kernel: as for `warp`.

    Returns:
      [H, W, C] float32.

    Raises:
      UserError: for an unknown kernel or other axes.
    """
    image = to_float(image, axes="HWc", margin=math.inf, name="image", min_size=3)
    inverse = KERNELS[kernel].inverse
    if inverse is None:
        return image
    height, width, _ = image.shape
    down = jnp.einsum("yi,iwc->ywc", inverse(height), image, precision=lax.Precision.HIGHEST)
    return jnp.einsum("xj,yjc->yxc", inverse(width), down, precision=lax.Precision.HIGHEST)


@checked
def warp(
    filtered: jax.Array, flow: jax.Array, *, kernel: str = "spline"
) -> tuple[jax.Array, jax.Array]:
    """Samples an image at the points to which a flow leads.

    Args:
      filtered: [H, W, C], from `prefilter` with the same kernel.
      flow: [H, W, 2] px, (u, v) along W and H.
      kernel: "spline" (cubic B-spline, mirrored at the edge: `scipy.ndimage.map_coordinates` of
        order 3; sharper) or "keys" (cubic convolution with a = -1/2, Keys 1981; MATLAB's
        interp2 "cubic", but for the edge pixel, which is repeated and not extrapolated there).

    Returns:
      [H, W, C], image(y + v, x + u), or the nearest point of the image where the flow leaves it;
      and [H, W] bool, true where it does not.

    Raises:
      UserError: for an unknown kernel or other axes.

    >>> ramp = jnp.arange(5.0)[None, :, None] * jnp.ones((4, 1, 1))
    >>> right = jnp.full((4, 5, 2), 1.0).at[..., 1].set(0)  # 1 px along W
    >>> moved, inside = jax.jit(lambda image, flow: warp(image, flow, kernel="keys"))(ramp, right)
    >>> moved[1, :, 0].round().tolist(), inside[1].tolist()
    ([1.0, 2.0, 3.0, 4.0, 4.0], [True, True, True, True, False])
    """
    filtered = to_float(filtered, axes="HWc", margin=math.inf, name="image", min_size=3)
    height, width, channels = filtered.shape
    flow = to_flow(flow, axes=f"{height} {width}")
    x = jnp.arange(width, dtype=flow.dtype)[None, :] + flow[..., 0]
    y = jnp.arange(height, dtype=flow.dtype)[:, None] + flow[..., 1]
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    x = jnp.clip(x, 0, width - 1)
    y = jnp.clip(y, 0, height - 1)
    left, top = jnp.floor(x), jnp.floor(y)
    weights, edge, _ = KERNELS[kernel]
    across, down = weights(x - left), weights(y - top)

    # The channels of a tap are adjacent, and a row of four taps has one flat index: the compiler
    # fuses these gathers with the sum. Plane by plane takes half as long again on CPU.
    padded = jnp.pad(filtered, ((1, 2), (1, 2), (0, 0)), mode=edge).reshape(-1, channels)
    stride = width + 3
    corner = top.astype(jnp.int32) * stride + left.astype(jnp.int32)
    slices = lax.GatherDimensionNumbers(
        offset_dims=(2, 3), collapsed_slice_dims=(), start_index_map=(0,)
    )
    sampled = jnp.zeros((), filtered.dtype)
    for i, weight in enumerate(down):
        start = (corner + i * stride)[..., None]
        row = lax.gather(  # [H, W, 4, C]
            padded, start, slices, (4, channels), mode="promise_in_bounds"
        )
        along = sum(across[j][..., None] * row[:, :, j] for j in range(4))
        sampled = sampled + weight[..., None] * along
    return sampled, inside
