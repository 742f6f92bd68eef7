"""The invariant most of the house leans on: a fold does not know its neighbours."""

import dataclasses
import re
import shutil
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mer_jax import nn, protocols, runtime
from mer_jax.errors import UserError
from mer_jax.io import large_arrays
from mer_jax.methods import Examples
from mer_jax.training import (
    Hooks,
    Interrupted,
    Parallel,
    Settings,
    checkpoints,
    fit,
    loop,
    memory,
    optimizers,
    parallel,
    records,
    single_fold,
)
from mer_jax.training.checkpoints import Checkpoints
from mer_jax.training.programs import compile_programs
from mer_jax.training.records import Data, Position
from mer_jax.training.single_fold import make_static_config
from tests.training import small

SETTINGS = Settings(epochs=4, batch_size=8, learning_rate=1e-2)
STOPPING = Settings(
    epochs=12,
    batch_size=8,
    learning_rate=5e-2,
    validation=0.2,
    model_selection="best_val",
    early_stopping_patience=2,
)


def run(folds=None, settings=SETTINGS, devices=1, problem=None, **options):
    return small.trained(settings, job=problem, folds=folds, devices=devices, **options)


@pytest.fixture(scope="module")
def reference():
    return run()


def assert_same(result, reference, rows=slice(None), tolerance=0.0):
    for name in ("probabilities", "train_loss", "train_accuracy"):
        got, want = getattr(result, name), getattr(reference, name)[rows]
        np.testing.assert_allclose(got, want, rtol=0, atol=tolerance, err_msg=name)
    if not tolerance:
        np.testing.assert_array_equal(result.predicted, reference.predicted[rows])


@pytest.mark.parametrize(
    "options",
    [
        {"devices": 4},  # 6 folds on 4 devices: two of padding
        pytest.param({"devices": 4, "across": "pmap"}, marks=pytest.mark.slow),
        pytest.param({"devices": 2, "folds_per_device": 1}, marks=pytest.mark.slow),
        {"devices": 4, "examples_on_host": True},
        pytest.param(
            {"devices": 4, "across": "pmap", "examples_on_host": True}, marks=pytest.mark.slow
        ),
    ],
    ids=str,
)
def test_devices_maps_and_chunks_change_nothing(options, reference):
    assert_same(run(**options), reference)


def test_a_fold_alone_is_the_fold_in_the_job(reference):
    folds = small.problem()[2]
    assert_same(run(folds.take([3])), reference, [3])


@pytest.mark.slow
def test_vmapped_folds_agree_to_rounding(reference):
    together = run(within="vmap", devices=4)
    assert_same(together, reference, tolerance=1e-5)
    assert_same(run(within="vmap", devices=4, examples_on_host=True), together)


@pytest.mark.train
def test_it_learns_what_there_is_to_learn():
    result = run(settings=Settings(epochs=60, batch_size=8, learning_rate=2e-2))
    labels = small.problem()[1]
    right = (result.probabilities.argmax(-1) == labels[result.eval_index])[result.test]
    assert right.mean() > 0.6  # chance is a third
    assert result.train_loss[:, -1].mean() < 0.5 * result.train_loss[:, 0].mean()


@pytest.mark.slow
def test_the_sharded_epoch_has_no_collective():
    examples, labels, folds = small.problem()
    layout = Parallel(within="vmap", devices=jax.devices()[:4]).layout(len(folds))
    static = make_static_config(examples, len(labels), SETTINGS, num_classes=3, build=small.build)
    data = parallel.replicate(layout, Data(examples.inputs, jnp.asarray(labels, jnp.int32), {}))
    rows = records.take_rows(records.fold_arrays([folds], SETTINGS), range(6), 8)
    part = parallel.shard(layout, rows)
    programs = compile_programs(static, layout, 1)
    state = jax.eval_shape(programs.init, data, part)
    text = programs.epochs.lower(data, part, state).compile().as_text()
    assert not re.search(r"all-gather|all-reduce|all-to-all|collective-permute", text)


def test_a_job_that_stops_goes_on_where_it_was(reference, tmp_path):
    class Stop(Exception):
        pass

    def stop_at_three(_, line):
        if line["epoch"] == 3:
            raise Stop

    options = {"directory": tmp_path, "job_fingerprint": {"job": 1}, "interval_s": 0.0}
    with pytest.raises(Stop):
        run(on_epoch_end=stop_at_three, **options)
    lines = []
    again = run(on_epoch_end=lambda _, line: lines.append(line), **options)
    assert [line["epoch"] for line in lines] == [3, 4]
    assert_same(again, reference)
    finished = run(on_epoch_end=lambda _, line: lines.append(line), **options)
    assert len(lines) == 2  # nothing was left to train
    assert_same(finished, reference)


@pytest.mark.parametrize(
    ("within", "on_host"),
    [
        ("map", False),
        pytest.param("map", True, marks=pytest.mark.slow),
        pytest.param("vmap", False, marks=pytest.mark.slow),
    ],
)
def test_a_long_epoch_is_trained_in_parts(within, on_host, reference, tmp_path, monkeypatch):
    """Its steps are several calls, between which a job stops; its numbers are those of one call."""
    monkeypatch.setattr(single_fold, "_LONG_EPOCH", 0)
    monkeypatch.setattr(loop, "_PART_S", 0.0)  # one step a call
    steps, calls = -(-30 // SETTINGS.batch_size), []

    def stop_within_the_second_epoch():
        calls.append(None)
        return len(calls) == steps + 2

    options: dict = {"directory": tmp_path, "interval_s": 0.0, "within": within}
    options["examples_on_host"] = on_host
    with pytest.raises(Interrupted, match="after epoch 1 of folds"):
        run(should_stop=stop_within_the_second_epoch, **options)
    lines = []
    again = run(on_epoch_end=lambda _, line: lines.append(line), **options)
    assert lines[0]["epoch"] == 2, "the epoch that was stopped begins again"
    assert len(lines[0]["folds"]) == (1 if within == "map" else 6), (
        "of one fold, if that is as fast"
    )
    assert_same(again, reference, tolerance=0.0 if within == "map" else 1e-5)


@pytest.mark.parametrize("interval_s", [0.0, 1e9])
def test_within_a_long_epoch_it_tells_whether_all_is_saved(interval_s, tmp_path, monkeypatch):
    monkeypatch.setattr(single_fold, "_LONG_EPOCH", 0)
    monkeypatch.setattr(loop, "_PART_S", 0.0)
    waits = lambda manager: manager.wait_until_finished()
    monkeypatch.setattr(checkpoints.ocp.CheckpointManager, "is_saving_in_progress", waits)
    lines, found = [0], set()

    class Stop:
        is_so = staticmethod(lambda: True)

        def __call__(self):
            found.add((lines[-1], self.is_so()))
            return False

        def nothing_to_save(self, is_so):
            self.is_so = is_so

    run(
        folds=small.problem()[2].take([0]),
        should_stop=Stop(),
        on_epoch_end=lambda _, line: lines.append(line["epoch"]),
        directory=tmp_path,
        interval_s=interval_s,
    )
    # After an epoch and before it is saved, nobody may end the process.
    if interval_s:
        assert found == {(0, True), (1, False), (2, False), (3, False)}
    else:
        assert found == {(0, True)} | {
            (epoch, saved) for epoch in (1, 2, 3) for saved in (True, False)
        }


@pytest.mark.slow
@pytest.mark.parametrize("shape", [{"a": (6, 6, 1), "b": (6, 6, 1)}, ((36,), (2, 2)), None])
def test_several_inputs_have_several_shapes(shape):
    examples, labels, _ = small.problem()
    examples = dataclasses.replace(examples, input_shape=shape)
    made = make_static_config(examples, len(labels), SETTINGS, num_classes=3, build=small.build)
    assert not made.in_parts


@pytest.mark.slow
def test_an_epoch_of_psn_at_its_published_size_is_in_parts():
    """22 steps of two and a half minutes in all, on two cores: a signal waited for their end."""
    examples = dataclasses.replace(small.problem()[0], input_shape=(16, 112, 112, 1))
    settings = dataclasses.replace(SETTINGS, batch_size=5)
    made = make_static_config(examples, 108, settings, num_classes=3, build=small.build)
    assert made.in_parts and made.steps == 22


@pytest.mark.slow
def test_a_chunk_of_more_devices_is_finished_by_fewer(reference, tmp_path, monkeypatch):
    monkeypatch.setattr(single_fold, "_LONG_EPOCH", 0)
    options = {"directory": tmp_path, "interval_s": 0.0}
    calls = iter([False] * 9 + [True])  # in the third epoch
    with pytest.raises(Interrupted, match="after epoch 2 of folds up to 4"):
        monkeypatch.setattr(loop, "_PART_S", 0.0)
        run(devices=4, should_stop=lambda: next(calls), **options)
    lines = []
    again = run(devices=2, on_epoch_end=lambda _, line: lines.append(line), **options)
    assert [(line["epoch"], len(line["folds"])) for line in lines[:3]] == [(3, 4), (4, 4), (1, 2)]
    assert_same(again, reference)


def test_the_networks_of_all_chunks_are_kept(reference, tmp_path):
    """The last checkpoint has the rows that were trained last."""
    run(directory=tmp_path / "whole")
    run(directory=tmp_path / "chunks", folds_per_device=2)
    whole, rows = checkpoints.networks(tmp_path / "whole")
    chunks, again = checkpoints.networks(tmp_path / "chunks")
    assert rows == again == list(range(6))
    jax.tree.map(np.testing.assert_array_equal, whole, chunks)
    tree, position = checkpoints.last(tmp_path / "chunks")
    assert position.members == range(4, 6) and len(tree["state"]["status"]) == 2
    first, rows = checkpoints.networks(tmp_path / "chunks", wanted=[0])
    assert rows == [0, 1, 4, 5]  # those of 2 and 3 are not read
    np.testing.assert_array_equal(
        first["params"]["head"]["bias"], whole["params"]["head"]["bias"][rows]
    )
    # A job that was killed while it kept networks, and went on with fewer rows at a time.
    kept = tmp_path / "chunks" / "networks"
    (kept / ".part-1-2-4").mkdir()
    assert checkpoints.networks(tmp_path / "chunks")[1] == list(range(6))
    with Checkpoints(tmp_path / "chunks", {}, interval_s=1.0) as store:
        assert not (kept / ".part-1-2-4").exists()
        states = jax.tree.map(lambda a: a[1:4], whole)
        store.keep(types.SimpleNamespace(**states), range(1, 4))
    assert sorted(path.name for path in kept.iterdir()) == ["1-4"]
    shutil.rmtree(kept)
    run(directory=tmp_path / "again", folds_per_device=2)
    (file,) = (tmp_path / "again" / "networks" / "0-2").glob("digest")
    file.write_text("another")
    with pytest.raises(UserError, match=r"the networks .*0-2 is damaged"):
        checkpoints.networks(tmp_path / "again")


def test_the_time_of_a_job_is_that_of_all_its_launches(tmp_path):
    first = run(directory=tmp_path, interval_s=0.0)
    again = run(directory=tmp_path, interval_s=0.0)  # nothing is left to train
    assert again.seconds >= first.seconds * 0.9 > 0


def test_after_a_fold_has_stopped_its_curves_are_those_of_its_network():
    """They were of that network, trained for another epoch, which does not exist."""
    settings = dataclasses.replace(SETTINGS, epochs=5, min_loss_change=1e9)  # after two epochs
    result = run(settings=settings)
    two = run(settings=dataclasses.replace(SETTINGS, epochs=2))
    assert (result.epochs_run == 2).all()
    for name in ("train_loss", "test_accuracy", "predicted", "train_accuracy"):
        want = getattr(two, name)[:, [0, 1, 1, 1, 1]]
        np.testing.assert_array_equal(getattr(result, name), want, err_msg=name)


def test_an_empty_batch_is_no_step_and_schedules_go_on(monkeypatch):
    """Of batches of one clip there are as many as clips, more than a fold trains on."""
    calls, skip_step = [], optimizers.skip_step
    record = lambda *given: calls.append(None) or skip_step(*given)
    monkeypatch.setattr(optimizers, "skip_step", record)
    one = small.problem()[2].take([0])
    few = dataclasses.replace(SETTINGS, epochs=1, batch_size=1)
    run(one, dataclasses.replace(SETTINGS, epochs=1))
    assert not calls  # none of its batches can be empty
    run(one, few)
    assert calls
    schedule = optimizers.schedule("step", epochs=4, steps=2, rate=0.5, every=1)
    optimizer = optimizers.create("adam", schedule)
    before = optimizer.init(jnp.ones(3))
    _, after = optimizer.update(jnp.ones(3), before, jnp.ones(3))
    adam, schedule = optimizers.skip_step(jnp.array(False), after, before)
    assert adam.count == 0 and not adam.mu.any() and schedule.count == 1
    adam, schedule = optimizers.skip_step(jnp.array(True), after, before)
    assert adam.count == 1 and adam.mu.all() and schedule.count == 1
    # Nor is it one to a loss of the user's, whose mean over no sample is NaN.
    own = run(one, dataclasses.replace(few, loss=f"{__name__}:mean_of_samples"))
    built_in = run(one, few)
    assert own.epochs_run == [1] and np.isfinite(own.train_loss).all()
    np.testing.assert_allclose(own.train_loss, built_in.train_loss, rtol=1e-5)


def mean_of_samples(logits, labels, mask, counts):
    kept = -jax.nn.log_softmax(logits)[jnp.arange(len(labels)), labels] * mask
    return kept.sum() / mask.sum()


@pytest.mark.slow
def test_resuming_between_chunks(reference, tmp_path):
    class Stop(Exception):
        pass

    def stop_in_second_chunk(_, line):
        if line["folds"][0].endswith("s2") and line["epoch"] == 2:
            raise Stop

    options = {"directory": tmp_path, "folds_per_device": 2, "interval_s": 0.0}
    with pytest.raises(Stop):
        run(on_epoch_end=stop_in_second_chunk, **options)
    assert_same(run(**options), reference)


def test_another_job_in_the_same_place_is_refused_with_the_difference(tmp_path):
    one_epoch = Settings(epochs=1, batch_size=8)
    run(settings=one_epoch, directory=tmp_path, job_fingerprint={"seed": 1, "data": "x"})
    with pytest.raises(UserError, match=r"another job \(seed: 1 there, 2 now\)"):
        run(settings=one_epoch, directory=tmp_path, job_fingerprint={"seed": 2, "data": "x"})


def test_validation_chooses_the_epoch_and_patience_stops():
    folds = small.problem()[2]
    settings = STOPPING
    eval_index = protocols.with_validation(folds, fraction=0.2, seed=0)
    result = run(eval_index, settings)
    for f in range(len(folds)):
        ran = np.flatnonzero(result.status[f] == 0)
        best = np.nanargmin(
            np.where(result.status[f] != 2, result.validation_loss[f], np.nan)[: len(ran) + 1]
        )
        assert result.chosen_epoch[f] == best + 1
    # What it predicts is what it predicted at that epoch.
    for f, epoch in enumerate(result.chosen_epoch):
        np.testing.assert_array_equal(
            result.probabilities[f].argmax(-1), result.predicted[f, epoch - 1]
        )
    # R3D: "degraded or unchanged validation loss for 10 consecutive epochs" ends with the tenth.
    stopped = result.epochs_run < settings.epochs
    assert set((result.epochs_run - result.chosen_epoch)[stopped]) == {
        settings.early_stopping_patience
    }


def test_a_test_clip_has_no_say_in_the_validation_loss():
    """Not even one whose loss is infinite: 0 times infinity is NaN."""
    _, labels, folds = small.problem()

    class Linear(nnx.Module):
        def __init__(self, rngs):
            self.weight = nnx.Param(jnp.ones(()))

        def __call__(self, x, *, mask=None):
            return self.weight[...] * x[:, :1] * jnp.array([[-1.0, 1.0, 0.0]])

    inputs = np.random.default_rng(0).normal(size=(len(labels), 1)).astype(np.float32)
    inputs[0] = 3e38  # of person 0, whom fold 0 tests
    (result,) = fit(
        Examples(inputs=jnp.asarray(inputs)),
        labels,
        [protocols.with_validation(folds, fraction=0.2, seed=0)],
        Settings(
            epochs=1, batch_size=8, learning_rate=1e-6, validation=0.2, model_selection="best_val"
        ),
        num_classes=3,
        build=Linear,
        **small.grouped(devices=jax.devices()[:1], quiet=True),
    )
    assert labels[0] == 0 and np.isfinite(result.validation_loss[0]).all()


@pytest.mark.slow
def test_a_fold_stops_when_its_loss_stands_still():
    result = run(settings=Settings(epochs=4, batch_size=8, learning_rate=1e-9, min_loss_change=0.9))
    assert (result.status[:, 0] == 0).all() and (result.status[:, -1] == 1).all()


def test_settings_that_make_no_sense_are_one_sentence():
    for options, message in (
        ({"epochs": 0}, "train.epochs is 0; give trained networks"),
        ({"epochs": -1}, "train.epochs"),
        (
            {"epochs": 0, "init_from": "x", "model_selection": "best_test"},
            "there is none for train.model_selection='best_test' to select",
        ),
        ({"learning_rate": -1.0}, "train.learning_rate"),
        ({"model_selection": "best_val"}, "set train.validation"),
        ({"model_selection": "lst"}, "did you mean 'last'"),
        ({"early_stopping_patience": 3}, "need train.model_selection='best_val'"),
        ({"lr_plateau_rule": "torch"}, "did you mean 'pytorch'"),
        ({"lr_plateau_rule": "pytorch"}, "lr_plateau_rule needs train.lr_plateau_patience"),
        ({"schedule_rate": 0.5}, "schedule_rate is 0.5, which train.schedule='constant' does not"),
        ({"schedule": "decay", "schedule_rate": 0.5, "schedule_every": 2}, "schedule_every is 2"),
        ({"schedule": "step", "schedule_every": 10}, "schedule_rate=1 is 'constant'"),
        ({"optimizer": "adamw", "momentum": 0.5}, "momentum is 0.5, which train.optimizer='adamw'"),
    ):
        with pytest.raises(UserError, match=message):
            Settings(**options)


def test_a_fold_without_clips_is_named():
    folds = small.problem()[2]
    empty = protocols.Folds(
        folds.names, folds.clips, folds.subjects, folds.train, folds.test & False, folds.validation
    )
    with pytest.raises(UserError, match="fold toy/s0 has no test clips"):
        run(empty)


def test_what_does_not_belong_together_is_one_sentence():
    examples, labels, folds = small.problem()
    best = {"model_selection": "best_val", "validation": 0.2}

    def job(message, *, labels=labels, each=(folds,), settings=SETTINGS, count=3, **more):
        with pytest.raises(UserError, match=message):
            fit(examples, labels, each, settings, num_classes=count, build=small.build, **more)

    job("11 labels, and examples and folds of", labels=labels[:11])
    job("labels are -1 to 2, not 0 to 2", labels=np.where(labels == 0, -1, labels))
    job("labels are 0 to 2, not 0 to 1", count=2)
    job("one Folds for each of 2 variants, not 1", settings=Settings(epochs=1, seeds=2))
    job("no validation clips, by which", settings=Settings(epochs=1, **best))
    name, value = "head.kernel", np.zeros((4, 3), np.float32)
    job("the network has no tensor other", initial_weights={"other": np.zeros(1)})
    wrong = r"head.kernel is \(4, 3\), and the weights for it are \(4, 1\)"
    job(wrong, initial_weights={name: value[:, :1]})
    own = [{name: value}] * len(folds)
    job("6 folds start from 2 sets of weights", initial_weights=own[:2])
    job("weights of two folds have other names", initial_weights=[*own[1:], {}])


def test_nothing_is_computed_once_all_folds_have_stopped(monkeypatch):
    settings = dataclasses.replace(STOPPING, epochs=20, early_stopping_patience=1)
    folds = protocols.with_validation(small.problem()[2], fraction=0.2, seed=0)
    lines, blocks, set_epochs = [], [], records.set_epochs
    with monkeypatch.context() as patch:
        patch.setattr(records, "all_ended", lambda *_: False)
        whole = run(folds, settings)
    last = int(whole.epochs_run.max())
    assert last < settings.epochs
    counted = lambda *args: (blocks.append(args[3]), set_epochs(*args))
    monkeypatch.setattr(records, "set_epochs", counted)
    assert_same(run(folds, settings, on_epoch_end=lambda _, line: lines.append(line)), whole)
    assert blocks == list(range(last))
    assert [line["epoch"] for line in lines] == list(range(1, 21))


def test_a_test_clip_has_no_say_in_whether_a_fold_trains():
    examples, labels, folds = small.problem()
    clip, folds = int(np.flatnonzero(folds.test[0])[0]), folds.take([0])
    statistics = lambda inputs, weights: jnp.zeros((6, 6, 1))
    examples = dataclasses.replace(examples, fit_statistics=statistics)
    inputs = np.array(examples.inputs)
    inputs[clip] = np.nan
    broken = dataclasses.replace(examples, inputs=jnp.asarray(inputs))
    want, found = (run(folds, problem=(each, labels, folds)) for each in (examples, broken))
    assert not found.diverged and found.epochs_run.tolist() == [SETTINGS.epochs]
    tested = folds.test[0].sum()
    assert np.isnan(found.probabilities[0, 0]).all()
    np.testing.assert_array_equal(found.probabilities[0, 1:tested], want.probabilities[0, 1:tested])


@pytest.mark.slow
def test_a_job_goes_on_elsewhere(reference, tmp_path):
    """Another number of devices, another chunk: a checkpoint knows nothing of either."""
    asked = iter([False, True])
    options = {"directory": tmp_path, "interval_s": 1e9}
    with pytest.raises(Interrupted, match="after epoch 2 of folds up to 6"):
        run(should_stop=lambda: next(asked), devices=4, **options)
    assert_same(run(devices=1, **options), reference)


def test_a_damaged_checkpoint_is_found_out_and_the_one_before_is_used(reference, tmp_path):
    options = {"directory": tmp_path, "interval_s": 0.0}
    asked = iter([False, False, True])
    with pytest.raises(Interrupted):
        run(should_stop=lambda: next(asked), **options)
    steps = sorted((tmp_path / "steps").iterdir(), key=lambda path: path.name)
    assert [path.name for path in steps] == ["2", "3"]
    largest = max(
        (path for path in (steps[1] / "tree").rglob("*") if path.is_file()),
        key=lambda path: path.stat().st_size,
    )
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 0x10
    largest.write_bytes(content)
    lines = []
    assert_same(run(on_epoch_end=lambda _, line: lines.append(line), **options), reference)
    assert [line["epoch"] for line in lines] == [3, 4]


def test_what_takes_long_to_save_is_saved_less_often(tmp_path, monkeypatch, reference):
    now = [0.0]

    def slow(*_):
        now[0] += 3.0
        return ""

    monkeypatch.setattr(checkpoints, "time", types.SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(checkpoints, "_digest", slow)
    with Checkpoints(tmp_path, {}, interval_s=10.0) as keeper:
        now[0] = 10.0
        assert keeper.should_save
        keeper.save({"weights": np.zeros((2, 3))}, reference, Position(range(2), 1))
        now[0] = 72.0
        assert not keeper.should_save
        now[0] = 73.0
        assert keeper.should_save


def test_two_jobs_cannot_share_a_directory(tmp_path):
    with (
        Checkpoints(tmp_path, {}, interval_s=1.0),
        pytest.raises(UserError, match="in use by another job"),
    ):
        Checkpoints(tmp_path, {}, interval_s=1.0)
    with Checkpoints(tmp_path, {}, interval_s=1.0):
        pass


def test_seeds_and_rates_are_rows_of_one_job(reference):
    """Each is what it would be alone, bit for bit, also where a chunk holds parts of two."""
    examples, labels, folds = small.problem()
    settings = dataclasses.replace(SETTINGS, learning_rates=(1e-2, 1e-3), seeds=2)
    assert list(settings.variants) == [
        *("rate0.01-seed0", "rate0.01-seed1", "rate0.001-seed0", "rate0.001-seed1")
    ]
    told = []
    together = fit(
        examples,
        labels,
        [folds] * 4,
        settings,
        num_classes=3,
        build=small.build,
        **small.grouped(
            devices=jax.devices()[:4],
            folds_per_device=2,
            on_epoch_end=lambda part, line: told.append((part, line["epoch"], *line["folds"])),
            quiet=True,
        ),
    )
    assert_same(together[0], reference)
    alone = run(settings=dataclasses.replace(SETTINGS, learning_rate=1e-3, seed=1))
    assert_same(together[3], alone)
    assert not np.allclose(together[1].train_loss, together[0].train_loss)
    seen = {(part, epoch, name) for part, epoch, *names in told for name in names}
    assert len(seen) == 4 * 4 * 6 == sum(len(row) - 2 for row in told)


def test_examples_in_a_file_give_the_same_numbers(reference, tmp_path, capsys):
    """A tiny limit; the file has no name, and float16 examples lie in another one."""
    examples, labels, folds = small.problem()
    storage = large_arrays.Storage(limit_bytes=100, folder=tmp_path)
    inputs = large_arrays.empty(examples.inputs.shape, np.float32, storage=storage)
    inputs[:] = examples.inputs
    assert isinstance(inputs, np.memmap) and not list(tmp_path.iterdir())
    examples = dataclasses.replace(examples, inputs=inputs)
    assert_same(run(problem=(examples, labels, folds), devices=4, quiet=False), reference)
    lines = capsys.readouterr().err.splitlines()
    assert re.fullmatch(
        r"memory: 4.02e-06 GiB of examples in a file, once for 4 CPU devices; 6 folds at a time "
        r"take [\d.e-]+ GiB; [\d.]+ GiB are free",
        lines[0],
    )
    assert "folds 6/6, epoch 4/4, loss" in lines[-1] and lines[-1].endswith("clips/s, 0 s left")


def test_examples_that_a_device_cannot_hold_stay_on_the_host():
    gpu = types.SimpleNamespace(
        platform="gpu", process_index=0, memory_stats=lambda: {"bytes_limit": 1000}
    )
    # The first device is another process's, which does not tell.
    far = types.SimpleNamespace(platform="gpu", process_index=1)
    layout = parallel.Layout((far, gpu), "shard_map", "vmap")
    for size, fits in ((225, True), (226, False)):  # a tenth is left free
        inputs = {"flow": np.zeros((size, 1), np.float32)}
        data, text = memory._placed(layout, Data(inputs, np.zeros(size, np.int32), {}), False)
        assert isinstance(data.inputs, records.OnHost) != fits
        where = "on each of" if fits else "on the host, batches of them on each of"
        assert text.endswith(f"GiB of examples {where} 2 devices")
        index = jnp.array([[0, size - 1]], jnp.int32)
        assert jax.jit(records.input_rows)(data, index)["flow"].shape == (1, 2, 1)


def test_float16_examples_on_the_host(tmp_path):
    examples, labels, folds = small.problem()
    storage = large_arrays.Storage(limit_bytes=100, folder=tmp_path)
    inputs = large_arrays.empty(examples.inputs.shape, np.float32, storage=storage)
    inputs[:] = examples.inputs
    problem = dataclasses.replace(examples, inputs=inputs), labels, folds
    settings = dataclasses.replace(SETTINGS, data_dtype="float16", epochs=2)
    expected = run(settings=settings, problem=problem)
    assert_same(run(settings=settings, problem=problem, examples_on_host=True), expected)


def test_without_its_cpu_jax_cannot_keep_examples_on_the_host(monkeypatch):
    def no_cpu(*, backend):
        raise RuntimeError(f"Unknown backend {backend}")

    monkeypatch.setattr(jax, "local_devices", no_cpu)
    with pytest.raises(UserError, match="add cpu to it, as in JAX_PLATFORMS=cuda,cpu"):
        run(examples_on_host=True)


@pytest.mark.slow
def test_a_cpu_holds_the_folds_that_its_memory_does(reference, tmp_path, monkeypatch, caplog):
    """Checkpoints are host arrays: a job of large networks was killed while it wrote its first."""
    chunks = []

    def train(available):
        chunks.clear()
        monkeypatch.setattr(runtime, "available_memory", lambda: available)
        return run(devices=2, on_epoch_end=lambda _, line: chunks.append(len(line["folds"])))

    assert_same(train(2**34), reference)
    assert set(chunks) == {6}
    with pytest.raises(UserError, match=r"training one fold takes .* GiB, and .* are free; recomp"):
        train(1000)
    one, two = (memory._folds_that_fit(n, *_small_job(devices=1))[1] for n in (1, 2))
    enough = (one + two) / 2 / 0.8  # for one fold of one device, and not of two
    assert_same(train(enough), reference)
    assert set(chunks) == {1} and "going on with 1 CPU devices" in caplog.text
    assert_same(train(2 * enough), reference)
    assert set(chunks) == {2}, "one fold a device"
    # The next launch starts with the devices that were enough the last time, and looks again.
    tried = []

    def compile_and_tell(static, layout, block):
        tried.append(len(layout.devices))
        return compile_programs(static, layout, block)

    monkeypatch.setattr(memory, "compile_programs", compile_and_tell)
    folder = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    try:
        for available in (enough, enough, 2 * enough, 2 * enough, enough, 2**34):
            assert_same(train(available), reference)
            tried.append(0)
    finally:
        jax.config.update("jax_compilation_cache_dir", folder)
    assert tried == [2, 1, 0, 1, 0, 1, 2, 0, 2, 0, 2, 1, 0, 1, 2, 0]
    assert [memory._evenly(102, most) for most in (200, 55, 30, 1)] == [102, 51, 26, 1]


def _small_job(devices):
    """(static, layout, programs, data, rows) of the problem in tests/training/small.py."""
    examples, labels, folds = small.problem()
    layout = Parallel(devices=jax.devices()[:devices]).layout(len(folds))
    static = make_static_config(examples, len(labels), SETTINGS, num_classes=3, build=small.build)
    data = parallel.replicate(layout, Data(examples.inputs, np.asarray(labels, np.int32), {}))
    programs = compile_programs(static, layout, 1)
    return static, layout, programs, data, records.fold_arrays([folds], SETTINGS)


@pytest.mark.parametrize("kind", ["aligned", "unaligned", "jax"])
def test_the_devices_of_a_cpu_share_the_examples(kind):
    raw = np.arange(1025, dtype=np.float32)
    start = -raw.ctypes.data % 64 // 4 + (kind == "unaligned")
    array = raw[start : start + 1000]
    if kind == "jax":
        array = jax.block_until_ready(jnp.asarray(array))
    layout = Parallel(devices=jax.devices()).layout(len(jax.devices()))
    found = parallel.replicate(layout, {"inputs": array})["inputs"]
    addresses = {shard.data.unsafe_buffer_pointer() for shard in found.addressable_shards}
    assert len(found.addressable_shards) == 8 and len(addresses) == 1
    if kind == "aligned":
        assert addresses == {array.ctypes.data}
    np.testing.assert_array_equal(found, array)


@pytest.mark.slow
def test_a_job_of_68_folds_compiles_three_programs():
    """init, epochs and finish: chunks, the padded last one and blocks of epochs share them."""
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, _, fun_name="", **__: (
            compiled.append(fun_name) if event.endswith("/backend_compile_duration") else None
        )
    )
    run(problem=small.problem(subjects=68, each=3), devices=2, folds_per_device=5)
    assert compiled.count("jit(sharded)") == 3


@pytest.mark.parity
def test_a_loader_that_does_not_shuffle_trains_as_pytorch():
    """Three epochs of Adam over batches 8, 8, 2 (and 8, 8, 0), from the same weights."""
    torch = pytest.importorskip("torch")
    examples, labels, folds = small.problem(subjects=4)
    examples = dataclasses.replace(examples, augment=lambda key, picture, mean: picture - mean)
    train = folds.train.copy()
    train[0, np.flatnonzero(train[0])[8:]] = False  # its last batches are empty
    folds = dataclasses.replace(folds, train=train).take([0, 1])

    class Plain(nnx.Module):
        def __init__(self, rngs):
            self.norm = nn.BatchNorm(36, rngs=rngs)
            self.head = nnx.Linear(36, 3, rngs=rngs)

        def __call__(self, x, *, mask=None):
            return self.head(self.norm(x.reshape(len(x), -1), mask))

    draw = np.random.default_rng(0)
    start = {"head.kernel": draw.normal(0, 0.1, (36, 3)), "head.bias": draw.normal(0, 0.1, 3)}
    start = {name: value.astype(np.float32) for name, value in start.items()}
    (result,) = fit(
        examples,
        labels,
        [folds],
        Settings(epochs=3, batch_size=8, learning_rate=1e-2, sampler="sequential"),
        num_classes=3,
        build=Plain,
        initial_weights=start,
        hooks=Hooks(quiet=True),
    )
    inputs = np.asarray(examples.inputs)
    for row, (chosen, tested) in enumerate(zip(folds.train, folds.test)):
        model = torch.nn.Sequential(torch.nn.BatchNorm1d(36), torch.nn.Linear(36, 3))
        with torch.no_grad():
            model[1].weight.copy_(torch.from_numpy(start["head.kernel"].T))
            model[1].bias.copy_(torch.from_numpy(start["head.bias"]))
        flat = torch.from_numpy((inputs - inputs[chosen].mean(0)).reshape(len(inputs), -1))
        order = [clip for kind in range(3) for clip in np.flatnonzero(chosen & (labels == kind))]
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        for _ in range(3):
            for at in range(0, len(order), 8):
                batch = order[at : at + 8]
                loss = torch.nn.functional.cross_entropy(
                    model(flat[batch]), torch.from_numpy(labels[batch])
                )
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        with torch.no_grad():
            wanted = model.eval()(flat[np.flatnonzero(tested)]).softmax(1).numpy()
        np.testing.assert_allclose(result.probabilities[row], wanted, rtol=1e-3, atol=1e-4)
