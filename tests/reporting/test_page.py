"""The templates: what is not given is an error, and what is given stays text."""

import math
import re

import jinja2
import pytest

from mer_jax.reporting import page


def html(source: str, **values) -> str:
    imports = '{% from "parts.html" import banner, scale, score, table %}'
    return " ".join(page.environment().from_string(imports + source).render(values).split())


def test_a_missing_value_is_an_error():
    for template in ("report.html", "comparison.html"):
        with pytest.raises(jinja2.UndefinedError, match="is undefined"):
            page.render(template, title="a title alone")
    with pytest.raises(jinja2.UndefinedError, match="no attribute 'low'"):
        html("{{ scale(it, 0.5) }}", it={"value": 0.5})


def test_values_are_text_and_controls_are_boxes():
    found = html("{{ table(['<a>'], [['&', 'b\x00']], caption='\"') }}")
    for text in ("<caption>&#34;</caption>", ">&lt;a&gt;</th>", ">&amp;</th>", "<td>b\ufffd</td>"):
        assert text in found


def test_cells_of_scores_have_their_interval_in_small_letters():
    scores = [
        {"value": 0.72512, "low": 0.681, "high": 0.779},
        {"value": 0.5, "low": math.nan, "high": math.nan},
        {"mean": 0.6, "std": None},
    ]
    found = html("{{ table([], [cells]) }}", cells=["a", *scores])
    cells = re.findall("<td>(.*?)</td>", found)
    assert cells == ["0.7251 <small>[0.68, 0.78]</small>", "0.5000", "0.6000 ± –"]


def test_the_bar_of_a_score_is_drawn_in_percent():
    found = html("{{ scale(it, 1 / 3) }}", it={"value": 0.5, "low": 0.4, "high": 0.65})
    assert re.findall(r"<(\w) style=\"(.*?)\">", found) == [
        ("i", "left:40.00%;width:25.00%"),
        ("u", "left:33.33%"),
        ("b", "left:50.00%"),
    ]
    unknown = {"value": 0.5, "low": None, "high": None}
    assert re.findall(r"<(\w) style", html("{{ scale(it, none) }}", it=unknown)) == ["b"]
    assert not html("{{ scale(it, 0.5) }}", it=unknown | {"value": math.nan})


def test_a_folder_of_templates_extends_the_pages(tmp_path):
    (tmp_path / "own.html").write_text(
        '{% extends "page.html" %}{% block body %}<p>{{ 0.5 | number }}</p>{% endblock %}'
    )
    found = page.environment(tmp_path).get_template("own.html").render(title="<Own>")
    assert "<title>&lt;Own&gt;</title>" in found and "<p>0.5000</p>" in found
    assert ":root { color-scheme: light dark" in found
