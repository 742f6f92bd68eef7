"""Folders of frames: finding them, putting their files in order, reading them when asked.

Frames are in the order of the numbers in their file names, never of the listing: img100.jpg comes
after img46.jpg. One rule decides which folder is read (`choose`).
"""

import dataclasses
import os
import pathlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence, Sized
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from mer_jax.clips import Clip, source
from mer_jax.datasets.annotations import slug
from mer_jax.errors import Problem, UserError, located
from mer_jax.io import reading

IMAGES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"}
_CLUTTER = {"thumbs.db", "desktop.ini", "__macosx"}  # written by file managers
# Slugs of folders of another modality: their images are no frames.
_MODALITIES = frozenset(
    ("depth", "depths", "video", "videos", "flow", "flows", "opticalflow", "mask", "masks")
)
ANIMATED = "holds more than one picture; a frame is one picture"
_TOO_LARGE = "is too large for a picture of a face (over 100 million pixels)"
_MAX_PIXELS = 10**8
_LOST = 256  # bytes of zeros in a row; half a sector of a disk
# First bytes, format, and a marker that the last bytes contain (b"": none).
_FORMATS = (
    (b"\xff\xd8\xff", "JPEG", b"\xff\xd9"),
    (b"\x89PNG\r\n\x1a\n", "PNG", b"IEND"),
    (b"BM", "BMP", b""),
    (b"II*\0", "TIFF", b""),
    (b"MM\0*", "TIFF", b""),
    (b"RIFF", "WebP", b""),
)
_MAX_DEPTH = 8  # levels below the root, so that a cyclic link ends


class FolderLayout(NamedTuple):
    """Where one kind of images is in a database's folder."""

    folder_names: tuple[str, ...]  # of the folder above the subjects, the preferred first
    clip_pattern: str  # of the end of a clip folder's path; groups subject, name, ...
    frame_pattern: str = r".*?(\d+)"  # of the full stem of a frame's file; group 1 is its number
    recordings: bool = False  # a folder is a recording that contains several clips
    video_files: bool = False  # a recording is a video file, not a folder
    exclude: str = ""  # pattern of paths that are ignored


class Folder(NamedTuple):
    """One clip's files in the order of their frame numbers."""

    path: pathlib.Path
    files: tuple[pathlib.Path, ...]
    numbers: tuple[int, ...]
    groups: Mapping[str, str]
    problems: tuple[Problem, ...] = ()  # of its files


@dataclasses.dataclass(frozen=True)
class Frames:
    """The `read` of a clip with one image file a frame: [T, H, W, C] uint8, RGB or gray."""

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


def check_size(file: pathlib.Path, frame: np.ndarray, first: str, shape: Sequence[int]) -> None:
    """Raises `UserError` for a frame [H, W, C] whose shape is not that of the file `first`."""
    if frame.shape != tuple(shape):
        raise UserError(
            f"{file}: is {frame.shape[0]} x {frame.shape[1]} where {first} is "
            f"{shape[0]} x {shape[1]}; the frames of a clip have one size"
        )


def length(clip: Clip) -> int:
    """Number of frames of a clip; none is read where its `read` has a length."""
    read = source(clip.read)
    return len(read) if isinstance(read, Sized) else len(clip.frames)


def read_image(path: pathlib.Path, *, gray: bool = False) -> np.ndarray:
    """An image file as [H, W, 3] uint8 RGB, or gray [H, W, 1].

    16 bits become 8, CMYK becomes RGB, transparency is left out.

    Raises:
      UserError: with the file's name, where it is cut short, lacks a block in the middle of a JPEG,
        holds more than one picture, or 12 bits or less in 16, of which 16 gray levels would remain.
        Other damage shows by its checksum in a PNG alone.
    """
    import cv2

    if wrong := damage(path):
        raise UserError(f"{path}: cannot be read as an image (it {wrong}); replace the file")
    try:
        data = np.fromfile(path, np.uint8)  # imread itself stumbles over other alphabets
        flag = cv2.IMREAD_GRAYSCALE if gray else cv2.IMREAD_COLOR
        image = cv2.imdecode(data, flag) if len(data) else None
    except (OSError, cv2.error):
        image = None
    if image is None or _lacks_a_block(data):
        raise UserError(f"{path}: cannot be read as an image; replace the file")
    stored = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if image.max() < 16 else None
    if stored is not None and stored.dtype == np.uint16 and stored.any():
        raise UserError(
            f"{path}: has 16 bits a pixel and no value above 4095, of which {image.max() + 1} gray "
            "levels would remain; scale the values to 0 to 65535, or save 8 bits"
        )
    return image[..., None] if gray else np.ascontiguousarray(image[..., ::-1])


def _lacks_a_block(data: np.ndarray) -> bool:
    """Whether a part of a JPEG is zeros and cannot be decoded, as where a disk or a copy lost it;
    OpenCV paints something instead. One color all over may be zeros too, and is decoded."""
    content = data.tobytes()
    if not content.startswith(b"\xff\xd8\xff") or bytes(_LOST) not in content:
        return False
    import av

    decoder = av.CodecContext.create("mjpeg", "r")
    decoder.options = {"err_detect": "explode"}
    try:
        return not decoder.decode(av.Packet(content))
    except av.FFmpegError:
        return True


def damage(path: pathlib.Path) -> str:
    """What is wrong with an image file by its header and its last bytes, '' where nothing is.

    Catches files that are empty, cut short, animated, too large or no image at all, without
    decoding them.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(32)
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 1024))
            tail = file.read()
            file.seek(0)
            if not size:
                return "is empty"
            for start, kind, end in _FORMATS:
                if head.startswith(start) and (kind != "WebP" or head[8:12] == b"WEBP"):
                    if kind == "WebP":  # Pillow opens none that is cut short or too large
                        return _webp(head, size)
                    if end not in tail:
                        return f"is cut short (no end of the {kind} data)"
                    return _header_damage(file, kind, size)
            return "is not a JPEG, PNG, BMP, TIFF or WebP image"
    except OSError as error:
        return f"cannot be opened ({error.strerror})"


def _header_damage(file: BinaryIO, kind: str, size: int) -> str:
    """What is wrong with an image of `size` bytes by its header; Pillow reads it.

    The classes of the formats are called, not `Image.open`, which warns of large pictures.
    """
    from PIL import BmpImagePlugin, JpegImagePlugin, PngImagePlugin, TiffImagePlugin

    end, animated = 0, False
    try:
        if kind == "TIFF":
            directory = TiffImagePlugin.ImageFileDirectory_v2(file.read(8))
            file.seek(directory.next)
            directory.load(file)
            width, height = directory[256], directory[257]
            animated = bool(directory.next)
        else:
            classes: dict[str, Any] = {
                "JPEG": JpegImagePlugin.JpegImageFile,
                "PNG": PngImagePlugin.PngImageFile,
                "BMP": BmpImagePlugin.BmpImageFile,
            }
            found = classes[kind](file)
            width, height = found.size
            animated = kind == "PNG" and found.is_animated
            if kind == "BMP" and found.tile[0][0] == "raw":
                end = found.tile[0][2] + found.tile[0][3][1] * height
    except Exception:  # Pillow raises a dozen kinds for a damaged header
        return f"is cut short (no size in the {kind} data)"
    if width * height > _MAX_PIXELS:
        return _TOO_LARGE
    if animated:
        return ANIMATED
    return "is cut short" if size < end else ""


def _webp(head: bytes, size: int) -> str:
    """A WebP's first chunk has the size, and whether it is animated (RFC 9649, 2.5 to 2.7)."""
    number = lambda start, stop: int.from_bytes(head[start:stop], "little")
    if size < number(4, 8) + 8 or size < 30:
        return "is cut short"
    if head[12:16] == b"VP8X":
        if head[20] & 2:
            return ANIMATED
        width, height = 1 + number(24, 27), 1 + number(27, 30)
        return _TOO_LARGE if width * height > _MAX_PIXELS else ""
    width, height = number(26, 28) % 2**14, number(28, 30) % 2**14
    if head[12:16] == b"VP8L":
        width, height = 1 + number(21, 23) % 2**14, 1 + (number(21, 25) >> 14) % 2**14
    return _TOO_LARGE if width * height > _MAX_PIXELS else ""


def list_entries(folder: pathlib.Path) -> list[os.DirEntry]:
    """A folder's entries by name, without hidden files and those of file managers.

    Raises:
      UserError: the folder cannot be listed, or a name is not UTF-8.
    """
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(f"{folder}: the folder cannot be listed ({error.strerror})") from None
    with located(folder):
        for entry in entries:
            check_name(entry.name)
    return [e for e in entries if not e.name.startswith(".") and e.name.lower() not in _CLUTTER]


def check_name(name: str) -> None:
    """Raises `UserError` if the name of a file is not UTF-8."""
    if name.encode(errors="ignore").decode() != name:
        raise UserError(f"the name {name!a} is not UTF-8; rename it")


def absolute(root: str | pathlib.Path) -> pathlib.Path:
    """`root` with its own name, which "." and ".." lack, and ~ expanded."""
    return pathlib.Path(os.path.abspath(reading.expanded(root)))


def walk(
    root: pathlib.Path, *, depth: int = _MAX_DEPTH, exclude: Collection[str] = ()
) -> Iterator[tuple[pathlib.Path, list[os.DirEntry]]]:
    """Every folder from `root` down, nearest first, with its visible entries.

    Args:
      root: the first folder.
      depth: levels below it.
      exclude: slugs of folders that are not entered.
    """
    level = [root]
    for _ in range(depth + 1):
        following = []
        for folder in level:
            entries = list_entries(folder)
            yield folder, entries
            following += [
                pathlib.Path(entry.path)
                for entry in entries
                if slug(entry.name) not in exclude and entry.is_dir()
            ]
        level = following


class Choice(NamedTuple):
    """The folder that is read."""

    kind: str  # of the images
    top: pathlib.Path
    alternatives: tuple[tuple[str, pathlib.Path], ...]  # (kind, folder) that could be read, too


def choose(
    root: pathlib.Path, layouts: Mapping[str, FolderLayout], kinds: Sequence[str]
) -> Choice | None:
    """Which folder below `root` is read, or None.

    The first of `kinds` that has a named folder (`FolderLayout.folder_names`, in their order) with
    clips in it, at most three levels below `root`; of several the nearest, then the first by name.
    Where no folder has any of the names, `root` itself, if there are clips below it.

    Args:
      root: the folder of the database, or a parent of it.
      layouts: kind of images -> where they are.
      kinds: the keys of `layouts` that may be read, the preferred first.
    """
    found = [folder for folder, _ in walk(root, depth=3, exclude=_MODALITIES)]
    named = [
        (kind, folder)
        for kind, layout in layouts.items()
        for top in dict.fromkeys(map(slug, layout.folder_names))
        for folder in found
        if slug(folder.name) == top
        and _has_clips(folder, layout, other_folder_names(layouts, kind))
    ]
    named.sort(key=lambda pair: (pair[0] not in kinds, (*kinds, pair[0]).index(pair[0])))
    if named and named[0][0] in kinds:
        kind, top = named[0]
        others = [pair for pair in named[1:] if pair[0] != kind or top not in pair[1].parents]
        return Choice(kind, top, tuple(others))
    layout = layouts[kinds[0]]
    if slug(root.name) in _MODALITIES | other_folder_names(layouts, kinds[0]):
        return None
    inside = _has_clips(root, layout, other_folder_names(layouts, kinds[0]))
    return Choice(kinds[0], root, tuple(named)) if inside else None


def other_folder_names(layouts: Mapping[str, FolderLayout], kind: str) -> frozenset[str]:
    """The slugs of folders with the other kinds of images."""
    own, others = set(map(slug, layouts[kind].folder_names)), set[str]()
    return frozenset(others.union(*(map(slug, t.folder_names) for t in layouts.values())) - own)


def _has_clips(top: pathlib.Path, layout: FolderLayout, exclude: frozenset[str]) -> bool:
    return any(
        re.search(layout.clip_pattern, f"{top.name}/{path.relative_to(top).as_posix()}", re.I)
        for path, _ in walk(top, depth=5, exclude=exclude | _MODALITIES)
    )


def scan(
    top: pathlib.Path, layout: FolderLayout, *, exclude: frozenset[str] = frozenset()
) -> tuple[list[Folder], list[Problem]]:
    """The clip folders below `top`, and notes on what was skipped.

    The frames may lie one level deeper, in the only folder that a clip's folder has.

    Args:
      top: the folder above the subjects.
      layout: of the images.
      exclude: slugs of folders with other kinds of images (`other_folder_names`).
    """
    folders, notes, modalities, inner = [], [], list[str](), set[pathlib.Path]()
    for path, entries in walk(top, exclude=exclude | _MODALITIES):
        modalities += [e.name for e in entries if slug(e.name) in _MODALITIES and e.is_dir()]
        relative = path.relative_to(top).as_posix()
        if path in inner or (
            layout.exclude and re.search(layout.exclude, f"{top.name}/{relative}", re.I)
        ):
            continue
        match = re.search(layout.clip_pattern, f"{top.name}/{relative}", re.I)
        files, images = _files(entries)
        subfolders = [pathlib.Path(entry.path) for entry in entries if entry.is_dir()]
        if match and not images and len(subfolders) == 1:
            inner.update(subfolders)
            path = subfolders[0]
            files, images = _files(list_entries(path))
        if match:
            folders.append(_order(path, images, layout, match.groupdict("")))
            others = [file for file in files if file not in images]
            notes += [Problem(str(file), "is no image and was skipped") for file in others]
        elif images:
            what = f"{len(images)} image(s) in a folder that is not named as a clip; skipped"
            notes.append(Problem(str(path), what))
        elif not entries:
            notes.append(Problem(str(path), "is an empty folder"))
    if modalities:
        names = ", ".join(sorted(set(map(repr, modalities))))
        what = f"{len(modalities)} folder(s) named {names} hold another modality; skipped"
        notes.append(Problem(str(top), what))
    return folders, notes


def _files(entries: Sequence[os.DirEntry]) -> tuple[list[pathlib.Path], list[pathlib.Path]]:
    files = [pathlib.Path(entry.path) for entry in entries if not entry.is_dir()]
    return files, [file for file in files if file.suffix.lower() in IMAGES]


def _order(path, images, layout, groups):
    numbered: dict[int, pathlib.Path] = {}
    problems = []
    for image in images:
        match = re.fullmatch(layout.frame_pattern, image.stem, re.I)
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
