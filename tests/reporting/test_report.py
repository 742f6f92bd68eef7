import collections
import dataclasses
import json
import re
from html.parser import HTMLParser

import numpy as np
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from mer_jax.io import learning_curves, saving
from mer_jax.metrics import read, summary, write_csv
from mer_jax.reporting import clip_figures, figures, report, verdict
from tests.metrics.examples import predictions

VOID = {"meta", "br", "img", "link", "hr", "input"}


class Page(HTMLParser):
    """Parses a page, checks that its tags nest, and keeps what tests ask for."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.ids, self.words = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, tag

    def handle_data(self, data):
        if "style" not in self.open[-1:]:
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def check(text):
    """What holds for every page: it nests, reaches for nothing outside, and describes pictures."""
    found = Page(text)
    assert len(found.ids) == len(set(found.ids))
    for tag, attrs in found.tags:
        assert tag not in {"script", "link", "iframe", "object", "base"}
        for name, value in attrs.items():
            assert not name.startswith("on")
            if name in {"src", "href", "xlink:href", "srcset", "action", "data"}:
                allowed = ("#", "data:image/png;base64,", "data:image/webp;base64,")
                assert value.startswith(allowed), value
        if tag == "img":
            assert attrs["alt"]
        if tag == "svg":
            assert attrs["role"] == "img" and attrs["aria-label"]
    for tag, attrs in found.tags:
        if tag == "a":
            assert attrs["href"][1:] in found.ids
    for outside in ("@import", "http://", "https://", "//www"):
        assert outside not in text
    return found


def workdir(folder, record, **options):
    """A working directory as a job leaves it."""
    names = record.by_fold()[0]
    rng = np.random.default_rng(0)
    with (folder / "metrics.jsonl").open("w") as file:
        for epoch in range(1, 4):
            row = {"epoch": epoch, "folds": names}
            for curve in ("train_loss", "train_accuracy", "test_accuracy"):
                row[curve] = rng.uniform(size=len(names)).tolist()
            file.write(json.dumps(row) + "\n")
    found = summary(record, protocol="loso", draws=40, **options)
    found["provenance"] = {
        "command": "python -m mer_jax.cli.run --config=<x>",
        "versions": {"jax": "0.10.2"}, "device": "cpu", "seed": 7, "wall_seconds": 3723.4,
    }  # fmt: skip
    saving.write_json(folder / "metrics.json", found)
    config = {"model": {"name": "ststnet"}, "data": {"name": "maps"}, "train": {"epochs": 3}}
    saving.write_json(folder / "config.json", config)
    write_csv(folder / "predictions.csv", record)
    return found


def page_of(folder, **options):
    """The path of the page of the working directory `folder`."""
    config, found = (json.loads((folder / f"{n}.json").read_text()) for n in ("config", "metrics"))
    return report.write(
        folder / "report.html", config=config, summary=found, predictions=read(folder),
        provenance=found["provenance"], **options,
    )  # fmt: skip


def test_each_mistake_is_pictured_or_in_the_table():
    """A clip that several folds test may be wrong in each of them."""
    record = predictions()
    record = record.take(np.r_[np.arange(60), np.arange(60)])
    wrong = [record.keys[row] for row in report.mistakes(record)]
    rows = report._wrong_rows(record, pictured=["", *wrong[:7]])
    assert [row[0] for row in rows] == wrong[7:] and len(set(wrong)) < len(wrong)
    sets = report._wrong_rows(record, pictured=["", *wrong[:7]], with_probabilities=False)
    assert sets == [row[:3] for row in rows]


def test_report_says_what_the_files_say(tmp_path):
    record = predictions()
    found = workdir(tmp_path, record)
    panel = figures.png(clip_figures.map_panel(np.zeros((4, 4, 3))), dpi=40)
    first_wrong = record.keys[int(np.flatnonzero(~record.correct)[0])]
    pictures = [
        report.Picture(panel, "One clip", "A face"),
        report.Picture(panel, f"{first_wrong}: pictured", "A face", first_wrong),
    ]
    history = learning_curves.read(tmp_path / "metrics.jsonl")
    path = page_of(tmp_path, pictures=pictures, history=history)
    assert path == tmp_path / "report.html"
    shown = check(path.read_text())
    text = shown.text
    assert text.index("STRICT") < text.index("UF1") < text.index("Where it is right")
    for name in ("uf1", "uar", "accuracy", "macro_f1"):
        assert f"{found['overall'][name]['value']:.4f}" in text
    for part in found["databases"].values():
        assert f"{part['uf1']['value']:.4f}" in text
    for part in found["per_class"].values():
        assert f"{part['precision']:.4f}" in text
    wrong = [key for key, right in zip(record.keys, record.correct) if not right]
    assert f"{len(wrong)} of 60" in text and all(key in text for key in wrong)
    for cell in (
        "ststnet on maps",
        "--config=<x>",
        "jax 0.10.2",
        "1 h 2 min 3 s",
        "train.epochs",
    ):
        assert cell in text
    for key in wrong:  # beside its picture, or in the table of those that have none
        assert text.count(key) == 1
    assert text.index("One clip") < text.index("Wrong clips") < text.index(f"{wrong[0]}: pict")
    assert sum(tag == "img" for tag, _ in shown.tags) == 2
    assert sum(tag == "svg" for tag, _ in shown.tags) == 4


def test_of_many_classes_the_mistakes_stand_in_a_table(tmp_path):
    """A matrix of 100 x 100 cells took half a minute and ten megabytes."""
    record = predictions(clips=300, classes=[f"c{k}" for k in range(100)], skill=2)
    mistakes = collections.Counter(
        (record.classes[t], record.classes[s])
        for t, s in zip(record.label, record.predicted)
        if t != s
    )
    workdir(tmp_path, record)
    text = page_of(tmp_path).read_text()
    found = check(text)
    assert "Confusion matrix" not in text and len(text) < 1_000_000
    assert f"The most frequent of {len(mistakes)} kinds of mistake" in found.text
    rows = re.findall(r'<th scope="row">(c\d+)</th><td>(c\d+)</td><td>(\d+)</td>', text)
    assert len(rows) == 20
    assert all(mistakes[true, predicted] == int(clips) for true, predicted, clips in rows)
    assert [int(row[2]) for row in rows] == sorted(mistakes.values(), reverse=True)[:20]
    assert all(f">c{k}</th>" in text for k in range(100))  # the table of classes


def test_same_files_same_report(tmp_path):
    workdir(tmp_path, predictions())
    assert page_of(tmp_path).read_text() == page_of(tmp_path).read_text()


def test_not_strict_comes_first_in_text_and_color(tmp_path):
    record = predictions(skill=0.5)
    better = record.probabilities + 0.6 * np.eye(3, dtype=np.float32)[record.label]
    published = dataclasses.replace(record, probabilities=better)
    leak = {"reason": "epoch"}
    found = workdir(tmp_path, published, leaks=[leak], strict=record)
    text = page_of(tmp_path).read_text()
    shown = check(text)
    assert 'class="banner warning"' in text and 'class="banner strict"' not in text
    assert (
        shown.text.index("NOT STRICT")
        < shown.text.index(verdict.sentence(leak))
        < shown.text.index("UF1")
    )
    assert f"{found['inflation']['difference']['uf1']:.4f}" in shown.text
    assert f"{found['inflation']['strict']['uf1']['value']:.4f}" in shown.text


def test_diverged_folds_are_named_before_the_scores(tmp_path):
    found = workdir(tmp_path, predictions())
    saving.write_json(tmp_path / "metrics.json", found | {"diverged_folds": ["casme2/sub07"]})
    text = check(page_of(tmp_path).read_text()).text
    assert text.index("DIVERGED") < text.index("casme2/sub07") < text.index("UF1")


NAME = st.one_of(
    st.text(min_size=1, max_size=6),
    st.sampled_from(["<script>alert(1)</script>", '"><img src=x onerror=y>', "=1+1", "a,b", "\n",
                     "</svg>", "$\\frac{$", "&amp;", "'", "{x}", "\\1", "#1f2933", 'id="'],)
)  # fmt: skip


@given(names=st.lists(NAME, min_size=6, max_size=6, unique=True))
@settings(max_examples=10, deadline=None, phases=[Phase.generate])  # a page takes half a second
def test_names_with_markup_stay_text(names, tmp_path_factory):
    record = predictions(clips=12, classes=tuple(names[:3]))
    renamed = dict(zip(dict.fromkeys(record.database), names[3:]))
    database = np.array([renamed[old] for old in record.database], object)
    record = dataclasses.replace(record, database=database, clip=record.clip + names[3])
    leaks = [dict(reason="duplicate", fold=names[0], train_clip=names[1], test_clip=names[2])]
    path = tmp_path_factory.mktemp("page") / "report.html"
    report.write(
        path,
        config={"model": {"name": names[0]}, names[1]: names[2]},
        summary=summary(record, protocol=names[2], leaks=leaks, draws=10),
        predictions=record,
        pictures=[report.Picture(b"\x89PNG", names[4], f"x{names[5]}", record.keys[0])],
        provenance={names[3]: names[4], "command": names[5]},
    )
    found = check(path.read_text())
    for name in names[:3]:
        assert " ".join(str(figures.printable(name, allowed="\n\t")).split()) in found.text


def test_undefined_scores_are_dashes(tmp_path):
    record = predictions(clips=1)
    found = summary(record, protocol="loso", draws=5)
    for content in (found, json.loads(json.dumps(saving.to_builtins(found)))):
        path = report.write(
            tmp_path / "r.html", config={}, summary=content, predictions=record, provenance={}
        )
        text = check(path.read_text()).text
        assert "no interval" in text and "–" in text and "nan" not in text.lower()
