"""Every row of every sweep makes a valid job; a sweep runs, tells what is published, goes on."""

import functools
import json
import math
import pathlib
import re

import jax
import pytest
from flax import nnx

from mer_jax import configuration, models, sweep
from mer_jax.datasets import labels
from mer_jax.errors import UserError
from mer_jax.reporting.comparison import TITLES
from mer_jax.sweep import Row
from mer_jax.training import losses

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "experiments" / "sweeps"
DEFAULT = configuration.shipped()["default"]
FILES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")
DATABASES = {"casme", "casme2", "casme_squared", "samm"}


def shape_of(method):
    """The shape of one example of a network's method, from its options."""
    height, width = method["size"]
    if method["name"] == "strcn_a":
        return (int(method["mask_fraction"] * height * width), method["length"], 3)
    if method["name"] == "mer_rcnn":
        return (method["num_pixels"], method["length"], 3)
    return {
        "strcn_g": (height, width, 2),
        "apex": (height, width, 3),
        "frames": (height, width, 3),
        "mmnet": (2, height, width, 3),
        "flow_maps": (height, width, len(method.get("channels", ()))),
        "stcnn": (method.get("length"), height, width, 1),
        "fusenet": (method.get("length"), height, width, 1),
        "psn": (method.get("frames"), height, width, 1),
        "r3d": (method.get("length"), height, width, 3),
        "skd_tstsan": (height, width, 2 * math.prod(method.get("blocks", ())) + 6),
    }[method["name"]]


@functools.cache
def traced(name, sizes, shape):
    """Network `name` of these sizes, without numbers."""
    build = lambda: models.create(name, num_classes=4, rngs=nnx.Rngs(0), shape=shape, **dict(sizes))
    return nnx.eval_shape(build)


def test_the_documented_parts_of_the_recipes_are_as_many_as_said():
    """megc2019.md has the scores after 52, 76, 80 and 88 recipes."""
    page = (FOLDER.parent / "results" / "megc2019.md").read_text()
    filters = dict(re.findall(r"^\| (\d+): .*`'--rows=(.+?)'`", page, re.M)) | {"88": ""}
    assert set(filters) == {"52", "76", "80", "88"}
    for count, only in filters.items():
        rows = sweep.rows(FOLDER / "flow_recipes.py", only=only.replace("\\|", "|"))
        assert len(rows) == int(count)


@pytest.mark.parametrize("name", FILES)
def test_every_row_is_a_valid_job(name):
    rows = sweep.rows(FOLDER / f"{name}.py")
    assert len({sweep.folder(title) for title in rows}) == len(rows)
    # None would be a type that --config.data.root cannot override.
    assert sweep.first_configuration(rows).data.get_type("root") is str
    seen = set()
    for title, row in rows.items():
        config = sweep.configured(row, {"data.root": "DIR"})
        losses.create(configuration.check(config).loss)
        plain = configuration.to_dict(config)
        for key, value in row.changes.items():  # nothing is lost on the way
            section, option = key.split(".")
            value = list(value) if isinstance(value, tuple) else value
            assert plain[section][option] == value, title
        assert config.data.label_scheme in labels.schemes()
        alone = row.changes.get("data.name", "psn") != "psn"
        assert config.data.root == (f"DIR/{config.data.name}" if alone else "DIR")
        for score, figure in row.published.items():
            database, _, score = score.rpartition("/")
            assert score in TITLES and (not database or database in DATABASES)
            for part in figure if isinstance(figure, tuple) else (figure,):
                assert 0 < part < 1, title
        if not models.info(config.model.name).estimator:
            sizes = tuple(configuration.options_of(config, "model").items())
            shape = shape_of(config.method)
            takes = traced(config.model.name, sizes, shape).input_shape
            assert shape in (takes.values() if isinstance(takes, dict) else [takes])
        job_fingerprint = json.dumps(
            {k: v for k, v in plain.items() if k != "title"}, sort_keys=True
        )
        assert job_fingerprint not in seen, f"{title} is another row again"
        seen.add(job_fingerprint)


def test_the_command_line_has_the_last_word_in_every_row_that_can_take_it():
    overrides = {"data.root": "DIR", "data.name": "prepared", "train.epochs": 3}
    config = sweep.configured(Row("strcn_a", {"data.name": "smic", "train.epochs": 9}), overrides)
    assert (config.data.name, config.data.root, config.train.epochs) == ("prepared", "DIR/smic", 3)
    config = sweep.configured(Row("baseline_mdmo", {"data.name": "smic"}), overrides)
    configuration.check(config)  # a support vector machine has no epochs
    overrides = {"data.clips_per_subject": 3, "data.name": "synthetic"}
    config = sweep.configured(Row("strcn_a", {"data.name": "smic"}), overrides)
    assert config.data.name == "synthetic" and config.data.subjects == 12
    assert config.data.clips_per_subject == 3


SMALL = {
    "data.subjects": 3,
    "data.clips_per_subject": 4,
    "data.frames": (8, 12),
    "data.size": (32, 32),
    "method.preset": "horn_schunck",
    "report.thumbnails": False,
    "report.example_figures": False,
    "train.epochs": 2,
    "train.batch_size": 8,
}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("sweep")
    rows = {
        "slow rate": Row("default", {}, {"accuracy": 0.7, "synthetic/uf1": 0.55}),
        "fast rate": Row("default", {"train.learning_rate": 0.01}),
        "other set": Row("default", {"data.name": "casme2"}),
    }
    with pytest.raises(UserError, match=r"1 of 3 rows could not run:\s+other set: .*\s+.*/nowhere"):
        overrides = SMALL | {"data.root": "/nowhere"}
        sweep.run(rows, workdir, overrides=overrides, devices=jax.devices()[:1])
    return rows, workdir


@pytest.mark.e2e
def test_a_table_has_what_the_paper_prints_beside_ours(table):
    _, workdir = table
    lines = [line for line in (workdir / "table.md").read_text().splitlines() if line[:1] == "|"]
    head, _, first, part, second = ([cell.strip() for cell in line.split("|")] for line in lines)
    assert first[1] == "slow rate" and part[1] == "slow rate: synthetic"
    assert second[1] == "fast rate" and head.count("published") == 2
    score = json.loads((workdir / "slow_rate" / "metrics.json").read_text())["overall"]["accuracy"]
    place = head.index("accuracy")
    assert first[place].startswith(f"{score['value']:.4f}")
    assert first[place + 1] == "0.7000" and second[place + 1] == ""
    assert part[head.index("UF1") + 1] == "0.5500"
    assert (workdir / "table.html").exists() and (workdir / "table.tex").exists()


@pytest.mark.e2e
def test_a_row_that_has_run_is_not_run_again_unless_it_has_changed(table, monkeypatch):
    rows, workdir = table
    rows = {name: rows[name] for name in ("slow rate", "fast rate")}
    overrides, ran = SMALL | {"data.root": "/nowhere"}, []
    monkeypatch.setattr(sweep.experiment, "run", lambda job, place, **_: ran.append(place.name))
    before = (workdir / "table.md").read_text()
    assert sweep.run(rows, workdir, overrides=overrides) == before and ran == []
    rows["fast rate"] = Row("default", {"train.learning_rate": 0.02})
    sweep.run(rows, workdir, overrides=overrides)
    assert ran == ["fast_rate"]


@pytest.mark.e2e
def test_a_row_runs_again_where_its_data_have_changed(tmp_path, monkeypatch, capsys):
    """The table was printed again, of the labels before, without a word."""
    rows = {"one": Row("default", {})}
    overrides = SMALL | {"train.epochs": 1}
    once = {"devices": jax.devices()[:1]}
    sweep.run(rows, tmp_path, overrides=overrides, **once)
    ran, run = [], sweep.experiment.run
    monkeypatch.setattr(
        sweep.experiment,
        "run",
        lambda job, place, **how: ran.append(place) or run(job, place, **how),
    )
    sweep.run(rows, tmp_path, overrides=overrides, **once)
    assert not ran and "1 of 1: one has run already" in capsys.readouterr().err
    label = sweep.experiment.label_clips

    def relabeled(config):
        found = label(config)
        return found._replace(labels=found.labels[::-1].copy())

    monkeypatch.setattr(sweep.experiment, "label_clips", relabeled)
    with pytest.raises(UserError, match=r"one: .*holds another job \(clips: "):
        sweep.run(rows, tmp_path, overrides=overrides, **once)
    assert len(ran) == 1

    def missing(config):
        raise UserError("DATA: there is no such folder")

    monkeypatch.setattr(sweep.experiment, "label_clips", missing)
    assert sweep.run(rows, tmp_path, overrides=overrides, **once)
    assert "used as it is: its data cannot be read now (DATA: there" in capsys.readouterr().err


def test_mistakes_are_one_sentence():
    file = FOLDER / "stcnn_table9.py"
    assert list(sweep.rows(file, only="3 x 3 x 1")) == ["3 x 3 x 15", "3 x 3 x 19"]
    assert sweep.rows(DEFAULT) == {}
    with pytest.raises(UserError, match="did you mean '3 x 3 x 3'"):
        sweep.rows(file, only="3x3x3")
    with pytest.raises(UserError, match="is not a regular expression"):
        sweep.rows(file, only="3 x (")
    with pytest.raises(UserError, match="it has no --only"):
        sweep.rows(DEFAULT, only="a")
    with pytest.raises(UserError, match=r"sets model\.kernl"):
        sweep.configured(Row("stcnn_smic", {"model.kernl": 3}), {})
    for names in (("alpha = 1", "alpha = -1"), ("αβ",), ("..",)):
        with pytest.raises(UserError, match="give it a name with other letters or digits"):
            sweep.run(dict.fromkeys(names, Row("default")), "nowhere", overrides={})
    with pytest.raises(UserError, match="spot_strain is a spotting job"):
        sweep.configured(Row("spot_strain"), {})
    with pytest.raises(UserError, match=r"row 'one': train\.model_selection is"):
        sweep.run(
            {"one": Row("default", {"train.model_selection": "best_val"})}, "nowhere", overrides={}
        )


@pytest.mark.parametrize(
    ("published", "said"),
    [
        ({"UF1": 0.7}, "unknown published score 'UF1'; did you mean 'uf1'"),
        ({"synthetic/acuracy": 0.7}, "did you mean 'accuracy'"),
        ({"recall": 0.5}, "unknown published score 'recall'"),
        ({"accuracy": 82.93}, "the published accuracy is 82.93; give a fraction of 1"),
        ({"last_epochs": (0.7, 1.2)}, r"last_epochs is \(0.7, 1.2\); give a fraction"),
    ],
)
def test_published_scores_are_checked_before_the_first_row_runs(published, said, tmp_path):
    rows = {"one": Row("default"), "two": Row("default", {}, published)}
    with pytest.raises(UserError, match=f"row 'two': .*{said}"):
        sweep.run(rows, tmp_path / "w", overrides={})
    assert not (tmp_path / "w").exists()
