"""Probabilities over time, as a chart and on the video."""

import numpy as np
import pytest

from mer_jax.inference import VideoPredictions
from mer_jax.inference.tracking import FaceBox
from mer_jax.reporting import overlay

CLASSES = ("negative", "positive")
NONE = np.array([np.nan, np.nan])
BOX = np.array([[40, 0], [90, 0], [90, 50], [40, 50]], np.float32)


def predictions(probabilities, verdicts, **changes):
    """Windows of 0.3 s, 0.1 s apart, at 10 Hz."""
    count, classes = probabilities.shape
    fields = dict(
        classes=CLASSES[:classes],
        fps=10.0,
        num_frames=count + 2,
        start=np.arange(count),
        stop=np.arange(count) + 3,
        apex=np.arange(count),
        movement=np.linspace(3, 0.1, count),
        threshold=1.0,
        probabilities=probabilities,
        std=0.05 + 0 * probabilities,
        face_boxes=(FaceBox(0, BOX),),
        notes=(),
        verdicts=verdicts,
        trained_on="12 clips",
    )
    return VideoPredictions(**fields | changes)


def test_the_chart_is_broken_where_nothing_is_predicted():
    values = np.array([[0.9, 0.1], [0.6, 0.4], NONE, [0.5, 0.5], [0.2, 0.8]])
    result = predictions(values, ("", "", "no face", "head moves", ""))
    figure = overlay.over_time(result)
    above, below = figure.axes
    lines = {line.get_label(): line for line in above.lines}
    assert set(lines) == set(CLASSES)
    shown = values.copy()
    shown[3] = np.nan
    for k, name in enumerate(CLASSES):
        np.testing.assert_array_equal(lines[name].get_ydata(), shown[:, k])
        np.testing.assert_allclose(lines[name].get_xdata(), np.arange(5) / 10 + 0.15)
    for axes in (above, below):
        (shade,) = axes.patches  # one for the two windows, 0.35 and 0.45 s, half a stride around
        assert shade.get_x() == pytest.approx(0.3) and shade.get_width() == pytest.approx(0.2)
    assert figure.get_suptitle() == "trained on 12 clips"
    one = overlay.over_time(predictions(NONE[None], ("no movement",)))
    assert one.axes[0].patches[0].get_width() == pytest.approx(0.3)


def test_each_action_unit_has_its_own_chart():
    values = np.array([[0.9, 0.1], [0.6, 0.4], NONE])
    result = predictions(values, ("", "", "no face"), label_scheme="cd6me", classes=("AU1", "AU4"))
    figure = overlay.over_time(result)
    assert figure.get_suptitle().splitlines()[1].startswith("action units of the scheme cd6me")
    assert [axes.get_ylabel() for axes in figure.axes] == ["AU1", "AU4", "px"]
    for k, axes in enumerate(figure.axes[:2]):
        line, limit = axes.lines
        np.testing.assert_array_equal(line.get_ydata(), values[:, k])
        assert set(limit.get_ydata()) == {0.5} and len(axes.patches) == 1


def test_a_frame_shows_the_window_with_the_nearest_center():
    rng = np.random.default_rng(0)
    for stride, length, count in ((1, 3, 5), (2, 5, 4), (4, 3, 6), (3, 8, 1)):
        start = stride * np.arange(count)
        result = predictions(
            rng.random((count, 2)), ("",) * count, start=start, stop=start + length, num_frames=40
        )
        middle = start + (length - 1) / 2
        nearest = [int(np.abs(middle - frame).argmin()) for frame in range(40)]
        expected = [i if start[i] <= f < start[i] + length else -1 for f, i in enumerate(nearest)]
        assert result.window_of_frame.tolist() == expected


def test_the_annotated_video_is_captioned_and_has_the_labels_of_its_windows():
    frames = np.random.default_rng(0).integers(0, 256, (7, 240, 320, 3), np.uint8)
    values = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.3, 0.7]])
    result = predictions(values, ("", "", "", "head moves"), num_frames=7)
    film = list(overlay.annotate(lambda: iter(frames), result, alpha=2.0))
    assert len(film) == 7 and len({picture.shape for picture in film}) == 1
    rows = film[0].shape[0] - 240
    assert 10 < rows < 40 and (film[0][:rows] < 128).any()  # the caption
    blue = lambda picture: (
        np.abs(picture[rows:, 320:].astype(int) - (0, 114, 178)).max(-1) < 12
    ).sum()
    assert blue(film[0]) > blue(film[2]) > 0 == blue(film[4])  # 4: given a verdict
    np.testing.assert_array_equal(film[6][rows + 60 :, :320], frames[6, 60:])  # in no window


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


@pytest.mark.parametrize("label", ["movement too long", "no face", "a" * 60, "Überraschung …"])
def test_a_label_fits_the_panel_and_is_not_cut(label):
    panel = overlay._panel(480, label, np.zeros(2), ("x", "y"), None)
    dark = np.flatnonzero((panel[20:56].max(-1) < 128).any(0))
    assert len(dark) and dark.max() < 296
    shorter = overlay._panel(480, label[:-2], np.zeros(2), ("x", "y"), None)
    assert (panel[20:56] != shorter[20:56]).any()
