"""Configurations that make no sense: a sentence before anything is trained or written."""

import pytest

from mer_jax import configuration, experiment
from mer_jax.errors import UserError
from tests.faults import jobs


def job():
    return configuration.make(
        data={
            "name": "synthetic",
            "subjects": 3,
            "clips_per_subject": 4,
            "frames": (8, 9),
            "size": (24, 24),
        },
        method={"name": "flow_maps", "preset": "horn_schunck"},
        model="ststnet",
        train={"epochs": 2},
    )


@pytest.mark.parametrize(
    "change",
    [
        "train.epochs=-1",
        "train.batch_size=0",
        "train.learning_rate=float('inf')",
        "train.learning_rate=float('nan')",
        "train.seed=-1",
        "train.validation=1.5",
        "train.validation=-0.5",
        "train.momentum=float('nan')",
        "train.weight_decay=-1.0",
        "train.optimizer='adm'",
        "train.loss='cross'",
        "train.sampler='none'",
        "train.schedule='cosin'",
        "train.init_from='/nowhere'",
        "data.name='casme22'",
        "data.label_scheme='megc2018'",
        "data.subjects=0",
        "data.subjects=-3",
        "data.clips_per_subject=0",
        "data.frames=(9, 8)",
        "data.frames=(0, 0)",
        "data.size=(0, 0)",
        "data.size=(-5, 24)",
        "train.epochs='40'",
        "train.epochs=1.5",
        "train.seeds=10**30",
        "train.learning_rates=('a',)",
        "train.statistics_on_all_clips=1",
        "data.subjects='3'",
        "data.frames=('a', 'b')",
        "model.dropout='none'",
        "model.maps=(3, -5, 8)",
        "model.maps=3",
        "method.name='flow'",
        "method.preset='horn'",
        "model.name='ststnt'",
        "protocol.name='los'",
        "parallel.across='pmapp'",
        "parallel.within='both'",
        "parallel.folds_per_device=-1",
        "checkpoint_seconds=-1.0",
        "checkpoint_seconds=float('nan')",
    ],
)
def test_a_value_that_makes_no_sense(tmp_path, change):
    name, _, value = change.partition("=")
    given = job()
    with given.ignore_type():
        given.update_from_flattened_dict({name: eval(value)})
    with pytest.raises(UserError) as told:
        experiment.run(given, tmp_path / "run", quiet=True)
    assert len(str(told.value)) < 400
    assert not (tmp_path / "run" / "predictions.csv").exists()


@pytest.mark.parametrize(
    "section", ["data", "method", "model", "protocol", "train", "parallel", "report"]
)
def test_a_section_that_is_not_there(section):
    given = job()
    with given.unlocked():
        del given[section]
    with pytest.raises(UserError, match=f"no section '{section}'"):
        configuration.check(given)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "get_config"),
        (b"def get_config(:\n", "SyntaxError"),
        (b"import nothing_of_this_name\n", "nothing_of_this_name"),
        (b"def get_config():\n    return 1 / 0\n", "ZeroDivisionError"),
        (b"def get_config():\n    return None\n", "configuration"),
        (b"def get_config():\n    return {'a': 1}\n", "configuration"),
        (b"\xff\xfe\x00", "configuration"),
    ],
    ids=["empty", "syntax", "import", "raises", "nothing", "plain dictionary", "no text"],
)
def test_a_configuration_file_that_is_none(tmp_path, content, said):
    path = tmp_path / "job.py"
    path.write_bytes(content)
    code, out, err = jobs.run(f"--config={path}", f"--workdir={tmp_path / 'run'}")
    assert code == 2 and "Traceback" not in err and said in err, err
    assert not out and not (tmp_path / "run").exists()
