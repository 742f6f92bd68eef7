"""The command line as a user meets it: help and mistakes."""

import json
import subprocess
import sys

import pytest

from tests.faults import jobs

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--config.train.epocs=3"], 'Did you mean "epochs"'),
        (["--config.model.name=ststnt"], "did you mean 'ststnet'"),
        (["--config.data.name=casme2", "--config.data.root=/nowhere"], "/nowhere"),
        (
            ["--config=mer_jax/configs/defalt.py"],
            "did you mean 'mer_jax/configs/default.py'",
        ),
        (["epochs=3"], "'epochs=3' is no flag"),
        (["--workdir=README.md"], "--workdir=README.md is a file"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_mistake_is_one_sentence_and_leaves_nothing_behind(flags, sentence, tmp_path):
    workdir = tmp_path / "run"
    config = [] if flags[0].startswith("--config=") else jobs.SMALL[:1]
    code, out, err = jobs.run(*config, f"--workdir={workdir}", *flags)
    assert code == 2
    assert sentence in err and "Traceback" not in err and not out
    assert not workdir.exists()


def test_a_file_without_get_config_and_a_run_that_leaks_say_so(tmp_path):
    own = tmp_path / "own.py"
    own.write_text("config = 1\n")
    code, out, err = jobs.run(f"--config={own}", f"--workdir={tmp_path / 'run'}")
    assert code == 2 and not out
    assert err == "error: the file of --config has no function get_config()\n"
    flags = ["--config.train.model_selection=best_test", f"--workdir={tmp_path / 'run'}"]
    code, out, _ = jobs.run(*jobs.SMALL, *flags)
    first, second, page = out.splitlines()
    assert code == 0 and "Not strict" in first and page.endswith("report.html")
    assert second == "  Each fold's epoch was chosen on its own test clips."


def test_without_a_workdir_it_asks_for_one():
    code, _, err = jobs.run("--config=mer_jax/configs/default.py")
    assert code == 2 and "--workdir=DIR" in err and "Traceback" not in err


def test_help_tells_what_a_newcomer_needs():
    code, out, err = jobs.run("--help")
    assert code == 0 and not err
    for word in ("--config=", "--workdir", "data.root", "train.seed", "report.html"):
        assert word in out


_CONFIGURED = """
import sys
from mer_jax.cli import run_flags
run_flags.parse(sys.argv)
print(run_flags.CONFIG.value.to_json(sort_keys=True))
"""


def test_another_name_comes_with_its_options():
    """As flags, before and after the name, which may be the section's own value."""
    done = subprocess.run(
        [
            sys.executable, "-c", _CONFIGURED, "--config=mer_jax/configs/ststnet_megc2019.py",
            "--config.data.subjects=4", "--config.data.name", "synthetic",
            "--config.data.frames=(8, 9)", "--config.model=capsule",
            "--config.model.routings=2", "--config.train.epochs=3", "--workdir=x",
        ],
        cwd=jobs.ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["data"]["subjects"] == 4 and found["data"]["frames"] == [8, 9]
    assert found["data"]["blinks"] == 0.1 and found["model"]["routings"] == 2
    assert found["train"]["epochs"] == 3 and found["method"]["name"] == "flow_maps"
