r"""Runs one job: clips in, every fold trained as one sharded job, scores and a report out.

  python -m experiments.launch --config=experiments/configs/default.py --workdir=runs/first

Or a sweep, a table of a paper as many jobs, each in a folder of WORKDIR, and table.html of them:

  python -m experiments.launch --config=experiments/configs/sweeps/NAME.py --workdir=runs/table

Any value of the configuration can be changed on the command line:

  --config.train.epochs=100 --config.train.seed=1 --config.model.name=rcn_a

The keys that every configuration has: data.name, data.root (the folder of the database),
data.classes (the label scheme), data.permute_labels (the control that must score at chance),
method.name, model.name, protocol.name, train.epochs, train.batch_size, train.learning_rate,
train.seed, train.seeds (so many seeds as one job), fold_map (shard_map or pmap) and
folds_per_device. The same command goes on where it was stopped. WORKDIR/report.html is the result;
config.json in WORKDIR shows every key.
"""

import ast
import contextlib
import pathlib
import re
import signal
import sys
import tempfile

from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from mer_jax.problems import UserError, unknown
from tools import command

_CONFIG = config_flags.DEFINE_config_file(
    "config",
    help_string="The configuration: a file of experiments/configs, one for each job.",
    lock_config=True,
)
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "The folder that gets config.json, predictions.csv, report.html, ..."
)
_ROWS = flags.DEFINE_string(
    "rows", "", "Of a sweep, only the rows whose name this regular expression occurs in."
)
_DISTRIBUTED = flags.DEFINE_bool(
    "distributed", False, "One of several processes of a job: Slurm, Kubernetes, Cloud TPU, ..."
)


def parse(argv: list[str]) -> list[str]:
    """Flags from the command line; what is wrong with them is one sentence."""
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
        if not _WORKDIR.value:
            raise UserError("say where the results go: --workdir=DIR")
        _CONFIG.value.lock()
    except Exception as error:  # a configuration is a program, and its mistakes are the user's
        print(f"error: {_sentence(error)}", file=sys.stderr)
        raise SystemExit(2) from None
    return rest


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


def _ask(number: int, asked: list[int]) -> None:
    """Notes that the job is to save and stop; the same signal again ends it at once."""
    asked.append(number)
    signal.signal(number, signal.SIG_DFL)


def main(_: list[str]) -> None:
    from mer_jax import programs
    from mer_jax.training import layout, processes

    asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: _ask(number, asked))
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)
        # What Orbax does is not our news; what it raises, `checkpoints` tells in a sentence.
        logging.get_absl_logger().addFilter(lambda record: "orbax" not in record.pathname)
    told = sys.unraisablehook  # nor is what its writers say after the error they belong to
    closed = lambda late: "Event loop is closed" in str(late.exc_value)
    sys.unraisablehook = lambda late: None if closed(late) else told(late)
    layout.use_all_cores()
    programs.keep()
    try:
        with processes.joined(_DISTRIBUTED.value), tempfile.TemporaryDirectory() as scratch:
            _run(str(_WORKDIR.value) if processes.first() else scratch, asked)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def _run(workdir: str, asked: list[int]) -> None:
    """The job in `workdir`, and what is said of it; of several processes the first one speaks."""
    from experiments import sweep
    from mer_jax import experiment, training
    from mer_jax.training import processes

    quiet, stop = not processes.first(), lambda: bool(asked)
    say = (lambda text: None) if quiet else print
    try:
        file = config_flags.get_config_filename(flags.FLAGS["config"])
        if rows := sweep.rows(file, only=_ROWS.value):
            given = config_flags.get_override_values(flags.FLAGS["config"])
            say(sweep.run(rows, workdir, given=given, stop=stop))
            say(f"{workdir}/table.html")
            return
        summary = experiment.run(_CONFIG.value, workdir, stop=stop, quiet=quiet)
    except training.Interrupted as error:
        print(f"{error}; the same command goes on from there", file=sys.stderr)
        raise SystemExit(128 + (asked or [signal.SIGTERM])[0]) from None
    overall = summary["overall"]
    say(
        f"UF1 {overall['uf1']['value']:.4f}  UAR {overall['uar']['value']:.4f}  "
        f"accuracy {overall['accuracy']['value']:.4f}  {summary['verdict']['words']}\n"
        f"{workdir}/report.html"
    )
    if summary["sick_folds"]:
        print(
            f"error: no number in the loss of {', '.join(summary['sick_folds'])}", file=sys.stderr
        )
        raise SystemExit(3)


if __name__ == "__main__":
    app.run(main, flags_parser=parse)
