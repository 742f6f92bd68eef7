"""Proposals and suppression against loops over every frame and every pair."""

import numpy as np
import pytest

from mer_jax.errors import UserError
from mer_jax.spotting import Proposals, propose, suppress


def by_hand(start, end, apex, before, after, duration, threshold):
    found = []
    length = len(start)
    for t in range(length):
        if not apex[t] > threshold:
            continue
        onsets = [max(t - d, 0) for d in range(before[0], before[1] + 1)]
        offsets = [min(t + d, length - 1) for d in range(after[0], after[1] + 1)]
        onset = max(onsets, key=lambda i: start[i])
        offset = max(offsets, key=lambda i: end[i])
        if start[onset] <= end[onset] or start[offset] >= end[offset]:
            continue
        if duration[0] <= offset - onset + 1 <= duration[1]:
            found.append((onset, offset, start[onset] * end[offset] * apex[t]))
    return found


@pytest.mark.parametrize("seed", range(5))
def test_proposals_are_those_of_a_loop(seed):
    rng = np.random.default_rng(seed)
    start, end, apex = np.round(rng.random((3, 90)), 1)  # many ties
    options = ((1, 6), (2, 9), (4, 12))
    want = by_hand(start, end, apex, *options, 0.5)
    got = propose(start, end, apex, before=options[0], after=options[1], duration=options[2])
    assert want and got.intervals.tolist() == [list(each[:2]) for each in want]
    np.testing.assert_allclose(got.scores, [each[2] for each in want], rtol=1e-12)


def suppressed_by_hand(intervals, scores, overlap, most, inclusive):
    """As the authors write it: the scores of what overlaps too much become 0."""
    left = [[*pair, score] for pair, score in zip(intervals.tolist(), scores.tolist())]
    chosen = []
    while left and (most is None or len(chosen) < most):
        best = max(left, key=lambda each: each[2])
        if best[2] == 0:
            break
        left.remove(best)
        chosen.append(best)
        for other in left:
            shared = min(best[1], other[1]) - max(best[0], other[0]) + inclusive
            union = best[1] - best[0] + other[1] - other[0] + 2 * inclusive - max(shared, 0)
            if union and max(shared, 0) / union > overlap:
                other[2] = 0
    return chosen


@pytest.mark.parametrize("inclusive", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_suppression_is_that_of_a_loop(seed, inclusive):
    rng = np.random.default_rng(seed)
    onset = rng.integers(0, 60, 40)
    intervals = np.stack([onset, onset + rng.integers(0, 14, 40)], axis=-1)
    scores = np.round(rng.random(40), 1)  # ties, and zeros
    for most, overlap in ((None, 0.5), (5, 0.3)):
        want = suppressed_by_hand(intervals, scores, overlap, most, inclusive)
        found = Proposals(intervals, scores)
        got = suppress(found, overlap=overlap, most=most, inclusive=inclusive)
        assert [[*pair, score] for pair, score in zip(*map(np.ndarray.tolist, got))] == [
            [*map(int, each[:2]), each[2]] for each in want
        ]


def test_half_of_ten_frames_is_not_too_much():
    """[0, 9] and [3, 12]: 7 of 13 frames, or 6 of 12 without the last one."""
    found = Proposals(np.array([[0, 9], [3, 12]]), np.array([0.9, 0.8]))
    assert len(suppress(found).scores) == 1
    assert len(suppress(found, inclusive=False).scores) == 2


def test_nothing_is_proposed_of_nothing():
    for length in (0, 1, 20):
        empty = propose(*np.zeros((3, length)))
        assert empty.intervals.shape == (0, 2) and suppress(empty).scores.shape == (0,)
    with pytest.raises(UserError, match=r"\(3,\), \(4,\) and \(3,\)"):
        propose(np.zeros(3), np.zeros(4), np.zeros(3))
