"""Recordings as clips."""

import pickle

import numpy as np
import pytest

from mer_jax.datasets import synthetic, video_source
from tests.datasets import replica


@pytest.mark.parametrize("kind", ("folder", "film.mp4", "folder/2.png"))
def test_a_recording_pickles_as_a_clip(tmp_path, kind):
    (scene,) = synthetic.scenes(subjects=1, clips_per_subject=1, size=(16, 16), frames=(8, 8))
    synthetic.video(tmp_path / "film.mp4", scene)
    for number, frame in enumerate(scene.frames):
        replica.save(tmp_path / "folder" / f"{number}.png", frame)
    clip = video_source.open_video(tmp_path / kind, fps=100.0).clip
    again = pickle.loads(pickle.dumps(clip))
    np.testing.assert_array_equal(again.frames, clip.frames)
    if kind == "folder":
        np.testing.assert_array_equal(again.frames, scene.frames)
