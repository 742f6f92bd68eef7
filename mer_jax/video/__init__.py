"""Operations on one clip: pure functions of arrays, for use under jit, vmap and grad.

    from mer_jax.video import magnify, optical_flow
    magnified = jax.jit(lambda clip: magnify(clip, alpha=8.0))(clip)  # one clip, [T, H, W, C]
    magnified = jax.vmap(lambda clip: magnify(clip, alpha=8.0))(batch.frames)

Their building blocks are in the modules: `from mer_jax.video.resample import matrix`, `from
mer_jax.video.pyramid import build`. Where a function has the name of its module,
`mer_jax.video.resample` is the function.
"""

from mer_jax.video.color import to_gray
from mer_jax.video.difference import (
    apex_index,
    core_region,
    difference_heatmap,
    remove_global_motion,
    top_pixels,
)
from mer_jax.video.flow import optical_flow
from mer_jax.video.magnify import bands, combine, gains, magnify, stream_init, stream_step
from mer_jax.video.resample import resample
from mer_jax.video.rpca import keep_quantiles, rpca
from mer_jax.video.strain import optical_strain, strain_tensor

__all__ = [
    "apex_index",
    "bands",
    "combine",
    "core_region",
    "difference_heatmap",
    "gains",
    "keep_quantiles",
    "magnify",
    "optical_flow",
    "optical_strain",
    "remove_global_motion",
    "resample",
    "rpca",
    "strain_tensor",
    "stream_init",
    "stream_step",
    "to_gray",
    "top_pixels",
]
