"""A run as one file: out, in, and what is wrong with a file."""

import json
import pickle
import shutil
import zipfile

import numpy as np
import pytest

from mer_jax import configuration, inference
from mer_jax.datasets import load
from mer_jax.errors import UserError
from mer_jax.inference import run_file, spotter
from mer_jax.spotting import Fold
from tests.tiny_run import tiny_run


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return tiny_run(tmp_path_factory)


@pytest.fixture(scope="module")
def file(workdir, tmp_path_factory):
    path = tmp_path_factory.mktemp("file") / "tiny.merrun"
    run_file.export(workdir, path, licenses={"synthetic": "free"}, license="CC0")
    return path


def test_the_file_predicts_as_the_run_does_byte_for_byte(workdir, file, tmp_path):
    manifest = run_file.unpack(file, tmp_path / "theirs")
    (clip,) = load("synthetic", subjects=1, clips_per_subject=1, frames=(12, 12), size=(40, 40))
    found = []
    for run in (workdir, file, tmp_path / "theirs"):
        predictor = inference.load(run)
        assert predictor.profile == inference.load(workdir).profile
        result = predictor.predict_video(clip.frames, 100.0, threshold=0.0, eye_detector=None)
        found.append((result.csv(), result.probabilities.tobytes(), predictor.digest))
    assert found[0] == found[1] == found[2] and "p_negative" in found[0][0]
    assert inference.load(file, fold=1).networks.folds == ("synthetic/s02",)
    assert manifest.databases == [run_file.Database("synthetic", 12, 3, "free")]
    assert manifest.license == "CC0" and manifest.classes == ["negative", "positive", "surprise"]


def test_the_file_has_four_entries_and_no_path_of_this_machine(workdir, file):
    with zipfile.ZipFile(file) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    assert set(entries) == {"run.json", "config.json", "predict.json", "weights.npz"}
    assert entries["predict.json"] == (workdir / "predict.json").read_bytes()
    config = json.loads(entries["config.json"])
    assert set(config["data"]) == {"name", "label_scheme"} and not config["examples_dir"]
    assert str(workdir).encode() not in b"".join(entries.values())


def rewritten(file, path, **changes):
    """`file` with some entries replaced (None: left out), and digests that fit."""
    with zipfile.ZipFile(file) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    entries = {name: data for name, data in (entries | changes).items() if data is not None}
    if "run.json" not in changes:
        manifest = json.loads(entries["run.json"])
        manifest["digests"] = {
            name: run_file.saving.digest(entries[name])
            for name in manifest["digests"]
            if name in entries
        }
        entries["run.json"] = json.dumps(manifest).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return path


def test_foreign_and_damaged_files_are_one_sentence(file, tmp_path):
    with zipfile.ZipFile(file) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    config, manifest = (json.loads(entries[name]) for name in ("config.json", "run.json"))
    content = file.read_bytes()
    middle = content.index(b"weights.npz") + len(entries["weights.npz"]) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    raw = {
        "text": (b"no zip", "is no file of mer-jax export-run"),
        "empty": (b"", "is no file of mer-jax export-run"),
        "short": (content[:-100], "is no file of mer-jax export-run, or it is cut short"),
        "flipped": (flipped, "is damaged"),
    }
    np.savez(tmp_path / "pickled.npz", **{"params/a": np.array([{}], object)})
    evil = config | {"model": config["model"] | {"name": "subprocess:Popen"}}
    made = {
        "extra": ({"../evil.py": b"x"}, "is no file of mer-jax export-run"),
        "missing": ({"predict.json": None}, "is no file of mer-jax export-run"),
        "code": ({"config.json": json.dumps(evil).encode()}, "is the code 'subprocess:Popen'"),
        "option": (
            {"config.json": json.dumps(config | {"model": {"name": "ststnt"}}).encode()},
            "did you mean 'ststnet'",
        ),
        "pickle": ({"weights.npz": (tmp_path / "pickled.npz").read_bytes()}, "is damaged"),
        "weights": ({"weights.npz": pickle.dumps({})}, "is damaged"),
        "newer": (
            {"run.json": json.dumps(manifest | {"format": "mer_jax run, version 9"}).encode()},
            "install the one that wrote it",
        ),
        "rows": (
            {"run.json": json.dumps(manifest | {"folds": ["one"]}).encode()},
            "another number of folds",
        ),
        "digests": (
            {"run.json": json.dumps(manifest | {"digests": {}}).encode()},
            "digests are not of its entries",
        ),
        "profile": ({"predict.json": b"{"}, "is not JSON"),
    }
    for name, (data, _) in raw.items():
        (tmp_path / name).write_bytes(data)
    for name, (changes, _) in made.items():
        rewritten(file, tmp_path / name, **changes)
    for name, (_, message) in (raw | made).items():
        with pytest.raises(UserError, match=message) as error:
            inference.load(tmp_path / name)
        assert "\n" not in str(error.value), name
    assert not list(tmp_path.glob(".part-*"))


def test_the_file_of_a_spotting_run(tmp_path):
    """A rule without networks; those with one are in tests/test_spotting_experiment.py."""
    run = tmp_path / "run"
    run.mkdir()
    config = configuration.make_spotting(data="synthetic", evidence="strain")
    fold = Fold("mine/s1", "micro", 5, 4, 6, 2, 30.0, 0.5, 0.4)._asdict()
    record = {"recordings": ["mine/s1/a", "mine/s1/b", "mine/s2/c"], "folds": [fold]}
    content = {"config.json": configuration.to_dict(config), "spotters.json": record}
    content["config.json"]["data"]["root"] = str(tmp_path)
    content["config.json"]["examples_dir"] = str(tmp_path / "examples")
    for name, each in content.items():
        (run / name).write_text(json.dumps(each))
    file = tmp_path / "run.merrun"
    manifest = run_file.export(run, file)
    assert manifest.databases == [run_file.Database("mine", 3, 2, "ask its owners")]
    assert (manifest.classes, manifest.content) == (["micro"], "recordings")
    assert run_file.is_spotting(file) and spotter.load(file).digest == spotter.load(run).digest
    assert str(tmp_path).encode() not in file.read_bytes()
    with pytest.raises(UserError, match="is no file of mer-jax export-run"):
        spotter.load(rewritten(file, tmp_path / "more", **{"networks/../evil.npz": b""}))
    code = content["config.json"] | {"evidence": {"name": "mine:evidence"}}
    changed = rewritten(file, tmp_path / "code", **{"config.json": json.dumps(code).encode()})
    with pytest.raises(UserError, match="is the code 'mine:evidence'"):
        spotter.load(changed)


def test_what_is_not_exported_or_unpacked(workdir, file, tmp_path):
    own = tmp_path / "own"
    shutil.copytree(workdir, own)
    config = json.loads((own / "config.json").read_text())
    config["method"] = {"name": "mer_jax.methods.stcnn:stcnn", "size": [16, 16]}
    (own / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"is the code 'mer_jax\.methods\.stcnn:stcnn'"):
        run_file.export(own, tmp_path / "own.merrun")
    with pytest.raises(UserError, match="is no working directory"):
        run_file.export(tmp_path, tmp_path / "x.merrun")
    with pytest.raises(UserError, match="is not an empty folder"):
        run_file.unpack(file, own)
    with pytest.raises(UserError, match="there is no such file"):
        run_file.unpack(tmp_path / "nothing", tmp_path / "new")
    assert not (tmp_path / "own.merrun").exists() and not (tmp_path / "new").exists()
