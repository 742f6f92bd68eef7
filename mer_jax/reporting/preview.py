"""Magnification, differences, RPCA, flow and strain of one clip, in one picture.

    preview = preview_clip(frames, onset=5, apex=17)
    figures.png(plot_preview(preview))  # one picture, at the apex
    animation(preview)                  # the same at every frame, as a GIF

As in STRCN (Figs. 4 and 5), PSN (Figs. 3, 5 and 8) and STCNN (Fig. 4).
"""

import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mer_jax import options
from mer_jax.clips import check_instants, to_float
from mer_jax.errors import UserError
from mer_jax.nn.tpu import temporal_perception
from mer_jax.reporting import clip_figures, colors, figures
from mer_jax.reporting.colors import BLUE, FAINT, INK, VERMILION
from mer_jax.video import (
    apex_index,
    difference_heatmap,
    keep_quantiles,
    magnify,
    optical_flow,
    optical_strain,
    rpca,
    to_gray,
    top_pixels,
)
from mer_jax.video.difference import num_pixels_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_RATE = 12.5  # Hz, of an animation


class Preview(NamedTuple):
    """Arrays on the host; S frames have a flow."""

    frames: np.ndarray  # [T, H, W, C] in [0, 1]
    magnified: np.ndarray  # [T, H, W, C] in [0, 1]
    heat: np.ndarray  # [H, W] sum of the magnified clip's differences to frame 0 (STRCN Eq. 4)
    mask: np.ndarray  # [H, W] bool: its largest values
    sparse: np.ndarray  # [T, H, W] E of D = A + E (PSN Eqs. 1, 2), strongest 30 % of it
    flow_frames: np.ndarray  # [S] int: the frames that `flow` and `strain` are of
    flow: np.ndarray  # [S, H, W, 2] px from onset to these frames
    strain: np.ndarray  # [S, H, W]
    perception: np.ndarray  # [T] tp_t (PSN Eq. 7), gray levels of 255
    distance: np.ndarray  # [T] std(I_t - I_0) of the magnified clip (STRCN Eq. 5), likewise
    onset: int
    apex: int
    marked: bool  # whether `apex` was given; else it is where `distance` is largest
    fps: float  # Hz, 0 where unknown
    alpha: float


def preview_clip(
    frames: np.ndarray,
    *,
    onset: int = 0,
    apex: int | None = None,
    fps: float = 0.0,
    alpha: float = 8.0,
    mask_fraction: float = 0.3,
    every: bool = False,
    progress: Callable[[float], None] | None = None,
) -> Preview:
    """All steps for one clip.

    Args:
      frames: [T, H, W, C] floats in [0, 1], or integers over their range.
      onset: frame from which the flow is computed.
      apex: None finds it (STRCN Eq. 5, on the magnified clip).
      fps: Hz, 0 where unknown.
      alpha: magnification factor.
      mask_fraction: share of the pixels in the mask.
      every: flow from the onset to every frame, not only to the apex.
      progress: of `rpca`, which takes the most time.

    Raises:
      UserError: for one frame, or an onset or apex outside the clip or not in this order.
    """
    frames = to_float(frames, axes="THWC")
    length = len(frames)
    if length < 2:
        raise UserError("a clip needs two frames or more; this one has fewer")
    check_instants(onset, apex, None, length=length)
    mask_fraction, alpha = (
        options.check_value("mask_fraction", "mask_fraction", mask_fraction),
        options.check_value("alpha", "alpha", alpha),
    )
    height, width = frames.shape[1:3]

    @jax.jit
    def steps(frames):
        moved = magnify(frames, alpha=alpha)
        heat = difference_heatmap(moved)
        largest = top_pixels(heat, num_pixels=num_pixels_of(mask_fraction, heat.size))
        gray = to_gray(frames)
        _, sparse = rpca(gray.reshape(length, -1).T, progress=progress)
        return {
            "magnified": moved,
            "heat": heat,
            "mask": jnp.zeros(heat.size, bool).at[largest].set(True).reshape(heat.shape),
            "sparse": keep_quantiles(sparse.T).reshape(length, height, width),
            "perception": 255 * temporal_perception(gray[None])[0],
            "distance": 255 * jnp.std(moved - moved[:1], axis=(1, 2, 3)),
            "found": apex_index(moved),
        }

    @jax.jit
    def flows(first, others):
        flow = jax.lax.map(lambda frame: optical_flow(first, frame, preset="tv_l1"), others)
        return flow, jax.vmap(optical_strain)(flow)

    out = jax.device_get(steps(jnp.asarray(frames)))
    found = int(out.pop("found"))
    marked, apex = apex is not None, found if apex is None else apex
    flow_frames = np.arange(length) if every else np.array([apex])
    flow, strain = jax.device_get(
        flows(jnp.asarray(frames[onset]), jnp.asarray(frames[flow_frames]))
    )
    return Preview(
        frames=frames,
        flow_frames=flow_frames,
        flow=flow,
        strain=strain,
        onset=onset,
        apex=apex,
        marked=marked,
        fps=fps,
        alpha=alpha,
        **out,
    )


def plot_preview(preview: Preview) -> "Figure":
    """Eight tiles at the apex, and two curves over the frames."""
    figure, _ = _draw(preview, preview.apex)
    return figure


def animation(preview: Preview) -> bytes:
    """The figure of `plot_preview` at every frame of `Preview.flow_frames`, as a GIF file.

    Args:
      preview: made with `every=True`, or it has one frame.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    figure, move = _draw(preview, int(preview.flow_frames[0]))
    figure.set_dpi(72)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    figure.set_layout_engine("none")  # laid out once, so that nothing jumps between frames
    pictures = []
    for frame in preview.flow_frames:
        move(int(frame))
        canvas.draw()
        pictures.append(np.asarray(canvas.buffer_rgba())[..., :3].copy())
    # One palette for all frames avoids flicker: half for frequent colors (skin), half for distant
    # ones (the color wheel).
    sample = np.concatenate([pictures[i] for i in np.linspace(0, len(pictures) - 1, 5).astype(int)])
    values: list[int] = []
    for method in (Image.Quantize.MEDIANCUT, Image.Quantize.MAXCOVERAGE):
        half = Image.fromarray(sample).quantize(128, method).getpalette() or []
        values += (half + 384 * [0])[:384]
    palette = Image.new("P", (1, 1))
    palette.putpalette(values)
    pictures = [
        Image.fromarray(picture).quantize(palette=palette, dither=Image.Dither.NONE)
        for picture in pictures
    ]
    out = io.BytesIO()
    pictures[0].save(
        out, "GIF", save_all=True, append_images=pictures[1:], duration=1000 / _RATE, loop=0
    )
    return out.getvalue()


@figures.styled
def _draw(preview: Preview, start: int) -> tuple["Figure", Callable[[int], None]]:
    """(figure, move): the figure at frame `start`, and a function that moves it to a frame."""
    from matplotlib.colors import PowerNorm

    height, width = preview.heat.shape
    frames, magnified = (_to_rgb(a) for a in (preview.frames, preview.magnified))
    # Full color is at a quantile, so that an outlier does not bleach the rest, and above rounding
    # (1e-4 px or of [0, 1]).
    top = lambda values: max(float(np.quantile(np.abs(values), 0.995)), 1e-4)
    max_flow, max_sparse = top(np.linalg.norm(preview.flow, axis=-1)), 2 * top(preview.sparse)
    # The square root shows small motion beside a blink.
    root = lambda values: {"cmap": "magma", "norm": PowerNorm(0.5, vmin=0, vmax=top(values))}
    apex = f"apex {preview.apex}, {'given' if preview.marked else 'found'}"
    index = {int(frame): i for i, frame in enumerate(preview.flow_frames)}
    still = lambda picture: lambda t: picture
    # title at t, picture at t, options of imshow
    tiles: Sequence[tuple[Callable, Callable, dict[str, Any]]] = (
        (lambda t: f"onset, frame {preview.onset}", still(frames[preview.onset]), {}),
        (lambda t: apex if t == preview.apex else f"frame {t}", lambda t: frames[t], {}),
        (lambda t: f"magnified, α = {preview.alpha:g}", lambda t: magnified[t], {}),
        (lambda t: "difference, all frames", still(preview.heat), root(preview.heat)),
        (
            lambda t: f"strongest {preview.mask.mean():.0%}",
            lambda t: np.where(preview.mask[..., None], magnified[t], 0.12),
            {},
        ),
        (
            lambda t: "sparse part (RPCA)",
            lambda t: preview.sparse[t],
            {"cmap": "RdBu_r", "vmin": -max_sparse, "vmax": max_sparse},
        ),
        (
            lambda t: f"flow, full at {max_flow:.2g} px",
            lambda t: colors.flow_to_rgb(preview.flow[index[t]], largest=max_flow),
            {},
        ),
        (lambda t: "strain", lambda t: preview.strain[index[t]], root(preview.strain)),
    )
    tile_height = 1.9 * height / width + 0.32
    figure = figures.new_figure(8.2, 2 * tile_height + 1.75)
    parts: Any = figure.subfigures(2, 1, height_ratios=(2 * tile_height, 1.75))
    upper, lower = parts
    images = []
    for axes, (title, picture, style) in zip(np.ravel(upper.subplots(2, 4)), tiles):
        images.append((axes, axes.imshow(picture(start), interpolation="nearest", **style)))
        axes.set_title(title(start), fontsize=10.5, fontweight="normal", loc="center", pad=4)
        axes.axis("off")
        if title(start).startswith("flow"):
            clip_figures.wheel_inset(axes)
    cursors = [_curve(axes, preview, *curve, start) for axes, curve in zip(
        lower.subplots(1, 2),
        (
            (preview.perception, "Change to the frame before, tp", BLUE),
            (preview.distance, "Distance to the first frame, magnified", INK),
        ),
    )]  # fmt: skip

    def move(t: int) -> None:
        for (axes, image), (title, picture, _) in zip(images, tiles):
            image.set_data(picture(t))
            axes.title.set_text(title(t))
        for cursor, values in zip(cursors, (preview.perception, preview.distance)):
            cursor.set_data([t], [values[t]])

    return figure, move


def _curve(axes, preview: Preview, values: np.ndarray, title: str, color: str, start: int):
    axes.plot(values, color=color, linewidth=1.6)
    (cursor,) = axes.plot([start], [values[start]], "o", color=VERMILION, markersize=6, zorder=4)
    for frame, name, line in ((preview.onset, "onset", FAINT), (preview.apex, "apex", VERMILION)):
        axes.axvline(frame, color=line, linewidth=1, linestyle=(0, (4, 3)), zorder=0)
        axes.annotate(name, (frame, 1), (3, -1), xycoords=("data", "axes fraction"), fontsize=9,
                      textcoords="offset points", va="top", color=line)  # fmt: skip
    axes.set(xlim=(0, len(values) - 1), ylim=(0, 1.18 * max(float(values.max()), 1e-6)))
    axes.set_title(title, fontsize=10.5)
    axes.set_xlabel(f"frame, {preview.fps:g} a second" if preview.fps else "frame")
    axes.set_ylabel("gray levels")
    figures.plain(axes, "left", "bottom", grid="y", integer=True)
    return cursor


def _to_rgb(frames: np.ndarray) -> np.ndarray:
    """[T, H, W, 3] in [0, 1]."""
    return np.broadcast_to(np.clip(frames, 0, 1), (*frames.shape[:3], 3))
