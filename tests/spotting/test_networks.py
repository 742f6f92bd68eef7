"""Networks in the fold engine: strict, and the same when they are read again."""

import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from mer_jax.errors import UserError
from mer_jax.io import large_arrays
from mer_jax.recordings import Interval, Recording
from mer_jax.spotting import networks, protocol, sample_folds, samples, targets
from mer_jax.spotting.intervals import Rule
from mer_jax.spotting.samples import NetworkEvidence, Sampling
from mer_jax.spotting.scorers import Architecture
from mer_jax.training import Checkpointing, Settings, spotter_files

LENGTH, SPAN = 60, 3
SETTINGS = Settings(epochs=30, batch_size=64, learning_rate=3e-2, loss="mse")


class Net(nnx.Module):
    """A linear score of the mean map."""

    def __init__(self, *, num_classes: int, rngs: nnx.Rngs, shape=(2, 2, 6)):
        self.input_shape = shape
        self.score = nnx.Linear(shape[-1], num_classes, rngs=rngs)

    def __call__(self, x, *, mask=None):
        return self.score(jnp.mean(x, (1, 2)))


def video(subject, onsets, length=LENGTH):
    """Pixels that carry the overlap with the marked intervals, for `stream` below."""
    marked = tuple(Interval(on, None, on + 8) for on in onsets)
    frames = np.zeros((length, 2, 2, 1), np.uint8)
    return Recording("toy", subject, f"{subject}_1", lambda i, j: frames[i:j], length, 30.0, marked)


def stream(recording, sampling):
    """In place of flow: channel 0 is the overlap, the others noise; both are the recording's."""
    first, last = sampling.offsets[0], sampling.offsets[-1]
    frames = np.arange(-first, recording.length - last, sampling.stride)
    rng = np.random.default_rng([ord(c) for c in recording.subject])
    maps = rng.normal(0, 0.02, (len(frames), 2, 2, 6)).astype(np.float32)
    score = targets.overlaps(recording, frames, kind="micro", offsets=sampling.offsets)
    maps[..., 0] += score[:, None, None]
    half = len(frames) // 2
    yield frames[:half], maps[:half]
    yield frames[half:], maps[half:]


@pytest.fixture
def videos(monkeypatch):
    monkeypatch.setattr(samples, "stream", stream)
    return [video("a", [10, 40]), video("b", [25]), video("c", [8, 45]), video("d", [30])]


NET = Architecture(f"{__name__}:Net", {})


def train(videos, folder, settings=SETTINGS, **options):
    options = {"kinds": ("micro",), "normalize": "none", "mirror": False, "stride": 1} | options
    kinds = options.pop("kinds")
    evidence = NetworkEvidence(**options)
    saved = Checkpointing(folder)
    return networks.train(videos, NET, settings, evidence, checkpointing=saved, kinds=kinds)


@pytest.mark.train
def test_a_network_finds_what_it_was_shown(videos, tmp_path):
    trained = train(videos, tmp_path)
    fold = trained.folds[0]
    assert (fold.name, fold.duration, fold.span) == ("toy/a micro", 9, 4)
    rule = Rule(smoothing=0.0)
    found = protocol.spot(videos, trained.folds, trained.evidence, rule=rule)
    ends = [(e.subject, e.onset, e.offset) for e in found.events]
    assert ends == [(v.subject, i.onset, i.offset) for v in videos for i in v.intervals]
    # What is read back scores as the engine did.
    (result,) = trained.results.values()
    for row, fold in enumerate(trained.folds):
        weights = spotter_files.read_weights(spotter_files.weights_file(tmp_path, fold))
        scorer = dataclasses.replace(trained.scorers[fold.name], weights=weights)
        evidence = scorer.evidence(videos[row])
        np.testing.assert_array_equal(evidence, trained.evidence(fold, row))
        at = np.arange(4, LENGTH - 4)
        scores = result.probabilities[row, result.test[row], 0]
        np.testing.assert_allclose(evidence[at], scores, rtol=1e-5, atol=1e-6)


@pytest.mark.train
def test_a_fold_does_not_depend_on_its_test_subject(videos, tmp_path):
    other = [video("a", [3]), *videos[1:]]
    first, second = (
        train(each, tmp_path / name, dataclasses.replace(SETTINGS, epochs=2))
        for name, each in (("one", videos), ("two", other))
    )
    own, changed = (each.scorers["toy/a micro"].weights for each in (first, second))
    assert own.keys() == changed.keys()
    for name in own:
        np.testing.assert_array_equal(own[name], changed[name])


def test_a_subject_with_another_name_is_another_job(videos, tmp_path):
    """Names seed what a fold draws: a job that went on had the numbers of neither."""
    brief = dataclasses.replace(SETTINGS, epochs=1)
    train(videos, tmp_path, brief)
    renamed = [*videos[:3], dataclasses.replace(videos[3], subject="e")]
    with pytest.raises(UserError, match=r"holds another job \(folds: "):
        train(renamed, tmp_path, brief)


def test_folds_over_samples(videos):
    sampling = Sampling(SPAN, size=(8, 8), map_size=(2, 2))
    found = sample_folds.collect(videos, sampling, large_arrays.IN_MEMORY)
    folds = protocol.plan(videos, kinds=("micro",), span_of=lambda mean: SPAN)
    labels = np.concatenate(
        [
            targets.overlaps(each, at, kind="micro", offsets=sampling.offsets)
            for each, (at, _) in zip(videos, found.parts)
        ]
    )[:, None]
    count = LENGTH - 2 * SPAN
    rows = sample_folds.over_samples(found, folds, labels, SETTINGS)
    assert (
        rows.test.sum(1).tolist() == [count] * 4 and rows.train.sum(1).tolist() == [3 * count] * 4
    )
    assert rows.subject_disjoint and rows.clips[1] == "toy/a/a_1@4"
    fewer = sample_folds.over_samples(found, folds, labels, SETTINGS, drop_zeros=0.5)
    dropped = rows.train & ~fewer.train
    assert not dropped[:, labels[:, 0] > 0].any() and (fewer.test == rows.test).all()
    zeros = (rows.train & (labels[:, 0] == 0)[None, :]).sum(1)
    assert np.abs(dropped.sum(1) / zeros - 0.5).max() < 0.15
    none = sample_folds.over_samples(found, folds, labels, SETTINGS, drop_zeros=1.0)
    np.testing.assert_array_equal(none.train, rows.train & (labels[:, 0] > 0)[None, :])
    held = dataclasses.replace(SETTINGS, validation=0.3)
    validated = sample_folds.over_samples(found, folds, labels, held)
    assert validated.validation.sum(1).tolist() == [count] * 4  # one subject of three
    assert validated.subject_disjoint


def test_samples_are_written_once(videos, tmp_path):
    """As the blocks of the recordings, one after the other; the parts are views."""
    sampling = Sampling(SPAN, stride=2, size=(8, 8), map_size=(2, 2))
    blocks = [list(stream(each, sampling)) for each in videos]
    expected = np.concatenate([maps for each in blocks for _, maps in each])
    for storage in (large_arrays.IN_MEMORY, large_arrays.Storage(0, tmp_path)):
        _, inputs, found = sample_folds.collect(videos, sampling, storage)
        np.testing.assert_array_equal(inputs, expected)
        assert isinstance(inputs, np.memmap) == (storage.limit_bytes == 0)
        assert all(np.shares_memory(part, inputs) for _, part in found)
        for (frames, part), each in zip(found, blocks):
            np.testing.assert_array_equal(frames, np.concatenate([at for at, _ in each]))
            assert len(part) == len(frames)


@pytest.mark.train
def test_the_batches_of_a_finished_job_are_drawn_again(videos, tmp_path):
    settings = dataclasses.replace(SETTINGS, epochs=2, validation=0.3)
    trained = train(videos, tmp_path, settings, drop_zeros=0.3)
    folder = tmp_path / spotter_files.group_name(trained.folds[0])
    folds, wrong = sample_folds.replay(folder, settings, drop_zeros=0.3)
    assert wrong == [] and folds.clips == tuple(each.key for each in videos)
    assert folds.test.tolist() == np.eye(4, dtype=bool).tolist() and folds.subject_disjoint
    other = dataclasses.replace(settings, seed=1)
    found = sample_folds.replay(folder, other, drop_zeros=0.3)[1]
    assert sum("not those of its seed" in each for each in found) == 4
    assert any("not those of its seed" in each for each in sample_folds.replay(folder, settings)[1])
    # A subject that a fold trained on is declared to be its test subject.
    content = json.loads((folder / "folds.json").read_text())
    first = content["folds"][0]
    first["train"], first["test"] = first["test"], first["train"]
    (folder / "folds.json").write_text(json.dumps(content))
    found = sample_folds.replay(folder, settings, drop_zeros=0.3)[1]
    assert any("is not a training clip" in each for each in found)
    content["samples"][0] = -1
    (folder / "folds.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="is damaged"):
        sample_folds.replay(folder, settings)


def test_mistakes_are_one_sentence(videos, tmp_path):
    leaky = dataclasses.replace(SETTINGS, model_selection="best_test")
    with pytest.raises(UserError, match="selects nothing on test subjects"):
        train(videos, tmp_path, leaky)
    with pytest.raises(UserError, match="networks from fresh weights"):
        train(videos, tmp_path, dataclasses.replace(SETTINGS, init_from="elsewhere"))
    with pytest.raises(UserError, match="one seed and learning rate a job"):
        train(videos, tmp_path, dataclasses.replace(SETTINGS, seeds=2))
    with pytest.raises(UserError, match="did you mean 'overlap'"):
        train(videos, tmp_path, targets="overlaps")
    with pytest.raises(UserError, match="reverse is for pairs 'two'"):
        train(videos, tmp_path, pairs="one", reverse=True)
    with pytest.raises(UserError, match="set it to 'mse'"):
        train(videos, tmp_path, dataclasses.replace(SETTINGS, loss="cross_entropy"))
