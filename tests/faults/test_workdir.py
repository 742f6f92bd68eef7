"""A run's working directory and a prepared database, read back after somebody was at them: each
command has a sentence or a result, and no other exception; nothing in a file is ever run."""

import io
import json
import pathlib
import random
import shutil
import zipfile

import msgspec
import numpy as np
import pytest

from mer_jax import datasets, experiment, faces, inference, metrics, tested_clip
from mer_jax.cli import prepare
from mer_jax.cli.audit import audit
from mer_jax.cli.tensorboard import convert
from mer_jax.datasets import prepared
from mer_jax.errors import UserError
from mer_jax.protocols import Folds
from mer_jax.reporting import comparison
from mer_jax.reporting.log_scores import format_scores, score_log
from mer_jax.training import initialization
from tests.datasets import replica
from tests.faults.spoiled import NO_JSON, Harm, corrupted, misshapen
from tests.tiny_run import job, tiny_run

VIDEO = np.random.default_rng(0).integers(0, 256, (16, 40, 40, 3), np.uint8)


def compared(workdir: pathlib.Path) -> None:
    rows = comparison.compare([comparison.open_run(workdir)] * 2, draws=5)
    cells = comparison.cells(rows)
    for form in (comparison.markdown, comparison.latex, lambda cells: comparison.html(rows, cells)):
        form(cells)


def told_apart(workdir: pathlib.Path) -> None:
    initialization.pretraining_overlap(workdir, Folds.read(workdir / "folds.json"))


# What the commands do with a working directory, and which of its files they read for that.
READERS = {
    "audit": (audit, "config.json folds.json metrics.json predictions.csv audit.npz"),
    "epochs": (tested_clip.epoch_scores, "config.json folds.json metrics.json audit.npz"),
    "seen": (tested_clip.load_tested_clip, "config.json folds.json metrics.json"),
    "predict": (
        lambda at: inference.load(at).predict_video(
            VIDEO, 100.0, eye_detector=None, window=8, stride=16
        ),
        "config.json folds.json metrics.json predict.json",
    ),
    "compare": (compared, "metrics.json predictions.csv"),
    "score": (lambda at: format_scores(score_log(metrics.read(at))), "predictions.csv"),
    "tensorboard": (lambda at: convert(at, folds=True), "metrics.jsonl"),
    "init_from": (told_apart, "folds.json"),
}
PAIRS = [(name, file) for name, (_, files) in READERS.items() for file in files.split()]


@pytest.fixture(scope="module")
def workdir(tmp_path_factory) -> pathlib.Path:
    """A finished run, for each test to spoil one file of."""
    return shutil.copytree(tiny_run(tmp_path_factory), tmp_path_factory.mktemp("a") / "run")


@pytest.fixture
def spoil(workdir):
    """A function that writes a content to a file of the run, which is whole again afterwards."""
    whole = {}

    def write(file: str, content: bytes) -> None:
        whole.setdefault(file, (workdir / file).read_bytes())
        (workdir / file).write_bytes(content)

    yield write
    for file, content in whole.items():
        (workdir / file).write_bytes(content)


def answer(reader, place) -> str:
    """What a command has against a folder; '' where it takes it."""
    try:
        reader(place)
    except UserError as error:
        assert 0 < len(str(error)) < 2000
        return str(error)
    return ""


@pytest.mark.parametrize(("name", "file"), PAIRS, ids=lambda value: value)
def test_what_is_no_such_file_at_all(workdir, spoil, name, file):
    if name == "tensorboard":
        pytest.importorskip("tensorboardX")
    for content in NO_JSON:
        spoil(file, content)
        said = answer(READERS[name][0], workdir)
        if not said:  # curves whose only line was cut off, nothing said
            assert file == "metrics.jsonl" or content == b"{}"
        else:
            assert pathlib.Path(file).stem in said, said


def damage_at_random(workdir, spoil, name, file, times):
    draw, whole = random.Random(f"{name} {file}"), (workdir / file).read_bytes()
    said = []
    for number in range(times):
        damage = misshapen if ".json" in file and number % 3 else corrupted
        spoil(file, damage(draw, whole))
        said.append(answer(READERS[name][0], workdir))
    return said


@pytest.mark.parametrize(("name", "file"), PAIRS, ids=lambda value: value)
def test_damage(workdir, spoil, name, file):
    if name == "tensorboard":
        pytest.importorskip("tensorboardX")
    said = damage_at_random(workdir, spoil, name, file, 20)
    print(f"{name}, {file}: {sum(map(bool, said))} of {len(said)} told")
    assert any(said)


def archive(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return out.getvalue()


def npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=True)
    return out.getvalue()


def claiming(shape: str, kind: str = "<i4") -> bytes:
    """The header of an array of that shape, and next to nothing of it."""
    head = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\0" + len(head).to_bytes(2, "little") + head + bytes(64)


def test_the_arrays_of_an_audit(workdir, spoil, tmp_path):
    struck = tmp_path / "struck"
    with np.load(workdir / "audit.npz") as file:
        whole = dict(file)
    assert answer(audit, workdir) == ""
    spoil("audit.npz", archive(**{name: npy(value) for name, value in whole.items()}))
    assert answer(audit, workdir) == ""
    sample_counts, epochs = whole["sample_counts"], whole["epochs"]
    bad = {
        "sample_counts": [
            npy(np.full(sample_counts.shape, Harm(struck), object)),
            *(
                npy(sample_counts[..., :-1]),
                npy(sample_counts[None]),
                npy(sample_counts.astype(str)),
            ),
            *(
                npy(sample_counts * np.nan),
                npy(sample_counts.astype("M8[s]")),
                npy(sample_counts.astype("i4, i4")),
            ),
            *(claiming("(4294967296, 4294967296)"), claiming("(-1, 12)"), claiming("'a'")),
            *(
                claiming(str(sample_counts.shape)),
                claiming(str(sample_counts.shape), "|O"),
                b"",
                b"\x93NUMPY",
            ),
            claiming("(" * 9000),
        ],
        "labels": [npy(whole["labels"] - 9), npy(whole["labels"] + 2**30), claiming("(2**40,)")],
        "repeats_per_epoch": [
            npy(np.array(0.5)),
            npy(np.array(10**9)),
            npy(np.array(-1)),
            npy(np.ones(2)),
        ],
        "epochs": [npy(epochs + 10**9), npy(epochs - 9), npy(epochs[:1])],
        "chosen": [npy(whole["chosen"] - 9), npy(whole["chosen"].astype(bool))],
        "validation_loss": [npy(whole["validation_loss"][:, :0]), npy(np.zeros(3, np.float32))],
        "statistics_mask": [npy(whole["statistics_mask"].astype(np.int8))],
    }
    for name, contents in bad.items():
        for content in contents:
            spoil("audit.npz", archive(**{k: npy(v) for k, v in whole.items()} | {name: content}))
            assert "audit.npz is damaged" in answer(audit, workdir), (name, content[:90])
        assert "audit.npz is damaged" in answer(tested_clip.epoch_scores, workdir)
    for name in whole:
        left = {k: npy(v) for k, v in whole.items() if k != name}
        spoil("audit.npz", archive(**left))
        assert "audit.npz is damaged" in answer(audit, workdir)
    assert not struck.exists()


def test_a_measure_of_clips_that_no_clip_has(workdir, spoil):
    kept = msgspec.structs.asdict(inference.profile.read(workdir))
    for change in (
        {"size": [0, 40]},
        {"size": [40]},
        {"size": [40.5, 40]},
        {"size": [10**9, 10**9]},
        {"channels": 2},
        {"channels": True},
        {"eyes": [1.0, 2.0]},
        {"eyes": [0.5, 0.5, 0, 1]},
        {"fps": -1},
        {"length": 0},
        {"length": 10**12},
        {"marked": 1},
        {"movement": -1},
        {"movement": None},
    ):
        spoil("predict.json", json.dumps(kept | change).encode())
        assert "predict.json is damaged" in answer(inference.load, workdir), change


def test_folds_that_are_none(workdir, spoil):
    whole = json.loads((workdir / "folds.json").read_bytes())
    first, *others = whole["folds"]
    for change in (
        {"folds": [first | {"train": [-1]}, *others]},
        {"folds": [first | {"test": [10**9]}, *others]},
        {"folds": [first | {"test": [True]}, *others]},
        {"folds": [first, first, *others]},
        {"folds": [first | {"test": first["train"]}, *others]},
        {"folds": []},
        {"folds": others},
        {"clips": whole["clips"][:-1]},
        {"clips": whole["clips"][:1] * len(whole["clips"])},
        {"subjects": [*whole["subjects"], "x"]},
    ):
        spoil("folds.json", json.dumps(whole | change).encode())
        for reader in (audit, tested_clip.load_tested_clip, inference.load):
            assert answer(reader, workdir), change


def rerun(workdir: pathlib.Path) -> None:
    experiment.run(job(), workdir, quiet=True)


def test_the_same_command_in_a_spoiled_folder(workdir, spoil):
    """What a job reads back is refused where it is damaged, and what it wrote is written again."""
    names = ["predictions.csv", "metrics.jsonl", "audit.npz"]
    names += [f"{name}.json" for name in ("config", "metrics", "folds", "predict")]
    whole = {name: (workdir / name).read_bytes() for name in names}
    for name in whole.keys() - {"metrics.jsonl", "predict.json"}:
        spoil(name, b"[" * 9000)
    assert answer(rerun, workdir) == ""
    again = {name: (workdir / name).read_bytes() for name in ("predictions.csv", "folds.json")}
    assert again == {name: whole[name] for name in again} and audit(workdir) == ([], [])
    spoil("metrics.jsonl", b"[\n" + whole["metrics.jsonl"])
    assert answer(rerun, workdir) == ""  # the report is made from what the job holds
    assert "metrics.jsonl" in answer(READERS["tensorboard"][0], workdir)
    spoil("metrics.jsonl", whole["metrics.jsonl"] + b'{"epoch": 3, "fol')  # killed while writing
    assert answer(rerun, workdir) == ""


HOW = faces.CropConfig("none", (20, 16), gray=True)


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> pathlib.Path:
    root = tmp_path_factory.mktemp("source") / "db"
    replica.write("casme2", root, subjects=1, known_issues=False, size=(40, 32))
    return root


def made(source: pathlib.Path, out: pathlib.Path) -> list[tuple[str, bytes]]:
    """Key and frames of each clip that `mer-jax prepare` makes of `source`."""
    return clips(prepare.prepare("casme2", source, out, config=HOW, quiet=True))


def clips(found) -> list[tuple[str, bytes]]:
    return [(clip.key, clip.frames.tobytes()) for clip in found]


def test_a_prepared_database(source, tmp_path):
    out, times = tmp_path / "out", 9
    whole, told = made(source, out), 0
    draw = random.Random(times)
    files = [path for path in out.rglob("*") if path.is_file() and path.name != ".lock"]
    for file in files:
        content = file.read_bytes()
        spoiled = [b"", content[: len(content) // 2], bytes(len(content))]
        if file.suffix == ".json":
            spoiled += [*NO_JSON, *(misshapen(draw, content) for _ in range(times))]
        spoiled += [corrupted(draw, content) for _ in range(times)]
        for damage in spoiled:
            file.write_bytes(damage)
            prepared._source.cache_clear()
            try:
                found = clips(datasets.load("prepared", out, skip_source_check=True))
            except UserError as error:
                assert str(out) in str(error) or "records" in str(error)
                told += 1
            else:  # a mark beside the frames may be another one, a frame not
                assert set(found) <= set(whole), file
            prepare._current(out, "casme2", "another")
        file.write_bytes(content)
    print(f"{told} told")
    assert told > times


def test_the_journal_of_a_preparation(source, tmp_path, monkeypatch):
    """What a killed command had cut out is used again where it is whole, and never otherwise."""
    struck, out = tmp_path / "struck", tmp_path / "out"
    whole, kept = made(source, tmp_path / "undisturbed"), {}

    def stop(*_):
        kept.update({path.name: path.read_bytes() for path in (out / ".work").iterdir()})
        raise UserError("killed")

    with monkeypatch.context() as at:
        at.setattr(prepare, "_finished", stop)
        with pytest.raises(UserError, match="killed"):
            made(source, out)
    assert len(kept) == len(whole) >= 3
    draw = random.Random(0)
    content = kept[min(kept)]
    with np.load(io.BytesIO(content)) as file:
        one = {name: npy(value) for name, value in file.items()}
    for damage in (
        *(b"", content[:-30], content[:200], b"PK\x03\x04", bytes(9)),
        *(corrupted(draw, content) for _ in range(9)),
        archive(**one | {"frames": npy(np.full((3, 20, 16, 1), Harm(struck), object))}),
        archive(**one | {"frames": claiming("(4294967296, 20, 16, 1)", "|u1")}),
        archive(**one | {"landmarks": npy(np.zeros((2, 5), np.float32))}),
        archive(note=one["note"]),
    ):
        (out / ".work").mkdir(exist_ok=True)
        for name, whole_one in kept.items():
            (out / ".work" / name).write_bytes(damage if name == min(kept) else whole_one)
        (out / prepared.MANIFEST).unlink(missing_ok=True)
        assert made(source, out) == whole
    assert not struck.exists()
