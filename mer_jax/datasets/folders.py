"""Folders of frames: finding them, putting their files in order, reading them when asked.

A frame's place in its clip is the number in its file name, never the order of the listing:
img100.jpg comes after img46.jpg.
"""

import dataclasses
import math
import os
import pathlib
import re
from collections.abc import Iterator, Mapping, Sized
from typing import BinaryIO, Literal, NamedTuple

import numpy as np

from mer_jax.clips import Clip
from mer_jax.datasets.annotations import plain
from mer_jax.errors import Problem, UserError

IMAGES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"}
_CLUTTER = {"thumbs.db", "desktop.ini"}  # what file managers leave behind
ANIMATED = "holds more than one picture; a frame is one picture"
_TOO_LARGE = "is too large for a picture of a face (over 100 million pixels)"
_MOST_PIXELS = 10**8
# Kinds of JPEG segments: those without a length, and those with the size of the picture.
_ALONE = bytes((0x00, 0x01, *range(0xD0, 0xD9)))
_FRAME = bytes(set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC})
_DEEPEST = 8  # levels below the root, so that a looping link ends


class Tree(NamedTuple):
    """How one kind of images lies on the disk."""

    tops: tuple[str, ...]  # names that the folder above the subjects goes by
    clip: str  # a pattern for the end of a clip folder's path; groups subject, name, ...
    frame: str = r".*?(\d+)"  # a pattern for a frame's whole stem; group 1 is its number
    video: bool = False  # a folder holds a whole recording with several clips
    without: str = ""  # a pattern for paths that are left alone


class Folder(NamedTuple):
    """One clip's files in the order of their frame numbers."""

    path: pathlib.Path
    files: tuple[pathlib.Path, ...]
    numbers: tuple[int, ...]
    groups: Mapping[str, str]
    problems: tuple[Problem, ...] = ()  # of its files


@dataclasses.dataclass(frozen=True)
class Frames:
    """The `read` of a clip that lies as one image file a frame: [T, H, W, C] uint8, RGB or grey."""

    key: str
    files: tuple[pathlib.Path, ...]
    gray: bool = False

    def __len__(self) -> int:
        return len(self.files)

    def __call__(self) -> np.ndarray:
        frames = [read_image(file, gray=self.gray) for file in self.files]
        for file, frame in zip(self.files, frames):
            if frame.shape != frames[0].shape:
                raise UserError(
                    f"{self.key}: {file} is {_size(frame)} where {self.files[0].name} is "
                    f"{_size(frames[0])}; the frames of a clip have one size"
                )
        return np.stack(frames)


def length(clip: Clip) -> int:
    """How many frames a clip has; reads none where its `read` knows."""
    return len(clip.read) if isinstance(clip.read, Sized) else len(clip.frames)


def read_image(path: pathlib.Path, *, gray: bool = False) -> np.ndarray:
    """[H, W, 3] uint8 RGB, or [H, W, 1]; 16 bits become 8, CMYK becomes RGB, transparency is left
    out. Raises `UserError` with the file's name where it is damaged, or more than one picture."""
    import cv2

    if wrong := damage(path):
        raise UserError(f"{path}: cannot be read as an image (it {wrong}); replace the file")
    try:
        data = np.fromfile(path, np.uint8)  # imread itself stumbles over other alphabets
        flag = cv2.IMREAD_GRAYSCALE if gray else cv2.IMREAD_COLOR
        image = cv2.imdecode(data, flag) if len(data) else None
    except (OSError, cv2.error):
        image = None
    if image is None:
        raise UserError(f"{path}: cannot be read as an image; replace the file")
    return image[..., None] if gray else np.ascontiguousarray(image[..., ::-1])


def damage(path: pathlib.Path) -> str:
    """What is wrong with an image file by its first and last bytes, '' where nothing is.

    Catches files that are empty, cut short, animated, too large or no image at all, without
    decoding them.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(4096)
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 1024))
            tail = file.read()
            if head.startswith(b"\xff\xd8\xff"):
                whole = b"\xff\xd9" in tail
                return _jpeg(file) if whole else "is cut short (no end of the JPEG data)"
            if head[:4] in (b"II*\0", b"MM\0*"):
                return _tiff(file, "little" if head[:1] == b"I" else "big")
    except OSError as error:
        return f"cannot be opened ({error.strerror})"
    if not size:
        return "is empty"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        if b"acTL" in head.partition(b"IDAT")[0]:
            return ANIMATED
        if int.from_bytes(head[16:20], "big") * int.from_bytes(head[20:24], "big") > _MOST_PIXELS:
            return _TOO_LARGE
        return "" if b"IEND" in tail else "is cut short (no end of the PNG data)"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return _webp(head, size)
    if head.startswith(b"BM") and size >= 54:
        start, width, height = (int.from_bytes(head[i : i + 4], "little") for i in (10, 18, 22))
        bits, packed = head[28] + 256 * head[29], int.from_bytes(head[30:34], "little")
        height = min(height, 2**32 - height)  # negative: stored from the top
        if width * height > _MOST_PIXELS:
            return _TOO_LARGE
        whole = start + (width * bits + 31) // 32 * 4 * height
        return "is cut short" if not packed and size < whole else ""
    return "is not a JPEG, PNG, BMP, TIFF or WebP image"


def _jpeg(file: BinaryIO) -> str:
    """A JPEG's segments up to the frame header, which has the size (ITU T.81, B.1 and B.2.2).

    A segment is FF, its kind and its length; what stands between two is passed over, as decoders
    do, and small pictures inside of a segment are not looked at.
    """
    number = lambda count: int.from_bytes(file.read(count), "big")
    file.seek(2)
    while following := file.read(1):
        if following != b"\xff":
            continue
        while (kind := file.read(1)) == b"\xff":
            pass  # padding
        if kind in (b"\xd9", b"\xda"):  # the end, or the data
            break
        if kind and kind in _ALONE:
            continue
        length = number(2)
        if kind and kind in _FRAME:
            file.seek(1, os.SEEK_CUR)  # bits of a sample
            return _TOO_LARGE if number(2) * number(2) > _MOST_PIXELS else ""
        file.seek(max(0, length - 2), os.SEEK_CUR)
    return "is cut short (no size in the JPEG data)"


def _tiff(file: BinaryIO, order: Literal["little", "big"]) -> str:
    """A TIFF's first directory: entries of 12 bytes, then the place of the next picture's."""
    number = lambda count: int.from_bytes(file.read(count), order)
    file.seek(4)
    file.seek(number(4))
    sides, entries = {}, number(2)
    for _ in range(entries):
        name, kind, _, value = number(2), number(2), number(4), file.read(4)
        if name in (256, 257):  # width and height, of two bytes or of four
            sides[name] = int.from_bytes(value[:2] if kind == 3 else value, order)
    following = file.read(4)
    if not entries or len(following) < 4:
        return "is cut short"
    if math.prod(sides.values()) > _MOST_PIXELS:
        return _TOO_LARGE
    return ANIMATED if any(following) else ""


def _webp(head: bytes, size: int) -> str:
    """A WebP's first chunk has the size, and whether it is animated (RFC 9649, 2.5 to 2.7)."""
    number = lambda start, stop: int.from_bytes(head[start:stop], "little")
    if size < number(4, 8) + 8 or size < 30:
        return "is cut short"
    if head[12:16] == b"VP8X":
        if head[20] & 2:
            return ANIMATED
        width, height = 1 + number(24, 27), 1 + number(27, 30)
        return _TOO_LARGE if width * height > _MOST_PIXELS else ""
    width, height = number(26, 28) % 2**14, number(28, 30) % 2**14
    if head[12:16] == b"VP8L":
        width, height = 1 + number(21, 23) % 2**14, 1 + (number(21, 25) >> 14) % 2**14
    return _TOO_LARGE if width * height > _MOST_PIXELS else ""


def visible(folder: pathlib.Path) -> list[os.DirEntry]:
    """A folder's entries by name, without clutter. Raises `UserError` where it cannot be listed,
    or a name is bytes that are no text."""
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(f"{folder}: the folder cannot be listed ({error.strerror})") from None
    for entry in entries:
        if entry.name.encode(errors="ignore").decode() != entry.name:
            raise UserError(f"{folder}: the name {entry.name!a} is not UTF-8; rename it")
    return [e for e in entries if not e.name.startswith(".") and e.name.lower() not in _CLUTTER]


def below(root: pathlib.Path, *, depth: int = _DEEPEST) -> Iterator[tuple[pathlib.Path, list]]:
    """Every folder from `root` down, nearest first, with its visible entries."""
    level = [root]
    for _ in range(depth + 1):
        following = []
        for folder in level:
            entries = visible(folder)
            yield folder, entries
            following += [pathlib.Path(entry.path) for entry in entries if entry.is_dir()]
        level = following


def find(root: pathlib.Path, tree: Tree) -> pathlib.Path | None:
    """The folder that `tree` describes: `root` itself, or one at most three levels below."""
    names = {plain(top) for top in tree.tops}
    for folder, _ in below(root, depth=3):
        if plain(folder.name) in names:
            return folder
    inside = (
        f"{root.name}/{path.relative_to(root).as_posix()}" for path, _ in below(root, depth=4)
    )
    return root if any(re.search(tree.clip, path, re.I) for path in inside) else None


def scan(top: pathlib.Path, tree: Tree) -> tuple[list[Folder], list[Problem]]:
    """The clip folders below `top`, and what was passed over."""
    folders, notes = [], []
    for path, entries in below(top):
        relative = path.relative_to(top).as_posix()
        if tree.without and re.search(tree.without, f"{top.name}/{relative}", re.I):
            continue
        match = re.search(tree.clip, f"{top.name}/{relative}", re.I)
        files = [pathlib.Path(entry.path) for entry in entries if not entry.is_dir()]
        images = [file for file in files if file.suffix.lower() in IMAGES]
        if match:
            folders.append(_order(path, images, tree, match.groupdict("")))
            others = [file for file in files if file not in images]
            notes += [Problem(str(file), "is no image and was passed over") for file in others]
        elif images:
            what = f"{len(images)} image(s) in a folder that is not named as a clip; passed over"
            notes.append(Problem(str(path), what))
        elif not entries:
            notes.append(Problem(str(path), "is an empty folder"))
    return folders, notes


def _order(path, images, tree, groups):
    numbered: dict[int, pathlib.Path] = {}
    problems = []
    for image in images:
        match = re.fullmatch(tree.frame, image.stem, re.I)
        wrong = damage(image) if match else "has no frame number in its name; rename or remove it"
        if match and int(match[1]) in numbered:
            wrong = f"has the frame number of {numbered[int(match[1])].name}; remove one of them"
        if wrong:
            problems.append(Problem(str(image), wrong))
        if match:
            numbered.setdefault(int(match[1]), image)
    if not images:
        problems.append(Problem(str(path), "has no frames"))
    numbers = tuple(sorted(numbered))
    files = tuple(numbered[number] for number in numbers)
    return Folder(path, files, numbers, groups, tuple(problems))


def _size(frame: np.ndarray) -> str:
    return f"{frame.shape[0]} x {frame.shape[1]}"
