"""A palette for color-blind readers, and the color wheel of optical flow.

The palette is that of Okabe and Ito (2008). Charts use only these values, so that a page can
replace each for light and dark mode (`figures.svg`).
"""

import numpy as np

INK, FAINT, LINE = "#1f2933", "#66717f", "#d4dae1"
BLUE, ORANGE, GREEN, PURPLE = "#0072b2", "#e69f00", "#009e73", "#cc79a7"
VERMILION, SKY, OLIVE = "#d55e00", "#56b4e9", "#a79a00"
ON_BLUE = "#fffffe"  # text on a filled cell
MIDDLE = "#77818e"  # text legible on white and on black
CYCLE = (BLUE, ORANGE, GREEN, PURPLE, VERMILION, SKY, OLIVE)

# Steps from each corner of the color circle to the next: red, yellow, green, cyan, blue, magenta.
_STEPS = (15, 6, 4, 11, 13, 6)
_CORNERS = np.array([(1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 1, 1), (0, 0, 1), (1, 0, 1)], float)


def rgb(color: str) -> tuple[int, int, int]:
    """A color of the palette as 8-bit values.

    >>> rgb(BLUE)
    (0, 114, 178)
    """
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return red, green, blue


def wheel() -> np.ndarray:
    """The 55 hues of the color circle from red on, [55, 3] float64 in [0, 1]."""
    after = np.roll(_CORNERS, -1, axis=0)
    arcs = [
        start + (end - start) * (np.arange(steps) / steps)[:, None]
        for start, end, steps in zip(_CORNERS, after, _STEPS)
    ]
    return np.concatenate(arcs)


def flow_to_rgb(flow: np.ndarray, *, largest: float | None = None) -> np.ndarray:
    """Flow as color: hue is direction, saturation is length; no motion is white.

    Source: Baker et al. (2011), A Database and Evaluation Methodology for Optical Flow, IJCV 92,
    section 4.1 and its public color code.

    Args:
      flow: [..., 2] in px, (u, v) = (right, down). Right is red, down yellow, left cyan, up violet.
      largest: length in px of full saturation, by default the largest in `flow`, at least 1e-4.
        Longer vectors are darkened; NaN is black.

    Returns:
      [..., 3] float32 in [0, 1].

    >>> flow_to_rgb(np.array([[2.0, 0.0], [0.0, 0.0]])).tolist()  # right, and no motion
    [[1.0, 0.0, 0.0], [1.0, 1.0, 1.0]]
    """
    u, v = np.moveaxis(np.asarray(flow, np.float64), -1, 0)
    length = np.hypot(u, v)
    known = np.isfinite(length)
    if largest is None:
        largest = float(length[known].max(initial=1e-4))
    length = np.where(known, length, 0) / max(largest, np.finfo(np.float32).tiny)
    hues = wheel()
    angle = np.arctan2(-np.where(known, v, 0), -np.where(known, u, 0)) / np.pi
    position = (angle + 1) / 2 * (len(hues) - 1)
    below = np.floor(position).astype(int)
    part = (position - below)[..., None]
    hue = (1 - part) * hues[below] + part * hues[(below + 1) % len(hues)]
    inside = 1 - np.minimum(length, 1)[..., None] * (1 - hue)
    color = np.where((length <= 1)[..., None], inside, 0.75 * hue)
    return np.where(known[..., None], color, 0).astype(np.float32)
