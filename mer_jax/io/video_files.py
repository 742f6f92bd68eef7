"""Video files: read and written by FFmpeg (PyAV).

times = timestamps("me.mp4").times                # [T] s
for seconds, frame in decode("me.mp4"): ...       # float, [H, W, 3] uint8 RGB
write("out.mp4", frames, 25.0)                    # H.264, which browsers play
"""

import contextlib
import fractions
import itertools
import os
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from mer_jax.errors import UserError
from mer_jax.io import saving

_CODECS = {".mp4": "libx264", ".webm": "libvpx-vp9"}
_QUALITY = {"crf": "18", "b": "0"}  # b=0: VP9 uses crf alone
# An .mp4 plays before all of it is loaded.
_OPTIONS: dict[str, dict[str, str]] = {".mp4": {"movflags": "+faststart"}, ".webm": {}}
_BT709 = 1  # the code of color space, primaries and transfer in every video format
_LIMITED = 1  # luma from 16 to 235


class Timestamps(NamedTuple):
    """When the frames of a video file are shown."""

    times: np.ndarray  # [T] float64 s, ascending from 0
    rate: float  # Hz, as the file announces it; 0 if it does not
    announced: int  # number of frames, as the file's index announces it; 0 if it does not


def timestamps(path: str | os.PathLike) -> Timestamps:
    """Reads the times of all frames from the packets of a file, without decoding them.

    Raises:
      UserError: the file holds no video that FFmpeg can open.
    """
    times: list[float | None] = []
    with _opened(path) as (container, stream):
        rate, announced, hidden = float(stream.average_rate or 0), stream.frames, 0
        with contextlib.suppress(_errors()):  # the rest is cut off; `decode` reports it
            for packet in container.demux(stream):
                if packet.size and packet.is_discard:
                    hidden += 1
                elif packet.size:
                    pts = packet.pts
                    times.append(None if pts is None else float(pts * packet.time_base))
    if None in times:
        ascending = np.arange(len(times)) / (rate or 1.0)
    else:
        ascending = np.sort(np.array(times, np.float64))
    return Timestamps(ascending - ascending[:1], rate, max(0, announced - hidden))


def decode(
    path: str | os.PathLike, *, notes: list[str] | None = None
) -> Iterator[tuple[float, np.ndarray]]:
    """Yields the frames of a video file as players show them, with their times.

    Frames are turned and mirrored by the file's metadata, have square pixels (the shorter side is
    stretched), full chroma resolution and 8 bits; transparency is left out. The fields of an
    interlaced frame stay woven.

    Args:
      notes: gets a sentence for frames lost at the beginning or the end, and for interlaced ones.

    Yields:
      (time, frame): s from the first frame; [H, W, 3] uint8 RGB.

    Raises:
      UserError: the file holds no video or none that can be decoded; a frame between good ones
        cannot be decoded, with its number; or the size changes.
    """
    notes = [] if notes is None else notes
    count, start, last, shape, lost = 0, 0.0, 0.0, None, None
    with _opened(path) as (container, stream):
        aspect = fractions.Fraction(stream.sample_aspect_ratio or 1)
        for decoded in _decoded(container, stream):
            if isinstance(decoded, float):  # the time of a frame that cannot be decoded
                lost = decoded if lost is None else min(decoded, lost)
                continue
            time = count / float(stream.average_rate or 1) if decoded.time is None else decoded.time
            if lost is not None and time >= lost:
                if not decoded.key_frame:
                    continue  # predicted from the lost frame
                if count:
                    raise UserError(
                        f"{path}: frame {count}, after {last:.2f} s, cannot be decoded, nor those "
                        f"up to {time - start:.2f} s; cut the video there"
                    )
                notes.append("the first frames cannot be decoded and are left out")
                lost = None
            if not count:
                start = time
                if decoded.interlaced_frame:
                    notes.append("the video is interlaced: moving edges are combed")
            frame = _upright(decoded, aspect)
            if shape is not None and frame.shape != shape:
                raise UserError(
                    f"{path}: frame {count} is {frame.shape[0]} x {frame.shape[1]} where the first "
                    f"is {shape[0]} x {shape[1]}; the frames of a video have one size"
                )
            shape, count, last = frame.shape, count + 1, time - start
            yield last, frame
    if not count:
        raise UserError(f"{path}: not one frame of this video can be decoded")
    if lost is not None:
        notes.append(f"frame {count} and those after it cannot be decoded")


def write(path: str | os.PathLike, frames: Iterable[np.ndarray], fps: float) -> pathlib.Path:
    """Writes [H, W, 3] uint8 RGB frames as a video that browsers play.

    .mp4 is H.264, .webm VP9, both 8 bits, 4:2:0, BT.709; an odd side grows by one pixel.

    Raises:
      UserError: for another suffix, for no frames, or where FFmpeg cannot write the file.
    """
    import av

    path = pathlib.Path(path)
    if path.suffix not in _CODECS:
        raise UserError(f"{path}: a video is written as .mp4 or .webm")
    remaining = iter(frames)
    first = next(remaining, None)
    if first is None:
        raise UserError(f"{path}: there are no frames to write")
    with saving.atomic(path) as temporary:
        try:
            with av.open(str(temporary), "w", options=_OPTIONS[path.suffix]) as container:
                stream = _stream(container, _CODECS[path.suffix], first.shape, fps)
                for frame in itertools.chain([first], remaining):
                    container.mux(stream.encode(_picture(frame)))
                container.mux(stream.encode(None))
        except av.FFmpegError as error:
            if isinstance(error, OSError):  # a full disk, no permission
                raise
            raise UserError(f"{path}: cannot be written as a video ({error})") from None
    return path


def _picture(frame: np.ndarray) -> Any:
    """[H, W, 3] uint8 RGB as a frame of even sides, 4:2:0."""
    import av

    edge = ((0, frame.shape[0] % 2), (0, frame.shape[1] % 2), (0, 0))
    picture = av.VideoFrame.from_ndarray(np.pad(frame, edge, "edge"), "rgb24")
    return picture.reformat(
        format="yuv420p", dst_colorspace="ITU709", interpolation=_interpolation()
    )


def _stream(container: Any, codec: str, shape: tuple[int, ...], fps: float) -> Any:
    rate = fractions.Fraction(fps).limit_denominator(1000)
    stream = container.add_stream(codec, rate=rate, options=_QUALITY)
    stream.height, stream.width = (side + side % 2 for side in shape[:2])
    stream.pix_fmt = "yuv420p"
    context = stream.codec_context
    context.colorspace = context.color_primaries = context.color_trc = _BT709
    context.color_range = _LIMITED
    return stream


@contextlib.contextmanager
def _opened(path: str | os.PathLike) -> Iterator[tuple[Any, Any]]:
    """(container, its video stream)."""
    import av

    path = pathlib.Path(path)
    # Titles in other encodings than UTF-8 are of no concern; PyAV 19 decodes none on opening.
    lenient: dict[str, Any] = {}
    if int(av.__version__.split(".")[0]) < 19:
        lenient["metadata_errors"] = "replace"
    try:
        container = av.open(str(path.absolute()), **lenient)
    except (av.FFmpegError, OSError):
        raise UserError(f"{path}: {_defect(path)}") from None
    with container:
        stream = container.streams.best("video")
        if stream is None or container.format.name == "tty":  # text, which FFmpeg would draw
            raise UserError(f"{path}: holds no video")
        yield container, stream


def _defect(path: pathlib.Path) -> str:
    """Why FFmpeg cannot open a file."""
    try:
        with open(path, "rb") as file:
            head = file.read(12)
    except OSError as error:
        return f"cannot be opened ({error.strerror})"
    if not head:
        return "is empty"
    if head[4:8] == b"ftyp":
        return (
            "is cut short: its index, which cameras write last, is missing; copy the file again, "
            "or repair it with a tool for broken MP4 files"
        )
    return (
        "cannot be read as a video: it is damaged or of a rare kind; copy it again, or convert it "
        "to .mp4 or to images"
    )


def _errors() -> type[Exception]:
    import av

    return av.FFmpegError


def _decoded(container: Any, stream: Any) -> Iterator[Any]:
    """The decoded frames, and the time (s) of each that cannot be decoded."""
    last = 0.0
    # An error instead of a frame with made-up parts.
    stream.codec_context.options = {"err_detect": "explode"}
    in_log = stream.codec_context.name == "ffv1"  # where alone it reports a wrong checksum
    if in_log:
        stream.codec_context.thread_count = 1  # the log is that of one thread
    try:
        for packet in container.demux(stream):
            last = last if packet.pts is None else float(packet.pts * packet.time_base)
            try:
                with _logged_errors(in_log) as log:
                    frames = packet.decode()
            except _errors():
                yield last
                continue
            damaged = any("CRC mismatch" in message for _, _, message in log)
            for frame in frames:
                yield frame.time if frame.is_corrupt or damaged else frame
    except _errors():  # of the container
        yield last


@contextlib.contextmanager
def _logged_errors(wanted: bool) -> Iterator[list[tuple[int, str, str]]]:
    """What FFmpeg logs in this thread, if wanted: (level, codec, message) each."""
    from av import logging

    if not wanted:
        yield []
        return
    level = logging.get_level()
    logging.set_level(logging.ERROR)
    try:
        with logging.Capture() as log:
            yield log
    finally:
        logging.set_level(level)


def _interpolation() -> int:
    """Exact conversion of colors; FFmpeg's default is faster and 1 to 2 levels too dark."""
    from av.video.reformatter import Interpolation as Flag

    return Flag.BICUBIC | Flag.ACCURATE_RND | Flag.FULL_CHR_H_INT | Flag.FULL_CHR_H_INP


def _upright(frame: Any, aspect: fractions.Fraction) -> np.ndarray:
    """[H, W, 3] uint8 RGB."""
    width, height = round(frame.width * max(aspect, 1)), round(frame.height / min(aspect, 1))
    out = frame.to_ndarray(
        format="rgb24", width=width, height=height, interpolation=_interpolation()
    )
    try:
        matrix = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # beside it is a kind of data that this PyAV does not know, such as EXIF
        return np.ascontiguousarray(np.rot90(out, round(frame.rotation / 90)))
    if matrix is not None:  # from (x, y) as stored to (a x + c y, b x + d y) as shown
        (a, b), (c, d) = np.frombuffer(matrix, np.int32).reshape(3, 3)[:2, :2].astype(float)
        if abs(b) > abs(a):
            a, d, out = c, b, out.swapaxes(0, 1)
        out = out[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
    return np.ascontiguousarray(out)
