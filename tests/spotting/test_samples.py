"""Samples for networks, against NumPy by hand."""

import jax
import numpy as np
import pytest

from mer_jax.descriptors.region_flow import LANDMARKS
from mer_jax.errors import UserError
from mer_jax.recordings import Interval, Recording
from mer_jax.spotting import evidence, samples, targets
from mer_jax.spotting.samples import Sampling
from tests.spotting.test_evidence import texture

RNG = np.random.default_rng(0)


def recording(frames, intervals=()):
    return Recording("toy", "s", "a", lambda i, j: frames[i:j], len(frames), 30.0, tuple(intervals))


def test_a_sample_is_the_flow_to_both_neighbors(monkeypatch):
    """A texture that moves by 0.2 px a frame; blocks of 8 frames give what one block gives."""
    frames = np.stack([texture(0.2 * t) for t in range(20)])[..., None]
    sampling = Sampling(3, stride=2, size=(24, 24), map_size=(12, 12), head="none")
    (at, maps), *rest = samples.stream(recording(frames), sampling)
    assert not rest and at.tolist() == list(range(3, 17, 2)) and maps.shape == (7, 12, 12, 6)
    # The middle of what moves; back is the opposite of forth.
    back, forth = maps[:, 3, 3, :3], maps[:, 3, 3, 3:]
    np.testing.assert_allclose(forth[:, 0], 3 * 0.2, rtol=0.35)
    np.testing.assert_allclose(back[:, :2], -forth[:, :2], atol=0.1)
    monkeypatch.setattr("mer_jax.spotting.evidence._BLOCK", 8)
    parts = list(samples.stream(recording(frames), sampling))
    assert len(parts) > 1
    np.testing.assert_array_equal(np.concatenate([part for part, _ in parts]), at)
    np.testing.assert_array_equal(np.concatenate([part for _, part in parts]), maps)
    with pytest.raises(UserError, match="has 6 frames; a span of 3 frames compares frames 6 apart"):
        list(samples.stream(recording(frames[:6]), sampling))


@pytest.mark.parametrize(("head", "terms"), [("none", 0), ("affine", 3), ("quadratic", 6)])
def test_the_head_is_the_least_squares_polynomial(head, terms):
    flow = RNG.normal(0, 1, (9, 7, 2)).astype(np.float32)
    y, x = (each.ravel() for each in np.mgrid[-1:1:9j, -1:1:7j])
    basis = np.stack([x**0, x, y, x * x, x * y, y * y], -1)[:, :terms]
    flat = flow.reshape(-1, 2)
    fitted = basis @ np.linalg.lstsq(basis, flat, rcond=None)[0]
    found = np.asarray(evidence.without_head(flow, head=head))
    np.testing.assert_allclose(found.reshape(-1, 2), flat - fitted, atol=1e-5)


def test_time_backwards_exchanges_the_two_flows():
    inputs = RNG.normal(0, 1, (1, 4, 4, 6)).astype(np.float32)
    examples = samples.examples(inputs, normalize="none", mirror=False, reverse=True)
    keys = jax.random.split(jax.random.key(0), 64)
    found = np.asarray(jax.vmap(lambda key: examples.augment(key, inputs[0], ()))(keys))
    swapped = inputs[0][..., [3, 4, 5, 0, 1, 2]]
    kinds = [(each == inputs[0]).all() + 2 * (each == swapped).all() for each in found]
    assert set(kinds) == {1, 2} and 20 < kinds.count(1) < 44


def test_targets_are_the_overlap_with_the_nearest_expression_of_the_kind():
    marked = (Interval(5, None, 9), Interval(20, None, 24), Interval(12, None, 16, "macro"))
    video = recording(np.zeros((30, 2, 2, 1), np.uint8), marked)
    found = targets.overlaps(video, np.arange(2, 28), kind="micro", offsets=(-2, 0, 2))
    for frame, value in zip(range(2, 28), found):
        own = set(range(frame - 2, frame + 3))
        best = max(len(own & m) / len(own | m) for m in (set(range(5, 10)), set(range(20, 25))))
        assert abs(value - best) < 1e-6
    assert found.max() == 1


def test_statistics_are_those_of_the_training_samples():
    inputs = RNG.normal(0, [1, 2, 3], (5, 4, 6, 3)).astype(np.float32)
    weights = np.array([1, 0, 1, 1, 0], np.float32)
    examples = samples.examples(inputs)
    rms = examples.fit_statistics(examples.inputs, weights)
    expected = np.sqrt((inputs[weights > 0].astype(np.float64) ** 2).mean((0, 1, 2)))
    np.testing.assert_allclose(rms, expected, rtol=1e-5)
    plain = examples.eval_transform(examples.inputs[1], rms)
    np.testing.assert_allclose(plain, inputs[1] / expected, rtol=1e-5)
    # A mirrored face moves to the other side: u changes its sign, v and the strain do not.
    mirrored = inputs[1][:, ::-1] * [-1, 1, 1] / expected
    keys = jax.random.split(jax.random.key(0), 16)
    drawn = [np.asarray(examples.augment(key, examples.inputs[1], rms)) for key in keys]
    kinds = [min((0, plain), (1, mirrored), key=lambda k: np.abs(x - k[1]).max())[0] for x in drawn]
    assert 0 < sum(kinds) < 16
    for kind, x in zip(kinds, drawn):
        np.testing.assert_allclose(x, mirrored if kind else plain, rtol=1e-4, atol=1e-5)
    sample = samples.examples(inputs, normalize="sample").eval_transform(examples.inputs[0], ())
    assert np.asarray(sample).min((0, 1)).tolist() == [0, 0, 0]
    assert np.asarray(sample).max((0, 1)).tolist() == [1, 1, 1]


def test_windows_show_every_frame_once_between_their_margins(monkeypatch):
    """Targets and outputs of windows, put together again, are those of the frames."""
    marked = (Interval(4, 8, 12), Interval(20, 25, 33, "macro"))
    video = Recording("toy", "s", "v", None, 40, 30.0, marked)
    flows = np.random.default_rng(0).normal(size=(40, 12, 2)).astype(np.float32)
    monkeypatch.setattr(samples, "landmarks", lambda recording, model: None)
    monkeypatch.setattr(samples, "region_flows", lambda *_, **__: flows)
    sampling = samples.Sampling(16, "regions")
    ((frames, maps),) = samples.stream(video, sampling)
    assert frames.tolist() == [0, 16, 32] and maps.shape == (3, 30, 12, 2)
    for t in range(40):
        np.testing.assert_array_equal(maps[t // 16, 7 + t % 16], flows[t])
    wanted = targets.one_hot(targets.boundaries(video))
    rows = targets.TARGETS["boundaries"](video, frames, kind="micro", offsets=sampling.offsets)
    rows = rows.reshape(3, 30, 10)
    assert not rows[:, :7].any() and not rows[:, -7:].any() and not rows[2, 15:].any()
    np.testing.assert_array_equal(rows[:, 7:-7].reshape(-1, 10)[:40], wanted)
    logits = np.random.default_rng(1).normal(size=(3, 30, 10)).astype(np.float32)
    found = samples.of_frames([(frames, logits.reshape(3, -1))], 40, sampling, kind="macro")
    y = logits[1, 7 + 5].astype(np.float64)  # of frame 21
    parts = np.exp(y[3:6]) / np.exp(y[3:6]).sum()
    np.testing.assert_allclose(found[21], [parts[0], parts[1], 1 / (1 + np.exp(-y[7]))], rtol=1e-6)


def test_regions_of_a_mirrored_face():
    """Landmark x of iBUG is that of the other side; the middle ones stay."""
    pairs = {18: 25, 19: 24, 20: 23, 48: 54}
    other = pairs | {b: a for a, b in pairs.items()}
    order = [LANDMARKS.index(other.get(point, point)) for point in LANDMARKS]
    assert samples._MIRRORED.tolist() == order
