import json
import os
import subprocess
import sys

import pytest

from mer_jax.metrics import scores, write_csv, write_log
from tests.metrics.examples import predictions


def tool(*words):
    return subprocess.run(
        [sys.executable, "-m", "mer_jax", "score", *map(str, words)],
        capture_output=True, text=True, env={**os.environ, "JAX_PLATFORMS": "cpu"},
    )  # fmt: skip


def test_json_of_a_log_and_a_csv_of_the_same_run(tmp_path):
    record = predictions()
    log = write_log(tmp_path / "log.txt", record)
    table = write_csv(tmp_path / "predictions.csv", record)
    done = tool(log, table, f"--expected={table}", "--json")
    assert done.returncode == 0, done.stderr
    first, second = json.loads(done.stdout)
    assert first["file"] == str(log)
    expected = float(scores(record.confusion())["uf1"])
    for found in (first, second):
        assert found["overall"]["uf1"]["value"] == pytest.approx(expected, abs=1e-12)
        assert found["clips"]["missing"] == found["clips"]["extra"] == []
    assert first["alternative_scores"] == pytest.approx(second["alternative_scores"])


def test_text_and_class_names(tmp_path):
    path = tmp_path / "log.txt"
    path.write_text("casme2 sub01\nEP1 0 0\nEP2 1 0\n")
    done = tool(path, "--classes=a,b")
    assert done.returncode == 0, done.stderr
    assert str(path) in done.stdout and "0.3333" in done.stdout  # F1 2/3 and 0, over two classes
    assert "  classes: a, b\n    classes as given\n" in done.stdout


@pytest.mark.parametrize(
    ("content", "message"),
    [("casme2 sub01\nEP1 0\n" + 205 * "?\n", "line 3"), (None, "cannot be read")],
)
def test_bad_file_is_one_message_and_exit_2(tmp_path, content, message):
    path = tmp_path / "log.txt"
    if content is not None:
        path.write_text(content)
    done = tool(path)
    assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr
    assert done.stdout == "" and len(done.stderr.splitlines()) < 15


def test_spotted_intervals(tmp_path):
    truth, found, log = (tmp_path / name for name in ("truth.csv", "found.csv", "log.txt"))
    head = "subject,video,onset,offset,emotion\n"
    truth.write_text(head + "1,a,0,9,fear\n1,a,20,29,anger\n2,b,0,9,fear\n")
    found.write_text(head + "1,a,0,9,fear\n1,c,20,29,fear\n")
    log.write_text("1\n006_1 0 9 0 9 TP\n006_1 - - 20 29 FP\n")
    done = tool(found, f"--truth={truth}", "--json")
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(done.stdout)
    assert [result["spotting"]["all"][name] for name in ("tp", "fp", "fn")] == [1, 1, 2]
    assert result["strs"]["value"] == pytest.approx(0.4 * 0.5)
    done = tool(log)
    assert "its own lines: 1 TP, 1 FP, 0 FN" in done.stdout and "0.6667" in done.stdout
    done = tool(found)
    assert done.returncode == 2 and "--truth=FILE" in done.stderr
