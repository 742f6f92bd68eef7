"""A device without memory for so many folds gets fewer, and the job goes on, and says so."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mer_jax.errors import UserError
from mer_jax.training import Interrupted, Settings, loop, memory, single_fold
from tests.training import small

SETTINGS = Settings(epochs=4, batch_size=8, learning_rate=1e-2)


def run(**options):
    return small.trained(SETTINGS, **options)


@pytest.fixture(scope="module")
def reference():
    return run(folds_per_device=3)


@pytest.fixture
def memory_for(monkeypatch):
    """Lets a device have memory for `count` folds; for more it is really asked for too much.

    after: how many calls of the epoch program go well before that.
    """

    def limit(count: int, after: int = 0):
        compile_programs, calls = memory.compile_programs, []

        def compiled(*given):
            programs = compile_programs(*given)

            def limited(program):
                def run(data, part, *more):
                    calls.append(part)
                    if len(part.key) > count and len(calls) > after:
                        jax.jit(lambda: jnp.zeros(2**46))().block_until_ready()
                    return program(data, part, *more)

                run.lower = program.lower
                return run

            limits = {name: limited(getattr(programs, name)) for name in ("epochs", "train_steps")}
            return programs._replace(**limits)

        monkeypatch.setattr(memory, "compile_programs", compiled)

    return limit


def assert_same(found, wanted):
    for name in ("probabilities", "predicted", "train_loss", "sample_counts"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name), err_msg=name)


def test_the_allocation_is_really_too_large():
    with pytest.raises(jax.errors.JaxRuntimeError, match="RESOURCE_EXHAUSTED"):
        jax.jit(lambda: jnp.zeros(2**46))().block_until_ready()


@pytest.mark.parametrize("after", [0, 2], ids=["at once", "after two epochs"])
def test_fewer_folds_at_a_time_and_the_same_numbers(reference, memory_for, caplog, tmp_path, after):
    memory_for(3, after)
    lines = []
    found = run(
        directory=tmp_path,
        interval_s=0.0,
        on_epoch_end=lambda _, line: lines.append((len(line["folds"]), line["epoch"])),
    )
    assert "no memory for 6 folds at a time; going on with 3" in caplog.text
    assert_same(found, reference)
    in_order = [(3, epoch) for epoch in (1, 2, 3, 4)]
    assert lines == [(6, 1), (6, 2)][:after] + in_order + in_order
    # What was saved on the way is the job's: nothing is left to train.
    lines.clear()
    assert_same(run(directory=tmp_path, on_epoch_end=lambda *line: lines.append(line)), reference)
    assert not lines


def test_the_memory_ends_within_a_long_epoch(reference, memory_for, caplog, tmp_path, monkeypatch):
    monkeypatch.setattr(single_fold, "_LONG_EPOCH", 0)
    monkeypatch.setattr(loop, "_PART_S", 0.0)  # a call for each of four steps
    memory_for(2, after=6)
    lines = []
    found = run(
        directory=tmp_path,
        interval_s=0.0,
        folds_per_device=4,
        on_epoch_end=lambda _, line: lines.append((len(line["folds"]), line["epoch"])),
    )
    assert "no memory for 4 folds at a time; going on with 2" in caplog.text
    assert_same(found, reference)
    assert lines == [(4, 1)] + [(2, epoch) for epoch in (1, 2, 3, 4)] * 3


def test_what_is_finished_stays_so_when_fewer_fit_than_before(reference, tmp_path):
    asked = iter([False] * 3 + [False, True] + [False] * 9)
    with pytest.raises(Interrupted, match="after epoch 2 of folds up to 6"):
        run(directory=tmp_path, folds_per_device=3, should_stop=lambda: next(asked))
    lines = []
    again = run(
        directory=tmp_path,
        folds_per_device=1,
        on_epoch_end=lambda _, line: lines.append(line["folds"]),
    )
    assert_same(again, reference)
    # The first three folds were done; the others, of which one fits now, begin anew.
    assert [name for (name,) in lines[::4]] == ["toy/s3", "toy/s4", "toy/s5"]
    assert len(lines) == 12


def test_without_memory_for_one_fold_there_is_a_sentence(memory_for):
    memory_for(0)
    with pytest.raises(UserError, match="no memory for one fold"):
        run(folds_per_device=2)


def test_other_errors_of_the_device_are_no_question_of_memory(monkeypatch):
    compile_programs = memory.compile_programs

    def compiled(*given):
        def epochs(*_):
            raise jax.errors.JaxRuntimeError("INTERNAL: something else")

        programs = compile_programs(*given)
        epochs.lower = programs.epochs.lower
        return programs._replace(epochs=epochs)

    monkeypatch.setattr(memory, "compile_programs", compiled)
    with pytest.raises(jax.errors.JaxRuntimeError, match="something else"):
        run()
