"""Class probabilities over time: as a chart, and drawn on the video."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mer_jax.reporting import figures
from mer_jax.reporting.colors import CYCLE, FAINT, INK, LINE

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@figures.styled
def probabilities_over_time(
    start: np.ndarray,
    stop: np.ndarray,
    probabilities: np.ndarray,
    classes: Sequence[str],
    movement: np.ndarray,
    threshold: float,
    *,
    deviation: np.ndarray | None = None,
) -> "Figure":
    """Charts of probabilities and movement over a video, a point at the middle of each window.

    Args:
      start, stop: [N] s, of each window.
      probabilities: [N, K]; NaN breaks the lines and shades the window.
      classes: K names.
      movement: [N] px, NaN without a face.
      threshold: px, drawn as a dashed line.
      deviation: [N, K], half the width of a band around each line.
    """
    middle = (np.asarray(start) + np.asarray(stop)) / 2
    figure = figures.new_figure(7.0, 3.9)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2.2, 1))
    marker = "o" if len(middle) < 40 else None
    for index, (name, values) in enumerate(zip(classes, np.transpose(probabilities))):
        color = CYCLE[index % len(CYCLE)]
        above.plot(
            middle, values, color=color, linewidth=1.8, marker=marker, markersize=4,
            label=figures.shorten(name),
        )  # fmt: skip
        if deviation is not None:
            band = np.transpose(deviation)[index]
            above.fill_between(
                middle, np.clip(values - band, 0, 1), np.clip(values + band, 0, 1),
                color=color, alpha=0.15, linewidth=0,
            )  # fmt: skip
    below.plot(middle, movement, color=INK, linewidth=1.4, marker=marker, markersize=3)
    below.axhline(threshold, color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
    unpredicted = np.isnan(probabilities).any(1)
    half = np.diff(middle, append=middle[-1:] + (middle[-1:] - middle[-2:-1] if len(middle) > 1
                                                 else stop[:1] - start[:1])) / 2  # fmt: skip
    for axes in (above, below):
        for center, half_width, shaded in zip(middle, half, unpredicted):
            if shaded:
                axes.axvspan(
                    center - half_width,
                    center + half_width,
                    color=LINE,
                    alpha=0.45,
                    linewidth=0,
                    zorder=0,
                )
        axes.grid(axis="y")
        axes.spines[["left", "bottom"]].set_visible(False)
        axes.tick_params(length=0)
    above.set(ylim=(0, 1.02), title="Probability")
    above.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    below.set(xlabel="seconds, middle of the window", ylabel="px")
    below.set_ylim(0, 1.15 * max(threshold, float(np.nanmax(movement, initial=0)), 1e-6))
    below.set_title("Movement; shaded: no class is given")
    above.legend(loc="upper right", ncols=min(len(classes), 4), bbox_to_anchor=(1, 1.2))
    return figure


def overlay_predictions(
    frames: Iterable[np.ndarray],
    lines: Sequence[tuple[str, np.ndarray]],
    corners: Sequence[np.ndarray | None],
    classes: Sequence[str],
    *,
    saliency: Sequence[np.ndarray | None] = (),
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

    colors = [tuple(int(c[i : i + 2], 16) for i in (1, 3, 5)) for c in CYCLE]
    extras = itertools.zip_longest(saliency, insets)
    for frame, (labels, values), box in zip(frames, lines, corners):
        heat, inset = next(extras, (None, None))
        scale = max(1, round(240 / len(frame)))  # for legible text
        picture = np.repeat(np.repeat(frame, scale, 0), scale, 1)
        picture = np.broadcast_to(picture, (*picture.shape[:2], 3)).copy()
        height = picture.shape[0] - picture.shape[0] % 2
        zoom = height / 480
        panel = np.full((picture.shape[0], round(300 * zoom), 3), 255, np.uint8)
        thickness = max(1, round(2 * zoom))
        if box is not None:
            points = scale * (np.asarray(box, np.float32) + 0.5)
            if heat is not None:
                _overlay_saliency(picture, heat, points - 0.5)
            cv2.polylines(
                picture,
                [np.round(points).astype(np.int32)],
                True,
                colors[0],
                thickness,
                cv2.LINE_AA,
            )

        def write(text, left, row, size, color, weight=1, panel=panel, zoom=zoom):
            cv2.putText(
                panel, text, (round(left * zoom), round(row * zoom)),
                cv2.FONT_HERSHEY_SIMPLEX, size * zoom, color, max(1, round(weight * zoom)),
                cv2.LINE_AA,
            )  # fmt: skip

        write(figures.shorten(labels, longest=16), 16, 44, 0.85, (31, 41, 51), 2)
        available = 380 if inset is None else 200
        spacing = min(64, available / max(len(classes), 1))
        for index, (name, value) in enumerate(zip(classes, values)):
            row = 96 + spacing * index
            write(figures.shorten(name, longest=14), 16, row, 0.6, (102, 113, 127))
            left, right, top, bottom = (
                round(x * zoom) for x in (16, 284, row + 0.16 * spacing, row + 0.44 * spacing)
            )
            cv2.rectangle(panel, (left, top), (right, bottom), (230, 234, 238), -1)
            if not np.isnan(value):
                end = left + round(float(value) * (right - left))
                cv2.rectangle(panel, (left, top), (end, bottom), colors[index % len(colors)], -1)
                write(f"{value:4.0%}", 236, row, 0.6, (31, 41, 51))
        if inset is not None:
            write("magnified", 16, 296, 0.6, (102, 113, 127))
            shrink = min(268 * zoom / inset.shape[1], 164 * zoom / inset.shape[0])
            small = cv2.resize(inset, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
            small = small.reshape(*small.shape[:2], -1)
            top, left = round(306 * zoom), round(16 * zoom)
            panel[top : top + len(small), left : left + small.shape[1]] = small
        out = np.concatenate([picture, panel], axis=1)
        yield out[:height, : out.shape[1] - out.shape[1] % 2]


def add_caption(picture: np.ndarray, text: str) -> np.ndarray:
    """[H, W, 3] uint8 with a line of text above it, as large as its width allows."""
    import cv2

    (width, height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 1.0, 1)
    scale = min(0.6, 0.96 * picture.shape[1] / max(width, 1))
    rows = 2 * round(0.8 * scale * (height + below))
    line = np.full((rows, *picture.shape[1:]), 255, np.uint8)
    at = round(0.02 * picture.shape[1]), round(0.7 * rows)
    cv2.putText(line, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, (31, 41, 51), 1, cv2.LINE_AA)
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
    red = np.array([213, 94, 0], np.float32)  # the palette's vermilion
    picture[:] = np.round((1 - share) * picture + share * red)
