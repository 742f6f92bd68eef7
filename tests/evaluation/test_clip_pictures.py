import json

import numpy as np

from mer_jax.clips import Clip, hold
from mer_jax.datasets import synthetic
from mer_jax.evaluation import Predictions, clip_pictures

CLASSES = ("negative", "positive")


def said(clips, labels, predicted):
    return Predictions(
        classes=CLASSES,
        database=np.array([clip.database for clip in clips]),
        subject=np.array([clip.subject for clip in clips]),
        clip=np.array([clip.name for clip in clips]),
        fold=np.array([clip.person for clip in clips]),
        label=np.asarray(labels, np.int32),
        probabilities=np.eye(2, dtype=np.float32)[predicted],
    )


def stored(subject, name):
    picture = np.random.default_rng(0).integers(0, 255, (1, 8, 8, 3), np.uint8)
    return Clip("db", subject, name, hold(picture), "happiness", content="flow")


def test_each_class_and_the_errors_are_shown_from_different_persons(tmp_path):
    clips = [stored(f"s{i // 4}", f"c{i}") for i in range(12)]
    labels = [0, 1, 0, 1] * 3
    predicted = [0, 1, 1, 0] * 3
    pictures = clip_pictures.pictures(clips, said(clips, labels, predicted), right=1, wrong=3)
    assert [picture.clip.split("/")[1] for picture in pictures] == ["s0", "s1", "s2", "s0", "s1"]
    assert "recognised as negative" in pictures[0].caption
    assert "negative, taken for positive" in pictures[2].caption
    assert all(picture.png.startswith(b"\x89PNG") for picture in pictures)
    clip_pictures.write(tmp_path, pictures)
    index = json.loads((tmp_path / "pictures" / "pictures.json").read_text())
    assert [entry["clip"] for entry in index] == [picture.clip for picture in pictures]
    assert (tmp_path / "pictures" / index[0]["file"]).read_bytes() == pictures[0].png


def test_a_video_is_shown_from_onset_to_flow():
    scenes = synthetic.scenes(subjects=1, clips_per_subject=2, size=(24, 24), frames=(8, 9))
    clips = [scene.clip for scene in scenes]
    pictures = clip_pictures.pictures(clips, said(clips, [0, 1], [0, 0]))
    assert [picture.clip for picture in pictures] == [clip.key for clip in clips]
    assert clips[0].action_units in pictures[0].caption


def test_no_clips_give_no_panels():
    assert clip_pictures.panels_of([]) == []
