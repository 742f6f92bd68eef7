import csv
import dataclasses
import re

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn import metrics

from mer_jax.errors import DataError, UserError
from mer_jax.metrics import spotting_files
from mer_jax.metrics.prediction_files import read, write_csv, write_log
from mer_jax.metrics.predictions import Predictions
from mer_jax.metrics.scores import scores
from tests.metrics.examples import predictions, same

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


def test_classes_that_are_blank_are_told_apart(tmp_path):
    column = np.array(["0"], object)
    record = Predictions(
        ("\r", "\x0c"), *[column] * 4, np.array([1]), np.array([[0.25, 0.75]], np.float32)
    )
    write_csv(tmp_path / "predictions.csv", record)
    same(read(tmp_path / "predictions.csv"), record)


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
    # `1 0` after the clip 2 is a clip that lacks a number, not the database 1.
    assume(not any(letter.isdigit() for name in record.database for letter in name))
    path = tmp_path_factory.mktemp("log") / "megc_log.txt"
    write_log(path, record)
    found = read(path, classes=record.classes)
    # A log groups clips by subject and knows neither folds nor probabilities.
    people = list(zip(record.database, record.subject))
    record = record.take(np.argsort([people.index(person) for person in people], kind="stable"))
    assert found.keys == record.keys
    np.testing.assert_array_equal(found.label, record.label)
    np.testing.assert_array_equal(found.predicted, record.predicted)


def test_an_encoded_blank_is_no_number(tmp_path):
    path = tmp_path / "log.txt"
    path.write_text(": 0\n%20 0 0\n%20 0\n0 0 0\n")  # a clip and a database named by a blank
    assert read(path, classes=("a",)).keys == [":/0/ ", " /0/0"]


def test_log_has_the_challenge_form_and_numbers(tmp_path):
    record = predictions(clips=4, classes=("surprise", "negative", "positive"))
    path = write_log(tmp_path / "megc_log.txt", record)
    lines = path.read_text().splitlines()
    assert lines[0] == f"{record.database[0]} {record.subject[0]}"
    number = {"negative": 0, "positive": 1, "surprise": 2}
    true, predicted = (record.classes[v[0]] for v in (record.label, record.predicted))
    assert lines[1] == f"{record.clip[0]} {number[true]} {number[predicted]}"
    found = read(path)
    assert found.classes == ("negative", "positive", "surprise")
    text = {
        key: (record.classes[t], record.classes[s])
        for key, t, s in zip(record.keys, record.label, record.predicted)
    }
    assert text == {
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
        assert len(names) == len(set(record.subjects))
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
    ("content", "text"),
    [
        (b"a,b\n1,2\n", "no column database, subject, clip, label, predicted"),
        (b"", "no clip"),
        (b"database,subject,clip,label,predicted\n", "no clip"),
        (b"\xff\xfe,\n", "not UTF-8"),
    ],
)
def test_no_predictions_file(tmp_path, content, text):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(UserError, match=text):
        read(path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nothing\.csv"):
        read(tmp_path / "nothing.csv")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"label": np.array([3] * 60)}, "outside 0..2"),
        ({"label": np.zeros(4, int)}, "label has shape"),
        ({"classes": ("a", "a", "b")}, "same name"),
        ({"probabilities": np.full((60, 3), np.nan)}, "NaN or infinite"),
    ],
)
def test_record_checks_itself(change, text):
    with pytest.raises(UserError, match=text):
        dataclasses.replace(predictions(), **change)


def test_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = write_csv(tmp_path / "predictions.csv", predictions(clips=3))
    before = path.read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(UserError, match=r"predictions\.csv: cannot be written \(full\)"):
        write_csv(path, predictions(clips=5))
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


# Nobody has class c and nobody is taken for it: of nine clips four and three are right.
TRUE, PREDICTED = list("aaaaabbbb"), list("aaaabbbba")


def table(path, *, true=TRUE, predicted=PREDICTED, delimiter=",", heads="", cells=""):
    rows = [delimiter.join(["database", "subject", "clip", "label", "predicted"]) + heads]
    for clip, pair in enumerate(zip(true, predicted)):
        rows.append(delimiter.join(["d", f"s{clip % 3}", str(clip), *pair]) + cells)
    path.write_text("\n".join(rows) + "\n")
    return path


def assert_as_scikit_learn(found, true, predicted, classes):
    every = dict(labels=classes, average="macro", zero_division=0.0)
    result = scores(found.confusion())
    assert result["uf1"] == pytest.approx(metrics.f1_score(true, predicted, **every), abs=1e-12)
    occurring = sorted(set(true))
    recall = metrics.recall_score(true, predicted, labels=occurring, average="macro")
    assert result["uar"] == pytest.approx(recall, abs=1e-12)


def test_the_class_set_of_a_csv(tmp_path):
    """From what is given, from the p_ columns, from both columns: each with its remark."""
    path = table(tmp_path / "a.csv")
    found = read(path)
    assert found.classes == ("a", "b") and "columns label and predicted" in found.remarks[0]
    assert_as_scikit_learn(found, TRUE, PREDICTED, ["a", "b"])
    given = read(path, classes=("c", "b", "a"))
    assert given.classes == ("c", "b", "a") and given.remarks == ("classes as given",)
    assert_as_scikit_learn(given, TRUE, PREDICTED, ["c", "b", "a"])
    headed = read(
        table(tmp_path / "p.csv", predicted=["b"] * 9, heads=",p_a,p_b,p_c", cells=",0,1,0")
    )
    assert headed.classes == ("a", "b", "c") and "p_ columns" in headed.remarks[0]
    assert_as_scikit_learn(headed, TRUE, ["b"] * 9, ["a", "b", "c"])
    more = read(tmp_path / "p.csv", classes=("d", "C", "b", "a"))
    assert more.classes == ("d", "C", "b", "a") and more.predicted.tolist() == [2] * 9
    np.testing.assert_array_equal(more.probabilities[0], [0, 0, 1, 0])


def test_a_csv_and_a_log_of_the_same_clips_have_the_same_classes(tmp_path):
    """MEGC 2019's three, though nobody is surprised: UF1 of three, as the log has it."""
    names = {"a": "negative", "b": "positive"}
    true, predicted = ([names[c] for c in column] for column in (TRUE, PREDICTED))
    csv_ = read(table(tmp_path / "a.csv", true=true, predicted=predicted))
    lines = [
        f"{clip} {'ab'.index(t)} {'ab'.index(s)}\n"
        for clip, (t, s) in enumerate(zip(TRUE, PREDICTED))
    ]
    (tmp_path / "log.txt").write_text("d s0\n" + "".join(lines))
    log = read(tmp_path / "log.txt")
    for found in (csv_, log):
        assert found.classes == ("negative", "positive", "surprise")
        assert "MEGC 2019" in found.remarks[0]
        assert_as_scikit_learn(found, true, predicted, list(found.classes))


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_delimiters_blanks_and_case(tmp_path, delimiter):
    true = ["Happy", " happy", "SAD ", "sad"]
    predicted = ["happy ", "HAPPY", "Sad", "Happy"]
    path = table(tmp_path / "a.csv", true=true, predicted=predicted, delimiter=delimiter)
    path.write_text(path.read_text().replace(f"label{delimiter}", f" Label {delimiter}"))
    found = read(path)
    assert found.classes == ("Happy", "SAD")
    assert found.label.tolist() == [0, 0, 1, 1] and found.predicted.tolist() == [0, 0, 1, 0]
    given = read(path, classes=("sad", "happy"))
    assert given.label.tolist() == [1, 1, 0, 0] and given.classes == ("sad", "happy")


def test_decimal_commas_where_commas_do_not_separate(tmp_path):
    path = table(
        tmp_path / "a.csv", delimiter=";", predicted=["b"] * 9, heads=";p_a;p_b", cells=";0,25;0,75"
    )
    np.testing.assert_array_equal(read(path).probabilities[0], np.float32([0.25, 0.75]))


@pytest.mark.parametrize(
    ("heads", "cells", "classes", "text"),
    [
        (",p_a,p_A", ",1,0", None, "class 'b' is not one of: a, A"),
        (",p_b,p_B", ",1,0", None, "class 'a' is not one of: b, B"),
        (",p_a,p_b", ",1,0", ("a", "c"), "p_b of line 1 is not one"),
        (",p_a,p_A", ",1,0", ("a", "b"), "p_a of line 1 is not one"),
        (",p_a,p_a", ",1,0", None, "two columns 'p_a'"),
        (",LABEL", ",a", None, "two columns 'label'"),
        ("", "", ("b", "c"), "class 'a' is not one of: b, c"),
        ("", "", ("a", "b", "a"), "have the same name"),
    ],
)
def test_classes_that_do_not_fit_are_refused(tmp_path, heads, cells, classes, text):
    path = table(tmp_path / "a.csv", heads=heads, cells=cells)
    with pytest.raises(UserError, match=text):
        read(path, classes=classes)


def test_a_number_beyond_the_classes_given_is_no_name_among_them(tmp_path):
    (tmp_path / "log.txt").write_text("d s\nx 5 0\n")
    with pytest.raises(UserError, match="class 5 is beyond the 2 classes 5, 6"):
        read(tmp_path / "log.txt", classes=("5", "6"))


# As a training script prints it, with what it says between: 12 clips of three subjects.
PRINTED = """lr=0.000050, epochs=800, device=cpu

Subject: 006
Predicted    : [0, 0, 2, 1]
Ground Truth : [0, 0, 2, 2]
Evaluation until this subject:
UF1: 0.5556 | UAR: nan
Subject: s01
Predicted    : [1, 1, 0]
Ground Truth : [1, 1, 1]
Evaluation until this subject:
UF1: 0.6222 | UAR: 0.7222
Subject: sub17
Predicted    : [0, 0, 2, 2, 0]
Ground Truth : [0, 1, 2, 0, 0]
Final Evaluation:
Total Time Taken: 1.5
"""


def test_what_a_training_script_prints(tmp_path):
    path = tmp_path / "stdout.txt"
    path.write_text(PRINTED)
    found = read(path)
    true, predicted = [0, 0, 2, 2, 1, 1, 1, 0, 1, 2, 0, 0], [0, 0, 2, 1, 1, 1, 0, 0, 0, 2, 2, 0]
    assert found.label.tolist() == true and found.predicted.tolist() == predicted
    assert found.classes == ("negative", "positive", "surprise")
    assert list(dict.fromkeys(found.fold)) == ["log/006", "log/s01", "log/sub17"]
    assert len(set(found.keys)) == 12
    # Each class against the rest, as these scripts count; means over the three.
    each = [([t == k for t in true], [s == k for s in predicted]) for k in range(3)]
    result = scores(found.confusion())
    f1 = [metrics.f1_score(*pair) for pair in each]
    assert result["uf1"] == pytest.approx(np.mean(f1), abs=1e-12)
    recall = [metrics.recall_score(*pair) for pair in each]
    assert result["uar"] == pytest.approx(np.mean(recall), abs=1e-12)


def test_of_two_answers_the_last_epoch_counts(tmp_path):
    path = tmp_path / "stdout.txt"
    both = PRINTED.replace("Ground", "Best Predicted    : [2, 2, 2, 2]\nGround", 1)
    path.write_text(both)
    assert read(path).predicted.tolist()[:4] == [0, 0, 2, 1] and len(read(path).remarks) == 1
    path.write_text(PRINTED.replace("Predicted    ", "Best Predicted    "))
    assert read(path).predicted.tolist()[:4] == [0, 0, 2, 1]
    assert "Best Predicted" in read(path).remarks[1]


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("[0, 0, 2, 1]", "[0, 0, 2]", "line 3: 3 predictions of 4 clips of subject '006'"),
        ("[0, 0, 2, 1]", "[0, 0, 2, -1]", "line 4: `Predicted` is no list"),
        ("[0, 0, 2, 1]", "[0, 0, 2, 1.5]", "line 4: `Predicted` is no list"),
        ("[0, 0, 2, 1]", "[" + "1" * 9000 + "]", "line 4: `Predicted` is no list"),
        ("Ground Truth : [1, 1, 1]", "", "line 8: subject 's01' has no line `Ground Truth`"),
        ("Subject: 006", "", "line 4: `Predicted` before the first line `Subject:`"),
        ("Subject: s01", "", "line 9: a second line `Predicted` of this subject"),
    ],
)
def test_what_is_wrong_with_a_printed_log(tmp_path, old, new, text):
    path = tmp_path / "stdout.txt"
    path.write_text(PRINTED.replace(old, new, 1))
    with pytest.raises(DataError, match=re.escape(text)):
        read(path)


def test_ten_problems_of_a_kind_and_a_count(tmp_path):
    path = tmp_path / "log.txt"
    path.write_text("d s\n" + "no clip at all\n" * 205 + "x 0 1\n" * 3 + "y 0 0 0\nno clips\n")
    path.write_text("a 0 0\n" * 3 + path.read_text())
    with pytest.raises(DataError) as error:
        read(path)
    lines = str(error.value).splitlines()
    assert len(error.value.problems) == 209 and lines[0].endswith("209 problem(s):")
    assert len(lines) == 1 + 3 + 10 + 1 and lines[-1].startswith(
        "  and 196 more of this kind: is neither"
    )


def test_class_numbers_of_a_spreadsheet(tmp_path):
    """1.0 is 1, and a row without a cell is none."""
    path = tmp_path / "theirs.csv"
    head = "database;subject;clip;label;predicted\n"
    path.write_text(head + "d;1;a;0.0;0\nd;1;b;1.0;1\nd;1;c;2.;1\n;;;;\n")
    found = read(path)
    assert found.classes == ("0", "1", "2")
    assert found.label.tolist() == [0, 1, 2] and found.predicted.tolist() == [0, 1, 1]
    assert read(path, classes=("0", "1", "2")).label.tolist() == [0, 1, 2]
    path.write_text(head.replace("\n", ";p_1.0;p_2.0\n") + "d;1;a;1.0;2.0;.1;.9\n")
    assert read(path).classes == ("1.0", "2.0")


def test_a_clip_without_its_prediction_is_no_subject(tmp_path):
    path = tmp_path / "log.txt"
    path.write_text("mine 1\nhappy 0 1\nmine 2\nsad 1 1\ns1 7\ns2 1 1\ns1 8\ns2 0 0\n")
    assert list(dict.fromkeys(read(path).subjects)) == ["mine/1", "mine/2", "s1/7", "s1/8"]
    path.write_text("samm 006\n006_1_2 0 1\n006_1_3 0\ncasme2 17\nEP02_01f 1 1\nEP02_04 1\n")
    with pytest.raises(DataError) as error:
        read(path)
    text = str(error.value)
    assert "line 3: has one number after the clip '006_1_3', not two" in text
    assert (
        "line 6: has one number after the clip 'EP02_04', not two" in text and "line 4" not in text
    )


def test_instants_beside_predictions_are_further_columns(tmp_path):
    path = tmp_path / "sheet.csv"
    path.write_text("database,subject,clip,onset,offset,label,predicted\nd,1,a,5,9,x,y\n")
    assert read(path).classes == ("x", "y") and not spotting_files.is_table(path)
    path.write_text("vid,pred_onset,pred_offset\na,5,9\n")
    with pytest.raises(UserError, match="holds spotted intervals; mer-jax score compares them"):
        read(path)


HEAD = "database,subject,clip,label,predicted"


def test_blanks_around_the_cells_of_others_are_none_of_theirs(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(f'{HEAD}\nd,s1,1,"positive", "negative"\nd, s1,2 ,negative,"negative"\n')
    found = read(path)
    assert found.classes == ("negative", "positive", "surprise")
    assert found.keys == ["d/s1/1", "d/s1/2"] and len(set(found.fold)) == 1


def test_a_letter_has_one_form(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(f"{HEAD}\nd,s,1,joie\u0301,joi\u00e9\nd,s,2,triste,triste\n")
    assert read(path).confusion().tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ("d,s,1,a,a\nd,s,2,nan,nan", "line 3: class '' is not one of"),
        ("d,s,1,negative,0\nd,s,2,positive,1", "have no class in common, and one of them has"),
    ],
)
def test_classes_that_are_none_are_refused(tmp_path, rows, text):
    path = tmp_path / "a.csv"
    path.write_text(f"{HEAD}\n{rows}\n")
    with pytest.raises(UserError, match=text):
        read(path)


def test_the_largest_of_many_digits_stays_the_largest(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(f"{HEAD},p_a,p_b\nd,s,1,b,b,.49999999999,.50000000001\n")
    assert read(path).predicted.tolist() == [1]
    path.write_text(f"{HEAD},p_a,p_b\nd,s,1,b,b,0,1e39\n")
    with pytest.raises(UserError, match="not a finite number"):
        read(path)
