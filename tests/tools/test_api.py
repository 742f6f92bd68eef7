"""The page of the public API, against what Python itself says of the modules."""

import doctest
import inspect
import pathlib
import subprocess
import sys

import pytest

import mer_jax
from mer_jax.reporting import page
from tests.reporting.test_report import check

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    out = tmp_path_factory.mktemp("api")
    command = [sys.executable, "-m", "tools.api", f"--out={out}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(out / "api.html")
    return (out / "api.html").read_text()


@pytest.fixture(scope="module")
def found(html):
    return check(html)


def test_every_public_name_is_described_once(found):
    assert {f"mer_jax.{name}" for name in mer_jax._NAMES} <= {*found.ids}
    linked = {attrs["href"] for tag, attrs in found.tags if tag == "a"}
    for name in ("mer_jax.metrics", "mer_jax.io.saving", "mer_jax.reporting.report"):
        assert name in found.ids and f"#{name}" in linked
    for name in page.__dict__:
        thing = getattr(page, name)
        if inspect.isfunction(thing) and thing.__module__ == page.__name__:
            assert (f"mer_jax.reporting.page.{name}" in found.ids) == (name[0] != "_")


def test_methods_and_fields_are_those_of_the_class(found):
    assert "mer_jax.errors.UserError" not in found.ids and "mer_jax.UserError" in found.ids
    assert "mer_jax.Clip.frames" in found.ids and "mer_jax.Clip.__init__" not in found.ids
    for field in mer_jax.Clip.__dataclass_fields__:
        assert f" {field} " in found.text


def test_signatures_are_under_the_name_that_a_user_writes(found):
    assert "def make_config (" in found.text and "def make (" not in found.text
    assert "saturate : bool = True ," in found.text  # of magnify


def test_docstrings_have_their_sections_and_examples(html, found):
    for section in ("Args", "Returns", "Raises"):
        assert html.count(f"<h4>{section}</h4>") > 10
    for test in doctest.DocTestFinder().find(page.number):
        for example in test.examples:
            assert "".join(example.want.split()) in "".join(found.words).replace(" ", "")
    assert '<span class="gp">&gt;&gt;&gt; </span>' in html
    assert '<dt><a href="#mer_jax.UserError"><code>UserError</code></a></dt>' in html
