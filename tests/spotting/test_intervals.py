import numpy as np
import pytest

from mer_jax.spotting import above_threshold, around_peaks, smooth, threshold
from mer_jax.spotting.intervals import peak

VALUES = np.random.default_rng(1).random(80)


def test_smooth_is_the_mean_of_what_exists():
    got = smooth(VALUES, width=5)
    for t in (0, 1, 40, 79):
        np.testing.assert_allclose(got[t], VALUES[max(0, t - 2) : t + 3].mean())
    np.testing.assert_array_equal(smooth(VALUES, width=1), VALUES)
    np.testing.assert_allclose(smooth(VALUES[:3], width=9), VALUES[:3].mean())


def test_the_threshold_lies_between_mean_and_maximum():
    assert threshold(VALUES, p=0.0) == pytest.approx(VALUES.mean())
    assert threshold(VALUES, p=1.0) == pytest.approx(VALUES.max())


def test_intervals_around_peaks():
    values = np.zeros(50)
    values[[0, 10, 13, 30, 49]] = (5, 4, 6, 1, 5)
    found = around_peaks(values, p=0.4, duration=7)
    # Frame 10 is too near to the higher frame 13, frame 30 too low; the ends are cut off.
    assert found.tolist() == [[0, 3], [10, 16], [46, 49]]
    assert around_peaks(np.ones(9), p=0.5, duration=3).shape == (0, 2)
    assert around_peaks(values, p=0.4, duration=1).tolist() == [
        [0, 0],
        [10, 10],
        [13, 13],
        [49, 49],
    ]


def test_runs_of_a_length_that_counts():
    values = np.array([9, 9, 0, 9, 0, 0, 9, 9, 9, 0, 9, 9, 9, 9.0])
    found = above_threshold(values, p=0.0, shortest=2, longest=3)
    assert found.tolist() == [[0, 1], [6, 8]]
    assert above_threshold(np.ones(5), p=0.0, shortest=1, longest=9).shape == (0, 2)


def test_a_threshold_that_is_p_itself():
    """Of a network that predicts an overlap; a video without any peak above it has no interval."""
    values = np.zeros(30)
    values[[5, 20]] = 0.3, 0.6
    assert around_peaks(values, p=0.5, duration=3, relative=False).tolist() == [[19, 21]]
    assert len(around_peaks(0.5 * values, p=0.5, duration=3, relative=False)) == 0
    found = above_threshold(values, p=0.5, shortest=1, longest=2, relative=False)
    assert found.tolist() == [[20, 20]]


def test_frames_that_were_not_computed_count_for_nothing():
    """As the authors of MDMD, who take mean and maximum of the computed frames and predict nothing
    in others (cmd.m): by zeros instead, both ends of a video of negative values were intervals."""
    computed = np.array([-3.0, -4, -1, -1.5, -4, -5, -3, -4])
    ends = np.full(3, np.nan)
    values = np.concatenate([ends, computed, ends])
    assert threshold(values, p=0.2) == pytest.approx(threshold(computed, p=0.2))
    assert threshold(values, p=0.2) < 0
    options = {"p": 0.2, "shortest": 1, "longest": 9}
    assert above_threshold(values, **options).tolist() == [[5, 6]]
    assert (above_threshold(computed, **options) + 3).tolist() == [[5, 6]]
    found = around_peaks(values, p=0.2, duration=3)
    assert found.tolist() == (around_peaks(computed, p=0.2, duration=3) + 3).tolist() == [[4, 6]]
    smoothed = smooth(values, width=3)
    np.testing.assert_allclose(smoothed[3:-3], smooth(computed, width=3))
    assert np.isnan(smoothed[:3]).all() and np.isnan(smoothed[-3:]).all()
    assert peak(values, 0, 9) == 5


@pytest.mark.parametrize("duration", range(2, 9))
def test_a_burst_is_found_where_it_is(duration):
    """Those of an even number of frames were found one frame late."""
    values = np.zeros(60)
    values[20 : 20 + duration] = 1
    smoothed = smooth(values, width=duration)
    found = around_peaks(smoothed, p=0.5, duration=duration)
    assert found.tolist() == [[20, 19 + duration]]
    backwards = around_peaks(smooth(values[::-1], width=duration), p=0.5, duration=duration)
    np.testing.assert_array_equal(59 - backwards[:, ::-1], found)
