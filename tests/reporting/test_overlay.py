"""Probabilities over time, as a chart and on the video."""

import numpy as np
import pytest

from mer_jax.reporting import overlay

CLASSES = ("negative", "positive")
NONE = np.array([np.nan, np.nan])


def test_the_chart_is_broken_where_nothing_is_predicted():
    start = np.arange(4) / 10
    values = np.array([[0.9, 0.1], [0.6, 0.4], NONE, [0.2, 0.8]])
    figure = overlay.probabilities_over_time(
        start,
        start + 0.3,
        values,
        CLASSES,
        np.array([3.0, 2.0, 0.1, np.nan]),
        1.0,
        deviation=0 * values,
    )
    above, below = figure.axes
    lines = {line.get_label(): line for line in above.lines}
    assert set(lines) == set(CLASSES)
    for k, name in enumerate(CLASSES):
        np.testing.assert_array_equal(lines[name].get_ydata(), values[:, k])
        np.testing.assert_allclose(lines[name].get_xdata(), start + 0.15)
    (shade,) = below.patches
    assert shade.get_x() < 0.35 < shade.get_x() + shade.get_width()
    one = overlay.probabilities_over_time(
        np.zeros(1), np.ones(1), NONE[None], CLASSES, np.zeros(1), 1.0
    )
    assert one.axes[0].patches


@pytest.mark.parametrize("shape", ((61, 81, 3), (480, 640, 1)))
def test_the_longer_bar_is_the_likelier_class(shape):
    frames = np.full((2, *shape), 120, np.uint8)
    box = np.array([[10, 10], [40, 10], [40, 40], [10, 40]], np.float32)
    lines = [("negative", np.array([0.9, 0.2])), ("no movement", NONE)]
    first, second = overlay.overlay_predictions(frames, lines, [box, None], CLASSES)
    assert first.shape == second.shape and not np.any(np.array(first.shape[:2]) % 2)
    painted = lambda picture, color: (np.abs(picture.astype(int) - color).max(-1) < 12).sum()
    blue, orange = (0, 114, 178), (230, 159, 0)
    bars = first[:, first.shape[0] * shape[1] // shape[0] :]
    assert painted(bars, blue) > 3 * painted(bars, orange) > 0
    assert painted(second, blue) == painted(second, orange) == 0
    assert painted(first, blue) > painted(bars, blue)  # the box


def test_saliency_is_red_and_the_inset_is_below_the_bars():
    frame = np.full((480, 640, 3), 120, np.uint8)
    box = np.array([[99.5, 49.5], [399.5, 49.5], [399.5, 349.5], [99.5, 349.5]], np.float32)
    heat = np.zeros((30, 30), np.float32)
    heat[20:25, 5:10] = 1
    inset = np.full((80, 160, 1), 33, np.uint8)
    lines = [("negative", np.array([0.9, 0.1]))] * 3
    plain, shown, last = overlay.overlay_predictions(
        [frame] * 3, lines, [box] * 3, CLASSES, saliency=[None, heat], insets=[None, inset]
    )
    np.testing.assert_array_equal(plain, last)
    changed = np.argwhere(np.abs(shown[:, :640].astype(int) - plain[:, :640]).max(-1) > 40)
    assert changed.min(0) == pytest.approx([250, 150], abs=5)  # 10 px of the video one of the heat
    assert changed.max(0) == pytest.approx([299, 199], abs=5)
    red = shown[275, 175]
    assert red[0] > 150 and red[2] < 60
    pixels = np.argwhere((shown[:, 640:] == 33).all(-1))
    assert len(pixels) > 0.9 * 268 * 134 and pixels.min(0)[0] > 300 and pixels.max(0)[0] < 480
