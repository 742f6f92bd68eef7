"""Bi-WOOF: directions of the flow from onset to apex, weighted twice."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from mer_jax.descriptors.directions import FLOOR, bin_of, polar
from mer_jax.errors import UserError
from mer_jax.options import checked
from mer_jax.video.strain import optical_strain, to_flow


@checked
def bi_woof(flow: Array, *, blocks: Sequence[int] = (5, 5), bins: int = 8) -> Array:
    """Block-wise histograms of direction, weighted by magnitude and by optical strain.

    In each block the vectors vote with their magnitude for the bin of their direction (bin k from
    -pi + 2 pi k / bins on, pi counted as -pi); the histogram is brought to the sum 1 and multiplied
    by the sum of the block's optical strain; the whole vector has the Euclidean norm 1. Vectors
    under 1e-4 px and strains under 1e-4 px per px are rounding and count as 0 (ours): a block in
    which nothing moves is 0, and so is the vector of a flow without strain, as from an onset that
    is the apex.

    Args:
        flow: [H, W, 2] px, (u, v) along W and H, from onset to apex.
        blocks: rows and columns. They overlap by one or two px as in the authors' code: with h =
            floor(H / rows), block k (from 0) begins at row k h - 1 and ends before (k + 1) h + 1;
            the first begins at 0 and the last ends at H.
        bins: directions.

    Returns:
        [rows x columns x bins] float32, C order; 200 for the defaults.

    Raises:
        UserError: there are more blocks than pixels along a side, or the flow has other axes.

    Liong, See, Wong, Phan, "Less is more: micro-expression recognition from video using apex
    frame", Signal Processing: Image Communication 62 (2018); blocks from the released code.
    """
    flow = to_flow(flow)
    height, width = flow.shape[:2]
    rows, columns = _members(height, blocks[0]), _members(width, blocks[1])
    magnitude, angle = polar(flow)
    which = bin_of(angle, bins=bins, start=-np.pi)
    votes = jnp.where(which[None] == jnp.arange(bins, dtype=jnp.int32)[:, None, None], magnitude, 0)
    summed = lambda planes: jnp.einsum(
        "ih,...hw,jw->ij...", rows, planes, columns, precision=lax.Precision.HIGHEST
    )
    histogram = _divided(summed(votes), lambda votes: votes.sum(-1, keepdims=True))
    strain = optical_strain(flow)
    weighted = histogram * summed(jnp.where(strain < FLOOR, 0, strain))[..., None]
    return _divided(weighted.reshape(-1), lambda x: jnp.sqrt(jnp.sum(x * x)))


def _members(size: int, count: int) -> np.ndarray:
    """[count, size] float32: 1 where block k has row i."""
    step = size // count
    if step < 1:
        raise UserError(f"Bi-WOOF cannot cut {size} px into {count} blocks")
    first = np.arange(count)[:, None] * step - 1
    last = first + step + 2
    last[-1] = size
    place = np.arange(size)
    return ((first <= place) & (place < last)).astype(np.float32)


def _divided(x: Array, by) -> Array:
    """x / by(x), and 0 where x is 0 throughout; finite gradients there."""
    still = jnp.broadcast_to(jax.lax.stop_gradient(by(jnp.abs(x))) == 0, x.shape)
    return jnp.where(still, 0, x / by(jnp.where(still, 1, x)))
