"""The synthetic faces as a database: the same everywhere, every option does what it says."""

import av
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from mer_jax import datasets
from mer_jax.datasets import identity, labels, synthetic
from mer_jax.errors import UserError

# The default seed's first clip: length and instants, and mean reds of 8 x 8 px blocks.
FIRST = (
    (37, 3, 22, 36),
    [
        [119.2, 137.5, 146.4, 132.0],
        [111.7, 134.5, 141.5, 123.5],
        [103.4, 108.1, 112.3, 116.7],
        [98.3, 91.9, 92.5, 99.5],
    ],
)
OFF = {"noise": 0.0, "flicker": 0.0, "drift": 0.0, "blinks": 0.0}


def gray(frames):
    return frames.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)


def test_the_same_seed_gives_the_same_clips_and_a_longer_list_begins_with_the_shorter():
    few = synthetic.scenes(subjects=1, clips_per_subject=2, seed=3)
    many = synthetic.scenes(subjects=2, clips_per_subject=4, seed=3)
    for a, b in zip(few, many):
        assert (a.name, a.emotion, a.action_units) == (b.name, b.emotion, b.action_units)
        np.testing.assert_array_equal(a.frames, b.frames)
        np.testing.assert_array_equal(a.landmarks, b.landmarks)
    other = synthetic.scenes(subjects=1, clips_per_subject=1, seed=4)[0]
    assert np.abs(gray(other.frames[0]) - gray(few[0].frames[0])).mean() > 5


def test_the_first_face_is_the_one_that_every_machine_draws():
    scene = synthetic.scenes(subjects=1, clips_per_subject=1, **OFF)[0]
    assert (scene.length, scene.onset, scene.apex, scene.offset) == FIRST[0]
    blocks = scene.frames[0].astype(np.float32).reshape(8, 8, 8, 8, 3).mean((1, 3))
    np.testing.assert_allclose(blocks[1::2, 2:6, 0], FIRST[1], atol=1)


def test_clips_are_ragged_and_well_formed():
    scenes = synthetic.scenes(subjects=2, clips_per_subject=8)
    assert len({scene.length for scene in scenes}) > 4
    assert len({scene.name for scene in scenes}) == 16
    for scene in scenes:
        assert 24 <= scene.length <= 40
        assert 0 <= scene.onset < scene.apex < scene.offset < scene.length
        assert scene.action_units in synthetic.EMOTIONS[scene.emotion]
    assert scenes[0].frames.shape == (scenes[0].length, 64, 64, 3)
    assert scenes[0].frames.dtype == np.uint8
    for subject in ("s01", "s02"):
        shown = [scene.emotion for scene in scenes if scene.subject == subject]
        assert sorted(shown[:4]) == sorted(shown[4:]) == sorted(set(shown))


@pytest.mark.slow
def test_vmap_is_the_loop():
    one, two = synthetic.scenes(subjects=2, clips_per_subject=1)
    size = {"size": (64, 64), "frames": 40}
    both = jax.tree.map(lambda a, b: jnp.stack([a, b]), *((s.face, s.take) for s in (one, two)))
    mapped = jax.vmap(lambda face, take: synthetic.render(face, take, **size))(*both)
    for row, scene in zip(mapped, (one, two)):
        alone = np.asarray(synthetic.render(scene.face, scene.take, **size)).astype(int)
        assert alone.shape == (40, 3, 64, 64)
        assert np.abs(np.asarray(row).astype(int) - alone).max() <= 1


@pytest.mark.slow
def test_the_apex_warped_back_by_the_true_flow_is_the_first_frame():
    options = OFF | {"drift": 1.0, "amplitude": (1.0, 2.0), "size": (160, 160)}
    for scene in synthetic.scenes(subjects=2, clips_per_subject=2, frames=(16, 16), **options):
        first, apex = gray(scene.frames[0]), gray(scene.frames[scene.apex])
        flow = scene.flow(scene.apex)
        rows, columns = np.indices(scene.size)
        places = [rows + flow[..., 1], columns + flow[..., 0]]
        inner = (slice(12, -12), slice(12, -12))
        left = np.abs(ndimage.map_coordinates(apex, places, order=3) - first)[inner]
        wrong = [rows - flow[..., 1], columns - flow[..., 0]]
        away = np.abs(ndimage.map_coordinates(apex, wrong, order=3) - first)[inner]
        still = np.abs(apex - first)[inner]
        assert left.mean() < 0.3 * still.mean() < 0.3 * away.mean()
        assert left.mean() < 1.0


def test_everything_off_is_one_picture_and_each_option_changes_it():
    still = {"subjects": 1, "clips_per_subject": 1, "amplitude": (0.0, 0.0)} | OFF
    base = synthetic.scenes(**still)[0].frames
    assert (base == base[0]).all()
    for name, value in {"noise": 0.01, "flicker": 0.05, "drift": 1.0, "blinks": 1.0}.items():
        frames = synthetic.scenes(**(still | {name: value}))[0].frames
        assert (frames != frames[0]).any(), name
        if name in ("drift", "blinks"):
            np.testing.assert_array_equal(frames[0], base[0], err_msg=name)
    moved = synthetic.scenes(**(still | {"amplitude": (1.0, 1.0)}))[0].frames
    assert (moved != base[0]).any()


def test_noise_and_flicker_are_of_the_size_that_was_asked_for():
    still = {"subjects": 1, "clips_per_subject": 1, "amplitude": (0.0, 0.0)} | OFF
    base = synthetic.scenes(**still)[0].frames.astype(np.float32) / 255
    noisy = synthetic.scenes(**(still | {"noise": 0.02}))[0].frames.astype(np.float32) / 255
    middle = (base > 0.1) & (base < 0.9)
    assert abs((noisy - base)[middle].std() - 0.02) < 0.001
    lit = synthetic.scenes(**(still | {"flicker": 0.1}))[0].frames.astype(np.float32) / 255
    ratio = (lit / np.maximum(base, 1e-3))[:, base[0] > 0.4].reshape(len(base), -1)
    ratio = np.median(ratio, axis=1)
    assert 0.05 < np.abs(ratio - 1).max() < 0.105
    assert np.abs(np.diff(ratio)).max() < 0.07


def test_a_blink_covers_the_eyes_and_nothing_else():
    still = {"subjects": 1, "clips_per_subject": 1, "amplitude": (0.0, 0.0)} | OFF
    scene = synthetic.scenes(**(still | {"blinks": 1.0}))[0]
    changed = (scene.frames != scene.frames[0]).any((0, 3))
    rows, columns = np.nonzero(changed)
    eyes = scene.landmarks[36:48]
    assert rows.min() > eyes[:, 1].min() - 4 and rows.max() < eyes[:, 1].max() + 4
    assert columns.min() > eyes[:, 0].min() - 4 and columns.max() < eyes[:, 0].max() + 4
    center = eyes[:6].mean(0).round().astype(int)
    pupil = gray(scene.frames)[:, center[1], center[0]]
    assert pupil.max() - pupil[0] > 30  # skin where the pupil was
    share = synthetic.scenes(subjects=4, clips_per_subject=10, blinks=0.25)
    assert 3 <= sum(bool(scene.take.blink[1]) for scene in share) <= 18


def test_grey_is_the_colour_picture_weighted():
    options = {"subjects": 1, "clips_per_subject": 1} | OFF
    color = synthetic.scenes(**options)[0].frames
    plain = synthetic.scenes(gray=True, **options)[0].frames
    assert plain.shape == (*color.shape[:3], 1)
    assert np.abs(gray(color) - plain[..., 0]).max() <= 0.501


@pytest.mark.slow
def test_a_larger_frame_shows_the_same_face_and_moves_it_farther():
    small = synthetic.scenes(subjects=1, clips_per_subject=1, **OFF)[0]
    large = synthetic.scenes(subjects=1, clips_per_subject=1, size=(128, 160), **OFF)[0]
    longest = [np.linalg.norm(s.flow(s.apex), axis=-1).max() for s in (small, large)]
    assert longest[1] / longest[0] == pytest.approx(2, rel=0.03)
    middle = [np.array([31.5, 31.5]), np.array([79.5, 63.5])]
    np.testing.assert_allclose(
        (large.landmarks - middle[1]) / 2, small.landmarks - middle[0], atol=1e-3
    )


def test_landmarks_lie_on_the_features():
    for scene in synthetic.scenes(subjects=8, clips_per_subject=1, **OFF):
        picture, marks = gray(scene.frames[0]), scene.landmarks

        def at(x, y, picture=picture):
            return ndimage.map_coordinates(picture, [[y], [x]], order=1)[0]

        assert marks.shape == (68, 2) and marks.dtype == np.float32
        assert (marks > 0).all() and (marks < 63).all()
        cheek = at(*(marks[[31, 36, 48]].mean(0)))
        for eye in (marks[36:42], marks[42:48]):
            assert at(*eye.mean(0)) < 0.85 * cheek  # the pupil
        mouth = np.mean([at(*m) for m in marks[61:64]])
        assert mouth < np.mean([at(*m) for m in marks[[50, 52, 56, 58]]])
        for brow in (marks[17:22], marks[22:27]):  # hair, darker or not, is no skin
            x, y = brow.round().astype(int).T
            on, above, below = (scene.frames[0, y + d, x].mean(0) for d in (0, -3, 3))
            assert np.abs(on - 0.5 * (above + below)).max() > 4
        out = marks[2:15] - marks[30]  # the jaw: the picture changes across it
        out *= 2 / np.linalg.norm(out, axis=1, keepdims=True)
        (xi, yi), (xo, yo) = ((marks[2:15] + d).round().astype(int).T for d in (-out, out))
        apart = np.abs(scene.frames[0, yi, xi].astype(int) - scene.frames[0, yo, xo]).max(-1)
        assert (apart[[0, 1, 2, 3, 9, 10, 11, 12]] > 8).all()
        assert (apart[4:9] > 3).sum() >= 4  # chin and neck may be alike at one place


def test_landmarks_are_in_the_order_of_ibug():
    marks = synthetic.scenes(subjects=1, clips_per_subject=1)[0].landmarks
    pairs = [(i, 16 - i) for i in range(9)] + [(17 + i, 26 - i) for i in range(5)]
    pairs += [(36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46), (31, 35), (32, 34)]
    pairs += [(48, 54), (49, 53), (50, 52), (59, 55), (58, 56), (60, 64), (61, 63), (67, 65)]
    for left, right in pairs:
        np.testing.assert_allclose(marks[left] + marks[right], [63, 2 * marks[left, 1]], atol=1e-3)
        assert marks[left, 0] <= marks[right, 0]
    assert (np.diff(marks[1:16, 0]) > 0).all() and (np.diff(marks[17:27, 0]) > 0).all()
    assert (np.diff(marks[27:31, 1]) > 0).all()
    assert (np.diff(marks[48:55, 0]) > 0).all() and (np.diff(marks[54:60, 0]) < 0).all()
    assert marks[37, 1] < marks[41, 1] and marks[51, 1] < marks[62, 1] < marks[57, 1]
    order = [19, 37, 30, 33, 51, 57, 8]  # brow, eye, nose, lips, chin
    assert (np.diff(marks[order, 1]) > 0).all()


@pytest.mark.slow
def test_the_appearance_leak_tells_a_subjects_emotions_apart_and_moves_nothing():
    options = {"subjects": 2, "clips_per_subject": 8} | OFF
    plain = synthetic.scenes(**options)
    leaky = synthetic.scenes(appearance_leak=1.0, **options)
    for a, b in zip(plain, leaky):
        np.testing.assert_allclose(a.flow(a.apex), b.flow(b.apex), atol=1e-5)
        np.testing.assert_array_equal(a.landmarks, b.landmarks)
    for subject in ("s01", "s02"):
        first = [s.frames[0] for s in plain if s.subject == subject]
        assert all((f == first[0]).all() for f in first)
        cues = {}
        for scene in leaky:
            if scene.subject == subject:
                cues.setdefault(scene.emotion, []).append(scene.frames[0].astype(int))
        for emotion, (a, b) in cues.items():
            np.testing.assert_array_equal(a, b)
            others = [c[0] for name, c in cues.items() if name != emotion]
            assert all(np.abs(a - c).mean() > 0.5 for c in others)
    # A new subject's cues are others: the same emotion shifts the colours differently.
    shift = {}
    for a, b in zip(plain, leaky):
        change = b.frames[0].astype(int) - a.frames[0]
        shift.setdefault(a.emotion, {})[a.subject] = change[20:44, 20:44].mean((0, 1))
    apart = [np.abs(by["s01"] - by["s02"]).max() for by in shift.values()]
    assert min(apart) > 1


def test_the_classes_of_megc2019():
    labelled = labels.label("megc2019", synthetic.clips(subjects=2, clips_per_subject=4))
    assert len(labelled.clips) == 8
    emotions = synthetic.clips(subjects=1, clips_per_subject=9, emotions=tuple(synthetic.EMOTIONS))
    assert {clip.emotion for clip in emotions} == set(synthetic.EMOTIONS)


def test_load_gives_clips():
    (clip,) = datasets.load("synthetic", subjects=1, clips_per_subject=1, seed=5)
    (scene,) = synthetic.scenes(subjects=1, clips_per_subject=1, seed=5)
    assert clip.key == f"synthetic/s01/{scene.name}" and clip.fps == 100
    assert (clip.onset, clip.apex, clip.offset) == (scene.onset, scene.apex, scene.offset)
    assert (clip.emotion, clip.action_units) == (scene.emotion, scene.action_units)
    np.testing.assert_array_equal(clip.frames, scene.frames)
    np.testing.assert_array_equal(clip.landmarks, scene.landmarks)


@pytest.mark.parametrize(
    "wrong, says",
    [
        ({"emotions": ("happines",)}, "did you mean 'happiness'"),
        ({"emotions": ()}, "emotions"),
        ({"amplitude": (2.0, 1.0)}, "amplitude"),
        ({"frames": (40, 24)}, "frames"),
        ({"size": (8, 64)}, "size"),
        ({"subjects": 0}, "subjects is 0"),
        ({"appearance_leak": 2.0}, "appearance_leak"),
    ],
)
def test_a_wrong_option_is_one_sentence(wrong, says):
    with pytest.raises(UserError, match=says):
        synthetic.scenes(**wrong)


@pytest.mark.parametrize("ending", [".mp4", ".webm"])
def test_a_video_holds_the_frames(tmp_path, ending):
    scene = synthetic.scenes(subjects=1, clips_per_subject=1, noise=0.0)[0]
    path = synthetic.video(tmp_path / f"clip{ending}", scene)
    assert [p.name for p in tmp_path.iterdir()] == [f"clip{ending}"]
    with av.open(str(path)) as film:
        assert film.streams.video[0].average_rate == scene.fps
        frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert len(frames) == scene.length
    assert np.abs(np.stack(frames).astype(int) - scene.frames).mean() < 6


def test_a_video_needs_an_ending_that_is_known(tmp_path):
    scene = synthetic.scenes(subjects=1, clips_per_subject=1)[0]
    with pytest.raises(UserError, match="mp4"):
        synthetic.video(tmp_path / "clip.mov", scene)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        synthetic.video(tmp_path / "file" / "clip.mp4", scene)


def test_a_digest_tells_what_is_rendered_and_renders_nothing(monkeypatch):
    make = lambda **options: synthetic.clips(subjects=1, clips_per_subject=2, **options)
    clips = [*make(), *make(size=(32, 32)), *make(gray=True), *make(noise=0.01), *make(seed=1)]
    monkeypatch.setattr(synthetic, "render", None)
    digests = [identity.digest(clip) for clip in clips]
    assert len({*digests}) == len(clips) and digests[:2] == [*map(identity.digest, make())]
