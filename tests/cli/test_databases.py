import json
import subprocess
import sys

from mer_jax import datasets
from mer_jax.cli.databases import SOURCES
from mer_jax.datasets import recordings


def test_every_database_has_a_row():
    known = {*datasets.names(), *recordings.names()} - {"synthetic", "prepared", "flow_maps"}
    assert {source.name for source in SOURCES} == known
    assert all(all(source) for source in SOURCES)


def test_the_command():
    def run(*words):
        line = [sys.executable, "-m", "mer_jax", "databases", *words]
        return subprocess.run(line, capture_output=True, text=True)

    done = run("samm_lv", "casme3")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1].split()[0] == "samm_lv"
    assert "http://casme.psych.ac.cn/casme/e4" in done.stdout
    assert len(json.loads(run("--json").stdout)) == len(SOURCES)
    done = run("samm_lw")
    assert done.returncode == 2 and "did you mean 'samm_lv'" in done.stderr
