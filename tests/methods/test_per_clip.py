"""Rows are computed once: what is in the cache is read, and only what is in it."""

import os

import cv2
import jax
import numpy as np
import pytest

from mer_jax import methods
from mer_jax.clips import Clip, in_memory
from mer_jax.datasets.folders import Frames
from mer_jax.errors import UserError
from mer_jax.io.array_cache import ArrayCache
from mer_jax.io.large_arrays import Storage
from mer_jax.methods import example_cache, per_clip

OPTIONS = {"size": (16, 12), "length": 5, "num_pixels": 20}


def clips_of(lengths, seed=0):
    rng = np.random.default_rng(seed)
    videos = [rng.integers(0, 256, (length, 16, 12, 1), np.uint8) for length in lengths]
    return [Clip("toy", "s1", f"c{n}", in_memory(v), "x", fps=100.0) for n, v in enumerate(videos)]


def inputs(clips, cache, method="mer_rcnn", **options):
    with example_cache.caching(cache, quiet=True):
        return jax.tree.map(np.asarray, methods.create(method, clips, **OPTIONS | options).inputs)


@pytest.fixture
def cache(tmp_path):
    return ArrayCache(tmp_path / "examples", limit_bytes=1e9)


def test_rows_from_the_cache_are_the_computed_ones(cache):
    clips = clips_of([6, 8, 7, 8, 5])
    plain = inputs(clips, None)
    assert not cache.directory.exists()
    first = inputs(clips, cache)
    assert len(list(cache.directory.glob("mer_rcnn/*.npz"))) == 5
    second = inputs(clips, cache)
    for got in (first, second):
        jax.tree.map(np.testing.assert_array_equal, got, plain)
    # Frames past a clip's end repeat its last one.
    np.testing.assert_array_equal(plain["frames"][4, 4], plain["frames"][4, 7])


def test_only_what_is_missing_is_computed(cache):
    computed = []

    def compute(clip):
        computed.append(clip.name)
        return np.float32(clip.frames.mean())

    clips = clips_of([4, 4, 4])

    def make(clips, **options):
        with (
            example_cache.caching(cache, quiet=True),
            example_cache.for_method("mean", options, compute),
        ):
            return per_clip.compute(clips, compute)

    want = [np.float32(clip.frames.mean()) for clip in clips]
    np.testing.assert_array_equal(make(clips[:2]), want[:2])
    np.testing.assert_array_equal(make(clips), want)
    assert computed == ["c0", "c1", "c2"]
    (cache.directory / "mean").glob("*.npz").__next__().write_bytes(b"torn")
    np.testing.assert_array_equal(make(clips), want)
    assert len(computed) == 4
    make(clips[:1], scale=2)  # another option
    other = clips_of([4, 4, 4], seed=1)  # other frames under the same names
    np.testing.assert_array_equal(make(other), [np.float32(c.frames.mean()) for c in other])
    assert len(computed) == 8


def test_changed_files_are_other_rows(cache, tmp_path):
    files = tuple(tmp_path / f"{n}.png" for n in range(3))
    for file in files:
        cv2.imwrite(str(file), np.full((16, 12), 50, np.uint8))
    clip = Clip("toy", "s1", "c", Frames("toy/s1/c", files, gray=True), "x")
    options = {"size": (16, 12), "length": 3}

    def first(cache):
        with example_cache.caching(cache, quiet=True):
            return np.asarray(methods.create("r3d", [clip], **options).inputs)[0, 0, 0, 0, 0]

    assert first(cache) == pytest.approx(50 / 255)
    cv2.imwrite(str(files[0]), np.full((16, 12), 90, np.uint8))
    os.utime(files[0], (1, 1))  # the file system's clock may be coarse
    assert first(cache) == pytest.approx(90 / 255)


def test_a_killed_stage_keeps_its_finished_rows(cache):
    clips = clips_of([4, 4, 4])

    def compute(clip):
        if clip.name == "c2":
            raise KeyboardInterrupt
        return clip.frames.astype(np.float32)

    with (
        pytest.raises(KeyboardInterrupt),
        example_cache.caching(cache, quiet=True),
        example_cache.for_method("frames", {}, compute),
    ):
        per_clip.compute(clips, compute)
    assert len(list(cache.directory.glob("frames/*.npz"))) == 2


def test_without_a_writable_folder_the_job_goes_on(tmp_path, capsys):
    blocked = tmp_path / "file"
    blocked.write_text("")
    clips = clips_of([6, 6])
    found = inputs(clips, ArrayCache(blocked, limit_bytes=1e9))
    jax.tree.map(np.testing.assert_array_equal, found, inputs(clips, None))
    note = capsys.readouterr().err
    assert note.count("\n") == 1 and "examples are not cached from here on" in note


def test_rows_of_a_clip_do_not_depend_on_its_neighbors():
    clips = clips_of([6] * 6)
    options = {"size": (16, 12), "alphas": (5, 9), "percents": (100, 50), "preset": "horn_schunck"}
    together = np.asarray(methods.create("strcn_g", clips, **options).inputs)
    alone = np.asarray(methods.create("strcn_g", clips[4:5], **options).inputs)
    assert together.shape == (6, 5, 16, 12, 2)
    np.testing.assert_array_equal(alone[0], together[4])


def test_examples_above_the_limit_lie_in_a_file(tmp_path, capsys, cache):
    clips = clips_of([6, 8, 7])
    plain = inputs(clips, None)
    size = sum(array.nbytes for array in plain.values())
    for limit, in_file in ((size, False), (size - 1, True)):
        for _ in range(2):  # computed, then from the cache
            with example_cache.caching(
                cache, quiet=False, storage=Storage(limit, tmp_path / "files")
            ):
                found = methods.create("mer_rcnn", clips, **OPTIONS).inputs
            assert all(isinstance(array, np.memmap) == in_file for array in found.values())
            jax.tree.map(np.testing.assert_array_equal, found, plain)
    assert not list(tmp_path.glob("files/*"))
    printed = capsys.readouterr().err
    assert printed.count("clips 3/3") == 1 and printed.count("they lie in a file in") == 2


@pytest.mark.parametrize("count", [3, 16, 35])
def test_a_reduced_row_depends_on_no_other(count):
    rows = np.random.default_rng(0).normal(size=(count, 700, 30)).astype(np.float32)
    mean = lambda rows: rows.mean((1, 2))
    found = per_clip.reduce(mean, rows)
    np.testing.assert_allclose(found, rows.astype(float).mean((1, 2)), atol=1e-6)
    np.testing.assert_array_equal(per_clip.reduce(mean, rows[1:2]), found[1:2])


def test_two_computations_of_one_method_are_two_entries(cache):
    """The second was read from the first: flows of one setting in place of the other's."""
    clips = clips_of([4, 4])

    def both(clips):
        each = [per_clip.compute(clips, lambda clip, k=k: k * clip.frames[0]) for k in (1, 2)]
        return np.stack(each)

    for _ in range(2):  # computed, then read
        with example_cache.caching(cache, quiet=True), example_cache.for_method("both", {}, both):
            first, second = both(clips)
        np.testing.assert_array_equal(second, 2 * first)


def alike(size, channels, count):
    video = np.random.default_rng(size).integers(0, 256, (6, size, size, channels), np.uint8)
    return [
        Clip("toy", "s1", f"{size}-{channels}-{n}", in_memory(video), "x") for n in range(count)
    ]


MIXED = {  # of each, with 18 clips: wherever chunks of 4 and of 16 end
    "size": (
        alike(20, 1, 9),
        alike(40, 1, 9),
        "flow_maps",
        {"size": (8, 8), "preset": "horn_schunck"},
    ),
    "channels": (alike(20, 1, 9), alike(20, 3, 9), "mer_rcnn", OPTIONS),
}


@pytest.mark.parametrize("name", MIXED)
@pytest.mark.parametrize("order", [1, pytest.param(-1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("cached", [False, True])
def test_clips_of_other_frames_are_refused_wherever_they_stand(cache, name, order, cached):
    one, other, method, options = MIXED[name]
    parts = [one, other][::order]
    with example_cache.caching(cache if cached else None, quiet=True):
        if cached:
            for part in parts:
                methods.create(method, part * 2, **options)
        for clips in (parts[0] * 2 + parts[1] * 2, [c for pair in zip(*parts) for c in pair]):
            with pytest.raises(UserError, match=r"frames are \(.* where toy/s1/.* has \("):
                methods.create(method, clips, **options)


def test_rows_of_other_shapes_are_refused():
    clips = clips_of([4, 5])
    with pytest.raises(UserError, match=r"c1: its example has the shape \(5,\) where that of .*c0"):
        per_clip.compute(clips, lambda clip: clip.frames.mean((1, 2, 3)))
    with pytest.raises(UserError, match="c1: its example has the shape"):  # NumPy would repeat it
        per_clip.compute(clips, lambda clip: np.ones((2, 4 - 3 * clip.name.endswith("1"))))
