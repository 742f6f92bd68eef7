import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from mer_jax.reporting import clip_figures, figures

RNG = np.random.default_rng(0)
HISTORY = {
    "folds": ("a", "b", "c"),
    "epochs": np.arange(1, 6),
    "train_loss": RNG.uniform(size=(3, 5)),
    "train_accuracy": RNG.uniform(size=(3, 5)),
    "test_accuracy": np.where(np.arange(5) == 4, np.nan, RNG.uniform(size=(3, 5))),
}
NAMES = ["<b>", "$x", "a\nb\x00"]


def drawn():
    counts = np.array([[5, 1, 0], [2, 3, 1], [0, 0, 0]])
    picture = RNG.uniform(size=(12, 10))
    return {
        "matrix": figures.confusion_matrix(counts, NAMES),
        "curves": figures.learning_curves(HISTORY, weights=np.array([1.0, 2, 3]), chance=0.4),
        "one fold, one epoch": figures.learning_curves(
            {"folds": ("a",), "epochs": np.array([3]), "train_loss": np.ones((1, 1))}
        ),
        "subjects": figures.per_subject(NAMES, [1, 0, 4], [2, 1, 4], groups=["x", "y", "x"]),
        "many subjects": figures.per_subject([str(n) for n in range(40)], [1] * 40, [2] * 40),
        "balance": figures.class_balance(counts, ["x", "$y", "z"], NAMES),
        "intervals": figures.score_intervals(NAMES, {"UF1": [[0.1, 0.2, 0.3]] * 3}),
        "panel": clip_figures.clip_panel(
            onset=picture, apex=picture[..., None], magnified=np.dstack([picture] * 3) * 2,
            difference=picture, flow=RNG.normal(size=(12, 10, 2)), strain=picture,
        ),
        "map": clip_figures.map_panel(RNG.uniform(size=(6, 6, 3))),
    }  # fmt: skip


@pytest.fixture(scope="module")
def all_figures():
    return drawn()


def test_png_is_a_picture(all_figures):
    import cv2

    for name, figure in all_figures.items():
        data = figures.png(figure, dpi=60)
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None and picture.std() > 1, name


def test_svg_is_well_formed_themed_and_without_address(all_figures):
    for name, figure in all_figures.items():
        text = figures.svg(figure, name="chart", alt='about "<b>" & co')
        root = ElementTree.fromstring(text.replace("<svg", '<svg xmlns:xlink="x"', 1))
        assert root.attrib["aria-label"] == 'about "<b>" & co' and root.attrib["role"] == "img"
        assert "http" not in text, name
        assert figures.INK not in re.sub(r"var\([^)]*\)", "", text)
        ids = re.findall(r'\bid="([^"]*)"', text)
        assert all(one.startswith("chart-") for one in ids)
        for target in re.findall(r'(?:href="#|url\(#)([^")]*)', text):
            assert target in ids, name


def test_svg_holds_the_numbers_as_text():
    counts = np.array([[17, 3], [4, 36]])
    text = figures.svg(figures.confusion_matrix(counts, ["yes", "no"]), name="m", alt="")
    words = re.findall(r"<text[^>]*>([^<]*)</text>", text)
    for word in ("17", "3", "4", "36", "85%", "15%", "10%", "90%", "yes", "no"):
        assert word in words


def test_names_that_look_like_svg_stay_as_they_are():
    names = ['id="', figures.INK, "url(#"]
    text = figures.svg(figures.confusion_matrix(np.eye(3), names), name="m", alt="")
    words = re.findall(r"<text[^>]*>([^<]*)</text>", text)
    assert set(names) <= set(words)


def test_same_figure_same_svg():
    counts = np.eye(3)
    texts = {
        figures.svg(figures.confusion_matrix(counts, list("abc")), name="m", alt="")
        for _ in range(2)
    }
    assert len(texts) == 1


def test_matplotlib_keeps_its_settings():
    import matplotlib

    before = dict(matplotlib.rcParams)
    figures.png(figures.confusion_matrix(np.eye(2), ["a", "b"]), dpi=40)
    assert dict(matplotlib.rcParams) == before


def test_weighted_test_curve_is_that_of_the_pooled_clips():
    weights = np.array([1.0, 2.0, 3.0])
    figure = figures.learning_curves(HISTORY, weights=weights)
    lines = {line.get_label(): line.get_ydata() for line in figure.axes[1].get_lines()}
    expected = weights @ HISTORY["test_accuracy"] / 6
    np.testing.assert_allclose(lines["test"], expected, rtol=1e-12)
    np.testing.assert_allclose(lines["training"], HISTORY["train_accuracy"].mean(0), rtol=1e-12)


def test_labels_are_shown_safely():
    assert figures.shorten("a\x00\n") == "a\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}"
    assert figures.shorten("x" * 50) == "x" * 21 + "…"
