"""Pictures of clips for the report: what moves, before and after magnification."""

import collections
import json
import pathlib
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from mer_jax.clips import Clip, stack
from mer_jax.evaluation import figures, files
from mer_jax.evaluation.predictions import Predictions
from mer_jax.evaluation.report import Picture
from mer_jax.video import (
    apex_index,
    difference_heatmap,
    magnify,
    optical_flow,
    optical_strain,
)

_LARGEST = 128  # px of the longer side: a report needs no more, and flow costs by the pixel
_ALPHA = 8.0


def pictures(
    clips: Sequence[Clip], predictions: Predictions, *, right: int = 1, wrong: int = 5
) -> list[Picture]:
    """Pictures of `right` clips that were recognised in each class and `wrong` others.

    Each time the next clip of somebody who is not shown yet is taken, as far as there are such.
    """
    found = {clip.key: clip for clip in clips}
    persons, shown = predictions.persons, collections.Counter()

    def take(candidates: np.ndarray, most: int) -> list[int]:
        taken: list[int] = []
        for _ in range(min(most, len(candidates))):
            row = min(set(candidates) - set(taken), key=lambda r: (shown[persons[r]], r))
            shown[persons[row]] += 1
            taken.append(row)
        return taken

    rows = []
    for k in range(len(predictions.classes)):
        rows += take(np.flatnonzero(predictions.correct & (predictions.label == k)), right)
    rows += take(np.flatnonzero(~predictions.correct), wrong)
    chosen = [found[predictions.keys[row]] for row in rows]
    panels = panels_of(chosen)
    out = []
    for row, clip, panel in zip(rows, chosen, panels):
        label, said = (
            predictions.classes[k] for k in (predictions.label[row], predictions.predicted[row])
        )
        verdict = f"recognised as {said}" if label == said else f"{label}, taken for {said}"
        units = f", action units {clip.action_units}" if clip.action_units else ""
        caption = f"{clip.key}: {clip.emotion}{units}; {verdict}"
        out.append(Picture(png=panel, caption=caption, alt=f"Panel of {caption}", clip=clip.key))
    return out


def panels_of(clips: Sequence[Clip]) -> list[bytes]:
    """One PNG a clip: onset, apex, magnified apex, difference map, flow and strain.

    A pre-computed map shows its three channels.
    """
    if not clips:
        return []
    if clips[0].content == "flow":
        return [figures.png(figures.map_panel(clip.frames[0])) for clip in clips]
    height, width = clips[0].frames.shape[1:3]
    shrink = min(1.0, _LARGEST / max(height, width))
    size = (round(height * shrink), round(width * shrink))
    batch = stack(clips, size=size)

    arrays = (batch.frames, batch.length, batch.onset, batch.apex)
    looks = [jax.device_get(_look(*(a[i] for a in arrays))) for i in range(len(clips))]
    return [figures.png(figures.clip_panel(**look), dpi=110) for look in looks]


@jax.jit
def _look(frames, length, onset, apex):
    """What `figures.clip_panel` shows of one clip. Jitted here: compiled once for all reports."""
    moved = magnify(frames, alpha=_ALPHA)
    apex = jnp.where(apex >= 0, apex, apex_index(moved, length=length))
    flow = optical_flow(frames[onset], frames[apex], preset="tv_l1")
    return {
        "onset": frames[onset],
        "apex": frames[apex],
        "magnified": moved[apex],
        "difference": difference_heatmap(moved, length=length),
        "flow": flow,
        "strain": optical_strain(flow),
    }


def write(workdir: str | pathlib.Path, pictures: Sequence[Picture]) -> None:
    """Writes pictures/*.png and pictures/pictures.json, from which the report takes them."""
    folder = pathlib.Path(workdir) / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    index = []
    for number, picture in enumerate(pictures, 1):
        name = f"clip{number:02d}.png"
        files.write(folder / name, picture.png)
        index.append(
            {"file": name, "caption": picture.caption, "alt": picture.alt, "clip": picture.clip}
        )
    files.write(folder / "pictures.json", json.dumps(index, indent=1))
