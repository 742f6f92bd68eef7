"""Configurations: one job as nested values, with every option.

    config = make(data="synthetic", method="flow_maps", model="ststnet", train={"epochs": 40})
    config.model.dropout = 0.3

A section names a database, a method, a network or a protocol and holds its options with their
defaults, read from the function's signature: there is no second list of them. The
same keys mean the same everywhere: data.name, data.root, model.name, train.epochs,
train.batch_size, train.learning_rate, train.seed.

A job recognizes the expressions of clips (`make`) or spots them in long videos (`make_spotting`);
a spotting job has the section `evidence`.
"""

import dataclasses
import pathlib
import runpy
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from ml_collections import ConfigDict, config_dict

from mer_jax import datasets, methods, models, options, protocols, spotting
from mer_jax.datasets import recordings
from mer_jax.errors import UserError, located, unknown_name
from mer_jax.io import reading, saving
from mer_jax.recordings import KINDS
from mer_jax.training import Settings, estimators

_CONFIGS = pathlib.Path(__file__).parent / "configs"

SECTIONS: dict[str, Callable[[str], dict[str, Any]]] = {
    "data": datasets.options,
    "method": methods.options,
    "model": models.options,
    "protocol": protocols.options,
}
SPOTTING_SECTIONS: dict[str, Callable[[str], dict[str, Any]]] = {
    "data": recordings.options,
    "evidence": spotting.options,
    "model": models.options,
}


def _record(*required: str, **optional: type) -> type:
    """What `make` or `make_spotting` takes of config.json."""
    fields: list[Any] = [(name, dict[str, Any]) for name in required]
    fields += [(name, kind | None, None) for name, kind in optional.items()]
    return msgspec.defstruct("_Record", [*fields, ("title", str, "")])


_RECORD = _record(*SECTIONS, "train", "parallel", "report")
_SPOTTING_RECORD = _record(
    *("data", "evidence", "intervals"), model=dict, train=dict, parallel=dict, recognition=dict
)
# Options of `data` for every database.
_DATA = {"root": None, "label_scheme": "megc2019", "permute_labels": False}
# Likewise of a database of long videos.
_RECORDINGS = {"root": None, "move_intervals": False}
_JOB = {
    "title": "",
    "remat": False,  # recompute activations for the gradient
    "checkpoint_seconds": 20.0,  # 0: after each block of epochs
    "examples_dir": "",  # cache of examples; "": in the user's cache folder
    "examples_limit_gib": 50.0,  # least recently used are deleted first; 0: no cache
    # Examples of a job larger than this are in a file there, not in memory; 0: half of what is free
    "examples_memory_gib": 0.0,
}
_INTERVALS = {"kinds": KINDS} | spotting.Rule()._asdict()
# What labels the spotted intervals: a finished run of recognition; the network that spots; or one
# that is trained on the marked intervals of the same recordings. The last three are sections as in
# `make`.
_RECOGNIZER = {"run": "", "spotter": False, "label_scheme": "megc2019"}
_RECOGNITION = _RECOGNIZER | {"method": "", "model": "", "train": {}}
# What may differ between two runs of one job without changing a number that was trained.
_EXAMPLES = ("examples_dir", "examples_limit_gib", "examples_memory_gib")
_FREE = (
    *("title", "parallel", "checkpoint_seconds", "report", "intervals", "recognition"),
    *_EXAMPLES,
)
# How folds are divided over devices, see `training.Parallel`; it changes no number.
_PARALLEL = {
    "across": "shard_map",  # devices: or "pmap"
    "within": "auto",  # a device: "vmap", "map"; auto: vmap on GPU and TPU, map on CPU
    "folds_per_device": 0,  # 0: as many as the memory holds
    "examples_on_host": False,  # fetch each batch from there; so, too, where a device is too small
}
# What of the report takes time, see `reporting`; it changes no number.
_REPORT = {
    "thumbnails": True,  # pictures of wrong clips
    "example_figures": True,  # figures of correctly recognized clips
    "profile": True,  # predict.json, for `mer-jax predict`
}


def make(
    *,
    data: str | Mapping[str, Any],
    method: str | Mapping[str, Any],
    model: str | Mapping[str, Any],
    protocol: str | Mapping[str, Any] = "loso",
    train: Mapping[str, Any] | None = None,
    parallel: Mapping[str, Any] | None = None,
    report: Mapping[str, Any] | None = None,
    title: str = "",
) -> ConfigDict:
    """Makes a configuration with every option of the named parts.

    Args:
      data, method, model, protocol: a name, or a mapping with "name" and the options that differ
        from their defaults.
      train: fields of `training.Settings`.
      parallel: fields of `training.Parallel`.
      report: "thumbnails", "example_figures" and "profile": False skips that part of the report.
      title: of the report.

    Raises:
      UserError: for a name or an option that does not exist, or a value out of its bounds.

    >>> config = make(data="synthetic", method="flow_maps", model="ststnet", train={"epochs": 40})
    >>> config.train.epochs, config.protocol.name, config.report.thumbnails
    (40, 'loso', True)
    """
    config = ConfigDict(_with_defaults("", {"title": title}, _JOB))
    given = {"data": data, "method": method, "model": model, "protocol": protocol}
    for section, choice in given.items():
        config[section] = _section(section, choice)
    config.train = ConfigDict(dataclasses.asdict(settings(train or {})))
    config.parallel = _with_defaults("parallel", parallel, _PARALLEL)
    config.report = _with_defaults("report", report, _REPORT)
    return config


def make_spotting(
    *,
    data: str | Mapping[str, Any],
    evidence: str | Mapping[str, Any],
    model: str | Mapping[str, Any] | None = None,
    intervals: Mapping[str, Any] | None = None,
    train: Mapping[str, Any] | None = None,
    parallel: Mapping[str, Any] | None = None,
    recognition: Mapping[str, Any] | None = None,
    title: str = "",
) -> ConfigDict:
    """Makes the configuration of a job that spots expressions in long videos.

    Args:
      data: a database of long videos, or a mapping with "name" and its options.
      evidence: likewise, a member of `spotting.EVIDENCE`, or "network".
      model: of the evidence "network", which the others do not have.
      intervals: fields of `spotting.Rule`, and "kinds".
      train, parallel: as in `make`; of the evidence "network".
      recognition: what labels the spotted intervals: "run", the working directory of a finished
        run of recognition; "spotter": True and "label_scheme", the network that spots (SFAMNet); or
        "method", "model", "train" (as in `make`) and "label_scheme" of one that is trained on the
        marked intervals of the same recordings.
      title: of the report.

    Raises:
      UserError: as `make`, and for a network without a model or the reverse.

    >>> config = make_spotting(data="synthetic", evidence="strain", intervals={"p": 0.5})
    >>> config.evidence.size, config.intervals.name, "train" in config
    ((64, 64), 'peaks', False)
    """
    config = ConfigDict(_with_defaults("", {"title": title}, _JOB))
    given = {"data": data, "evidence": evidence} | ({} if model is None else {"model": model})
    for section, choice in given.items():
        config[section] = _section(section, choice, spotting=True)
    config.intervals = _filled(_INTERVALS)  # a p that is given can be None again
    config.intervals.update(options.check("intervals", "", intervals or {}, _INTERVALS))
    given = options.check("recognition", "", recognition or {}, _RECOGNITION)
    config.recognition = ConfigDict(_RECOGNIZER | given)
    _check_network(config)
    if model is not None:
        config.train = ConfigDict(dataclasses.asdict(settings({"loss": "mse"} | dict(train or {}))))
        config.parallel = _with_defaults("parallel", parallel, _PARALLEL)
    elif train or parallel:
        raise UserError(f"evidence {config.evidence.name} trains no network: it has no train")
    if job := recognition_job(config):  # with every option
        sections = {name: job[name] for name in ("method", "model", "train")}
        config.recognition = ConfigDict(_RECOGNIZER | given | sections)
    return config


def recognition_job(config: ConfigDict) -> ConfigDict | None:
    """The job that trains the recognizer of a spotting job; None if it has none, or a finished one.

    Its clips are the marked intervals of the same recordings and kinds; it leaves out one subject
    at a time.

    Raises `UserError` as `make`.
    """
    section = to_dict(config.recognition)
    run, spotter, scheme = (section.pop(name) for name in _RECOGNIZER)
    if run or spotter or not section:
        return None
    kinds = tuple(config.intervals.kinds)
    data = options_of(config, "data") | {
        "name": f"{config.data.name}_intervals",
        "root": config.data.root,
        "kind": kinds[0] if len(kinds) == 1 else "",
        "label_scheme": scheme,
    }
    if lacking := [name for name in ("method", "model") if not section.get(name)]:
        raise UserError(f"recognition has no {lacking[0]}; give it, or a finished run")
    title = f"Recognition for {config.title}" if config.title else ""
    job = make(data=data, **section, parallel=config.get("parallel"), title=title)
    job.update({name: config[name] for name in _EXAMPLES})
    return job


def job_of(plain: Mapping[str, Any]) -> dict[str, Any]:
    """What of a configuration (`to_dict`) two runs of one job have in common.

    Without data.root: the folder may move; its content is compared by digests. With the digests of
    `own_code`, if there is any.

    >>> job_of({"title": "mine", "data": {"name": "smic", "root": "/a"}, "remat": "none"})
    {'data': {'name': 'smic'}, 'remat': 'none'}
    """
    job = {key: value for key, value in plain.items() if key not in _FREE}
    without_root = {key: value for key, value in job.get("data", {}).items() if key != "root"}
    own = own_code(plain)
    return job | {"data": without_root} | ({"own_code": own} if own else {})


def own_code(plain: Mapping[str, Any]) -> dict[str, str]:
    """The digest of the source of each model, method and loss of the user's in a configuration.

    >>> own_code({"model": {"name": "ststnet"}, "train": {"loss": "cross_entropy"}})
    {}
    """
    found = {}
    for section, key in (("method", "name"), ("model", "name"), ("train", "loss")):
        name = str(plain.get(section, {}).get(key, ""))
        if ":" in name:
            found[name] = options.source_digest(options.find(section, name, {}))[:12]
    return found


def is_spotting(config: Mapping[str, Any]) -> bool:
    """Whether a configuration, or the content of config.json, is that of a spotting job."""
    return "evidence" in config


def is_spotting_run(workdir: pathlib.Path) -> bool:
    """Whether `workdir` is a folder with the config.json of a spotting job.

    Raises `UserError` if that is damaged.
    """
    path = workdir / "config.json"
    return path.is_file() and is_spotting(reading.load_json(path, dict[str, Any]))


def _check_network(config: ConfigDict) -> None:
    """Raises `UserError` unless the sections of a spotting job fit together.

    A model goes with a network's evidence, `recognition.spotter` with a network and no other
    recognizer, windows of regions with proposals.
    """
    network = config.evidence.name == "network"
    if network != ("model" in config):
        raise UserError(
            "evidence 'network' needs a model"
            if network
            else f"evidence {config.evidence.name} has no model; that is for evidence 'network'"
        )
    if config.recognition.spotter and (not network or config.recognition.run):
        raise UserError("recognition.spotter=True needs evidence 'network', and no recognition.run")
    regions = config.evidence.get("pairs", "") == "regions"
    if regions != (config.intervals.name == "proposals"):
        raise UserError("evidence.pairs='regions' and intervals.name='proposals' go together")


def settings(train: Mapping[str, Any]) -> Settings:
    """The `train` section as `Settings`. Raises `UserError` for an unknown key or a wrong value.

    >>> settings({"epochs": 3, "seeds": 2}).epochs
    3
    """
    return Settings(**options.check("train", "", train, options.defaults(Settings)))


def options_of(config: ConfigDict, section: str) -> dict[str, Any]:
    """The options of a section as keyword arguments of the function it names.

    Raises `UserError` for one that it does not have.
    """
    values = dict(config[section])
    name = values.pop("name")
    sections, of_data = _kind(is_spotting(config))
    if section == "data":
        common = {key: values.pop(key) for key in of_data if key in values}
        options.check(section, name, common, of_data)
    return options.check(section, name, values, sections[section](name))


def rule(config: ConfigDict) -> spotting.Rule:
    """The rule of the `intervals` section. Raises `UserError` for a value out of its bounds."""
    found = options.check("intervals", "", dict(config.intervals), _INTERVALS)
    return spotting.Rule(**{key: found[key] for key in spotting.Rule._fields})


def sections(config: ConfigDict) -> Mapping[str, Callable[[str], dict[str, Any]]]:
    """Section -> name -> the options of that name and their defaults, of the sections of `config`
    that name something."""
    known = _kind(is_spotting(config))[0]
    return {section: options for section, options in known.items() if section in config}


def _kind(spotting: bool) -> tuple[Mapping[str, Callable], Mapping[str, Any]]:
    """The sections of a job, and the options that all of its databases have."""
    return (SPOTTING_SECTIONS, _RECORDINGS) if spotting else (SECTIONS, _DATA)


def rename(config: ConfigDict, names: Mapping[str, str]) -> ConfigDict:
    """Changes names of sections; the options of a new name are its defaults.

    The options that all databases have (root, label_scheme, permute_labels) stay. With an estimator
    as model the training settings become their defaults, but for the seed.

    Args:
      config: is not changed.
      names: section -> name.

    Raises:
      UserError: for a name that does not exist.

    >>> rename(read("default"), {"model": "rcn_a"}).model.name
    'rcn_a'
    """
    config = ConfigDict(config)
    of_data = _kind(is_spotting(config))[1]
    for section, name in names.items():
        if config[section].name != name:
            common = {key: config.data[key] for key in of_data} if section == "data" else {}
            choice = common | {"name": name}
            config[section] = _section(section, choice, spotting=is_spotting(config))
            if section == "model" and "train" in config and models.info(name).estimator:
                plain = settings({"seed": config.train.seed})  # it has no other
                config.train = ConfigDict(dataclasses.asdict(plain))
    return config


def to_dict(config: ConfigDict) -> dict[str, Any]:
    """`config` as nested dictionaries of JSON types."""
    return saving.to_builtins(config.to_dict())


def _with_defaults(
    section: str, given: Mapping[str, Any] | None, known: Mapping[str, Any]
) -> dict[str, Any]:
    """The values of a section that names nothing: those given, else the defaults `known`."""
    return {**known, **options.check(section, "", given or {}, known)}


def _section(
    section: str, choice: str | Mapping[str, Any], *, spotting: bool = False
) -> ConfigDict:
    choice = {"name": choice} if isinstance(choice, str) else dict(choice)
    name = choice.pop("name")
    sections, of_data = _kind(spotting)
    defaults = dict(sections[section](name))
    if section == "data":
        defaults |= of_data
    values = defaults | options.check(section, name, choice, defaults)
    return _filled({"name": name} | values)


def _filled(values: Mapping[str, Any]) -> ConfigDict:
    """`values` as a `ConfigDict`, in which None can be replaced by any value."""
    out = ConfigDict()
    for key, value in values.items():
        if value is None:
            out[key] = config_dict.placeholder(str if key == "root" else object)
        else:
            out[key] = value
    return out


def check(config: ConfigDict) -> Settings:
    """Checks everything that needs no data; returns the training settings.

    Raises:
      UserError: for a missing section, an unknown key, or a value out of its bounds.
    """
    spots = is_spotting(config)
    others = ("train", "parallel") if "model" in config or not spots else ()
    others += ("intervals", "recognition") if spots else ("report",)
    named = tuple(sections(config)) if spots else tuple(SECTIONS)
    for section in (*named, *others):
        if not isinstance(config.get(section), ConfigDict):
            raise UserError(
                f"the configuration has no section {section!r}; configuration.make gives all"
            )
    job = {key: value for key, value in config.items() if key not in (*named, *others)}
    for key in job:
        found = [section for section in (*named, *others) if key in config[section]]
        if key not in _JOB and found:
            raise UserError(f"unknown configuration key {key!r}; did you mean {found[0]}.{key}?")
    given = {section: options_of(config, section) for section in named}
    train = settings(dict(config.train) if "train" in others else {})
    if spots:
        _check_network(config)
        rule(config)
        options.check("recognition", "", config.recognition, _RECOGNITION)
        if recognizer := recognition_job(config):
            check(recognizer)
    elif models.info(config.model.name).estimator:
        estimators.check(train)
        models.create_estimator(config.model.name, **given["model"])
        method = given["method"]
        if not method.get("turned_views", True) and (method["rotation"] or method["zoom"]):
            raise UserError(
                "an estimator draws no samples: set method.turned_views=True, by which it trains "
                "on maps that method.rotation and method.zoom turn and enlarge, or leave these 0"
            )
    elif ":" in config.model.name:
        models.check_own_network(config.model.name)
    options.check("parallel", "", config.get("parallel", {}), _PARALLEL)
    options.check("report", "", config.get("report", {}), _REPORT)
    options.check("", "", job, _JOB)
    return train


def load(path: str | pathlib.Path) -> ConfigDict:
    """The configuration of a run, from config.json in its working directory.

    Raises `UserError` if that is damaged, or has an unknown option.
    """
    spots = is_spotting(reading.load_json(path, dict[str, Any]))
    found = msgspec.structs.asdict(reading.load_json(path, _SPOTTING_RECORD if spots else _RECORD))
    record = {name: value for name, value in found.items() if value is not None}
    for name in _kind(spots)[0]:
        if name in record and not isinstance(record[name].get("name"), str):
            raise UserError(f"{path} is damaged ({name} has no name); {reading.RERUN_HINT}")
    with located(path):
        return make_spotting(**record) if spots else make(**record)


def shipped() -> dict[str, pathlib.Path]:
    """The configurations that come with the package: name -> file."""
    return {path.stem: path for path in sorted(_CONFIGS.glob("[a-z]*.py"))}


def find(name: str | pathlib.Path) -> pathlib.Path:
    """The file of a configuration: that of the shipped one called `name`, or `name` itself.

    Raises `UserError` if it is neither a Python file's name nor that of a shipped configuration.
    """
    if pathlib.Path(name).suffix == ".py":
        return pathlib.Path(name)
    known = shipped()
    if str(name) in datasets.names():
        raise UserError(
            f"{name} is a database, not a configuration; give it as --config.data.name={name}, to "
            f"mer-jax check-data as --database={name}"
        )
    if str(name) not in known:
        raise unknown_name("configuration", str(name), known)
    return known[str(name)]


def read(name: str | pathlib.Path) -> ConfigDict:
    """Calls `get_config()` of a configuration: a shipped one by its name, or a file.

    >>> read("ststnet_megc2019").train.epochs
    800
    """
    return runpy.run_path(str(find(name)))["get_config"]()
