"""Progress of a long stage on stderr: a bar on a terminal, in a log a line every ten seconds."""

import sys
import time

from tqdm import tqdm

_SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Steps done, clips (or other units) a second and the time left of a stage.

    with Progress(total=3, clips=10, quiet=True) as bar:
        bar.update(1, "epoch 1/3")
    """

    def __init__(
        self,
        *,
        total: int,
        done: int = 0,
        clips: float = 1,
        unit: str = "clips",
        quiet: bool = False,
    ):
        """total: steps. done: of them those of an earlier process. clips: units of one step."""
        self._remaining, self._clips, self._quiet, self._steps = total - done, clips, quiet, 0
        self._unit = unit
        self._began, self._printed = time.monotonic(), 0.0
        self._bar = None
        if sys.stderr.isatty() and not quiet:
            self._bar = tqdm(
                total=total,
                initial=done,
                bar_format="{percentage:3.0f}% |{bar}| {postfix}, {remaining} left",
            )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *exc) -> None:
        if self._bar is not None:
            self._bar.close()

    def repeat(self, steps: int) -> None:
        """Adds steps that must be done again."""
        self._remaining += steps
        if self._bar is not None:
            self._bar.total += steps

    def update(self, steps: int, text: str) -> None:
        """So many more `steps` are done; `text` describes where the stage is."""
        self._steps += steps
        seconds = max(time.monotonic() - self._began, 1e-9)
        rate = self._steps * self._clips / seconds
        text = f"{text}, {f'{rate:,.0f}' if rate >= 100 else f'{rate:.3g}'} {self._unit}/s"
        if self._bar is not None:
            self._bar.set_postfix_str(text, refresh=False)
            self._bar.update(steps)
        elif not self._quiet and (
            seconds - self._printed > _SECONDS_BETWEEN_LINES or self._steps == self._remaining
        ):
            self._printed = seconds
            left = (self._remaining - self._steps) * seconds / self._steps
            print(f"{text}, {left:.0f} s left", file=sys.stderr, flush=True)
