import subprocess
import sys

import numpy as np
import pytest

from mer_jax import datasets
from mer_jax.methods import map_files
from tests.datasets import replica


def run(*words):
    line = [sys.executable, "-m", "mer_jax", "flow-maps", *map(str, words)]
    return subprocess.run(line, capture_output=True, text=True)


@pytest.mark.slow
def test_maps_are_made(tmp_path):
    small = ("subjects=1", "clips_per_subject=2", "frames=(8,8)", "size=(32,32)")
    options = [f"--option={each}" for each in small]
    words = ("--database=synthetic", f"--out={tmp_path}", "--frame_size=32,32", "--size=14,14")
    done = run(*words, *options)
    assert done.returncode == 0, done.stderr
    assert "2 maps in" in done.stdout
    assert datasets.load("flow_maps", tmp_path)[0].frames.shape == (1, 14, 14, 3)


@pytest.mark.e2e
def test_maps_of_the_databases_own_layouts(tmp_path):
    """The example of the help: frames of SAMM are gray, those of the others are not."""
    for name in ("casme2", "smic", "samm"):
        replica.write(name, tmp_path / "data" / name, subjects=2)
    words = ("--database=megc2019", f"--root={tmp_path / 'data'}", f"--out={tmp_path / 'maps'}")
    done = run(*words, "--allow_mismatch")
    assert done.returncode == 0, done.stderr
    found = datasets.load("flow_maps", tmp_path / "maps")
    assert {clip.database for clip in found} == {"casme2", "smic", "samm"}


def test_maps_are_compared(tmp_path):
    clips = datasets.load("synthetic", subjects=1, clips_per_subject=2)
    maps = np.random.default_rng(0).integers(0, 256, (2, 9, 9, 3)).astype(np.uint8)
    map_files.write(tmp_path, clips, ["positive", "others"], maps)
    done = run(f"--out={tmp_path}", f"--compare={tmp_path}")
    assert done.returncode == 0, done.stderr
    assert "2 clips in both" in done.stdout and "1.000" in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--out=x",), "--compare=FOLDER"),
        (("--compare=x",), "--out=... is required"),
        (("--database=synthetic", "--out=x", "--size=4"), "--size=4 is not H,W"),
        (("--database=synthetic", "--out=x", "--label_scheme=cd6me"), "labels of an index are"),
    ],
)
def test_a_mistake_is_one_sentence(words, message):
    done = run(*words)
    assert done.returncode == 2 and message in done.stderr
