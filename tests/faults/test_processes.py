"""Two processes of two devices each, on loopback, are one job; one of them killed is told of."""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.faults import jobs

FEW, MANY = 12, 2000  # epochs: to the end, and more than anybody waits for


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def by_name(number: int, port: int) -> dict[str, str]:
    return {
        "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}",
        "JAX_NUM_PROCESSES": "2",
        "JAX_PROCESS_ID": str(number),
    }


def as_slurm_does(number: int, port: int) -> dict[str, str]:
    """What srun sets; JAX takes the coordinator's host and port from it."""
    return {
        "SLURM_JOB_ID": str(port),
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_NTASKS": "2",
        "SLURM_PROCID": str(number),
        "SLURM_LOCALID": str(number),
        "SLURM_STEP_NUM_TASKS": "2",
    }


def start(folder: pathlib.Path, epochs: int, devices: int, *flags: str, **environment: str):
    settings = {
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": str(devices),
    }
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", "tests.faults.tiny_job", str(folder), str(epochs), *flags],
        cwd=jobs.ROOT,
        env=os.environ | settings | environment,
        stderr=subprocess.PIPE,
        text=True,
    )


def start_both(
    folder: pathlib.Path, epochs: int, found=by_name, flags: tuple[str, ...] = ()
) -> list[subprocess.Popen]:
    port, devices = free_port(), 1 if "--chunks" in flags else 2  # four folds
    flags = ("--distributed", *flags)
    return [start(folder, epochs, devices, *flags, **found(n, port)) for n in range(2)]


def ended(*processes: subprocess.Popen) -> tuple[list[int], list[str]]:
    """Exit codes and what was said."""
    said = [process.communicate(timeout=500)[1] for process in processes]
    return [process.returncode for process in processes], said


def wait_for(file: pathlib.Path, *processes: subprocess.Popen) -> None:
    while not file.exists() and all(process.poll() is None for process in processes):
        time.sleep(0.02)


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> pathlib.Path:
    """What one process with four devices makes of the job."""
    folder = tmp_path_factory.mktemp("alone")
    codes, said = ended(start(folder, FEW, 4))
    assert codes == [0], said
    return folder / "result.npz"


def assert_same(found: pathlib.Path, wanted: pathlib.Path) -> None:
    with np.load(found) as found, np.load(wanted) as wanted:
        for name in wanted:
            np.testing.assert_array_equal(found[name], wanted[name], err_msg=name)


@pytest.mark.parametrize(
    ("found", "flags"),
    [
        *((by_name, ()), (as_slurm_does, ()), (by_name, ("--in_parts",))),
        *((by_name, ("--chunks",)), (by_name, ("--on_host",))),
    ],
    ids=["by name", "as Slurm does", "in parts", "in chunks", "examples on the hosts"],
)
def test_two_processes_are_one_job(tmp_path, alone, found, flags):
    codes, said = ended(*start_both(tmp_path, FEW, found, flags))
    assert codes == [0, 0], said
    assert_same(tmp_path / "result.npz", alone)


@pytest.mark.parametrize("flags", [(), ("--in_parts",)], ids=["epochs", "in parts"])
def test_asked_to_stop_both_do_and_go_on_together(tmp_path, alone, flags):
    """The one that is asked is not the one that saves."""
    both = start_both(tmp_path, FEW, flags=flags)
    wait_for(tmp_path / "2", *both)
    both[1].send_signal(signal.SIGTERM)
    codes, said = ended(*both)
    assert codes == [128 + signal.SIGTERM] * 2, said
    assert all("stopped after epoch" in words and "Traceback" not in words for words in said)
    assert not (tmp_path / "result.npz").exists()
    (tmp_path / "1").unlink()
    codes, said = ended(*start_both(tmp_path, FEW, flags=flags))
    assert codes == [0, 0], said
    assert not (tmp_path / "1").exists()  # it did not begin anew
    assert_same(tmp_path / "result.npz", alone)


@pytest.mark.parametrize("lost", [0, 1])
def test_one_is_killed_and_the_other_says_so_and_ends(tmp_path, lost):
    both = start_both(tmp_path, MANY)
    wait_for(tmp_path / "90", *both)  # the third block of 40 epochs: the first is saved
    both[lost].kill()
    began = time.monotonic()
    codes, said = ended(*both)
    assert time.monotonic() - began < 60
    assert codes[lost] == -signal.SIGKILL and codes[1 - lost] not in (0, -signal.SIGKILL)
    # Ours, or JAX's own where its watchdog is faster.
    words = ("lost another process of this job", "another task died")
    assert any(word in said[1 - lost] for word in words), said[1 - lost]
    assert "Traceback" not in said[1 - lost]
    for told in tmp_path.glob("[0-9]*"):
        told.unlink()
    both = start_both(tmp_path, MANY)
    wait_for(tmp_path / "200", *both)
    for process in both:
        process.send_signal(signal.SIGTERM)
    codes, said = ended(*both)
    assert codes == [128 + signal.SIGTERM] * 2, said
    assert not (tmp_path / "1").exists()


def test_who_the_others_are_has_to_be_said(tmp_path):
    codes, said = ended(start(tmp_path, FEW, 1, "--distributed"))
    assert codes == [2] and "Traceback" not in said[0]
    assert "the other processes are not known" in said[0] and "JAX_PROCESS_ID" in said[0]
