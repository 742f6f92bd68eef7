r"""A job of seconds in a process of its own, alone or as one of several.

    python -m tests.faults.tiny_job FOLDER EPOCHS [--distributed] [--in_parts] [--chunks]
        [--on_host]

Trains tests/training/small with checkpoints in FOLDER/checkpoints, makes an empty FOLDER/EPOCH
after each epoch and, in the first process, FOLDER/result.npz at the end. --in_parts: an epoch is
several calls, as one that takes long; --chunks: a device trains one fold at a time; --on_host: the
examples stay on the host.
"""

import pathlib
import signal
import sys

import jax
import numpy as np

from mer_jax.errors import UserError
from mer_jax.training import (
    Checkpointing,
    Hooks,
    Interrupted,
    Parallel,
    Settings,
    distributed,
    fit,
    loop,
    single_fold,
)
from tests.training import small


def main(folder: pathlib.Path, epochs: int) -> None:
    asked = []
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    examples, labels, folds = small.problem(subjects=4)
    try:
        (result,) = fit(
            examples,
            labels,
            [folds],
            Settings(epochs=epochs, batch_size=8, learning_rate=1e-2),
            num_classes=3,
            build=small.build,
            parallel=Parallel(
                folds_per_device=int("--chunks" in sys.argv),
                examples_on_host="--on_host" in sys.argv,
            ),
            checkpointing=Checkpointing(folder / "checkpoints", interval_s=0.0),
            hooks=Hooks(
                on_epoch_end=lambda part, line: (folder / str(line["epoch"])).touch(),
                should_stop=lambda: bool(asked),
                quiet=True,
            ),
        )
    except Interrupted as error:
        print(error, file=sys.stderr)
        raise SystemExit(128 + signal.SIGTERM) from None
    if distributed.is_primary():
        kept = ("probabilities", "predicted", "train_loss", "test_accuracy", "sample_counts")
        np.savez(folder / "result.npz", **{name: getattr(result, name) for name in kept})


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    if "--in_parts" in sys.argv:
        single_fold._LONG_EPOCH, loop._PART_S = 0, 0.0
    try:
        with distributed.session("--distributed" in sys.argv):
            main(pathlib.Path(sys.argv[1]), int(sys.argv[2]))
    except UserError as error:  # as mer_jax.cli.run does
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
