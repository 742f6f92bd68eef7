"""Scores a challenge log or predictions.csv of any program.

    mer-jax score FILE... [--expected=FILE] [--classes=NAME,NAME] [--json]

FILE is a log in the form of MEGC 2019 (lines `database subject`, then `clip true predicted`), what
STSTNet's or HTNet's training script prints (`Subject:`, `Predicted :`, `Ground Truth :`), a
predictions.csv (comma, ; or tab), or a working directory. UF1 and UAR are those of all clips
pooled. UF1 is the mean over the printed classes; their source is printed, too.

Example:

    mer-jax score runs/first training_log.txt
    mer-jax score megc_log.txt --expected=index.csv
"""

import json

from absl import flags

from mer_jax.errors import UserError
from mer_jax.io import saving
from mer_jax.metrics import read
from mer_jax.reporting.log_scores import format_scores, read_expected_clips, score_log

_JSON = flags.DEFINE_bool("json", False, "Print JSON instead of text.")
_EXPECTED = flags.DEFINE_string(
    "expected",
    None,
    "The expected clips: an index.csv, predictions.csv, log or working directory.",
)
_CLASSES = flags.DEFINE_list(
    "classes", None, "All class names; for a log those of its numbers 0, 1, ... in this order."
)


def main(argv: list[str]) -> None:
    """Prints the scores of the files that `argv` names."""
    paths = argv[1:]
    if not paths:
        raise UserError("name at least one log, predictions.csv or working directory")
    wanted = read_expected_clips(_EXPECTED.value) if _EXPECTED.value else None
    records = {path: read(path, classes=_CLASSES.value or None) for path in paths}
    judged = {path: score_log(record, expected=wanted) for path, record in records.items()}
    if _JSON.value:
        rows = [{"file": path, **result} for path, result in judged.items()]
        print(json.dumps(saving.plain(rows), indent=1, ensure_ascii=False, allow_nan=False))
    else:
        print("\n\n".join(f"{path}\n{format_scores(result)}" for path, result in judged.items()))
