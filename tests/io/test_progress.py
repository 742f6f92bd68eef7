"""A line in a log file every ten seconds and at the end, with the rate of this process."""

import types

import pytest

from mer_jax.io import progress


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress, "time", types.SimpleNamespace(monotonic=lambda: now[0]))
    return now


def test_lines_of_a_log(clock, capsys):
    with progress.Progress(total=50, done=10, clips=3) as bar:
        for seconds, steps in ((104, 5), (112, 5), (115, 10), (120, 10), (140, 10)):
            clock[0] = seconds
            bar.update(steps, f"at {seconds}")
    lines = capsys.readouterr().err.splitlines()
    assert lines == [  # rates: 10 x 3 / 12, 40 x 3 / 40; left: 30 x 12 / 10
        "at 112, 2.5 clips/s, 36 s left",
        "at 140, 3 clips/s, 0 s left",
    ]


def test_steps_that_are_repeated_take_their_time(clock, capsys):
    with progress.Progress(total=4) as bar:
        bar.repeat(2)
        clock[0] = 120
        bar.update(4, "again")
    assert capsys.readouterr().err == "again, 0.2 clips/s, 10 s left\n"


def test_quiet_prints_nothing(clock, capsys):
    with progress.Progress(total=1, quiet=True) as bar:
        bar.update(1, "done")
    assert capsys.readouterr().err == ""
