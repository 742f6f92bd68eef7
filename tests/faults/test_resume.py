"""A job and its folder: what goes on there, what is refused, and what hostile names become."""

import csv
import html.parser
import json
import pathlib
import signal
import time

import numpy as np
import pytest

from mer_jax import configuration, datasets, experiment, inference
from mer_jax.errors import UserError
from tests.datasets import replica
from tests.faults import jobs

# Of clips and of the database; some spreadsheets and browsers would act on them.
HOSTILE = (
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "=HYPERLINK(1)", "@SUM(1)",
    "+1", "-1", "a\u202eb", "x&y'z", "é 1", "''=1",
)  # fmt: skip


@pytest.fixture
def root(tmp_path) -> pathlib.Path:
    """Flow maps of four persons whose clips have hostile names."""
    root = tmp_path / "maps"
    replica.write("flow_maps", root, subjects=4)
    rows = list(csv.DictReader((root / "index.csv").open(encoding="utf-8")))
    for number, row in enumerate(rows):
        row["clip"] = f"{HOSTILE[number % len(HOSTILE)]}{number}"
    rewrite(root, rows)
    return root


def rewrite(root: pathlib.Path, rows: list[dict[str, str]]) -> None:
    with open(root / "index.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


def job(root: pathlib.Path, **train):
    return configuration.make(
        data={"name": "flow_maps", "root": str(root)},
        method={"name": "flow_maps", "size": (24, 20)},
        model={"name": "ststnet", "maps": (1, 1, 1)},
        train={"epochs": 1, "batch_size": 8} | train,
    )


class Page(html.parser.HTMLParser):
    """The tags of a page, with the names of their attributes."""

    def __init__(self, text: str):
        super().__init__()
        self.tags = set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags |= {tag, *(f"{tag} {name}" for name, _ in attrs)}


def test_another_job_is_refused_and_hostile_names_stay_names(root, tmp_path):
    workdir = tmp_path / "run"
    experiment.run(job(root), workdir, quiet=True)
    before = {path: path.read_bytes() for path in workdir.rglob("*") if path.is_file()}

    def refusal(**train) -> str:
        with pytest.raises(UserError) as told:
            experiment.run(job(root, **train), workdir, quiet=True)
        now = {path: path.read_bytes() for path in workdir.rglob("*") if path.is_file()}
        assert now == before
        return str(told.value)

    said = refusal(epochs=2, seed=5)
    assert f"{workdir} holds another job" in said
    assert (
        "train.epochs: 1 there, 2 now; train.seed: 0 there, 5 now" in said and "clips" not in said
    )
    index = (root / "index.csv").read_bytes()
    rows = list(csv.DictReader((root / "index.csv").open(encoding="utf-8")))
    # A picture of another content.
    first = root / rows[0]["file"]
    picture = first.read_bytes()
    first.write_bytes((root / rows[1]["file"]).read_bytes())
    said = refusal()
    assert "clips: '" in said and "folds" not in said and "train" not in said
    first.write_bytes(picture)
    # Another label.
    labels = {row["label"] for row in rows} - {rows[0]["label"]}
    rewrite(root, [rows[0] | {"label": min(labels)}, *rows[1:]])
    assert "clips: '" in refusal()
    # The same pictures and labels, dealt out to other persons: another list of folds.
    rewrite(root, [row | {"subject": f"{row['subject']}0"} for row in rows])
    said = refusal()
    assert "folds: '" in said and "clips" not in said
    (root / "index.csv").write_bytes(index)

    # The folder of the database, the title and the parts of the report may change.
    moved = root.rename(tmp_path / "moved")
    again = job(moved)
    again.title = "=1+1 <marquee>"
    again.report.thumbnails = False
    experiment.run(again, workdir, quiet=True)
    assert (workdir / "predictions.csv").read_bytes() == before[workdir / "predictions.csv"]

    text = (workdir / "predictions.csv").read_text(encoding="utf-8")
    cells = [cell for row in csv.reader(text.splitlines()) for cell in row]
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in cells)
    assert sum("script" in cell for cell in cells) >= 1
    page = (workdir / "report.html").read_text(encoding="utf-8")
    assert "&lt;script&gt;alert" in page and "&lt;marquee&gt;" in page
    tags = Page(page).tags
    assert not tags & {"script", "marquee", "img onerror"} and "h1" in tags
    names = {clip.name for clip in datasets.load("flow_maps", moved)}
    assert names == {row["clip"] for row in rows}


def test_names_that_are_no_utf8(tmp_path):
    """A file's name is bytes on Linux; what is not text is told of, whatever the database."""
    for name in ("smic", "mug", "casme2", "samm"):
        root = tmp_path / name
        replica.write(name, root, subjects=1, known_issues=False, size=(10, 8))
        frame = next(
            path for path in sorted(root.rglob("*")) if path.suffix in (".png", ".jpg", ".bmp")
        )
        try:
            frame.rename(frame.with_name("\udcff1" + frame.suffix))
        except OSError:
            pytest.skip("this file system takes text alone")
        with pytest.raises(UserError, match="is not UTF-8; rename it") as told:
            datasets.load(name, root)
        str(told.value).encode()


def test_a_second_job_in_the_same_folder_is_refused_and_does_no_harm(tmp_path, undisturbed):
    first = jobs.start(*jobs.SMALL, f"--workdir={tmp_path / 'run'}")
    while first.poll() is None and jobs.epochs_done(tmp_path / "run") < 5:
        time.sleep(0.01)
    first.send_signal(signal.SIGSTOP)  # for as long as the second takes
    try:
        code, out, err = jobs.run(*jobs.SMALL, f"--workdir={tmp_path / 'run'}")
        assert code == 2 and not out and "Traceback" not in err
        assert f"{tmp_path / 'run'} is in use by another job that is still running" in err
        assert jobs.epochs_done(tmp_path / "run") < 40
    finally:
        first.send_signal(signal.SIGCONT)
    _, err = first.communicate(timeout=600)
    assert first.returncode == 0, err
    assert not jobs.differences(tmp_path / "run", undisturbed)


CONFIG = """
import dataclasses
import jax, jax.numpy as jnp
from mer_jax import methods
from tests.tiny_run import job

create = methods.create

def poisoned(name, clips, **options):
    examples = create(name, clips, **options)
    def fit_statistics(inputs, weights):  # NaN for the fold that tests the first clip
        bad = (weights[0] == 0) & {poison}
        statistics = examples.fit_statistics(inputs, weights)
        return jax.tree.map(lambda a: jnp.where(bad, jnp.nan, a), statistics)
    return dataclasses.replace(examples, fit_statistics=fit_statistics)

methods.create = poisoned

def get_config():
    return job(epochs=3)
"""


def test_a_diverged_fold_stays_alone_and_is_reported(tmp_path):
    """The command from end to end: its exit code, what it says, its report, the other folds."""
    for name, poison in (("well", False), ("sick", True)):
        (tmp_path / f"{name}.py").write_text(CONFIG.format(poison=poison))
    run = lambda name: jobs.run(
        f"--config={tmp_path / name}.py",
        f"--workdir={tmp_path / name}",
        "--config.parallel.within=map",
    )
    code, _, err = run("well")
    assert code == 0, err
    for _ in range(2):  # started again it says the same
        code, out, err = run("sick")
        assert code == 3 and "Traceback" not in err, err
        assert "error: the loss is not finite in synthetic/s01" in err and "UF1" in out
    well, diverged = (jobs.outcome(tmp_path / name) for name in ("well", "sick"))
    summary = json.loads((tmp_path / "sick" / "metrics.json").read_text())
    assert summary["diverged_folds"] == ["synthetic/s01"]
    page = (tmp_path / "sick" / "report.html").read_text()
    assert "DIVERGED" in page and "synthetic/s01" in page
    networks = inference.load(tmp_path / "sick").networks
    assert networks.folds == ("synthetic/s02", "synthetic/s03")  # the others answer
    with pytest.raises(UserError, match=r"training of synthetic/s01 in .*sick diverged"):
        inference.load(tmp_path / "sick", fold="synthetic/s01")
    rows = {
        name: [
            line for line in found["predictions.csv"].splitlines() if b",synthetic/s01," not in line
        ]
        for name, found in (("well", well), ("sick", diverged))
    }
    assert rows["well"] == rows["sick"] and len(rows["well"]) == 9  # the head and 8 of 12 clips
    for name in ("curve train_loss", "curve test_accuracy"):
        curves = [np.frombuffer(found[name]).reshape(3, -1)[1:] for found in (well, diverged)]
        np.testing.assert_array_equal(*curves)
