"""Bi-WOOF: bi-weighted oriented optical flow, from onset to apex."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from mer_jax.clips import check_finite
from mer_jax.descriptors.directions import FLOOR, bin_of, polar
from mer_jax.errors import UserError
from mer_jax.options import checked
from mer_jax.video.strain import optical_strain, to_flow


@checked
def bi_woof(flow: Array, *, blocks: Sequence[int] = (5, 5), bins: int = 8) -> Array:
    """Block-wise histograms of direction, weighted by magnitude and by optical strain.

    Each vector adds its magnitude to the bin of its direction (bin k from -pi + 2 pi k / bins on,
    pi counted as -pi) in its blocks; a block's histogram is normalized to the sum 1 and multiplied
    by the sum of the block's optical strain; the descriptor has the Euclidean norm 1. Vectors under
    1e-4 px and strains under 1e-4 px per px are rounding and count as 0 (ours): a block in which
    nothing moves is 0, and so is the descriptor of a flow without strain, as from an onset that is
    the apex.

    Args:
      flow: [H, W, 2] px, (u, v) along W and H, from onset to apex.
      blocks: rows and columns. They overlap by one or two px as in the authors' code: with h =
        floor(H / rows), block k (from 0) begins at row k h - 1 and ends before (k + 1) h + 1; the
        first begins at 0 and the last ends at H.
      bins: number of directions.

    Returns:
      [rows x columns x bins] float32, C order; 200 for the defaults.

    Raises:
      UserError: for more blocks than pixels along a side, a side of 1 px, other axes, NaN or
        infinity (in arrays with values: not under `jit`).

    The released code's edges are -pi, ..., 3 pi / 4: by the public `weightedhistc` of Kovesi, whose
    last bin counts its edge alone, it would lose directions above 3 pi / 4, which are kept here.

    Liong, See, Wong, Phan, "Less is more: micro-expression recognition from video using apex
    frame", Signal Processing: Image Communication 62 (2018); blocks from the released code.

    >>> x = jnp.arange(8.0)[None, :] * jnp.ones((8, 1))
    >>> stretch = jnp.stack([0.25 * x, 0 * x], axis=-1)  # to the right, angle 0: bin 2 of 4
    >>> jax.jit(lambda flow: bi_woof(flow, blocks=(1, 1), bins=4))(stretch).round(3)
    Array([0., 0., 1., 0.], dtype=float32)
    """
    flow = to_flow(flow)
    check_finite(flow, axis="row")
    height, width = flow.shape[:2]
    rows, columns = _membership(height, blocks[0]), _membership(width, blocks[1])
    magnitude, angle = polar(flow)
    sector = bin_of(angle, bins=bins, start=-np.pi)
    order = jnp.arange(bins, dtype=jnp.int32)[:, None, None]
    weighted = jnp.where(sector[None] == order, magnitude[None], 0)
    summed = lambda planes: jnp.einsum(
        "ih,...hw,jw->ij...", rows, planes, columns, precision=lax.Precision.HIGHEST
    )
    histogram = _normalized(summed(weighted), lambda sums: sums.sum(-1, keepdims=True))
    strain = optical_strain(flow)
    histogram = histogram * summed(jnp.where(strain < FLOOR, 0, strain))[..., None]
    return _normalized(histogram.reshape(-1), lambda x: jnp.sqrt(jnp.sum(x * x)))


def _membership(size: int, count: int) -> np.ndarray:
    """[count, size] float32: 1 where block k contains row i."""
    step = size // count
    if step < 1:
        raise UserError(f"Bi-WOOF cannot divide {size} px into {count} blocks")
    first = np.arange(count)[:, None] * step - 1
    last = first + step + 2
    last[-1] = size
    index = np.arange(size)
    return ((first <= index) & (index < last)).astype(np.float32)


def _normalized(x: Array, by) -> Array:
    """x / by(x), and 0 where by(x) is 0, with finite gradients there."""
    still = jnp.broadcast_to(jax.lax.stop_gradient(by(jnp.abs(x))) == 0, x.shape)
    return jnp.where(still, 0, x / by(jnp.where(still, 1, x)))
