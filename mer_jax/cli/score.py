"""Scores a challenge log, predictions.csv or file of spotted intervals of any program.

    mer-jax score FILE... [--expected=FILE] [--truth=FILE] [--classes=NAME,NAME] [--json]

FILE is a log in the form of MEGC 2019 (lines `database subject`, then `clip true predicted`), what
STSTNet's or HTNet's training script prints (`Subject:`, `Predicted :`, `Ground Truth :`), a
predictions.csv (comma, ; or tab), or a working directory (of spotting, too). UF1 and UAR are those
of all clips pooled. UF1 is the mean over the printed classes; their source is printed, too.

Spotted intervals are tables as MEGC 2022 (vid,pred_onset,pred_offset,type) and 2024 (subject,video,
onset,offset,emotion) have them, which are compared with the marked intervals of --truth, or a log
of MEGC 2020, which contains the truth. F1 counts a hit at an overlap of 0.5, over all videos;
STRS is that of MEGC 2024.

Example:

    mer-jax score runs/first training_log.txt
    mer-jax score megc_log.txt --expected=index.csv
    mer-jax score spotted.csv --truth=marked.csv
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from absl import flags

from mer_jax.errors import UserError
from mer_jax.io import reading, saving
from mer_jax.metrics import read, spotting, spotting_files
from mer_jax.metrics.matching import Event
from mer_jax.metrics.prediction_files import normalize_name
from mer_jax.reporting import comparison
from mer_jax.reporting.log_scores import format_scores, read_expected_clips, score_log
from mer_jax.reporting.spotting_scores import format_spotting

_NOT_STRICT = "NOT STRICT, as metrics.json of this run says; its report has the reasons"
_JSON = flags.DEFINE_bool("json", False, "Print JSON instead of text.")
_EXPECTED = flags.DEFINE_string(
    "expected", None, "The expected clips: an index.csv, predictions.csv, log or working directory."
)
_CLASSES = flags.DEFINE_list(
    "classes", None, "All class names; for a log those of its numbers 0, 1, ... in this order."
)
_TRUTH = flags.DEFINE_string(
    "truth", None, "The marked intervals that the spotted ones are compared with."
)


def spotted(path: str, run: Mapping[str, Any]) -> dict:
    """The scores of a file of spotted intervals; run: `comparison.summary_of` it."""
    remarks, truth = [], _TRUTH.value
    is_run = reading.expanded(path).is_dir()
    if is_run:  # the working directory of a spotting job
        path, truth = f"{path}/predictions.csv", truth or f"{path}/truth.csv"
    if spotting_files.is_log(path):
        truths, predictions, claimed = spotting_files.read_log(path)
        counts = ", ".join(f"{count} {name}" for name, count in claimed.items())
        f1 = spotting.scores([*claimed.values()])["f1"]
        remarks = [
            f"its own lines: {counts}; F1 of these: {f1:.4f}",
            "the log does not distinguish micro- and macro-expressions: all are one kind",
        ]
    else:
        predictions = spotting_files.read(path)
    if truth:
        truths = spotting_files.read(truth)
    elif not remarks:
        raise UserError(f"{path}: its intervals are scored against --truth=FILE")
    names = _CLASSES.value or run.get("recognition", {}).get("classes", ())
    classes = [normalize_name(name) for name in names]
    result = spotting.summary(truths, predictions, classes=classes or None)
    remarks += _remarks(path, truths, predictions, result, classes, is_run=is_run)
    return result | {"remarks": remarks}


# Six parameters: the file, both sides, their scores, the classes asked for, and its kind.
def _remarks(
    path: str,
    truths: Sequence[Event],
    predictions: Sequence[Event],
    result: Mapping[str, Any],
    classes: Sequence[str],
    *,
    is_run: bool,
) -> list[str]:
    """What in the files may not be as its owner thinks. Raises `UserError` where no predicted
    emotion is one of the truth's."""
    marked = {event.emotion for event in truths}
    remarks = [f"no marked interval has the emotion {c!r}" for c in classes if c not in marked]
    named = set(result.get("recognition", {}).get("classes", ()))
    others = sorted({event.emotion for event in predictions} - {"", *named})
    if named and others and not any(event.emotion in named for event in predictions):
        raise UserError(
            f"{path}: its emotions ({', '.join(others)}) are none of those of the truth "
            f"({', '.join(sorted(named))}); write both in the same words"
        )
    if named and others:
        remarks.append(f"predicted emotions that no class is: {', '.join(others)}")
    kinds = [bool(side) and all(event.kind for event in side) for side in (truths, predictions)]
    if truths and predictions and kinds[0] != kinds[1]:
        lacking = "the truths" if kinds[1] else "the predictions"
        remarks.append(f"{lacking} give no kinds of expressions: all are matched as one")
    videos = result["videos"]
    if predictions and not videos["with truth and predictions"]:
        remarks.append("no video of the predictions is in the truth: are their names the same?")
    elif not is_run and (lost := videos["without truth, with predictions"]):
        remarks.append(f"{lost} videos of the predictions are not in the truth: as they should be?")
    return remarks


def _is_spotting_run(path: str) -> bool:
    table = reading.expanded(path) / "predictions.csv"
    return table.is_file() and spotting_files.is_table(table)


def main(argv: list[str]) -> None:
    """Prints the scores of the files that `argv` names."""
    paths = argv[1:]
    if not paths:
        raise UserError("name at least one log, predictions.csv or working directory")
    expected = read_expected_clips(_EXPECTED.value) if _EXPECTED.value else None
    results, as_text = dict[str, dict](), dict[str, Callable]()
    for path in paths:
        run = comparison.summary_of(path)  # raises for several labels a clip
        if _TRUTH.value or spotting_files.is_table(path) or _is_spotting_run(path):
            results[path], as_text[path] = spotted(path, run), format_spotting
        else:
            record = read(path, classes=_CLASSES.value or comparison.log_classes(path, run))
            results[path], as_text[path] = score_log(record, expected=expected), format_scores
        if run.get("verdict", {}).get("strict") is False:
            results[path]["remarks"] = [_NOT_STRICT, *results[path]["remarks"]]
    if _JSON.value:
        rows = [{"file": path, **result} for path, result in results.items()]
        print(json.dumps(saving.to_builtins(rows), indent=1, ensure_ascii=False, allow_nan=False))
    else:
        print("\n\n".join(f"{path}\n{as_text[path](result)}" for path, result in results.items()))
