"""TensorBoard's events, read back by the format's definition."""

import json
import struct
import sys

import numpy as np
import pytest
from absl import flags

from mer_jax.cli import command, tensorboard


def run(capsys, *arguments):
    flags.FLAGS.unparse_flags()
    flags.FLAGS["folds"].unparse()
    code = command.run(tensorboard.main, flags.FLAGS(["tensorboard", *map(str, arguments)]))
    return code, *capsys.readouterr()


@pytest.fixture
def workdir(tmp_path):
    losses = {1: [1.0, 0.5], 2: [0.75, None], 4: [0.25, 0.125]}
    with open(tmp_path / "metrics.jsonl", "w", encoding="utf-8") as file:
        for epoch, values in losses.items():
            kept = [(f, v) for f, v in zip(("d/s1", "d/s2"), values) if v is not None]
            folds, loss = zip(*kept)
            file.write(json.dumps({"epoch": epoch, "folds": folds, "train_loss": loss}) + "\n")
    return tmp_path


def scalars(folder) -> list[tuple[int, str, float]]:
    """(step, tag, value): records of a length, its check, the event and its check."""
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    (file,) = folder.glob("events.out.tfevents.*")
    data, found = file.read_bytes(), []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        event = event_pb2.Event.FromString(data[12 : 12 + length])
        found += [(event.step, value.tag, value.simple_value) for value in event.summary.value]
        data = data[16 + length :]
    return found


def test_the_curves_come_back_as_they_were(capsys, workdir):
    pytest.importorskip("tensorboardX")
    for _ in range(2):  # again: in the place of the first
        code, out, err = run(capsys, workdir)
        assert (code, out, err) == (0, f"{workdir}/tensorboard\n", "")
        mean = scalars(workdir / "tensorboard" / "mean")
        assert mean == [(1, "train_loss", 0.75), (2, "train_loss", 0.75), (4, "train_loss", 0.1875)]
    assert [path.name for path in (workdir / "tensorboard").iterdir()] == ["mean"]
    assert run(capsys, workdir, "--folds")[0] == 0
    second = scalars(workdir / "tensorboard" / "d_s2")
    np.testing.assert_allclose([value for _, _, value in second], [0.5, 0.125])
    assert [step for step, _, _ in second] == [1, 4]
    assert not list(workdir.glob(".part*"))


def test_mistakes(capsys, workdir, monkeypatch):
    assert "name the working directory" in run(capsys)[2]
    assert "has no metrics.jsonl" in run(capsys, workdir / "nowhere")[2]
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    code, out, err = run(capsys, workdir)
    assert (code, out) == (2, "") and "pip install 'mer_jax[tensorboard]'" in err
