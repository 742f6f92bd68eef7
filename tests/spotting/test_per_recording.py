"""What is computed of recordings is computed once, here or by the workers of a pipeline."""

import dataclasses
import os

import cv2
import numpy as np
import pytest

from mer_jax.datasets import identity, recordings
from mer_jax.datasets.frame_sources import FrameFolder
from mer_jax.datasets.synthetic import long_videos
from mer_jax.errors import UserError
from mer_jax.io.array_cache import ArrayCache
from mer_jax.methods import example_cache
from mer_jax.recordings import Interval, Recording
from mer_jax.spotting import per_recording

computed: list[str] = []


def brightness(recording, scale=1.0):
    """Of a module, as the function of a pipeline must be."""
    computed.append(recording.name)
    if recording.name == "broken":
        raise UserError("broken: cannot be read")
    return {"values": recording[:].mean((1, 2, 3)) * np.float32(scale)}


def means(videos, cache, scale=1.0, **stage):
    """The values, and the names of the recordings that were computed for them."""
    computed.clear()
    with example_cache.caching(cache, **{"quiet": True} | stage):
        entries = list(
            per_recording.compute(videos, brightness, {"scale": scale}, group="brightness")
        )
    return [entry["values"] for entry in entries], list(computed)


@pytest.fixture
def cache(tmp_path):
    return ArrayCache(tmp_path / "examples", limit_bytes=1e9)


@pytest.fixture
def videos(tmp_path):
    rng = np.random.default_rng(0)
    found = []
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        for number in range(1, 5):
            image = rng.integers(0, 256, (8, 6), np.uint8)
            cv2.imwrite(str(tmp_path / name / f"{number}.png"), image)
        read = FrameFolder(tmp_path / name, r"(\d+)", np.arange(1, 5), gray=True)
        found.append(Recording("toy", name, name, read, 4, 25.0, (Interval(1, None, 2),)))
    return found


def test_a_recording_is_computed_once(videos, cache):
    plain, names = means(videos, None)
    assert names == ["a", "b", "c"]
    first, names = means(videos[:2], cache)
    assert names == ["a", "b"]
    second, names = means(videos, cache)
    assert names == ["c"]
    np.testing.assert_array_equal(second, plain)
    np.testing.assert_array_equal(first, plain[:2])
    unmarked = [dataclasses.replace(video, intervals=()) for video in videos]
    assert means(unmarked, cache)[1] == []  # intervals are not read
    assert means(videos, cache, scale=2.0)[1] == ["a", "b", "c"]
    next(cache.directory.glob("*/*.npz")).write_bytes(b"torn")
    found, _ = means(videos, cache)
    np.testing.assert_array_equal(found, plain)


def test_a_changed_frame_is_another_recording(videos, cache):
    means(videos, cache)
    file = videos[1].read.files[2]
    cv2.imwrite(str(file), np.full((8, 6), 90, np.uint8))
    os.utime(file, (1, 1))  # the file system's clock may be coarse
    found, names = means(videos, cache)
    assert names == ["b"] and found[1][2] == 90


def test_what_is_finished_is_kept(videos, cache, capsys):
    broken = dataclasses.replace(videos[2], name="broken")
    with pytest.raises(UserError, match="cannot be read"):
        means([*videos[:2], broken], cache)
    _, names = means(videos, cache, quiet=False)
    assert names == ["c"]
    assert "brightness: recordings 3/3" in capsys.readouterr().err


def test_digests_of_rendered_recordings_differ_without_rendering(monkeypatch):
    make = lambda seed: recordings.load(
        "synthetic", None, subjects=1, seconds=2.0, micro=1, macro=0, seed=seed
    )[0]
    first, again, other = make(0), make(0), make(1)
    monkeypatch.setattr(long_videos, "_render", None)
    digests = [identity.digest(video) for video in (first, again, other)]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.slow  # the extra is installed for the other tiers
def test_workers_compute_what_is_missing(videos, cache):
    pytest.importorskip("apache_beam", reason="Apache Beam is an extra")
    from mer_jax.datasets import beam

    options = ["direct_running_mode=in_memory", "direct_num_workers=1"]
    pipeline = beam.download_config("DirectRunner", options=options)
    plain, _ = means(videos, None)
    means(videos[:1], cache)
    found, names = means(videos, cache, pipeline=pipeline)
    assert sorted(names) == ["b", "c"]
    np.testing.assert_array_equal(found, plain)
    with pytest.raises(UserError, match=r"^--runner needs a cache"):
        means(videos, None, pipeline=pipeline)
    in_memory = dataclasses.replace(
        videos[0], read=lambda start, stop: np.zeros((4, 8, 6, 1), "u1")
    )
    with pytest.raises(UserError, match="cannot be sent to other processes"):
        means([in_memory], cache, pipeline=pipeline)
