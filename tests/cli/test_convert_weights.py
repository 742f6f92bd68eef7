"""`mer-jax convert-weights`: a file in, a directory out, one sentence where that fails."""

import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

from mer_jax import configuration, experiment, metrics
from mer_jax.cli import convert_weights
from mer_jax.errors import UserError
from mer_jax.models import pretrained
from tests.models.test_pretrained import ALEXNET, features
from tests.twins.fill import fill

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
MAPS = ROOT.parent / "shared/data/megc2019_flow_maps"
# A checkout of christy1206/STSTNet, with its 68 files of weights and its log.
STSTNET = pathlib.Path(os.environ.get("MER_JAX_TEST_STSTNET", "not there"))


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
    assert done.stdout.startswith("weights of 1 file written")
    back = pretrained.read(tmp_path / "weights")
    np.testing.assert_array_equal(back["backbone.convs.3.bias"], state["features.8.bias"])

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
    assert count == 1 and len(back) == 100
    np.testing.assert_array_equal(
        back["backbone.blocks.7.second.norm.var"], network.layer4[1].conv2[1].running_var
    )


@pytest.mark.parity
def test_a_folder_of_pickles(tmp_path, state):
    torch = pytest.importorskip("torch")
    (tmp_path / "from").mkdir()
    tensors = {name: torch.tensor(value) for name, value in state.items()}
    torch.save(tensors, tmp_path / "from" / "subject_1.pkl")
    assert convert_weights.convert(tmp_path / "from", tmp_path / "to", "alexnet") == 1
    assert set(pretrained.read(tmp_path / "to")) == {"subject_1"}


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
    (tmp_path / "keras.hdf5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(8))
    with pytest.raises(UserError, match=r"keras\.hdf5 is HDF5, of Keras perhaps"):
        convert_weights.read_tensors(tmp_path / "keras.hdf5")


def test_a_wrong_file_leaves_nothing_behind(tmp_path, state):
    np.savez(tmp_path / "alexnet.npz", **state)
    with pytest.raises(UserError, match=r"alexnet\.npz: there is no tensor 'stem\.0\.weight'"):
        convert_weights.convert(tmp_path / "alexnet.npz", tmp_path / "weights", "r3d_18")
    assert not (tmp_path / "weights").exists()


def test_a_folder_of_files_is_one_set_of_weights(tmp_path, state):
    (tmp_path / "from" / "casme2").mkdir(parents=True)
    np.savez(tmp_path / "from" / "s1.npz", **state)
    np.savez(tmp_path / "from" / "casme2" / "sub01.npz", **state)
    assert convert_weights.convert(tmp_path / "from", tmp_path / "to", "alexnet") == 2
    assert set(pretrained.read(tmp_path / "to")) == {"s1", "casme2/sub01"}
    np.savez(tmp_path / "from" / "s2.npz", **state)
    (tmp_path / "from" / "s2.pth").touch()
    with pytest.raises(UserError, match=r"has two files s2\{\.pth,\.pt,\.pkl,\.npz\}; leave one"):
        convert_weights.convert(tmp_path / "from", tmp_path / "again", "alexnet")
    with pytest.raises(UserError, match="has no file of weights"):
        convert_weights.convert(tmp_path / "to", tmp_path / "again", "alexnet")


@pytest.mark.e2e
@pytest.mark.skipif(not (MAPS.is_dir() and STSTNET.is_dir()), reason="weights or maps are absent")
def test_the_public_log_of_ststnet_comes_out_of_its_weights(tmp_path):
    """Every prediction of all 68 subjects, and the two scores that its last line prints."""
    pytest.importorskip("torch")
    weights = tmp_path / "weights"
    assert convert_weights.convert(STSTNET / "STSTNet_Weights", weights, "ststnet") == 68
    config = configuration.read("ststnet_megc2019")
    config.data.root, config.train.init_from, config.train.epochs = str(MAPS), str(weights), 0
    summary = experiment.run(config, tmp_path / "run", quiet=True)
    assert summary["verdict"]["leaks"] == [{"reason": "unverified", "run": str(weights)}]

    log = (STSTNET / "STSTNet_python_logfile.txt").read_text()
    blocks = re.findall(r"Subject: (\w+) \nPredicted +: \[(.+)\] \nGround Truth: \[(.+)\]", log)
    found = metrics.read(tmp_path / "run")
    assert len(blocks) == 68 and sum(len(truth.split(",")) for _, _, truth in blocks) == 442
    for subject, *lists in blocks:
        own = np.flatnonzero(found.subject == subject)
        own = own[np.argsort(found.label[own], kind="stable")]  # the log lists class by class
        predicted, truth = ([int(label) for label in text.split(",")] for text in lists)
        assert found.label[own].tolist() == truth, subject
        assert found.predicted[own].tolist() == predicted, subject
    uf1, uar = re.findall(r"UF1: (\S+) \| UAR: (\S+)", log)[-1]
    assert round(summary["overall"]["uf1"]["value"], 4) == float(uf1) == 0.7209
    assert round(summary["overall"]["uar"]["value"], 4) == float(uar) == 0.725
