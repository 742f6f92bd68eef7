"""What is done to one clip: pure functions of arrays, clean under jit and vmap.

    from mer_jax.video import magnify, optical_flow
    magnified = jax.jit(magnify)(clip, alpha=8.0)                 # one clip, [T, H, W, C]
    magnified = jax.vmap(lambda clip: magnify(clip, alpha=8.0))(batch.frames)

Here stand the names that say what they do on their own; the parts they are made of stay in their
modules: `from mer_jax.video.resample import matrix`, `from mer_jax.video.pyramid import build`.
Where a function has its module's name, `mer_jax.video.resample` is the function.
"""

from mer_jax.video.color import rgb_to_yiq, to_gray, yiq_to_rgb
from mer_jax.video.difference import (
    apex_index,
    core_region,
    difference_heatmap,
    remove_global_motion,
    temporal_difference,
    top_pixels,
)
from mer_jax.video.flow import optical_flow
from mer_jax.video.magnify import bands, combine, gains, magnify, stream_init, stream_step
from mer_jax.video.resample import jitter_matrices, resample, select
from mer_jax.video.rpca import keep_quantiles, rpca
from mer_jax.video.strain import optical_strain, strain_tensor

__all__ = [
    "apex_index",
    "bands",
    "combine",
    "core_region",
    "difference_heatmap",
    "gains",
    "jitter_matrices",
    "keep_quantiles",
    "magnify",
    "optical_flow",
    "optical_strain",
    "remove_global_motion",
    "resample",
    "rgb_to_yiq",
    "rpca",
    "select",
    "strain_tensor",
    "stream_init",
    "stream_step",
    "temporal_difference",
    "to_gray",
    "top_pixels",
    "yiq_to_rgb",
]
