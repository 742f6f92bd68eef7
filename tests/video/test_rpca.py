import math
from fractions import Fraction

import jax
import numpy as np
import pytest

from mer_jax.errors import UserError
from mer_jax.video.rpca import keep_quantiles, rpca

program = jax.jit(lambda matrix, lam=None: rpca(matrix, lam=lam))


quantiles = jax.jit(lambda e, low, high: keep_quantiles(e, low=low, high=high))


def _clip(seed=0, pixels=900, frames=20):
    """A face-like clip: one strong picture, changing light, a spot that moves, noise and 8 bits."""
    rng = np.random.default_rng(seed)
    still = rng.uniform(0.2, 0.8, pixels)
    light = 1 + 0.02 * np.sin(np.arange(frames) / 3)
    clip = still[:, None] * light + rng.normal(size=(pixels, frames)) / 255
    for frame in range(frames):
        clip[20 * frame : 20 * frame + 60, frame] += 0.1
    return (np.round(255 * clip) / 255).astype(np.float32)


def _reference(matrix, lam, tol=1e-6):
    """The inexact ALM with full SVDs, in float64."""
    matrix = matrix.astype(float)
    spectral = np.linalg.norm(matrix, 2)
    dual = matrix / max(spectral, np.abs(matrix).max() / lam)
    mu = 1.25 / spectral
    low_rank = np.zeros_like(matrix)
    for iteration in range(1000):
        x = matrix - low_rank + dual / mu
        sparse = np.sign(x) * np.maximum(np.abs(x) - lam / mu, 0)
        u, s, vt = np.linalg.svd(matrix - sparse + dual / mu, full_matrices=False)
        low_rank = u * np.maximum(s - 1 / mu, 0) @ vt
        rest = matrix - low_rank - sparse
        dual += mu * rest
        mu = min(1.5 * mu, 1.25e7 / spectral)
        if np.linalg.norm(rest) < tol * np.linalg.norm(matrix):
            return low_rank, sparse, iteration
    raise AssertionError("the reference did not converge")


@pytest.mark.parametrize("factor", [1.0, pytest.param(1.5, marks=pytest.mark.slow)])
def test_equals_the_float64_reference_with_full_svds(factor):
    matrix = _clip()
    lam = factor / np.sqrt(len(matrix))
    low_rank, sparse = program(matrix, lam)
    _, expected, _ = _reference(matrix, lam)
    assert np.linalg.norm(sparse - expected) < 1e-3 * np.linalg.norm(expected)
    assert np.linalg.norm(matrix - low_rank - sparse) < 1e-6 * np.linalg.norm(matrix)


def test_recovers_a_planted_split():
    rng = np.random.default_rng(1)
    low = rng.normal(size=(400, 3)) @ rng.normal(size=(3, 60))
    spikes = np.where(rng.random((400, 60)) < 0.05, rng.normal(size=(400, 60)) * 5, 0)
    low_rank, sparse = program((low + spikes).astype(np.float32))
    assert np.linalg.norm(low_rank - low) < 1e-3 * np.linalg.norm(low)
    assert np.linalg.norm(sparse - spikes) < 1e-3 * np.linalg.norm(spikes)


def test_transposed_and_batched():
    clips = np.stack([_clip(0, 300, 12), _clip(1, 300, 12), 0 * _clip(1, 300, 12)])
    low_ranks, sparses = jax.jit(jax.vmap(rpca))(clips)
    for clip, low_rank, sparse in zip(clips, low_ranks, sparses, strict=True):
        alone = program(clip)
        np.testing.assert_allclose(low_rank, alone[0], atol=1e-4)
        np.testing.assert_allclose(sparse, alone[1], atol=1e-4)
    wide = program(clips[0].T)
    np.testing.assert_allclose(wide[1].T, program(clips[0])[1], atol=1e-5)


def test_degenerate_clips():
    low_rank, sparse = map(np.asarray, program(np.zeros((900, 10), np.float32)))
    np.testing.assert_array_equal(low_rank, 0)
    np.testing.assert_array_equal(sparse, 0)
    still = np.repeat(_clip()[:, :1], 10, axis=1)  # rank one: all rows but one are rounding
    low_rank, sparse = map(np.asarray, program(still))
    np.testing.assert_allclose(low_rank + sparse, still, atol=1e-5)
    np.testing.assert_allclose(sparse, 0, atol=1e-5)


def test_retain_keeps_the_share_it_names():
    sparse = np.random.default_rng(2).normal(size=(50, 40)).astype(np.float32)
    kept = np.asarray(quantiles(sparse, 0.7, 1.0))
    assert (kept != 0).sum() == 600
    np.testing.assert_array_equal(kept[kept != 0], sparse[kept != 0])
    assert np.abs(kept[kept != 0]).min() > np.abs(sparse[kept == 0]).max()


def test_ten_bands_share_the_entries():
    sparse = np.random.default_rng(3).normal(size=(50, 40)).astype(np.float32)
    bands = [quantiles(sparse, i / 10, (i + 1) / 10) for i in range(10)]
    np.testing.assert_allclose(sum(np.asarray(band) for band in bands), sparse, atol=1e-7)
    assert [int((np.asarray(band) != 0).sum()) for band in bands] == [200] * 10


def test_retention_is_of_what_is_not_zero():
    """Counted by NumPy on E of 1.5 times the price, most of which is 0; no two sizes are equal."""
    matrix = _clip()
    sparse = np.asarray(program(matrix, 1.5 / np.sqrt(len(matrix)))[1])
    sparse = sparse * np.random.default_rng(0).uniform(1, 1.01, sparse.shape).astype(np.float32)
    sizes = np.sort(np.abs(sparse[sparse != 0]))
    assert len(sizes) < 0.5 * sparse.size
    bands = [(0.7, 1.0), (0.0, 1.0), *((i / 10, (i + 1) / 10) for i in range(10))]
    for low, high in bands:
        kept = np.asarray(quantiles(sparse, low, high))
        count = (kept != 0).sum()
        assert abs(count - (high - low) * len(sizes)) <= 1
        least, most = np.quantile(sizes, (low, high))
        inside = (np.abs(sparse) >= least) & (np.abs(sparse) <= most) & (sparse != 0)
        assert abs(count - inside.sum()) <= 1
        np.testing.assert_array_equal(kept[kept != 0], sparse[kept != 0])
    total = sum(np.asarray(quantiles(sparse, low, high)) for low, high in bands[2:])
    np.testing.assert_array_equal(total, sparse)  # no entry in two bands, none in no band
    np.testing.assert_array_equal(quantiles(0 * sparse, 0.7, 1.0), 0)


def test_numbers_that_are_none_are_refused_or_passed_on():
    good, bad = _clip(0, 60, 6), _clip(1, 60, 6)
    bad[7, 2] = np.nan
    for function, words in ((rpca, "^column 2 holds NaN"), (keep_quantiles, "^row 7 holds NaN")):
        with pytest.raises(UserError, match=words):
            function(bad)
    # Of traced clips, only the one with NaN is spoiled, and all of it.
    low_ranks, sparses = jax.jit(jax.vmap(rpca))(np.stack([good, bad]))
    assert np.isnan(low_ranks[1]).all() and np.isnan(sparses[1]).all()
    np.testing.assert_allclose(sparses[0], program(good)[1], atol=1e-4)
    noise = np.random.default_rng(4).normal(size=(20, 5)).astype(np.float32)
    spoiled = noise.copy()
    spoiled[[0, 3], [1, 2]] = np.nan, np.inf
    kept = np.asarray(jax.jit(keep_quantiles)(spoiled))
    fine = np.isfinite(spoiled)
    np.testing.assert_array_equal(kept[~fine], spoiled[~fine])
    np.testing.assert_array_equal(kept[fine], keep_quantiles(spoiled[fine]))


def test_the_progress_ends_at_one_and_changes_no_number():
    clip, shares = _clip(frames=12, pixels=400), []
    run = jax.jit(rpca, static_argnames="progress")
    for part, same in zip(run(clip, progress=lambda share: shares.append(float(share))), run(clip)):
        np.testing.assert_array_equal(part, same)
    jax.effects_barrier()
    assert max(shares) == 1 and min(shares) >= 0
    assert len(shares) == _reference(clip, 1 / np.sqrt(400))[2] + 1


@pytest.mark.parametrize("count", [10, 50, pytest.param(200_704, marks=pytest.mark.slow)])
def test_shares_are_of_whole_numbers(count):
    entries = np.random.default_rng(0).permutation(np.arange(1, count + 1, dtype=np.float32))
    ranks = lambda share: math.ceil(Fraction(share) * count)
    for tenth in range(10):
        low, high = f"{tenth / 10}", f"{(tenth + 1) / 10}"
        kept = keep_quantiles(entries, low=float(low), high=float(high))
        assert int((kept != 0).sum()) == ranks(high) - ranks(low)
