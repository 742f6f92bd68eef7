"""Video operations against other implementations: one clip or pair, compiled beforehand."""

import contextlib
import io
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from threadpoolctl import threadpool_limits

from mer_jax.datasets import synthetic
from mer_jax.descriptors import lbp_top
from mer_jax.video import magnify, optical_flow, rpca
from mer_jax.video.resample import apply, matrix
from tests.twins.references import recursion, tim_by_svd
from tools.bench.timing import Table, compare, timing_table


def tables(rounds: int, quick: bool) -> Iterator[Table]:
    """A table for each operation; implementations that are not installed are named in it."""
    scene = synthetic.scenes(
        subjects=1,
        clips_per_subject=1,
        size=(128, 128),
        frames=(60, 60),
        gray=True,
        amplitude=(1, 1),
    )[0]
    clip = np.asarray(scene.clip.frames, np.float32) / 255
    for make in (_magnify, _rpca, _flow, _tim, _lbp_top):
        yield make(clip, scene, rounds)


def _magnify(clip, scene, rounds) -> Table:
    ours = jax.jit(lambda c: magnify(c, alpha=8.0, saturate=False))
    device = jnp.asarray(clip)
    cases = {"mer_jax": lambda: ours(device)}
    errors = {}
    try:
        expected = recursion(clip, alpha=8.0)
    except ImportError:
        errors["mer_jax"] = "pyrtools is not installed"
    else:
        difference = np.abs(np.asarray(ours(device)) - expected).max()
        errors["mer_jax"] = f"largest difference {difference:.1e}"
        cases["NumPy + pyrtools, frame by frame"] = lambda: recursion(clip, alpha=8.0)
    rows = compare(cases, rounds=min(rounds, 3), errors=errors)
    return timing_table("Magnification, 60 x 128 x 128 gray", rows)


def _rpca(clip, scene, rounds) -> Table:
    columns = clip[:30, 8:120, 8:120, 0].reshape(30, -1).T.copy()  # 12544 x 30
    ours = jax.jit(rpca)
    device = jnp.asarray(columns)
    cases = {"mer_jax, inexact ALM": lambda: ours(device)}
    errors = {}
    try:
        from pyrpca import rpca_pcp_ialm
    except ImportError:
        errors["mer_jax, inexact ALM"] = "pyrpca is not installed"
    else:
        factor = 1 / np.sqrt(max(columns.shape))

        def reference(threads):
            # It prints every iteration. Our tolerance; its own is ten times smaller.
            with contextlib.redirect_stdout(io.StringIO()), threadpool_limits(threads):
                return rpca_pcp_ialm(columns, factor, tol=1e-6)

        sparse = np.asarray(ours(device)[1])
        relative = np.linalg.norm(sparse - reference(1)[1]) / np.linalg.norm(sparse)
        for name, threads in (("one BLAS thread", 1), ("all BLAS threads", None)):
            title = f"pyrpca, inexact ALM, {name}"
            cases[title] = partial(reference, threads)
            errors[title] = f"E differs by {relative:.1%} (another update order)"
    return timing_table(
        "Robust PCA, 12544 x 30", compare(cases, rounds=min(rounds, 3), errors=errors)
    )


def _flow(clip, scene, rounds) -> Table:
    first, second = clip[scene.onset], clip[scene.apex]
    truth = scene.flow(scene.apex, scene.onset)

    def error(flow):
        return (
            f"end-point error {np.linalg.norm((flow - truth)[4:-4, 4:-4], axis=-1).mean():.3f} px"
        )

    pair = jnp.asarray(first), jnp.asarray(second)
    batches = tuple(jnp.stack([frame] * 16) for frame in pair)
    cases, errors = dict[str, Callable[[], object]](), dict[str, str]()
    for preset in ("classic_l", "tv_l1", "horn_schunck"):
        one = jax.jit(lambda a, b, preset=preset: optical_flow(a, b, preset=preset))
        batch = jax.jit(jax.vmap(lambda a, b, preset=preset: optical_flow(a, b, preset=preset)))
        cases[f"mer_jax {preset}"] = partial(one, *pair)
        cases[f"mer_jax {preset}, of 16"] = partial(batch, *batches)
        errors[f"mer_jax {preset}"] = error(np.asarray(one(*pair)))
    gray = [(frame[..., 0] * 255).astype(np.uint8) for frame in (first, second)]
    try:
        from skimage.registration import optical_flow_tvl1
    except ImportError:
        pass
    else:
        floats = [frame[..., 0] for frame in (first, second)]
        name = "scikit-image TV-L1"
        cases[name] = lambda: optical_flow_tvl1(*floats)
        errors[name] = error(np.moveaxis(optical_flow_tvl1(*floats)[::-1], 0, -1))
    import cv2

    dis: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    farneback: Any = cv2.calcOpticalFlowFarneback
    others = {
        "OpenCV DIS medium": lambda: dis.calc(*gray, None),
        "OpenCV Farneback": lambda: farneback(*gray, None, 0.5, 3, 15, 3, 5, 1.2, 0),
    }
    for name, run in others.items():
        cases[name], errors[name] = run, error(run())
    baseline = f"zero flow: {error(np.zeros_like(truth))}"
    per = {name: 16 if name.endswith("of 16") else 1 for name in cases}
    rows = compare(cases, rounds=rounds, per=per, errors=errors)
    return timing_table(f"Optical flow, one pair of 128 x 128; ours: Classic-L ({baseline})", rows)


def _tim(clip, scene, rounds) -> Table:
    product = jax.jit(apply)
    device = jnp.asarray(clip)
    ours = lambda clip: product(jnp.asarray(matrix(60, 10)), clip)  # as the other, with its matrix
    flat = clip.reshape(60, -1).astype(np.float64)
    cases = {
        "mer_jax, one product": lambda: ours(device),
        "NumPy, SVD construction": lambda: tim_by_svd(flat, 10),
    }
    difference = np.abs(np.asarray(ours(device)).reshape(10, -1) - tim_by_svd(flat, 10)).max()
    errors = {"NumPy, SVD construction": f"largest difference {difference:.1e}"}
    return timing_table(
        "TIM, 60 frames to 10, 128 x 128", compare(cases, rounds=rounds, errors=errors)
    )


def _lbp_top(clip, scene, rounds) -> Table:
    ours = jax.jit(lbp_top)
    device = jnp.asarray(clip)
    levels = np.round(255 * clip[..., 0]).astype(np.uint8)
    cases = {"mer_jax": lambda: ours(device), "NumPy, vectorized": lambda: _lbp_numpy(levels)}
    difference = np.abs(np.asarray(ours(device)) - _lbp_numpy(levels)).max()
    errors = {"NumPy, vectorized": f"largest difference {difference:.1e}"}
    rows = compare(cases, rounds=rounds, errors=errors)
    return timing_table("LBP-TOP, 60 x 128 x 128 gray, 5 x 5 blocks", rows)


def _lbp_numpy(levels: np.ndarray) -> np.ndarray:
    """LBP-TOP of [T, H, W] uint8 with radii (1, 1, 4), 8 points and uniform codes.

    Slices are compared, and one `bincount` a plane fills the histograms of all blocks.
    """
    changes = [bin(code ^ ((code >> 1) | (code & 1) << 7)).count("1") for code in range(256)]
    uniform = [code for code in range(256) if changes[code] <= 2]
    bins = np.full(256, len(uniform))
    bins[uniform] = np.arange(len(uniform))
    frames, height, width = (n - 2 * m for n, m in zip(levels.shape, (4, 1, 1)))
    starts = lambda n: np.arange(6) * n // 5
    block_of = lambda n: np.searchsorted(starts(n), np.arange(n), side="right") - 1
    block = block_of(height)[:, None] * 5 + block_of(width)[None, :]
    nearest = lambda x: int(np.floor(x + 0.5))

    def at(t, y, x):
        return levels[4 + t : 4 + t + frames, 1 + y : 1 + y + height, 1 + x : 1 + x + width]

    histograms = []
    for plane in ("xy", "xt", "yt"):
        code = np.zeros((frames, height, width), np.uint8)
        for p in range(8):
            cos, sin = np.cos(np.pi * p / 4), np.sin(np.pi * p / 4)
            offset = {
                "xy": (0, nearest(-sin), nearest(cos)),
                "xt": (nearest(4 * sin), 0, nearest(cos)),
                "yt": (nearest(4 * cos), nearest(-sin), 0),
            }[plane]
            code |= (at(*offset) >= at(0, 0, 0)).astype(np.uint8) << np.uint8(p)
        index = block * 59 + bins[code]
        counts = np.bincount(index.ravel(), minlength=25 * 59).reshape(25, 59)
        histograms.append(counts / counts.sum(1, keepdims=True))
    return np.concatenate(histograms, axis=1).ravel()
