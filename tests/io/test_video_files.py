"""Video files of many kinds, encoded here by FFmpeg, against the pictures that went into them."""

import contextlib
import fractions
import importlib
import importlib.util
import io
import shutil
import subprocess

import av
import numpy as np
import pytest

from mer_jax.errors import UserError
from mer_jax.io import video_files

SIZE = (48, 64)


def pictures(size=SIZE, count=8) -> list[np.ndarray]:
    """[H, W, 3] uint8 RGB each: smooth, so that codecs and 4:2:0 keep them, and moving."""
    y, x = np.mgrid[: size[0], : size[1]] * [[[SIZE[0] / size[0]]], [[SIZE[1] / size[1]]]]
    return [
        np.stack(
            [2 * x + 40 + 3 * t, 3 * y + 20, 127 + 60 * np.sin((x + y) / 20 + t / 3)], -1
        ).astype(np.uint8)
        for t in range(count)
    ]


def encode(path, codec, pixels, frames, *, times=None, options=None, rate=25, setup=None):
    """Encodes RGB frames; `times` are whole ms."""
    with av.open(str(path), "w") as container:
        try:
            stream = container.add_stream(codec, rate=rate, options=options or {})
        except (ValueError, av.FFmpegError):
            pytest.skip(f"this FFmpeg has no encoder {codec}")
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pixels
        if times:
            stream.codec_context.time_base = fractions.Fraction(1, 1000)
        if setup:
            setup(stream)
        for number, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, "rgb24")
            picture = picture.reformat(format=pixels, interpolation=video_files._interpolation())
            if times:
                picture.pts, picture.time_base = times[number], fractions.Fraction(1, 1000)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


INTERLACED = {"flags": "+ildct+ilme"}
KINDS = {  # file, encoder, pixel format, options, mean distance allowed (levels)
    "ffv1": ("a.mkv", "ffv1", "bgr0", {}, 0),
    "ffv1 10 bits": ("a.mkv", "ffv1", "gbrp10le", {}, 0.6),
    "ffv1 4:4:4": ("a.mkv", "ffv1", "yuv444p", {}, 1),
    "huffyuv": ("a.avi", "huffyuv", "rgb24", {}, 0),
    "png": ("a.mov", "png", "rgb24", {}, 0),
    "h264 rgb": ("a.mp4", "libx264rgb", "rgb24", {"crf": "0"}, 0),
    "h264": ("a.mp4", "libx264", "yuv420p", {"crf": "10"}, 2),
    "h264 4:4:4": ("a.mp4", "libx264", "yuv444p", {"crf": "4"}, 1.5),
    "h264 10 bits": ("a.mkv", "libx264", "yuv420p10le", {"crf": "10"}, 2),
    "h264 interlaced": ("a.mp4", "libx264", "yuv420p", {"crf": "10", "x264-params": "tff=1"}, 2),
    "hevc 10 bits": ("a.mp4", "libx265", "yuv420p10le", {"x265-params": "crf=8:log-level=0"}, 2),
    "vp9": ("a.webm", "libvpx-vp9", "yuv420p", {"crf": "10", "b": "0"}, 2),
    "av1": ("a.mp4", "libsvtav1", "yuv420p", {"crf": "12"}, 2.5),
    "mjpeg": ("a.avi", "mjpeg", "yuvj420p", {"qmin": "1", "qmax": "2"}, 2),
    "mpeg2 interlaced": ("a.mpg", "mpeg2video", "yuv420p", {**INTERLACED, "b": "9000000"}, 2.5),
    "mpeg4": ("a.avi", "mpeg4", "yuv420p", {"b": "9000000"}, 2.5),
    "prores": ("a.mov", "prores_ks", "yuv422p10le", {}, 2),
    "apng": ("a.apng", "apng", "rgb24", {}, 0),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_decoded_is_what_was_encoded(tmp_path, kind):
    name, codec, pixels, options, allowed = KINDS[kind]
    frames = pictures()
    path = encode(tmp_path / name, codec, pixels, frames, options=options)
    notes = []
    found = list(video_files.decode(path, notes=notes))
    assert notes == (["the video is interlaced: moving edges are combed"] * ("interl" in kind))
    assert len(found) == len(frames)
    for number, ((time, frame), expected) in enumerate(zip(found, frames)):
        assert time == pytest.approx(number / 25, abs=6e-4)
        assert frame.dtype == np.uint8 and frame.flags.c_contiguous
        distance = np.abs(frame.astype(int) - expected)
        assert distance.mean() <= allowed and distance.max() <= 12 * allowed
    header = video_files.timestamps(path)
    np.testing.assert_allclose(header.times, [time for time, _ in found], atol=1e-6)
    assert header.rate == pytest.approx(25, rel=1e-3)


def ffmpeg_command() -> str | None:
    """FFmpeg's own program: the installed one, or that of the package imageio-ffmpeg."""
    with contextlib.suppress(ImportError, RuntimeError):  # RuntimeError: it has no program
        return importlib.import_module("imageio_ffmpeg").get_ffmpeg_exe()
    return shutil.which("ffmpeg")


@pytest.mark.skipif(not ffmpeg_command(), reason="there is no ffmpeg command")
@pytest.mark.parametrize("kind", KINDS)
def test_pixels_are_those_of_the_ffmpeg_command(tmp_path, kind):
    """Chroma that no flag locates may lie half a pixel aside; the luma says nothing of that."""
    name, codec, pixels, options, _ = KINDS[kind]
    path = encode(tmp_path / name, codec, pixels, pictures(), options=options)
    flags = "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"
    command = [ffmpeg_command(), "-v", "error", "-i", str(path), "-vf"]
    command += [f"scale=interl=-1:flags={flags}", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    data = subprocess.run(command, capture_output=True, check=True).stdout
    expected = np.frombuffer(data, np.uint8).reshape(-1, *SIZE, 3)
    found = np.stack([frame for _, frame in video_files.decode(path)])
    assert found.shape == expected.shape
    distance = found.astype(int) - expected
    assert np.abs(distance).mean() < 0.8 and np.abs(distance).max() <= 6
    luma = np.abs(distance @ [0.299, 0.587, 0.114])
    assert luma.mean() < 0.3 and luma.max() <= 1.5


def test_dv_of_which_the_size_is_given(tmp_path):
    frames = pictures((576, 720), 2)
    path = encode(tmp_path / "a.dv", "dvvideo", "yuv420p", frames)
    (_, first), _ = video_files.decode(path)
    width = first.shape[1]  # pixels are no squares
    assert first.shape[0] == 576 and width in (720, 768, 788)
    columns = np.round((np.arange(width) + 0.5) * 720 / width - 0.5).astype(int)
    distance = np.abs(first.astype(int) - frames[0][:, columns.clip(0, 719)])
    assert distance[8:-8, 8:-8].mean() < 3


@pytest.mark.parametrize("size", [(33, 47), (34, 47), (33, 48)])
def test_odd_sides(tmp_path, size):
    frames = pictures(size, 3)
    path = encode(tmp_path / "a.mp4", "libx264", "yuv444p", frames, options={"crf": "4"})
    for (_, frame), expected in zip(video_files.decode(path), frames):
        assert frame.shape == expected.shape
        assert np.abs(frame.astype(int) - expected).mean() < 1.5


@pytest.mark.parametrize("space", ["ITU601", "ITU709"])
def test_colors_by_the_equations_of_their_standard(tmp_path, space):
    """ITU-R BT.601 and BT.709: luma weights of red and blue; 8 bits, limited range."""
    red, blue = {"ITU601": (0.299, 0.114), "ITU709": (0.2126, 0.0722)}[space]
    rgb = np.random.default_rng(0).integers(20, 236, (6, 8, 3)).astype(np.float64)
    luma = rgb @ [red, 1 - red - blue, blue]
    cb, cr = (rgb[..., 2] - luma) / (2 - 2 * blue), (rgb[..., 0] - luma) / (2 - 2 * red)
    planes = [16 + luma * 219 / 255, 128 + cb * 224 / 255, 128 + cr * 224 / 255]
    planes = np.round(np.stack(planes)).astype(np.uint8).repeat(8, 1).repeat(8, 2)
    picture = av.VideoFrame.from_ndarray(planes, "yuv444p")
    picture.colorspace = 1 if space == "ITU709" else 6
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv444p"
        stream.codec_context.colorspace = picture.colorspace
        container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    ((_, found),) = video_files.decode(tmp_path / "a.mkv")
    assert np.abs(found[4::8, 4::8] - rgb).max() <= 2.5
    assert abs((found[4::8, 4::8] - rgb).mean()) < 0.2


@pytest.mark.parametrize("mirror", [{}, {"hflip": True}, {"vflip": True}])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_turned_and_mirrored_as_the_file_says(tmp_path, degrees, mirror):
    frames = pictures((32, 48), 2)
    turn = lambda stream: stream.set_display_rotation(degrees, **mirror)
    path = encode(tmp_path / "a.mov", "png", "rgb24", frames, setup=turn)
    for (_, found), frame in zip(video_files.decode(path), frames):
        expected = np.rot90(frame, degrees // 90)  # counter-clockwise, then mirrored
        expected = expected[:, ::-1] if "hflip" in mirror else expected
        expected = expected[::-1] if "vflip" in mirror else expected
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("aspect,shape", [("16/11", (48, 93)), ("8/9", (54, 64))])
def test_pixels_become_squares(tmp_path, aspect, shape):
    def wide(stream):
        stream.codec_context.sample_aspect_ratio = fractions.Fraction(aspect)

    options = {"crf": "4"}
    path = encode(tmp_path / "a.mp4", "libx264", "yuv444p", pictures(), options=options, setup=wide)
    _, found = next(video_files.decode(path))
    assert found.shape == (*shape, 3)
    rows, columns = (
        np.round((np.arange(n) + 0.5) * m / n - 0.5).astype(int) for n, m in zip(shape, SIZE)
    )
    expected = pictures()[0][rows.clip(0)][:, columns.clip(0)]
    assert np.abs(found.astype(int) - expected)[2:-2, 2:-2].max() <= 6


def test_times_of_a_variable_rate(tmp_path):
    times = [0, 40, 50, 60, 260, 300, 340, 900]
    for name, codec, pixels in (("a.mkv", "ffv1", "bgr0"), ("a.mp4", "libx264", "yuv420p")):
        path = encode(tmp_path / name, codec, pixels, pictures(), times=times, rate=1000)
        np.testing.assert_allclose([1000 * t for t, _ in video_files.decode(path)], times)
        np.testing.assert_allclose(1000 * video_files.timestamps(path).times, times)


def test_a_title_in_another_encoding_than_utf8(tmp_path):
    def title(stream):
        stream.container.metadata["title"] = "Versuch"

    path = encode(tmp_path / "a.avi", "ffv1", "bgr0", pictures(), setup=title)
    spoiled = path.read_bytes().replace(b"Versuch", "Prüfung".encode("latin-1"))
    assert b"Pr\xfc" in spoiled
    path.write_bytes(spoiled)
    frames = [frame for _, frame in video_files.decode(path)]
    np.testing.assert_array_equal(frames, pictures())


def test_an_animated_gif(tmp_path):
    image = pytest.importorskip("PIL.Image")
    flat = [np.full((20, 31, 3), 40 * t, np.uint8) for t in range(5)]
    first, *others = map(image.fromarray, flat)
    path, shown = tmp_path / "a.gif", [100, 100, 400, 100, 100]
    first.save(path, save_all=True, append_images=others, duration=shown, loop=0)
    found = list(video_files.decode(path))
    np.testing.assert_allclose([t for t, _ in found], np.cumsum([0, *shown[:-1]]) / 1000)
    np.testing.assert_array_equal([frame for _, frame in found], flat)


@pytest.mark.parametrize("suffix", [".avi", ".mkv", ".mov"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_frames_with_exif(tmp_path, suffix, orientation):
    """Motion JPEG of cameras that describe each frame; Pillow turns the single pictures."""
    image, ops = pytest.importorskip("PIL.Image"), pytest.importorskip("PIL.ImageOps")
    exif = image.Exif()
    exif[0x0112] = orientation
    stored = []
    for frame in pictures(count=3):
        file = io.BytesIO()
        image.fromarray(frame).save(file, "JPEG", quality=98, subsampling=0, exif=exif)
        stored.append(file.getvalue())
    with av.open(str(tmp_path / f"a{suffix}"), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.height, stream.width, stream.pix_fmt = (*pictures()[0].shape[:2], "yuvj444p")
        for at, content in enumerate(stored):
            packet = av.Packet(content)
            packet.stream, packet.pts, packet.dts = stream, at, at
            packet.time_base, packet.is_keyframe = fractions.Fraction(1, 25), True
            container.mux(packet)
    found = [frame for _, frame in video_files.decode(tmp_path / f"a{suffix}")]
    want = [np.asarray(ops.exif_transpose(image.open(io.BytesIO(each)))) for each in stored]
    assert len(found) == 3
    for one, other in zip(found, want):
        assert one.shape == other.shape and np.abs(one.astype(int) - other).mean() < 2


def damage(path, number: int) -> None:
    """Overwrites the middle of a frame's data."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        at, count = packets[number].pos + packets[number].size // 2, packets[number].size // 4
    content = path.read_bytes()
    path.write_bytes(content[:at] + bytes(count) + content[at + count :])


INTRA = ("a.avi", "mjpeg", "yuvj420p", {"qmin": "1", "qmax": "2"})
PREDICTED = {"g": "12", "sc_threshold": "1000000000", "bf": "0"}


@pytest.mark.parametrize(
    "name,codec,pixels,options,until",
    [
        (*INTRA, 6),
        ("a.avi", "mpeg4", "yuv420p", {**PREDICTED, "b": "9000000"}, 12),
        (
            "a.mp4",
            "libx264",
            "yuv420p",
            {**PREDICTED, "crf": "10", "x264-params": "scenecut=0"},
            12,
        ),
        ("a.mp4", "libx264", "yuv420p", {"g": "12", "bf": "2", "crf": "10"}, None),
        ("a.mkv", "ffv1", "yuv420p", {"g": "12", "level": "3", "slicecrc": "1"}, 12),
    ],
)
def test_a_frame_that_cannot_be_decoded_is_named(tmp_path, name, codec, pixels, options, until):
    """And nothing that is predicted from it is passed on, though FFmpeg decodes it."""
    frames = pictures(count=24)
    path = encode(tmp_path / name, codec, pixels, frames, options=options)
    whole = [frame for _, frame in video_files.decode(path)]
    damage(path, 5)
    good = []
    with pytest.raises(UserError, match="cannot be decoded, nor those") as told:
        for _, frame in video_files.decode(path):
            good.append(frame)
    np.testing.assert_array_equal(good, whole[: len(good)])
    assert f": frame {len(good)}, after {(len(good) - 1) / 25:.2f} s," in str(told.value)
    if until:
        assert len(good) == 5 and f"up to {until / 25:.2f} s" in str(told.value)


def test_frames_lost_at_the_ends_are_left_out(tmp_path):
    name, codec, pixels, options = INTRA
    path = encode(tmp_path / name, codec, pixels, pictures(count=12), options=options)
    whole, notes = [frame for _, frame in video_files.decode(path)], []
    damage(path, 11)
    found = [frame for _, frame in video_files.decode(path, notes=notes)]
    np.testing.assert_array_equal(found, whole[:11])
    assert notes == ["frame 11 and those after it cannot be decoded"]
    damage(path, 0)
    found = [frame for _, frame in video_files.decode(path, notes=notes)]
    np.testing.assert_array_equal(found, whole[1:11])
    assert notes[1] == "the first frames cannot be decoded and are left out"


def test_a_file_that_is_cut_short(tmp_path):
    frames = pictures(count=50)
    late = encode(tmp_path / "late.mp4", "libx264", "yuv420p", frames).read_bytes()
    (tmp_path / "late.mp4").write_bytes(late[: len(late) // 2])
    with pytest.raises(UserError, match=r"late\.mp4: is cut short: its index"):
        next(video_files.decode(tmp_path / "late.mp4"))
    early = video_files.write(tmp_path / "early.mp4", frames, 25).read_bytes()
    (tmp_path / "early.mp4").write_bytes(early[: (len(early) + early.index(b"mdat")) // 2])
    notes = []
    count = len(list(video_files.decode(tmp_path / "early.mp4", notes=notes)))
    assert 0 < count < 50 and notes == [f"frame {count} and those after it cannot be decoded"]
    assert video_files.timestamps(tmp_path / "early.mp4").announced == 50


def test_files_that_are_no_videos(tmp_path):
    for name, content, said in (
        ("a.mp4", b"", "is empty"),
        ("b.mp4", b"no video", "cannot be read as a video"),
        ("c.txt", b"no video\n" * 99, "holds no video"),
        ("d.avi", bytes(1000), "cannot be read as a video"),
    ):
        (tmp_path / name).write_bytes(content)
        for read in (video_files.timestamps, lambda path: next(video_files.decode(path))):
            with pytest.raises(UserError, match=f"{name}: {said}"):
                read(tmp_path / name)


@pytest.mark.parametrize("suffix,codec", [(".mp4", "h264"), (".webm", "vp9")])
def test_what_is_written_plays_in_browsers(tmp_path, suffix, codec):
    frames = pictures((33, 47), 10)
    path = video_files.write(tmp_path / f"a{suffix}", iter(frames), 29.97)
    with av.open(str(path)) as container:
        (stream,) = container.streams
        assert stream.codec_context.name == codec and stream.codec_context.pix_fmt == "yuv420p"
        assert stream.codec_context.colorspace == 1  # BT.709
        assert float(stream.average_rate) == pytest.approx(29.97, rel=1e-3)
    if suffix == ".mp4":
        data = path.read_bytes()
        assert data.index(b"moov") < data.index(b"mdat")
    found = [frame for _, frame in video_files.decode(path)]
    assert len(found) == 10 and found[0].shape == (34, 48, 3)
    for frame, expected in zip(found, frames):
        assert np.abs(frame[:33, :47].astype(int) - expected).mean() < 4


def test_an_incomplete_video_is_not_left(tmp_path):
    def torn():
        yield np.zeros((16, 16, 3), np.uint8)
        raise UserError("torn")

    for name, frames, text in (
        ("a.mp4", torn(), "torn"),
        ("a.gif", torn(), "is written as"),
        ("a.webm", iter(()), "no frames"),
    ):
        with pytest.raises(UserError, match=text):
            video_files.write(tmp_path / name, frames, 10.0)
    assert not list(tmp_path.iterdir())
