"""What is wrong with a folder, told in one list."""

import shutil

import openpyxl
import pytest

from mer_jax import datasets
from mer_jax.errors import DataError
from tests.datasets import replica

SHEET = "CASME2-coding-20190701.xlsx"


@pytest.fixture
def root(tmp_path):
    replica.write("casme2", tmp_path / "db", subjects=2, known_issues=False)
    return tmp_path / "db"


def edit(root, row, column, value):
    book = openpyxl.load_workbook(root / SHEET)
    book.active.cell(row, column).value = value
    book.save(root / SHEET)


def problems(root, **options):
    return [str(problem) for problem in datasets.inspect("casme2", root, **options).problems]


def frame(root, n=95, clip="sub01/EP01_01f"):
    return root / "Cropped" / clip / f"reg_img{n}.jpg"


def test_all_in_one_error(root):
    frame(root, 97).unlink()
    frame(root, 103, "sub01/EP01_02").write_bytes(b"")
    shutil.rmtree(root / "Cropped/sub01/EP01_3")
    shutil.rmtree(root / "Cropped/sub02")
    edit(root, 5, 9, "hapiness")
    shutil.copytree(root / "Cropped/sub01/EP01_01f", root / "Cropped/sub01/EP07_01")
    with pytest.raises(DataError) as caught:
        datasets.load("casme2", root)
    text = str(caught.value)
    for said in (
        "lacks frame(s) 97",
        "reg_img103.jpg: is empty",
        "casme2/sub01/EP01_3: CASME2-coding-20190701.xlsx, row 4 names it but it has no folder",
        "casme2/sub02: none of its 4 clips has a folder",
        "unknown emotion 'hapiness'; did you mean 'happiness'?",
        "EP07_01: has frames but no row",
    ):
        assert said in text
    assert len(caught.value.problems) == 6


def test_frames_that_were_left_out_are_noted(root):
    """Every second frame of 200 Hz is 100 Hz; the reader cannot know, but says so."""
    folder = root / "Cropped/sub01/EP01_01f"
    numbers = sorted(int(path.stem.removeprefix("reg_img")) for path in folder.iterdir())
    for number in numbers[1::2]:
        frame(root, number).unlink()
    found = datasets.inspect("casme2", root, allow_mismatch=True)
    (note,) = [str(note) for note in found.notes if "in steps of 2" in str(note)]
    assert "EP01_01f has numbers in steps of 2: if frames were left out, its rate is 1 / 2" in note


def test_a_sheet_of_another_database_is_one_problem(root, tmp_path):
    replica.write("casme3", tmp_path / "other", subjects=2, known_issues=False)
    (other,) = (tmp_path / "other").glob("*.xlsx")
    shutil.copy(other, root / SHEET)
    told = problems(root, labels=SHEET)
    assert any("one of the two is of another release or database" in line for line in told)
    assert not any("has no folder of frames" in line or "no row in" in line for line in told)


def test_a_blank_subject_is_told_once(root):
    edit(root, 3, 1, None)
    told = problems(root)
    assert any(line.endswith("row 3: the 'Subject' cell is blank") for line in told)
    assert not any("casme2//" in line for line in told)


def test_an_elsewhere_sheet_is_asked_for(root):
    (root / SHEET).unlink()
    assert any("labels=FILE names one that lies elsewhere" in line for line in problems(root))


@pytest.mark.parametrize(
    ("row", "column", "value", "said"),
    [
        (2, 4, None, "has no onset frame"),
        (2, 4, "soon", "'soon', not an integer"),
        (2, 4, 9000, "the offset frame 102 is not after the onset frame 9000"),
        (2, 4, 90, "onset frame 90 is not in"),
        (2, 5, 500, "the apex frame 500 is outside the clip's 95 to 102"),
        (2, 6, 200, "offset frame 200 is not in"),
        (2, 2, None, "the 'Filename' cell is blank"),
        (2, 1, 19, "names it but it has no folder"),
        (3, 2, "EP01_01f", "again (first in CASME2-coding-20190701.xlsx, row 2)"),
        (1, 4, "Start", "has no column 'OnsetFrame'"),
    ],
)
def test_one_bad_cell(root, row, column, value, said):
    edit(root, row, column, value)
    assert said in "\n".join(problems(root))


def test_a_clip_of_one_frame(root):
    for n in range(96, 103):
        frame(root, n).unlink()
    edit(root, 2, 5, None)
    assert "has 1 frame(s); a clip has at least 2" in "\n".join(problems(root))


def test_settle_takes_the_nearest_and_says_so(root):
    frame(root, 102).unlink()
    edit(root, 3, 5, 1)
    assert len(problems(root)) == 2
    found = datasets.inspect("casme2", root, allow_mismatch=True)
    assert not found.problems
    first, second = found.clips[:2]
    assert first.offset == 6 and len(first.frames) == 7 and second.apex is None
    assert "frame 101 replaces it" in str(found.notes)


def test_settle_does_not_invent_a_movement(root):
    for column, value in ((4, 300), (5, None), (6, 310)):
        edit(root, 2, column, value)
    (problem,) = problems(root, allow_mismatch=True)
    assert "onset frame 300 is not in" in problem and "198 frames off" in problem


def test_leave_out_is_by_key(root):
    frame(root, 97).write_bytes(b"")
    shutil.copytree(root / "Cropped/sub01/EP01_02", root / "Cropped/sub01/EP07_01")
    keys = ["casme2/sub01/EP01_01f", "casme2/sub01/EP07_01"]
    assert len(problems(root)) == 2
    assert not problems(root, exclude=keys)
    assert len(datasets.load("casme2", root, exclude=keys)) == 7
    assert "not in the database" in problems(root, exclude=[*keys, "casme2/sub01/EP1"])[0]


def test_nothing_there(tmp_path):
    assert "is no folder" in problems(tmp_path / "absent")[0]
    text = "\n".join(problems(tmp_path))
    assert "has no clips below a folder 'Cropped'" in text and "there is: nothing" in text
    assert "holds no label sheet" in text


def test_a_frame_that_breaks_after_the_check_is_named(root):
    clip = datasets.load("casme2", root)[0]
    data = frame(root).read_bytes()
    frame(root).write_bytes(data[:4] + b"\0" * (len(data) - 6) + data[-2:])
    with pytest.raises(ValueError, match=r"reg_img95\.jpg: cannot be read as an image"):
        _ = clip.frames


def test_links_are_followed_but_not_in_circles(root, tmp_path):
    (tmp_path / "link").symlink_to(root)
    (root / "Cropped" / "loop").symlink_to(root / "Cropped")
    found = datasets.inspect("casme2", tmp_path / "link", images="cropped")
    assert "is the same clip as" in str(found.problems)
    (root / "Cropped" / "loop").unlink()
    assert not datasets.inspect("casme2", tmp_path / "link").problems
