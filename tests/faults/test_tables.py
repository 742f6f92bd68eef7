"""Text from outside: indices, sheets, logs, predictions, journals, JSON. Whatever is in it, there
is a sentence of ours or a result, and never another exception."""

import json
import os
import random
import time
from typing import Any

import pytest

from mer_jax import datasets, metrics
from mer_jax.errors import UserError
from mer_jax.io import learning_curves, reading, saving
from mer_jax.reporting import report
from mer_jax.reporting.log_scores import read_expected_clips, score_log
from tests.datasets import replica
from tests.faults.spoiled import corrupted
from tests.metrics.examples import predictions

CRAFTED = (
    *(b"", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\n\n\n", b",\n", b",", b'"', b'"\n', b"a,b\r\rc"),
    b"\x80\x81 1 2\n",  # no UTF-8
    "sub\u202e 1\nclip 0 1\n".encode(),
    b"casme2 sub01\nclip 0 " + b"9" * 5000 + b"\n",  # beyond what Python reads as a number
    b"casme2 sub01\nclip 0 999999999\n",  # a list of so many classes would fill the memory
    b"casme2 sub01\nclip -1 0\n",
    b"clip 0 1\n",
    b"database,subject,clip,label,predicted\n" + b"x" * 200_000 + b",a,b,c,d\n",
    b"database,subject,clip,label,predicted,p_a,p_a\nc,s,x,a,a,1,0\n",
    b"database,subject,clip,label,predicted,p_a,p_b\nc,s,x,a,a,nan,inf\n",
    b"database,subject,clip,label,predicted\n" + b"c,s,x,a\n" * 3,
    b"database,subject,clip,label\nc,s,x\n",
    b"database;subject;clip;label;predicted\nc;s;x;a\n",
    b"database;subject;clip;label;predicted;p_a;p_A\nc;s;x; a;a;0,x;1\n",
    b"database\tsubject\tclip\tlabel\tpredicted\nc\ts\tx\t \ta\n",
    b"Ground Truth : [0]\n",
    b"Subject: 1\nPredicted : [0, 1]\nGround Truth : [0]\n",
    b"Subject: 1\nSubject: 1\nPredicted : [" + b"1" * 9000 + b"\nGround Truth : [0]\n",
    b"[" * 100_000,
    b'{"folds": []}',
    b'{"folds": [1], "epoch": 1e999, "train_loss": [1]}\n\n',
    b'{"folds": ["a"], "epoch": 1, "train_loss": ["x"]}\n\n',
    b'{"folds": ["a"], "epoch": 1, "train_loss": [[1, 2]]}\n\n',
    b'{"folds": 3, "epoch": "x"}\n\n',
    b'{"a": ' + b"9" * 5000 + b"}\n",
    b"null\n",
    b"NaN\n",
)
READERS = {
    "log or predictions": lambda path: score_log(metrics.read(path)),
    "log with classes": lambda path: metrics.read(path, classes=("a", "b")),
    "expected clips": read_expected_clips,
    "journal": learning_curves.read,
    "json": lambda path: reading.load_json(path, Any),
}


def told(reader, path) -> str:
    """What the reader has against the file; '' where it takes it."""
    try:
        reader(path)
    except UserError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", READERS)
def test_crafted_content_is_a_sentence(tmp_path, name):
    path, refused = tmp_path / "given", 0
    for content in CRAFTED:
        path.write_bytes(content)
        said = told(READERS[name], path)
        refused += bool(said)
        assert not said or "given" in said, content[:80]
    assert refused > len(CRAFTED) / 4


@pytest.mark.parametrize("name", READERS)
def test_corrupted_files_are_a_sentence_or_a_result(tmp_path, name):
    draw = random.Random(name)
    record = predictions(clips=6)
    sound = [
        metrics.write_csv(tmp_path / "a.csv", record).read_bytes(),
        metrics.write_log(tmp_path / "a.txt", record).read_bytes(),
        b"".join(
            json.dumps({"epoch": e, "folds": ["a", "b"], "train_loss": [1.5, e]}).encode() + b"\n"
            for e in range(5)
        ),
        saving.write_json(tmp_path / "a.json", {"a": [1, {"b": "c" * 20}], "d": None}).read_bytes(),
    ]
    for _ in range(150):
        path = tmp_path / "given"
        path.write_bytes(corrupted(draw, draw.choice(sound)))
        said = told(READERS[name], path)
        assert not said or "given" in said


@pytest.mark.parametrize("name", ["flow_maps", "casme2"])
def test_corrupted_sheets_are_problems_or_clips(tmp_path, name):
    """Whole replicas damaged at random are in tests/datasets/test_corruption.py; here the bytes."""
    root = tmp_path / "db"
    replica.write(name, root, subjects=1, known_issues=False, size=(10, 8))
    (sheet,) = (p for p in root.iterdir() if p.suffix in (".csv", ".xlsx"))
    content, draw = sheet.read_bytes(), random.Random(name)
    for _ in range(25):
        sheet.write_bytes(corrupted(draw, content))
        found = datasets.inspect(name, root)
        assert found.clips or found.problems
        assert all(str(problem) for problem in found.problems)


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("/etc/hostname", "is outside the folder"),
        ("../outside.png", "is outside the folder"),
        ("maps/../../outside.png", "is outside the folder"),
        ("..\\outside.png", "is outside the folder"),
        ("C:\\outside.png", "is outside the folder"),
        (".", "does not exist"),
        ("./", "does not exist"),
        ("maps", "does not exist"),
        ("x" * 5000 + ".png", "does not exist"),
        ("maps/" + "y/" * 3000 + "z.png", "does not exist"),
        ("pipe.png", "does not exist"),
        ("linked/outside.png", "is a link out of"),
        ("link.png", "is a link out of"),
        ("loop.png", "does not exist"),
        ("=cmd|' /C calc'!A0", "does not exist"),
        ("<img src=x>", "does not exist"),
    ],
    ids=range(16),
)
def test_an_index_leads_nowhere_else(tmp_path, file, said):
    root = tmp_path / "maps"
    replica.write("flow_maps", root, subjects=1)
    good = next((root / "maps").iterdir())
    (tmp_path / "outside.png").write_bytes(good.read_bytes())
    (root / "linked").symlink_to(tmp_path)
    (root / "link.png").symlink_to(tmp_path / "outside.png")
    (root / "loop.png").symlink_to(root / "loop.png")
    os.mkfifo(root / "pipe.png")
    with open(root / "index.csv", "a", newline="") as index:
        index.write(f'casme2,sub99,clip99,negative,"{file}"\n')
    found = datasets.inspect("flow_maps", root)
    assert [said in str(problem) for problem in found.problems] == [True], found.problems


def many(root, count: int) -> float:
    """Seconds that an index of `count` clips takes, each read and checked."""
    replica.write("flow_maps", root, subjects=1)
    file = next((root / "maps").iterdir()).name
    rows = (f"casme2,sub{i % 1000:03d},clip{i},negative,maps/{file}\n" for i in range(count))
    (root / "index.csv").write_text("database,subject,clip,label,file\n" + "".join(rows))
    began = time.perf_counter()
    found = datasets.inspect("flow_maps", root)
    assert len(found.clips) == count and not found.problems
    return time.perf_counter() - began


def test_a_hundred_thousand_clips(tmp_path):
    print(f"{many(tmp_path / 'maps', 100_000):.1f} s")


def test_names_are_data_and_never_markup_or_formulas(tmp_path):
    """From an index with hostile names to what a spreadsheet and a browser are given."""
    names = ["<script>alert(1)</script>", "=HYPERLINK(1)", "@SUM(1)", "a\u202eb", "x&y'z", "é 1"]
    root = tmp_path / "maps"
    replica.write("flow_maps", root, subjects=1)
    file = next((root / "maps").iterdir()).name
    subjects = [name.replace("/", "") for name in names]  # a subject has no "/"
    rows = [f'casme2,"{s}","{n}",negative,maps/{file}\n' for s, n in zip(subjects, names)]
    (root / "index.csv").write_text(
        "database,subject,clip,label,file\n" + "".join(rows), encoding="utf-8"
    )
    clips = datasets.load("flow_maps", root)
    assert [clip.name for clip in clips] == names
    record = predictions(clips=len(names))
    record.clip[:] = names
    record.subject[:] = subjects
    written = metrics.write_csv(tmp_path / "predictions.csv", record)
    for line in written.read_text(encoding="utf-8").splitlines()[1:]:
        assert not any(cell.startswith(("=", "+", "-", "@")) for cell in line.split(","))
    assert metrics.read(written).clip.tolist() == names
    log = metrics.write_log(tmp_path / "log.txt", record)
    assert metrics.read(log).clip.tolist() == names
    page = report.write(
        tmp_path / "report.html",
        config={"title": names[0]},
        summary=metrics.summary(record, protocol="loso", leaks=[]),
        predictions=record,
        provenance={"command": names[0]},
    ).read_text(encoding="utf-8")
    assert "<script>alert" not in page
