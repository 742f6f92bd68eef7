import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mer_jax.methods import frame_selection
from mer_jax.video.resample import matrix

TABLE = jnp.asarray(frame_selection.tables(11, 6, ["bicubic"])[0])


def test_padding_does_not_change_a_resampled_clip():
    for length in (1, 5, 11):
        got = frame_selection.all_frames(TABLE, jnp.asarray(length))
        np.testing.assert_array_equal(got[:, :length], matrix(length, 6, kernel="bicubic"))
        assert not got[:, length:].any()


@pytest.mark.parametrize(("length", "percent", "count"), [(11, 60, 7), (8, 50, 4), (3, 10, 1)])
def test_random_frames_are_that_many_in_order_and_resampled(length, percent, count):
    draw = jax.jit(frame_selection.random_frames)
    subsets = set()
    for seed in range(20):
        got = np.asarray(
            draw(
                jax.random.key(seed), TABLE, jnp.asarray(length), jnp.asarray(percent, jnp.float32)
            )
        )
        # A bicubic weight can be 0, so find the used frames as the one subset that explains them.
        used = np.flatnonzero(got.any(0))
        assert used.max() < length and len(used) <= count
        assert np.allclose(got.sum(1), 1, atol=1e-6)
        if len(used) == count:
            np.testing.assert_array_equal(got[:, used], matrix(count, 6, kernel="bicubic"))
            subsets.add(tuple(used))
    assert len(subsets) > (1 if count > 1 else 0)


def test_all_frames_at_one_hundred_percent():
    got = frame_selection.random_frames(
        jax.random.key(0), TABLE, jnp.asarray(9), jnp.asarray(100.0)
    )
    np.testing.assert_array_equal(got, frame_selection.all_frames(TABLE, jnp.asarray(9)))
