import numpy as np
import pytest
from sklearn import metrics

from mer_jax.errors import UserError
from mer_jax.metrics import read, write_csv, write_log
from mer_jax.reporting.log_scores import format_scores, read_expected_clips, score_log
from tests.metrics.examples import predictions


def index(path, record, *, drop=0, change=None):
    """An index.csv of the record's clips, without the first few."""
    rows = ["database,subject,clip,label,file"]
    for row in range(drop, len(record)):
        label = change if change and row == drop else record.classes[record.label[row]]
        rows.append(
            f"{record.database[row]},{record.subject[row]},{record.clip[row]},{label},x.png"
        )
    path.write_text("\n".join(rows) + "\n")
    return path


def test_scores_are_pooled_and_other_habits_stand_beside(tmp_path):
    record = predictions()
    result = score_log(record)
    pooled = metrics.f1_score(record.label, record.predicted, average="macro")
    assert result["overall"]["uf1"]["value"] == pytest.approx(pooled, abs=1e-12)
    precision = metrics.precision_score(record.label, record.predicted, average="macro")
    text = format_scores(result)
    assert f"{pooled:.4f} [" in text and f"{precision:.4f}  macro precision" in text
    for name in record.by_database():
        assert name in text


def test_missing_extra_relabelled_and_repeated_clips(tmp_path):
    record = predictions(clips=20)
    theirs = record.take(np.r_[np.arange(2, 20), 5])
    wanted = read_expected_clips(
        index(tmp_path / "index.csv", record.take(np.arange(19)), change="else")
    )
    clips = score_log(theirs, expected=wanted)["clips"]
    assert clips["missing"] == record.keys[:2]
    assert clips["extra"] == [record.keys[19]]
    assert clips["repeated"] == [record.keys[5]]
    assert clips["expected"] == 19 and clips["relabeled"] == []
    other = read_expected_clips(index(tmp_path / "index.csv", record, drop=2, change="else"))
    label = record.classes[record.label[2]]
    clips = score_log(theirs, expected=other)["clips"]
    assert clips["relabeled"] == [f"{record.keys[2]}: {label}, expected else"]
    assert "relabeled: 1" in format_scores(score_log(theirs, expected=other))


def test_each_row_of_a_clip_is_held_to_its_label(tmp_path):
    path = tmp_path / "log.txt"
    path.write_text("d 1\na1 1 0\na1 0 0\n")
    clips = score_log(read(path), expected={"d/1/a1": "negative"})["clips"]
    assert clips["relabeled"] == ["d/1/a1: positive, expected negative"]
    assert clips["repeated"] == ["d/1/a1"]


def test_leading_zeros_and_case_do_not_matter(tmp_path):
    path = tmp_path / "log.txt"
    path.write_text("SAMM 6\n006_1_2 0 0\nsmic s1\ns1_ne_01 0 1\n")

    wanted = {"samm/006/006_1_2": "negative", "smic/s01/s01_ne_01": "negative"}
    clips = score_log(read(path), expected=wanted)["clips"]
    assert clips["missing"] == clips["extra"] == clips["relabeled"] == []


def test_keys_that_differ_in_zeros_only_are_kept_apart(tmp_path):
    path = tmp_path / "log.txt"
    path.write_text("d 1\na1 0 0\n")

    wanted = {"d/1/a1": "negative", "d/1/a01": "negative"}
    assert score_log(read(path), expected=wanted)["clips"]["missing"] == ["d/1/a01"]


def test_expected_clips_from_any_file(tmp_path):
    record = predictions()
    write_csv(tmp_path / "predictions.csv", record)
    log = write_log(tmp_path / "log.txt", record)
    table = index(tmp_path / "index.csv", record)
    wanted = [
        read_expected_clips(path) for path in (tmp_path, tmp_path / "predictions.csv", log, table)
    ]
    assert wanted[0] == wanted[1] == wanted[2] == wanted[3] and len(wanted[0]) == 60


def test_index_without_a_column_is_named(tmp_path):
    (tmp_path / "index.csv").write_text("database,clip\na,b\n")
    with pytest.raises(UserError, match="no column subject, label"):
        read_expected_clips(tmp_path / "index.csv")


def test_the_organizers_list_of_2019_has_no_headings(tmp_path):
    path = tmp_path / "combined_3class_gt.csv"
    path.write_text("casme2,sub01,EP02_01f,1\nsmic,s03,s3_ne_01,0\nsamm,006,006_1_2,2\n")
    named = tmp_path / "index.csv"
    named.write_text("database,subject,clip,label\nd,1,a,0\nd,1,b,2\n")
    assert read_expected_clips(named) == {"d/1/a": "0", "d/1/b": "2"}  # a user's own classes
    assert read_expected_clips(path) == {
        "casme2/sub01/EP02_01f": "positive",
        "smic/s03/s3_ne_01": "negative",
        "samm/006/006_1_2": "surprise",
    }


def test_expected_clips_of_a_spreadsheet(tmp_path):
    """The organizers' list with an empty row, headings or blanks behind its commas."""
    (tmp_path / "log.txt").write_text("casme2 sub01\nEP1 0 0\nEP2 2 1\n")
    record = read(tmp_path / "log.txt")
    for text in (
        "casme2,sub01,EP1,0\ncasme2,sub01,EP2,2\n,,,\n",
        "database,subject,clip,label\ncasme2,sub01,EP1,0\ncasme2,sub01,EP2,2\n",
        "casme2, sub01, EP1, 0\ncasme2, sub01, EP2, 2\n",
    ):
        (tmp_path / "list.csv").write_text(text)
        expected = read_expected_clips(tmp_path / "list.csv")
        clips = score_log(record, expected=expected)["clips"]
        assert [len(clips[name]) for name in ("missing", "extra", "relabeled")] == [0, 0, 0]
