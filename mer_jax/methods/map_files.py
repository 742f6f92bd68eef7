"""Flow maps of your own frames in the form of the public ones, and a comparison with stored maps.

    maps = make(clips)                          # [N, 28, 28, 3] uint8: u, v, strain
    write("maps", clips, labels, maps)          # database "flow_maps" reads it back
    compare(datasets.load("flow_maps", "maps"), datasets.load("flow_maps", "stored"))

The form is that of STSTNet's inputs (Liong et al., FG 2019) as public repositories hold them: TV-L1
flow from onset to apex of the cropped face, its optical strain, all averaged down to 28 x 28, each
channel of each map stretched from its own minimum and maximum to 0 and 255. Zero motion has no
fixed gray level. The channels are red, green and blue of a PNG.
"""

import collections
import dataclasses
import os
import pathlib
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mer_jax.clips import Clip, in_memory, resize, to_float
from mer_jax.errors import UserError
from mer_jax.io import reading, saving
from mer_jax.keys import normalize_key
from mer_jax.methods import preprocessing
from mer_jax.methods.flow_maps import CHANNELS, flow_maps
from mer_jax.options import checked

_CHUNK = 32  # clips of one call, so that there is one compilation


@checked
def make(
    clips: Sequence[Clip],
    *,
    size: Sequence[int] = (28, 28),
    frame_size: Sequence[int] = (128, 128),
    preset: str = "tv_l1",
    apex: str = "given",
) -> np.ndarray:
    """The maps of `clips`, [N, H, W, 3] uint8: u (along W), v (along H), strain.

    Args:
      clips: videos of cropped faces; one is in memory at a time.
      size: (H, W) of a map.
      frame_size: (H, W) px that frames are resized to before the flow is computed.
      preset: of `video.optical_flow`.
      apex: as in `preprocessing.choose_apex` (of SMIC none is annotated).

    Raises `UserError` for a clip whose content is "flow".
    """
    pairs = []
    for clip in clips:
        if clip.content != "video":
            raise UserError(f"{clip.key}: is a flow map already; maps are made from frames")
        frames = resize(clip.frames, frame_size)
        index = preprocessing.choose_apex(clip, frames, apex=apex)
        ends = in_memory(frames[[clip.onset, index]])
        pairs.append(dataclasses.replace(clip, read=ends, onset=0, apex=1, offset=1))
    maps = np.zeros((len(clips), *size, 3), np.uint8)
    count = min(_CHUNK, len(pairs)) or 1
    for start in range(0, len(pairs), count):
        chunk = pairs[start : start + count]
        filled = chunk + chunk[-1:] * (count - len(chunk))
        inputs = flow_maps(filled, size=tuple(size), preset=preset, apex="given").inputs
        maps[start : start + count] = stretch(np.asarray(inputs)[: len(chunk)])
    return maps


def stretch(maps: np.ndarray) -> np.ndarray:
    """[..., H, W, C] uint8: each channel from its own minimum to its maximum; 0 where it is flat.

    >>> stretch(np.array([[[-1.0], [0.0]], [[1.0], [3.0]]]))[..., 0]
    array([[  0,  64],
           [128, 255]], dtype=uint8)
    """
    low, high = maps.min((-3, -2), keepdims=True), maps.max((-3, -2), keepdims=True)
    span = np.where(high > low, high - low, 1)
    return np.round((maps - low) / span * 255).astype(np.uint8)


def write(
    root: str | os.PathLike, clips: Sequence[Clip], labels: Sequence[str], maps: np.ndarray
) -> pathlib.Path:
    """Writes maps [N, H, W, 3] uint8 as PNG, and index.csv; returns the index.

    labels: of each clip, members of `datasets.flow_maps.LABELS`.
    """
    root, rows = reading.expanded(root), [("database", "subject", "clip", "label", "file")]
    stems = [
        re.sub(r"[^\w.-]", "-", f"{clip.database}_{clip.subject}_{clip.name}") for clip in clips
    ]
    times = collections.Counter(stem.lower() for stem in stems)  # as some systems name files
    for clip, stem, label, each in zip(clips, stems, labels, maps, strict=True):
        own = "_" + saving.digest(clip.key)[:8] if times[stem.lower()] > 1 else ""
        file = f"maps/{stem}{own}.png"
        saving.write_png(root / file, each)
        rows.append((clip.database, clip.subject, clip.name, label, file))
    return saving.write(root / "index.csv", saving.csv_text(rows))


class Comparison(NamedTuple):
    """How far maps are from others of the same clips; of each channel, in the order of CHANNELS."""

    keys: tuple[str, ...]  # [N] clips that both have
    only_first: int
    only_second: int
    correlation: np.ndarray  # [N, 3] Pearson's, of a map with the other of its clip
    chance: np.ndarray  # [N, 3] mean correlation with the others' maps of other clips
    difference: np.ndarray  # [N, 3] mean absolute difference, gray levels of 0..255

    def text(self) -> str:
        """A table for a terminal: medians over the clips, then the clips that differ most."""
        lines = [
            f"{len(self.keys)} clips in both; {self.only_first} only in the first, "
            f"{self.only_second} only in the second",
            f"{'median of':10}{'correlation':>13}{'other clips':>13}{'difference':>12}",
        ]
        for at, name in enumerate(CHANNELS):
            cells = (self.correlation[:, at], self.chance[:, at], self.difference[:, at])
            values = [float(np.median(cell)) if len(cell) else float("nan") for cell in cells]
            lines.append(f"{name:10}{values[0]:13.3f}{values[1]:13.3f}{values[2]:12.1f}")
        order = np.argsort(self.correlation.mean(-1))[:5]
        lines += [f"  {self.keys[at]}: {self.correlation[at].mean():.3f}" for at in order]
        return "\n".join(lines)


def compare(first: Sequence[Clip], second: Sequence[Clip]) -> Comparison:
    """Compares two sets of stored maps, clips of content "flow", by their keys.

    Case and leading zeros of keys do not count. A flat channel has correlation 0.

    Raises `UserError` where the maps differ in size, or no clip is in both.
    """
    sides = [{normalize_key(clip.key): clip for clip in side} for side in (first, second)]
    both = [key for key in sides[0] if key in sides[1]]
    if not both:
        raise UserError(
            f"no clip is in both sets of maps, e.g. {next(iter(sides[0]), 'none')} and "
            f"{next(iter(sides[1]), 'none')}"
        )
    levels = lambda clip: to_float(clip.frames[0]) * 255
    arrays: Any = [np.stack([levels(side[key]) for key in both]) for side in sides]
    if arrays[0].shape != arrays[1].shape:
        raise UserError(
            f"the maps are {arrays[0].shape[1:3]} and {arrays[1].shape[1:3]} px; make them of one "
            "size"
        )
    flat = [array.reshape(len(both), -1, array.shape[-1]).astype(np.float64) for array in arrays]
    centered = [array - array.mean(1, keepdims=True) for array in flat]
    norms = [np.sqrt((array**2).sum(1, keepdims=True)) for array in centered]
    units = [array / np.where(norm > 0, norm, 1) for array, norm in zip(centered, norms)]
    table = np.einsum("npc,mpc->nmc", *units)
    own = np.einsum("nnc->nc", table)
    return Comparison(
        keys=tuple(sides[0][key].key for key in both),
        only_first=len(sides[0]) - len(both),
        only_second=len(sides[1]) - len(both),
        correlation=own,
        chance=(table.sum(1) - own) / max(1, len(both) - 1),
        difference=np.abs(flat[0] - flat[1]).mean(1),
    )
