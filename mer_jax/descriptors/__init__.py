"""Handcrafted descriptors: pure functions of ONE clip or flow, clean under jit and vmap.

    from mer_jax.descriptors import lbp_top
    describe = jax.jit(jax.vmap(lambda clip, n: lbp_top(clip, length=n)))
    features = describe(batch.frames, batch.length)  # [N, 4425]

Each returns one float32 vector; frames past `length` change nothing in it. They are what networks
are compared with; `methods` makes examples of them, and `model.name=svm` trains the classic rival.
"""

from mer_jax.descriptors.bi_woof import bi_woof
from mer_jax.descriptors.lbp import lbp_sip, lbp_top
from mer_jax.descriptors.mdmo import mdmo

__all__ = ["bi_woof", "lbp_sip", "lbp_top", "mdmo"]
