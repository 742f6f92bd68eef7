r"""Runs one job: clips in, every fold trained as one sharded job, scores and a report out.

  mer-jax run default --workdir=runs/first

Or a sweep, a table of a paper as many jobs, each in a folder of WORKDIR, and table.html of them:

  mer-jax run experiments/sweeps/NAME.py --workdir=runs/table

Any value of the configuration can be changed on the command line:

  --config.train.epochs=100 --config.train.seed=1 --config.model.name=rcn_a

The keys that every configuration has: data.name, data.root (the folder of the database),
data.label_scheme (the label scheme), data.permute_labels (the control that must score at chance),
method.name, model.name, protocol.name, train.epochs, train.batch_size, train.learning_rate,
train.seed, train.seeds (so many seeds as one job), parallel.across (shard_map or
pmap) and parallel.folds_per_device. The same command goes on where it was stopped. WORKDIR/report.html is the result;
config.json in WORKDIR shows every key.
"""

import os
import signal
import sys
import tempfile
import threading

from absl import flags, logging
from ml_collections import config_flags

from mer_jax import runtime
from mer_jax.cli import run_flags
from mer_jax.errors import UserError

flags.adopt_module_key_flags(run_flags)
parse = run_flags.parse


class Signals:
    """SIGTERM and Ctrl-C: a job that has trained saves and stops, one that has not ends at once.

    Python's own handlers wait for the compiled call that is running, which may take minutes. What
    the interpreter writes as a signal comes (`signal.set_wakeup_fd`) a thread reads without delay.
    """

    def __init__(self):
        self.asked = 0  # the signal that came, 128 + which is the exit code
        self._trained = False  # something is there to save
        read, write = os.pipe()
        os.set_blocking(write, False)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        threading.Thread(target=self._watch, args=(read,), daemon=True).start()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def __call__(self) -> bool:
        """Whether to save and stop; the fold engine asks after each block of epochs."""
        self._trained = True
        return bool(self.asked)

    def begin(self) -> None:
        """A job begins: there is nothing to save until it asks."""
        self._trained = False

    def _ask(self, number, _):
        self.asked = number
        signal.signal(number, signal.SIG_DFL)  # the same signal again ends the job at once

    def _watch(self, read):
        while True:
            number = os.read(read, 1)[0]
            if number in (signal.SIGTERM, signal.SIGINT) and not self._trained:
                words = "stopped before it trained: nothing to save; the same command goes on"
                print(words, file=sys.stderr, flush=True)
                os._exit(128 + number)


def main(_: list[str]) -> None:
    """Runs the job, or the sweep, that the flags name."""
    from mer_jax.training import checkpoints, distributed, parallel

    signals = Signals()
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)
        checkpoints.silence_orbax()
    parallel.use_all_cores()
    runtime.enable_compile_cache()
    try:
        with (
            distributed.session(run_flags.DISTRIBUTED.value),
            tempfile.TemporaryDirectory() as scratch,
            runtime.on_devices(),
        ):
            _run(str(run_flags.WORKDIR.value) if distributed.is_primary() else scratch, signals)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def _run(workdir: str, signals: Signals) -> None:
    """The job in `workdir`, and what is said of it; of several processes the first one speaks."""
    from mer_jax import experiment, sweep, training
    from mer_jax.training import distributed

    quiet = not distributed.is_primary()
    say = (lambda text: None) if quiet else print
    try:
        file = config_flags.get_config_filename(flags.FLAGS["config"])
        if rows := sweep.rows(file, only=run_flags.ONLY.value):
            given = config_flags.get_override_values(flags.FLAGS["config"])
            say(sweep.run(rows, workdir, given=given, should_stop=signals, begin=signals.begin))
            say(f"{workdir}/table.html")
            return
        summary = experiment.run(run_flags.CONFIG.value, workdir, should_stop=signals, quiet=quiet)
    except training.Interrupted as error:
        print(f"{error}; the same command goes on from there", file=sys.stderr)
        raise SystemExit(128 + (signals.asked or signal.SIGTERM)) from None
    overall = summary["overall"]
    say(
        f"UF1 {overall['uf1']['value']:.4f}  UAR {overall['uar']['value']:.4f}  "
        f"accuracy {overall['accuracy']['value']:.4f}  {summary['verdict']['text']}\n"
        f"{workdir}/report.html"
    )
    if summary["diverged_folds"]:
        print(
            f"error: no number in the loss of {', '.join(summary['diverged_folds'])}",
            file=sys.stderr,
        )
        raise SystemExit(3)
