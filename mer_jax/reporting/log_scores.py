"""Scores of a predictions file or log of any program, and a check of its clips.

result = score_log(read("log.txt"), expected=read_expected_clips("index.csv"))
print(format_scores(result))
"""

import collections
import csv
import io
import os
from collections.abc import Mapping
from typing import Any

from mer_jax.errors import UserError
from mer_jax.io import reading
from mer_jax.keys import normalize_key
from mer_jax.metrics.intervals import COMPARED
from mer_jax.metrics.prediction_files import MEGC_CLASSES, normalize_name, parse_header, read
from mer_jax.metrics.predictions import Predictions
from mer_jax.metrics.scores import alternative_scores, majority
from mer_jax.metrics.summary import scores_with_intervals
from mer_jax.reporting.page import alternatives, score_text

_LISTED = 10  # clips of a list


def score_log(
    predictions: Predictions, *, expected: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Pooled scores with intervals for all clips and each database, and a check of the clips.

    Args:
      predictions: from `metrics.read`.
      expected: label of each clip key, from `read_expected_clips`. Case and leading zeros of keys
        are ignored ("samm/6/006_1_2" is "samm/006/006_1_2"), as logs differ in them.

    Returns:
      Numbers in nested dicts: overall, databases, classes, remarks, confusion, majority,
      alternative_scores, and clips (repeated, expected, missing, extra, relabeled).
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
    unique = expected is None or len({normalize_key(key) for key in expected}) == len(expected)
    normalize = normalize_key if unique else str
    names = {normalize(key): key for key in keys}
    count = collections.Counter(map(normalize, keys))
    found = {"repeated": [names[key] for key in names if count[key] > 1]}
    if expected is None:
        return found
    wanted = {normalize(key): key for key in expected}
    # A list of numbers with headings, of clips of the three classes.
    megc = {*map(normalize_name, predictions.classes)} <= {*MEGC_CLASSES}
    names_of = {str(n): name for n, name in enumerate(MEGC_CLASSES)} if megc else {}
    label_of = {key: names_of.get(label, label) for key, label in expected.items()}
    labels: dict[str, list[str]] = {}  # of each of its rows
    for key, label in zip(map(normalize, keys), predictions.label.tolist()):
        labels.setdefault(key, []).append(predictions.classes[label])
    return found | {
        "expected": len(wanted),
        "missing": [key for short, key in wanted.items() if short not in labels],
        "extra": [key for short, key in names.items() if short not in wanted],
        "relabeled": [
            f"{key}: {label}, expected {label_of[key]}"
            for short, key in wanted.items()
            for label in dict.fromkeys(labels.get(short, ()))
            if normalize_name(label) != normalize_name(label_of[key])
        ],
    }


def read_expected_clips(path: str | os.PathLike) -> dict[str, str]:
    """Labels by clip key from an index.csv, a predictions.csv, a log or a working directory.

    Args:
      path: an index.csv has the columns database, subject, clip and label; the others are those of
        `metrics.read`.

    Raises:
      UserError: the file is none of these.
    """
    needed = ("database", "subject", "clip", "label")
    text = "" if reading.expanded(path).is_dir() else reading.read_text(path)
    delimiter, header = parse_header(text)
    missing = [name for name in needed if name not in header]
    headless = len(missing) == len(needed) == len(header) and header[-1].isdecimal()
    if headless:
        text, missing = f"{delimiter.join(needed)}\n{text}", []
        header = [*needed]
    if "predicted" in header or len(missing) > 2 or not text:
        record = read(path)
        return {key: record.classes[label] for key, label in zip(record.keys, record.label)}
    if missing:
        raise UserError(f"{path}: line 1 has no column {', '.join(missing)}")
    table = csv.DictReader(io.StringIO(text, newline=""), header, delimiter=delimiter)
    with reading.report_no_table(path):
        next(table)  # the headings
        rows = [[(row[name] or "").strip() for name in needed] for row in table]
    found = {"/".join(names): label for *names, label in rows if any((*names, label))}
    if headless and all(label in ("0", "1", "2") for label in found.values()):
        # The organizers' own list.
        found = {key: MEGC_CLASSES[int(label)] for key, label in found.items()}
    return found


def format_scores(result: Mapping[str, Any]) -> str:
    """The result of `score_log` as text for a terminal, with at most ten clips per list."""
    rows = [("all", result["overall"])]
    if len(result["databases"]) > 1:
        rows += result["databases"].items()
    width = max(len(name) for name, _ in rows)
    head = "".join(f"{name:>22}" for name in ("UF1", "UAR", "accuracy"))
    lines = [f"  {'':{width}} {'clips':>6} {'subjects':>9}{head}"]
    for name, part in rows:
        cells = "".join(f"{score_text(part[score]):>22}" for score in COMPARED)
        lines.append(f"  {name:{width}} {part['clips']:6} {part['subjects']:9}{cells}")
    lines.append(f"  classes: {', '.join(result['classes'])}")
    lines += [f"    {remark}" for remark in result["remarks"]]
    chance = result["majority"]
    lines.append(
        f"  always the most frequent class: UF1 {chance['uf1']:.4f}, UAR {chance['uar']:.4f}, "
        f"accuracy {chance['accuracy']:.4f}"
    )
    lines += alternatives(result["alternative_scores"])
    clips = result["clips"]
    if "expected" in clips:
        lines.append(f"  expected clips: {clips['expected']}")
    for kind in ("missing", "extra", "relabeled", "repeated"):
        if kind in clips:
            lines.append(f"  {kind}: {len(clips[kind])}")
            lines += [f"    {name}" for name in clips[kind][:_LISTED]]
            if len(clips[kind]) > _LISTED:
                lines.append(f"    and {len(clips[kind]) - _LISTED} more")
    return "\n".join(lines)
