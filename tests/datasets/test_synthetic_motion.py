"""The synthetic faces' motion: its fields, its course in time, and the true flow."""

import functools

import jax
import numpy as np
import pytest

from mer_jax.datasets import synthetic
from mer_jax.datasets.synthetic import expressions, face, motion
from mer_jax.errors import UserError

ALL = tuple(synthetic.EMOTIONS)
_landmarks = jax.jit(face.landmarks)
_displacement = jax.jit(expressions.displacement)
_source = jax.jit(motion.source)


@functools.cache
def people():
    return [jax.jit(face.sample)(jax.random.key(seed)) for seed in range(3)]


@pytest.fixture(scope="module")
def strong():
    """Every emotion at the largest amplitude, with drift."""
    return synthetic.scenes(
        subjects=3, clips_per_subject=9, emotions=ALL, amplitude=(2.5, 2.5), drift=1.0, seed=2
    )


def move(person, units, marks):
    """What a combination of units does to some landmarks, [n, 2]."""
    where = np.asarray(_landmarks(person))[np.atleast_1d(marks)].T
    return np.asarray(_displacement(person, expressions.strengths(units), where)).T


# unit: a landmark of the image's right half that it moves, and where to (0: does not matter)
MOVES = {
    1: (22, 0, -1),
    2: (25, 0, -1),
    4: (22, -1, 1),
    5: (43, 0, -1),
    6: (46, 0, -1),
    7: (46, 0, -1),
    9: (35, 0, -1),
    10: (52, 0, -1),
    12: (54, 1, -1),
    14: (54, 1, 0),
    15: (54, 0, 1),
    17: (57, 0, -1),
    20: (54, 1, 1),
    23: (54, -1, 0),
    24: (52, 0, 1),
    25: (57, 0, 1),
    26: (8, 0, 1),
}
UPPER = (1, 2, 4, 5, 6, 7)


@pytest.mark.parametrize("unit", expressions.UNITS)
def test_a_unit_moves_its_own_part_of_the_face(unit):
    mark, right, down = MOVES[unit]
    for person in people():
        ((dx, dy),) = move(person, str(unit), mark)
        length = np.hypot(dx, dy)
        assert 0.3 < length < 1.7
        for way, moved in ((right, dx), (down, dy)):
            assert way == 0 or way * moved > 0.2 * length
        elsewhere = move(person, str(unit), [57, 8, 4] if unit in UPPER else [19, 24, 0, 16])
        if unit != 9:  # which lowers the brows a little
            assert np.abs(elsewhere).max() < 0.1


def test_both_sides_mirror_each_other_and_one_side_stays_on_it():
    for person in people():
        left, right = move(person, "6+12", [48, 54])
        np.testing.assert_allclose(left * [-1, 1], right, atol=1e-5)
        left, right = np.linalg.norm(move(person, "L12", [48, 54]), axis=1)
        assert left < 0.05 * right  # the subject's left is the image's right
        left, right = np.linalg.norm(move(person, "R12", [48, 54]), axis=1)
        assert right < 0.05 * left


def test_strengths_of_a_combination():
    row = {unit: i for i, unit in enumerate(expressions.UNITS)}
    both = expressions.strengths("6+12")
    assert both.sum() == 4 and (both[[row[6], row[12]]] == 1).all()
    assert expressions.strengths("L12+R4").sum() == 2
    assert expressions.strengths("L12")[row[12]].tolist() == [0, 1]
    for shown in synthetic.EMOTIONS.values():
        assert all(expressions.strengths(units).any() for units in shown)


def test_the_field_is_the_sum_of_its_bumps():
    rng = np.random.default_rng(0)
    where = rng.uniform(-1, 1, (2, 40))
    strength = rng.uniform(0, 1, (len(expressions.UNITS), 2))
    person = people()[0]
    site = {name: np.array(at, float) for name, at in expressions.sites(person).items()}
    expected = np.zeros((2, 40))
    for (left, right), bumps in zip(strength, expressions.UNITS.values()):
        for name, sx, sy, out, down in bumps:
            for side, power in ((-1, left), (1, right)):
                dx, dy = where[0] - side * site[name][0], where[1] - site[name][1]
                near = np.exp(-(dx**2) / (2 * sx**2) - dy**2 / (2 * sy**2))
                expected += power * np.array([[side * out], [down]]) * near
    got = _displacement(person, strength.astype(np.float32), where.astype(np.float32))
    np.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("amplitude", [(0.3, 2.0), (1.0, 1.0)])
def test_the_longest_displacement_is_within_the_amplitude(amplitude):
    options = {"amplitude": amplitude, "drift": 0.0, "emotions": ALL}
    peaks = []
    for scene in synthetic.scenes(subjects=1, clips_per_subject=9, **options):
        # 128 x 128 samples the face finely enough to meet the peak
        flow = synthetic.flow(scene.face, scene.take, 0, scene.apex, size=(128, 128))
        peaks.append(np.linalg.norm(flow, axis=-1).max() / 2)
        rest = scene.flow(scene.offset)
        assert np.abs(rest).max() < 1e-3
    assert min(peaks) > 0.97 * amplitude[0] and max(peaks) < 1.01 * amplitude[1]
    if amplitude[0] < amplitude[1]:
        assert max(peaks) - min(peaks) > 0.8


def test_the_profile_rises_to_the_apex_and_falls_to_the_offset(strong):
    for scene in strong[:9]:
        t = np.arange(scene.length, dtype=np.float32)
        shown = np.asarray(motion.profile(scene.take, t))
        assert (shown[: scene.onset + 1] == 0).all() and (shown[scene.offset :] == 0).all()
        assert shown[scene.apex] == 1 and shown.argmax() == scene.apex
        assert (np.diff(shown[scene.onset : scene.apex + 1]) > 0).all()
        assert (np.diff(shown[scene.apex : scene.offset + 1]) < 0).all()
        # smooth: no step of more than twice the mean speed of the shorter side
        shorter = min(scene.apex - scene.onset, scene.offset - scene.apex)
        assert np.abs(np.diff(shown)).max() < 2.2 / shorter


@pytest.mark.slow
def test_the_flow_lands_on_the_same_skin_to_a_hundredth_of_a_pixel(strong):
    height, width = 64, 64
    rows, columns = np.indices((height, width), np.float32)
    pixels = np.stack([columns, rows]) - 31.5
    scale = motion.scale((height, width))
    for scene in strong[::2]:  # every emotion once or twice
        for start, end in ((0, scene.apex), (scene.onset, scene.apex), (scene.apex, 3)):
            flow = np.moveaxis(scene.flow(end, start), -1, 0)
            skin = _source(scene.face, scene.take, np.float32(start), pixels / scale)
            there = _source(scene.face, scene.take, np.float32(end), (pixels + flow) / scale)
            assert np.abs(np.asarray(skin) - np.asarray(there)).max() * scale < 0.01


def test_the_flow_by_a_fixed_point_in_numpy():
    """u = D(x + u) by iteration: what the motion module solves with Newton's method."""
    scene = synthetic.scenes(subjects=1, clips_per_subject=1, amplitude=(1.0, 1.0), drift=0.0)[0]
    scale = motion.scale(scene.size)
    flow = scene.flow(scene.apex)
    whole = np.array([[20, 30], [32, 44], [40, 45], [31, 20]])
    at = (whole.T - 31.5).astype(np.float32) / scale
    moved = at
    for _ in range(60):
        moved = at + np.asarray(_displacement(scene.face, scene.take.strength, moved))
    np.testing.assert_allclose(flow[whole[:, 1], whole[:, 0]].T, (moved - at) * scale, atol=1e-3)


def test_nothing_folds_at_the_largest_amplitude(strong):
    where = np.stack(np.meshgrid(np.linspace(-1, 1, 201), np.linspace(-1.2, 1.2, 241)))
    where = where.astype(np.float32)
    for scene in strong:
        rest = np.asarray(_source(scene.face, scene.take, np.float32(scene.apex), where))
        dy, dx = np.gradient(rest, 0.01, axis=(1, 2))
        assert (dx[0] * dy[1] - dx[1] * dy[0]).min() > 0.1


@pytest.mark.slow
def test_the_head_drifts_slowly_and_within_its_bound():
    quiet = {"amplitude": (0.0, 0.0), "subjects": 3, "clips_per_subject": 4}
    for scene in synthetic.scenes(drift=1.0, **quiet):
        still = scene.flow(scene.length - 1, 0)
        middle = still[31:33, 31:33].mean((0, 1))
        assert 0 < np.abs(middle).max() <= 1.0
        reach = np.hypot(*(np.indices((64, 64)) - 31.5)) / motion.scale((64, 64))
        bound = np.sqrt(2) * (1.0 + 0.55 * reach)
        assert (np.linalg.norm(still, axis=-1) < bound).all()
        # a similarity: the same 2 x 2 matrix everywhere, a turn times a growth
        ux, uy = np.gradient(still, axis=(1, 0))
        np.testing.assert_allclose(ux[..., 0], uy[..., 1], atol=1e-4)
        np.testing.assert_allclose(ux[..., 1], -uy[..., 0], atol=1e-4)
        assert np.ptp(ux[..., 0]) < 2e-4
        step = scene.flow(11, 10)
        assert np.abs(step).max() < 0.25
    for scene in synthetic.scenes(drift=0.0, **quiet):
        assert np.abs(scene.flow(scene.length - 1, 0)).max() < 1e-4


def test_a_blink_lasts_as_many_frames_as_the_rate_says():
    frames = {}
    for fps in (100.0, 200.0):
        (scene,) = synthetic.scenes(
            subjects=1, clips_per_subject=1, blinks=1.0, fps=fps, frames=(90, 90)
        )
        shut = np.asarray(motion.closed(scene.take, np.arange(300, dtype=np.float32)))
        assert shut[0] == 0 and shut[-1] == 0 and 0.95 < shut.max() <= 1
        frames[fps] = (shut > 0.5).sum()
    assert frames[200.0] == pytest.approx(2 * frames[100.0], abs=2)


def test_an_emotion_has_to_be_known():
    with pytest.raises(UserError, match=r"unknown data\.emotions"):
        synthetic.scenes(emotions=("joy",))
