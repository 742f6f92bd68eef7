from absl import flags

from mer_jax.cli import command, compare
from mer_jax.metrics import write_csv
from tests.metrics.examples import predictions


def run(capsys, *arguments):
    flags.FLAGS.unparse_flags()
    for name in ("out", "seeds"):
        flags.FLAGS[name].unparse()
    code = command.run(compare.main, flags.FLAGS(["compare", *map(str, arguments)]))
    return code, *capsys.readouterr()


def test_table_on_screen_and_in_files(capsys, tmp_path):
    for name in ("one", "two"):
        write_csv(tmp_path / name / "predictions.csv", predictions())
    out = [tmp_path / f"table{end}" for end in (".md", ".tex", ".html")]
    runs = (tmp_path / "one", tmp_path / "two")
    code, printed, err = run(capsys, *runs, "--seeds", f"--out={','.join(map(str, out))}")
    assert code == 0, err
    assert out[0].read_text() == printed and "mean ± deviation of 2" in printed
    assert r"\begin{tabular}" in out[1].read_text()
    assert out[2].read_text().startswith("<!DOCTYPE html>")


def test_mistakes_are_one_message_and_exit_2(capsys, tmp_path):
    write_csv(tmp_path / "one" / "predictions.csv", predictions())
    write_csv(tmp_path / "two" / "predictions.csv", predictions(clips=50))
    cases = {
        "at least two": [tmp_path / "one"],
        "did not test the same clips": [tmp_path / "one", tmp_path / "two"],
        "did you mean '.tex'": [tmp_path / "one", tmp_path / "one", "--out=a.md,table.te"],
    }
    for words, arguments in cases.items():
        code, printed, err = run(capsys, *arguments)
        assert code == 2 and words in err and not printed
