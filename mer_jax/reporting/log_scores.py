"""What anybody's predictions are worth: the scores, the other ways of counting, the clips.

judged = verdict(read("someones_log.txt"), expected=expected("index.csv"))
print(shown(judged))
"""

import collections
import csv
import io
import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any

from mer_jax.errors import UserError
from mer_jax.io import reading
from mer_jax.metrics.intervals import COMPARED
from mer_jax.metrics.predictions import Predictions, folded, heading, read
from mer_jax.metrics.scores import alternative_scores, majority
from mer_jax.metrics.summary import scores_with_intervals
from mer_jax.reporting.page import interval, number


def score_log(
    predictions: Predictions, *, expected: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Pooled scores with intervals, for all clips and each database, what other ways of counting
    would have said, and how the clips compare with the `expected` ones.

    expected: label of each clip's key, as `expected` reads it. Keys are compared without regard
    to case and leading zeros ("samm/6/006_1_2" is "samm/006/006_1_2"), because logs differ there.
    """
    parts = predictions.by_database()
    out = {
        "overall": scores_with_intervals(predictions),
        "databases": {name: scores_with_intervals(part) for name, part in parts.items()},
        "classes": list(predictions.classes),
        "remarks": list(predictions.remarks),
        "confusion": predictions.confusion().tolist(),
        "majority": majority(predictions.confusion()),
        "alternative_scores": alternative_scores(predictions.by_fold()[1]),
    }
    return out | {"clips": _clips(predictions, expected)}


def _clips(predictions: Predictions, expected: Mapping[str, str] | None) -> dict[str, Any]:
    keys = predictions.keys
    clear = expected is None or len({_plain(key) for key in expected}) == len(expected)
    form = _plain if clear else str
    names = {form(key): key for key in keys}
    count = collections.Counter(map(form, keys))
    found = {"repeated": [names[key] for key in names if count[key] > 1]}
    if expected is None:
        return found
    wanted = {form(key): key for key in expected}
    labels = zip(map(form, keys), predictions.label.tolist())
    said = {key: predictions.classes[label] for key, label in labels}
    return found | {
        "expected": len(wanted),
        "missing": [key for short, key in wanted.items() if short not in said],
        "extra": [key for short, key in names.items() if short not in wanted],
        "relabelled": [
            f"{key}: {said[short]}, expected {expected[key]}"
            for short, key in wanted.items()
            if short in said and folded(said[short]) != folded(expected[key])
        ],
    }


def read_expected_clips(path: str | os.PathLike) -> dict[str, str]:
    """Clip keys and labels of an index.csv (columns database, subject, clip, label), of a
    predictions.csv, a log or a working directory."""
    needed = ("database", "subject", "clip", "label")
    text = "" if pathlib.Path(path).is_dir() else reading.read_text(path)
    delimiter, header = heading(text)
    missing = [name for name in needed if name not in header]
    if "predicted" in header or len(missing) > 2 or not text:
        record = read(path)
        return {key: record.classes[label] for key, label in zip(record.keys, record.label)}
    if missing:
        raise UserError(f"{path}: line 1 has no column {', '.join(missing)}")
    table = csv.DictReader(io.StringIO(text, newline=""), header, delimiter=delimiter)
    try:
        next(table)  # the headings
        keys = lambda row: "/".join(row[name] or "" for name in needed[:3])
        return {keys(row): (row["label"] or "").strip() for row in table}
    except csv.Error as error:
        raise UserError(f"{path}: is not a table of separated values ({error})") from None


def format_scores(judged: Mapping[str, Any], *, listed: int = 10) -> str:
    """`verdict` as text for a terminal; of long lists of clips the first `listed`."""
    rows = [("all", judged["overall"])]
    if len(judged["databases"]) > 1:
        rows += judged["databases"].items()
    width = max(len(name) for name, _ in rows)
    head = "".join(f"{name:>22}" for name in ("UF1", "UAR", "accuracy"))
    lines = [f"  {'':{width}} {'clips':>6} {'subjects':>9}{head}"]
    for name, part in rows:
        cells = "".join(f"{_cell(part[score]):>22}" for score in COMPARED)
        lines.append(f"  {name:{width}} {part['clips']:6} {part['subjects']:9}{cells}")
    lines.append(f"  classes: {', '.join(judged['classes'])}")
    lines += [f"    {remark}" for remark in judged["remarks"]]
    plain = judged["majority"]
    lines.append(
        f"  always the most frequent class: UF1 {plain['uf1']:.4f}, UAR {plain['uar']:.4f}, "
        f"accuracy {plain['accuracy']:.4f}"
    )
    lines.append("  what other ways of counting would have said:")
    lines += [
        f"    {number(value):6}  {name}" for name, value in judged["alternative_scores"].items()
    ]
    clips = judged["clips"]
    if "expected" in clips:
        lines.append(f"  expected clips: {clips['expected']}")
    for kind in ("missing", "extra", "relabelled", "repeated"):
        if kind in clips:
            lines.append(f"  {kind}: {len(clips[kind])}")
            lines += [f"    {name}" for name in clips[kind][:listed]]
            if len(clips[kind]) > listed:
                lines.append(f"    and {len(clips[kind]) - listed} more")
    return "\n".join(lines)


def _cell(score: Mapping[str, float]) -> str:
    return f"{number(score['value'])} {interval(score)}".rstrip()


def _plain(key: str) -> str:
    return re.sub(r"(?<!\d)0+(?=\d)", "", key.lower())
