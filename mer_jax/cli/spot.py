"""Spots micro- and macro-expressions in the recordings of a database, leaving one subject out.

    mer-jax spot --data=NAME --root=DIR --out=DIR [--method=NAME] [--rule=NAME] [--p=P] ...

Spans, durations and thresholds of each fold come from its training subjects. DIR gets report.html
(scores; evidence, marked and predicted intervals of each recording), metrics.json, predictions.csv
and truth.csv, in the form of the challenges. --data=synthetic needs no --root.

Example:

    mer-jax spot --data=synthetic --out=spotted --option=seconds=10
    mer-jax spot --data=casme_squared --root="data/CAS(ME)^2" --out=spotted --method=strain
"""

import pathlib

from absl import flags

from mer_jax import options, runtime
from mer_jax.cli.command import named_values, no_arguments, required

_DATA = flags.DEFINE_string("data", None, "A database of long videos, or synthetic.")
_ROOT = flags.DEFINE_string("root", None, "Its folder.")
_OPTION = flags.DEFINE_multi_string("option", [], "An option of the database as NAME=VALUE.")
_OUT = flags.DEFINE_string("out", None, "The folder to write to.")
_METHOD = flags.DEFINE_string("method", "mdmd", "The evidence of a frame: mdmd, strain or flow.")
_RULE = flags.DEFINE_string("rule", "peaks", "From evidence to intervals: peaks or runs.")
_P = flags.DEFINE_float("p", None, "A published p of the threshold; by default it is fitted.")
_KINDS = flags.DEFINE_list("kinds", ["micro", "macro"], "Which expressions.")
_SIZE = flags.DEFINE_integer("size", 64, "px of the frames' sides, to which they are resized.", 10)


def main(argv: list[str]) -> None:
    """Spots, scores and writes the report."""
    from mer_jax import spotting
    from mer_jax.datasets import recordings as databases
    from mer_jax.io import saving
    from mer_jax.metrics import spotting as scoring
    from mer_jax.metrics import spotting_files
    from mer_jax.reporting import spotting_report
    from mer_jax.reporting.spotting_scores import format_spotting

    no_arguments(argv)
    name, out = required(_DATA), pathlib.Path(required(_OUT)).expanduser()
    p = None if _P.value is None else options.check_value("--p", "p", _P.value)
    runtime.enable_compile_cache()
    videos = databases.load(name, _ROOT.value, **named_values(_OPTION))
    found = spotting.leave_one_subject_out(
        videos,
        method=_METHOD.value,
        rule=_RULE.value,
        p=p,
        kinds=tuple(_KINDS.value),
        size=(_SIZE.value, _SIZE.value),
        quiet=False,
    )
    truths = [event for event in scoring.events(videos) if event.kind in _KINDS.value]
    summary = scoring.summary(truths, found.events)
    record = {
        "data": name,
        "method": _METHOD.value,
        "rule": _RULE.value,
        "p": p,
        "size": _SIZE.value,
        "folds": [fold._asdict() for fold in found.folds],
    }
    spotting_files.write(out / "predictions.csv", found.events)
    # Without emotions, which the form of the challenges with kinds does not have.
    spotting_files.write(out / "truth.csv", [event._replace(emotion="") for event in truths])
    saving.write_json(out / "metrics.json", {**record, **summary})
    title = f"{_METHOD.value} ({_RULE.value}) on {name}"
    page = spotting_report.build(videos, found, summary, title=title, p=p)
    saving.write(out / "report.html", page)
    print(format_spotting(summary))
    print(out / "report.html")
