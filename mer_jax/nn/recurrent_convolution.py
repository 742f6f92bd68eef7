"""The recurrent convolutional layer (Liang & Hu 2015) as STRCN and MER-RCNN use it."""

from collections.abc import Sequence
from typing import Any, Literal, get_args

import jax
from flax import nnx

from mer_jax.errors import unknown_name
from mer_jax.nn.convolution import Conv
from mer_jax.nn.normalization import BatchNorm

Statistics = Literal["separate", "shared"]


class RecurrentConv(nnx.Module):
    """v(n) = ReLU(BN_n(w_f * u + w_r * v(n - 1))), v(0) = 0, for n = 1 ... 1 + `steps`.

    STRCN (Xia et al.), Equations 6 and 7 and Table I: w_f is 1 x 1 and w_r 3 x 3 with padding 1.
    All steps share w_r, and w_f * u is computed once. The bias b_k of Equation 6 is left out: the
    normalization that follows removes it, so its gradient is zero. With `steps` = 0 this is a
    plain convolution by w_f, normalization and ReLU.

    Args:
      in_features: C.
      features: F.
      steps: recurrent steps after the feedforward one.
      feedforward: (height, width) of w_f.
      statistics: "separate": one normalization for each step; "shared": one for all (scale, bias
        and running statistics; a batch is still normalized by the statistics of each step).
      rngs: random streams of the initializers.

    >>> import jax
    >>> from flax import nnx
    >>> from mer_jax import nn
    >>> layer = nnx.eval_shape(lambda: nn.RecurrentConv(4, 8, rngs=nnx.Rngs(0)))
    >>> sum(a.size for a in jax.tree.leaves(nnx.state(layer, nnx.Param)))
    672
    >>> 4 * 8 + 9 * 8 * 8 + 4 * 2 * 8  # w_f, w_r, scale and bias of four steps
    672
    """

    def __init__(
        self,
        in_features: int,
        features: int,
        *,
        steps: int = 3,
        feedforward: Sequence[int] = (1, 1),
        statistics: Statistics = "separate",
        rngs: nnx.Rngs,
    ):
        options: dict[str, Any] = {"padding": "SAME", "use_bias": False, "rngs": rngs}
        options["kernel_init"] = nnx.initializers.he_normal()
        self.feedforward = Conv(in_features, features, feedforward, **options)
        self.recurrent: Any = Conv(features, features, (3, 3), **options) if steps else None
        self.steps = steps
        if statistics not in get_args(Statistics):
            raise unknown_name("statistics", statistics, get_args(Statistics))
        norms = 1 if statistics == "shared" else steps + 1
        self.norms = nnx.List([BatchNorm(features, rngs=rngs) for _ in range(norms)])

    def __call__(self, u: jax.Array, *, mask: jax.Array | None = None) -> jax.Array:
        """u [B, H, W, C] -> v [B, H, W, features]; `mask` [B] as in `BatchNorm`."""
        response = self.feedforward(u)
        v = nnx.relu(self.norms[0](response, mask))
        for n in range(1, self.steps + 1):
            norm = self.norms[n % len(self.norms)]
            v = nnx.relu(norm(response + self.recurrent(v), mask))
        return v
