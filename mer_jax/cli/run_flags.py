"""The flags of `mer-jax run`, and the configuration that they select and override."""

import ast
import contextlib
import pathlib
import re
import runpy

from absl import flags
from ml_collections import ConfigDict, config_flags

from mer_jax.cli import beam_flags
from mer_jax.cli.command import no_arguments
from mer_jax.errors import UserError, suggestion
from mer_jax.io import reading

CONFIG = config_flags.DEFINE_config_file(
    "config",
    help_string="The configuration: the name of a system, or a Python file with get_config().",
    lock_config=True,
)
WORKDIR = flags.DEFINE_string(
    "workdir", None, "The folder to write config.json, predictions.csv, report.html, ... to."
)
ONLY = flags.DEFINE_string(
    "only", "", "Of a sweep, only the rows whose name matches this regular expression."
)
DISTRIBUTED = flags.DEFINE_bool(
    "distributed", False, "Run as one of several processes of a job (Slurm, Kubernetes, Cloud TPU)."
)
flags.adopt_module_key_flags(beam_flags)


def parse(argv: list[str], *, required: bool = True) -> list[str]:
    """Parses the command line. Raises `UserError` for any mistake, the configuration's too.

    required: whether --config and --workdir are required.
    """
    flag = flags.FLAGS["config"]
    try:
        # In place: ml_collections reads sys.argv.
        argv[:] = map(_expand_name, _with_config_file(argv))
        flag.parser = _Parser(flag.parser, argv)
        rest = flags.FLAGS(argv)
        no_arguments(rest)
        file = config_flags.get_config_filename(flag) if flag.present else ""
        if not file and required:
            raise UserError("no configuration given: mer-jax run NAME|FILE or --config=NAME|FILE")
        if file and not pathlib.Path(file).is_file():
            from mer_jax import configuration

            beside = map(str, pathlib.Path(file).parent.glob("*.py"))
            known = [*beside, *configuration.shipped()]
            raise UserError(f"there is no file {file}; {suggestion(file, known, cutoff=0.5)}")
        if not WORKDIR.value and required:
            raise UserError("no output folder is given: --workdir=DIR")
        if reading.expanded(WORKDIR.value or ".").is_file():
            raise UserError(f"--workdir={WORKDIR.value} is a file; give a folder")
        if file:
            CONFIG.value.lock()
    except Exception as error:  # a configuration is a user's program: any exception
        raise UserError(_message(error)) from None
    return rest


def _with_config_file(argv: list[str]) -> list[str]:
    """The arguments with the configuration as --config=FILE.

    It may be the first argument, without its flag, and the name of a shipped configuration.
    """
    from mer_jax import configuration

    name, *rest = argv
    if rest and not rest[0].startswith("-") and "=" not in rest[0]:
        rest[0] = f"--config={rest[0]}"
    for index, (flag, following) in enumerate(zip(rest, [*rest[1:], ""])):
        if flag in ("--config", "-config"):
            rest[index : index + 2] = [f"--config={following}"]
    return [name] + [
        f"--config={configuration.find(flag.partition('=')[2])}"
        if flag.startswith(("--config=", "-config="))
        else flag
        for flag in rest
    ]


def _expand_name(flag: str) -> str:
    """--config.data=synthetic is short for --config.data.name=synthetic."""
    if found := re.fullmatch(r"(--?config\.(\w+))=([\w.:]+)", flag):
        from mer_jax import configuration

        key, section, name = found.groups()
        if section in configuration.SECTIONS | configuration.SPOTTING_SECTIONS:
            return f"{key}.name={name}"
    return flag


class _Parser(flags.ArgumentParser):
    """Reads the file that --config names; of a sweep, the configuration of its first row.

    A section whose name the command line changes (--config.data.name=synthetic) gets the options
    of that name, so that other flags can override them.
    """

    def __init__(self, reader: flags.ArgumentParser, argv: list[str]):
        self._reader, self._argv = reader, argv

    def parse(self, path: str) -> ConfigDict:
        from mer_jax import configuration

        if pathlib.Path(path).is_file() and (rows := runpy.run_path(path).get("ROWS")):
            from mer_jax import sweep

            config = sweep.first_configuration(rows)
        else:
            config = self._reader.parse(path)
        names = {}
        for flag, following in zip(self._argv, [*self._argv[1:], ""]):
            if found := re.fullmatch(r"--?config\.(\w+)\.name(=.*)?", flag):
                section, name = found.groups()
                names[section] = following if name is None else name[1:]
        if not isinstance(config, ConfigDict):  # the file does not exist
            return config
        return configuration.rename(
            config,
            {key: name for key, name in names.items() if key in configuration.sections(config)},
        )


def _keys_that_end_with(name: str) -> list[str]:
    """For "epochs" ["config.train.epochs"], of the configuration that is given, or of default."""
    from mer_jax import configuration

    with contextlib.suppress(Exception):  # there may be none
        config = CONFIG.value or configuration.read("default")
        flat = [(s, key) for s in config if isinstance(config[s], ConfigDict) for key in config[s]]
        return [f"config.{section}.{key}" for section, key in flat if key == name]
    return []


def _message(error: Exception) -> str:
    """A mistake in the flags, or in the file that --config names, as one sentence."""
    if isinstance(error, (flags.Error, UserError)):
        # A name that another flag gives is looked for where the file is read.
        text = re.sub(r"^flag --config=\S+: (?=unknown |\w+ '.*': )", "", str(error))
        if found := re.search(r"Unknown command line flag '([\w.]+)'", text):
            keys = _keys_that_end_with(found[1])
            text += "".join(f"; as a setting it is --{key}=..." for key in keys[:1])
        return text
    if isinstance(error, AttributeError) and error.name == "get_config":
        return "the file of --config has no function get_config()"
    if isinstance(error, (AttributeError, KeyError)):
        # ml_collections raises the repr of its sentence on an unknown key.
        with contextlib.suppress(ValueError, SyntaxError):
            return f"unknown configuration key {ast.literal_eval(str(error))}".replace("\n", ". ")
    return f"the configuration cannot be read: {type(error).__name__}: {error}"
