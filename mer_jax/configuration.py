"""Configurations: one job as nested values, with every option.

    config = make(data="synthetic", method="flow_maps", model="ststnet", train={"epochs": 40})
    config.model.dropout = 0.3

A section names a database, a method, a network or a protocol and holds its options with their
defaults, read from the function's signature: there is no second list of them. The
same keys mean the same everywhere: data.name, data.root, model.name, train.epochs,
train.batch_size, train.learning_rate, train.seed.
"""

import dataclasses
import pathlib
import runpy
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from ml_collections import ConfigDict, config_dict

from mer_jax import datasets, methods, models, options, protocols
from mer_jax.errors import UserError, unknown_name
from mer_jax.io import reading
from mer_jax.training import Settings, estimators

_CONFIGS = pathlib.Path(__file__).parent / "configs"

SECTIONS: dict[str, Callable[[str], dict[str, Any]]] = {
    "data": datasets.options,
    "method": methods.options,
    "model": models.options,
    "protocol": protocols.options,
}
_Record = msgspec.defstruct(  # what `make` takes of config.json
    "_Record",
    [(name, dict[str, Any]) for name in (*SECTIONS, "train", "parallel", "report")]
    + [("title", str)],
)
# Options of `data` for every database.
_DATA = {"root": None, "label_scheme": "megc2019", "permute_labels": False}
_JOB = {
    "title": "",
    "remat": False,  # recompute activations for the gradient
    "checkpoint_seconds": 20.0,  # 0: after each block of epochs
    "examples_dir": "",  # cache of examples; "": in the user's cache folder
    "examples_limit_gib": 50.0,  # least recently used are deleted first; 0: no cache
    # Examples of a job larger than this are in a file there, not in memory; 0: half of what is free
    "examples_memory_gib": 0.0,
}
# How folds are divided over devices, see `training.Parallel`; it changes no number.
_PARALLEL = {
    "across": "shard_map",  # devices: or "pmap"
    "within": "auto",  # a device: "vmap", "map"; auto: vmap on GPU and TPU, map on CPU
    "folds_per_device": 0,  # 0: as many as the memory holds
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
    config = ConfigDict(_JOB | options.check("", "", {"title": title}, _JOB))
    given = {"data": data, "method": method, "model": model, "protocol": protocol}
    for section, choice in given.items():
        choice = {"name": choice} if isinstance(choice, str) else dict(choice)
        config[section] = _section(section, choice)
    config.train = ConfigDict(dataclasses.asdict(settings(train or {})))
    config.parallel = _PARALLEL | options.check("parallel", "", parallel or {}, _PARALLEL)
    config.report = _REPORT | options.check("report", "", report or {}, _REPORT)
    return config


def settings(train: Mapping[str, Any]) -> Settings:
    """The `train` section as `Settings`. Raises `UserError` for an unknown key or a wrong value.

    >>> settings({"epochs": 3, "seeds": 2}).epochs
    3
    """
    known = {field.name: field.default for field in dataclasses.fields(Settings)}
    return Settings(**options.check("train", "", train, known))


def options_of(config: ConfigDict, section: str) -> dict[str, Any]:
    """The options of a section as keyword arguments of the function it names.

    Raises `UserError` for one that it does not have.
    """
    values = dict(config[section])
    name = values.pop("name")
    if section == "data":
        common = {key: values.pop(key) for key in _DATA if key in values}
        options.check(section, name, common, _DATA)
    return options.check(section, name, values, SECTIONS[section](name))


def rename(config: ConfigDict, names: Mapping[str, str]) -> ConfigDict:
    """Changes names of sections; the options of a new name are its defaults.

    The options that all databases have (root, label_scheme, permute_labels) stay.

    Args:
      config: is not changed.
      names: section -> name.

    Raises:
      UserError: for a name that does not exist.

    >>> rename(read("default"), {"model": "rcn_a"}).model.name
    'rcn_a'
    """
    config = ConfigDict(config)
    for section, name in names.items():
        if config[section].name != name:
            common = {key: config.data[key] for key in _DATA} if section == "data" else {}
            config[section] = _section(section, common | {"name": name})
    return config


def to_dict(config: ConfigDict) -> dict[str, Any]:
    """`config` as nested dictionaries of JSON types."""

    def simple(value):
        if isinstance(value, Mapping):
            return {str(k): simple(v) for k, v in value.items()}
        if isinstance(value, tuple | list):
            return [simple(v) for v in value]
        return options.to_python(value)

    return simple(config.to_dict())


def _section(section: str, choice: dict[str, Any]) -> ConfigDict:
    name = choice.pop("name")
    defaults = SECTIONS[section](name)
    if section == "data":
        defaults |= _DATA
    values = defaults | options.check(section, name, choice, defaults)
    out = ConfigDict({"name": name})
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
    sections = (*SECTIONS, "train", "parallel", "report")
    for section in sections:
        if not isinstance(config.get(section), ConfigDict):
            raise UserError(
                f"the configuration has no section {section!r}; configuration.make gives all"
            )
    job = {key: value for key, value in config.items() if key not in sections}
    for key in job:
        found = [section for section in sections if key in config[section]]
        if key not in _JOB and found:
            raise UserError(f"unknown configuration key {key!r}; did you mean {found[0]}.{key}?")
    given = {section: options_of(config, section) for section in SECTIONS}
    train = settings(dict(config.train))
    if models.info(config.model.name).estimator:
        estimators.check(train)
        models.create_estimator(config.model.name, **given["model"])
    options.check("parallel", "", config.parallel, _PARALLEL)
    options.check("report", "", config.report, _REPORT)
    options.check("", "", job, _JOB)
    return train


def load(path: str | pathlib.Path) -> ConfigDict:
    """The configuration of a run, from config.json in its working directory.

    Raises `UserError` if that is damaged, or has an unknown option.
    """
    record = msgspec.structs.asdict(reading.load_json(path, _Record))
    for name in SECTIONS:
        if not isinstance(record[name].get("name"), str):
            raise UserError(f"{path} is damaged ({name} has no name); {reading.RERUN_HINT}")
    try:
        return make(**record)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


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
    if str(name) not in known:
        raise unknown_name("configuration", str(name), known)
    return known[str(name)]


def read(name: str | pathlib.Path) -> ConfigDict:
    """Calls `get_config()` of a configuration: a shipped one by its name, or a file.

    >>> read("ststnet_megc2019").train.epochs
    800
    """
    return runpy.run_path(str(find(name)))["get_config"]()
