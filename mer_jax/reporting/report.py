"""report.html: a job on one page, from the files of its working directory.

`build(workdir)` reads these files, `write` takes the same as values:

    config.json             the config as nested objects; `title` heads the page, or else what
                            `model.name` (or `method.name`) and `data.name` make
    metrics.json            `summary.summary(...)`, and beside it
                            "provenance": {"command": str, "versions": {name: version},
                            "device": str, "seed": int, "wall_seconds": float, ...}: anything of
                            text, numbers and objects of these; all of it is shown; and,
                            where training diverged, "sick_folds": [name, ...]
    predictions.csv         `predictions.write_csv`
    metrics.jsonl           optional: `history` describes it
    pictures/pictures.json  optional: [{"file": "example.png", "caption": str, "alt": str,
                            "clip": "database/subject/clip"}, ...] in the order of the page; the
                            files, PNG or WebP, lie beside it. One with "clip" is that of a wrong
                            clip and stands among these, the others are examples

The page opens with the answer, then pictures, then tables, then how it was made. Of more than 40
classes it has the most frequent mistakes as a table, in the place of confusion matrix and balance.
"""

import json
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mer_jax.errors import DataError, Problem
from mer_jax.io import learning_curves, reading, saving
from mer_jax.metrics.intervals import COMPARED
from mer_jax.metrics.predictions import Predictions, read
from mer_jax.metrics.scores import OVERALL, PER_CLASS
from mer_jax.reporting import figures
from mer_jax.reporting.page import (
    Raw,
    alarm,
    figure,
    image,
    interval,
    mark,
    number,
    page,
    rated,
    scale,
    table,
    text,
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
    "A clip has several labels: each class is judged by itself over all folds. UF1 is the mean of "
    "their F1, UAR of their recall, accuracy the share of all answers that are right. A clip is "
    "wrong, below, where one of its labels is."
)


_LOOKS = (
    " From left to right: onset, apex, apex magnified, what differs from the onset over the whole "
    "clip, flow to the apex (right is red, down yellow, left cyan, up violet), strain. Of stored "
    "flow maps: u, v, strain."
)


_MOST_CLASSES = 40  # that a confusion matrix can show, and a legend
_MOST_MISTAKES = 20

_PICTURE = {"file": str, "caption": str, "alt": str, "clip?": str}


class Picture(NamedTuple):
    """A picture that the job made."""

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
    """Writes report.html in `workdir` from the files there. Raises `UserError` for what is wrong
    with one of them."""
    workdir = pathlib.Path(workdir)
    summary = reading.load_json(workdir / "metrics.json", {"provenance?": {str: object}})
    curves = workdir / "metrics.jsonl"
    parts = dict(
        config=reading.load_json(workdir / "config.json", {str: object}),
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
    """Writes the page. The arguments are what the files above hold; `history` as `history.read`
    returns it, `summary` as `summary.summary` returns it or as it was read from metrics.json."""
    title = _title(config)
    parts = [
        *_answer(title, summary),
        *_charts(summary, predictions, history),
        *_examples([picture for picture in pictures if not picture.clip]),
        *_tables(summary, predictions),
        *_wrong(predictions, [picture for picture in pictures if picture.clip]),
        *_making(config, provenance),
    ]
    return saving.write(path, page(title, parts))


def _title(config: Mapping[str, Any]) -> str:
    def named(*rooms: str) -> str:
        found = (config.get(room) for room in rooms)
        return next((str(room["name"]) for room in found if room and "name" in room), "")

    names = [name for name in (named("model", "method"), named("data")) if name]
    return config.get("title") or " on ".join(names) or "Report"


def _answer(title: str, summary: Mapping[str, Any]) -> Iterator[str]:
    protocol, overall = summary["protocol"], summary["overall"]
    yield f"<header><h1>{text(title)}</h1>"
    counts = (
        f"{protocol['clips']} clips of {protocol['subjects']} subjects, {protocol['folds']} folds"
    )
    yield f'<p class="faint">{text(protocol["name"])}: {counts}, pooled</p></header>'
    yield mark(summary["verdict"])
    if diverged := summary.get("diverged_folds"):
        words = (
            f"Training diverged in {len(diverged)} fold(s); their last sound weights were tested."
        )
        yield alarm("DIVERGED", words, diverged)
    yield '<div class="answer">'
    for name in COMPARED:
        score, chance = overall[name], summary["majority"][name]
        sure = interval(score)
        yield (
            f'<div>{TITLES[name]}<div class="big">{number(score["value"])}</div>'
            f"<small>{f'95 % interval {sure}' if sure else 'no interval'}</small>"
            f"{scale(score, chance=chance)}"
            f'<small class="faint">majority class {number(chance, digits=3)}</small>'
            f"{_of_all(summary, name)}</div>"
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
    yield (
        f'<p class="faint">Intervals: {bootstrap["level"]:.0%} {text(bootstrap["method"])}, '
        f"{bootstrap['draws']} draws. {_MULTI_LABEL if summary.get('multi_label') else _SINGLE_LABEL}</p>"
    )


def _of_all(summary: Mapping[str, Any], score: str) -> str:
    """Whose score the large number is, where the job has several, and what all of them say."""
    if "variants" not in summary:
        return ""
    names, found = summary["variants"]["names"], summary["variants"]["overall"][score]
    return (
        f"<br><small>this is {text(names[0])}; mean of {len(names)}: "
        f"<b>{number(found['mean'])}</b> ± {number(found['std'])}</small>"
    )


def _variants(variants: Mapping[str, Any]) -> Raw:
    """Every seed and learning rate of the job, and their mean; the page's answer is the first."""
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
    other = "the same job, its switches off" if gap["remaining_leaks"] else "the same job, strict"
    rows = {"as published": summary["overall"], other: gap["strict"]}
    return _score_table("", [*rows.items(), ("inflation", more)], COMPARED, sizes=False)


def _score_table(
    first: str, rows: Sequence[tuple[str, Mapping]], names: Sequence[str], *, sizes: bool
) -> Raw:
    counts = ("clips", "subjects") if sizes else ()
    cells = [
        (name, *(part[count] for count in counts), *(rated(part[score]) for score in names))
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
    drawn = not summary.get("multi_label") and len(classes) <= _MOST_CLASSES
    if drawn:
        chart = figures.confusion_matrix(predictions.confusion(), classes)
        alt = f"Confusion matrix of {len(predictions)} clips. Share that is right: {recalls}."
        words = "Confusion matrix: share of the true class, and clips."
        yield figure(figures.svg(chart, name="confusion", alt=alt), words)
    elif not summary.get("multi_label"):
        yield _confused(predictions.confusion(), classes)

    if history is not None:
        yield _curves(summary, predictions, history)

    groups, names, right, total = zip(*_people(predictions))
    chart = figures.per_subject(names, right, total, groups=groups)
    perfect = sum(mine == all_ for mine, all_ in zip(right, total))
    alt = (
        f"Share of clips that is right for {len(names)} subjects: all for {perfect}, "
        f"none for {right.count(0)}."
    )
    words = "Share of each subject's clips that is right; dashed: of all clips of the database."
    yield figure(figures.svg(chart, name="subjects", alt=alt), words)

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


def _confused(confusion: np.ndarray, classes: Sequence[str]) -> Raw:
    """The most frequent mistakes, in the place of a matrix that nobody could read."""
    wrong = confusion * (1 - np.eye(len(classes), dtype=confusion.dtype))
    most = np.argsort(-wrong, axis=None, kind="stable")[:_MOST_MISTAKES]
    pairs = [divmod(at, len(classes)) for at in most.tolist()]
    rows = [
        (classes[t], classes[s], wrong[t, s], f"{wrong[t, s] / confusion[t].sum():.0%}")
        for t, s in pairs if wrong[t, s]
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
    words = f"Learning curves of {folds} folds: their mean, and the band of their middle half."
    if "last_epochs" in summary:
        late = summary["last_epochs"]
        words += (
            f" Test accuracy over the last {late['count']} epochs: {number(late['mean'])} "
            f"± {number(late['std'])}."
        )
    return figure(figures.svg(chart, name="curves", alt=alt), words)


def _people(predictions: Predictions) -> list[tuple[str, str, int, int]]:
    """Database, subject, clips right and clips of everyone."""
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
    shown = (
        figure(image(picture.content, kind=picture.kind, alt=picture.alt), picture.caption)
        for picture in pictures
    )
    return f'<div class="pair">{"".join(shown)}</div>'


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
        "<details><summary>What other ways of counting would have said</summary>"
        '<p class="faint">Some published numbers are of these kinds. They are not comparable with '
        f"UF1 and UAR.</p>{table([], alternative_scores)}</details>"
    )
    entries = [
        f"<li>{text(f'{database}/{name}')}<span style='--part:{100 * right / total:.1f}%'></span>"
        f"<em>{right} of {total}</em></li>"
        for database, name, right, total in _people(predictions)
    ]
    yield (
        f"<details><summary>All {len(entries)} subjects</summary>"
        f'<ul class="people">{"".join(entries)}</ul></details>'
    )


def mistakes(predictions: Predictions) -> np.ndarray:
    """The rows of wrong clips, the surest first."""
    wrong = np.flatnonzero(~predictions.correct)
    sure = predictions.probabilities[wrong].max(-1, initial=0)
    return wrong[np.argsort(-sure, kind="stable")]


def _wrong(predictions: Predictions, pictures: Sequence[Picture]) -> Iterator[str]:
    chances, classes, keys = predictions.probabilities, predictions.classes, predictions.keys
    wrong, shown, rows = mistakes(predictions).tolist(), {each.clip for each in pictures}, []
    for row in wrong:
        if keys[row] not in shown:
            true, said = int(predictions.label[row]), int(predictions.predicted[row])
            sure = (number(float(chances[row, index]), digits=2) for index in (said, true))
            rows.append((keys[row], classes[true], classes[said], *sure))
    yield f"<h2>Wrong clips</h2><details><summary>{len(wrong)} of {len(predictions)}</summary>"
    yield f'<p class="faint">The surest mistakes first.{_LOOKS if pictures else ""}</p>'
    if pictures:
        yield _gallery(pictures)
    if rows:
        others = f"{len(rows)} more, without a picture." if pictures else ""
        heads = ["clip", "true", "predicted", "p(predicted)", "p(true)"]
        yield table(heads, rows, caption=others)
    yield "</details>"


def _making(config: Mapping[str, Any], provenance: Mapping[str, Any]) -> Iterator[str]:
    rest = dict(provenance)
    yield "<h2>How this was made</h2>"
    if "command" in rest:
        yield f"<pre>{text(rest.pop('command'))}</pre>"
    if rest:
        titles = {name: name.replace("_seconds", " time").replace("_", " ") for name in rest}
        yield table([], ((titles[n], _words(n, value)) for n, value in rest.items()), words=True)
    yield "<h2>Configuration</h2>"
    yield table([], _flat(config), words=True)


def _words(name: str, value: Any) -> str:
    if name.endswith("_seconds") and isinstance(value, int | float):
        minutes, seconds = divmod(round(value), 60)
        hours, minutes = divmod(minutes, 60)
        return (
            " ".join(f"{n} {u}" for n, u in ((hours, "h"), (minutes, "min")) if n) + f" {seconds} s"
        )
    if isinstance(value, Mapping):
        return ", ".join(f"{part} {_words(part, content)}" for part, content in value.items())
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
    for number_, entry in enumerate(reading.load_json(index, [object])):
        where = f"entry {number_}"
        if wrong := reading.schema_mismatch(entry, _PICTURE):
            problems.append(Problem(where, wrong))
            continue
        name = entry["file"]
        if pathlib.PurePath(name).name != name:
            problems.append(Problem(where, f"{name} does not lie beside it"))
            continue
        try:
            content = (folder / name).read_bytes()
        except (OSError, ValueError) as error:
            problems.append(
                Problem(where, f"{name} cannot be read ({reading.error_summary(error)})")
            )
            continue
        pictures.append(Picture(content, entry["caption"], entry["alt"], entry.get("clip", "")))
        if not pictures[-1].kind:
            problems.append(Problem(where, f"{name} is neither a PNG nor a WebP file"))
    if problems:
        raise DataError(str(index), problems, most=10)
    return pictures
