import json

import pytest
from absl import flags

from mer_jax.cli import score
from mer_jax.metrics import scores, write_csv, write_log
from tests.metrics.examples import predictions


def run(capsys, *arguments):
    flags.FLAGS.unparse_flags()
    for name in ("json", "expected", "classes"):
        flags.FLAGS[name].unparse()
    code = score.main(flags.FLAGS(["score", *map(str, arguments)]))
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
