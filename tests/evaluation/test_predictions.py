import csv
import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mer_jax.evaluation.predictions import Predictions, read, write_csv, write_log
from mer_jax.problems import DataError, UserError
from tests.evaluation.examples import predictions, same

AWKWARD = st.one_of(
    st.text(min_size=1, max_size=8),
    st.text(alphabet="=+-@'\"<>&;,|\t\r\n %#p_", min_size=1, max_size=8),
    st.sampled_from(
        ["=1+1", "'=x", "''-", "<script>alert(1)</script>", "a,b", "\n", "\ufeff", "00"]
    ),
)


@st.composite
def records(draw, names=AWKWARD):
    classes = tuple(draw(st.lists(names, min_size=1, max_size=4, unique=True)))
    count = draw(st.integers(1, 5))
    column = st.lists(names, min_size=count, max_size=count)
    chance = st.floats(0, 1, width=32)
    rows = st.lists(chance, min_size=len(classes), max_size=len(classes))
    return Predictions(
        classes,
        *(np.array(draw(column), object) for _ in range(4)),
        np.array(draw(st.lists(st.integers(0, len(classes) - 1), min_size=count, max_size=count))),
        np.array(draw(st.lists(rows, min_size=count, max_size=count)), np.float32),
    )


@given(record=records())
@settings(max_examples=150, deadline=None)
def test_csv_round_trip_with_any_names(record, tmp_path_factory):
    path = tmp_path_factory.mktemp("csv") / "predictions.csv"
    write_csv(path, record)
    same(read(path), record)
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.reader(file):
            assert not any(cell.startswith(tuple("=+-@\t\r\n")) for cell in row)


@given(record=records())
@settings(max_examples=100, deadline=None)
def test_log_round_trip_with_any_names(record, tmp_path_factory):
    path = tmp_path_factory.mktemp("log") / "megc_log.txt"
    write_log(path, record)
    found = read(path, classes=record.classes)
    # A log groups clips by subject and knows neither folds nor probabilities.
    people = list(zip(record.database, record.subject))
    record = record.take(np.argsort([people.index(person) for person in people], kind="stable"))
    assert found.keys == record.keys
    np.testing.assert_array_equal(found.label, record.label)
    np.testing.assert_array_equal(found.predicted, record.predicted)


def test_log_has_the_challenge_form_and_numbers(tmp_path):
    record = predictions(clips=4, classes=("surprise", "negative", "positive"))
    path = write_log(tmp_path / "megc_log.txt", record)
    lines = path.read_text().splitlines()
    assert lines[0] == f"{record.database[0]} {record.subject[0]}"
    number = {"negative": 0, "positive": 1, "surprise": 2}
    true, said = (record.classes[v[0]] for v in (record.label, record.predicted))
    assert lines[1] == f"{record.clip[0]} {number[true]} {number[said]}"
    found = read(path)
    assert found.classes == ("negative", "positive", "surprise")
    words = {
        key: (record.classes[t], record.classes[s])
        for key, t, s in zip(record.keys, record.label, record.predicted)
    }
    assert words == {
        key: (found.classes[t], found.classes[s])
        for key, t, s in zip(found.keys, found.label, found.predicted)
    }


def test_log_of_more_classes_keeps_their_numbers(tmp_path):
    path = tmp_path / "log.txt"
    path.write_text("casme2 sub01\nEP1 4 2\n\nEP2 0 0\n")
    found = read(path)
    assert found.classes == ("0", "1", "2", "3", "4")
    assert found.label.tolist() == [4, 0] and found.predicted.tolist() == [2, 0]


def test_minimal_csv_of_others(tmp_path):
    path = tmp_path / "theirs.csv"
    path.write_text("subject,clip,predicted,label,database,remark\n1,a,10,9,x,\n1,b,9,10,x,good\n")
    found = read(path)
    assert found.classes == ("9", "10")
    assert found.fold.tolist() == ["x/1", "x/1"]
    assert found.predicted.tolist() == [1, 0]


def test_working_directory_is_read(tmp_path):
    write_csv(tmp_path / "predictions.csv", predictions())
    same(read(tmp_path), predictions())


def test_parts():
    record = predictions()
    parts = record.by_database()
    assert list(parts) == list(dict.fromkeys(record.database))
    assert sum(map(len, parts.values())) == len(record)
    whole = sum(part.confusion() for part in parts.values())
    np.testing.assert_array_equal(whole, record.confusion())
    for names, matrices in (record.by_subject(), record.by_fold()):
        assert len(names) == len(set(record.persons))
        np.testing.assert_array_equal(matrices.sum(0), whole)


def test_all_problems_of_a_csv_in_one_list(tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text(
        "database,subject,clip,label,predicted,p_a,p_b\n"
        "d,1,x,a,a,0.9,0.1\n"
        "d,1,y,a,a,0.1,0.9\n"
        "d,1,z,c,a,0.9,0.1\n"
        "d,1,z,a\n"
        "d,1,w,a,a,nan,0.1\n"
        "d,1,w,a,a,much,0.1\n"
    )
    with pytest.raises(DataError) as error:
        read(path)
    assert [problem.where for problem in error.value.problems] == [
        "line 5",
        "line 6",
        "line 7",
        "line 3",
        "line 4",
    ]
    assert "'c' is not one of: a, b" in str(error.value)


def test_all_problems_of_a_log_in_one_list(tmp_path):
    path = tmp_path / "bad.txt"
    path.write_text("EP1 0 0\ncasme2 sub01\nEP2 0 x\nEP3 0 1 2\nEP4 1 1\n")
    with pytest.raises(DataError) as error:
        read(path)
    assert [problem.where for problem in error.value.problems] == ["line 1", "line 3", "line 4"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a,b\n1,2\n", "no column database, subject, clip, label, predicted"),
        (b"", "no clip"),
        (b"database,subject,clip,label,predicted\n", "no clip"),
        (b"\xff\xfe,\n", "not UTF-8"),
    ],
)
def test_no_predictions_file(tmp_path, content, words):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(UserError, match=words):
        read(path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nothing\.csv"):
        read(tmp_path / "nothing.csv")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"label": np.array([3] * 60)}, "outside 0..2"),
        ({"label": np.zeros(4, int)}, "label has shape"),
        ({"classes": ("a", "a", "b")}, "same name"),
        ({"probabilities": np.full((60, 3), np.nan)}, "no number"),
    ],
)
def test_record_checks_itself(change, words):
    with pytest.raises(UserError, match=words):
        dataclasses.replace(predictions(), **change)


def test_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = write_csv(tmp_path / "predictions.csv", predictions(clips=3))
    before = path.read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(UserError, match=r"predictions\.csv: cannot be written \(full\)"):
        write_csv(path, predictions(clips=5))
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
