import json

import pytest
from absl import flags

from mer_jax.cli import command, spot
from mer_jax.metrics import spotting as scoring
from mer_jax.metrics import spotting_files


def run(capsys, *arguments):
    flags.FLAGS.unparse_flags()
    for name in ("data", "root", "option", "out", "method", "rule", "p", "kinds", "size"):
        flags.FLAGS[name].unparse()
    code = command.run(spot.main, flags.FLAGS(["spot", *map(str, arguments)]))
    return code, *capsys.readouterr()


SMALL = ["--data=synthetic", "--method=strain", "--kinds=micro", "--size=24"]
SMALL += ["--option=seconds=4.0", "--option=micro=1", "--option=macro=0"]
SMALL += ["--option=recordings_per_subject=1", "--option=size=(32,32)"]


def test_results_lie_in_the_folder(capsys, tmp_path):
    code, out, err = run(capsys, *SMALL, f"--out={tmp_path}", "--p=0.5")
    assert code == 0, err
    record = json.loads((tmp_path / "metrics.json").read_text())
    counts = record["spotting"]["micro"]
    assert counts["tp"] + counts["fn"] == 2 and str(tmp_path / "report.html") in out
    assert [fold["p"] for fold in record["folds"]] == [0.5, 0.5]
    page = (tmp_path / "report.html").read_text()
    assert "NOT STRICT" in page and page.count("<svg") == 2 and "marked" in page
    # The files hold what was scored.
    found = scoring.match_events(
        *(spotting_files.read(tmp_path / name) for name in ("truth.csv", "predictions.csv"))
    )
    assert found.counts.sum((0, 1)).tolist() == [counts["tp"], counts["fp"], counts["fn"]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--method=mdmd"], "--data=... is required"),
        ([*SMALL, "--method=mdmx"], "did you mean 'mdmd'"),
        ([*SMALL, "--p=2"], "--p is 2"),
        (["--data=synthetic", "--option=second"], "not of the form NAME=VALUE"),
        (["--data=samm_lv"], "give it as root="),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_a_mistake_is_one_sentence(capsys, tmp_path, arguments, message):
    code, out, err = run(capsys, f"--out={tmp_path / 'new'}", *arguments)
    assert code == 2 and message in err and not out
    assert not (tmp_path / "new").exists()
