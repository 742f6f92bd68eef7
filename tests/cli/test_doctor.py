"""The doctor on this machine, and on machines that are ill."""

import os
from importlib import metadata

import cv2
import pytest
from absl import flags

from mer_jax.cli import command, doctor
from mer_jax.cli.doctor import HINT, OK, WRONG


def run(capsys, *arguments):
    flags.FLAGS.unparse_flags()
    flags.FLAGS["folder"].unparse()
    code = command.run(doctor.main, flags.FLAGS(["doctor", *arguments]))
    out = capsys.readouterr()
    return code, out.out, out.err


def test_this_machine_is_well(capsys, tmp_path):
    code, out, err = run(capsys, f"--folder={tmp_path}/runs")
    assert code == 0 and not err, out
    assert "Nothing is wrong." in out and WRONG not in out
    for word in ("Python", "jax ", "devices", "memory", f"{tmp_path}/runs", "maps/s", "faces"):
        assert word in out
    assert not (tmp_path / "runs").exists()


def test_packages():
    assert doctor.package("numpy", "1.0").state == OK
    old = doctor.package("numpy", "99.0")
    assert old.state == WRONG and "too old" in old.found and ">=99.0" in old.fix
    absent = doctor.package("no-such-package", "1.2")
    assert absent.state == WRONG and "pip install 'no-such-package>=1.2'" in absent.fix


def test_a_package_that_cannot_be_imported(monkeypatch):
    def refuse(name):
        raise ImportError("libGL.so.1: cannot open shared object file")

    monkeypatch.setattr(doctor.importlib, "import_module", refuse)
    found = doctor.package("opencv-python", "4.0")
    assert found.state == WRONG and "libGL" in found.found and "headless" in found.fix


def test_headless_opencv_counts_as_opencv(monkeypatch):
    def version(name):
        if name not in installed:
            raise metadata.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(doctor.metadata, "version", version)
    installed = {"opencv-python-headless": f"{cv2.__version__}.12"}
    found = doctor.package("opencv-python", "4.10")
    assert found.state == OK and found.what == "opencv-python-headless"
    assert found.found == f"{cv2.__version__} is imported, from {cv2.__file__}"
    installed["opencv-python-headless"] = "4.10.0.84"  # another one was installed over it
    found = doctor.package("opencv-python", "4.10")
    assert found.state == HINT and f"4.10.0.84: {cv2.__version__} is imported" in found.found
    installed["opencv-contrib-python"] = f"{cv2.__version__}.3"
    found = doctor.package("opencv-python", "4.10")
    assert found.state == HINT and "opencv-python-headless 4.10.0.84, opencv-con" in found.found
    assert found.fix.endswith("pip install 'opencv-contrib-python>=4.10,<5'")


def test_releases_are_compared_as_numbers():
    assert doctor.numbers("0.10.2.dev3") == (0, 10, 2)
    assert doctor.numbers("0.9.9") < doctor.numbers("0.10")


def test_folders(tmp_path, monkeypatch):
    assert doctor.writable("x", tmp_path / "a" / "b").state == OK
    assert not list(tmp_path.iterdir())
    full = doctor.writable("x", tmp_path, space=1e9)
    assert full.state == HINT and "free some" in full.fix

    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refuse)
    shut = doctor.writable("x", tmp_path)
    assert shut.state == WRONG and "Permission denied" in shut.found and shut.fix


def test_no_backend_and_a_gpu_that_is_not_used(monkeypatch):
    import jax

    exists = doctor.pathlib.Path.exists
    monkeypatch.setattr(
        doctor.pathlib.Path, "exists", lambda self: str(self) == "/dev/nvidia0" or exists(self)
    )
    unused = list(doctor.devices())[-1]
    assert unused.what == "GPU" and unused.state == WRONG and "jax[cuda13]" in unused.fix

    def refuse():
        raise RuntimeError("Unable to initialize backend 'cuda'")

    monkeypatch.setattr(jax, "devices", refuse)
    (only,) = doctor.devices()
    assert only.state == WRONG and "Unable to initialize" in only.found


def test_a_look_that_fails_is_a_finding():
    def broken():
        yield doctor.Finding(OK, "first", "fine")
        raise OSError("torn")

    first, second, third = doctor.examine((broken, doctor.python))
    assert (first.state, second.state, third.state) == (OK, WRONG, OK)
    assert second.what == "broken" and "torn" in second.found


@pytest.mark.skipif(not hasattr(os, "getloadavg"), reason="this system does not tell its load")
def test_a_busy_processor_is_a_hint(monkeypatch):
    monkeypatch.setattr(os, "getloadavg", lambda: (1e6, 0.0, 0.0))
    assert [f.state for f in doctor.devices() if f.what == "processor"] == [HINT]


def test_mistakes_in_the_command(capsys):
    code, out, err = run(capsys, "now")
    assert code == 2 and not out and "'now' is no flag" in err


def test_without_a_device_nothing_is_computed_on_one(monkeypatch):
    def devices():
        yield doctor.Finding(doctor.WRONG, "devices", "none", "unset JAX_PLATFORMS")

    def later():
        raise AssertionError

    monkeypatch.setattr(doctor, "devices", devices)
    (finding,) = doctor.examine((devices, later))
    assert finding.what == "devices"
    (first, second) = doctor.examine((later, devices))  # others fail by themselves
    assert first.state == second.state == doctor.WRONG
