"""Targets of frames against the loops over annotations that the papers' code has."""

import math

import numpy as np
import pytest

from mer_jax.recordings import Interval, Recording
from mer_jax.spotting import boundaries, soft_labels, targets, windows

MARKED = (
    Interval(0, 2, 6),
    Interval(20, 26, 31, "micro"),
    Interval(30, None, 39, "micro"),
    Interval(45, 60, 79, "macro"),
)


def video(*intervals, length=80):
    return Recording("toy", "s1", "v", lambda i, j: None, length, 30.0, intervals)


def test_boundaries_are_those_of_a_loop():
    found = boundaries(video(*MARKED))
    for column, (kind, reach) in enumerate((("micro", 1), ("macro", 3))):
        marked = [each for each in MARKED if each.kind == kind]
        want = [2] * 80
        for value, name in ((0, "onset"), (1, "offset")):
            for each in marked:
                for t in range(80):
                    if abs(t - getattr(each, name)) <= reach:
                        want[t] = value
        assert found.boundary[:, column].tolist() == want
        apex, action = [0.0] * 80, [0.0] * 80
        for each in marked:
            middle = (each.onset + each.offset) // 2 if each.apex is None else each.apex
            for t in range(80):
                if abs(t - middle) <= reach:
                    apex[t] = max(apex[t], math.exp(-((t - middle) ** 2) / 32))
                if each.onset <= t <= each.offset:
                    action[t] = 1.0
        np.testing.assert_allclose(found.apex[:, column], apex, rtol=1e-6)
        assert found.action[:, column].tolist() == action
    assert found.boundary.dtype == np.int32 and found.apex.dtype == np.float32
    wide = boundaries(video(MARKED[0]), reach={"micro": 2}).boundary[:, 0]
    assert wide[:10].tolist() == [0, 0, 0, 2, 1, 1, 1, 1, 1, 2]


def test_outputs_name_the_ten_channels():
    want = "micro start, micro end, micro neither, macro start, macro end, macro neither, "
    want += "micro apex, macro apex, micro action, macro action"
    assert ", ".join(targets.OUTPUTS) == want


@pytest.mark.parametrize("soft", [0.0, 0.3, 1.0])
def test_soft_labels_rise_to_the_apex_and_fall(soft):
    got = soft_labels(video(*MARKED), kind="macro", soft=soft)
    for t in range(80):
        hard, gentle = float(45 <= t <= 79), 0.0
        if 45 <= t <= 60:
            gentle = (t - 45) / 15
        elif 60 < t <= 79:
            gentle = (79 - t) / 19
        assert got[t] == pytest.approx((1 - soft) * hard + soft * gentle, abs=1e-6)
    both = soft_labels(video(*MARKED), soft=soft)
    assert both[26] == both[60] == 1 and not both[7:20].any()
    assert soft_labels(video(Interval(5, 5, 5)))[5] == 1  # of one frame


def test_the_mixed_label_has_the_gradient_of_the_two_errors():
    hard, gentle = (soft_labels(video(*MARKED), soft=soft) for soft in (0.0, 1.0))
    score = np.random.default_rng(0).random(80)
    both = 2 * (0.7 * (score - hard) + 0.3 * (score - gentle))
    np.testing.assert_allclose(2 * (score - soft_labels(video(*MARKED))), both, atol=1e-6)


def test_windows_follow_each_other():
    values = np.random.default_rng(0).random((23, 2))
    cut = windows(values, length=10, margin=3)
    assert cut.shape == (3, 16, 2)
    for w in range(3):
        for at in range(16):
            t = w * 10 - 3 + at
            want = values[t] if 0 <= t < 23 else np.zeros(2)
            np.testing.assert_array_equal(cut[w, at], want)
    assert windows(np.arange(4), length=4, margin=0).tolist() == [[0, 1, 2, 3]]
    boundary = boundaries(video(*MARKED)).boundary
    assert (windows(boundary, length=64, margin=7, fill=targets.NEITHER)[1, -20:] == 2).all()
