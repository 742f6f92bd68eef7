"""The command line of the launch: its flags, the configuration that they name and change."""

import ast
import contextlib
import pathlib
import re
import sys

from absl import flags
from ml_collections import ConfigDict, config_flags

from mer_jax.problems import UserError, unknown
from tools import command

CONFIG = config_flags.DEFINE_config_file(
    "config",
    help_string="The configuration: a file of experiments/configs, one for each job.",
    lock_config=True,
)
WORKDIR = flags.DEFINE_string(
    "workdir", None, "The folder that gets config.json, predictions.csv, report.html, ..."
)
ROWS = flags.DEFINE_string(
    "rows", "", "Of a sweep, only the rows whose name this regular expression occurs in."
)
DISTRIBUTED = flags.DEFINE_bool(
    "distributed", False, "One of several processes of a job: Slurm, Kubernetes, Cloud TPU, ..."
)


def parse(argv: list[str]) -> list[str]:
    """Flags from the command line; what is wrong with them is one sentence."""
    argv[:] = map(_named, argv)  # in place: ml_collections looks at sys.argv itself
    flag = flags.FLAGS["config"]
    flag.parser = _Parser(flag.parser, argv)
    try:
        rest = command.parse(argv)
        if rest[1:]:
            raise UserError(f"{rest[1]!r} is no flag; flags begin with -- and join values with =")
        file = config_flags.get_config_filename(flags.FLAGS["config"])
        if not file:
            raise UserError("say which job: --config=experiments/configs/NAME.py")
        if not pathlib.Path(file).is_file():
            raise unknown("--config file", file, map(str, pathlib.Path(file).parent.glob("*.py")))
        if not WORKDIR.value:
            raise UserError("say where the results go: --workdir=DIR")
        CONFIG.value.lock()
    except Exception as error:  # a configuration is a program, and its mistakes are the user's
        print(f"error: {_sentence(error)}", file=sys.stderr)
        raise SystemExit(2) from None
    return rest


def _named(flag: str) -> str:
    """--config.data=synthetic is short for --config.data.name=synthetic."""
    if found := re.fullmatch(r"(--?config\.(\w+))=(\w+)", flag):
        from mer_jax import config as configs

        key, section, name = found.groups()
        if section in configs.SECTIONS:
            return f"{key}.name={name}"
    return flag


class _Parser(flags.ArgumentParser):
    """Reads the file that --config names.

    Sections that the command line gives another name, as by --config.data.name=synthetic, have that
    one's options from here on, so that the flags that follow can set them.
    """

    def __init__(self, reader: flags.ArgumentParser, argv: list[str]):
        self._reader, self._argv = reader, argv

    def parse(self, path: str) -> ConfigDict:
        from mer_jax import config as configs

        config, names = self._reader.parse(path), {}
        for flag, following in zip(self._argv, [*self._argv[1:], ""]):
            if found := re.fullmatch(r"--?config\.(\w+)\.name(=.*)?", flag):
                section, name = found.groups()
                names[section] = following if name is None else name[1:]
        if not isinstance(config, ConfigDict):  # there is no such file
            return config
        return configs.rename(config, {key: name for key, name in names.items() if key in config})


def _sentence(error: Exception) -> str:
    """What is wrong with the flags, or with the file that --config names."""
    if isinstance(error, (flags.Error, UserError)):
        return str(error)
    if isinstance(error, (AttributeError, KeyError)):
        # ml_collections: the repr of a sentence on an unknown key.
        with contextlib.suppress(ValueError, SyntaxError):
            return f"unknown configuration key {ast.literal_eval(str(error))}".replace("\n", ". ")
    return f"the configuration cannot be read: {type(error).__name__}: {error}"
