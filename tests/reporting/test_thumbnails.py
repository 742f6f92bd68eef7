import dataclasses

import cv2
import numpy as np
import pytest

from mer_jax.clips import Clip, in_memory
from mer_jax.datasets import synthetic
from mer_jax.metrics import Predictions
from mer_jax.reporting import thumbnails

CLASSES = ("negative", "positive")


def predictions_of(clips, labels, predicted):
    return Predictions(
        classes=CLASSES,
        database=np.array([clip.database for clip in clips]),
        subject=np.array([clip.subject for clip in clips]),
        clip=np.array([clip.name for clip in clips]),
        fold=np.array([clip.subject_key for clip in clips]),
        label=np.asarray(labels, np.int32),
        probabilities=0.1 + np.float32(0.8) * np.eye(2, dtype=np.float32)[predicted],
    )


def stored(subject, name):
    picture = np.random.default_rng(0).integers(0, 255, (1, 8, 8, 3), np.uint8)
    return Clip("db", subject, name, in_memory(picture), "happiness", content="flow")


def test_each_class_has_an_example_and_every_error_its_picture():
    clips = [stored(f"s{i // 4}", f"c{i}") for i in range(12)]
    labels = [0, 1, 0, 1] * 3
    predicted = [0, 1, 1, 0] * 3
    drawn = {}
    pictures = thumbnails.pictures(clips, predictions_of(clips, labels, predicted), cache=drawn)
    wrong = [clip.key for clip, k, p in zip(clips, labels, predicted) if k != p]
    assert [picture.clip for picture in pictures] == ["", "", *wrong] and list(drawn) == wrong
    subjects = [picture.caption.split("/")[1] for picture in pictures]
    assert subjects[:2] == ["s0", "s1"]  # not twice the same one
    assert "recognized as negative" in pictures[0].caption
    assert "negative, predicted as positive (p 0.10 against 0.90)" in pictures[2].caption
    assert {picture.kind for picture in pictures[:2]} == {"png"}
    assert {picture.kind for picture in pictures[2:]} == {"webp"}


def test_of_many_errors_the_surest_have_pictures_and_none_is_drawn_twice():
    clips = [stored("s0", f"c{i}") for i in range(6)]
    sure = np.array([0.6, 0.9, 0.7, 0.8, 0.95, 0.55], np.float32)
    record = predictions_of(clips, [0] * 6, [1] * 6)
    record = dataclasses.replace(record, probabilities=np.stack([1 - sure, sure], 1))
    drawn = {clips[1].key: b"RIFF"}
    pictures = thumbnails.pictures(clips, record, max_thumbnails=3, cache=drawn)
    assert [picture.clip for picture in pictures] == [clips[i].key for i in (4, 1, 3)]
    assert pictures[1].content == b"RIFF" and len(drawn) == 3


@pytest.mark.slow
def test_a_thumbnail_shows_a_video_from_onset_to_strain():
    """Clips of two lengths and sizes, one without a marked apex."""
    clips = []
    for number, size in ((9, (24, 24)), (11, (48, 46))):
        options = dict(subjects=1, clips_per_subject=1, size=size, frames=(number, number))
        clips.append(synthetic.scenes(**options)[0].clip)
    clips[1] = dataclasses.replace(clips[1], apex=None)
    for thumbnail, clip in zip(thumbnails.thumbnails(clips), clips):
        found = cv2.imdecode(np.frombuffer(thumbnail, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        assert found.shape == (96, 6 * 96 + 5 * 2, 3)
        onset = cv2.resize(clip.frames[clip.onset], (24, 24), interpolation=cv2.INTER_AREA)
        onset = cv2.resize(onset, (96, 96)).reshape(96, 96, -1).astype(float)
        assert np.abs(found[:, :96] - onset).mean() < 6  # WebP is lossy
        flow = found[:, 4 * 98 : 4 * 98 + 96]
        assert flow.max(-1).mean() > 200 and flow.std() > 5  # white at rest, colours where it moves
        assert len(thumbnail) < 20_000


def test_a_video_is_shown_as_a_panel():
    scenes = synthetic.scenes(subjects=1, clips_per_subject=2, size=(24, 24), frames=(9, 10))
    clips = [scene.clip for scene in scenes]
    pictures = thumbnails.pictures(clips, predictions_of(clips, [0, 1], [0, 0]))
    assert [picture.kind for picture in pictures] == ["png", "webp"]
    assert all(clip.action_units in picture.caption for clip, picture in zip(clips, pictures))


def test_no_clips_give_no_panels():
    assert thumbnails.example_figures([]) == thumbnails.thumbnails([]) == []


@pytest.mark.slow
def test_the_difference_map_begins_at_the_onset():
    """What moves before it, such as a blink where a folder of frames begins, is not in it."""
    frames = np.full((16, 24, 24, 1), 0.5, np.float32)
    frames[2:, :6, :6] += 0.2  # before the onset
    frames[9:, 14:20, 14:20] += 0.05
    clip = Clip("d", "s", "c", in_memory(frames), "x", onset=6, apex=12)
    (maps,) = thumbnails._motion_maps([clip])
    difference = np.asarray(maps["difference"])
    # The filter remembers the blink for a while; over the whole clip it is ten times as strong.
    assert difference[14:20, 14:20].mean() > 2 * np.abs(difference[:4, :4]).mean()


@pytest.mark.slow
def test_flow_is_in_px_of_the_frames_of_the_clip():
    """The pictures are of smaller frames, whose flow was shown: a third of it."""
    texture = np.random.default_rng(0).random((24, 24)).astype(np.float32)
    wide = cv2.resize(texture, (400, 384), interpolation=cv2.INTER_CUBIC).clip(0, 1)
    frames = np.stack([wide[:, 6:390], wide[:, :384]])[..., None]  # 6 px to the right
    clip = Clip("d", "s", "c", in_memory(frames), "x", onset=0, apex=1)
    (maps,) = thumbnails._motion_maps([clip])
    assert max(maps["flow"].shape) == 128
    u, v = np.median(maps["flow"][20:-20, 20:-20], axis=(0, 1))
    assert u == pytest.approx(6, abs=0.5) and v == pytest.approx(0, abs=0.2)
