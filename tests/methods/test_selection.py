import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mer_jax.methods import selection
from mer_jax.video.resample import matrix

TABLE = jnp.asarray(selection.tables(11, 6, ["bicubic"])[0])


def test_the_whole_clip_is_resampled_as_if_it_were_alone():
    for length in (1, 5, 11):
        got = selection.whole(TABLE, jnp.asarray(length))
        np.testing.assert_array_equal(got[:, :length], matrix(length, 6, kernel="bicubic"))
        assert not got[:, length:].any()


@pytest.mark.parametrize(("length", "percent", "count"), [(11, 60, 7), (8, 50, 4), (3, 10, 1)])
def test_a_draw_keeps_that_many_frames_in_order_and_resamples_them(length, percent, count):
    draw = jax.jit(selection.drawn)
    seen = set()
    for seed in range(20):
        got = np.asarray(
            draw(
                jax.random.key(seed), TABLE, jnp.asarray(length), jnp.asarray(percent, jnp.float32)
            )
        )
        # A bicubic weight can be 0, so find the kept frames as the one subset that explains them.
        kept = np.flatnonzero(got.any(0))
        assert kept.max() < length and len(kept) <= count
        assert np.allclose(got.sum(1), 1, atol=1e-6)
        if len(kept) == count:
            np.testing.assert_array_equal(got[:, kept], matrix(count, 6, kernel="bicubic"))
            seen.add(tuple(kept))
    assert len(seen) > (1 if count > 1 else 0)


def test_all_frames_at_one_hundred_percent():
    got = selection.drawn(jax.random.key(0), TABLE, jnp.asarray(9), jnp.asarray(100.0))
    np.testing.assert_array_equal(got, selection.whole(TABLE, jnp.asarray(9)))
