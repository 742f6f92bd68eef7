"""DFME's three parts, their rates and their counts."""

import openpyxl
import pytest

from mer_jax import datasets
from mer_jax.datasets import labels
from mer_jax.errors import DataError, UserError
from tests.datasets import replica

HEAD = [
    *("Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Emotion", "EmotionId"),
    *("Fps", "AU"),
]


def test_each_clip_has_its_own_rate(tmp_path):
    replica.write("dfme", tmp_path, subjects=3)
    clips = datasets.load("dfme", tmp_path)
    rates = {clip.subject: clip.fps for clip in clips}
    assert rates == {"sub0001": 500.0, "sub0002": 300.0, "sub0003": 200.0}
    found = labels.label("dfme7", clips)
    assert found.classes == (
        *("anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise"),
    )
    assert len(found.clips) == 12 and found.labels.max() == 6
    assert [clip.emotion for clip in clips] == [found.classes[k] for k in found.labels]


def test_one_part_alone_and_parts_that_are_not_there(tmp_path):
    replica.write("dfme", tmp_path, subjects=3)
    assert {c.subject for c in datasets.load("dfme", tmp_path, part="test_a")} == {"sub0002"}
    with pytest.raises(UserError, match="did you mean 'test_a'"):
        datasets.load("dfme", tmp_path, part="testa")
    (tmp_path / "testB_full_with_AU.xlsx").unlink()
    assert len(datasets.load("dfme", tmp_path)) == 8
    with pytest.raises(DataError, match=r"holds no label sheet 'testB\*' of DFME"):
        datasets.load("dfme", tmp_path, part="test_b")
    (tmp_path / "testA_full_with_AU.xlsx").unlink()
    replica.write("dfme", tmp_path / "b", subjects=3)
    (tmp_path / "b/testA_full_with_AU.xlsx").rename(tmp_path / "A.xlsx")
    with pytest.raises(DataError, match=r"'testA\*' of DFME"):  # test B ends in "with_AU"
        datasets.load("dfme", tmp_path / "b", part="test_a")
    (tmp_path / "A.xlsx").rename(tmp_path / "b/testA_full_with_AU.xlsx")
    (tmp_path / "b/test_data_A").rename(tmp_path / "elsewhere")
    found = datasets.inspect("dfme", tmp_path / "b")
    assert not found.problems and len(found.clips) == 8
    notes = [note.what for note in found.notes]
    assert "none of its 4 clips is on disk; the part is left out" in notes
    published = [note for note in notes if "are published" in note]
    assert published == [f"has 4 clips where {n} are published" for n in (1856, 474, 299)]
    assert sum(found.published.values()) == 1856 + 474 + 299


@pytest.mark.parametrize(
    ("part", "fuller", "other"),
    [
        ("train", "training_full_with_AU.xlsx", "train.xlsx"),
        ("test_a", "testA_full_with_AU.xlsx", "testA.xlsx"),
        ("test_b", "test_B_full_with_AU.xlsx", "test_B.xlsx"),
    ],
)
def test_of_several_sheets_the_fuller_is_read_and_the_others_are_named(
    tmp_path, part, fuller, other
):
    replica.write("dfme", tmp_path, subjects=3)
    if part == "test_b":
        (tmp_path / "testB_full_with_AU.xlsx").rename(tmp_path / fuller)
    book = openpyxl.Workbook()
    book.active.append(HEAD)
    book.save(tmp_path / other)
    found = datasets.inspect("dfme", tmp_path, part=part)
    assert not found.problems and len(found.clips) == 4
    (sheet,) = [source for source in found.sources if source.what == f"labels of {part}"]
    assert sheet.where == str(tmp_path / fuller)
    assert sheet.alternatives == f"{other}; move the first elsewhere to read another"


def test_a_clip_in_the_sheets_of_two_parts_is_named(tmp_path):
    replica.write("dfme", tmp_path, subjects=3)
    book = openpyxl.load_workbook(tmp_path / "testA_full_with_AU.xlsx")
    book.active.append(["sub0001", "sub0001_01", 0, 3, 6, "fear", 3, 500, "4"])
    book.save(tmp_path / "testA_full_with_AU.xlsx")
    (problem,) = datasets.inspect("dfme", tmp_path).problems
    assert problem.where.startswith("testA_full_with_AU.xlsx, row")
    assert problem.what.startswith("clip sub0001_01 again (first in training_full_with_AU.xlsx")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({7: 250}, "row 2: Fps is '250'; it is one of 200, 300, 500"),
        ({1: "sub0009_01"}, "row 2: sub0009_01 has no folder of frames"),
        ({1: "sub0001_02"}, "row 3: clip sub0001_02 again"),
        ({5: "angry"}, "unknown emotion 'angry'"),
        ({4: 2, 3: 3}, "the apex frame 3 is outside the clip's 0 to 2"),
    ],
)
def test_a_wrong_row_is_named(tmp_path, change, message):
    replica.write("dfme", tmp_path, subjects=3)
    row = ["sub0001", "sub0001_01", 0, 3, 6, "anger", 0, 500, "4"]
    for at, value in change.items():
        row[at] = value
    book = openpyxl.Workbook()
    for each in (HEAD, row, ["sub0001", "sub0001_02", 0, 3, 6, "fear", 3, 500, "4"]):
        book.active.append(each)
    book.save(tmp_path / "training_full_with_AU.xlsx")
    with pytest.raises(DataError) as error:
        datasets.load("dfme", tmp_path, part="train")
    assert message in str(error.value)
