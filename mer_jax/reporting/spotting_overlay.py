"""Spotted intervals of a video: the evidence over time as a chart, and a time line on the video."""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from mer_jax.inference import magnify_face
from mer_jax.inference.spotter import SpottedVideo
from mer_jax.inference.video_predictions import corners_of_frame
from mer_jax.metrics.matching import Event
from mer_jax.recordings import Recording
from mer_jax.reporting import overlay, spotting_report
from mer_jax.reporting.colors import CYCLE, FAINT, INK, LINE, rgb
from mer_jax.spotting import Found

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PAGE = 30.0  # s of a time line
_ROWS = 36  # px of a kind's evidence in a video of 480 rows
_NAMES = 0.1  # of the width
_FADED = (190, 196, 204)


def over_time(result: SpottedVideo) -> "Figure":
    """The evidence of each kind with its intervals; shaded: those with a verdict."""
    events = [
        Event("unknown", "video", each.onset, each.offset, each.kind, database="video")
        for each in result.intervals
        if not each.verdict
    ]
    unread: Callable[[int, int], np.ndarray] = lambda start, stop: np.zeros((0, 1, 1, 1), np.uint8)
    video = Recording("video", "unknown", "video", unread, result.num_frames, result.fps)
    evidence = {(video.key, kind): values for kind, values in result.evidence.items()}
    figure = spotting_report.time_line(video, Found(events, [], evidence))
    for axes, kind in zip(figure.axes, result.evidence):
        for each in result.intervals:
            if each.kind == kind and each.verdict:
                ends = each.onset / result.fps, (each.offset + 1) / result.fps
                axes.axvspan(*ends, color=LINE, alpha=0.6, linewidth=0, zorder=0)
    figure.suptitle("\n".join(result.header), fontsize=8, x=0.01, ha="left")
    return figure


def annotate(
    frames: Callable[[], Iterable[np.ndarray]], result: SpottedVideo, *, alpha: float
) -> Iterator[np.ndarray]:
    """The frames of a video with the interval's kind, the magnified face, and a time line below.

    The time line shows the evidence of up to 30 s, the intervals (pale: those with a verdict) and
    the present moment.

    Args:
      frames: reads the video again, [H, W, C] uint8 each; called twice.
      result: the intervals in it.
      alpha: of `inference.magnify_face`.

    Yields:
      [H', W', 3] uint8 RGB.
    """
    corners = corners_of_frame(result.face_boxes, result.num_frames)
    lines = ((_label_at(result, frame), np.zeros(0)) for frame in range(result.num_frames))
    insets = magnify_face(frames(), corners, alpha=alpha)
    pictures = overlay.overlay_predictions(frames(), lines, corners, (), insets=insets)
    caption, page, strip = "; ".join(result.header), -1, np.zeros(0)
    per_page = max(2, min(round(_PAGE * result.fps), result.num_frames))
    for frame, picture in enumerate(pictures):
        if frame // per_page != page:
            page = frame // per_page
            strip = _strip(result, page * per_page, per_page, picture.shape)
        line = strip.copy()
        at = _column(strip.shape[1], frame % per_page, per_page)
        line[:, at - 1 : at + 1] = rgb(CYCLE[1])
        yield overlay.add_caption(np.concatenate([picture, line]), caption)


def _label_at(result: SpottedVideo, frame: int) -> str:
    """The kinds (and emotions) of the intervals at a frame, or their verdict."""
    found = [each for each in result.intervals if each.onset <= frame <= each.offset]
    labels = dict.fromkeys(each.label for each in found if not each.verdict)
    return "+".join(labels) or next((each.verdict for each in found), "")


def _column(width: int, frame: int, count: int) -> int:
    """The column of a frame in a time line of `count` frames, right of the names of the kinds."""
    left = round(_NAMES * width)
    return left + round(frame * (width - left) / count)


def _strip(result: SpottedVideo, start: int, count: int, shape: tuple[int, ...]) -> np.ndarray:
    """[h, W, 3] uint8: the evidence and the intervals of `count` frames from `start` on."""
    import cv2

    width = shape[1]
    rows = max(12, round(_ROWS * shape[0] / 480 / 2)) * 2
    strip = np.full((rows * len(result.evidence), width, 3), 255, np.uint8)
    for row, (kind, values) in enumerate(result.evidence.items()):
        bottom, top = (row + 1) * rows - 2, row * rows + rows // 4
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        frames = np.arange(start, min(start + count, len(values)))
        frames = frames[~np.isnan(values[frames])]
        x = [_column(width, int(frame) - start, count) for frame in frames]
        y = bottom - (values[frames] - low) / max(high - low, 1e-12) * (bottom - top)
        points = np.stack([np.array(x), y], 1).round().astype(np.int32)
        cv2.polylines(strip, [points], False, rgb(FAINT), 1, cv2.LINE_AA)
        for each in result.intervals:
            if each.kind == kind and each.offset >= start and each.onset < start + count:
                ends = [
                    _column(width, min(max(frame - start, 0), count), count)
                    for frame in (each.onset, each.offset + 1)
                ]
                color = _FADED if each.verdict else rgb(CYCLE[0])
                cv2.rectangle(strip, (ends[0], row * rows), (ends[1], top - 2), color, -1)
        size = rows / 60
        cv2.putText(
            strip, kind, (4, bottom), cv2.FONT_HERSHEY_SIMPLEX, size, rgb(INK), 1, cv2.LINE_AA
        )
    return strip
