"""Evidence against the paper's sums written out, on flows that are known."""

import numpy as np
import pytest

from mer_jax.errors import UserError
from mer_jax.recordings import Recording
from mer_jax.spotting import evidence
from mer_jax.video import optical_flow, optical_strain
from tests.compiled import compiled

SIZE = (24, 24)


def recording(frames, fps=30.0):
    return Recording("toy", "s1", "v", lambda i, j: frames[i:j], len(frames), fps)


def texture(shift, rng=None):
    """[24, 24] uint8: a smooth texture whose upper left quarter has moved right by `shift` px."""
    y, x = np.mgrid[:24, :24].astype(np.float64)
    near = np.exp(-(((x - 7) ** 2 + (y - 7) ** 2) / 30))
    x = x - shift * near
    plane = 120 + 50 * np.sin(x / 2.1) * np.cos(y / 2.7) + 30 * np.sin(x / 3.7 + y / 2.9)
    return np.round(np.clip(plane, 0, 255)).astype(np.uint8)


def movement(length, onset, apex, offset, peak=1.2):
    t = np.arange(length)
    return peak * np.interp(t, [onset, apex, offset], [0, 1, 0])


@pytest.fixture(scope="module")
def video():
    shifts = movement(60, 25, 31, 37)
    return recording(np.stack([texture(s) for s in shifts])[..., None])


def written_out(frames, preset="horn_schunck", blocks=6):
    """The maximal difference of Wang et al. by loops, from the same flows; which parts of a block
    and of the blocks count is that of the authors' MDMD.m: round(m / 3) and round(rows * cols / 3).
    """
    flows = [
        np.asarray(compiled(optical_flow, preset=preset, **evidence._FLOW)(frames[0], frames[n]))
        for n in (1, 2)
    ]
    lengths = [
        np.hypot(f[..., 0], f[..., 1]) * (np.hypot(*np.moveaxis(f, -1, 0)) >= 1e-4) for f in flows
    ]
    angle = np.arctan2(flows[0][..., 1], flows[0][..., 0]) * (lengths[0] > 0)
    sector = np.floor(angle / (np.pi / 2) + 1e-5).astype(int) % 4
    d = []
    height, width = (side // blocks for side in lengths[0].shape)
    for row in range(blocks):
        for column in range(blocks):
            part = np.s_[row * height : (row + 1) * height, column * width : (column + 1) * width]
            chosen = sector[part] == np.argmax(np.bincount(sector[part].ravel(), minlength=4))
            values = np.sort((lengths[0] - lengths[1])[part][chosen])[::-1]
            d.append(values[: max(1, round(len(values) / 3))].mean())
    return np.mean(np.sort(d)[::-1][:12])


def test_mdmd_is_the_papers_sums(video):
    difference = compiled(evidence.maximal_difference, preset="horn_schunck")
    frames = np.float32(video[:])[[25, 31, 37]] / 255
    got = difference(frames)
    np.testing.assert_allclose(got, written_out(frames), rtol=1e-4)
    assert got > 0.2  # px: the quarter moved, and is back
    assert difference(frames[[0, 1, 1]]) == 0


@pytest.mark.parametrize("k", [2, 5])
def test_the_relative_difference_is_the_authors(k):
    """Of cmd.m: C of frame zz (from 1) is F(zz-k) - (F(zz-k-m) + F(zz-k+m)) / 2, and F(1) is of
    frame k + 1."""
    frames, m = 30, k - 1
    f = np.random.default_rng(0).normal(size=frames - 2 * k)  # F(1) is f[0]
    values, want = np.zeros(frames, np.float32), np.full(frames, np.nan, np.float32)
    values[k : frames - k] = f
    for zz in range(1 + k + m, frames - k - m + 1):
        want[zz - 1] = f[zz - k - 1] - (f[zz - k - m - 1] + f[zz - k + m - 1]) / 2
    np.testing.assert_allclose(evidence.relative_difference(values, k), want, atol=1e-6)
    assert np.isnan(evidence.relative_difference(values[: 2 * (k + m)], k)).all()


def test_mdmd_finds_nothing_where_a_video_begins_and_ends():
    """Noise compared with frames that are not there looked like a movement at both ends."""
    rng = np.random.default_rng(1)
    shifts = movement(120, 50, 60, 70, peak=2.5)
    noisy = np.stack([texture(s) for s in shifts]) + rng.normal(scale=4, size=(120, 24, 24))
    video = recording(np.uint8(np.clip(noisy, 0, 255))[..., None])
    values = evidence.compute(video, evidence="mdmd", span=10, size=SIZE)
    assert np.isnan(values[:19]).all() and np.isnan(values[-19:]).all()
    assert np.isfinite(values[19:-19]).all() and 50 <= np.nanargmax(values) <= 70


@pytest.mark.parametrize("name", ["strain", "flow", "mdmd"])
def test_evidence_is_highest_at_the_movement(video, name):
    span = 6
    values = evidence.compute(video, evidence=name, span=span, size=SIZE)
    assert values.shape == (60,) and values.dtype == np.float32
    assert 25 <= np.nanargmax(values) <= 37
    away = np.r_[values[:15], values[47:]]
    assert np.nanmax(np.abs(away)) < 0.05 * np.nanmax(values)


def test_each_frame_compares_the_frames_around_it(video):
    values = evidence.compute(video, evidence="strain", span=5, size=SIZE)
    gray = np.float32(video[:])[..., 0] / 255
    flow_of = compiled(optical_flow, preset="horn_schunck", **evidence._FLOW)
    for t in (2, 30, 56):
        flow = flow_of(gray[t - 2], gray[t + 3])
        np.testing.assert_allclose(
            values[t], compiled(optical_strain)(flow).mean(), rtol=2e-4, atol=1e-7
        )
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(values)), [0, 1, 57, 58, 59])


def test_blocks_change_nothing(video, monkeypatch):
    whole = evidence.compute(video, evidence="mdmd", span=4, size=SIZE)
    monkeypatch.setattr(evidence, "_BLOCK", 16)
    np.testing.assert_array_equal(
        evidence.compute(video, evidence="mdmd", span=4, size=SIZE), whole
    )


def test_what_cannot_be_computed_is_said(video):
    short = recording(np.zeros((6, *SIZE, 1), np.uint8))
    with pytest.raises(UserError, match="toy/s1/v: has 6 frames; mdmd with a span of 2 compares"):
        evidence.compute(short, evidence="mdmd", span=4, size=SIZE)
    with pytest.raises(UserError, match="did you mean 'mdmd'"):
        evidence.compute(video, evidence="mdmo", size=SIZE)
    np.testing.assert_array_equal(  # no movement
        evidence.compute(short, evidence="strain", span=4, size=SIZE),
        [np.nan] * 2 + [0, 0] + [np.nan] * 2,
    )
