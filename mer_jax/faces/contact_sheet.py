"""Contact sheets: the first, the middle and the last frame of each clip, to check crops by eye."""

from collections.abc import Iterator, Sequence

import numpy as np

from mer_jax.clips import resize, to_uint8

_HEIGHT = 88  # px of a frame
_LINE = 14  # px of the text above it
_COLUMNS, _ROWS = 5, 24  # clips of a page
_GAP = 6  # px


def strip(frames: np.ndarray) -> np.ndarray:
    """The first, the middle and the last of [T, H, W, C] frames side by side: [88, w, 3] uint8."""
    chosen = to_uint8(frames[[0, len(frames) // 2, len(frames) - 1]], axes="THWC")
    width = max(1, round(_HEIGHT * chosen.shape[2] / chosen.shape[1]))
    small = resize(chosen, (_HEIGHT, width))
    return np.concatenate(np.broadcast_to(small, (*small.shape[:3], 3)), 1)


def pages(strips: Sequence[np.ndarray], names: Sequence[str]) -> Iterator[np.ndarray]:
    """Yields [H, W, 3] uint8 sheets of up to 120 strips, each below its name.

    >>> [sheet] = pages([strip(np.zeros((5, 44, 44, 1), np.uint8))] * 7, list("abcdefg"))
    >>> sheet.shape
    (222, 1356, 3)
    """
    import cv2

    width = max(each.shape[1] for each in strips)
    cell = _HEIGHT + _LINE + _GAP, width + _GAP
    for first in range(0, len(strips), _COLUMNS * _ROWS):
        shown = strips[first : first + _COLUMNS * _ROWS]
        rows, columns = -(-len(shown) // _COLUMNS), min(_COLUMNS, len(shown))
        sheet = np.full((rows * cell[0] + _GAP, columns * cell[1] + _GAP, 3), 255, np.uint8)
        for index, (picture, name) in enumerate(zip(shown, names[first:])):
            top = _GAP + index // _COLUMNS * cell[0]
            left = _GAP + index % _COLUMNS * cell[1]
            cv2.putText(
                sheet, name.encode("ascii", "replace").decode(), (left, top + _LINE - 4),
                cv2.FONT_HERSHEY_SIMPLEX, 0.36, (31, 41, 51), 1, cv2.LINE_AA,
            )  # fmt: skip
            sheet[top + _LINE : top + _LINE + _HEIGHT, left : left + picture.shape[1]] = picture
        yield sheet
