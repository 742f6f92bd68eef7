import json

import pytest
from absl import flags

from mer_jax.cli import command, score
from mer_jax.metrics import scores, write_csv, write_log
from tests.metrics.examples import predictions


def run(capsys, *arguments):
    flags.FLAGS.unparse_flags()
    for name in ("json", "expected", "classes", "truth"):
        flags.FLAGS[name].unparse()
    code = command.run(score.main, flags.FLAGS(["score", *map(str, arguments)]))
    return code, *capsys.readouterr()


def test_json_of_a_log_and_a_csv_of_the_same_run(capsys, tmp_path):
    record = predictions()
    log = write_log(tmp_path / "log.txt", record)
    table = write_csv(tmp_path / "predictions.csv", record)
    code, out, err = run(capsys, log, table, f"--expected={table}", "--json")
    assert code == 0, err
    first, second = json.loads(out)
    assert first["file"] == str(log)
    expected = float(scores(record.confusion())["uf1"])
    for found in (first, second):
        assert found["overall"]["uf1"]["value"] == pytest.approx(expected, abs=1e-12)
        assert found["clips"]["missing"] == found["clips"]["extra"] == []
    assert first["alternative_scores"] == pytest.approx(second["alternative_scores"])


def test_text_and_class_names(capsys, tmp_path):
    path = tmp_path / "log.txt"
    path.write_text("casme2 sub01\nEP1 0 0\nEP2 1 0\n")
    code, out, err = run(capsys, path, "--classes=a,b")
    assert code == 0, err
    assert str(path) in out and "0.3333" in out  # F1 2/3 and 0, over two classes
    assert "  classes: a, b\n    classes as given\n" in out


@pytest.mark.parametrize(
    ("content", "message"),
    [("casme2 sub01\nEP1 0\n" + 205 * "?\n", "line 3"), (None, "cannot be read")],
)
def test_bad_file_is_one_message_and_exit_2(capsys, tmp_path, content, message):
    path = tmp_path / "log.txt"
    if content is not None:
        path.write_text(content)
    code, out, err = run(capsys, path)
    assert code == 2 and message in err and not out and len(err.splitlines()) < 15


def test_sets_of_labels_are_no_classes(capsys, tmp_path):
    write_csv(tmp_path / "predictions.csv", predictions())
    (tmp_path / "metrics.json").write_text('{"multi_label": true}')
    for path in (tmp_path, tmp_path / "predictions.csv"):
        code, out, err = run(capsys, path)
        assert code == 2 and not out
        assert "several labels a clip; give one of its units/NAME.csv" in err


def test_spotted_intervals(capsys, tmp_path):
    truth, found, log = (tmp_path / name for name in ("truth.csv", "found.csv", "log.txt"))
    head = "subject,video,onset,offset,emotion\n"
    truth.write_text(head + "1,a,0,9,fear\n1,a,20,29,anger\n2,b,0,9,fear\n")
    found.write_text(head + "1,a,0,9,fear\n1,c,20,29,fear\n")
    log.write_text("1\n006_1 0 9 0 9 TP\n006_1 - - 20 29 FP\n")
    code, out, err = run(capsys, found, f"--truth={truth}", "--json")
    assert code == 0, err
    (result,) = json.loads(out)
    assert [result["spotting"]["all"][name] for name in ("tp", "fp", "fn")] == [1, 1, 2]
    assert result["strs"]["value"] == pytest.approx(0.4 * 0.5)
    out = run(capsys, log)[1]
    assert "its own lines: 1 TP, 1 FP, 0 FN" in out and "0.6667" in out
    code, _, err = run(capsys, found)
    assert code == 2 and "--truth=FILE" in err


def test_a_spotting_run_and_its_emotions(capsys, tmp_path):
    head = "subject,video,onset,offset,emotion\n"
    for name in ("truth", "predictions"):
        (tmp_path / f"{name}.csv").write_text(head + "1,a,0,9,Negative\n2,b,0,9,positive\n")
    code, out, err = run(capsys, tmp_path, "--classes=Negative,Positive,surprize", "--json")
    assert code == 0, err
    (result,) = json.loads(out)
    assert result["spotting"]["all"]["tp"] == 2 and result["recognition"]["uar"]["value"] == 1
    assert result["remarks"] == ["no marked interval has the emotion 'surprize'"]
    assert "read" not in run(capsys, tmp_path)[2]


def test_what_is_not_strict_is_said(capsys, tmp_path):
    write_csv(tmp_path / "predictions.csv", predictions())
    for strict in (False, True):
        verdict = {"strict": strict, "leaks": []}
        (tmp_path / "metrics.json").write_text(json.dumps({"verdict": verdict}))
        code, out, _ = run(capsys, tmp_path)
        assert code == 0 and ("NOT STRICT" in out) != strict


def test_files_of_other_words_kinds_and_videos(capsys, tmp_path):
    truth, found = tmp_path / "truth.csv", tmp_path / "found.csv"
    truth.write_text("subject,video,onset,offset,emotion\n1,a,0,9,disgust\n2,b,0,9,happiness\n")
    found.write_text("subject,video,onset,offset,emotion\n1,a,0,9,negative\n2,b,0,9,positive\n")
    code, _, err = run(capsys, found, f"--truth={truth}")
    assert code == 2 and "(negative, positive) are none of those of the truth (disgust, " in err
    found.write_text("subject,video,onset,offset,emotion\n1,a,0,9,disgust\n2,c,0,9,joy\n")
    code, out, _ = run(capsys, found, f"--truth={truth}")
    assert code == 0 and "predicted emotions that no class is: joy" in out
    assert "1 videos of the predictions are not in the truth" in out
    found.write_text("subject,video,onset,offset,type\n1,a,0,9,mae\n2,b,0,9,me\n")
    code, out, _ = run(capsys, found, f"--truth={truth}")
    assert code == 0 and "the truths give no kinds of expressions" in out
    found.write_text(f"subject,video,onset,offset\n1,a,0,{20 * '9'}\n")
    code, _, err = run(capsys, found, f"--truth={truth}")
    assert code == 2 and "not the number of a frame" in err


def test_a_log_in_a_run_has_the_classes_of_the_run(capsys, tmp_path):
    """Two classes were scored as the three of MEGC 2019: two thirds of UF1."""
    write_log(tmp_path / "megc_log.txt", predictions(classes=("calm", "glad")))
    (tmp_path / "metrics.json").write_text(json.dumps({"classes": ["calm", "glad"]}))
    code, out, err = run(capsys, tmp_path / "megc_log.txt", "--json")
    assert code == 0, err
    (result,) = json.loads(out)
    expected = scores(predictions(classes=("calm", "glad")).confusion())
    assert result["overall"]["uf1"]["value"] == pytest.approx(expected["uf1"])
    assert result["classes"] == ["calm", "glad"]


def test_a_spotting_run_has_the_classes_of_its_recognizer(capsys, tmp_path):
    head = "subject,video,onset,offset,emotion\n"
    for name in ("truth", "predictions"):
        (tmp_path / f"{name}.csv").write_text(head + "1,a,0,9,negative\n2,b,0,9,positive\n")
    known = {"recognition": {"classes": ["negative", "positive", "surprise"]}}
    (tmp_path / "metrics.json").write_text(json.dumps(known))
    code, out, err = run(capsys, tmp_path, "--json")
    assert code == 0, err
    assert json.loads(out)[0]["recognition"]["uf1"]["value"] == pytest.approx(2 / 3)
