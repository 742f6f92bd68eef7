"""report.html: the results of a job on one page, from the files of its working directory.

`build(workdir)` reads these files, `write` takes their content:

    config.json             the config as nested objects; the page's heading is `title`, by default
                            made of `model.name` (or `method.name`) and `data.name`
    metrics.json            `metrics.summary(...)`, with "provenance": {"command": str, "versions":
                            {name: version}, "device": str, "seed": int, "wall_seconds": float, ...}
                            (text, numbers and objects of these; all are shown), and, if training
                            diverged, "diverged_folds": [name, ...]
    predictions.csv         `predictions.write_csv`
    metrics.jsonl           optional: see `io.learning_curves`
    pictures/pictures.json  optional: [{"file": "example.png", "caption": str, "alt": str,
                            "clip": "database/subject/clip"}, ...] in the order of the page; the
                            files, PNG or WebP, are in the same folder. Those with "clip" show wrong
                            clips, the others are examples

The page shows the main scores, then charts, tables and provenance. For more than 40 classes a table
of the most frequent mistakes replaces the confusion matrix and the class balance.
"""

import json
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from mer_jax.errors import DataError, Problem
from mer_jax.io import learning_curves, reading, saving
from mer_jax.metrics.intervals import COMPARED
from mer_jax.metrics.predictions import Predictions, read
from mer_jax.metrics.scores import OVERALL, PER_CLASS
from mer_jax.reporting import figures
from mer_jax.reporting.page import (
    Raw,
    figure,
    image,
    interval,
    number,
    page,
    scale,
    score_cell,
    table,
    text,
    verdict_banner,
    warning_banner,
)

TITLES = {
    "uf1": "UF1", "uar": "UAR", "accuracy": "accuracy", "micro_f1": "micro F1",
    "macro_f1": "macro F1", "macro_tnr": "macro TNR", "precision": "precision",
    "recall": "recall", "f1": "F1", "tpr": "TPR", "tnr": "TNR", "support": "clips",
}  # fmt: skip


_SINGLE_LABEL = (
    "UF1 and UAR are scores of the confusion matrix summed over all folds, as MEGC 2019 defines "
    "them."
)
_MULTI_LABEL = (
    "A clip has several labels: each class is scored by itself over all folds. UF1 is the mean of "
    "their F1, UAR of their recall, accuracy the share of correct decisions. A clip counts as "
    "wrong, below, if one of its labels is."
)


_THUMBNAIL_LEGEND = (
    " From left to right: onset, apex, apex magnified, difference to the onset summed over the "
    "clip, flow to the apex (right is red, down yellow, left cyan, up violet), strain. For "
    "stored flow maps: u, v, strain."
)


_MAX_CLASSES = 40  # that fit in a confusion matrix and a legend
_MAX_MISTAKES = 20


class _Entry(msgspec.Struct):
    """Of pictures.json."""

    file: str
    caption: str
    alt: str
    clip: str = ""


class Picture(NamedTuple):
    """A picture of a clip for the report."""

    content: bytes  # PNG or WebP
    caption: str
    alt: str
    clip: str = ""  # key of the clip it shows, if that was wrong

    @property
    def kind(self) -> str:
        """ "png", "webp", or "" for what is neither."""
        webp = self.content[:4] == b"RIFF" and self.content[8:12] == b"WEBP"
        return "png" if self.content.startswith(b"\x89PNG") else "webp" if webp else ""


def build(workdir: str | os.PathLike) -> pathlib.Path:
    """Writes `workdir`/report.html from the files there. Raises `UserError` for a damaged file."""
    workdir = pathlib.Path(workdir)
    summary = reading.load_json(workdir / "metrics.json", dict[str, Any])
    curves = workdir / "metrics.jsonl"
    parts = dict(
        config=reading.load_json(workdir / "config.json", dict[str, Any]),
        predictions=read(workdir),
        history=learning_curves.read(curves) if curves.exists() else None,
        pictures=_pictures(workdir / "pictures"),
    )
    with reading.report_damage(f"{workdir}: metrics.json or config.json"):
        return write(
            workdir / "report.html",
            summary=summary,
            provenance=summary.get("provenance", {}),
            **parts,
        )


def write(
    path: str | os.PathLike,
    *,
    config: Mapping[str, Any],
    summary: Mapping[str, Any],
    predictions: Predictions,
    history: Mapping[str, Any] | None = None,
    pictures: Sequence[Picture] = (),
    provenance: Mapping[str, Any],
) -> pathlib.Path:
    """Writes the page.

    Args:
      path: of the HTML file.
      config: content of config.json.
      summary: from `metrics.summary`, or content of metrics.json.
      predictions: of all tested clips.
      history: from `io.learning_curves.read`.
      pictures: in the order of the page.
      provenance: see above.
    """
    title = _title(config)
    parts = [
        *_headline(title, summary),
        *_charts(summary, predictions, history),
        *_examples([picture for picture in pictures if not picture.clip]),
        *_tables(summary, predictions),
        *_wrong_clips(predictions, [picture for picture in pictures if picture.clip]),
        *_provenance(config, provenance),
    ]
    return saving.write(path, page(title, parts))


def _title(config: Mapping[str, Any]) -> str:
    def first_name(*keys: str) -> str:
        sections = (config.get(key) for key in keys)
        return next((str(each["name"]) for each in sections if each and "name" in each), "")

    names = [name for name in (first_name("model", "method"), first_name("data")) if name]
    return config.get("title") or " on ".join(names) or "Report"


def _headline(title: str, summary: Mapping[str, Any]) -> Iterator[str]:
    protocol, overall = summary["protocol"], summary["overall"]
    yield f"<header><h1>{text(title)}</h1>"
    counts = (
        f"{protocol['clips']} clips of {protocol['subjects']} subjects, {protocol['folds']} folds"
    )
    yield f'<p class="faint">{text(protocol["name"])}: {counts}, pooled</p></header>'
    yield verdict_banner(summary["verdict"])
    if diverged := summary.get("diverged_folds"):
        sentence = (
            f"Training diverged in {len(diverged)} fold(s); their last finite weights are used."
        )
        yield warning_banner("DIVERGED", sentence, diverged)
    yield '<div class="headline">'
    for name in COMPARED:
        score, chance = overall[name], summary["majority"][name]
        bounds = interval(score)
        yield (
            f'<div>{TITLES[name]}<div class="big">{number(score["value"])}</div>'
            f"<small>{f'95 % interval {bounds}' if bounds else 'no interval'}</small>"
            f"{scale(score, chance=chance)}"
            f'<small class="faint">majority class {number(chance, digits=3)}</small>'
            f"{_mean_of_variants(summary, name)}</div>"
        )
    yield "</div>"
    if "inflation" in summary:
        yield _inflation(summary)
    if len(summary["databases"]) > 1:
        rows = [("all", overall), *summary["databases"].items()]
        yield _score_table("database", rows, COMPARED, sizes=False)
    if "variants" in summary:
        yield _variants(summary["variants"])
    if "over_repeats" in summary:
        spread = summary["over_repeats"]
        cells = (f"{number(spread[n]['mean'])} ± {number(spread[n]['std'])}" for n in COMPARED)
        row = (f"mean ± deviation of {spread['uf1']['count']} repeats", *cells)
        yield table(["", *(TITLES[name] for name in COMPARED)], [row])
    bootstrap = summary["intervals"]
    definition = _MULTI_LABEL if summary.get("multi_label") else _SINGLE_LABEL
    yield (
        f'<p class="faint">Intervals: {bootstrap["level"]:.0%} {text(bootstrap["method"])}, '
        f"{bootstrap['draws']} draws. {definition}</p>"
    )


def _mean_of_variants(summary: Mapping[str, Any], score: str) -> str:
    """If the job has variants: which one the large number is of, and the mean of all."""
    if "variants" not in summary:
        return ""
    names, found = summary["variants"]["names"], summary["variants"]["overall"][score]
    return (
        f"<br><small>this is {text(names[0])}; mean of {len(names)}: "
        f"<b>{number(found['mean'])}</b> ± {number(found['std'])}</small>"
    )


def _variants(variants: Mapping[str, Any]) -> Raw:
    """A row per seed and learning rate of the job, and their mean; the first is the main one."""
    overall = variants["overall"]
    rows = [
        (name, *(number(overall[score]["values"][index]) for score in COMPARED))
        for index, name in enumerate(variants["names"])
    ]
    spread = (
        f"{number(overall[score]['mean'])} ± {number(overall[score]['std'])}" for score in COMPARED
    )
    return table(
        ["trained beside each other", *(TITLES[score] for score in COMPARED)],
        [*rows, ("mean ± deviation", *spread)],
    )


def _inflation(summary: Mapping[str, Any]) -> Raw:
    gap = summary["inflation"]
    more = {
        name: {"value": gap["difference"][name]} | dict(zip(("low", "high"), gap["interval"][name]))
        for name in COMPARED
    }
    other = f"the same job, {'fewer leaks' if gap['remaining_leaks'] else 'strict'}"
    rows = {"as published": summary["overall"], other: gap["strict"]}
    return _score_table("", [*rows.items(), ("inflation", more)], COMPARED, sizes=False)


def _score_table(
    first: str, rows: Sequence[tuple[str, Mapping]], names: Sequence[str], *, sizes: bool
) -> Raw:
    counts = ("clips", "subjects") if sizes else ()
    cells = [
        (name, *(part[count] for count in counts), *(score_cell(part[score]) for score in names))
        for name, part in rows
    ]
    return table([first, *counts, *(TITLES[score] for score in names)], cells)


def _charts(
    summary: Mapping[str, Any], predictions: Predictions, history: Mapping[str, Any] | None
) -> Iterator[str]:
    yield '<h2>Where it is right and wrong</h2><div class="pair">'
    classes, parts = predictions.classes, predictions.by_database()
    recalls = ", ".join(
        f"{name} {number(found['recall'], digits=2)}"
        for name, found in summary["per_class"].items()
    )
    drawn = not summary.get("multi_label") and len(classes) <= _MAX_CLASSES
    if drawn:
        chart = figures.confusion_matrix(predictions.confusion(), classes)
        alt = f"Confusion matrix of {len(predictions)} clips. Share that is right: {recalls}."
        caption = "Confusion matrix: share of the true class, and clips."
        yield figure(figures.svg(chart, name="confusion", alt=alt), caption)
    elif not summary.get("multi_label"):
        yield _frequent_mistakes(predictions.confusion(), classes)

    if history is not None:
        yield _curves(summary, predictions, history)

    groups, names, right, total = zip(*_subject_counts(predictions))
    chart = figures.per_subject(names, right, total, groups=groups)
    perfect = sum(mine == all_ for mine, all_ in zip(right, total))
    alt = (
        f"Share of clips that is right for {len(names)} subjects: all for {perfect}, "
        f"none for {right.count(0)}."
    )
    caption = "Share of each subject's clips that is right; dashed: of all clips of the database."
    yield figure(figures.svg(chart, name="subjects", alt=alt), caption)

    if not drawn:
        yield "</div>"
        return
    balance = np.stack([part.confusion().sum(1) for part in parts.values()])
    chart = figures.class_balance(balance, list(parts), classes)
    counts = "; ".join(
        f"{name}: " + ", ".join(f"{count} {label}" for count, label in zip(row, classes))
        for name, row in zip(parts, balance.tolist())
    )
    alt = f"Tested clips of each class. {counts}."
    yield figure(figures.svg(chart, name="balance", alt=alt), "Tested clips of each class.")
    yield "</div>"


def _frequent_mistakes(confusion: np.ndarray, classes: Sequence[str]) -> Raw:
    """The most frequent mistakes; a matrix of so many classes would be illegible."""
    wrong = confusion * (1 - np.eye(len(classes), dtype=confusion.dtype))
    largest = np.argsort(-wrong, axis=None, kind="stable")[:_MAX_MISTAKES]
    pairs = [divmod(index, len(classes)) for index in largest.tolist()]
    rows = [
        (classes[t], classes[p], wrong[t, p], f"{wrong[t, p] / confusion[t].sum():.0%}")
        for t, p in pairs if wrong[t, p]
    ]  # fmt: skip
    caption = (
        f"The most frequent of {np.count_nonzero(wrong)} kinds of mistake; all of them are in "
        "metrics.json, as `confusion`."
    )
    return table(["true", "predicted", "clips", "of the true class"], rows, caption=caption)


def _curves(
    summary: Mapping[str, Any], predictions: Predictions, history: Mapping[str, Any]
) -> Raw:
    weights = predictions.fold_sizes(history["folds"])
    chart = figures.learning_curves(
        history,
        weights=weights if weights.any() else None,
        chance=summary["majority"]["accuracy"],
    )
    folds, epochs = len(history["folds"]), len(history["epochs"])
    alt = (
        f"Training loss, training accuracy and test accuracy of {folds} folds over {epochs} epochs."
    )
    caption = f"Learning curves of {folds} folds: their mean, and the band of their middle half."
    if "last_epochs" in summary:
        late = summary["last_epochs"]
        caption += (
            f" Test accuracy over the last {late['count']} epochs: {number(late['mean'])} "
            f"± {number(late['std'])}."
        )
    return figure(figures.svg(chart, name="curves", alt=alt), caption)


def _subject_counts(predictions: Predictions) -> list[tuple[str, str, int, int]]:
    """Of every subject: database, name, number of correct clips, number of clips."""
    return [
        (database, name.removeprefix(f"{database}/"), int(matrix.trace()), int(matrix.sum()))
        for database, part in predictions.by_database().items()
        for name, matrix in zip(*part.by_subject())
    ]


def _examples(pictures: Sequence[Picture]) -> Iterator[str]:
    if not pictures:
        return
    yield f"<h2>Example clips</h2>{_gallery(pictures)}"


def _gallery(pictures: Sequence[Picture]) -> str:
    entries = (
        figure(image(picture.content, kind=picture.kind, alt=picture.alt), picture.caption)
        for picture in pictures
    )
    return f'<div class="pair">{"".join(entries)}</div>'


def _tables(summary: Mapping[str, Any], predictions: Predictions) -> Iterator[str]:
    yield "<h2>All scores</h2>"
    rows = [("all", summary["overall"])]
    if len(summary["databases"]) > 1:
        rows += summary["databases"].items()
    yield _score_table("database", rows, OVERALL, sizes=True)
    yield table(
        ["class", *(TITLES[name] for name in PER_CLASS)],
        [
            (
                name,
                *(
                    number(part[score], digits=0 if score == "support" else 4)
                    for score in PER_CLASS
                ),
            )
            for name, part in summary["per_class"].items()
        ],
    )
    alternative_scores = [
        (name, number(value)) for name, value in summary["alternative_scores"].items()
    ]
    yield (
        "<details><summary>Scores by other definitions</summary>"
        '<p class="faint">Some published numbers use these. They are not comparable with '
        f"UF1 and UAR.</p>{table([], alternative_scores)}</details>"
    )
    entries = [
        f"<li>{text(f'{database}/{name}')}<span style='--part:{100 * right / total:.1f}%'></span>"
        f"<em>{right} of {total}</em></li>"
        for database, name, right, total in _subject_counts(predictions)
    ]
    yield (
        f"<details><summary>All {len(entries)} subjects</summary>"
        f'<ul class="subjects">{"".join(entries)}</ul></details>'
    )


def mistakes(predictions: Predictions) -> np.ndarray:
    """Rows of wrong clips by decreasing probability of the predicted class, [M] int."""
    wrong = np.flatnonzero(~predictions.correct)
    confidence = predictions.probabilities[wrong].max(-1, initial=0)
    return wrong[np.argsort(-confidence, kind="stable")]


def _wrong_clips(predictions: Predictions, pictures: Sequence[Picture]) -> Iterator[str]:
    probabilities, classes, keys = predictions.probabilities, predictions.classes, predictions.keys
    wrong, with_picture, rows = mistakes(predictions).tolist(), {p.clip for p in pictures}, []
    for row in wrong:
        if keys[row] not in with_picture:
            true, predicted = int(predictions.label[row]), int(predictions.predicted[row])
            pair = (probabilities[row, predicted], probabilities[row, true])
            cells = (number(float(value), digits=2) for value in pair)
            rows.append((keys[row], classes[true], classes[predicted], *cells))
    yield f"<h2>Wrong clips</h2><details><summary>{len(wrong)} of {len(predictions)}</summary>"
    legend = _THUMBNAIL_LEGEND if pictures else ""
    yield f'<p class="faint">The most confident mistakes first.{legend}</p>'
    if pictures:
        yield _gallery(pictures)
    if rows:
        others = f"{len(rows)} more, without a picture." if pictures else ""
        heads = ["clip", "true", "predicted", "p(predicted)", "p(true)"]
        yield table(heads, rows, caption=others)
    yield "</details>"


def _provenance(config: Mapping[str, Any], provenance: Mapping[str, Any]) -> Iterator[str]:
    rest = dict(provenance)
    yield "<h2>How this was made</h2>"
    if "command" in rest:
        yield f"<pre>{text(rest.pop('command'))}</pre>"
    if rest:
        titles = {name: name.replace("_seconds", " time").replace("_", " ") for name in rest}
        cells = ((titles[name], _format_value(name, value)) for name, value in rest.items())
        yield table([], cells, is_text=True)
    yield "<h2>Configuration</h2>"
    yield table([], _flat(config), is_text=True)


def _format_value(name: str, value: Any) -> str:
    if name.endswith("_seconds") and isinstance(value, int | float):
        minutes, seconds = divmod(round(value), 60)
        hours, minutes = divmod(minutes, 60)
        return (
            " ".join(f"{n} {u}" for n, u in ((hours, "h"), (minutes, "min")) if n) + f" {seconds} s"
        )
    if isinstance(value, Mapping):
        return ", ".join(
            f"{part} {_format_value(part, content)}" for part, content in value.items()
        )
    return value if isinstance(value, str) else json.dumps(saving.plain(value))


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", json.dumps(saving.plain(value), ensure_ascii=False)


def _pictures(folder: pathlib.Path) -> list[Picture]:
    index = folder / "pictures.json"
    if not index.exists():
        return []
    pictures, problems = [], []
    for number_, entry in enumerate(reading.load_json(index, list[_Entry])):
        where, name = f"entry {number_}", entry.file
        if pathlib.PurePath(name).name != name:
            problems.append(Problem(where, f"{name} is not in the same folder"))
            continue
        try:
            content = (folder / name).read_bytes()
        except (OSError, ValueError) as error:
            problems.append(
                Problem(where, f"{name} cannot be read ({reading.error_summary(error)})")
            )
            continue
        pictures.append(Picture(content, entry.caption, entry.alt, entry.clip))
        if not pictures[-1].kind:
            problems.append(Problem(where, f"{name} is neither a PNG nor a WebP file"))
    if problems:
        raise DataError(str(index), problems, most=10)
    return pictures
