"""Flow maps that are mirrored, turned, enlarged, standardized and resized."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mer_jax import methods
from mer_jax.clips import Clip, in_memory
from mer_jax.errors import UserError
from mer_jax.methods.flow_maps import turned
from mer_jax.methods.map_files import stretch
from mer_jax.methods.preprocessing import choose_apex


def clips_of(frames, content):
    return [
        Clip("d", "s", f"c{n}", in_memory(f), "x", content=content) for n, f in enumerate(frames)
    ]


def fields(count=3, size=(12, 10)):
    """u, v [N, H, W] px and any third channel; their ranges and zeros differ."""
    draw = np.random.default_rng(0)
    return draw.normal([0.5, -1.0, 4.0], [1.0, 3.0, 2.0], (count, *size, 3))


def test_a_mirrored_map_is_the_map_of_the_mirrored_flow():
    flow = fields()
    mirrored = flow[:, :, ::-1] * [-1, 1, 1]  # the flow of mirrored frames
    stored, want = clips_of(stretch(flow)[:, None], "flow"), stretch(mirrored)
    for options, unit in ({}, 1.0), ({"flow_scale": 255.0}, 255.0):
        examples = methods.create("flow_maps", stored, size=(12, 10), mirror=True, **options)
        views = np.stack([examples.eval_transform(one, ()) for one in examples.inputs])
        assert views.shape == (3, 2, 12, 10, 3) and examples.num_views == 2
        np.testing.assert_array_equal(views[:, 0], examples.inputs)
        # Halves are rounded to the even neighbor, in the map and in its mirror image.
        np.testing.assert_allclose(views[:, 1] * unit, want, atol=1.001)
        assert (np.abs(views[:, 1] * unit - want) < 1e-3).mean() > 0.99
    drawn = [examples.augment(jax.random.key(n), examples.inputs[0], ()) for n in range(8)]
    kinds = {next(n for n in (0, 1) if np.array_equal(one, views[0, n])) for one in drawn}
    assert kinds == {0, 1}
    standard = methods.create(
        "flow_maps", stored, size=(12, 10), mirror=True, normalize="standard", channels=("v", "u")
    )
    view = standard.eval_transform(standard.inputs[0], ())[1]
    np.testing.assert_allclose(view, standard.inputs[0][:, ::-1] * jnp.array([[[1.0, -1.0]]]))


def test_a_clip_that_is_still_from_its_onset_on_has_no_flow():
    """Before the onset it moves: frame 0 is no apex."""
    x = np.arange(16.0)[None, :, None] + np.zeros((16, 1, 1))
    frames = np.stack([0.5 + 0.4 * np.sin(x / 3 + move) for move in (2, 1, 0, 0, 0)])
    clip = Clip("d", "s", "c", in_memory(frames.astype(np.float32)), "x", onset=2, offset=4)
    maps = methods.create("flow_maps", [clip], size=(8, 8), preset="horn_schunck").inputs
    np.testing.assert_array_equal(maps, 0)
    assert choose_apex(clip, clip.frames, apex="given") == 2


@pytest.mark.parametrize("method", ["flow_maps", "bi_woof", "lbp_top", "lbp_tics"])
def test_databases_with_gray_and_with_rgb_frames_are_one_set(method):
    """As SAMM and CASME II are, in MEGC2019; RGB frames of equal channels are the gray ones."""
    grid = np.indices((3, 6, 12, 12)).astype(np.float64)  # clip, frame, row, column
    levels = 127 + 60 * np.sin(grid[2] / 2) + 60 * np.sin(grid[3] / 2 + (1 + grid[0]) * grid[1] / 9)
    frames = levels[..., None].astype(np.uint8)
    options = {"preset": "horn_schunck"} if method in ("flow_maps", "bi_woof") else {}
    options |= {"radii": (1, 1, 1)} if method.startswith("lbp") else {}
    size = {"size": (6, 6) if method == "flow_maps" else (12, 12)}
    size |= {} if method == "flow_maps" else {"blocks": (2, 2)}

    def inputs(*channels):
        clips = [
            Clip(f"d{c}", "s", f"c{n}", in_memory(np.repeat(each, c, -1)), "x", apex=3, offset=5)
            for n, (c, each) in enumerate(zip(channels, frames, strict=True))
        ]
        return jax.tree.map(np.asarray, methods.create(method, clips, **options, **size).inputs)

    mixed = inputs(3, 1, 3)
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-5), mixed, inputs(3, 3, 3))
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-5), mixed, inputs(1, 1, 1))


@pytest.mark.slow
def test_a_mirrored_video_has_the_mirrored_map():
    x, y = np.meshgrid(np.arange(16), np.arange(16))
    bump = lambda at: np.exp(-((x - at) ** 2 + (y - 6.5) ** 2) / 20)[..., None]
    frames = (255 * np.stack([bump(6.0), bump(6.7)])).astype(np.uint8)
    options = {"size": (8, 8), "preset": "tv_l1", "mirror": True}
    make = lambda f: methods.create("flow_maps", clips_of([f], "video"), apex="found", **options)
    plain, other = make(frames), make(frames[:, :, ::-1])
    view = plain.eval_transform(plain.inputs[0], ())[1]
    assert float(jnp.abs(view[..., 0]).max()) > 0.1
    np.testing.assert_allclose(view, other.inputs[0], atol=0.02)  # sweeps have a direction


def test_turned_and_enlarged_vectors_by_hand():
    turn = jax.jit(turned, static_argnames="vectors")
    field = fields(1, (9, 9))[0].astype(np.float32)
    moved = np.rot90(field)  # counter-clockwise
    # To the right becomes up (v = -u), down becomes to the right (u = v).
    want = np.stack([moved[..., 1], -moved[..., 0], moved[..., 2]], -1)
    found = turn(field, 90.0, vectors=("u", "v", "strain"))
    np.testing.assert_allclose(found, want, atol=1e-4)
    np.testing.assert_allclose(turn(field, 90.0), moved, atol=1e-4)
    swapped = turn(field[..., ::-1], 90.0, vectors=("strain", "v", "u"))
    np.testing.assert_allclose(swapped, want[..., ::-1], atol=1e-4)
    # A field that is linear in the position p from the center is read at p / 2, and doubled.
    rows, columns = np.meshgrid(np.arange(9.0) - 4, np.arange(9.0) - 4, indexing="ij")
    linear = np.stack([3 * columns, rows - columns, rows], -1).astype(np.float32)
    inner = np.s_[1:-1, 1:-1]
    grown = np.asarray(turn(linear, 0.0, 2.0, vectors=("u", "v", "strain")))
    half = linear / 2
    np.testing.assert_allclose(grown[inner], (half * [2, 2, 1])[inner], atol=1e-5)


def test_samples_are_turned_within_the_options():
    stored = clips_of(stretch(fields(1))[:, None], "flow")
    make = lambda **more: methods.create("flow_maps", stored, size=(12, 10), **more)
    still, moving = make(rotation=0.0, zoom=1e-9), make(rotation=8.0, zoom=0.2)
    sample = still.inputs[0]
    np.testing.assert_allclose(still.augment(jax.random.key(0), sample, ()), sample, atol=1e-3)
    first, second = (moving.augment(jax.random.key(n), sample, ()) for n in (0, 1))
    assert moving.num_views == 1 and float(jnp.abs(first - second).max()) > 1
    # Positions only: a stored map has no scale that its channels share.
    wide = jnp.zeros_like(sample).at[..., 0].set(9.0)
    np.testing.assert_allclose(moving.augment(jax.random.key(0), wide, ()), wide, atol=1e-4)


def test_views_are_turned_either_way_and_mirrored():
    stored = clips_of(stretch(fields(1, (9, 9)))[:, None], "flow")
    options = {"size": (9, 9), "rotation": 90.0, "turned_views": True}
    plain = methods.create("flow_maps", stored, **options)
    sample = np.asarray(plain.inputs[0])
    clockwise, counter = np.rot90(sample, -1), np.rot90(sample)
    want = np.stack([sample, clockwise, counter])
    np.testing.assert_allclose(plain.eval_transform(sample, ()), want, atol=1e-3)
    both = methods.create("flow_maps", stored, mirror=True, **options)
    mirrored = want[:, :, ::-1].copy()
    mirrored[..., 0] = 255 - mirrored[..., 0]
    assert both.num_views == 6
    want = np.concatenate([want, mirrored])
    np.testing.assert_allclose(both.eval_transform(sample, ()), want, atol=1e-3)
    larger = methods.create("flow_maps", stored, **options | {"rotation": 5.0, "zoom": 0.1})
    assert larger.eval_transform(sample, ()).shape == (larger.num_views, 9, 9, 3) == (5, 9, 9, 3)


def test_standardized_and_resized_maps():
    pictures = stretch(fields())
    pictures[1, ..., 2] = 7  # a constant channel
    stored = clips_of(pictures[:, None], "flow")
    found = methods.create("flow_maps", stored, size=(12, 10), normalize="standard").inputs
    spread = pictures.std((1, 2), keepdims=True)
    want = (pictures - pictures.mean((1, 2), keepdims=True)) / np.where(spread > 0, spread, 1)
    np.testing.assert_allclose(found, want, atol=1e-4)
    # Triangles of twice the width, whose weights are cut off and made to sum to 1 at the edges.
    halves = methods.create("flow_maps", stored, size=(6, 5)).inputs

    def weights(count):
        centers, pixels = 2 * np.arange(count // 2) + 0.5, np.arange(count)
        table = np.maximum(0, 1 - np.abs(pixels - centers[:, None]) / 2)
        return table / table.sum(1, keepdims=True)

    want = np.einsum("ih,jw,nhwc->nijc", weights(12), weights(10), pictures)
    np.testing.assert_allclose(halves, want, atol=1e-3)


def test_mistakes_are_one_sentence():
    stored = clips_of(stretch(fields(1))[:, None], "flow")
    with pytest.raises(UserError, match=r"regions takes no method\.mirror"):
        methods.create("flow_maps", stored, size=(12, 10), regions="htnet", mirror=True)
    with pytest.raises(UserError, match=r"turned_views needs method\.rotation or"):
        methods.create("flow_maps", stored, size=(12, 10), turned_views=True)
    video = clips_of(np.zeros((1, 3, 12, 10, 1), np.uint8), "video")
    with pytest.raises(UserError, match="add 'u' and 'v'"):
        methods.create("flow_maps", video, preset="horn_schunck", channels=("u",), rotation=5.0)


def test_options_of_videos_are_none_of_stored_maps():
    """They were accepted and changed nothing: rows of a sweep were equal."""
    stored = np.zeros((1, 4, 4, 3), np.uint8)
    clips = [Clip("d", "s", "c", in_memory(stored), "anger", content="flow")]
    for options in ({"preset": "classic_l"}, {"alpha": 8.0}, {"apex": "found"}):
        with pytest.raises(UserError, match="stored flow maps are made already"):
            methods.create("flow_maps", clips, size=(4, 4), **options)
    turned = methods.create("flow_maps", clips, size=(4, 4), channels=("strain",), rotation=5.0)
    assert turned.inputs.shape == (1, 4, 4, 1)


@pytest.mark.parametrize("shape", [(2, 8, 8, 3), (1, 8, 8, 1)])
def test_flow_maps_of_other_axes_are_refused(shape):
    clip = Clip("d", "s", "c", in_memory(np.zeros(shape, np.uint8)), "x", content="flow")
    for size in ((8, 8), (4, 4)):
        with pytest.raises(UserError, match=r"its flow map is .* one frame of three channels"):
            methods.create("flow_maps", [clip], size=size)


def test_a_channel_may_be_there_twice():
    field = fields(1, (9, 9))[0].astype(np.float32)
    once = turned(field, 30.0, 1.1, vectors=("u", "v", "strain"))
    twice = turned(field[..., [0, 1, 1]], 30.0, 1.1, vectors=("u", "v", "v"))
    np.testing.assert_allclose(twice, once[..., np.array([0, 1, 1])], atol=1e-6)
