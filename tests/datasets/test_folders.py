"""Order, damage and reading of frames."""

import cv2
import numpy as np
import pytest

from mer_jax.clips import Clip, in_memory
from mer_jax.datasets import folders
from mer_jax.datasets.folders import FolderLayout, Frames
from mer_jax.errors import UserError
from tests.datasets import replica

LAYOUT = FolderLayout(("Cropped",), r"(^|/)(?P<subject>s\d)/(?P<name>c\d)$")


def fill(folder, names, size=(6, 5)):
    for k, name in enumerate(names):
        replica.save(folder / name, np.full((*size, 3), 10 * k, np.uint8))


def test_numbers_decide_the_order(tmp_path):
    fill(tmp_path / "s1" / "c1", ["img9.png", "img100.png", "img10.png"])
    found, notes = folders.scan(tmp_path, LAYOUT)
    assert not found[0].problems and not notes
    assert found[0].numbers == (9, 10, 100)
    frames = Frames("k", found[0].files)()
    assert frames.shape == (3, 6, 5, 3) and frames[:, 0, 0, 0].tolist() == [0, 20, 10]


def test_clutter_is_passed_over_and_the_rest_is_named(tmp_path):
    clip = tmp_path / "s1" / "c1"
    fill(clip, ["img1.png", "img2.png"])
    for name in ("Thumbs.db", ".DS_Store", "._img1.png", "readme.txt"):
        (clip / name).write_bytes(b"x")
    fill(tmp_path / "loose", ["a1.png"])
    (tmp_path / "s2").mkdir()
    found, notes = folders.scan(tmp_path, LAYOUT)
    assert not found[0].problems and found[0].numbers == (1, 2)
    assert sorted(note.where.rsplit("/", 1)[1] for note in notes) == ["loose", "readme.txt", "s2"]


def test_names_that_do_not_say_the_order(tmp_path):
    fill(tmp_path / "s1" / "c1", ["img1.png", "img2.png", "img02.png", "best.png"])
    problems = folders.scan(tmp_path, LAYOUT)[0][0].problems
    assert len(problems) == 2
    assert "no frame number" in problems[0].what and "has the frame number of" in problems[1].what


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp"])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 0.99])
def test_damage_without_decoding(tmp_path, suffix, share):
    path = tmp_path / f"a1{suffix}"
    replica.save(path, np.random.default_rng(0).integers(0, 255, (40, 30, 3), np.uint8))
    assert folders.damage(path) == ""
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    assert folders.damage(path)


def test_a_text_that_calls_itself_an_image(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_text("<html>not found</html>")
    assert "is not a JPEG" in folders.damage(path)
    with pytest.raises(UserError, match=r"a\.jpg: cannot be read as an image"):
        folders.read_image(path)
    with pytest.raises(UserError, match="cannot be read"):
        folders.read_image(tmp_path / "absent.jpg")


def test_two_sizes_in_one_clip(tmp_path):
    fill(tmp_path, ["a1.png"])
    fill(tmp_path, ["a2.png"], size=(7, 5))
    with pytest.raises(UserError, match=r"x/y/z: .*a2\.png is 7 x 5 where a1\.png is 6 x 5"):
        Frames("x/y/z", (tmp_path / "a1.png", tmp_path / "a2.png"))()


def test_colour_order_and_grey(tmp_path):
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), np.uint8([[[3, 2, 1]]]))  # OpenCV writes B, G, R
    assert folders.read_image(path).tolist() == [[[1, 2, 3]]]
    assert folders.read_image(path, gray=True).shape == (1, 1, 1)


def test_a_jpeg_without_a_block_of_the_disk_is_refused(tmp_path):
    """OpenCV and Pillow paint the rest of it in wrong colors, and say nothing."""
    y, x = np.mgrid[:240, :320]
    wave = 120 + 100 * np.sin(x / 9) * np.cos(y / 7)
    picture = np.clip(wave + np.random.default_rng(0).normal(0, 9, wave.shape), 0, 255)
    path = tmp_path / "a.jpg"
    cv2.imwrite(str(path), picture.astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 90])
    whole = folders.read_image(path, gray=True)
    content = bytearray(path.read_bytes())
    content[8192:12288] = bytes(4096)
    path.write_bytes(content)
    assert np.abs(cv2.imread(str(path), 0) - whole[..., 0].astype(int)).max() > 50
    with pytest.raises(UserError, match=r"a\.jpg: cannot be read as an image"):
        folders.read_image(path)


def test_a_jpeg_of_one_color_is_zeros_and_is_read(tmp_path):
    path = tmp_path / "a.jpg"
    flat = np.zeros((1200, 1600), np.uint8)
    cv2.imwrite(str(path), flat, [cv2.IMWRITE_JPEG_OPTIMIZE, 1])
    assert bytes(256) in path.read_bytes()
    assert not folders.read_image(path, gray=True).any()


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_twelve_bits_in_sixteen_are_refused(tmp_path, suffix):
    ramp = np.linspace(0, 1, 64)[None].repeat(48, 0)
    path = tmp_path / f"a{suffix}"
    cv2.imwrite(str(path), (ramp * 65535).astype(np.uint16))
    assert folders.read_image(path).max() == 255
    cv2.imwrite(str(path), (ramp * 4095).astype(np.uint16))
    with pytest.raises(UserError, match="16 bits a pixel and no value above 4095, of which 16"):
        folders.read_image(path)
    cv2.imwrite(str(path), (ramp * 9).astype(np.uint8))  # a dark picture
    assert folders.read_image(path).max() == 9


def test_length_reads_nothing(tmp_path):
    files = tuple(tmp_path / f"{k}.png" for k in range(4))  # not there
    on_disk = Clip(database="a", subject="b", name="c", read=Frames("k", files), emotion="fear")
    held = Clip(
        database="a", subject="b", name="c", read=in_memory(np.zeros((3, 2, 2, 1))), emotion=""
    )
    assert folders.length(on_disk) == 4 and folders.length(held) == 3


def found_in(root, *kinds):
    """(kind, folder, other folders) that `folders.choose` finds, folders relative to `root`."""
    layouts = {"cropped": LAYOUT, "raw": LAYOUT._replace(folder_names=("RAW_selected", "RAW"))}
    found = folders.choose(root, layouts, kinds or list(layouts))
    others = [path.relative_to(root).as_posix() for _, path in found.alternatives] if found else []
    return found and (found.kind, found.top.relative_to(root).as_posix(), others)


def test_choose_looks_below_and_at_the_root(tmp_path):
    clips = tmp_path / "CASME2" / "preprocessed" / "CROPPED" / "s1" / "c1"
    clips.mkdir(parents=True)
    assert found_in(tmp_path) == ("cropped", "CASME2/preprocessed/CROPPED", [])
    assert found_in(clips.parents[1]) == ("cropped", ".", [])
    for root in (tmp_path / "own", tmp_path / "own" / "s1"):
        (tmp_path / "own" / "s1" / "c1").mkdir(parents=True, exist_ok=True)
        assert found_in(root) == ("cropped", ".", [])
    (tmp_path / "empty").mkdir()
    assert found_in(tmp_path / "empty") is None


def test_one_rule_chooses_among_folders(tmp_path):
    """The first kind that has clips, by the order of its names, nearest first."""
    for path in ("RAW/s1/c1", "RAW_selected/s1/c1", "b/Cropped"):
        (tmp_path / path).mkdir(parents=True)
    assert found_in(tmp_path) == ("raw", "RAW_selected", ["RAW"])  # that Cropped is empty
    assert found_in(tmp_path, "cropped") is None  # raw frames are no cropped ones
    assert found_in(tmp_path / "RAW", "cropped") is None
    (tmp_path / "b/Cropped/s1/c1").mkdir(parents=True)
    (tmp_path / "a/Cropped/s1/c1").mkdir(parents=True)
    assert found_in(tmp_path) == ("cropped", "a/Cropped", ["b/Cropped", "RAW_selected", "RAW"])
    assert found_in(tmp_path, "raw")[:2] == ("raw", "RAW_selected")
    (tmp_path / "Cropped/s1/c1").mkdir(parents=True)
    assert found_in(tmp_path)[1] == "Cropped"
    inside = folders.scan(tmp_path, LAYOUT, exclude=frozenset({"raw", "rawselected"}))[0]
    assert len(inside) == 3  # no clip of another kind
