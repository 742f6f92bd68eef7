"""The notebooks: sound files without outputs, and every cell runs (on small sizes) in a kernel."""

import os
import pathlib
import re

import nbclient
import nbformat
import pytest

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "experiments" / "notebooks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
# What each leaves behind, and how many pictures it shows.
LEAVES = {
    "own_database": (["runs/small/own/report.html", "runs/small/own/metrics.json"], 0),
    "own_parts": (["own/run/report.html", "own/run/predictions.csv", "own/my_network.py"], 0),
    "paper_table": (["runs/small/table/table.html", "runs/small/table/control/metrics.json"], 1),
    "preprocessing": ([], 6),
    "quickstart": (
        ["runs/small/quickstart/report.html", "runs/small/quickstart/predictions.csv"],
        1,
    ),
}
# What some of them print.
PRINTED = {
    "own_database": ("1 problem(s)", "UF1"),
    "own_parts": ("No test clip was used", "0 contradictions, 0 leaks", "rendered as"),
}


def read(name: str) -> nbformat.NotebookNode:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def code(book: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in book.cells if cell.cell_type == "code"]


def test_all_are_listed():
    assert sorted(LEAVES) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_file_is_sound_and_holds_nothing_of_anybodys_machine(name):
    book = read(name)
    nbformat.validate(book)
    assert (book.nbformat, book.nbformat_minor) >= (4, 5)
    identities = [cell.id for cell in book.cells]
    assert len(set(identities)) == len(identities)
    assert all(not cell.outputs and cell.execution_count is None for cell in code(book))
    text = (FOLDER / f"{name}.ipynb").read_text(encoding="utf-8")
    assert not re.search(r"/(home|root|work|tmp|Users)/|[A-Z]:\\\\", text)
    first, install, sizes = book.cells[0], *code(book)[:2]
    assert f"OWNER/REPOSITORY/blob/main/experiments/notebooks/{name}.ipynb" in first.source
    assert install.source == code(read("quickstart"))[0].source
    assert 'REPOSITORY = ""' in install.source
    assert sizes.source.startswith("SMALL = False")


@pytest.mark.e2e
@pytest.mark.parametrize("name", NAMES)
def test_every_cell_runs(name, tmp_path, monkeypatch):
    for key, value in {
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": os.pathsep.join([str(FOLDER.parents[1]), os.environ.get("PYTHONPATH", "")]),
    }.items():
        monkeypatch.setenv(key, value)
    book = read(name)
    sizes = code(book)[1]
    sizes.source = sizes.source.replace("SMALL = False", "SMALL = True")
    where = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(book, timeout=400, kernel_name="python3", resources=where).execute()
    outputs = [output for cell in code(book) for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    files, pictures = LEAVES[name]
    for file in files:
        assert (tmp_path / file).stat().st_size > 100
    shown = [o for o in outputs if {"image/png", "image/gif"} & o.get("data", {}).keys()]
    assert len(shown) >= pictures
    printed = "".join(output.get("text", "") for output in outputs)
    for sentence in PRINTED.get(name, ()):
        assert sentence in printed
