"""Files of predictions: tables, logs of the MEGC 2019 challenge, and what public scripts print.

predictions.csv (UTF-8, comma, one header row) has the columns

    database, subject, clip, fold, label, predicted, p_<class>, ...

label and predicted are class names; there is one probability column per class, in their order. In
files of other programs only database, subject, clip, label and predicted are required, the
delimiter may also be ; or a tab, and the case of a label and blanks around it are ignored. Without
`fold` every subject is its own fold; without probabilities the predicted class gets 1.

megc_log.txt is the log of the MEGC 2019 challenge: a line `database subject`, then one line
`clip true predicted` for each of that subject's clips, with class numbers.

The output of the public training scripts of STSTNet and HTNet is read, too: for each subject a line
`Subject: 006`, then `Predicted : [0, 2]` and `Ground Truth : [0, 1]`; clips get running numbers.
Where there is only `Best Predicted`, that is read, with a remark: its epoch was selected on the
tested clips.
"""

import csv
import os
import pathlib
import re
import string
from collections.abc import Container, Sequence
from urllib.parse import unquote

import numpy as np

from mer_jax.errors import DataError, Problem, UserError
from mer_jax.io import reading, saving
from mer_jax.keys import composed
from mer_jax.metrics.predictions import Predictions

MEGC_CLASSES = ("negative", "positive", "surprise")  # 0, 1, 2 in the challenge's files
REQUIRED = ("database", "subject", "clip", "label", "predicted")
_MEGC = "are the three of MEGC 2019, as those in the file are among them"
_CLASS = re.compile(r"\d{1,3}")
_TRUTH = re.compile(r"^\s*ground\s+truth\s*:", re.IGNORECASE | re.MULTILINE)
_PRINTED = re.compile(
    r"\s*(subject|(?:best\s+)?predicted|ground\s+truth)\s*:\s*(.*?)\s*", re.IGNORECASE
)
_LIST = re.compile(r"\[([\d,\s]*)\]")
_LARGEST = float(np.finfo(np.float32).max)
_FORMULA = re.compile(r"'*[=+\-@\t\r\n]")


def write_csv(
    path: str | os.PathLike, predictions: Predictions, *, with_probabilities: bool = True
) -> pathlib.Path:
    """Writes predictions.csv, with probabilities as decimals that `read` restores bit for bit.

    A name that a spreadsheet would take for a formula gets a leading apostrophe; `read` removes it.

    Args:
      path: of the file.
      predictions: of R clips, a row each.
      with_probabilities: False omits the p_ columns.

    Returns:
      The path.
    """
    names = [f"p_{name}" for name in predictions.classes] if with_probabilities else []
    rows = [[*REQUIRED[:3], "fold", *REQUIRED[3:], *names]]
    classes = np.array(predictions.classes, object)
    columns = [predictions.database, predictions.subject, predictions.clip, predictions.fold]
    columns += [classes[predictions.label], classes[predictions.predicted]]
    for *cells, row in zip(*columns, predictions.probabilities[:, : len(names)].tolist()):
        rows.append([*map(escape_formula, cells), *(f"{value:.9g}" for value in row)])
    return saving.write(path, saving.csv_text(rows, end="\r\n"))


def write_log(path: str | os.PathLike, predictions: Predictions) -> pathlib.Path:
    """Writes a log in the format of MEGC 2019.

    The three classes of MEGC 2019 get the challenge's numbers, other classes their index in
    `classes`. Blanks, commas and % in names are percent-encoded.
    """
    if set(predictions.classes) == set(MEGC_CLASSES):
        number = [MEGC_CLASSES.index(name) for name in predictions.classes]
    else:
        number = list(range(len(predictions.classes)))
    lines: dict[tuple[str, str], list[str]] = {}
    columns = (predictions.clip, predictions.label, predictions.predicted)
    for database, subject, clip, true, predicted in zip(
        predictions.database, predictions.subject, *columns
    ):
        row = f"{_percent_encode(clip)} {number[true]} {number[predicted]}\n"
        lines.setdefault((database, subject), []).append(row)
    parts = [
        f"{_percent_encode(d)} {_percent_encode(s)}\n" + "".join(rows)
        for (d, s), rows in lines.items()
    ]
    return saving.write(path, "".join(parts))


def read(path: str | os.PathLike, *, classes: Sequence[str] | None = None) -> Predictions:
    """Reads a predictions.csv, a log, or the predictions.csv of a working directory.

    Args:
      classes: all class names; for a log the names of its numbers 0, 1, ... By default the p_
        columns, or else the classes in the columns label and predicted. If these are among the
        three of MEGC 2019 (for a log: if no number is above 2), all three; other logs get their
        numbers from 0 to the largest. `Predictions.remarks` names the source.

    Raises:
      DataError: with all problems of the file, line by line.
    """
    path = reading.expanded(path)
    if path.is_dir():
        path = path / "predictions.csv"
        if not path.exists():
            raise UserError(f"{path.parent} is no finished run: it has no predictions.csv")
    text = reading.read_text(path)
    if classes is not None and len(set(classes)) < len(classes):
        raise UserError(f"two of the classes {', '.join(classes)} have the same name")
    with reading.report_no_table(path):
        delimiter, header = parse_header(text)
        if len(set(REQUIRED) & set(header)) > 1:
            return _read_csv(path, text, classes)
        if _TRUTH.search(text):
            return _read_script(path, text, classes)
        if delimiter in text.partition("\n")[0] and delimiter != "\t":
            return _read_csv(path, text, classes)
    return _read_log(path, text, classes)


def parse_header(text: str) -> tuple[str, list[str]]:
    """The delimiter of a table (comma, ; or tab) and its column names, by the first line.

    Names are stripped and in lower case, except for the class that follows p_.

    >>> parse_header("Database;Subject;Clip;label;predicted;p_AU4")
    (';', ['database', 'subject', 'clip', 'label', 'predicted', 'p_AU4'])
    """
    found = {}
    for delimiter in ",;\t":
        try:
            cells = next(reading.rows(text, delimiter, skip_blanks=True), list[str]())
        except csv.Error:
            cells = []
        plain = [cell.lstrip() for cell in cells]
        found[delimiter] = [c if c.startswith("p_") else c.strip().casefold() for c in plain]
    return max(found.items(), key=lambda each: len(set(REQUIRED) & set(each[1])))


def _read_csv(path: pathlib.Path, text: str, classes: Sequence[str] | None) -> Predictions:
    delimiter, header = parse_header(text)
    missing = [name for name in REQUIRED if name not in header]
    if missing and {"onset", "offset"} & {name.removeprefix("pred_") for name in header}:
        raise UserError(
            f"{path} holds spotted intervals; mer-jax score compares them with --truth=FILE"
        )
    if missing:
        raise UserError(
            f"{path}: line 1 has no column {', '.join(missing)}; the columns of a predictions file "
            f"are {', '.join(REQUIRED)}, and p_<class> for each class"
        )
    columns = [index for index, name in enumerate(header) if name.startswith("p_")]
    ours = [*REQUIRED, "fold", *(header[index] for index in columns)]
    twice = next((name for name in ours if header.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"{path}: line 1 has two columns {twice!r}; remove or rename one")
    others = "fold" not in header  # another program's file: ours has every name as it is
    table = reading.rows(text, delimiter, skip_blanks=others)
    next(table)
    problems, rows, probabilities = [], [], []
    for cells in table:
        where = f"line {table.line_num}"
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            problems.append(
                Problem(where, f"{len(cells)} cells where the header has {len(header)}")
            )
            continue
        row = {name: _unescape_formula(cell) for name, cell in zip(header, cells)}
        if others:
            row = {name: composed(cell).strip() for name, cell in row.items()}
            row |= {name: "" for name in REQUIRED[3:] if row[name].casefold() == "nan"}
        row.setdefault("fold", f"{row['database']}/{row['subject']}")
        point = "." if delimiter == "," else ","  # of decimals, where commas do not separate
        try:
            values = [float(cells[index].replace(point, ".")) for index in columns]
            if not all(abs(value) <= _LARGEST for value in values):
                raise ValueError
        except ValueError:
            problems.append(Problem(where, "a probability is not a finite number"))
            continue
        rows.append((where, row))
        probabilities.append(values)
    named = [header[index].removeprefix("p_") for index in columns]
    known = classes or named
    for _, row in rows:  # class numbers as a spreadsheet or a table of floats writes them
        for name in REQUIRED[3:]:
            if row[name] not in known and (word := row[name].strip()) not in known:
                row[name] = reading.without_zeros(word)
    present = [row[name].strip() for _, row in rows for name in REQUIRED[3:]]
    if classes is not None:
        remark = "as given"
    elif named:
        classes, remark = named, "from the p_ columns of its header"
    elif {name.casefold() for name in present} <= set(MEGC_CLASSES):
        classes, remark = MEGC_CLASSES, _MEGC
    else:
        sides = [{row[name].strip().casefold() for _, row in rows} for name in REQUIRED[3:]]
        numbers = [all(map(str.isdecimal, side)) for side in sides]
        if sides[0].isdisjoint(sides[1]) and numbers[0] != numbers[1]:
            raise UserError(
                f"{path}: label and predicted have no class in common, and one of them has numbers "
                "where the other has words; write both in the same way"
            )
        classes = list({name.casefold(): name for name in reversed(present) if name}.values())
        classes.sort(key=_natural)
        remark = "from its columns label and predicted; a class that is in neither is missing"
    order = [_match_class(name, classes) for name in named]
    unknown = [name for name in order if name not in classes or order.count(name) > 1]
    if unknown:
        raise UserError(
            f"{path}: the column p_{unknown[0]} of line 1 is not one, and one only, of the classes "
            f"given: {', '.join(classes)}"
        )
    return _assemble(path, rows, classes, order, probabilities, problems, [f"classes {remark}"])


def _read_log(path: pathlib.Path, text: str, classes: Sequence[str] | None) -> Predictions:
    problems, rows, subject = [], [], None
    databases, shapes = set[str](), set[str]()
    for number, line in enumerate(text.splitlines(), 1):
        words, where = line.split(), f"line {number}"
        if len(words) == 2 and words[0] not in databases and _is_cut(words[0], words[1], shapes):
            problems.append(Problem(where, f"has one number after the clip {words[0]!r}, not two"))
        elif len(words) == 2:
            databases.add(words[0])
            subject = [unquote(word) for word in words]
        elif len(words) == 3 and all(map(_CLASS.fullmatch, words[1:])):
            if subject is None:
                problems.append(Problem(where, "a clip before the first line `database subject`"))
                continue
            rows.append((where, (*subject, unquote(words[0])), words[1:]))
            shapes.add(_shape(words[0]))
        elif words:
            what = "is neither `database subject` nor `clip true predicted` with numbers below 1000"
            problems.append(Problem(where, what))
    return _numbered(path, rows, classes, problems)


def _is_cut(first: str, second: str, shapes: Container[str]) -> bool:
    """Whether a line of two words is a clip with one number, not a database and its subject."""
    shape = _shape(first)
    return bool(_CLASS.fullmatch(second)) and "0" in shape and shape in shapes


def _shape(clip: str) -> str:
    """A clip's name with 0 for its numbers and without what follows the last; what is encoded is no
    number."""
    return re.sub(r"\d+", "0", unquote(clip)).rstrip(string.ascii_letters)


def _read_script(path: pathlib.Path, text: str, classes: Sequence[str] | None) -> Predictions:
    problems, rows, remarks = [], [], list[str]()
    parts: list[dict[str, tuple[str, str]]] = []  # of each subject kind: (where, content)
    for number, line in enumerate(text.splitlines(), 1):
        if not (match := _PRINTED.fullmatch(line)):
            continue  # the script's scores and losses
        where, kind = f"line {number}", " ".join(match[1].lower().split())
        if kind == "subject":
            parts.append({})
        elif not parts:
            problems.append(Problem(where, f"`{match[1]}` before the first line `Subject:`"))
            continue
        elif kind in parts[-1]:
            problems.append(Problem(where, f"a second line `{match[1]}` of this subject"))
        parts[-1][kind] = where, match[2]
    for part in parts:
        where, subject = part["subject"]
        best = "predicted" not in part and "best predicted" in part
        if best and not remarks:
            remarks = ["Best Predicted: each subject's epoch was selected on its tested clips"]
        lists = []
        for kind in ("ground truth", "best predicted" if best else "predicted"):
            at, content = part.get(kind, (where, ""))
            match = _LIST.fullmatch(content)
            words = match[1].replace(",", " ").split() if match else [""]
            if kind not in part:
                problems.append(Problem(where, f"subject {subject!r} has no line `{kind.title()}`"))
            elif not all(map(_CLASS.fullmatch, words)):
                problems.append(Problem(at, f"`{kind.title()}` is no list of numbers below 1000"))
            else:
                lists.append(words)
        if len(lists) < 2:
            continue
        if len(lists[0]) != len(lists[1]):
            what = f"{len(lists[1])} predictions of {len(lists[0])} clips of subject {subject!r}"
            problems.append(Problem(where, what))
        pairs = enumerate(zip(*lists), 1)
        rows += [(where, ("log", subject, str(clip)), pair) for clip, pair in pairs]
    return _numbered(path, rows, classes, problems, remarks)


def _numbered(
    path: pathlib.Path,
    rows: Sequence[tuple[str, tuple[str, ...], Sequence[str]]],
    classes: Sequence[str] | None,
    problems: list[Problem],
    remarks: Sequence[str] = (),
) -> Predictions:
    """Predictions from rows (where, (database, subject, clip), (label, predicted)) of numbers."""
    highest = max((int(word) for *_, pair in rows for word in pair), default=0)
    remark = "as given"
    if classes is None and highest < len(MEGC_CLASSES):
        classes, remark = MEGC_CLASSES, _MEGC
    elif classes is None:
        classes = [str(number) for number in range(highest + 1)]
        remark = f"from its numbers, 0 to the largest, {highest}"
    found = []
    for where, names, pair in rows:
        unknown = [word for word in pair if int(word) >= len(classes)]
        if unknown:
            what = f"class {unknown[0]} is beyond the {len(classes)} classes {', '.join(classes)}"
            problems.append(Problem(where, what))
            continue
        cells = (*names, "/".join(names[:2]), *(classes[int(word)] for word in pair))
        found.append((where, dict(zip((*REQUIRED[:3], "fold", *REQUIRED[3:]), cells))))
    remarks = [f"classes {remark}", *remarks]
    return _assemble(path, found, classes, [], [[] for _ in found], problems, remarks)


def _assemble(
    path: pathlib.Path,
    rows: list[tuple[str, dict[str, str]]],
    classes: Sequence[str],
    order: Sequence[str],
    values: list[list[float]],
    problems: list[Problem],
    remarks: Sequence[str],
) -> Predictions:
    """Checks all rows and makes `Predictions`.

    values: for each row its probabilities of the classes in `order`; empty if the file has none.
    """
    class_index = {name: index for index, name in enumerate(classes)}
    columns = [class_index[name] for name in order]
    probabilities = np.zeros((len(rows), len(classes)), np.float32)
    for index, ((where, row), row_values) in enumerate(zip(rows, values)):
        row |= {name: _match_class(row[name], classes) for name in REQUIRED[3:]}
        unknown = [row[name] for name in REQUIRED[3:] if row[name] not in class_index]
        if unknown:
            known = ", ".join(classes)
            problems.append(Problem(where, f"class {unknown[0]!r} is not one of: {known}"))
        elif not row_values:
            probabilities[index, class_index[row["predicted"]]] = 1
        else:
            exact = np.zeros(len(classes))
            exact[columns] = row_values
            number = int(exact.argmax())
            largest, probabilities[index] = classes[number], exact
            if number != int(probabilities[index].argmax()):  # equal once they are rounded
                up = np.nextafter(probabilities[index, number], np.float32(np.inf))
                probabilities[index, number] = up
            if largest != row["predicted"]:
                what = f"predicted is {row['predicted']!r} but the largest probability is that of "
                cure = f"{largest!r}; remove the p_ columns to score `predicted` alone"
                problems.append(Problem(where, what + cure))
    if not rows and not problems:
        problems.append(Problem("line 1", "there is no clip in the file"))
    if problems:
        raise DataError(str(path), problems, max_per_kind=10)

    def column(name: str) -> np.ndarray:
        return np.array([row[name] for _, row in rows], object)

    label = np.array([class_index[row["label"]] for _, row in rows], np.int32)
    names = {name: column(name) for name in ("database", "subject", "clip", "fold")}
    return Predictions(
        tuple(classes), **names, label=label, probabilities=probabilities, remarks=tuple(remarks)
    )


def _match_class(word: str, classes: Sequence[str]) -> str:
    """The only class equal to `word` but for case and outer blanks, or else `word`."""
    if word in classes:
        return word
    near = [name for name in classes if normalize_name(name) == normalize_name(word)]
    return near[0] if len(near) == 1 else word


def normalize_name(word: str) -> str:
    """A class name without outer blanks and case, for comparisons.

    >>> normalize_name(" Surprise")
    'surprise'
    """
    return composed(word).strip().casefold()


def escape_formula(cell: str) -> str:
    """`cell` with a leading apostrophe if a spreadsheet would take it for a formula.

    >>> escape_formula("=1+1"), escape_formula("sub01")
    ("'=1+1", 'sub01')
    """
    return f"'{cell}" if _FORMULA.match(cell) else cell


def _unescape_formula(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def _percent_encode(name: str) -> str:
    """`name` with blanks, commas and % encoded, so that a line of a log splits at blanks."""
    return re.sub(
        r"[\s%,\ufeff]", lambda found: "".join(f"%{b:02X}" for b in found[0].encode()), name
    )


def _natural(name: str) -> tuple[int, int, str]:
    """A sort key: numbers by value, then words."""
    return (0, int(name), "") if name.isdecimal() else (1, 0, name)
