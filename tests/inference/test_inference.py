"""From a finished run and a video to probabilities over time."""

import json
import pathlib
import shutil

import cv2
import jax
import jax.numpy as jnp
import msgspec
import numpy as np
import pytest
from scipy import ndimage

from mer_jax import configuration, faces, inference, metrics
from mer_jax.clips import Clip, in_memory
from mer_jax.datasets import load
from mer_jax.errors import UserError
from mer_jax.inference import profile, trained
from mer_jax.inference.predictor import _runs_longer_than, clip_of
from mer_jax.inference.tracking import FaceTracker, prefetch
from mer_jax.video import magnify
from tests.tiny_run import tiny_run


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return tiny_run(tmp_path_factory)


@pytest.fixture(scope="module")
def predictor(workdir):
    return inference.load(workdir)


@pytest.fixture(scope="module")
def own():
    """The run's own clips."""
    return load("synthetic", subjects=3, clips_per_subject=4, frames=(8, 12), size=(40, 40))


@pytest.mark.parametrize(
    "model_selection", ("last", pytest.param("best_test", marks=pytest.mark.e2e))
)
def test_a_fold_says_of_its_test_clips_what_the_run_said(tmp_path_factory, own, model_selection):
    """With the fold's own network, of the chosen epoch, and its own statistics."""
    workdir = tiny_run(tmp_path_factory, model_selection=model_selection)
    scored = metrics.read(workdir / "predictions.csv")
    for clip in (own[1], own[10]):
        result = inference.load(workdir, fold=clip.subject_key).predict_video(
            clip.frames, clip.fps, window=len(clip.frames), threshold=0.0, eye_detector=None
        )
        expected = scored.probabilities[scored.keys.index(clip.key)]
        np.testing.assert_allclose(result.probabilities, expected[None], rtol=1e-4, atol=1e-5)
        assert not result.std.any()


def test_the_mean_is_over_all_folds(predictor, own):
    clip = own[2]
    result = predictor.predict_video(clip.frames, clip.fps, threshold=0.0, eye_detector=None)
    assert predictor.networks.folds == ("synthetic/s01", "synthetic/s02", "synthetic/s03")
    shown = [clip.frames[a:b] for a, b in zip(result.start, result.stop)]
    again = [
        Clip("d", "s", "n", in_memory(frames), "", apex=int(apex))
        for frames, apex in zip(shown, result.apex - result.start)
    ]
    each = predictor.networks.probabilities(again)
    assert each.shape[0] == 3 and each.std(0).max() > 1e-4
    np.testing.assert_allclose(result.probabilities, each.mean(0), atol=1e-5)
    np.testing.assert_allclose(result.std, each.std(0), atol=1e-5)
    np.testing.assert_allclose(result.probabilities.sum(1), 1, atol=1e-5)
    assert set(result.labels) <= set(result.classes)


def test_where_nothing_moves_no_emotion_is_told(predictor):
    frame = load("synthetic", subjects=1, clips_per_subject=1, size=(120, 100))[0].frames[0]
    rng = np.random.default_rng(0)
    noisy = np.clip(frame + rng.normal(0, 3, (30, *frame.shape)), 0, 255).astype(np.uint8)
    for frames in (frame[None], np.repeat(frame[None], 30, 0), noisy):
        result = predictor.predict_video(frames, 100.0, total=len(frames))
        assert set(result.labels) == {"no movement"}
        assert np.isnan(result.probabilities).all() and np.isnan(result.std).all()
        assert (result.movement < result.threshold).all()
        assert "no movement" in result.summary() and "certain" not in result.summary()
    with_marks = predictor.predict_video(noisy, 100.0, onset=3, apex=8)
    assert with_marks.labels == ["no movement"]
    row = with_marks.csv().splitlines()[2].split(",")
    assert row[:7] == ["0.0300", "0.1400", "0.0800", "3", "14", "8", "no movement"]
    assert row[9:] == [""] * 6


def test_what_cannot_be_told(predictor, own):
    frames = own[0].frames
    spoiled = frames / np.float32(255)
    spoiled[3, 0, 0] = np.nan
    for given, labels in (
        ({"frames": frames[:3]}, "3 frames from frame 0 on are too few, and 5 are needed"),
        ({"frames": frames, "fps": 0.0}, "the frame rate is not known"),
        ({"frames": frames, "apex": 3}, "needs the onset"),
        ({"frames": frames, "onset": 5, "apex": 3}, "onset 5, apex 3, offset 1: .* in the order"),
        ({"frames": frames, "onset": 2.5}, "onset is 2.5; it must be a frame number"),
        ({"frames": frames, "onset": 3, "offset": 3}, "nothing moves in one frame"),
        ({"frames": frames, "onset": 3, "apex": 80}, "are too few, and 78 are needed"),
        ({"frames": frames, "onset": 3, "offset": 500}, "are too few, and 498 are needed"),
        ({"frames": frames, "onset": 99}, "0 frames from frame 99 on are too few"),
        (
            {"frames": np.zeros((12, 60, 60, 3), np.uint8), "eye_detector": inference.find_eyes},
            "no face",
        ),
        ({"frames": frames, "stride": -1}, "its stride at least one"),
        ({"frames": frames[..., :2]}, r"\[H, W, C\], C = 1 .gray. or 3"),
        ({"frames": frames.astype(np.float32)}, "divide them by 255"),
        ({"frames": frames.astype(int)}, "dtype int64"),
        ({"frames": spoiled}, "frame 3 holds NaN or infinity"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=labels):
            predictor.predict_video(**{"fps": 100.0, "eye_detector": None, **given})


def test_the_dtype_of_the_frames_does_not_matter(predictor, own):
    frames, options = own[0].frames, dict(threshold=0.0, eye_detector=None)
    plain = predictor.predict_video(frames, 100.0, **options)
    for same in (np.float32(frames) / 255, frames / 255, frames.astype(np.uint16) * 257):
        found = predictor.predict_video(same, 100.0, **options)
        np.testing.assert_allclose(found.probabilities, plain.probabilities, atol=1e-6)


@pytest.mark.parametrize(
    "length,stride,every", ((5, 1, 7), (5, 3, 2), (8, 2, 100), (8, 7, 3), (6, 9, 9), (1, 1, 3))
)
def test_windows_against_slices(predictor, length, stride, every):
    film = np.random.default_rng(1).integers(0, 256, (23, 40, 40, 3), np.uint8)
    tracker = FaceTracker(
        predictor.profile, length=length, stride=stride, every=every, eye_detector=None
    )
    found = list(tracker.windows(film))
    last = 23 - length  # the last window ends with the film, whatever the stride
    assert [each.start for each in found] == sorted({*range(0, last + 1, stride), last})
    for start, frames in found:
        np.testing.assert_array_equal(frames, film[start : start + length])


def test_windows_of_one_frame_come_while_the_film_is_read(predictor):
    film, read = np.zeros((40, 40, 40, 3), np.uint8), []
    tracker = FaceTracker(predictor.profile, length=1, stride=1, every=5, eye_detector=None)
    windows = tracker.windows(read.append(n) or frame for n, frame in enumerate(film))
    assert next(windows).start == 0 and len(read) <= 6


def test_a_face_is_placed_as_in_the_runs_own_clips(predictor):
    (clip,) = load("synthetic", subjects=1, clips_per_subject=1, frames=(8, 8), size=(160, 160))
    eyes = np.asarray(faces.eye_centers(clip.landmarks))
    as_here = msgspec.structs.replace(predictor.profile, eyes=profile._constants(eyes, 160, 160))
    padded = np.pad(clip.frames, ((0, 0), (30, 10), (50, 0), (0, 0)), "edge")
    there = eyes + np.array([50, 30])
    tracker = FaceTracker(
        as_here, length=8, stride=1, every=100, eye_detector=lambda frame: there[None]
    )
    (window,) = tracker.windows(padded)
    smooth = ndimage.gaussian_filter(clip.frames.astype(float), (0, 2, 2, 0), mode="mirror")
    expected = smooth.reshape(8, 40, 4, 40, 4, 3).mean((2, 4))
    assert np.abs(window.frames - expected).mean() < 0.6
    corners = tracker.face_boxes[0].corners
    np.testing.assert_allclose(
        corners, [[49.5, 29.5], [209.5, 29.5], [209.5, 189.5], [49.5, 189.5]], atol=0.5
    )
    # The run's own constants put the eyes of its median clip where they are.
    along, below, height, width = predictor.profile.eyes
    middle = np.array([along + 0.5, below]) * 40 / width - 1
    own = load("synthetic", subjects=3, clips_per_subject=4, size=(40, 40))
    seen = np.median([np.asarray(faces.eye_centers(c.landmarks)).mean(0) for c in own], 0)
    assert height == width and np.abs(middle - seen).max() < 0.5


def test_windows_without_a_face_are_told_so(predictor, own):
    film = np.concatenate(
        [np.repeat(own[0].frames[:1], 20, 0), np.zeros((20, 40, 40, 3), np.uint8)]
    )
    eyes = np.asarray(faces.eye_centers(own[0].landmarks))
    result = predictor.predict_video(
        film, 20.0, window=10, stride=10, eye_detector=lambda f: eyes[None][: int(f.any())]
    )
    assert result.labels == ["no movement", "no movement", "no face", "no face"]
    assert result.face_boxes[0].corners.shape == (4, 2)
    assert [box.start for box in result.face_boxes if box.corners is None] == [20, 25, 30, 35]
    crossing = predictor.predict_video(
        film, 20.0, window=10, stride=8, eye_detector=lambda f: eyes[None][: int(f.any())]
    )
    assert crossing.labels == ["no movement", "no movement", "face lost", "no face", "no face"]


def test_a_window_of_another_rate_is_brought_to_the_runs(predictor):
    frames = np.linspace(0, 200, 20, dtype=np.uint8)[:, None, None, None]
    frames = np.broadcast_to(frames, (20, 40, 40, 3))
    clip = clip_of(frames, 14, 200.0, profile=predictor.profile, marked=True)
    assert clip.frames.shape == (10, 40, 40, 3) and clip.fps == 100.0 and clip.apex == 7
    values = clip.frames[:, 0, 0, 0] * 255
    assert (np.diff(values) > 0).all() and abs(values[7] - frames[14, 0, 0, 0]) < 12
    assert clip_of(frames, 14, 100.0, profile=predictor.profile, marked=True).frames is frames


def test_movement_is_that_of_the_skin_not_of_the_light_the_sensor_or_the_head():
    rng = np.random.default_rng(2)
    face = load("synthetic", subjects=1, clips_per_subject=1, size=(64, 64))[0].frames[0] / 255.0
    face = face.astype(np.float32)
    still = np.repeat(face[None], 20, 0)
    noise = rng.normal(0, 0.01, still.shape).astype(np.float32)
    light = (1 + 0.05 * rng.normal(size=(20, 1, 1, 1))).astype(np.float32)
    y, x = np.mgrid[:64, :64].astype(np.float32)
    mouth = np.exp(-(((y - 46) / 6) ** 2) - ((x - 36) / 8) ** 2)
    moving, turning = [], []
    for t in range(20):
        prefetch = 1.5 * np.sin(np.pi * t / 24)
        moving.append(cv2.remap(face, x, np.float32(y + prefetch * mouth), cv2.INTER_CUBIC))
        turned = cv2.getRotationMatrix2D((32, 32), prefetch, 1 + 0.01 * prefetch)
        turned[:, 2] += (prefetch, -prefetch)
        turning.append(
            cv2.warpAffine(face, turned, (64, 64), None, cv2.INTER_CUBIC, cv2.BORDER_REPLICATE)
        )
    moving, turning = np.stack(moving), np.stack(turning)
    jump = still.copy()
    jump[7] = 0
    assert profile.movement(still[:1]) == (0.0, 0) and profile.movement(still)[0] == 0
    assert profile.movement(jump)[0] == 0
    assert profile.movement(still + 1e-6 * noise)[0] == 0
    assert profile.movement(still + noise)[0] < 0.03
    assert profile.movement(np.clip(still * light, 0, 1) + noise)[0] < 0.03
    skin, apex = profile.movement(moving + noise)
    assert skin > 0.15 and 9 <= apex <= 15
    assert profile.movement(turning + noise)[0] < 0.4 * skin
    assert profile.movement(0.5 * (moving + noise))[0] == pytest.approx(skin, rel=0.1)


def test_what_is_left_of_a_drift_and_a_change_of_light_is_next_to_nothing():
    y, x = np.mgrid[:50, :60].astype(np.float64)
    picture = lambda x, y: 90 + 40 * np.sin(x / 5) * np.cos(y / 6) + 20 * np.sin((x + y) / 9)
    film = [picture(x, y)]
    for t in range(1, 6):
        turn = 0.004 * t
        there = x + turn * (y - 25) + 0.25 * t, y - turn * (x - 30) - 0.2 * t
        film.append((1 + 0.02 * t) * picture(*there) + t)
    left, head = profile.remove_global_motion(np.float32(film))
    assert head[0] == 0 and (np.diff(head) > 0).all() and head[5] == pytest.approx(2.37, abs=0.2), (
        head
    )
    assert left.shape == (6, 38, 48) and not left[0].any()
    before = np.square(film[5] - film[0]).mean()
    assert np.square(left[5]).mean() < 1e-3 * before


def test_the_astronaut_pictured_by_an_unsteady_hand_shows_no_emotion(predictor):
    data = pytest.importorskip("skimage.data")
    photograph = data.astronaut()
    still = predictor.predict_video(photograph[None], 1.0, total=1)
    assert still.labels == ["no movement"] and np.isnan(still.probabilities).all()
    rng, film = np.random.default_rng(0), []
    for t in range(12):
        shift = 4 * np.sin(t / 5)
        moved = cv2.warpAffine(
            photograph, np.float32([[1, 0.004, shift], [-0.004, 1, 0.6 * shift]]), (512, 512),
            None, cv2.INTER_CUBIC, cv2.BORDER_REPLICATE,
        )  # fmt: skip
        film.append(np.clip(moved + rng.normal(0, 3, moved.shape), 0, 255).astype(np.uint8))
    assert set(predictor.predict_video(film, 100.0).labels) == {"no movement"}


def test_of_two_faces_the_first_largest_is_followed_and_it_is_said(predictor):
    first, second = (
        clip.frames[0]
        for clip in load("synthetic", subjects=2, clips_per_subject=1, size=(120, 100))[:2]
    )
    small = np.pad(cv2.resize(second, None, fx=0.8, fy=0.8), ((12, 12), (10, 10), (0, 0)), "edge")
    both = np.concatenate([small, first], 1)
    eyes = inference.find_eyes(both)
    assert eyes.shape == (2, 2, 2) and eyes[0, 0, 0] > 100 > eyes[1, 1, 0]
    assert inference.find_eyes(np.zeros((80, 80, 3), np.uint8)).shape == (0, 2, 2)
    # The smaller one comes first from the second look on: it is not taken all the same.
    answers = iter([eyes, eyes[::-1], eyes[:0], eyes])
    film = np.repeat(both[None], 8, 0)
    result = predictor.predict_video(
        film, 8.0, window=4, stride=4, eye_detector=lambda frame: next(answers)
    )
    assert {
        int(place.corners[:, 0].mean() > 100) for place in result.face_boxes if place.num_faces
    } == {1}
    assert [place.num_faces for place in result.face_boxes] == [2, 2, 0, 2]
    assert "2 faces in frame 0 (more than one in 3 of the 4 frames" in result.notes[0]
    assert result.notes[1] == "no face in 1 of the 4 frames examined"


def test_frames_are_read_ahead_in_order_and_errors_come_through():
    read = []

    def source(stop):
        for number in range(stop):
            read.append(number)
            yield number
        raise UserError("torn")

    frames = prefetch(source(9), depth=3)
    assert next(frames) == 0
    assert [next(frames) for _ in range(8)] == list(range(1, 9))
    with pytest.raises(UserError, match="torn"):
        next(frames)
    assert list(prefetch(iter("abc"))) == ["a", "b", "c"] and not list(prefetch([]))
    read.clear()
    frames = prefetch(source(100), depth=4)
    next(frames)
    frames.close()
    assert len(read) <= 6


@pytest.mark.slow
def test_the_face_is_magnified_as_a_whole_clip_would_be():
    (clip,) = load("synthetic", subjects=1, clips_per_subject=1, frames=(8, 8), size=(80, 80))
    padded = np.pad(clip.frames, ((0, 0), (20, 10), (30, 0), (0, 0)), "edge")
    box = np.float32([[30, 20], [110, 20], [110, 100], [30, 100]]) - 0.5
    other = box + np.float32([-5, 0])
    corners = [box] * 5 + [None] + [other] * 2
    shown = list(inference.magnify_face(padded, corners, alpha=6.0))
    assert shown[5] is None and {each.shape for each in shown if each is not None} == {
        (160, 160, 3)
    }
    enlarged = np.stack([cv2.resize(frame, (160, 160)) for frame in clip.frames[:5]])
    expected = np.asarray(magnify(jnp.asarray(enlarged, jnp.float32) / 255, alpha=6.0))
    apart = np.abs(np.stack(shown[:5]) - 255 * expected)
    assert apart.mean() < 0.5 and apart[:, 8:-8, 8:-8].max() < 4  # beyond the rim lies the video
    assert np.abs(255 * expected - enlarged).max() > 5  # something was magnified
    still = padded[6, 20:100, 25:105]
    assert np.abs(shown[6][::2, ::2].astype(int) - still).mean() < 3  # begins anew: as it is


def test_a_film_does_not_end_with_its_marked_movement(predictor, own):
    frames = np.concatenate([own[2].frames] * 3)
    marks = dict(onset=2, apex=6, eye_detector=None, threshold=0.0)
    for given in (frames, iter(frames)):
        result = predictor.predict_video(given, 100.0, **marks)
        assert result.num_frames == len(frames) and result.stop.tolist() == [11]


@pytest.mark.parametrize(
    ("method", "views", "there"),
    [
        ({"name": "flow_maps", "size": (28, 28), "mirror": True}, 2, True),
        ({"name": "flow_maps", "size": (28, 28), "mirror": True, "rotation": 5.0}
         | {"turned_views": True}, 6, True),
        ({"name": "mmnet", "size": (32, 32)}, 1, True),
        ({"name": "flow_maps", "size": (28, 28), "regions": "upright"}, 1, False),
    ],
)  # fmt: skip
def test_saliency_lies_where_the_network_looks(method, views, there, monkeypatch):
    """At one place of the face, whatever views and maps a method makes of it."""
    model = "mmnet" if method["name"] == "mmnet" else "ststnet"
    config = configuration.make(data="synthetic", method=method, model=model)
    clips = load("synthetic", subjects=1, clips_per_subject=2, size=(48, 48))
    networks = trained.TrainedNetworks(config, ("a", "b", "c"), ("f",), ("f",), {}, {})

    def heat(network, x, *, label):
        found = np.zeros((len(clips), views, *x.shape[1:-1]), np.float32)
        found[:, : (views + 1) // 2, ..., 5, 3] = 1
        found[:, (views + 1) // 2 :, ..., 5, -4] = 1  # the mirror image of that place
        return found.reshape(x.shape[:-1])

    def model_of(self, examples, static, state, fold):
        assert examples.num_views == views
        x = jax.vmap(examples.eval_transform, (0, None))(examples.inputs, ())
        return None, x.reshape(-1, *x.shape[2:]) if views > 1 else x

    monkeypatch.setattr(trained.explain, "saliency", heat)
    monkeypatch.setattr(trained.TrainedNetworks, "_selected_model", model_of)
    monkeypatch.setattr(trained.TrainedNetworks, "_static_config", lambda *given: (None, None))
    maps = networks.saliency(clips, np.zeros(2, int))
    assert (maps is not None) == there
    if there:
        assert [tuple(at) for at in np.argwhere(maps[0] > 0)] == [(5, 3)]


def test_where_the_networks_look(predictor, own):
    clip = own[2]
    result = predictor.predict_video(
        clip.frames, 100.0, threshold=0.0, eye_detector=None, saliency=True, stride=1
    )
    assert len(result.saliency) == len(result.labels) > 1
    for heat in result.saliency:
        assert heat.shape == (16, 16) and heat.dtype == np.float32
        assert 0 <= heat.min() < heat.max() <= 1
    silent = predictor.predict_video(
        clip.frames, 100.0, threshold=1e9, eye_detector=None, saliency=True
    )
    assert set(silent.saliency) == {None}
    assert (
        predictor.predict_video(clip.frames, 100.0, threshold=0.0, eye_detector=None).saliency[0]
        is None
    )


def test_the_measure_of_a_run_is_kept_with_it(workdir, predictor, own):
    kept = json.loads((workdir / "predict.json").read_text())
    measured = profile.profile_clips(own)
    assert predictor.profile == measured == profile.read(workdir)
    assert kept["size"] == [40, 40] and kept["fps"] == 100.0 and kept["marked"]
    assert measured.length == int(np.median([len(clip.frames) for clip in own]))
    moved = sorted(profile.movement(clip.frames)[0] for clip in own)
    assert moved[0] <= measured.movement <= moved[2]


def test_the_rate_of_a_run_is_one_of_its_clips(own):
    def measured(rates, lengths):
        clips = [
            Clip("d", "s", f"c{n}", in_memory(own[0].frames[:length]), "", fps=rate)
            for n, (rate, length) in enumerate(zip(rates, lengths))
        ]
        found = profile.profile_clips(clips)
        return found.fps, found.length

    assert measured([200.0, None, 200.0, None], [8, 8, 8, 8]) == (0.0, 8)
    assert measured([200.0, None, 200.0], [8, 4, 8]) == (200.0, 8)
    assert measured([25.0, 200.0], [2, 4]) == (25.0, 1)  # 80 and 20 ms: 1.25 frames


def of_an_estimator(folder):
    config = configuration.load(folder / "config.json")
    config = configuration.rename(config, {"model": "svm"})
    (folder / "config.json").write_text(json.dumps(configuration.to_dict(config)))
    return folder


def test_runs_that_cannot_answer(workdir, tmp_path):
    def copy(without: str = "") -> pathlib.Path:
        folder = tmp_path / f"without_{pathlib.Path(without).name}"
        shutil.copytree(workdir, folder)
        if without:
            gone = folder / without
            shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
        return folder

    for folder, fold, labels in (
        (tmp_path, None, "is no working directory of a run"),
        (copy("metrics.json"), None, "has not finished"),
        (copy("checkpoints/steps"), None, "holds no checkpoint"),
        (copy("predict.json"), None, r"predict\.json is not there.*re-run its command"),
        (of_an_estimator(copy("metrics.jsonl")), None, "is svm, an estimator, which is not kept"),
        (workdir, "synthetic/s04", "did you mean 'synthetic/s0"),
        (workdir, 7, "there is no fold 7; the run's are 0 to 2"),
    ):
        with pytest.raises(UserError, match=labels):
            inference.load(folder, fold=fold)
    broken = copy("report.html")
    for step in (broken / "checkpoints" / "steps").iterdir():
        (step / "position" / "metadata").write_text("{")
    with pytest.raises(UserError, match="is damaged"):
        inference.load(broken)
    assert inference.load(workdir, fold="1").networks.folds == ("synthetic/s02",)


@pytest.fixture(scope="module")
def person():
    """A face large enough for the cascades."""
    (clip,) = load("synthetic", subjects=1, clips_per_subject=1, size=(200, 200), frames=(8, 8))
    return clip


@pytest.mark.parametrize("degrees,light", [(0, 0.2), (20, 1.0), (-20, 0.3), (10, 1.0)])
def test_a_dark_or_turned_face_is_found_at_a_second_look(person, degrees, light):
    turn = cv2.getRotationMatrix2D((99.5, 99.5), degrees, 0.8)
    frame = cv2.warpAffine(person.frames[0], turn, (200, 200), borderMode=cv2.BORDER_REPLICATE)
    (found,) = inference.find_eyes((light * frame).astype(np.uint8))
    eyes = faces.eye_centers(person.landmarks) @ turn[:, :2].T + turn[:, 2]
    apart = np.linalg.norm(eyes[1] - eyes[0])
    assert np.linalg.norm(found - eyes, axis=-1).max() < 0.15 * apart


def test_what_is_no_upright_face_has_no_eyes(person):
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    sky = np.broadcast_to(np.linspace(90, 220, 120)[:, None, None], (120, 160, 3)).astype(np.uint8)
    for frame in (person.frames[0][::-1], noise, sky, person.frames[0][120:]):
        assert inference.find_eyes(frame).shape == (0, 2, 2)


def test_verdicts_stand_for_classes_a_run_cannot_know(predictor, own):
    """A clip of the run, slowed, sped up in its movement, and repeated without a pause."""
    largest = max(own, key=lambda clip: profile.movement(clip.frames)[0])
    moved = largest.frames.astype(np.float32)
    options = dict(window=len(moved), eye_detector=None)
    assert predictor.predict_video(largest.frames, 100.0, **options).verdicts == ("",)
    stronger = np.clip(moved[:1] + 2 * (moved - moved[:1]), 0, 255).astype(np.uint8)
    found = predictor.predict_video(stronger, 100.0, **options)
    assert found.labels == ["too much movement"] and not np.isnan(found.probabilities).any()
    assert "certain" not in found.summary()
    film = np.concatenate([largest.frames, largest.frames[::-1]] * 3)
    talking = predictor.predict_video(film, 100.0, **options)
    assert "movement too long" in talking.labels
    assert not set(talking.labels) & set(talking.classes)
    drift = np.stack([np.roll(largest.frames[0], t // 2, 1) for t in range(12)])
    known = predictor.predict_video(drift, 100.0, threshold=0.0, window=12, eye_detector=None)
    assert known.verdicts == ("",)  # an own threshold: the user decides


def test_one_still_window_is_no_pause():
    start = np.arange(0, 40, 2)
    rows = lambda still: _runs_longer_than(24, start, start + 8, np.delete(np.arange(20), still))
    assert rows([9]) == set(range(20)) - {9}
    assert rows([9, 10]) == set()


def test_every_output_names_what_the_run_was_trained_on(predictor, own):
    text = "12 clips of 3 subjects (synthetic); rendered faces: it has seen no real one"
    result = predictor.predict_video(own[0].frames, 100.0, eye_detector=None)
    assert result.trained_on == predictor.profile.trained_on == text
    assert result.summary().splitlines()[0] == f"trained on {text}"
    assert result.csv().splitlines()[0] == f"# trained on {text}"


def test_a_rate_too_low_for_the_runs_clips_is_refused(predictor, own):
    frames = np.repeat(own[0].frames, 3, 0)
    with pytest.raises(UserError, match=r"20 Hz is too low .* last 0\.1 s, .* film at 50 Hz"):
        predictor.predict_video(frames, 20.0, eye_detector=None)
    result = predictor.predict_video(frames, 20.0, window=8, eye_detector=None)
    assert "20 Hz is low for a run on clips of 100 Hz" in result.notes[-1]


def test_movement_of_few_frames_is_not_taken_for_noise():
    frames = np.zeros((2, 40, 40, 3), np.uint8)
    frames[:, 10:30, 10:30] = 100
    frames[1, 12:20, 12:20] = 180
    assert profile.movement(frames)[0] > 0.1


@pytest.mark.parametrize(
    ("side", "squeeze"), [(160, 1), (480, 1), (1900, 1), (1900, 2.5), (480, 0.5)]
)
def test_a_shaken_photograph_does_not_move_however_large_it_is(predictor, side, squeeze):
    """Shrinking by means of pixels alone aliases: without a Gaussian, texture seems to move."""
    spectrum = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    spectrum = np.exp(2j * np.pi * np.random.default_rng(0).random(spectrum.shape)) / (
        spectrum + 1 / side
    )
    texture = np.fft.ifft2(spectrum).real  # 1 / f, as photographs have it
    texture = (texture / texture.std()).astype(np.float32)
    still = np.uint8(np.clip(120 + 50 * texture, 0, 255))
    half = 0.1 / max(1, squeeze)  # the crop lies in the frame
    eyes = np.array([[[0.5 - half, 0.4], [0.5 + half, 0.4]]], np.float32) * side
    film = []
    for t in range(24):
        shift = np.float32([[1, 0, side / 100 * np.sin(t / 3)], [0, 1, side / 150 * np.cos(t / 4)]])
        moved = cv2.warpAffine(still, shift, (side, side), None, cv2.INTER_CUBIC, 0)
        film.append(moved[..., None])
    # The run's frames may have been squeezed: crops half or twice as wide for their size.
    beside, above, height, width = predictor.profile.eyes
    wider = width * (squeeze - 1)
    profile_of_run = msgspec.structs.replace(
        predictor.profile, eyes=(beside + wider / 2, above, height, width + wider)
    )
    tracker = FaceTracker(
        profile_of_run, length=24, stride=1, every=99, eye_detector=lambda frame: eyes
    )
    (window,) = tracker.windows(film)
    assert profile.movement(window.frames)[0] < 0.05


def test_a_still_face_keeps_its_crop_and_a_moving_one_is_followed(predictor):
    eyes = np.float32([[[40, 50], [60, 50]]])
    rng, answers = np.random.default_rng(0), []
    answers += [eyes + rng.normal(0, 0.5, eyes.shape).astype(np.float32) for _ in range(9)]
    answers[4] = np.float32([[[40, 50], [52, 50]]])  # one eye is taken for both
    wider = np.float32([[[-0.5, 0], [0.5, 0]]])  # 5 %, by which a detector errs
    answers += [eyes + np.float32([8 * t, 0]) + (t % 2) * wider for t in range(1, 4)]
    queue = iter(answers)
    tracker = FaceTracker(
        predictor.profile, length=1, stride=1, every=1, eye_detector=lambda frame: next(queue)
    )
    list(tracker.windows(np.zeros((12, 120, 160, 3), np.uint8)))
    boxes = np.stack([box.corners for box in tracker.face_boxes])
    widths = np.linalg.norm(boxes[:, 1] - boxes[:, 0], axis=-1)
    assert np.ptp(widths) / widths[0] < 0.02
    np.testing.assert_allclose(boxes[11, 0, 0] - boxes[3, 0, 0], 24, atol=2)


def test_of_several_faces_the_one_that_stays_is_followed(predictor):
    """Landmarks of a smaller face take over only after the followed one was missed twice."""
    large, small = (faces.template((size, size)) for size in (80, 60))
    large, small = large + np.float32([10, 20]), small + np.float32([95, 30])
    queue = iter([[large, small], [small], [large], [small], [small], [small], [small]])
    tracker = FaceTracker(
        predictor.profile, length=1, stride=1, every=1,
        eye_detector=lambda frame: np.stack(next(queue)),
    )  # fmt: skip
    list(tracker.windows(np.zeros((7, 120, 160, 3), np.uint8)))
    side = [
        None if box.corners is None else "small" if box.corners[:, 0].mean() > 80 else "large"
        for box in tracker.face_boxes
    ]
    assert side == ["large"] * 3 + [None, None, "small", "small"]
    assert [box.num_faces for box in tracker.face_boxes] == [2, 0, 1, 0, 0, 1, 1]


def test_blinks_and_speech_are_verdicts_where_landmarks_tell(predictor, own):
    """A film that moves enough all the time, and landmarks that blink, then speak."""
    frames = np.concatenate([clip.frames for clip in own] * 4)[:300]
    frames[:, 0, 0] = np.arange(300)[:, None] // 2  # a clock
    marks = own[0].landmarks

    def find(frame):
        points, at = marks.copy(), 2 * int(frame[0, 0, 0])
        if 60 <= at < 90:
            points[[37, 38, 43, 44]] = points[[41, 40, 47, 46]]
        if at >= 150:
            points[65:68, 1] += 4 * np.sin(at / 4) ** 2
        return points[None]

    result = predictor.predict_video(frames, 100.0, window=20, stride=10, eye_detector=find)
    labels = np.array(result.labels)
    moving = labels != "no movement"
    middle = result.start + 10
    assert set(labels[moving & (middle > 165)]) == {"speech"}
    assert set(labels[moving & (middle >= 65) & (middle < 85)]) == {"blink"}
    assert not {"blink", "speech"} & set(labels[(middle < 50) | ((middle > 105) & (middle < 140))])
    labels = predictor.predict_video(
        frames[:40], 100.0, window=20, threshold=0.0, eye_detector=lambda frame: marks[None]
    ).labels
    assert not {"blink", "speech"} & set(labels)
