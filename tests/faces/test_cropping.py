import contextlib
import dataclasses
import pathlib
import re

import cv2
import numpy as np
import pytest
from skimage import transform
from sklearn import linear_model

from mer_jax import faces
from mer_jax.clips import Clip, in_memory
from mer_jax.datasets import synthetic, video_source
from mer_jax.errors import UserError
from mer_jax.faces import points
from mer_jax.inference import profile

FACES = pathlib.Path(__file__).resolve().parents[3] / "shared/data/real_faces"
SCENE = synthetic.scenes(subjects=1, clips_per_subject=1, size=(150, 120), frames=(18, 18))[0]
CLIP = SCENE.clip
BARE = dataclasses.replace(CLIP, landmarks=None)


def test_the_eyes_come_to_lie_at_their_places():
    out, note = faces.crop_face(CLIP, faces.CropConfig("eyes", (66, 54)))
    assert note == "" and out.frames.shape == (18, 66, 54, 3) and out.frames.dtype == np.uint8
    for field in dataclasses.fields(CLIP):
        if field.name not in ("read", "landmarks"):
            assert getattr(out, field.name) == getattr(CLIP, field.name)
    expected = np.array([[0.4 / 1.8 * 54, 0.6 / 2.2 * 66], [1.4 / 1.8 * 54, 0.6 / 2.2 * 66]])
    np.testing.assert_allclose(faces.eye_centers(out.landmarks), expected, atol=1)
    # Without landmarks the eyes are detected, to a pixel or two of the crop.
    blind, _ = faces.crop_face(BARE, faces.CropConfig("eyes", (66, 54)))
    assert blind.landmarks is None
    difference = np.abs(blind.frames.astype(float) - out.frames.astype(float)).mean()
    shuffled = np.abs(out.frames[:, ::-1].astype(float) - out.frames.astype(float)).mean()
    assert difference < 0.3 * shuffled


def test_a_whole_frame_is_the_frame():
    out, _ = faces.crop_face(BARE, faces.CropConfig("none"))
    np.testing.assert_array_equal(out.frames, CLIP.frames)


def test_a_smaller_frame_is_the_mean_of_its_pixels():
    out, _ = faces.crop_face(CLIP, faces.CropConfig("none", (50, 40)))
    expected = np.stack([transform.downscale_local_mean(f, (3, 3, 1)) for f in CLIP.frames])
    assert np.abs(out.frames - expected).max() <= 0.51
    points = (CLIP.landmarks + 0.5) / 3 - 0.5
    np.testing.assert_allclose(out.landmarks, points, atol=1e-4)


@pytest.mark.parametrize("ratio", [1.0, 1.25, 1.45, 2.4])
def test_shrinking_adds_no_motion_to_a_shaken_photograph(ratio):
    """OpenCV's means over areas leave .01 of movement that is no shift; single samples .04."""
    side = round(120 * ratio)
    spectrum = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    phase = np.exp(2j * np.pi * np.random.default_rng(0).random(spectrum.shape))
    texture = np.fft.ifft2(phase / (spectrum + 1 / side)).real  # 1 / f, as photographs have it
    still = np.uint8(np.clip(120 + 50 * texture / texture.std(), 0, 255))
    film = []
    for t in range(18):
        shift = np.float32([[1, 0, side / 100 * np.sin(t / 3)], [0, 1, side / 150 * np.cos(t / 4)]])
        film.append(cv2.warpAffine(still, shift, (side, side), None, cv2.INTER_CUBIC, 0)[..., None])
    clip = dataclasses.replace(BARE, read=in_memory(np.stack(film)))
    out, _ = faces.crop_face(clip, faces.CropConfig("none", (120, 120)))
    areas = [cv2.resize(f, (120, 120), interpolation=cv2.INTER_AREA)[..., None] for f in film]
    moved, reference = (
        profile.motion(np.stack(frames).astype(np.float32) / 255).skin
        for frames in (out.frames, areas)
    )
    assert moved < 1.25 * reference


@pytest.mark.parametrize(
    "change",
    [lambda marks: 0 * marks, lambda marks: marks + 5000, lambda marks: marks * (-1, 1) + (119, 0)],
    ids=["zeros", "outside", "mirrored"],
)
@pytest.mark.parametrize("crop", ["eyes", "box"])
def test_landmarks_that_are_no_face_are_refused(change, crop):
    clip = dataclasses.replace(CLIP, landmarks=change(CLIP.landmarks).astype(np.float32))
    with pytest.raises(UserError, match="no upright face in a frame of 120 x 150 px"):
        faces.crop_face(clip, faces.CropConfig(crop))
    with pytest.raises(UserError, match=r"landmark \d+ holds NaN or infinity"):
        dataclasses.replace(CLIP, landmarks=np.where(CLIP.landmarks < 50, np.nan, CLIP.landmarks))


def test_grey_is_the_luma_and_floats_stay_floats():
    frames = CLIP.frames.astype(np.float32) / 255
    out, _ = faces.crop_face(
        dataclasses.replace(BARE, read=in_memory(frames)), faces.CropConfig("none", gray=True)
    )
    assert out.frames.shape == (18, 150, 120, 1) and out.frames.dtype == np.float32
    np.testing.assert_allclose(out.frames[..., 0], frames @ [0.299, 0.587, 0.114], atol=1e-6)


def test_a_box_with_landmarks_is_about_the_box_without():
    box, found = points.face_box(CLIP.landmarks), faces.detect_face(CLIP.frames[0])
    corners = np.abs([box[:2] - found[:2], box[:2] + box[2:] - found[:2] - found[2:]])
    assert corners.max() < 0.13 * found[2], (box, found)
    crops = [faces.crop_face(clip, faces.CropConfig("box", (40, 40)))[0] for clip in (CLIP, BARE)]
    with_marks, without = (clip.frames.astype(float) for clip in crops)
    apart = np.abs(with_marks - without).mean()
    assert apart < 20 and apart < 0.9 * np.abs(with_marks[:, :, ::-1] - without).mean()


def test_alignment_brings_stable_points_to_the_template():
    """Against scikit-learn's least squares and scikit-image's resampling."""
    target = faces.template((150, 120))
    out, _ = faces.crop_face(CLIP, faces.CropConfig("none", align=True))
    stable = list(points.STABLE)
    fitted = linear_model.LinearRegression().fit(
        target[stable].astype(float), CLIP.landmarks[stable].astype(float)
    )
    matrix = np.eye(3)
    matrix[:2, :2], matrix[:2, 2] = fitted.coef_, fitted.intercept_
    inverse = np.linalg.inv(matrix)
    expected = CLIP.landmarks @ inverse[:2, :2].T + inverse[:2, 2]
    np.testing.assert_allclose(out.landmarks, expected, atol=1e-3)
    warped = transform.warp(CLIP.frames[3], matrix, order=1, mode="edge", preserve_range=True)
    assert np.abs(out.frames[3] - warped).max() < 1.5
    crop, _ = faces.crop_face(CLIP, faces.CropConfig("eyes", (66, 54), align=True))
    expected = np.array([[12, 18], [42, 18]])
    np.testing.assert_allclose(faces.eye_centers(crop.landmarks), expected, atol=1.5)


def test_alignment_does_not_depend_on_eyelids_mouth_brows_and_jaw():
    how, other = faces.CropConfig("none", align=True), CLIP.landmarks.copy()
    moving = [i for i in range(68) if i not in points.STABLE]
    other[moving] += np.random.default_rng(0).normal(0, 4, (len(moving), 2)).astype(np.float32)
    blinking = dataclasses.replace(CLIP, landmarks=other)
    np.testing.assert_array_equal(
        faces.crop_face(CLIP, how)[0].frames, faces.crop_face(blinking, how)[0].frames
    )


@pytest.mark.parametrize("turn", [[[-1, 0], [0, 1]], [[1, 0], [0, 0.1]], [[0, 0], [0, 0]]])
def test_landmarks_that_are_no_face_are_not_aligned(turn):
    wrong = dataclasses.replace(CLIP, landmarks=(CLIP.landmarks @ np.float32(turn)))
    with pytest.raises(UserError, match="no upright face"):
        faces.crop_face(wrong, faces.CropConfig("none", align=True))


def test_a_model_of_the_users_is_asked_once_and_only_without_landmarks():
    asked = []

    def find(frame):
        asked.append(frame)
        return CLIP.landmarks[None]

    how = faces.CropConfig("eyes", (33, 27))
    out, _ = faces.crop_face(BARE, how, landmarker=find)
    np.testing.assert_array_equal(out.frames, faces.crop_face(CLIP, how, landmarker=find)[0].frames)
    assert len(asked) == 1
    five = lambda frame: np.concatenate([faces.eye_centers(CLIP.landmarks), np.zeros((3, 2))])
    eyes_only, _ = faces.crop_face(
        BARE, how, landmarker=lambda frame: five(frame).astype(np.float32)[None]
    )
    np.testing.assert_array_equal(eyes_only.frames, out.frames)
    assert eyes_only.landmarks is None


def test_other_faces_are_noted():
    """Two persons side by side; a third one is far away, and no concern."""
    near, far = CLIP.frames, CLIP.frames[:, ::3, ::3]
    wide = np.full((18, 150, 300, 3), 90, np.uint8)
    wide[:, :, :120], wide[:, :, 130:250], wide[:, :50, 255:295] = near, near, far
    film = dataclasses.replace(BARE, read=in_memory(wide))
    for crop in ("eyes", "box"):
        _, note = faces.crop_face(film, faces.CropConfig(crop))
        assert note == "2 faces in its first frame; the largest is cropped"
    both = np.stack([CLIP.landmarks, CLIP.landmarks + np.float32([130, 0])])
    _, note = faces.crop_face(film, faces.CropConfig("eyes"), landmarker=lambda frame: both)
    assert note.startswith("2 faces")


def test_eyes_that_are_not_found_are_noted(monkeypatch):
    monkeypatch.setattr(faces.detection, "detect_eyes", lambda frame, box: None)
    with pytest.raises(UserError, match="no eyes and no certain face"):
        faces.crop_face(BARE, faces.CropConfig("eyes", (33, 27)))
    monkeypatch.setattr(faces.detection, "is_sure", lambda frame, box: True)
    _, note = faces.crop_face(BARE, faces.CropConfig("eyes", (33, 27)))
    assert "eyes not found" in note


def test_a_crop_that_lies_outside_of_its_frame_is_noted():
    marks = CLIP.landmarks + np.float32([50, 0])
    _, note = faces.crop_face(dataclasses.replace(CLIP, landmarks=marks), faces.CropConfig())
    assert re.fullmatch(r"\d\d % of the crop lie outside of its frame", note)


@pytest.mark.slow
@pytest.mark.skipif(not FACES.is_dir(), reason="needs ../shared/data/real_faces")
def test_of_a_face_upside_down_the_chin_is_not_cropped():
    """Of 15 films and pictures that lost their rotation; the cascade is fooled by one."""
    upright, turned = [], []
    for path in sorted({*FACES.glob("*.*")} - {*FACES.glob("*.md"), *FACES.glob("*no_face*")}):
        frame = np.ascontiguousarray(next(iter(video_source.open_video(path).frames())))
        for found, one in ((upright, frame), (turned, np.ascontiguousarray(frame[::-1, ::-1]))):
            clip = Clip("mine", "s", "v", in_memory(one[None]), emotion="")
            with contextlib.suppress(UserError):
                faces.crop_face(clip, faces.CropConfig("eyes"))
                found.append(path.name)
    assert len(upright) >= 14 and len(turned) <= 1, (upright, turned)


@pytest.mark.parametrize(
    "clip, how, find, words",
    [
        (
            dataclasses.replace(BARE, read=in_memory(np.zeros((18, 60, 50, 3), np.uint8))),
            {},
            None,
            "no face",
        ),
        (BARE, {}, lambda frame: np.zeros((0, 68, 2)), "by the landmark model"),
        (BARE, {"align": True}, None, "no 68 landmarks"),
        (dataclasses.replace(BARE, content="flow"), {}, None, "content is flow"),
    ],
)
def test_what_cannot_be_cut_out_is_one_sentence(clip, how, find, words):
    with pytest.raises(UserError, match=words):
        faces.crop_face(clip, faces.CropConfig(**how), landmarker=find)


def test_an_unknown_crop_is_named():
    with pytest.raises(UserError, match="did you mean 'eyes'"):
        faces.CropConfig("eye")
