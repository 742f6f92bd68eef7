"""Sheets in shapes that no release has yet, and what is said of those that cannot be read."""

import datetime
import io
import math
import zipfile

import openpyxl
import pytest
import xlwt

from mer_jax.datasets import annotations
from mer_jax.datasets.annotations import Column, text, zero_padded

COLUMNS = {
    "subject": Column(("Subject",)),
    "name": Column(("Filename",)),
    "onset": Column(("OnsetF", "Onset Frame", "Onset"), int),
    "emotion": Column(("Emotion",)),
    "action_units": Column(("AU",), required=False),
}


def save(path, *sheets):
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets:
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def save_old(path, *sheets):
    """The format before Excel 2007."""
    book = xlwt.Workbook()
    for name, rows in sheets:
        sheet = book.add_sheet(name)
        for r, row in enumerate(rows):
            for c, cell in enumerate(row):
                sheet.write(r, c, cell)
    book.save(str(path))


# A workbook with a password is an OLE file with a stream of this name.
LOCKED = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500) + "EncryptedPackage".encode("utf-16-le")


def archive(*names):
    with io.BytesIO() as out:
        with zipfile.ZipFile(out, "w") as file:
            for name in names:
                file.writestr(name, "")
        return out.getvalue()


@pytest.mark.parametrize("suffix", ["xlsx", "xls", "csv"])
def test_header_position_and_order_do_not_matter(tmp_path, suffix):
    rows = [
        ["A database of the year", None, None],
        [],
        ["note", "Emotion", None, " ONSET  frame ", "file_name", "Subject"],
        [None, "Happiness", None, 12, "EP01", 3],
        [None, "others", None, "13", "EP02", "03"],
        [],
        ["others: whatever else"],
    ]
    rows[2][4] = "FileName"
    path = tmp_path / f"labels.{suffix}"
    if suffix != "csv":
        write = save if suffix == "xlsx" else save_old
        write(path, ("readme", [["text"]]), ("data", rows))
    else:
        lines = [";".join("" if c is None else str(c) for c in row) for row in rows]
        path.write_text("\n".join(lines), encoding="utf-8-sig")
    records, problems = annotations.read(path, COLUMNS)
    assert not problems
    assert [record.values["onset"] for record in records] == [12, 13]
    assert [record.values["subject"] for record in records] == ["3", "03"]
    assert [record.values["emotion"] for record in records] == ["Happiness", "others"]
    assert records[0].where == f"labels.{suffix}, row 4"
    assert "action_units" not in records[0].values


@pytest.mark.parametrize("name", ["a.xls", "a.xlsx", "a.csv", "a.XLSM", "a"])
@pytest.mark.parametrize("kind", ["xlsx", "xls", "csv"])
def test_a_sheet_is_what_its_content_says(tmp_path, kind, name):
    rows = [["Subject", "Filename", "Onset", "Emotion"], [1, "a", 4, "fear"]]
    path = tmp_path / name
    if kind == "csv":
        path.write_text("\n".join(",".join(map(str, row)) for row in rows))
    else:
        made = tmp_path / f"made.{kind}"
        (save if kind == "xlsx" else save_old)(made, ("s", rows))
        made.rename(path)
    records, problems = annotations.read(path, COLUMNS)
    assert not problems and records[0].values["onset"] == 4
    assert records[0].where == f"{name}, row 2"


def test_the_best_heading_wins(tmp_path):
    head = ["Subject", "Filename", "Onset", "OnsetF", "Emotion"]
    path = save(tmp_path / "a.xlsx", ("s", [head, [1, "a", 0.25, 73, "tense"]]))
    records, problems = annotations.read(path, COLUMNS)
    assert not problems and records[0].values["onset"] == 73


def test_cells_are_named_by_row(tmp_path):
    rows = [
        ["Subject", "Filename", "Onset", "Emotion"],
        [1, "a", "12.5", "fear"],
        [1, None, 4, "fear"],
        [1, "c", "/", "fear"],
    ]
    records, problems = annotations.read(save(tmp_path / "a.xlsx", ("s", rows)), COLUMNS)
    assert [problem.where for problem in problems] == ["a.xlsx, row 2", "a.xlsx, row 3"]
    assert "'12.5', not an integer" in problems[0].what
    assert "'Filename' cell is blank" in problems[1].what
    assert [record.invalid for record in records] == [True, True, False]
    assert records[2].values["onset"] is None


def test_another_release_is_told_what_it_lacks(tmp_path):
    rows = [["Subject", "Filename", "Apex", "Emotion"], [1, "a", 4, "fear"]]
    _, problems = annotations.read(save(tmp_path / "a.xlsx", ("codes", rows)), COLUMNS)
    assert "row 1 of sheet 'codes' comes nearest but has no column 'OnsetF'" in problems[0].what


def test_what_a_spreadsheet_program_made_a_date_is_a_problem(tmp_path):
    """4+9 typed as 4-9: the clip lost its action units, and its class."""
    head = ["Subject", "Filename", "OnsetF", "Emotion"]
    rows = [head, [1, "a", 4, datetime.datetime(2026, 4, 9)], [1, "b", 5, "fear"]]
    records, (problem,) = annotations.read(save(tmp_path / "a.xlsx", ("s", rows)), COLUMNS)
    assert problem.where == "a.xlsx, row 2" and [r.invalid for r in records] == [True, False]
    assert problem.what.startswith("Emotion is the date 2026-04-09; a spreadsheet program made it")


def test_headings_that_are_not_known_are_shown(tmp_path):
    path = save(tmp_path / "a.xlsx", ("s", [["主题", "文件名"], [1, "a"]]))
    _, (problem,) = annotations.read(path, COLUMNS)
    assert "no row carries any of these headings; its first row is '主题, 文件名'" in problem.what


def test_two_columns_of_one_name(tmp_path):
    rows = [["Subject", "Filename", "Onset", "onset", "Emotion"], [1, "a", 4, 5, "fear"]]
    _, problems = annotations.read(save(tmp_path / "a.xlsx", ("s", rows)), COLUMNS)
    assert "two columns are headed 'Onset'" in problems[0].what


def test_no_header_at_all(tmp_path):
    path = save(tmp_path / "a.xlsx", ("rule", [[1, 2]]), ("codes", [[1, "a", 4, "fear"]]))
    fields = ("subject", "name", "onset", "emotion")
    records, problems = annotations.read(path, COLUMNS, sheets=("Codes",), positions=fields)
    assert not problems and records[0].values["onset"] == 4


def test_columns_that_somebody_added_beside_a_sheet_without_headings(tmp_path):
    """A public copy of CAS(ME)^2's sheet, with a subject and file name behind its nine columns."""
    rows = [[1, "a", 4, "fear", None, "Subject", "Onset"], [2, "b", 5, "fear", None, "s2", 5]]
    path = save(tmp_path / "a.xlsx", ("codes", rows))
    fields = ("subject", "name", "onset", "emotion")
    records, problems = annotations.read(path, COLUMNS, positions=fields)
    assert not problems and [r.values["name"] for r in records] == ["a", "b"]
    headed = [["Subject", "x", "Onset", "fear"], *rows[1:]]  # a heading is missing
    _, (problem,) = annotations.read(
        save(tmp_path / "b.xlsx", ("codes", headed)), COLUMNS, positions=fields
    )
    assert "comes nearest but has no column" in problem.what


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "Subject,Filename\né".encode("utf-16"), "not UTF-8"),
        ("a.csv", "Subject,é".encode("latin-1"), "not UTF-8"),
        ("a.csv", b"", "is empty"),
        ("a.csv", b"\x00\x01", "cannot be read as a label sheet"),
        ("a.xlsx", b"PK\x03\x04 cut", "cannot be read as a label sheet"),
        ("a.xlsx", b" \n", "is empty"),
        ("a.xls", b"\xd0\xcf\x11\xe0 cut", "cannot be read as a label sheet"),
        ("a.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" * 99, "cannot be read as a label sheet"),
        ("a.xlsx", LOCKED, "is locked by a password"),
        ("a.xls", b"Subject;Filename", "is not a sheet with columns"),
        ("a.xls", b"\xef\xbb\xbf <!DOCTYPE html><title>Log in</title>", "is a web page"),
        ("a.xlsx", b"<html><table><tr><td>Subject", "is a web page"),
        ("a.xls", b'<?xml version="1.0"?><Workbook>', "is XML"),
        ("a.xlsx", b"%PDF-1.7\n", "is a PDF"),
        ("a.xlsx", archive("content.xml"), "is an OpenDocument sheet"),
        ("a.xlsx", archive("xl/workbook.bin"), "is a binary workbook"),
        ("a.xlsx", archive("labels.xlsx"), "is a zip archive; unpack it"),
        ("a.csv", b"Subject,Filename,Onset,Emotion\n", "not one row of labels"),
    ],
)
def test_files_that_are_no_sheets(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    records, problems = annotations.read(tmp_path / name, COLUMNS)
    assert not records and len(problems) == 1 and said in problems[0].what


def test_cells_of_an_old_workbook(tmp_path):
    """Errors and truth values are no numbers there either."""
    book = xlwt.Workbook()
    sheet = book.add_sheet("s")
    for column, head in enumerate(["Subject", "Filename", "Onset", "Emotion"]):
        sheet.write(0, column, head)
    for row, onset in enumerate([7, 7.5, True], 1):
        for column, cell in enumerate([1, f"a{row}", onset, "happiness"]):
            sheet.write(row, column, cell)
    sheet.row(4).set_cell_error(2, "#REF!")
    for column, cell in ((0, 1), (1, "a4"), (3, "happiness")):
        sheet.write(4, column, cell)
    book.save(str(tmp_path / "a.xls"))
    records, problems = annotations.read(tmp_path / "a.xls", COLUMNS)
    assert [record.values["onset"] for record in records] == [7, None, None, None]
    assert [problem.where for problem in problems] == [f"a.xls, row {row}" for row in (3, 4, 5)]
    assert "'#REF!'" in problems[2].what


def test_cells_as_text():
    assert [text(c) for c in (None, math.nan, 4.0, 4.5, " a  b ", "４＋７")] == [
        *("", "", "4", "4.5", "a b", "4+7"),
    ]
    # As a table of floats writes integers in a .csv, but nothing else.
    assert [text(c) for c in ("1.0", "12.00", "1.5", "v1.0", "1.0.0")] == [
        *("1", "12", "1.5", "v1.0", "1.0.0"),
    ]
    assert [zero_padded("sub", 2, w) for w in ("1", "01", "Sub1", "x1")] == ["sub01"] * 3 + ["x1"]


def test_a_csv_of_an_old_mac(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"Subject,Filename\r1,EP01\r2.0,EP02\r")
    columns = {"subject": Column(("Subject",)), "name": Column(("Filename",))}
    rows, problems = annotations.read(path, columns)
    assert not problems
    assert [(row.values["subject"], row.values["name"]) for row in rows] == [
        ("1", "EP01"),
        ("2", "EP02"),
    ]
