"""The command line as a user meets it: help and mistakes."""

import pytest

from tests.faults import jobs


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--config.train.epocs=3"], 'Did you mean "epochs"'),
        (["--config.model.name=ststnt"], "did you mean 'ststnet'"),
        (["--config.train.epochs=0"], "train.epochs is 0; it must be 1 or more"),
        (["--config.data.name=casme2"], "say where it lies"),
        (["--config.data.name=casme2", "--config.data.root=/nowhere"], "/nowhere"),
        (
            ["--config=experiments/configs/defalt.py"],
            "did you mean 'experiments/configs/default.py'",
        ),
        (["epochs=3"], "'epochs=3' is no flag"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_mistake_is_one_sentence_and_leaves_nothing_behind(flags, sentence, tmp_path):
    workdir = tmp_path / "run"
    config = [] if flags[0].startswith("--config=") else jobs.SMALL[:1]
    code, out, err = jobs.run(*config, *flags, f"--workdir={workdir}")
    assert code == 2
    assert sentence in err and "Traceback" not in err and not out
    assert not workdir.exists()


def test_without_a_workdir_it_asks_for_one():
    code, _, err = jobs.run("--config=experiments/configs/default.py")
    assert code == 2 and "--workdir=DIR" in err and "Traceback" not in err


def test_help_tells_what_a_newcomer_needs():
    _, out, _ = jobs.run("--helpshort")
    for word in ("--config=", "--workdir", "data.root", "train.seed", "report.html"):
        assert word in out
