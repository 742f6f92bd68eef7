"""MDMO against its definition as loops over pixels, and its regions against scikit-image."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage.measure import points_in_poly

from mer_jax.datasets import synthetic
from mer_jax.descriptors import mdmo
from mer_jax.descriptors.mdmo import aligned, inside, regions
from mer_jax.errors import UserError

SIZE = (48, 40)
masks_of = jax.jit(inside, static_argnums=(1, 2))


@pytest.fixture(scope="module")
def scene():
    return synthetic.scenes(subjects=1, clips_per_subject=1, size=SIZE, frames=(8, 8))[0]


def test_regions_of_a_symmetric_face_are_mirror_images(scene):
    middle = scene.landmarks[27:31, 0].mean()
    across = [2 * middle, 0] + [-1, 1] * scene.landmarks[mirrored_by_name()]
    symmetric = (scene.landmarks + across) / 2
    corners = np.asarray(jax.jit(regions)(symmetric.astype(np.float32)))
    assert corners.shape == (36, 4, 2)
    turned = np.stack([2 * middle - corners[18:, :, 0], corners[18:, :, 1]], axis=-1)
    np.testing.assert_allclose(corners[:18], turned, atol=1e-3)


def mirrored_by_name():
    """iBUG's order told again: parts as they run over the face, left to right and back."""
    pairs = [(i, 16 - i) for i in range(17)] + [(17 + i, 26 - i) for i in range(10)]
    pairs += [(i, i) for i in range(27, 31)] + [(31 + i, 35 - i) for i in range(5)]
    pairs += [(36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)]
    pairs += [(b, a) for a, b in pairs[-6:]]
    pairs += [(48, 54), (49, 53), (50, 52), (51, 51), (52, 50), (53, 49), (54, 48)]
    pairs += [(55, 59), (56, 58), (57, 57), (58, 56), (59, 55)]
    pairs += [(60, 64), (61, 63), (62, 62), (63, 61), (64, 60), (65, 67), (66, 66), (67, 65)]
    return np.array([b for _, b in sorted(pairs)])


def test_pixels_inside_are_scikit_images(scene):
    corners = np.asarray(jax.jit(regions)(scene.landmarks))
    masks = np.asarray(masks_of(corners, *SIZE))
    y, x = np.indices(SIZE)
    points = np.stack([x.ravel(), y.ravel()], axis=-1)
    for mask, polygon in zip(masks, corners):
        np.testing.assert_array_equal(mask.ravel(), points_in_poly(points, polygon))
    assert masks.any((1, 2)).all()
    assert masks.sum(0).max() == 1  # neighbours share no pixel


def aligned_by_lstsq(flow, landmarks):
    rigid = landmarks[[0, 1, 2, 3, 4, 5, 11, 12, 13, 14, 15, 16, 30]].astype(np.float64)
    height, width = flow.shape[:2]
    moved = np.array(
        [
            flow[min(max(round(y), 0), height - 1), min(max(round(x), 0), width - 1)]
            for x, y in rigid.tolist()
        ]
    )
    one = lambda points: np.concatenate([points, np.ones((len(points), 1))], axis=1)
    affine = np.linalg.lstsq(one(rigid + moved), rigid, rcond=None)[0]
    out = np.zeros(flow.shape)
    for y in range(height):
        for x in range(width):
            there = np.array([x, y]) + flow[y, x]
            out[y, x] = one(there[None])[0] @ affine - [x, y]
    return out


def by_loop(flows, landmarks, align):
    masks = np.asarray(masks_of(jax.jit(regions)(landmarks), *flows.shape[1:3]))
    found = np.zeros((len(flows), 36, 2))
    for t, flow in enumerate(flows.astype(np.float64)):
        flow = aligned_by_lstsq(flow, landmarks) if align and flow.any() else flow
        for k, mask in enumerate(masks):
            sectors = [[] for _ in range(8)]
            for y, x in np.argwhere(mask):
                u, v = flow[y, x]
                if math.hypot(u, v) < 1e-4:
                    continue
                angle = math.atan2(v, u)
                sector = round(angle / (math.pi / 4))
                bend = angle - sector * math.pi / 4
                sectors[sector % 8].append((math.hypot(u, v), bend))
            main = max(range(8), key=lambda s: len(sectors[s]))
            if sectors[main]:
                length, bend = np.mean(sectors[main], axis=0)
                angle = main * math.pi / 4 + bend
                found[t, k] = length * math.cos(angle), length * math.sin(angle)
    lengths = np.hypot(found[..., 0], found[..., 1]).sum(1)
    total = np.zeros((36, 2))
    for length, vectors in zip(lengths, found):
        total += vectors * length / max(lengths.sum(), 1e-30)
    lengths = np.hypot(total[:, 0], total[:, 1])
    return np.concatenate([lengths / lengths.max(), np.arctan2(total[:, 1], total[:, 0])])


@pytest.fixture(scope="module")
def flows(scene):
    true = np.stack([scene.flow(t) for t in range(0, 8, 2)])
    noise = np.random.default_rng(0).standard_normal(true.shape)
    return (true + 0.2 * noise * (np.arange(4) > 0)[:, None, None, None]).astype(np.float32)


@pytest.mark.parametrize("align", [False, True])
def test_it_is_the_loop(scene, flows, align):
    found = jax.jit(lambda f, p: mdmo(f, p, align=align))(flows, scene.landmarks)
    assert found.dtype == jnp.float32 and found.shape == (72,)
    found, expected = np.asarray(found), by_loop(flows, scene.landmarks, align)
    np.testing.assert_allclose(found[:36], expected[:36], atol=1e-4)
    turn = np.abs(np.angle(np.exp(1j * (found[36:] - expected[36:]))))
    assert turn.max() < 1e-3


def test_a_direction_on_both_sides_of_pi_is_not_averaged_to_zero(scene):
    flow = np.zeros((1, *SIZE, 2), np.float32)
    flow[..., 0] = -1
    flow[..., 1] = 0.1 * np.sign(np.indices(SIZE).sum(0) % 2 - 0.5)
    found = np.asarray(jax.jit(lambda f, p: mdmo(f, p, align=False))(flow, scene.landmarks))
    assert np.abs(np.abs(found[36:]) - np.pi).max() < 0.1


def test_the_heads_own_motion_is_taken_out(scene):
    """Head and face together: the head's map goes, the face's motion stays, turned back."""
    y, x = np.indices(SIZE)
    turn = np.array([[0.01, -0.02], [0.02, 0.01]])
    head = np.stack([x, y], axis=-1) @ turn.T + [0.5, -0.3]
    face = np.random.default_rng(0).uniform(-1, 1, (*SIZE, 2))
    column, row = scene.landmarks[[*range(6), *range(11, 17), 30]].round().astype(int).T
    face[row.clip(0, SIZE[0] - 1), column.clip(0, SIZE[1] - 1)] = 0
    found = jax.jit(aligned)((head + face).astype(np.float32), scene.landmarks)
    expected = face @ np.linalg.inv(np.eye(2) + turn).T
    # A landmark takes its nearest pixel's flow, so that the fit is off by some hundredths of a px.
    np.testing.assert_allclose(found, expected, atol=0.03)
    still = np.zeros((*SIZE, 2), np.float32)
    assert not jax.jit(aligned)(still, scene.landmarks).any()


def test_landmarks_of_another_scheme_are_refused():
    with pytest.raises(UserError, match=r"landmarks of shape \(5, 2\): expected \[68, 2\]"):
        mdmo(jnp.zeros((2, 20, 20, 2)), jnp.zeros((5, 2)))


def test_rounding_is_no_motion(scene, flows):
    points = np.asarray(scene.landmarks)
    describe = jax.jit(lambda flows: mdmo(flows, points))
    noise = (1e-6 * np.random.default_rng(1).standard_normal(flows.shape)).astype(np.float32)
    np.testing.assert_array_equal(describe(noise), 0)
    np.testing.assert_array_equal(describe(noise + np.float32([3, -2])), 0)  # the head alone
    assert describe(1e3 * noise)[:36].max() == pytest.approx(1)
    # Regions that stand still beside one that moves: no length and no direction.
    some = noise.copy()
    some[1:, :, : SIZE[1] // 3] += flows[1:, :, : SIZE[1] // 3]
    loop = by_loop(some, points, align=False)
    found = np.asarray(jax.jit(lambda f: mdmo(f, points, align=False))(some))
    np.testing.assert_allclose(found[:36], loop[:36], atol=1e-4)
    still = loop[:36] == 0
    assert 5 < still.sum() < 36 and not found[36:][still].any()


def test_padding_reaches_no_number_and_no_gradient(scene, flows):
    points = np.asarray(scene.landmarks)
    padded = np.concatenate([flows, np.full_like(flows[:2], np.nan)])
    describe = jax.jit(lambda f, n: mdmo(f, points, length=n))
    np.testing.assert_allclose(describe(padded, 4), describe(flows, 4), atol=1e-5)
    gradient = jax.jit(jax.grad(lambda f: jnp.sum(mdmo(f, points, length=4) ** 2)))
    found = np.asarray(gradient(padded))
    assert np.isfinite(found).all() and found[:4].any() and not found[4:].any()
