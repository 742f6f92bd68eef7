"""Maps with an index: the replica, the community's 442 where they are, and bad indices."""

import pathlib

import cv2
import numpy as np
import pytest

from mer_jax import datasets
from mer_jax.datasets import folders, labels
from mer_jax.errors import DataError
from tests.datasets import replica

MAPS = pathlib.Path(__file__).resolve().parents[3] / "shared/data/megc2019_flow_maps"


@pytest.fixture
def root(tmp_path):
    replica.write("flow_maps", tmp_path / "maps", subjects=1)
    return tmp_path / "maps"


def problems(root):
    with pytest.raises(DataError) as caught:
        datasets.load("flow_maps", root)
    return [str(problem) for problem in caught.value.problems]


def replace(root, old, new, count=1):
    index = root / "index.csv"
    index.write_text(index.read_text().replace(old, new, count))


def test_clips(root):
    clips = datasets.load("flow_maps", root)
    assert len(clips) == 9 and clips[0].key == "casme2/sub01/EP01_01"
    assert clips[0].content == "flow" and clips[0].emotion == "negative"
    assert clips[0].frames.shape == (1, 24, 20, 3) and clips[0].frames.dtype == np.uint8


def test_channels_are_u_v_strain(root):
    for clip in datasets.load("flow_maps", root):
        u, v, strain = np.moveaxis(clip.frames[0].astype(float), -1, 0)
        # the strain of a field is the same for u, v as for -u, -v, but not for v, u
        fits = []
        for a, b in ((u, v), (v, u)):
            a, b = a - np.median(a), b - np.median(b)
            (ay, ax), (by, bx) = np.gradient(a), np.gradient(b)
            found = np.sqrt(ax**2 + by**2 + 0.5 * (ay + bx) ** 2)
            fits.append(np.corrcoef(found.ravel(), strain.ravel())[0, 1])
        assert fits[0] > fits[1] - 0.1 and fits[0] > 0.5


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("maps/casme2_sub01_EP01_01.png", "/etc/passwd", "use a relative path"),
        ("maps/casme2_sub01_EP01_01.png", "../maps/x.png", "use a relative path"),
        ("maps/casme2_sub01_EP01_01.png", "C:\\\\x.png", "use a relative path"),
        ("maps/casme2_sub01_EP01_01.png", "maps/absent.png", "does not exist"),
        ("maps/casme2_sub01_EP01_01.png", "", "the 'file' cell is blank"),
        ("sub01,EP01_02", "sub01,EP01_01", "row 3: casme2/sub01/EP01_01 again (first in index.csv"),
        ("negative", "negtive", "unknown label 'negtive'; did you mean 'negative'?"),
        ("sub01", "", "the 'subject' cell is blank"),
        ("sub01", "sub/01", "the subject 'sub/01' has a \"/\""),
        ("label", "class", "has no column 'label'"),
    ],
)
def test_bad_rows(root, old, new, said):
    replace(root, old, new)
    assert said in "\n".join(problems(root))


def test_an_index_written_on_windows(root):
    maps = [clip.frames for clip in datasets.load("flow_maps", root)]
    replace(root, "maps/", "maps\\", 99)
    found = datasets.inspect("flow_maps", root)
    assert not found.problems and not found.notes
    np.testing.assert_array_equal([clip.frames for clip in found.clips], maps)


def test_bad_files(root):
    first, second, third = sorted((root / "maps").iterdir())[:3]
    first.write_bytes(first.read_bytes()[:40])
    second.write_text("no image")
    replica.save(third, np.zeros((5, 6, 3), np.uint8))
    text = "\n".join(problems(root))
    assert "is cut short" in text and "is not a JPEG" in text
    assert "the map is 5 x 6 where most are 24 x 20" in text


def test_links_stay_inside(root, tmp_path):
    outside = tmp_path / "outside.png"
    replica.save(outside, np.zeros((24, 20, 3), np.uint8))
    first = min((root / "maps").iterdir())
    first.unlink()
    first.symlink_to(outside)
    assert "is a link out of" in problems(root)[0]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty; download it again"),
        ("database,subject,é".encode("latin-1"), "not UTF-8"),
        (b"database,subject,clip,label,file\n", "not one row"),
    ],
)
def test_bad_index(root, content, said):
    (root / "index.csv").write_bytes(content)
    assert said in problems(root)[0]


def test_no_index(tmp_path):
    assert "the index of the maps must be there" in problems(tmp_path)[0]


def test_a_map_that_no_row_names(root):
    replica.save(root / "maps" / "extra.png", np.zeros((24, 20, 3), np.uint8))
    assert "is in no row" in str(datasets.inspect("flow_maps", root).notes)


@pytest.mark.skipif(not MAPS.is_dir(), reason="the 442 maps are not beside this checkout")
def test_the_442_maps():
    clips = datasets.load("flow_maps", MAPS)
    found = labels.label("megc2019", clips)
    assert np.bincount(found.labels).tolist() == [250, 109, 83] and not found.excluded
    assert len({clip.subject_key for clip in clips}) == 68
    assert {clip.frames.shape for clip in clips} == {(1, 28, 28, 3)}
    assert folders.length(clips[0]) == 1


@pytest.mark.skipif(not MAPS.is_dir(), reason="the 442 maps are not beside this checkout")
def test_the_442_maps_have_strain_in_the_last_channel():
    def fit(planes):
        u, v, strain = planes
        (uy, ux), (vy, vx) = np.gradient(u), np.gradient(v)
        found = np.sqrt(ux**2 + vy**2 + 0.5 * (uy + vx) ** 2)
        return np.corrcoef(found.ravel(), strain.ravel())[0, 1]

    maps = [np.moveaxis(c.frames[0].astype(float), -1, 0) for c in datasets.load("flow_maps", MAPS)]
    orders = {(0, 1, 2), (1, 0, 2), (0, 2, 1), (2, 0, 1), (1, 2, 0), (2, 1, 0)}
    means = {order: np.mean([fit(m[list(order)]) for m in maps[::4]]) for order in orders}
    assert max(means, key=means.get) == (0, 1, 2)


def test_a_gray_picture_is_no_map(root):
    (file,) = list((root / "maps").glob("*.png"))[:1]
    gray = np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)
    cv2.imwrite(str(file), gray)
    with pytest.raises(
        DataError, match="is gray; a map has u, v and strain as red, green and blue"
    ):
        datasets.load("flow_maps", root)
