"""What README names is there."""

import pathlib
import re

import pytest

from mer_jax import configuration, datasets
from mer_jax.datasets import composites

ROOT = pathlib.Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
MODELS = {"rcn_s", "rcn_w"}  # set by model.name=... in the table


def test_files_and_modules_exist():
    named = set(re.findall(r"(?:experiments|tests|tools)/[\w./]*\w", README))
    assert len(named) > 10
    assert not [path for path in named if "NAME" not in path and not (ROOT / path).exists()]
    modules = set(re.findall(r"(?<![\w./])(?:tools|experiments|tests)(?:\.\w+)+", README))
    assert "tools.bench" in modules
    for module in modules:
        place = ROOT / module.replace(".", "/")
        assert place.with_suffix(".py").exists() or (place / "__main__.py").exists(), module


def test_configurations_of_the_table_of_systems_exist():
    rows = README.split("## Systems")[1].split("\n\n")[1].splitlines()[2:]
    cells = [row.split("|")[3] for row in rows]
    named = {name for cell in cells for name in re.findall(r"(?<!=)`(\w+)`", cell)} - MODELS
    shipped = set(configuration.shipped())
    assert len(rows) > 15 and not named - shipped
    assert shipped - set(re.findall(r"\w+", README)) == set()
    assert all(row.count("|") == 7 for row in rows)


def test_databases_of_the_table_are_those_that_there_are():
    table = README.split("| name | what its folder holds |")[1].split("\n\n")[0]
    named = {
        name for row in table.splitlines()[2:] for name in re.findall(r"\w+", row.split("|")[1])
    }
    assert not named - {*datasets.names(), *composites.names()}
    assert {*datasets.names()} - named == {"synthetic"}


def test_python_is_python():
    snippets = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(snippets) >= 2
    for snippet in snippets:
        compile(snippet, "README.md", "exec")


@pytest.mark.parametrize("key", sorted(set(re.findall(r"--config\.([\w.]+)=", README))))
def test_keys_of_the_configuration_exist(key):
    configs = [
        configuration.read(name) for name in ("strcn_g", "stcnn_smic", "spot_default", "spot_pem")
    ]
    *section, option = key.split(".")
    of = lambda config: config.get(section[0], {}) if section else config
    assert any(option in of(config) for config in configs)
