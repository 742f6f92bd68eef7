"""Pictures and films from outside: read as what they are, or refused by a sentence with the file's
name; never half a picture, never another exception."""

import pathlib
import random
import struct
import zlib

import cv2
import numpy as np
import pytest

from mer_jax.datasets import folders, video_source
from mer_jax.errors import UserError
from tests.io.test_video_files import encode

SIZE = (40, 48)


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """[H, W, 3] uint8 RGB, smooth, so that JPEG keeps it."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    return np.stack([2 * x + 40, 3 * y + 20, x + y], -1).astype(np.uint8)


def encoded(suffix: str, frame: np.ndarray, *options: int) -> bytes:
    done, data = cv2.imencode(suffix, frame[..., ::-1] if frame.ndim == 3 else frame, options)
    assert done
    return data.tobytes()


def refused(path: pathlib.Path) -> str:
    with pytest.raises(UserError) as told:
        folders.read_image(path)
    assert path.name in str(told.value)
    return str(told.value)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_become_eight(tmp_path, picture, suffix):
    path = tmp_path / f"deep{suffix}"
    path.write_bytes(encoded(suffix, picture.astype(np.uint16) * 257))
    np.testing.assert_array_equal(folders.read_image(path), picture)


def test_cmyk_becomes_rgb(tmp_path, picture):
    image = pytest.importorskip("PIL.Image")
    path = tmp_path / "press.jpg"
    image.fromarray(picture).convert("CMYK").save(path, quality=95)
    assert np.abs(folders.read_image(path).astype(int) - picture).mean() < 4


def test_transparency_and_grey(tmp_path, picture):
    path = tmp_path / "a.png"
    done, data = cv2.imencode(".png", np.dstack([picture[..., ::-1], picture[..., 0]]))
    path.write_bytes(data.tobytes())
    assert done and folders.read_image(path).shape == (*SIZE, 3)
    path.write_bytes(encoded(".png", picture[..., 1]))
    gray = folders.read_image(path, gray=True)
    np.testing.assert_array_equal(gray[..., 0], picture[..., 1])
    assert folders.read_image(path).shape == (*SIZE, 3)


@pytest.mark.parametrize(("named", "is_a"), [(".jpg", ".png"), (".png", ".jpg"), (".bmp", ".tif")])
def test_a_wrong_extension_does_no_harm(tmp_path, picture, named, is_a):
    path = tmp_path / f"a{named}"
    path.write_bytes(encoded(is_a, picture))
    assert np.abs(folders.read_image(path).astype(int) - picture).mean() < 4


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".tif"])
def test_what_is_cut_short_is_no_half_picture(tmp_path, picture, suffix):
    path, whole = tmp_path / f"a{suffix}", encoded(suffix, picture)
    for share in (0, 0.1, 0.4, 0.7, 0.95):
        path.write_bytes(whole[: int(share * len(whole))])
        assert "is empty" in refused(path) or share


def chunk(kind: bytes, data: bytes) -> bytes:
    check = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)


def test_animations_and_pages_are_not_one_frame(tmp_path, picture):
    png = encoded(".png", picture)
    (tmp_path / "moving.png").write_bytes(
        png[:33] + chunk(b"acTL", struct.pack(">II", 2, 0)) + png[33:]
    )
    done, pages = cv2.imencodemulti(".tiff", [picture, picture])
    (tmp_path / "pages.tiff").write_bytes(pages.tobytes())
    for name in ("moving.png", "pages.tiff"):
        assert "more than one picture" in refused(tmp_path / name)
    (tmp_path / "a.png").write_bytes(b"GIF89a" + bytes(60))
    assert done and "is not a JPEG, PNG, BMP, TIFF or WebP" in refused(tmp_path / "a.png")


def test_a_bomb_is_not_set_off(tmp_path):
    """A few hundred bytes that say they are 60000 x 60000."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + head + body)
    assert "too large" in refused(tmp_path / "bomb.png")
    header = struct.pack(
        "<2sIHHIIiiHHIIiiII", b"BM", 200, 0, 0, 54, 40, 60000, 60000, 1, 24, *[0] * 6
    )
    (tmp_path / "bomb.bmp").write_bytes(header + bytes(200))
    assert "too large" in refused(tmp_path / "bomb.bmp")


def sized(jpeg: bytes, height: int, width: int) -> bytes:
    """The same data under another size."""
    kind = b"\xff\xc2" if b"\xff\xc2" in jpeg else b"\xff\xc0"
    at = jpeg.index(kind) + 5
    return jpeg[:at] + struct.pack(">HH", height, width) + jpeg[at + 4 :]


@pytest.mark.parametrize("progressive", [0, 1])
def test_a_jpeg_s_size_is_read_before_it_is_decoded(tmp_path, picture, progressive, monkeypatch):
    jpeg = encoded(".jpg", picture, cv2.IMWRITE_JPEG_PROGRESSIVE, progressive)
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg)
    whole = folders.read_image(path)
    # A small picture inside of a segment, padding and stray bytes say nothing of the size.
    inside = sized(jpeg, 60000, 60000)
    segment = b"\xff\xe1" + struct.pack(">H", len(inside) + 2) + inside
    path.write_bytes(jpeg[:2] + segment + b"\xff\xff" + jpeg[2:])
    np.testing.assert_array_equal(folders.read_image(path), whole)
    monkeypatch.setattr(cv2, "imdecode", None)  # nobody gets that far
    for height, width in ((60000, 60000), (10001, 10000), (2000, 65000)):
        bomb = sized(jpeg, height, width)
        for before in (b"", segment, b"\xff\xff\xff", segment + b"\0\1", segment * 9):
            path.write_bytes(bomb[:2] + before + bomb[2:])
            assert "too large" in refused(path)
    for content in (jpeg[:2] + b"\xff\xd9", jpeg[:2] + b"\xff\xe1\0\0" * 9 + b"\xff\xd9" * 9):
        path.write_bytes(content)
        assert "no size" in refused(path)


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_tiff_s_size_is_read_before_it_is_decoded(tmp_path, order, monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", None)
    head = b"II*\0" if order == "<" else b"MM\0*"
    for kind, value in (
        (3, struct.pack(f"{order}H2x", 20000)),
        (4, struct.pack(f"{order}I", 20000)),
    ):
        entries = [struct.pack(f"{order}HHI", tag, kind, 1) + value for tag in (256, 257)]
        body = struct.pack(f"{order}IH", 8, 2) + b"".join(entries) + bytes(4)
        (tmp_path / "a.tif").write_bytes(head + body)
        assert "too large" in refused(tmp_path / "a.tif")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".tif"])
def test_noise_in_a_picture(tmp_path, picture, suffix):
    """Formats without check sums cannot tell noise from a picture; then it has the size it says."""
    draw, whole = random.Random(suffix), encoded(suffix, picture)
    path = tmp_path / f"a{suffix}"
    for _ in range(60):
        content = bytearray(whole)
        for _ in range(draw.randint(1, 5)):
            content[draw.randrange(len(content))] = draw.randrange(256)
        path.write_bytes(content)
        try:
            found = folders.read_image(path)
        except UserError as error:
            assert path.name in str(error)
        else:
            assert found.dtype == np.uint8 and found.ndim == 3 and found.shape[-1] == 3


@pytest.fixture(scope="module")
def film(tmp_path_factory, picture) -> bytes:
    path = tmp_path_factory.mktemp("film") / "film.avi"
    frames = [np.roll(picture, shift, 1) for shift in range(12)]
    return encode(path, "mjpeg", "yuvj420p", frames).read_bytes()


def taken(path: pathlib.Path) -> tuple[int, str]:
    """(frames, what was said against it)."""
    try:
        found = video_source.open_video(path, fps=25)
        count = sum(frame.dtype == np.uint8 and frame.ndim == 3 for frame in found.frames())
    except UserError as error:
        assert path.name in str(error)
        return 0, str(error)
    return count, " ".join(found.notes)


def test_films(tmp_path, film, picture):
    path = tmp_path / "me.avi"
    path.write_bytes(film)
    assert taken(path) == (12, "")
    for content in (b"", b"\0" * 100, b"<html>sign in</html>", film[:100]):
        path.write_bytes(content)
        count, said = taken(path)
        assert not count and said
    path.write_bytes(film[: len(film) // 2])  # half a film says that it is half a film
    count, said = taken(path)
    assert count < 12 and said
    wrong = tmp_path / "film.jpg"
    wrong.write_bytes(film)
    assert "is not a JPEG" in taken(wrong)[1]


def test_noise_in_a_film(tmp_path, film):
    draw, path = random.Random(0), tmp_path / "me.avi"
    for _ in range(40):
        content = bytearray(film)
        for _ in range(draw.randint(1, 20)):
            content[draw.randrange(len(content))] = draw.randrange(256)
        path.write_bytes(content)
        count, said = taken(path)
        assert count or said
