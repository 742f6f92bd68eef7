import json

import numpy as np
import pytest

from mer_jax.errors import DataError
from mer_jax.io import learning_curves


def line(epoch, folds, loss):
    return json.dumps({"epoch": epoch, "folds": folds, "train_loss": loss, "seconds": 0.5})


def write(tmp_path, *lines, end="\n"):
    path = tmp_path / "metrics.jsonl"
    path.write_text("\n".join(lines) + end)
    return path


def test_chunks_and_epochs_meet_in_one_table(tmp_path):
    lines = [
        line(1, ["a", "b"], [1.0, 2.0]),
        line(2, ["a", "b"], [0.5, 1.5]),
        line(1, ["c"], [3.0]),
    ]
    found = learning_curves.read(write(tmp_path, *lines))
    assert found["folds"] == ("a", "b", "c")
    np.testing.assert_array_equal(found["epochs"], [1, 2])
    np.testing.assert_array_equal(found["train_loss"], [[1, 0.5], [2, 1.5], [3, np.nan]])
    assert set(found) == {"folds", "epochs", "train_loss"}


def test_resumed_epoch_replaces_and_nan_stays(tmp_path):
    lines = [line(0, ["a"], [1.0]), line(0, ["a"], [9.0]), line(1, ["a"], [float("nan")])]
    lines.append(line(2, ["a"], [None]))
    found = learning_curves.read(write(tmp_path, *lines))
    np.testing.assert_array_equal(found["train_loss"], [[9.0, np.nan, np.nan]])


def test_line_cut_off_by_a_kill_is_left_out(tmp_path):
    path = write(tmp_path, line(0, ["a"], [1.0]), line(1, ["a"], [0.5])[:20], end="")
    np.testing.assert_array_equal(learning_curves.read(path)["epochs"], [0])


def test_other_bad_lines_are_listed(tmp_path):
    path = write(tmp_path, "{", line(0, ["a", "b"], [1.0]), '{"epoch": 1}', line(1, ["a"], [1.0]))
    with pytest.raises(DataError) as error:
        learning_curves.read(path)
    assert [problem.where for problem in error.value.problems] == ["line 1", "line 2", "line 3"]


def test_writer_adds_lines_and_cuts_off_an_unfinished_one(tmp_path):
    path = write(tmp_path, line(0, ["a"], [1.0]), line(1, ["a"], [0.5])[:20], end="")
    for epoch in (1, 2):
        with learning_curves.jsonl_writer(path) as add:
            add({"epoch": epoch, "folds": ["a"], "train_loss": [float(epoch)]})
    np.testing.assert_array_equal(learning_curves.read(path)["train_loss"], [[1, 1, 2]])


def test_writer_starts_a_new_file(tmp_path):
    with learning_curves.jsonl_writer(tmp_path / "new.jsonl") as add:
        add({"epoch": 0, "folds": [], "train_loss": []})
    assert learning_curves.read(tmp_path / "new.jsonl")["folds"] == ()
