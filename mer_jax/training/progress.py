"""One line that tells how far a job is: folds, epoch, loss, clips a second, time left."""

import sys
import time

from tqdm import tqdm


class Progress:
    """A bar over all epochs of all folds. In a log file it prints a line now and then instead."""

    def __init__(self, *, folds: int, epochs: int, clips: int, stream=None, quiet: bool = False):
        """clips: training clips a fold-epoch visits, for the rate."""
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._folds, self._epochs, self._clips = folds, epochs, clips
        self._quiet = quiet
        self._began, self._done, self._printed = time.monotonic(), 0, 0.0
        self._bar = None
        if self._terminal and not quiet:
            self._bar = tqdm(
                total=folds * epochs,
                file=self._stream,
                unit="fold-epoch",
                bar_format="{desc} |{bar}| {percentage:3.0f}% {postfix}, {remaining} left",
            )

    def start_at(self, fold_epochs: int) -> None:
        """A resumed job has this much behind it."""
        if self._bar:
            self._bar.update(fold_epochs)
        self._resumed = fold_epochs

    _resumed = 0

    def update(self, *, folds_done: int, folds_now: int, epoch: int, epochs: int, loss: float):
        """`epochs` more epochs of `folds_now` folds are done; the last one was `epoch`."""
        self._done += folds_now * epochs
        seconds = max(time.monotonic() - self._began, 1e-9)
        rate = self._done * self._clips / seconds
        total = self._folds * self._epochs
        text = (
            f"folds {folds_done + folds_now}/{self._folds}, epoch {epoch}/{self._epochs}, "
            f"loss {loss:.4f}, {rate:,.0f} clips/s"
        )
        if self._bar:
            self._bar.set_postfix_str(text, refresh=False)
            self._bar.update(folds_now * epochs)
        elif not self._quiet and (
            seconds - self._printed > 10 or self._resumed + self._done == total
        ):
            self._printed = seconds
            left = (total - self._resumed - self._done) * seconds / self._done
            print(f"{text}, {left:.0f} s left", file=self._stream, flush=True)

    def close(self) -> None:
        if self._bar:
            self._bar.close()
