"""How a loop over a batch divides it."""

import numpy as np

from mer_jax.nn.dispatch import in_blocks


def test_blocks_fit_a_cache_or_are_as_large_as_told():
    x = np.arange(12 * 3).reshape(12, 3)
    for width, least, blocks in (
        (2**17, 0, 3),  # four samples are 2^19 numbers
        (2**17, 2**20, 2),  # eight would be told, but do not divide twelve: six
        (2**30, 0, 12),  # one sample is the least
        (1, 0, 1),
        (2**17, 2**10, 3),  # a smaller `least` takes nothing away
    ):
        found, beside = in_blocks(x, x[:, :1], width=width, least=least)
        assert len(found) == len(beside) == blocks
        np.testing.assert_array_equal(found.reshape(x.shape), x)
        np.testing.assert_array_equal(beside.reshape(12, 1), x[:, :1])
