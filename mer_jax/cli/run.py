"""Runs one job: trains every fold of a configuration and writes the scores and a report.

  mer-jax run NAME|FILE --workdir=DIR [--config.KEY=VALUE ...] [--distributed]
  mer-jax run SWEEP.py --workdir=DIR [--only=REGEX]

NAME is a configuration of the package, FILE a Python file with get_config(); --config=NAME|FILE
does the same. A sweep (a paper's table) runs as many jobs, each in a folder of DIR, and writes
table.html. Re-run the same command to resume. DIR/report.html is the result; DIR/config.json
lists every key.

The evidence of a spotting job can be computed on many machines, as an Apache Beam pipeline (pip
install 'mer_jax[beam]'): --runner=NAME --beam_pipeline_options=NAME=VALUE,... DIR, the folder of
--config.examples_dir and the data are paths that all workers see, and mer_jax is installed there.
--runner=DirectRunner is processes of this machine.

Example:

  mer-jax run default --workdir=runs/first
  mer-jax run default --workdir=runs/longer --config.train.epochs=100 --config.model.name=rcn_a

Keys of every configuration of recognition: data.name, data.root (the folder of the database),
data.label_scheme, data.permute_labels (a control that must score at chance), method.name,
model.name, protocol.name, train.epochs, train.batch_size, train.learning_rate, train.seed,
train.seeds (number of seeds in one job), parallel.across (shard_map or pmap) and
parallel.folds_per_device. A spotting job (spot_default) has evidence.name, intervals.kinds,
intervals.p and data.move_intervals (its control) in place of method, protocol and label_scheme, and
recognition.run, a finished run of recognition that labels the spotted intervals.
"""

import os
import select
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from absl import flags, logging
from ml_collections import config_flags

from mer_jax import runtime
from mer_jax.cli import beam_flags, run_flags
from mer_jax.errors import UserError

_LEAKS = 3  # ways in which test clips leaked that are printed

flags.adopt_module_key_flags(run_flags)
parse = run_flags.parse


_STOPS = (signal.SIGTERM, signal.SIGINT)
_POLL_S = 0.1  # between two looks at whether all is saved, after a signal
_AGAIN_S = 1.0  # after which a second signal is one of its own: `timeout` sends the same one twice


class Signals:
    """SIGTERM and Ctrl-C: a job saves and stops, at once where there is nothing to save.

    Python's handlers wait for the compiled call that is running, which may take minutes. A thread
    reads the interpreter's wake-up file descriptor (`signal.set_wakeup_fd`) without that delay.
    """

    def __init__(self):
        self.received = 0  # number of the signal; the exit code is 128 more
        self.nothing_to_save()
        read, write = os.pipe()
        os.set_blocking(write, False)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        threading.Thread(target=self._watch, args=(read,), daemon=True).start()
        for number in _STOPS:
            signal.signal(number, self._receive)

    def __call__(self) -> bool:
        """Whether to save and stop; training calls this every few seconds."""
        self.nothing_to_save(is_so=lambda: False)
        return bool(self.received)

    def nothing_to_save(self, *, is_so: Callable[[], bool] = lambda: True) -> None:
        """Until the next call: whether the process can end and lose nothing that is finished."""
        self._is_nothing_to_save = is_so

    def _receive(self, number, _):
        self.received = number

    def _watch(self, read):
        first, at = 0, 0.0  # the first signal, and when it came
        while True:
            ready, _, _ = select.select([read], [], [], _POLL_S if first else None)
            number = os.read(read, 1)[0] if ready else 0
            again = number in _STOPS and first and time.monotonic() - at > _AGAIN_S
            if number in _STOPS and not first:
                first, at = number, time.monotonic()
            if again or (first and self._is_nothing_to_save()):
                text = "stopped" if again else "stopped; all that was finished is saved"
                print(f"{text}. Re-run the command to go on", file=sys.stderr, flush=True)
                beam_flags.cancel()
                os._exit(128 + first)


def main(_: list[str]) -> int:
    """Runs the job, or the sweep, that the flags name; 3 if training diverged."""
    from mer_jax.training import checkpoints, distributed, parallel

    signals = Signals()
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)
        checkpoints.silence_orbax()
    parallel.use_all_cores()
    runtime.enable_compile_cache()
    with (
        distributed.session(run_flags.DISTRIBUTED.value),
        tempfile.TemporaryDirectory() as scratch,
        runtime.on_devices(),  # within the session, which ends a process that fails
    ):
        workdir = str(run_flags.WORKDIR.value) if distributed.is_primary() else scratch
        return _run(workdir, signals)


def _run(workdir: str, signals: Signals) -> int:
    """Runs the job in `workdir`; the exit code. Of several processes only the primary prints."""
    from mer_jax import experiment, sweep, training
    from mer_jax.reporting.spotting_scores import format_spotting
    from mer_jax.training import distributed

    quiet = not distributed.is_primary()
    show = (lambda text: None) if quiet else print
    try:
        pipeline = beam_flags.pipeline(jobs=os.cpu_count() or 1)
        if pipeline and run_flags.DISTRIBUTED.value:
            raise UserError("--runner and --distributed exclude each other; use one of them")
        file = config_flags.get_config_filename(flags.FLAGS["config"])
        if rows := sweep.rows(file, only=run_flags.ONLY.value):
            if pipeline:
                raise UserError("--runner is for one spotting job, not for a sweep")
            overrides = config_flags.get_override_values(flags.FLAGS["config"])
            show(sweep.run(rows, workdir, overrides=overrides, should_stop=signals))
            show(f"{workdir}/table.html")
            return _exit_code(sweep.diverged(rows, workdir))
        summary = experiment.run(
            run_flags.CONFIG.value, workdir, should_stop=signals, pipeline=pipeline, quiet=quiet
        )
    except training.Interrupted as error:
        print(f"{error}; re-run the command to resume", file=sys.stderr)
        return 128 + (signals.received or signal.SIGTERM)
    if "spotting" in summary:
        show("\n".join([format_spotting(summary), *_verdict(summary), f"{workdir}/report.html"]))
    else:
        show(_scores(summary, workdir))
    return _exit_code(summary["diverged_folds"])


def _exit_code(diverged: Sequence[str]) -> int:
    """3 after a sentence if folds diverged, else 0."""
    if diverged:
        print(f"error: the loss is not finite in {', '.join(diverged)}", file=sys.stderr)
    return 3 if diverged else 0


def _scores(summary: Mapping[str, Any], workdir: str) -> str:
    overall, (head, *leaks) = summary["overall"], _verdict(summary)
    line = (
        f"UF1 {overall['uf1']['value']:.4f}  UAR {overall['uar']['value']:.4f}  "
        f"accuracy {overall['accuracy']['value']:.4f}  {head}"
    )
    return "\n".join([line, *leaks, f"{workdir}/report.html"])


def _verdict(summary: Mapping[str, Any]) -> list[str]:
    """The headline, and a line for each leak."""
    from mer_jax.reporting import verdict

    found = summary["verdict"]
    lines = [verdict.headline(found)]
    lines += [f"  {verdict.sentence(leak)}" for leak in found["leaks"][:_LEAKS]]
    if more := len(found["leaks"][_LEAKS:]):
        lines.append(f"  ... and {more} more, in the report")
    return lines
