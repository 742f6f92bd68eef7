"""A progress line: folds, epoch, loss, clips a second, time left."""

import sys
import time

import numpy as np
from tqdm import tqdm

_SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """A bar over all epochs of all folds; in a log file a line every ten seconds instead."""

    def __init__(
        self, *, folds: int, epochs: int, clips: int, behind: int = 0, quiet: bool = False
    ):
        """clips: training clips of a fold-epoch. behind: fold-epochs a resumed job has trained."""
        self._folds, self._epochs, self._clips = folds, epochs, clips
        self._total, self._remaining = folds * epochs, folds * epochs - behind
        self._quiet, self._done = quiet, 0
        self._began, self._printed = time.monotonic(), 0.0
        self._bar = None
        if sys.stderr.isatty() and not quiet:
            self._bar = tqdm(
                total=self._total,
                initial=behind,
                bar_format="{percentage:3.0f}% |{bar}| {postfix}, {remaining} left",
            )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *exc) -> None:
        if self._bar:
            self._bar.close()

    def repeat(self, count: int) -> None:
        """Adds fold-epochs that must be trained again."""
        self._remaining += count
        if self._bar:
            self._bar.total += count

    def update(self, members: range, epochs: int, epoch: int, losses: np.ndarray) -> None:
        """The folds `members` have trained `epochs` more, to `epoch`, with these `losses`."""
        self._done += len(members) * epochs
        seconds = max(time.monotonic() - self._began, 1e-9)
        rate = self._done * self._clips / seconds
        text = (
            f"folds {members.stop}/{self._folds}, epoch {epoch}/{self._epochs}, "
            f"loss {losses.mean():.4f}, {rate:,.0f} clips/s"
        )
        if self._bar:
            self._bar.set_postfix_str(text, refresh=False)
            self._bar.update(len(members) * epochs)
        elif not self._quiet and (
            seconds - self._printed > _SECONDS_BETWEEN_LINES or self._done == self._remaining
        ):
            self._printed = seconds
            remaining = (self._remaining - self._done) * seconds / self._done
            print(f"{text}, {remaining:.0f} s left", file=sys.stderr, flush=True)
