"""Replicas damaged at random: it is reported, or it changed nothing, and nothing else is raised."""

import hashlib
import pathlib
import re
import shutil
import tempfile

import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mer_jax import datasets
from mer_jax.errors import DataError, UserError
from tests.datasets import replica

# name -> release
DATABASES = {
    "casme2": "2014",
    "casme": "cropped",
    "casme_squared": "cropped",
    "samm": "2018",
    "mmew": "",
    "casme3": "clips",
    "fourdme": "",
    "flow_maps": "",
}
UNREAD = {
    *("Inducement Code", "Duration", "Micro", "Notes", "Total", "ApexF2", "remarks"),
    *("fold", "AU4", "AU12"),
}


def outcome(name, root):
    """(what a user is told, what he gets)."""
    found = datasets.inspect(name, root)
    try:
        assert len(datasets.load(name, root)) == len(found.clips)
    except DataError as error:
        assert error.problems == tuple(found.problems)
    clips = set()
    for clip in found.clips:
        try:
            files = getattr(clip.read, "files", None) or (clip.read.path,)
            pixels = hashlib.md5(b"".join(file.read_bytes() for file in files)).hexdigest()
        except UserError as error:
            pixels = str(error)
        instants = clip.onset, clip.apex, clip.offset, clip.objective
        clips.add((clip.key, clip.emotion, clip.action_units, *instants, pixels))
    told = [str(finding) for finding in (*found.problems, *found.notes, *found.sources)]
    return told, clips


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    roots = {}
    for name, release in DATABASES.items():
        root = tmp_path_factory.mktemp(name)
        replica.write(name, root, subjects=1, release=release, known_issues=False, size=(10, 8))
        roots[name] = root, *outcome(name, root)
    return roots


def damage_file(draw, root):
    file = draw(st.sampled_from(sorted(p for p in root.rglob("*") if p.is_file())))
    data = file.read_bytes()
    how = draw(st.sampled_from(["delete", "cut", "empty", "text", "rename", "number"]))
    if how == "delete":
        file.unlink()
    elif how == "cut":
        file.write_bytes(data[: draw(st.integers(0, len(data) - 1))])
    elif how == "empty":
        file.write_bytes(b"")
    elif how == "text":
        file.write_text("<html>sign in to download</html>")
    elif how == "rename":
        file.rename(file.with_name(f"old-{file.name}.part"))
    elif how == "number":
        file.rename(file.with_name(f"{file.stem}9{file.suffix}"))


def damage_folder(draw, root):
    folder = draw(st.sampled_from(sorted(p for p in root.rglob("*") if p.is_dir())))
    if draw(st.booleans()):
        shutil.rmtree(folder)
    else:
        folder.rename(folder.with_name("x" + folder.name))


def leaves(root):
    """The folders that have pictures in them."""
    return sorted({p.parent for p in root.rglob("*") if p.suffix in (".jpg", ".png")})


def renumber_frames(draw, root):
    """Numbers the frames of one clip, or of all, from 1: their names no longer fit the sheet."""
    folders = leaves(root)
    for folder in folders if draw(st.booleans()) else [draw(st.sampled_from(folders))]:
        files = sorted(folder.iterdir(), key=lambda p: [int(n) for n in re.findall(r"\d+", p.name)])
        for number, file in enumerate(files, 1):
            file.rename(folder / re.sub(r"\d+(\.\w+)$", rf"{number}\1.part", file.name))
        for file in list(folder.iterdir()):
            file.rename(file.with_suffix(""))


def add_modality(draw, root):
    """A folder with its pictures once more as another modality, inside it or beside it."""
    modality = draw(st.sampled_from(["depth", "video", "flow"]))
    folder = draw(st.sampled_from(leaves(root)))
    levels = len(folder.relative_to(root).parts)
    source = draw(st.sampled_from([folder, *folder.parents][:levels]))
    shutil.copytree(source, root.parent / "copy")
    for file in (root.parent / "copy").rglob("*.jpg"):
        replica.save(file, replica.draw(1, 1, (10, 8))[0])
    target = draw(st.sampled_from([source / modality, source.parent / modality / source.name]))
    shutil.move(root.parent / "copy", target)


def mix_releases(draw, root):
    """A second sheet beside the first, which says something else."""
    path = next(p for p in root.iterdir() if p.suffix in (".xlsx", ".csv"))
    name = draw(st.sampled_from([f"{path.stem}-old{path.suffix}", f"A{path.name}", "index2.csv"]))
    (root / "other").mkdir()
    shutil.copy(path, root / "other" / path.name)
    damage_sheet(draw, root / "other")
    (root / "other" / path.name).rename(root / name)
    (root / "other").rmdir()


def damage_sheet(draw, root):
    path = next(p for p in root.iterdir() if p.suffix in (".xlsx", ".csv"))
    if path.suffix == ".csv":
        text = path.read_text()
        how = draw(st.sampled_from(["utf-16", "latin-1", "quote", "cell", "row"]))
        lines = text.splitlines()
        line = draw(st.integers(0, len(lines) - 1))
        cells = lines[line].split(",")
        if how == "cell":
            # a subject of another name is no fault that a reader can see; a blank one is
            column, said = draw(st.integers(0, len(cells) - 1)), draw(st.sampled_from(["é?", "0"]))
            cells[column] = said if column in (3, 4) else ""
        elif how == "row":
            lines.append(lines[line])
        elif how == "quote":
            cells[0] = '"' + cells[0]
        lines[line] = ",".join(cells)
        body = "\n".join(lines)
        encoded = (body + "\né").encode("latin-1") if how == "latin-1" else body.encode()
        path.write_bytes(body.encode("utf-16") if how == "utf-16" else encoded)
        return
    book = openpyxl.load_workbook(path)
    sheet = max(book.worksheets, key=lambda sheet: sheet.max_row)
    head = [sheet.cell(1, c + 1).value for c in range(sheet.max_column)]
    headless = not isinstance(head[0], str)
    last = 8 if headless else sheet.max_column
    columns = [c + 1 for c in range(last) if headless or (head[c] and head[c] not in UNREAD)]
    row = draw(st.integers(1, sheet.max_row))
    cell = sheet.cell(row, draw(st.sampled_from(columns)))
    how = draw(st.sampled_from(["blank", "word", "minus", "swap", "twice", "drop", "formula"]))
    if how == "blank":
        cell.value = None
    elif how == "word":
        cell.value = draw(st.sampled_from(["#REF!", "xyz", "12.5", "２０２０-01-01", True]))
    elif how == "formula":
        same = [f"={cell.value}+0"] if isinstance(cell.value, int) else []
        cell.value = draw(st.sampled_from([*same, "=SUM(1,0)", "='other sheet'!A1"]))
    elif how == "minus":
        cell.value = -1
    elif how == "swap" and not headless:
        other = sheet.cell(1, draw(st.sampled_from(columns)))
        cell = sheet.cell(1, cell.column)
        cell.value, other.value = other.value, cell.value
    elif how == "twice":
        sheet.append([sheet.cell(row, c + 1).value for c in range(sheet.max_column)])
    elif how == "drop":
        sheet.delete_rows(row)
    book.save(path)


@pytest.mark.parametrize("name", DATABASES)
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_no_damage_is_silent(sound, name, data):
    original, told, clips = sound[name]
    with tempfile.TemporaryDirectory() as place:
        root = pathlib.Path(place) / original.name
        shutil.copytree(original, root)
        damage = [damage_file, damage_folder, damage_sheet]
        damage += [renumber_frames, add_modality, mix_releases]
        data.draw(st.sampled_from(damage))(data.draw, root)
        told_now, clips_now = outcome(name, root)
    strip = [finding.replace(str(root), str(original)) for finding in told_now]
    assert set(strip) - set(told) or clips_now == clips
