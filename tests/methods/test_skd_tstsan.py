"""SKD-TSTSAN's 38 channels, by OpenCV and NumPy as its authors' script makes them."""

import dataclasses

import cv2
import numpy as np
import pytest

from mer_jax import methods
from mer_jax.clips import Clip, in_memory
from mer_jax.errors import UserError
from mer_jax.video import optical_flow

SMALL = {"size": (6, 6), "frame_size": (16, 16), "blocks": (2, 2), "preset": "horn_schunck"}


def test_channels_are_frames_blocks_and_flows():
    x, y = np.meshgrid(np.arange(16.0), np.arange(16.0))
    at = [6.0, 6.0, 6.4, 7.5, 7.2, 6.5]
    video = np.stack([150 * np.exp(-((x - c) ** 2 + (y - 7) ** 2) / 18) for c in at]) + 40
    video = video.astype(np.uint8)[..., None]
    clips = [
        Clip("d", "s", f"c{offset}", in_memory(video), "x", onset=1, apex=3, offset=offset)
        for offset in (None, 4)
    ]
    made = methods.create("skd_tstsan", clips, **SMALL)
    assert made.input_shape == (6, 6, 2 + 2 * 4 + 4) and made.inputs.dtype == np.float32

    scaled = lambda image: (image - image.min()) / (image.max() - image.min())
    small = lambda image: cv2.resize(image, (6, 6))  # linear, without a filter
    halves = slice(8), slice(8, 16)
    cut = lambda image: [small(scaled(image)[rows, cols]) for rows in halves for cols in halves]
    for example, offset in zip(made.inputs, (5, 4)):
        onset, apex, last = (video[n, ..., 0].astype(np.float32) / 255 for n in (1, 3, offset))
        flows = [
            np.array(optical_flow(*pair, preset="horn_schunck"))
            for pair in ((onset, apex), (apex, last))
        ]
        assert flows[0][7, 7, 0] > 0.2 and flows[1][7, 7, 0] < -0.1
        want = [small(scaled(apex)), small(scaled(onset)), *cut(apex), *cut(onset)]
        want += [scaled(small(flow[..., k].copy())) for flow in flows for k in (0, 1)]
        np.testing.assert_allclose(example, np.stack(want, -1), atol=2e-3)


def test_a_found_apex_lies_between_onset_and_offset():
    noise = np.random.default_rng(0).normal(size=(16, 16))
    strength = [9, 0, 1, 4, 2, 0, 9]  # most before the onset and after the offset
    video = np.stack([120 + 9 * s * noise for s in strength]).clip(0, 255).astype(np.uint8)
    given = Clip("d", "s", "c", in_memory(video[..., None]), "x", onset=1, apex=3, offset=5)
    other = dataclasses.replace(given, apex=2)
    unknown = dataclasses.replace(given, apex=None)
    expected, different = methods.create("skd_tstsan", [given, other], **SMALL).inputs
    assert np.abs(different - expected).max() > 0.1
    (alone,) = methods.create("skd_tstsan", [unknown], **SMALL).inputs
    np.testing.assert_array_equal(alone, expected)
    for example in methods.create("skd_tstsan", [other, unknown], apex="found", **SMALL).inputs:
        np.testing.assert_array_equal(example, expected)


@pytest.mark.parametrize("frame_size", [(1, 16), (16, 1)])
def test_blocks_without_pixels_are_refused(frame_size):
    clip = Clip("d", "s", "c", in_memory(np.zeros((3, 16, 16, 1), np.uint8)), "x")
    with pytest.raises(UserError, match=r"method.frame_size .* is smaller than method.blocks"):
        methods.create("skd_tstsan", [clip], **SMALL | {"frame_size": frame_size})
