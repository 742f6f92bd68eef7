import os
import signal
import subprocess
import sys

import pytest

pytest.importorskip("apache_beam", reason="Apache Beam is an extra")

from mer_jax.datasets import beam
from mer_jax.errors import UserError

pytestmark = pytest.mark.slow  # the extra is installed for the other tiers


def in_this_process():
    options = ["direct_running_mode=in_memory", "direct_num_workers=1"]
    return beam.download_config("DirectRunner", options=options)


def touch(path):
    path.touch()


def existing(paths):
    return [path for path in paths if path.exists()]


def refuse(number):
    if number == 2:
        raise UserError("a.jpg: cannot be read as an image; replace the file")


def divide(number):
    return 1 / number


def test_the_function_gets_every_item(tmp_path):
    paths = [tmp_path / str(number) for number in range(5)]
    found = list(beam.run(touch, paths, in_this_process(), finished=existing))
    assert sorted(found) == paths == sorted(tmp_path.iterdir())


def test_results_that_are_not_there_and_items_that_cannot_travel(monkeypatch):
    monkeypatch.setattr(beam, "_LATER", 0)
    with pytest.raises(UserError, match="results are not here; give an --out"):
        list(beam.run(abs, [1, 2], in_this_process(), finished=lambda _: []))
    with pytest.raises(UserError, match="cannot be sent to other processes"):
        list(beam.run(abs, [lambda: 0], in_this_process(), finished=list))


def test_errors_of_workers_are_one_sentence():
    with pytest.raises(UserError) as caught:
        list(beam.run(refuse, [1, 2, 3], in_this_process(), finished=list))
    assert str(caught.value) == "a.jpg: cannot be read as an image; replace the file"
    with pytest.raises(UserError, match=r"^the Beam pipeline failed \(.*division by zero\)"):
        list(beam.run(divide, [0], in_this_process(), finished=list))


def die(number):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_dies_ends_the_pipeline():
    """The direct runner waits on for what the kernel ended."""
    script = (
        "from mer_jax.datasets import beam; from tests.datasets import test_beam;"
        "config = beam.download_config('DirectRunner', jobs=2);"
        "list(beam.run(test_beam.die, [1, 2, 3], config, finished=lambda _: []))"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert ended.returncode == 1 and "UserError: a worker process died, perhaps" in ended.stderr


@pytest.mark.parametrize(
    "runner, options, words",
    [
        ("FlinkRuner", [], "FlinkRuner: Unexpected pipeline runner"),
        ("DirectRunner", ["direct_num_workers=two"], "--direct_num_workers: invalid int value"),
        ("DataflowRunner", [], "Missing required option: project"),
    ],
)
def test_mistakes_are_found_before_anything_runs(runner, options, words):
    with pytest.raises(UserError, match=words) as caught:
        beam.download_config(runner, options=options)
    assert "\n" not in str(caught.value)
