"""Draws the preprocessing of one clip: magnification, differences, RPCA, flow and strain.

    mer-jax show CLIP [--out=FILE] [--onset=N] [--apex=N] [--span=START:STOP] ...

CLIP is a video file, a folder with one image per frame (in the order of the numbers in their
names), or synthetic:INDEX, one of the rendered clips that need no data. FILE is a .png (by default
CLIP.png) or a .gif, which moves.

Example:

    mer-jax show synthetic:3 --out=clip.gif
    mer-jax show frames --span=100:180 --onset=112 --apex=130

The picture shows the onset; the apex, as filmed and with its motion magnified; the difference to
the first frame summed over the clip, and the pixels with the largest sums; the sparse part of RPCA;
the flow from onset to apex with the color wheel as legend; its strain; and two curves of the motion
over time. The apex is the frame of --apex, else the annotated one, else the frame that differs most
from the first; its title says which.
"""

import itertools
import os
import pathlib
import sys
from typing import Any

import numpy as np
from absl import flags
from tqdm import tqdm

from mer_jax import runtime
from mer_jax.clips import Clip, in_memory, resize, to_float
from mer_jax.errors import UserError, located
from mer_jax.io import reading

_OUT = flags.DEFINE_string("out", None, "The file to write, .png or .gif; CLIP's name by default.")
_ONSET = flags.DEFINE_integer("onset", None, "The frame in which the movement begins, from 0.")
_APEX = flags.DEFINE_integer("apex", None, "The frame of the strongest movement.")
_SPAN = flags.DEFINE_string(
    "span", None, "Only frames START to STOP - 1 of a longer video, as START:STOP."
)
_ALPHA = flags.DEFINE_float("alpha", 8.0, "Magnification factor.", lower_bound=0)
_MASK_FRACTION = flags.DEFINE_float("mask_fraction", 0.3, "Share of the pixels in the mask.")
_SIZE = flags.DEFINE_integer(
    "size", 160, "Longer side of the frames in px; larger ones are shrunk.", 10
)
_FACE = flags.DEFINE_bool("face", False, "Detect the face and crop it first.")
_LANDMARKS = flags.DEFINE_string("landmarks", None, "A landmark model to crop the face by.")
_FPS = flags.DEFINE_float("fps", None, "Frame rate in Hz, if the file does not have it.")

_MOST = 400  # frames: clips of micro-expressions have fewer, and all are in memory at once
_BAR = "RPCA {percentage:3.0f}% |{bar:30}| {elapsed}"


def _advance(bar: tqdm, share: float) -> None:
    bar.update(float(share) - bar.n)


def span(given: str | None) -> tuple[int, int | None]:
    """ "100:180" -> (100, 180); an end that is left out is that of the video."""
    start, colon, stop = (given or ":").partition(":")
    try:
        if not colon:
            raise ValueError
        start, stop = int(start or 0), int(stop) if stop else None
        if start < 0 or (stop is not None and stop <= start):
            raise ValueError
    except ValueError:
        raise UserError(f"--span={given}: write START:STOP in frames, e.g. 100:180") from None
    return start, stop


def read(
    source, start: int, stop: int | None, *, size: int, face: bool, model: str | None = None
) -> np.ndarray:
    """[T, H, W, C] float32: the frames from `start` to before `stop`, shrunk to `size`.

    face: whether to crop the face, by the eyes in the first of them, before they are shrunk.
    model: the file of a landmark model that finds the eyes.
    """
    from mer_jax import faces

    def small(frame):
        shrink = min(1.0, size / max(frame.shape[:2]))
        sides = tuple(max(1, round(side * shrink)) for side in frame.shape[:2])
        return resize(to_float(frame)[None], sides)[0]

    frames: list[np.ndarray] = []
    for frame in itertools.islice(source.frames(), start, stop):
        if len(frames) == _MOST:
            raise UserError(
                f"{source.name} has more than {_MOST} frames; choose some with --span=START:STOP"
            )
        frames.append(frame if face else small(frame))
    if not frames:
        raise UserError(f"{source.name} has no frames in --span={start}:{stop or ''}")
    if not face:
        return np.stack(frames)
    clip = Clip("footage", "unknown", source.name, in_memory(np.stack(frames)), emotion="")
    with located(source.name):
        landmarker = faces.landmarker(model) if model else None
        found, note = faces.crop_face(clip, faces.CropConfig("eyes"), landmarker=landmarker)
    if note:
        print(f"note: {note}", file=sys.stderr)
    return np.stack([small(frame) for frame in found.frames])


def show(source: str) -> pathlib.Path:
    """Writes the picture that the flags ask for; returns its path."""
    from mer_jax.datasets import video_source
    from mer_jax.inference import video_list
    from mer_jax.io import saving
    from mer_jax.reporting import figures, preview

    name = pathlib.Path(os.path.abspath(source)).stem.replace(":", "_") or "clip"
    # Not among the frames, of which it would be one the next time.
    within = pathlib.Path(source).is_dir() and pathlib.Path.cwd().is_relative_to(
        pathlib.Path(source).resolve()
    )
    default = pathlib.Path(source).resolve().parent if within else pathlib.Path()
    out = reading.expanded(_OUT.value or default / f"{name}.png")
    if out.suffix not in (".png", ".gif"):
        raise UserError(f"--out={out}: the picture is a .png or a .gif")
    video_list.check_output(out, source)
    source = video_source.open_video(source, fps=_FPS.value)
    start, stop = span(_SPAN.value)
    model = _LANDMARKS.value
    face = _FACE.value or model is not None
    frames = read(source, start, stop, size=_SIZE.value, face=face, model=model)
    marks: dict[str, Any] = {"onset": 0, "apex": None}
    if source.rendered and not start:
        apex = source.rendered.apex
        is_read = apex is not None and apex < len(frames)
        marks = {"onset": source.rendered.onset, "apex": apex if is_read else None}
    for mark, flag in (("onset", _ONSET), ("apex", _APEX)):
        if flag.value is not None:
            marks[mark] = flag.value - start
    moving = out.suffix == ".gif"
    shown = sys.stderr.isatty()
    with tqdm(total=1.0, bar_format=_BAR, leave=False, disable=not shown) as bar:
        drawn = preview.preview_clip(
            frames,
            fps=source.fps,
            alpha=_ALPHA.value,
            mask_fraction=_MASK_FRACTION.value,
            every=moving,
            progress=lambda share: _advance(bar, share),
            **marks,
        )
    for note in source.notes:
        print(f"note: {note}", file=sys.stderr)
    picture = preview.animation(drawn) if moving else figures.png(preview.plot_preview(drawn))
    return saving.write(out, picture)


def main(argv: list[str]) -> None:
    """Draws the clip that `argv` names."""
    runtime.enable_compile_cache()
    if len(argv) != 2:
        raise UserError("name one clip: a video, a folder of frames, or synthetic:INDEX")
    print(show(argv[1]))
