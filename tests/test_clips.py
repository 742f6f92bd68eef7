"""Clips, their frames and their instants: what they promise, and what they refuse."""

import dataclasses
import pickle

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.util

from mer_jax import methods
from mer_jax.clips import (
    Clip,
    check_axes,
    check_instants,
    in_memory,
    resize,
    stack,
    to_float,
    to_uint8,
)
from mer_jax.errors import UserError

RNG = np.random.default_rng(0)
LEVELS = RNG.integers(0, 256, (6, 8, 7, 3), np.uint8)


def clip(frames=LEVELS, **fields):
    return Clip(
        **dict(database="d", subject="s", name="n", read=in_memory(frames), emotion="") | fields
    )


@pytest.mark.parametrize("dtype", (np.uint8, np.uint16, bool, np.float32, np.float64))
def test_floats_are_scikit_images(dtype):
    frames = RNG.random((2, 3, 4, 1)) if np.dtype(dtype).kind == "f" else RNG.integers(0, 2, 24)
    if np.dtype(dtype).kind == "u":
        frames = np.arange(np.iinfo(dtype).max + 1)
    frames = frames.astype(dtype)
    axes = "THWC"[: frames.ndim]
    expected = skimage.util.img_as_float32(frames)
    found = to_float(frames)
    assert isinstance(found, np.ndarray) and found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-7)
    for on_device in (to_float(jnp.asarray(frames)), jax.jit(to_float)(frames)):
        assert isinstance(on_device, jax.Array) and on_device.dtype == np.float32
        np.testing.assert_array_equal(on_device, found)
    np.testing.assert_array_equal(
        to_uint8(frames, axes=axes), np.round(255 * expected).astype(np.uint8)
    )


@pytest.mark.parametrize("dtype", (np.int8, np.int32, np.int64, np.uint32, complex, object))
def test_what_says_nothing_of_its_range_is_refused(dtype):
    with pytest.raises(UserError, match="of dtype"):
        to_float(np.zeros(3, dtype))
    if dtype in (np.int8, np.int32):
        with pytest.raises(UserError, match="of dtype"):
            jax.eval_shape(to_float, np.zeros(3, dtype))


def test_the_range_of_floats():
    for good in (-1, 0, 1, 2, np.nan):
        assert to_float(np.array([0.5, good])).shape == (2,)
    nothing_known = np.full(3, np.nan, np.float32)
    assert (
        np.isnan(to_float(nothing_known)).all()
        and np.isnan(to_float(jnp.array(nothing_known))).all()
    )
    for bad in (-1.01, 2.01, 255, np.inf, -np.inf):
        for frames in (np.array([np.nan, 0.5, bad]), jnp.array([np.nan, 0.5, bad])):
            with pytest.raises(UserError, match=r"frames from .* to .*: floats are in \[0, 1\]"):
                to_float(frames)
        assert to_float(np.array([float(bad)]), margin=np.inf).shape == (1,)
    assert to_float(np.array([-15.0, 16.0]), margin=15).shape == (2,)


def test_traces_are_not_looked_at_but_constants_are():
    bright = jnp.array([0.0, 255.0])
    np.testing.assert_array_equal(jax.jit(to_float)(bright), bright)
    np.testing.assert_array_equal(jax.vmap(to_float)(bright[None])[0], bright)
    assert jax.grad(lambda x: to_float(x).sum())(bright).shape == (2,)
    assert jax.jit(lambda x: x + to_float(bright / 255).sum())(1.0) == 2
    with pytest.raises(UserError, match="0 to 255"):
        jax.jit(lambda x: x + to_float(bright).sum())(1.0)


@pytest.mark.parametrize(
    "instants, words",
    [
        ({"onset": -1}, "onset is -1; it must be a frame number"),
        ({"onset": None}, "onset is None"),
        ({"onset": np.nan}, "onset is nan"),
        ({"apex": 22.9}, r"apex is 22\.9; .* \(None: not known\)"),
        ({"apex": -1}, "apex is -1"),
        ({"apex": "3"}, "apex is '3'"),
        ({"apex": True}, "apex is True"),
        ({"onset": False}, "onset is False"),
        ({"offset": np.float64("nan")}, "offset is .*nan"),
        ({"onset": 3, "apex": 2}, "onset 3, apex 2: .* in the order"),
        ({"onset": 3, "offset": 2}, "onset 3, offset 2: "),
        ({"onset": 1, "apex": 4, "offset": 3}, "onset 1, apex 4, offset 3: "),
    ],
)
def test_instants_are_checked_when_a_clip_is_made(instants, words):
    with pytest.raises(UserError, match=f"^d/s/n: {words}"):
        clip(**instants)
    with pytest.raises(UserError, match=f"^d/s/n: {words}"):
        dataclasses.replace(clip(), **instants)


@pytest.mark.parametrize(
    "instants, word", [({"onset": 49, "apex": 68}, "onset is 49"), ({"apex": 6}, "apex is 6"),
                       ({"offset": 6}, "offset is 6")],
)  # fmt: skip
def test_instants_are_checked_against_the_frames(instants, word):
    made = clip(**instants)
    for read in (lambda: made.frames, lambda: stack([clip(), made])):
        with pytest.raises(UserError, match=f"^d/s/n: {word}; the clip's frames are 0 to 5"):
            read()
    assert dataclasses.replace(made, content="flow").frames.shape == LEVELS.shape  # of no video
    with pytest.raises(UserError, match="0 to 3"):
        check_instants(0, 4, None, length=4)


def test_sound_instants_stay():
    made = clip(onset=np.int64(1), apex=np.int16(5), offset=np.uint8(5))
    assert [made.onset, made.apex, made.offset] == [1, 5, 5]
    assert {type(made.onset), type(made.apex), type(made.offset)} == {int}
    batch = stack([made, clip(), clip(onset=5)])
    assert batch.onset.tolist() == [1, 0, 5]
    assert batch.apex.tolist() == [5, -1, -1] and batch.offset.tolist() == [5, 5, 5]


@pytest.mark.parametrize(
    "frames, words",
    [
        (
            LEVELS[..., 0],
            r"\[T, H, W, C\]; add the channel axis of gray frames by \[\.\.\., None\]",
        ),
        (LEVELS[0, 0], r"\[T, H, W, C\], C = "),
        (LEVELS[None], r"\[T, H, W, C\], C = "),
        (LEVELS[:0], "none of them empty"),
        (LEVELS[..., :2], r"C = 1 \(gray\) or 3 \(RGB\)"),
        (LEVELS.astype(int), "dtype int64"),
        (LEVELS.astype(np.float32), "divide them by 255"),
    ],
)
def test_what_cannot_be_frames_is_refused_with_the_clips_key(frames, words):
    for read in (lambda made: made.frames, lambda made: stack([made])):
        with pytest.raises(UserError, match=f"^d/s/n: .*{words}"):
            read(clip(frames))


def test_frames_are_uint8_or_float32():
    for given in (LEVELS, LEVELS / 255, LEVELS.astype(np.uint16) * 257, LEVELS > 127):
        found = clip(given).frames
        assert found.dtype == (np.uint8 if given is LEVELS else np.float32)
        expected = LEVELS > 127 if given.dtype == bool else LEVELS / 255
        np.testing.assert_allclose(to_float(found), expected, atol=1e-6)
        np.testing.assert_allclose(stack([clip(given)]).frames[0], expected, atol=1e-6)


def test_keys_are_unique():
    assert clip(name="b/c").key == "d/s/b/c"
    for field in ("database", "subject"):
        with pytest.raises(UserError, match=f"{field} is 'a/b'; .* without"):
            clip(**{field: "a/b"})
    for field in ("database", "subject", "name"):
        with pytest.raises(UserError, match=f"{field} is 7; it must be text"):
            clip(**{field: 7})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        *(
            ({"fps": fps}, f"fps is {fps}; it must be a number, above 0")
            for fps in (0, -25.0, True)
        ),
        ({"fps": float("nan")}, "fps is nan"),
        ({"fps": "25"}, "fps is '25'"),
        ({"landmarks": np.zeros((5, 2))}, r"landmarks of shape \(5, 2\): expected \[68, 2\]"),
        ({"landmarks": np.zeros((2, 68))}, r"landmarks of shape \(2, 68\)"),
        *(({field: ""}, f"{field} is ''; it must be text") for field in ("subject", "name")),
    ],
)
def test_fields_of_a_clip_are_checked(fields, words):
    with pytest.raises(UserError, match=words):
        clip(**fields)


def test_valid_fields_of_a_clip_are_kept():
    made = clip(fps=np.float32(200), landmarks=np.zeros((68, 2), np.float32))
    assert type(made.fps) is float and made.fps == 200 and made.landmarks.shape == (68, 2)
    assert clip().fps is None


@pytest.mark.parametrize(
    ("shape", "axes", "options", "fits"),
    [
        ((5, 4), "HW", {}, True),
        ((5, 4), "HW", {"min_size": 5}, False),
        ((2, 8, 8), "TW7", {}, False),
        ((2, 8, 7), "TW7", {"min_size": 3}, True),
        ((4,), "...C", {}, False),
        ((3,), "...C", {}, True),
        ((9, 9, 1), "...C", {}, True),
        ((), "...C", {}, False),
        ((), "N...", {}, False),
        ((0, 3), "N...", {}, False),
        ((3, 2, 2), "N...", {}, True),
        ((3, 2, 2, 5), "...HWc", {}, True),
        ((68, 2), "68 2", {}, True),
        ((68, 3), "68 2", {}, False),
    ],
)
def test_axes_are_checked(shape, axes, options, fits):
    for array in (np.zeros(shape), jax.ShapeDtypeStruct(shape, np.float32)):
        if fits:
            check_axes(array, axes, **options)
        else:
            with pytest.raises(UserError, match=r"^map of shape .*: expected \["):
                check_axes(array, axes, name="map", **options)


def test_nothing_is_refused():
    with pytest.raises(UserError, match="list is empty"):
        stack([])
    for name in methods.names():
        with pytest.raises(UserError, match="no clips"):
            methods.create(name, [])
    for frames in (LEVELS[:0], LEVELS[0], LEVELS[:, :0]):
        with pytest.raises(UserError, match=r"\[T, H, W, C\]"):
            resize(frames, (4, 4))


def test_resizing_takes_every_dtype():
    expected = resize(np.float32(LEVELS) / 255, (4, 4))
    assert resize(LEVELS, (4, 4)).dtype == np.uint8
    for same in (LEVELS / 255, LEVELS.astype(np.uint16) * 257):
        np.testing.assert_allclose(resize(same, (4, 4)), expected, atol=1e-6)
    assert resize(LEVELS > 127, (4, 4)).dtype == np.float32


def test_frames_in_memory_pickle():
    again = pickle.loads(pickle.dumps(clip()))
    np.testing.assert_array_equal(again.frames, LEVELS)


def test_an_axis_that_shrinks_is_averaged_whatever_the_other_does():
    rng = np.random.default_rng(0)
    frames = rng.random((1, 40, 120, 1)).astype(np.float32)
    averages = frames.reshape(1, 40, 40, 3, 1).mean(3)
    np.testing.assert_allclose(resize(frames, (40, 40)), averages, atol=1e-6)
    for height in (39, 41):
        assert abs(resize(frames, (height, 40)).std() / averages.std() - 1) < 0.2
    tall = resize(frames, (80, 40))[0, :, :, 0]
    np.testing.assert_allclose(tall, cv2.resize(averages[0, ..., 0], (40, 80)), atol=1e-6)
    turned = resize(frames.swapaxes(1, 2), (40, 80))[0, :, :, 0]
    np.testing.assert_allclose(turned, tall.T, atol=1e-6)
