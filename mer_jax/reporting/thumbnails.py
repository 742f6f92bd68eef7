"""Pictures of clips for the report: what moves, before and after magnification."""

import collections
import json
import pathlib
from collections.abc import Iterator, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from mer_jax.clips import Clip, resize, to_float
from mer_jax.io import saving
from mer_jax.metrics.predictions import Predictions
from mer_jax.reporting import colors, figures
from mer_jax.reporting.report import Picture, mistakes
from mer_jax.video import (
    apex_index,
    difference_heatmap,
    magnify,
    optical_flow,
    optical_strain,
)

MAX_THUMBNAILS = 200  # strips: a report of more would be slow to open on a phone
_EXAMPLES = 6
_LARGEST = 128  # px of the longer side: a report needs no more, and flow costs by the pixel
_TILE = 96  # px, how high a strip is
_ALPHA = 8.0


def pictures(
    clips: Sequence[Clip], predictions: Predictions, *, cache: dict[str, bytes] | None = None
) -> list[Picture]:
    """A clip of each class that was recognised, and every one that was not.

    The first are panels, of at most six classes, each of somebody who is not shown yet as far as
    there are such. The others are strips in the order of `report.mistakes`, at most MOST. memo:
    strips by their clip's key, for the next predictions of the same clips.
    """
    cache = {} if cache is None else cache
    found = {clip.key: clip for clip in clips}
    shown = [found[key] for key in predictions.keys]  # [R]

    def picture(row: int, content: bytes, verdict: str, *, wrong: bool) -> Picture:
        clip = shown[row]
        units = f", action units {clip.action_units}" if clip.action_units else ""
        caption = f"{clip.key}: {clip.emotion}{units}; {verdict}"
        return Picture(content, caption, f"Pictures of {caption}", clip.key if wrong else "")

    classes, chances, out = predictions.classes, predictions.probabilities, []
    right = _examples(predictions)
    for row, panel in zip(right, example_figures([shown[row] for row in right])):
        verdict = f"recognised as {classes[predictions.label[row]]}"
        out.append(picture(row, panel, verdict, wrong=False))
    wrong = mistakes(predictions)[:MAX_THUMBNAILS].tolist()
    new = {shown[row].key: shown[row] for row in wrong if shown[row].key not in cache}
    cache |= zip(new, thumbnails(list(new.values())))
    for row in wrong:
        true, said = int(predictions.label[row]), int(predictions.predicted[row])
        verdict = f"{classes[true]}, taken for {classes[said]}"
        if chances[row, said] < 1:  # sets of labels have no chances of their own
            verdict += f" (p {chances[row, true]:.2f} against {chances[row, said]:.2f})"
        out.append(picture(row, cache[shown[row].key], verdict, wrong=True))
    return out


def _examples(predictions: Predictions) -> list[int]:
    subjects, taken, out = predictions.subjects, collections.Counter[str](), list[int]()
    for k in range(len(predictions.classes)):
        rows = np.flatnonzero(predictions.correct & (predictions.label == k)).tolist()
        if rows and len(out) < _EXAMPLES:
            out.append(min(rows, key=lambda row: (taken[subjects[row]], row)))
            taken[subjects[out[-1]]] += 1
    return out


def example_figures(clips: Sequence[Clip]) -> list[bytes]:
    """One PNG a clip: onset, apex, magnified apex, difference map, flow and strain.

    A pre-computed map shows its three channels.
    """
    if clips and clips[0].content == "flow":
        return [figures.png(figures.map_panel(clip.frames[0])) for clip in clips]
    return [figures.png(figures.clip_panel(**look), dpi=110) for look in _looks(clips)]


def thumbnails(clips: Sequence[Clip]) -> list[bytes]:
    """One WebP a clip, 96 px high: the same pictures side by side, without words."""
    if clips and clips[0].content == "flow":
        return [_strip(_map_tiles(to_float(clip.frames[0]))) for clip in clips]
    return [_strip(_tiles(**look)) for look in _looks(clips)]


def _looks(clips: Sequence[Clip]) -> Iterator[Mapping[str, np.ndarray]]:
    """What `figures.clip_panel` shows of each clip; all in the first one's size, few of lengths.

    Else every clip of a database that cuts its clips one by one would be compiled for.
    """
    size = None
    for clip in clips:
        frames = to_float(clip.frames)
        if size is None:
            shrink = min(1.0, _LARGEST / max(frames.shape[1:3]))
            size = tuple(max(1, round(side * shrink)) for side in frames.shape[1:3])
        frames, length = resize(frames, size), len(frames)
        longer = np.minimum(np.arange(2 ** int(np.ceil(np.log2(length)))), length - 1)
        apex = -1 if clip.apex is None else clip.apex
        look = _moments(frames[longer], length, clip.onset, apex)
        yield jax.device_get(look | _motion(look["onset"], look["apex"]))


@jax.jit
def _moments(frames, length, onset, apex):
    moved = magnify(frames, alpha=_ALPHA)
    apex = jnp.where(apex >= 0, apex, apex_index(moved, length=length))
    return {
        "onset": frames[onset],
        "apex": frames[apex],
        "magnified": moved[apex],
        "difference": difference_heatmap(moved, length=length),
    }


@jax.jit  # by itself: it takes longest to compile, and does so once for clips of all lengths
def _motion(onset, apex):
    flow = optical_flow(onset, apex, preset="tv_l1")
    return {"flow": flow, "strain": optical_strain(flow)}


def _tiles(*, onset, apex, magnified, difference, flow, strain) -> list[np.ndarray]:
    # One wild pixel would bleach the rest: full colour is a little below the largest, and rounding
    # (under 1e-4 px or of [0, 1]) never gets there.
    top = lambda values: max(float(np.quantile(values, 0.995)), 1e-4)
    reach = top(np.linalg.norm(flow, axis=-1))
    faces = [np.clip(frame, 0, 1) for frame in (onset, apex, magnified)]
    # The root, so that what moves little is seen beside a blink.
    heat = lambda values: _colorize(np.sqrt(np.clip(values / top(values), 0, 1)), "magma")
    wheel = colors.flow_to_rgb(flow, largest=reach)
    return [*faces, heat(difference), wheel, heat(strain)]


def _map_tiles(picture: np.ndarray) -> list[np.ndarray]:
    looks = zip(np.moveaxis(picture, -1, 0), ("RdBu_r", "RdBu_r", "magma"))
    return [_colorize(channel, look) for channel, look in looks]


def _colorize(values: np.ndarray, look: str) -> np.ndarray:
    """[H, W] in [0, 1] -> [H, W, 3]."""
    from matplotlib import colormaps

    return colormaps[look](values)[..., :3]


def _strip(tiles: Sequence[np.ndarray]) -> bytes:
    """tiles: [H, W, 1 or 3] in [0, 1]."""
    import cv2

    parts = []
    for tile in tiles:
        tile = np.broadcast_to(tile, (*tile.shape[:2], 3)).astype(np.float32)
        width = max(1, round(_TILE * tile.shape[1] / tile.shape[0]))
        parts += [resize(tile[None], (_TILE, width))[0], np.full((_TILE, 2, 3), 0.5, np.float32)]
    picture = np.round(255 * np.concatenate(parts[:-1], axis=1)).astype(np.uint8)
    _, data = cv2.imencode(".webp", picture[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, 80])
    return data.tobytes()


def write(workdir: str | pathlib.Path, pictures: Sequence[Picture]) -> None:
    """Writes the pictures and pictures/pictures.json, from which the report takes them."""
    folder = pathlib.Path(workdir) / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    index = []
    for number, picture in enumerate(pictures, 1):
        name = f"clip{number:03d}.{picture.kind}"
        saving.write(folder / name, picture.content)
        index.append(
            {"file": name, "caption": picture.caption, "alt": picture.alt, "clip": picture.clip}
        )
    saving.write(folder / "pictures.json", json.dumps(index, indent=1))
