"""Label sheets as the databases publish them: xlsx, xls or csv, whatever the release.

Nothing about a sheet's shape is assumed. The header row is the first that carries every needed
heading; columns are found by heading, so that blank columns, free text above or below and another
order do no harm. Only sheets that have no header at all are read by position. Cells may be numbers
or text; a formula whose value the file lacks is computed where it adds and subtracts cells. What
cannot be read is named with its file and row, numbered as a spreadsheet does.
"""

import csv
import datetime
import functools
import io
import pathlib
import re
import unicodedata
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mer_jax.errors import Problem
from mer_jax.io import reading

_HEADER_ROWS = 60  # in which a header is searched
_UNMARKED = {"", "/", "\\", "-", "--", "?", "n/a", "na", "nan", "none", "null"}


class Column(NamedTuple):
    """A column by the headings it goes by, the best first; case and punctuation do not count."""

    names: tuple[str, ...]
    kind: type = str  # str or int
    required: bool = True  # a sheet without it is not this database's


class Formula(str):
    """The text of a formula ("=D2+M2-1") whose value the file does not hold."""


class Record(NamedTuple):
    """One row: field -> str; of a column of integers int, or None (blank, or a mark: '/')."""

    where: str  # "CASME2-coding-20140508.xlsx, row 14"
    values: Mapping[str, Any]
    invalid: bool  # a cell of it is among the problems


def slug(text: object) -> str:
    """A heading or name reduced to its letters and digits, lower case.

    >>> slug("SAMM_Cropped"), slug("Action Units")
    ('sammcropped', 'actionunits')
    """
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", str(text)).casefold())


def text(cell: object) -> str:
    """A cell as text: stripped, wide characters narrowed, 4.0 and '4.0' as '4', blank as ''."""
    if cell is None or cell != cell:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    return reading.without_zeros(" ".join(unicodedata.normalize("NFKC", str(cell)).split()))


def read(
    path: pathlib.Path,
    columns: Mapping[str, Column],
    *,
    sheets: Sequence[str] = (),
    positions: Sequence[str] = (),
    keys: Sequence[str] = ("subject", "name"),
) -> tuple[list[Record], list[Problem]]:
    """The data rows of a label sheet and all problems.

    Args:
      path: the file.
      columns: field name -> `Column`.
      sheets: names of the workbook's sheet, where it has one of its own; others come after.
      positions: the fields from left to right ("" for one that is not read), for a sheet that
        has no header row.
      keys: the fields without which a filled row is a mistake.
    """
    book, problem = workbook(path)
    if problem:
        return [], [problem]
    wanted = [slug(name) for name in sheets]
    order = sorted(book, key=lambda name: slug(name) not in wanted)
    nearest: tuple[int, str] = (-1, "")
    for name in order:
        found = _header(book[name], columns)
        if found is None:
            continue
        row, fields, missing, twice = found
        if twice:
            where = f"{path.name}, row {row + 1}"
            return [], [Problem(where, f"two columns are headed {twice!r}; rename or remove one")]
        if not missing:
            return _rows(path.name, book[name], row + 1, fields, columns, keys)
        beside = len(positions) <= min(fields.values(), default=0)  # of what somebody added
        if len(fields) > nearest[0] and not (positions and beside):
            nearest = (
                len(fields),
                f"row {row + 1} of sheet {name!r} comes nearest but has no column "
                + " nor ".join(repr(columns[field].names[0]) for field in missing),
            )
    if positions and order and nearest[0] <= 1:
        fields = {field: i for i, field in enumerate(positions) if field}
        return _rows(path.name, book[order[0]], 0, fields, columns, keys)
    heads = ", ".join(column.names[0] for column in columns.values() if column.required)
    rows = book[order[0]] if order else []
    shown = ", ".join(filter(None, map(text, rows[0]))) if rows else ""
    hint = nearest[1] or "no row carries any of these headings" + (
        f"; its first row is {shown[:120]!r}" if shown else ""
    )
    return [], [Problem(path.name, f"is not a sheet with columns {heads}: {hint}")]


_AS_TEXT = "a spreadsheet program made it of what was typed: type it again in a cell of text"
_WITHOUT_VALUE = (
    "the {!r} cell is the formula {!r} and the file does not hold its value; open it in a "
    "spreadsheet program and save it"
)
# Files that are no readable label sheet, by their first bytes.
_OTHERS = (
    (b"%pdf", "is a PDF; give the sheet itself"),
    (b"<?xml", "is XML; open it in a spreadsheet program and save it as .xlsx"),
    (b"<", "is a web page, perhaps one that asks to log in; download the sheet again"),
)
_ARCHIVES = {
    "ods": "is an OpenDocument sheet (.ods); save it as .xlsx",
    "xlsb": "is a binary workbook (.xlsb); save it as .xlsx",
    "zip": "is a zip archive; unpack it",
}
_LOCKED = "EncryptedPackage".encode("utf-16-le")


def workbook(path: pathlib.Path) -> tuple[dict[str, list[list]], Problem | None]:
    """Every sheet of a file as rows of cells, or the problem.

    The content decides the format, not the suffix: workbooks are found under wrong suffixes.
    """
    import xlrd

    try:
        content = path.read_bytes()
        if not content.strip():
            return {}, Problem(path.name, "is empty; download it again")
        kind = xlrd.inspect_format(content=content)
        if kind == "xlsx":
            return _xlsx(content), None
        if kind == "xls" and _LOCKED not in content:
            return _xls(content), None
        head = content.removeprefix(b"\xef\xbb\xbf").lstrip()[:5].lower()
        others = (
            what for start, what in _OTHERS if (head.startswith(start) if start else not head)
        )
        what = "is locked by a password; save it without" if kind == "xls" else ""
        what = what or _ARCHIVES.get(kind) or next(others, "")
        if not what:
            return {path.stem: _csv(content)}, None
    except UnicodeDecodeError as error:
        what = f"is not UTF-8 text (byte {error.start}); save it again as UTF-8"
        if path.suffix.lower() != ".csv":
            what = (
                "cannot be read as a label sheet (neither a workbook nor text); download it again"
            )
    except Exception as error:  # openpyxl and xlrd raise a dozen kinds for a damaged file
        what = f"cannot be read as a label sheet ({type(error).__name__}); download it again"
    return {}, Problem(path.name, what)


def _csv(content: bytes) -> list[list]:
    words = content.decode("utf-8-sig")
    if "\0" in words:
        raise ValueError("binary")
    delimiter = max(",;\t", key=words.count)
    return list(csv.reader(io.StringIO(words, newline=None), delimiter=delimiter, strict=True))


def _xlsx(content: bytes) -> dict[str, list[list]]:
    import openpyxl

    def sheets(data_only):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of styles and validations that openpyxl leaves out
            book = openpyxl.load_workbook(io.BytesIO(content), data_only=data_only)
        return {s.title: [list(r) for r in s.iter_rows(values_only=True)] for s in book.worksheets}

    values, cells = sheets(data_only=True), {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = [name for name in archive.namelist() if name.startswith("xl/worksheets/")]
        if any(re.search(rb"<(\w+:)?f[ >]", archive.read(part)) for part in parts):
            cells = sheets(data_only=False)
    for name, rows in cells.items():
        for r, row in enumerate(rows):
            for c, cell in enumerate(row):
                if values[name][r][c] is None and cell is not None:  # a program wrote no value
                    values[name][r][c] = _computed(rows, str(getattr(cell, "text", cell)))
    return values


def _computed(rows: list[list], formula: str, depth: int = 8) -> int | Formula:
    """The value of a formula that adds and subtracts cells and integers, else the formula."""
    total, terms = 0, re.sub(r"[\s$]", "", formula)
    if not depth or not re.fullmatch(r"=[+-]?[A-Z]*\d+([+-][A-Z]*\d+)*", terms):
        return Formula(formula)
    for sign, column, number in re.findall(r"([+-]?)([A-Z]*)(\d+)", terms[1:]):
        term: Any = int(number)
        if column:
            c = functools.reduce(lambda index, letter: 26 * index + ord(letter) - 64, column, 0)
            try:
                term = rows[int(number) - 1][c - 1]
            except IndexError:
                term = None
            if isinstance(term, str) and term.startswith("="):
                term = _computed(rows, term, depth - 1)
            if isinstance(term, float) and term.is_integer():
                term = int(term)
            if type(term) is not int:
                return Formula(formula)
        total += -term if sign == "-" else term
    return total


def _xls(content: bytes) -> dict[str, list[list]]:
    import xlrd

    def value(cell):
        if cell.ctype == xlrd.XL_CELL_ERROR:
            return xlrd.error_text_from_code[cell.value]  # the code alone would pass as a number
        return bool(cell.value) if cell.ctype == xlrd.XL_CELL_BOOLEAN else cell.value

    log = io.StringIO()  # xlrd prints what it finds odd; it is read all the same
    book = xlrd.open_workbook(file_contents=content, logfile=log)
    return {s.name: [[value(cell) for cell in row] for row in s.get_rows()] for s in book.sheets()}


def _header(rows, columns):
    """(row, field -> column, needed fields that are missing, a heading that occurs twice)."""
    best = None
    for i, cells in enumerate(rows[:_HEADER_ROWS]):
        heads = [slug(cell) if cell is not None else "" for cell in cells]
        fields, twice = {}, ""
        for field, column in columns.items():
            head = next((h for h in map(slug, column.names) if h in heads), None)
            if head is not None:
                fields[field] = heads.index(head)
                twice = twice or (text(cells[fields[field]]) if heads.count(head) > 1 else "")
        missing = [f for f, column in columns.items() if column.required and f not in fields]
        if not missing:
            return i, fields, missing, twice
        if fields and (best is None or len(fields) > len(best[1])):
            best = i, fields, missing, ""
    return best


def _rows(file, rows, start, fields, columns, keys):
    records, problems = [], []
    for i, cells in enumerate(rows[start:], start + 1):
        raw = {f: text(cells[c]) if c < len(cells) else "" for f, c in fields.items()}
        formulas = {f for f, c in fields.items() if c < len(cells) and type(cells[c]) is Formula}
        filled = sum(bool(value) for value in raw.values())
        blank = [key for key in keys if not raw.get(key)]
        if filled <= 2 and (blank or filled < len(keys)):
            continue  # free text around the table
        where = f"{file}, row {i}"
        wrong = [Problem(where, f"the {columns[key].names[0]!r} cell is blank") for key in blank]
        values: dict[str, Any] = {}
        for field, value in raw.items():
            values[field] = value
            if field in formulas:
                wrong.append(Problem(where, _WITHOUT_VALUE.format(columns[field].names[0], value)))
                values[field] = None if columns[field].kind is int else ""
            elif isinstance(cells[fields[field]] if value else None, datetime.date):
                head = columns[field].names[0]
                wrong.append(Problem(where, f"{head} is the date {value[:10]}; {_AS_TEXT}"))
            elif columns[field].kind is int:
                values[field] = reading.integer(value)
                if values[field] is None and value.casefold() not in _UNMARKED:
                    head = columns[field].names[0]
                    wrong.append(Problem(where, f"{head} is {value!r}, not an integer"))
        problems += wrong
        records.append(Record(where, values, bool(wrong)))
    if not records:
        problems.append(Problem(file, "has a header but not one row of labels"))
    return records, problems


def zero_padded(prefix: str, digits: int, word: str) -> str:
    """One spelling for a numbered name; a word without a number stays as it is.

    >>> [zero_padded("sub", 2, word) for word in ("1", "01", "SUB1", "sub01", "x")]
    ['sub01', 'sub01', 'sub01', 'sub01', 'x']
    """
    match = re.fullmatch(rf"(?:{re.escape(prefix)})?(\d+)", word.strip(), re.I)
    return f"{prefix}{int(match[1]):0{digits}d}" if match else word.strip()
