"""The figures of the papers' analyses: functions of arrays that return a matplotlib `Figure`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from mer_jax.metrics import intervals
from mer_jax.reporting import colors, figures
from mer_jax.reporting.colors import BLUE, FAINT, SKY, VERMILION

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FRAMES = 6  # drawn of a clip
_MAPS = 16  # drawn of a layer


@figures.styled
def saliency(
    inputs: Mapping[str, np.ndarray],
    heat: Mapping[str, np.ndarray],
    *,
    flow: bool = False,
    frame: str = "frame",
) -> "Figure":
    """The inputs of a network and their saliency below them (dark: 0).

    Args:
      inputs: by name, [H, W, C] or [T, H, W, C], of which up to six frames are drawn.
      heat: likewise, without C; each name has its own scale.
      flow: the first two channels are the components of a flow; else frames, and where there are
        neither one nor three channels, the first one.
      frame: what T counts.
    """
    rows = [(name, _as_clip(inputs[name], 4), _as_clip(heat[name], 3)) for name in inputs]
    most = max(len(clip) for _, clip, _ in rows)
    shown = np.unique(np.linspace(0, most - 1, min(most, _FRAMES)).round().astype(int))
    height, width = rows[0][1].shape[1:3]
    tall = min(max(height / width, 0.25), 2.5)
    side = 1.45 if len(shown) > 1 else 2.4
    figure = figures.new_figure(side * len(shown) + 0.35, 2 * len(rows) * side * tall + 0.3)
    grid = figure.subplots(2 * len(rows), len(shown), squeeze=False)
    for (name, clip, weight), above, below in zip(rows, grid[::2], grid[1::2]):
        pictures, style = _as_images(clip, flow=flow)
        top = max(float(np.quantile(weight, 0.998)), 1e-12)
        for at, input_axes, heat_axes in zip(shown, above, below):
            input_axes.imshow(pictures[at], aspect="auto", interpolation="nearest", **style)
            heat_axes.imshow(
                weight[at], aspect="auto", interpolation="nearest", cmap="magma", vmin=0, vmax=top
            )
            if len(shown) > 1:
                title = {"fontsize": 9.5, "fontweight": "normal", "loc": "center"}
                input_axes.set_title(f"{frame} {at}", **title)
        channels = clip.shape[-1]
        part = f", channel 1 of {channels}" if not flow and channels not in (1, 3) else ""
        above[0].set_ylabel(name + part, fontsize=10)
        below[0].set_ylabel("saliency", fontsize=10)
    for axes in grid.ravel():
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    return figure


@figures.styled
def feature_maps(layers: Mapping[str, np.ndarray]) -> "Figure":
    """Up to 16 maps of each layer, those that vary most, each over its own range.

    Args:
      layers: title -> [..., H, W, F]. Of several frames (or clips) the one in which the layer's
        maps vary most is drawn.
    """
    from matplotlib import colormaps

    gray = colormaps["gray"].with_extremes(bad=SKY)
    figure = figures.new_figure(3.1 * len(layers), 3.7)
    grid = figure.subplots(1, len(layers), squeeze=False)[0]
    for axes, (title, maps) in zip(grid, layers.items()):
        axes.imshow(_mosaic(maps), cmap=gray, interpolation="nearest", vmin=0, vmax=1)
        axes.set_title(title, fontsize=9.5, fontweight="normal")
        axes.axis("off")
    return figure


@figures.styled
def temporal_perception(tp: np.ndarray) -> "Figure":
    """tp_t of one clip over its frames, [T] (PSN, Equation 7)."""
    figure = figures.new_figure(5.2, 2.3)
    axes = figure.subplots()
    axes.plot(tp, color=BLUE, linewidth=1.8, marker="o", markersize=4)
    axes.set(xlabel="frame of the input", ylim=(0, 1.15 * max(float(np.max(tp)), 1e-6)))
    axes.set_title("Temporal perception, tp")
    figures.plain(axes, "left", grid="y", integer=True)
    return figure


@figures.styled
def epochs(curves: Mapping[str, np.ndarray]) -> "Figure":
    """Scores over the epochs; the last ones are shaded, their mean and deviation in the legend.

    Args:
      curves: up to two, name -> [E] in [0, 1].
    """
    figure = figures.new_figure(5.2, 2.7)
    axes = figure.subplots()
    last, count = intervals.LAST_EPOCHS, len(next(iter(curves.values())))
    epoch = np.arange(1, count + 1)
    for (name, values), color in zip(curves.items(), (BLUE, VERMILION)):
        late = intervals.mean_and_std(values[-last:])
        label = f"{name}: {late['mean']:.3f}"
        label += f" ± {late['std']:.3f}" if count > 1 else ""
        marker = "o" if count == 1 else None
        axes.plot(epoch, values, color=color, linewidth=1.6, label=label, marker=marker)
    axes.axvspan(max(count - last, 0) + 0.5, count + 0.5, color=FAINT, alpha=0.12, linewidth=0)
    axes.set(xlabel="epoch", ylim=(0, 1.02))
    late_epochs = f"; the last {min(last, count)} epochs" if count > 1 else ""
    axes.set_title("Tested clips" + late_epochs)
    axes.legend(loc="lower right")
    figures.plain(axes, "left", grid="y", integer=True)
    return figure


def _as_clip(array: np.ndarray, axes: int) -> np.ndarray:
    """[T, H, W, C] (or without C), T = 1 for a single frame."""
    array = np.asarray(array)
    return array if array.ndim == axes else array[None]


def _as_images(clip: np.ndarray, *, flow: bool) -> tuple[np.ndarray, dict]:
    """(images [T, H, W] or [T, H, W, 3], options of `imshow`) of any input [T, H, W, C]."""
    channels = clip.shape[-1]
    if flow and channels > 1:
        return colors.flow_to_rgb(clip[..., :2]), {}
    clip = clip if channels == 3 else clip[..., :1]
    if clip.min() < 0 and clip.shape[-1] == 1:
        limit = max(float(np.quantile(np.abs(clip), 0.998)), 1e-12)
        return clip[..., 0], {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}
    if clip.min() < 0 or clip.max() > 1:  # standardized: over its own range
        low, high = np.quantile(clip, [0.002, 0.998])
        clip = np.clip((clip - low) / max(high - low, 1e-12), 0, 1)
    return np.broadcast_to(clip, (*clip.shape[:3], 3)), {}


def _mosaic(maps: np.ndarray) -> np.ma.MaskedArray:
    """[..., H, W, F] -> a square of maps, each in [0, 1], with masked gaps between them."""
    maps = np.asarray(maps).reshape(-1, *maps.shape[-3:])
    maps = np.moveaxis(maps[np.argmax(maps.std((1, 2)).mean(-1))], -1, 0)
    maps = maps[np.sort(np.argsort(-maps.std((1, 2)), kind="stable")[:_MAPS])]
    low, high = (f(maps, axis=(1, 2), keepdims=True) for f in (np.min, np.max))
    maps = (maps - low) / np.maximum(high - low, 1e-12)
    larger = max(1, 64 // max(maps.shape[1:]))  # so that the gaps are narrow
    maps = maps.repeat(larger, 1).repeat(larger, 2)
    side = int(np.ceil(np.sqrt(len(maps))))
    tall, wide = (n + 3 for n in maps.shape[1:])
    out = np.full((-(-len(maps) // side) * tall, side * wide), np.nan)
    for number, each in enumerate(maps):
        row, column = divmod(number, side)
        out[row * tall : (row + 1) * tall - 3, column * wide : (column + 1) * wide - 3] = each
    return np.ma.masked_invalid(out)
