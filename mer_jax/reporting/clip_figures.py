"""Pictures of one clip: functions from arrays to a matplotlib `Figure`."""

from typing import TYPE_CHECKING, Any

import numpy as np

from mer_jax.reporting import colors, figures
from mer_jax.reporting.colors import MIDDLE

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@figures.styled
def clip_panel(
    *,
    onset: np.ndarray,
    apex: np.ndarray,
    magnified: np.ndarray,
    difference: np.ndarray,
    flow: np.ndarray,
    strain: np.ndarray,
) -> "Figure":
    """One clip: a tile for each array, on a transparent background.

    Args:
      onset, apex, magnified: [H, W, 1] or [H, W, 3] in [0, 1].
      difference, strain: [H, W], of any range.
      flow: [H, W, 2] px, drawn with a color wheel as legend.
    """
    gray = {"cmap": "gray", "vmin": 0, "vmax": 1}  # of frames with one channel
    # Values under 1e-4 are rounding errors; scaled to their own range they would look like motion.
    heat = lambda values: {"cmap": "magma", "vmin": 0, "vmax": float(values.max(initial=1e-4))}
    largest = float(np.linalg.norm(flow, axis=-1).max(initial=0))
    tiles: dict[str, tuple[np.ndarray, dict]] = {
        "onset": (np.clip(onset, 0, 1), gray),
        "apex": (np.clip(apex, 0, 1), gray),
        "apex, magnified": (np.clip(magnified, 0, 1), gray),
        "difference to onset": (difference, heat(difference)),
        f"flow, up to {largest:.2g} px": (colors.flow_to_rgb(flow), {}),
        "strain": (strain, heat(strain)),
    }
    height, width = flow.shape[:2]
    figure = figures.new_figure(6.15, 2 * (2.0 * height / width + 0.34))
    figure.patch.set_alpha(0)
    for axes, (title, (picture, style)) in zip(figure.subplots(2, 3).flat, tiles.items()):
        picture = np.asarray(picture, float) if style else picture
        axes.imshow(picture, interpolation="nearest", **style)
        axes.set_title(title, fontsize=12, fontweight="normal", color=MIDDLE, pad=4)
        axes.axis("off")
        if title.startswith("flow"):
            wheel_inset(axes)
    return figure


@figures.styled
def map_panel(picture: np.ndarray) -> "Figure":
    """A stored flow map [H, W, 3]: its channels u, v and strain, each over its own range."""
    figure = figures.new_figure(6.15, 2.34)
    figure.patch.set_alpha(0)
    for axes, title, channel, colormap in zip(
        figure.subplots(1, 3), ("u", "v", "strain"), np.moveaxis(picture, -1, 0),
        ("RdBu_r", "RdBu_r", "magma"),
    ):  # fmt: skip
        axes.imshow(channel, interpolation="nearest", cmap=colormap)
        axes.set_title(title, fontsize=12, fontweight="normal", color=MIDDLE, pad=4)
        axes.axis("off")
    return figure


def wheel_inset(axes: Any) -> None:
    """The color wheel of a flow as a legend in the lower right corner of `axes`."""
    span = np.linspace(-1, 1, 61)
    disc = np.stack(np.meshgrid(span, span), -1)
    color = colors.flow_to_rgb(disc, largest=1.0)
    inside = np.hypot(*np.moveaxis(disc, -1, 0)) <= 1
    inset = axes.inset_axes((0.76, 0.02, 0.22, 0.22))
    inset.imshow(np.dstack([color, inside]))
    inset.axis("off")
