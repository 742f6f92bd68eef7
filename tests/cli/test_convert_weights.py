"""`mer-jax convert-weights`: a file in, a directory out, one sentence where that fails."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest

from mer_jax.cli import convert_weights
from mer_jax.errors import UserError
from mer_jax.models import pretrained
from tests.models.test_pretrained import ALEXNET, features
from tests.twins.fill import fill

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def state():
    return fill(features(ALEXNET))


@pytest.mark.e2e
def test_converts_a_table_of_arrays(tmp_path, state):
    np.savez(tmp_path / "alexnet.npz", **state)
    command = ["-m", "mer_jax", "convert-weights", "--network=alexnet"]
    command += [f"--from={tmp_path / 'alexnet.npz'}", f"--to={tmp_path / 'weights'}"]
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("4 tensors of alexnet written")
    back = pretrained.read(tmp_path / "weights")
    np.testing.assert_array_equal(back["convs.3.bias"], state["features.8.bias"])

    again = subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert again.returncode == 2 and again.stderr.count("\n") == 1 and "exists" in again.stderr


@pytest.mark.parity
def test_converts_torchvision_s_kind_of_file(tmp_path):
    torch = pytest.importorskip("torch")
    from tests.twins import r3d_18 as twin

    network = twin.filled(twin.R3D18())
    torch.save(network.state_dict(), tmp_path / "r3d_18.pth")
    count = convert_weights.convert(tmp_path / "r3d_18.pth", tmp_path / "weights", "r3d_18")
    back = pretrained.read(tmp_path / "weights")
    assert count == len(back) == 100
    np.testing.assert_array_equal(
        back["blocks.7.second.norm.var"], network.layer4[1].conv2[1].running_var
    )


@pytest.mark.parity
def test_nothing_in_a_file_is_run(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"stem.0.weight": pathlib.Path("x")}, tmp_path / "bad.pth")
    with pytest.raises(UserError, match=r"bad\.pth cannot be read"):
        convert_weights.read_tensors(tmp_path / "bad.pth")


def test_without_pytorch_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)  # what an import of a missing package does
    (tmp_path / "r3d_18.pth").write_bytes(b"")
    with pytest.raises(UserError, match=r"needs PyTorch: pip install 'mer_jax\[torch\]'"):
        convert_weights.read_tensors(tmp_path / "r3d_18.pth")


def test_a_file_that_is_not_there_or_broken_is_a_sentence(tmp_path):
    with pytest.raises(UserError, match=r"gone\.npz: no such file"):
        convert_weights.read_tensors(tmp_path / "gone.npz")
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 not a zip")
    with pytest.raises(UserError, match=r"broken\.npz cannot be read"):
        convert_weights.read_tensors(tmp_path / "broken.npz")


def test_a_wrong_file_leaves_nothing_behind(tmp_path, state):
    np.savez(tmp_path / "alexnet.npz", **state)
    with pytest.raises(UserError, match=r"alexnet\.npz: there is no tensor 'stem\.0\.weight'"):
        convert_weights.convert(tmp_path / "alexnet.npz", tmp_path / "weights", "r3d_18")
    assert not (tmp_path / "weights").exists()
