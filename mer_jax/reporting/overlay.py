"""Class probabilities over time: as a chart, and drawn on the video."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mer_jax.inference import VideoPredictions, magnify_face
from mer_jax.inference.video_predictions import PRESENT, corners_of_frame
from mer_jax.reporting import figures
from mer_jax.reporting.colors import CYCLE, FAINT, INK, LINE, VERMILION, rgb

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_COLORS = [rgb(color) for color in CYCLE]


def over_time(result: VideoPredictions) -> "Figure":
    """Charts of probabilities and movement over a video, a point at the middle of each window.

    The classes share one chart; action units (`VideoPredictions.label_scheme`) have one each, with
    a line at the probability above which they are present. The lines are broken, and the time is
    shaded, where a window is given a verdict; a band is as high as the deviation over the folds.
    """
    draw = _units_over_time if result.label_scheme else _classes_over_time
    figure = draw(result)
    size = dict(fontsize=8, x=0.01, ha="left")
    figure.suptitle("\n".join(result.header), **size)  # type: ignore[arg-type]
    return figure


@figures.styled
def _classes_over_time(result: VideoPredictions) -> "Figure":
    figure = figures.new_figure(7.0, 3.9)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2.2, 1))
    for unit, name in enumerate(result.classes):
        _plot(above, result, unit, label=figures.shorten(name))
    _format(above, result)
    above.set(title="Probability")
    above.legend(loc="upper right", ncols=min(len(result.classes), 4), bbox_to_anchor=(1, 1.2))
    _plot_movement(below, result)
    return figure


@figures.styled
def _units_over_time(result: VideoPredictions) -> "Figure":
    count = len(result.classes)
    figure = figures.new_figure(7.0, 1.6 + 0.55 * count)
    *rows, below = figure.subplots(count + 1, 1, sharex=True, height_ratios=(*[1] * count, 1.4))
    for unit, (axes, name) in enumerate(zip(rows, result.classes)):
        _plot(axes, result, unit)
        _format(axes, result)
        axes.axhline(PRESENT, color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_ylabel(figures.shorten(name), rotation=0, ha="right", va="center")
    rows[0].set_title("Probability of each action unit")
    _plot_movement(below, result)
    return figure


def _middle(result: VideoPredictions) -> np.ndarray:
    """[N] s: the middles of the windows."""
    return (result.start / result.fps + result.stop / result.fps) / 2


def _marker(result: VideoPredictions) -> str | None:
    return "o" if len(result.start) < 40 else None


def _plot(axes: "Axes", result: VideoPredictions, unit: int, label: str | None = None) -> None:
    """A class's probability, and its deviation as a band."""
    values, band = result.judged_probabilities[:, unit], result.std[:, unit]
    middle, color = _middle(result), CYCLE[unit % len(CYCLE)]
    axes.plot(
        middle, values, color=color, linewidth=1.8, marker=_marker(result), markersize=4,
        label=label,
    )  # fmt: skip
    low, high = np.clip(values - band, 0, 1), np.clip(values + band, 0, 1)
    axes.fill_between(middle, low, high, color=color, alpha=0.15, linewidth=0)


def _plot_movement(axes: "Axes", result: VideoPredictions) -> None:
    axes.plot(
        _middle(result), result.movement, color=INK, linewidth=1.4, marker=_marker(result),
        markersize=3,
    )  # fmt: skip
    axes.axhline(result.threshold, color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
    _shade(axes, result)
    axes.set(xlabel="seconds, middle of the window", ylabel="px")
    axes.set_ylim(
        0, 1.15 * max(result.threshold, float(np.nanmax(result.movement, initial=0)), 1e-6)
    )
    axes.set_title("Movement; shaded: no class is given")


def _format(axes: "Axes", result: VideoPredictions) -> None:
    """Probabilities from 0 to 100 %."""
    _shade(axes, result)
    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")


def _shade(axes: "Axes", result: VideoPredictions) -> None:
    """Shades the times without a class, from half a stride before to half a stride after."""
    middle = _middle(result)
    if len(middle) > 1:
        half = np.diff(middle, append=2 * middle[-1] - middle[-2]) / 2
    else:
        half = (result.stop - result.start) / result.fps / 2
    verdict = np.array([bool(each) for each in result.verdicts])
    rows = np.split(np.arange(len(middle)), np.flatnonzero(np.diff(verdict)) + 1)
    for row in rows:
        if verdict[row[0]]:
            left, right = middle[row[0]] - half[row[0]], middle[row[-1]] + half[row[-1]]
            axes.axvspan(left, right, color=LINE, alpha=0.45, linewidth=0, zorder=0)
    figures.plain(axes, "left", "bottom", grid="y")


def annotate(
    frames: Callable[[], Iterable[np.ndarray]], result: VideoPredictions, *, alpha: float
) -> Iterator[np.ndarray]:
    """The frames of a video with its predictions, the magnified face, and `header` above them.

    Args:
      frames: reads the video again, [H, W, C] uint8 each; called twice.
      result: the predictions for it.
      alpha: of `inference.magnify_face`.

    Yields:
      [H', W', 3] uint8 RGB.
    """
    window, labels = result.window_of_frame, result.labels
    corners = corners_of_frame(result.face_boxes, result.num_frames)
    values, nothing = result.judged_probabilities, np.full(len(result.classes), np.nan)
    lines = (("", nothing) if i < 0 else (labels[i], values[i]) for i in window)
    saliency = result.saliency or [None] * len(labels)
    heat = (None if i < 0 or result.verdicts[i] else saliency[i] for i in window)
    insets = magnify_face(frames(), corners, alpha=alpha)
    caption = "; ".join(result.header)
    for picture in overlay_predictions(
        frames(), lines, corners, result.classes, saliency=heat, insets=insets
    ):
        yield add_caption(picture, caption)


def overlay_predictions(
    frames: Iterable[np.ndarray],
    lines: Iterable[tuple[str, np.ndarray]],
    corners: Sequence[np.ndarray | None],
    classes: Sequence[str],
    *,
    saliency: Iterable[np.ndarray | None] = (),
    insets: Iterable[np.ndarray | None] = (),
) -> Iterator[np.ndarray]:
    """Draws the face box on each frame, and bars of the probabilities beside it.

    Args:
      frames: [H, W, C] uint8 each.
      lines: for each frame a text and probabilities [K] (NaN: no bars).
      corners: for each frame the box [4, 2] in px (x, y), or None.
      classes: K names.
      saliency: for each frame [h, w] in [0, 1], drawn over the box in red, or None.
      insets: for each frame a picture [h, w, C] uint8 shown below the bars, or None.

    Yields:
      [H', W', 3] uint8 RGB with even sides; frames under 240 rows are enlarged.
    """
    import cv2

    extras = itertools.zip_longest(saliency, insets)
    for frame, (label, values), box in zip(frames, lines, corners):
        heat, inset = next(extras, (None, None))
        scale = max(1, round(240 / len(frame)))  # for legible text
        picture = np.repeat(np.repeat(frame, scale, 0), scale, 1)
        picture = np.broadcast_to(picture, (*picture.shape[:2], 3)).copy()
        height = picture.shape[0] - picture.shape[0] % 2
        if box is not None:
            points = scale * (np.asarray(box, np.float32) + 0.5)
            if heat is not None:
                _overlay_saliency(picture, heat, points - 0.5)
            outline, thickness = np.round(points).astype(np.int32), max(1, round(2 * height / 480))
            cv2.polylines(picture, [outline], True, _COLORS[0], thickness, cv2.LINE_AA)
        panel = _panel(len(picture), label, values, classes, inset)
        out = np.concatenate([picture, panel], axis=1)
        yield out[:height, : out.shape[1] - out.shape[1] % 2]


def _panel(
    rows: int, label: str, values: np.ndarray, classes: Sequence[str], inset: np.ndarray | None
) -> np.ndarray:
    """[rows, W, 3] uint8: the label, a bar of each class, and the inset."""
    import cv2

    zoom = (rows - rows % 2) / 480
    panel = np.full((rows, round(300 * zoom), 3), 255, np.uint8)

    def write(text, left, right, row, size, color, weight=1):
        text = figures.printable(text).encode("ascii", "replace").decode()  # all that the font has
        font, thickness = cv2.FONT_HERSHEY_SIMPLEX, max(1, round(weight * zoom))
        (width, _), _ = cv2.getTextSize(text, font, 1.0, thickness)
        scale = min(size, (right - left) / max(width, 1)) * zoom
        at = round(left * zoom), round(row * zoom)
        cv2.putText(panel, text, at, font, scale, color, thickness, cv2.LINE_AA)

    write(label, 16, 290, 44, 0.85, rgb(INK), 2)
    available = 380 if inset is None else 200
    spacing = min(64, available / max(len(classes), 1))
    narrow = spacing < 22  # name and bar in one row
    size = min(0.6, 0.028 * spacing) if narrow else 0.6
    for index, (name, value) in enumerate(zip(classes, values)):
        row = 96 + spacing * index
        write(name, 16, 80 if narrow else 230, row, size, rgb(FAINT))
        edges = (84, 226, -0.55, 0.05) if narrow else (16, 284, 0.16, 0.44)
        left, right = (round(x * zoom) for x in edges[:2])
        top, bottom = (round((row + share * spacing) * zoom) for share in edges[2:])
        cv2.rectangle(panel, (left, top), (right, bottom), (230, 234, 238), -1)
        if not np.isnan(value):
            end = left + round(float(value) * (right - left))
            cv2.rectangle(panel, (left, top), (end, bottom), _COLORS[index % len(_COLORS)], -1)
            write(f"{value:4.0%}", 236, 290, row, size, rgb(INK))
    if inset is not None:
        write("magnified", 16, 290, 296, 0.6, rgb(FAINT))
        shrink = min(268 * zoom / inset.shape[1], 164 * zoom / inset.shape[0])
        small = cv2.resize(inset, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
        small = small.reshape(*small.shape[:2], -1)
        top, left = round(306 * zoom), round(16 * zoom)
        panel[top : top + len(small), left : left + small.shape[1]] = small
    return panel


def add_caption(picture: np.ndarray, text: str) -> np.ndarray:
    """[H, W, 3] uint8 with a line of text above it, as large as its width allows."""
    import cv2

    (width, height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 1.0, 1)
    scale = min(0.6, 0.96 * picture.shape[1] / max(width, 1))
    rows = 2 * round(0.8 * scale * (height + below))
    line = np.full((rows, *picture.shape[1:]), 255, np.uint8)
    at = round(0.02 * picture.shape[1]), round(0.7 * rows)
    cv2.putText(line, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, rgb(INK), 1, cv2.LINE_AA)
    return np.concatenate([line, picture])


def _overlay_saliency(picture: np.ndarray, heat: np.ndarray, corners: np.ndarray) -> None:
    """Draws `heat` [h, w] in [0, 1] in red over the rectangle `corners`, in px of `picture`."""
    import cv2

    height, width = heat.shape
    # Maps edges to edges; OpenCV's coordinates are of pixel centers.
    edges = np.array([[0, 0], [width, 0], [width, height]], np.float32) - 0.5
    transform = cv2.getAffineTransform(edges, corners[:3].astype(np.float32))
    share = (
        0.65 * cv2.warpAffine(heat.astype(np.float32), transform, picture.shape[1::-1])[..., None]
    )
    red = np.array(rgb(VERMILION), np.float32)
    picture[:] = np.round((1 - share) * picture + share * red)
