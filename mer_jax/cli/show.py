"""Draws the preprocessing of one clip: magnification, differences, RPCA, flow and strain.

    mer-jax show me.mp4                             writes me.png
    mer-jax show synthetic:3 --out=clip.gif         a rendered clip, moving
    mer-jax show frames/ --onset=12 --apex=30 --span=100:180

CLIP is a video file, a folder with one image a frame (in the order of the numbers in their names),
or synthetic:INDEX, one of the rendered clips that need no data. The picture shows the onset; the
apex, as filmed and with its motion magnified; the difference to the first frame over all frames,
and the pixels with most of it; the sparse part of RPCA; the flow from onset to apex, with the wheel
of its colors; its strain; and two curves of the face's motion over time. The apex is that of --apex
or of the rendered clip ("given"), or else the frame that differs most from the first ("found").
"""

import itertools
import pathlib
import sys
from typing import Any

import numpy as np
from absl import flags

from mer_jax import runtime
from mer_jax.cli.command import command
from mer_jax.clips import Clip, in_memory, resize, to_float
from mer_jax.errors import UserError

_OUT = flags.DEFINE_string("out", None, "The file to write, .png or .gif; CLIP's name by default.")
_ONSET = flags.DEFINE_integer("onset", None, "The frame before the movement, counted from 0.")
_APEX = flags.DEFINE_integer("apex", None, "The frame of the strongest movement.")
_SPAN = flags.DEFINE_string("span", None, "START:STOP, the frames to look at, of a longer video.")
_ALPHA = flags.DEFINE_float("alpha", 8.0, "How strongly motion is magnified.", lower_bound=0)
_SHARE = flags.DEFINE_float("mask_fraction", 0.3, "Which part of the pixels the mask keeps.")
_SIZE = flags.DEFINE_integer("size", 160, "px of the longer side, to which frames are shrunk.", 10)
_FACE = flags.DEFINE_bool("face", False, "Detect the face and crop it first.")
_LANDMARKS = flags.DEFINE_string("landmarks", None, "A landmark model to crop the face by.")
_FPS = flags.DEFINE_float("fps", None, "Frames a second, where the file does not say it.")

_MOST = 400  # frames, all of them in memory
_SLOW = 150  # frames, from which on the user is warned


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

    face: cropped by the eyes of the first of them, before they are shrunk. model: the file of a
    landmark model that finds them.
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
    clip = Clip("footage", "", source.name, in_memory(np.stack(frames)), emotion="")
    try:
        landmarker = faces.landmarker(model) if model else None
        found, note = faces.crop_face(clip, faces.CropConfig("eyes"), landmarker=landmarker)
    except UserError as error:
        raise UserError(f"{source.name}: {error}") from None
    if note:
        print(f"note: {note}", file=sys.stderr)
    return np.stack([small(frame) for frame in found.frames])


def show(source: str) -> pathlib.Path:
    """Writes the picture that the flags ask for; where it is."""
    from mer_jax.datasets import video_source
    from mer_jax.io import saving
    from mer_jax.reporting import figures, preview

    name = pathlib.Path(source.replace(":", "_").rstrip("/")).with_suffix(".png").name
    out = pathlib.Path(_OUT.value or name)
    if out.suffix not in (".png", ".gif"):
        raise UserError(f"--out={out}: the picture is a .png or a .gif")
    source = video_source.open_video(source, fps=_FPS.value)
    start, stop = span(_SPAN.value)
    model = _LANDMARKS.value
    face = _FACE.value or model is not None
    frames = read(source, start, stop, size=_SIZE.value, face=face, model=model)
    if len(frames) > _SLOW:
        hint = "RPCA of so many takes a minute or more; --span=START:STOP chooses some"
        print(f"note: {len(frames)} frames; {hint}", file=sys.stderr)
    marks: dict[str, Any] = {"onset": 0, "apex": None}
    if source.rendered and not start:
        apex = source.rendered.apex
        seen = apex is not None and apex < len(frames)
        marks = {"onset": source.rendered.onset, "apex": apex if seen else None}
    for mark, flag in (("onset", _ONSET), ("apex", _APEX)):
        if flag.value is not None:
            marks[mark] = flag.value - start
    moving = out.suffix == ".gif"
    looks = preview.preview_clip(
        frames,
        fps=source.fps,
        alpha=_ALPHA.value,
        mask_fraction=_SHARE.value,
        every=moving,
        **marks,
    )
    for note in source.notes:
        print(f"note: {note}", file=sys.stderr)
    picture = preview.animation(looks) if moving else figures.png(preview.plot_preview(looks))
    return saving.write(out, picture)


@command
def main(argv: list[str]) -> None:
    """Shows the clip that `argv` names."""
    runtime.enable_compile_cache()
    if len(argv) != 2:
        raise UserError("name one clip: a video, a folder of frames, or synthetic:INDEX")
    print(show(argv[1]))
