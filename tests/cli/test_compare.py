import os
import subprocess
import sys

from mer_jax.metrics import write_csv
from tests.metrics.examples import predictions


def tool(*words):
    return subprocess.run(
        [sys.executable, "-m", "mer_jax", "compare", *map(str, words)],
        capture_output=True, text=True, env={**os.environ, "JAX_PLATFORMS": "cpu"},
    )  # fmt: skip


def test_table_on_screen_and_in_files(tmp_path):
    for name in ("one", "two"):
        write_csv(tmp_path / name / "predictions.csv", predictions())
    out = [tmp_path / f"table{end}" for end in (".md", ".tex", ".html")]
    done = tool(tmp_path / "one", tmp_path / "two", "--seeds", f"--out={','.join(map(str, out))}")
    assert done.returncode == 0, done.stderr
    assert out[0].read_text() == done.stdout and "mean ± deviation of 2" in done.stdout
    assert r"\begin{tabular}" in out[1].read_text()
    assert out[2].read_text().startswith("<!DOCTYPE html>")


def test_mistakes_are_one_message_and_exit_2(tmp_path):
    write_csv(tmp_path / "one" / "predictions.csv", predictions())
    write_csv(tmp_path / "two" / "predictions.csv", predictions(clips=50))
    cases = {
        "at least two": [tmp_path / "one"],
        "did not test the same clips": [tmp_path / "one", tmp_path / "two"],
        "did you mean '.tex'": [tmp_path / "one", tmp_path / "one", "--out=a.md,table.te"],
    }
    for words, arguments in cases.items():
        done = tool(*arguments)
        assert done.returncode == 2 and words in done.stderr, done.stderr
        assert "Traceback" not in done.stderr and not done.stdout
