"""Pictures of clips for the report: motion before and after magnification."""

import collections
from collections.abc import Iterator, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from mer_jax.clips import Clip, resize, to_float
from mer_jax.metrics.predictions import Predictions
from mer_jax.reporting import clip_figures, colors, figures
from mer_jax.reporting.report import Picture, mistakes
from mer_jax.video import apex_index, difference_heatmap, magnify, optical_flow, optical_strain

MAX_THUMBNAILS = 200  # a report with more would be slow to open on a phone
MAX_EXAMPLES = 6
_MAX_SIDE = 128  # px of the longer side: a report needs no more, and flow takes time per pixel
_HEIGHT = 96  # px of a thumbnail
_ALPHA = 8.0


def pictures(
    clips: Sequence[Clip],
    predictions: Predictions,
    *,
    max_examples: int = MAX_EXAMPLES,
    max_thumbnails: int = MAX_THUMBNAILS,
    cache: dict[str, bytes] | None = None,
) -> list[Picture]:
    """Example figures of correctly recognized clips and thumbnails of wrong ones.

    The examples are one clip per class, of different subjects as far as possible. Thumbnails are in
    the order of `report.mistakes`.

    Args:
      clips: that contain all of `predictions`.
      predictions: of R clips.
      max_examples, max_thumbnails: how many pictures of each kind, at most.
      cache: thumbnails by clip key, for further predictions of the same clips; new ones are added.
    """
    cache = {} if cache is None else cache
    clip_of = {clip.key: clip for clip in clips}
    tested = [clip_of[key] for key in predictions.keys]  # [R]

    def picture(row: int, content: bytes, outcome: str, *, wrong: bool) -> Picture:
        clip = tested[row]
        units = f", action units {clip.action_units}" if clip.action_units else ""
        caption = f"{clip.key}: {clip.emotion}{units}; {outcome}"
        return Picture(content, caption, f"Pictures of {caption}", clip.key if wrong else "")

    classes, probabilities, out = predictions.classes, predictions.probabilities, []
    right = _examples(predictions)[:max_examples]
    for row, content in zip(right, example_figures([tested[row] for row in right])):
        outcome = f"recognized as {classes[predictions.label[row]]}"
        out.append(picture(row, content, outcome, wrong=False))
    wrong = mistakes(predictions)[:max_thumbnails].tolist()
    new = {tested[row].key: tested[row] for row in wrong if tested[row].key not in cache}
    cache |= zip(new, thumbnails(list(new.values())))
    for row in wrong:
        true, predicted = int(predictions.label[row]), int(predictions.predicted[row])
        outcome = f"{classes[true]}, predicted as {classes[predicted]}"
        if probabilities[row, predicted] < 1:  # sets of labels have no probability of their own
            p_true, p_predicted = probabilities[row, [true, predicted]]
            outcome += f" (p {p_true:.2f} against {p_predicted:.2f})"
        out.append(picture(row, cache[tested[row].key], outcome, wrong=True))
    return out


def _examples(predictions: Predictions) -> list[int]:
    subjects, taken, out = predictions.subjects, collections.Counter[str](), list[int]()
    for k in range(len(predictions.classes)):
        rows = np.flatnonzero(predictions.correct & (predictions.label == k)).tolist()
        if rows:
            out.append(min(rows, key=lambda row: (taken[subjects[row]], row)))
            taken[subjects[out[-1]]] += 1
    return out


def example_figures(clips: Sequence[Clip]) -> list[bytes]:
    """One PNG a clip: onset, apex, magnified apex, difference map, flow and strain.

    A pre-computed map shows its three channels.
    """
    if clips and clips[0].content == "flow":
        return [figures.png(clip_figures.map_panel(clip.frames[0])) for clip in clips]
    return [figures.png(clip_figures.clip_panel(**maps), dpi=110) for maps in _motion_maps(clips)]


def thumbnails(clips: Sequence[Clip]) -> list[bytes]:
    """One WebP per clip, 96 px high: the same pictures side by side, without titles."""
    if clips and clips[0].content == "flow":
        return [_webp(_map_tiles(to_float(clip.frames[0]))) for clip in clips]
    return [_webp(_tiles(**maps)) for maps in _motion_maps(clips)]


def _motion_maps(clips: Sequence[Clip]) -> Iterator[Mapping[str, np.ndarray]]:
    """The arguments of `clip_figures.clip_panel` for each clip.

    All clips get the first one's size and are padded to a power of two, for few compilations. Flow
    is in px of the clip's own frames.
    """
    size = None
    for clip in clips:
        frames = to_float(clip.frames)
        if size is None:
            shrink = min(1.0, _MAX_SIDE / max(frames.shape[1:3]))
            size = tuple(max(1, round(side * shrink)) for side in frames.shape[1:3])
        height, width = frames.shape[1:3]
        frames, length = resize(frames, size), len(frames)
        padded = np.minimum(np.arange(2 ** int(np.ceil(np.log2(length)))), length - 1)
        apex = -1 if clip.apex is None else clip.apex
        maps = _magnified(frames[padded], length, clip.onset, apex)
        maps = jax.device_get(maps | _motion(maps["onset"], maps["apex"]))
        yield maps | {
            "flow": maps["flow"] * np.array([width / size[1], height / size[0]], np.float32)
        }


@jax.jit
def _magnified(frames, length, onset, apex):
    moved = magnify(frames, alpha=_ALPHA)
    apex = jnp.where(apex >= 0, apex, apex_index(moved, length=length))
    # Frames before the onset are as it is: they differ from it by nothing.
    since = moved[jnp.maximum(jnp.arange(len(moved), dtype=onset.dtype), onset)]
    return {
        "onset": frames[onset],
        "apex": frames[apex],
        "magnified": moved[apex],
        "difference": difference_heatmap(since, length=length),
    }


@jax.jit  # apart from `_magnified`: its slow compilation is shared by clips of all lengths
def _motion(onset, apex):
    flow = optical_flow(onset, apex, preset="tv_l1")
    return {"flow": flow, "strain": optical_strain(flow)}


def _tiles(*, onset, apex, magnified, difference, flow, strain) -> list[np.ndarray]:
    # Full color is at a quantile, so that an outlier does not bleach the rest, and above rounding
    # (1e-4 px or of [0, 1]).
    top = lambda values: max(float(np.quantile(values, 0.995)), 1e-4)
    largest = top(np.linalg.norm(flow, axis=-1))
    faces = [np.clip(frame, 0, 1) for frame in (onset, apex, magnified)]
    # The square root shows small motion beside a blink.
    heat = lambda values: _colorize(np.sqrt(np.clip(values / top(values), 0, 1)), "magma")
    wheel = colors.flow_to_rgb(flow, largest=largest)
    return [*faces, heat(difference), wheel, heat(strain)]


def _map_tiles(picture: np.ndarray) -> list[np.ndarray]:
    pairs = zip(np.moveaxis(picture, -1, 0), ("RdBu_r", "RdBu_r", "magma"))
    return [_colorize(channel, colormap) for channel, colormap in pairs]


def _colorize(values: np.ndarray, colormap: str) -> np.ndarray:
    """[H, W] in [0, 1] -> [H, W, 3]."""
    from matplotlib import colormaps

    return colormaps[colormap](values)[..., :3]


def _webp(tiles: Sequence[np.ndarray]) -> bytes:
    """tiles: [H, W, 1 or 3] in [0, 1]."""
    import cv2

    parts = []
    for tile in tiles:
        tile = np.broadcast_to(tile, (*tile.shape[:2], 3)).astype(np.float32)
        width = max(1, round(_HEIGHT * tile.shape[1] / tile.shape[0]))
        parts += [
            resize(tile[None], (_HEIGHT, width))[0],
            np.full((_HEIGHT, 2, 3), 0.5, np.float32),
        ]
    picture = np.round(255 * np.concatenate(parts[:-1], axis=1)).astype(np.uint8)
    _, data = cv2.imencode(".webp", picture[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, 80])
    return data.tobytes()
