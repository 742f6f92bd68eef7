"""Handcrafted descriptors: pure functions of one clip or flow, for use under jit and vmap.

    from mer_jax.descriptors import lbp_top
    describe = jax.jit(jax.vmap(lambda clip, n: lbp_top(clip, length=n)))
    features = describe(batch.frames, batch.length)  # [N, 4425]

Each returns one float32 vector (`region_flow` one for each region); frames from `length` on do not
change it. `color_levels` and `independent_colors` make the colors of `lbp_tics`. `methods` makes
examples of them, and `model.name=svm` trains the classic baselines of the networks.
"""

from mer_jax.descriptors.bi_woof import bi_woof
from mer_jax.descriptors.lbp import lbp_sip, lbp_top
from mer_jax.descriptors.mdmo import mdmo
from mer_jax.descriptors.region_flow import region_flow
from mer_jax.descriptors.stlbp_ip import stlbp_ip
from mer_jax.descriptors.tics import color_levels, independent_colors, lbp_tics

__all__ = [
    "bi_woof",
    "color_levels",
    "independent_colors",
    "lbp_sip",
    "lbp_tics",
    "lbp_top",
    "mdmo",
    "region_flow",
    "stlbp_ip",
]
