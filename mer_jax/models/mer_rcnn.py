"""MER-RCNN: recurrent convolutions over pixels x time (Xia et al., Table 1)."""

from collections.abc import Sequence

from mer_jax.models.strcn import RecurrentNetwork


class MERRCNN(RecurrentNetwork):
    """The central pixels of the face over time, [P, T, 3].

    1966 pixels are 80 % of the width and height of 64 x 48. Maps: 1962 x 26, 490 x 26, 122 x 26,
    30 x 6, 7 x 3.
    """

    pools = ((4, 1), (4, 1), (4, 4), (4, 2))

    def __init__(self, *, shape: Sequence[int] = (1966, 30, 3), **sizes):
        super().__init__(shape=shape, **sizes)
