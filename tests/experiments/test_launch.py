"""The command line as a user meets it: help, mistakes, and a job killed in the middle."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SMALL = [
    "--config=experiments/configs/default.py",
    "--config.data.subjects=3",
    "--config.data.clips_per_subject=4",
    "--config.data.frames=(8, 9)",
    "--config.data.size=(24, 24)",
    "--config.method.preset=horn_schunck",
    "--config.train.epochs=40",
    "--config.checkpoint_seconds=0",
]


def launch(*flags, **options):
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(ROOT / ".jax_cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "experiments.launch", *flags],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def said(*flags):
    process = launch(*flags)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


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
    config = [] if flags[0].startswith("--config=") else SMALL[:1]
    code, out, err = said(*config, *flags, f"--workdir={workdir}")
    assert code == 2
    assert sentence in err and "Traceback" not in err and not out
    assert not workdir.exists()


def test_without_a_workdir_it_asks_for_one():
    code, _, err = said("--config=experiments/configs/default.py")
    assert code == 2 and "--workdir=DIR" in err and "Traceback" not in err


def test_help_tells_what_a_newcomer_needs():
    _, out, _ = said("--helpshort")
    for word in ("--config=", "--workdir", "data.root", "train.seed", "report.html"):
        assert word in out


@pytest.mark.slow
def test_kill_dash_nine_and_the_same_command_again(tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    code, _, err = said(*SMALL, f"--workdir={whole}")
    assert code == 0, err
    process = launch(*SMALL, f"--workdir={broken}")
    journal = broken / "metrics.jsonl"
    while process.poll() is None:
        if journal.exists() and journal.read_bytes().count(b"\n") >= 12:
            process.send_signal(signal.SIGKILL)
            break
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (broken / "predictions.csv").exists()
    code, _, err = said(*SMALL, f"--workdir={broken}")
    assert code == 0, err
    for name in ("predictions.csv", "megc_log.txt"):
        assert (broken / name).read_bytes() == (whole / name).read_bytes()
