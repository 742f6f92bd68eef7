"""A damaged checkpoint is found out whichever of its files is hit, and the one before is used."""

import errno
import json
import pathlib
import random
import shutil
import types

import jax
import numpy as np
import pytest

from mer_jax.errors import UserError
from mer_jax.training import checkpoints, records
from mer_jax.training.checkpoints import Checkpoints
from mer_jax.training.records import Position

FOLDS = 3
ARRAYS = dict.fromkeys(records.Result._fields, np.zeros((FOLDS, 4), np.float32))
RECORD = types.SimpleNamespace(_asdict=lambda: ARRAYS)


def state_after(epoch: int) -> dict:
    noise = np.random.default_rng(epoch).normal(size=(FOLDS, 40, 50)).astype(np.float32)
    return {"weights": noise, "key": jax.random.split(jax.random.key(epoch), FOLDS)}


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> pathlib.Path:
    """The checkpoints 2 and 3, after epochs 3 and 4."""
    folder = tmp_path_factory.mktemp("sound")
    with Checkpoints(folder, {"job": 1}, interval_s=0) as keeper:
        for epoch in (2, 3, 4):
            keeper.save(state_after(epoch), RECORD, Position(range(FOLDS), epoch))
    assert checkpoints.steps(folder) == [3, 2]
    return folder


def restored(folder: pathlib.Path) -> int | None:
    """The epoch whose state is restored, which must be that epoch's to the bit; None: nothing."""
    with Checkpoints(folder, {"job": 1}, interval_s=0) as keeper:
        found = keeper.restore(state_after(0), records.checkpoint_arrays(RECORD))
    if found is None:
        return None
    state, _, position = found
    want = state_after(position.epochs)
    assert position.members == range(FOLDS)
    np.testing.assert_array_equal(state["weights"], want["weights"])
    np.testing.assert_array_equal(*map(jax.random.key_data, (state["key"], want["key"])))
    return position.epochs


def damages(draw: random.Random, content: bytes) -> list[bytes | None]:
    """What may become of a file: gone, empty, cut, one bit of it flipped."""
    out = [None, b"", content[: len(content) // 2]]
    for _ in range(2):
        flipped = bytearray(content)
        flipped[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        out.append(bytes(flipped))
    return out


def files_of(step: pathlib.Path) -> list[pathlib.Path]:
    return sorted(path.relative_to(step) for path in step.rglob("*") if path.is_file())


def test_whichever_file_is_hit(sound, tmp_path, caplog):
    draw, tried, before = random.Random(0), 0, 0
    newest = sound / checkpoints.STEPS / "3"
    for number, file in enumerate(files_of(newest)):
        for which, content in enumerate(damages(draw, (newest / file).read_bytes())):
            folder = tmp_path / f"{number}_{which}"
            shutil.copytree(sound, folder)
            target = folder / checkpoints.STEPS / "3" / file
            target.unlink() if content is None else target.write_bytes(content)
            caplog.clear()
            epoch = restored(folder)
            # Some files say nothing that matters; then the checkpoint is still what it was.
            assert epoch in (4, 3), f"{file}, damage {which}: restored {epoch}"
            if epoch == 3:
                assert "checkpoint 3 is damaged" in caplog.text, f"{file}, damage {which}"
                assert (folder / "damaged" / "3").is_dir()
                before += 1
            tried += 1
            shutil.rmtree(folder)
    print(f"{tried} damages, {before} times the checkpoint before")
    assert tried > 50 and before > tried / 4


def flip_place(folder: pathlib.Path, step: str) -> None:
    """One digit of where a checkpoint stands, with the JSON still in order."""
    path = folder / checkpoints.STEPS / step / "position" / "metadata"
    position = json.loads(path.read_text())
    path.write_text(json.dumps(position | {"epochs": position["epochs"] ^ 1}))


def test_where_it_stands_is_under_the_digest_too(sound, tmp_path, caplog):
    folder = shutil.copytree(sound, tmp_path / "job")
    flip_place(folder, "3")
    assert restored(folder) == 3
    assert "checkpoint 3 is damaged" in caplog.text and "not what was written" in caplog.text


def test_with_both_damaged_the_job_begins_anew(sound, tmp_path, caplog):
    folder = shutil.copytree(sound, tmp_path / "job")
    for step in ("2", "3"):
        flip_place(folder, step)
    assert restored(folder) is None
    assert "checkpoint 2 is damaged and quarantined; training begins again" in caplog.text
    with Checkpoints(folder, {"job": 1}, interval_s=0) as keeper:  # and the place is free again
        keeper.save(state_after(4), RECORD, Position(range(FOLDS), 4))
    assert restored(folder) == 4


@pytest.mark.parametrize("error", [OSError(errno.ESTALE, "Stale file handle"), MemoryError()])
def test_a_checkpoint_that_cannot_be_read_now_is_kept(sound, tmp_path, monkeypatch, error):
    """A file server that was away for a moment cost a job all that it had trained."""
    folder = shutil.copytree(sound, tmp_path / "job")
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.ocp.CheckpointManager, "restore", raises(error))
        with pytest.raises(UserError, match=r"checkpoint 3 cannot be read now .*re-run the same"):
            restored(folder)
    assert not (folder / "damaged").exists() and restored(folder) == 4


def raises(error):
    def function(*_, **__):
        raise error

    return function


def test_what_a_killed_job_was_writing_is_cleared_away(sound, tmp_path):
    folder = shutil.copytree(sound, tmp_path / "job")
    torn = folder / checkpoints.STEPS / "4.orbax-checkpoint-tmp"
    shutil.copytree(folder / checkpoints.STEPS / "3", torn)
    (torn / "position" / "metadata").unlink()
    assert restored(folder) == 4 and not torn.exists()


def test_a_finished_job_s_networks_are_not_read_from_a_damaged_checkpoint(sound, tmp_path):
    tree, position = checkpoints.last(sound)
    np.testing.assert_array_equal(tree["state"]["weights"], state_after(4)["weights"])
    assert position == Position(range(FOLDS), 4)
    folder = shutil.copytree(sound, tmp_path / "job")
    flip_place(folder, "3")
    with pytest.raises(UserError, match=r"steps.3 is damaged \(its content is not what was"):
        checkpoints.last(folder)
    with pytest.raises(UserError, match="holds no checkpoint"):
        checkpoints.last(tmp_path / "nowhere")


def test_a_job_that_goes_on_with_other_versions_says_so(sound, tmp_path, caplog):
    folder = shutil.copytree(sound, tmp_path / "job")
    for version, said in ((jax.__version__, ""), ("0.9.1", "jax: '0.9.1' there")):
        identity = json.loads((folder / "identity.json").read_text())
        identity["versions"]["jax"] = version
        (folder / "identity.json").write_text(json.dumps(identity))
        caplog.clear()
        assert restored(folder) == 4
        assert said in caplog.text and bool(said) == ("other versions" in caplog.text)


def test_a_damaged_identity_is_not_continued(sound, tmp_path):
    for content in (b"", b'{"job": 1', b"\xff\xfe", b"[1]"):
        folder = shutil.copytree(sound, tmp_path / "job", dirs_exist_ok=True)
        (folder / "identity.json").write_bytes(content)
        with pytest.raises(UserError, match=r"identity\.json is damaged"):
            Checkpoints(folder, {"job": 1}, interval_s=0)


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ({"train": {"seed": 1}}, "train.seed: 0 there, 1 now"),
        ({"clips": "b" * 12}, "clips: 'aaaaaaaaaaaa' there, 'bbbbbbbbbbbb' now"),
        ({"folds": "other"}, "folds: 'some' there, 'other' now"),
        ({"start": "abc"}, "start: None there, 'abc' now"),
    ],
    ids=["config", "data", "folds", "initial weights"],
)
def test_another_job_is_refused_with_what_differs(tmp_path, now, said):
    there = {"train": {"seed": 0}, "clips": "a" * 12, "folds": "some"}
    checkpoints.verify_same_job(tmp_path, there)
    checkpoints.verify_same_job(tmp_path, there)
    with pytest.raises(UserError) as refused:
        checkpoints.verify_same_job(tmp_path, there | now)
    assert f"another job ({said})" in str(refused.value)
    checkpoints.verify_same_job(tmp_path, there)  # the refusal left it as it was


def test_an_edited_source_is_told_in_words(tmp_path):
    checkpoints.verify_same_job(tmp_path, {"own_code": {"mine:Net": "5d39"}})
    with pytest.raises(UserError, match=r"another job \(the source of mine:Net was edited since\)"):
        checkpoints.verify_same_job(tmp_path, {"own_code": {"mine:Net": "f97f"}})


def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"identity\.json: cannot be written \(Not a directory\)"):
        Checkpoints(tmp_path / "file" / "checkpoints", {}, interval_s=0)
