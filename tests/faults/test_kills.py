"""The job killed, asked to stop, and out of room, as it happens to a process of its own."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from tests.faults import drive, jobs


def test_kill_dash_nine_and_the_same_command_again(tmp_path):
    """Two of the kills that `python -m tests.faults.drive` deals out by the dozen."""
    done = drive.drive(tmp_path, kills=2, seed=1)
    assert len(done.kills) == 2 and not done.differing


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
def test_asked_to_stop_it_saves_and_says_so(tmp_path, undisturbed, number):
    process = jobs.start(*jobs.SMALL, f"--workdir={tmp_path}")
    code, err = jobs.stop_after(process, tmp_path, 10, number)
    assert code == 128 + number and "Traceback" not in err
    done = jobs.epochs_done(tmp_path)
    assert f"stopped after epoch {done} of folds up to 3; re-run the command to resume" in err
    assert (tmp_path / "checkpoints/steps" / str(done)).is_dir()
    assert not (tmp_path / "predictions.csv").exists()
    jobs.finish(tmp_path)
    assert not jobs.differences(tmp_path, undisturbed)
    # Not one epoch was trained twice.
    assert jobs.epochs_done(tmp_path) == 40


def test_before_it_trains_a_signal_ends_it_at_once(tmp_path):
    """While flow of minutes is computed by one compiled call, which no Python code interrupts."""
    large = ("--config.data.size=(300,240)", "--config.method.preset=classic_l")
    small = jobs.SMALL[:3]  # twelve clips
    process = jobs.start(*small, *large, f"--workdir={tmp_path / 'run'}")
    try:
        assert process.stderr is not None
        assert "12 clips of 3 subjects" in process.stderr.readline()
        time.sleep(3)  # into that call; less is no fault
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 143 and "Traceback" not in err
    assert "stopped; all that was finished is saved. Re-run the command to go on" in err
    assert not out and not (tmp_path / "run" / "predictions.csv").exists()


_ENDLESS = """
import sys, jax
from mer_jax.cli.run import Signals
signals = Signals()
assert not signals()
signals.nothing_to_save(is_so=lambda: sys.argv[1] == "saved")
print("ready", flush=True)
forever = lambda x: jax.lax.while_loop(lambda x: x < 97, lambda x: (5 * x + 1) % 97, x)
jax.jit(forever)(0).block_until_ready()
"""


@pytest.mark.parametrize("what", ["saved", "not saved"])
def test_a_call_that_takes_long_is_waited_for_only_to_save(what):
    """And not even then once the signal has come again."""
    command = [sys.executable, "-c", _ENDLESS, what]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as job:
        try:
            assert job.stdout is not None and job.stdout.readline() == "ready\n"
            for _ in range(60):
                job.send_signal(signal.SIGTERM)
                try:
                    job.wait(20 if what == "saved" else 0.5)
                    break
                except subprocess.TimeoutExpired:
                    assert what != "saved"
            _, err = job.communicate(timeout=1)
        finally:
            job.kill()
    assert job.returncode == 143
    assert ("all that was finished is saved" in err) == (what == "saved")
    assert err.count("Re-run the command to go on") == 1


@pytest.fixture
def small_disk(tmp_path):
    """Mounts a disk of so many kilobytes; called again, it is made larger."""
    place, mounted = tmp_path / "disk", []
    place.mkdir()

    def mount(kilobytes: int) -> pathlib.Path:
        if os.geteuid():
            pytest.skip("only root can mount a small disk")
        how = "remount," if mounted else ""
        command = ["mount", "-t", "tmpfs", "-o", f"{how}size={kilobytes}k", "tmpfs", str(place)]
        try:
            done = subprocess.run(command, capture_output=True, text=True)
        except FileNotFoundError:
            pytest.skip("there is no mount command")
        if done.returncode:
            pytest.skip(f"a small disk cannot be mounted: {done.stderr.strip()}")
        mounted.append(kilobytes)
        return place

    yield mount
    if mounted:
        subprocess.run(["umount", "-l", str(place)], check=True)


def leave(small_disk, kilobytes: int) -> None:
    """Makes the disk, which is mounted, as large as what lies on it and so much more."""
    disk = os.statvfs(small_disk(4096))
    small_disk((disk.f_blocks - disk.f_bfree) * disk.f_frsize // 1024 + kilobytes)


def test_a_disk_too_small_for_anything(small_disk, undisturbed):
    workdir = small_disk(8) / "run"
    stopped_by_full_disk(workdir, "")
    small_disk(4096)
    jobs.finish(workdir)
    assert not jobs.differences(workdir, undisturbed)


def test_a_disk_too_small_for_the_next_checkpoint(small_disk, undisturbed):
    """A checkpoint takes more than 100 kB and finds 40: the one before must stay whole."""
    workdir = small_disk(4096) / "run"
    code, err = jobs.stop_after(
        jobs.start(*jobs.SMALL, f"--workdir={workdir}"), workdir, 1, signal.SIGTERM
    )
    assert code == 143, err
    leave(small_disk, 40)
    stopped_by_full_disk(workdir, "a checkpoint")
    assert [path for path in workdir.glob("checkpoints/steps/*") if path.name.isdecimal()]
    small_disk(4096)
    again = jobs.finish(workdir)
    assert "damaged" not in again  # the checkpoint before was whole
    assert not jobs.differences(workdir, undisturbed)


def test_a_disk_too_small_for_the_results(small_disk, undisturbed):
    """All epochs are trained and saved, and the report of about 70 kB finds 40 kB."""
    workdir = small_disk(4096) / "run"
    jobs.finish(workdir)
    for name in ("predictions.csv", "megc_log.txt", "metrics.json", "report.html"):
        (workdir / name).unlink()
    leave(small_disk, 40)
    stopped_by_full_disk(workdir, "report.html")
    assert jobs.epochs_done(workdir) == 40
    small_disk(4096)
    jobs.finish(workdir)
    assert not jobs.differences(workdir, undisturbed)


def stopped_by_full_disk(workdir: pathlib.Path, what: str) -> None:
    """Runs the job, which must end with one sentence about `what`."""
    code, _, err = jobs.run(*jobs.SMALL, f"--workdir={workdir}")
    assert code == 2 and "Traceback" not in err, err
    assert what in err and "cannot be written (No space left on device)" in err
    assert "same command" in err
