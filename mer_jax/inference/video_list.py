"""The videos that a user names: single ones, folders of them, lists, patterns."""

import glob
import os
import pathlib
import re
from collections.abc import Iterator, Sequence

from mer_jax.datasets import folders
from mer_jax.datasets.video_source import CAMERA, RENDERED
from mer_jax.errors import UserError
from mer_jax.io import reading

_LISTS = {".txt", ".lst", ".list"}
_VIDEOS = {
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".gif"),
    *(".3gp", ".ts", ".mts", ".m2ts", ".ogv", ".vob", ".dv", ".mxf", ".mjpeg", ".mjpg", ".asf"),
}


def is_single(values: Sequence[str]) -> bool:
    """Whether `values` name one video rather than a folder, a list or several."""
    if len(values) != 1 or values[0].startswith((CAMERA, RENDERED)):
        return len(values) == 1
    path = reading.expanded(values[0])
    if path.is_dir():
        return list(_inside(path, [])) in ([], [path])
    return path.suffix.lower() not in _LISTS and not is_pattern(path)


def find(values: Sequence[str], *, notes: list[str] | None = None) -> dict[str, str]:
    """The videos that `values` name: name -> source, as `datasets.video_source` opens it.

    Args:
      values: videos; folders of videos (by their suffix) and of folders of frames, with all
        subfolders; text files with a video in each line, relative to the file (# begins a comment);
        patterns such as films/*.mp4. The name of a video is its path from that folder or list.
      notes: gets a sentence for each folder with pictures that are left out.

    Raises:
      UserError: a folder, list or pattern without videos, or two videos of one name.
    """
    found: dict[str, str] = {}
    notes = [] if notes is None else notes
    for value in values:
        for name, source in _expand(value, notes):
            folders.check_name(name)
            if found.setdefault(name, source) != source:
                raise UserError(
                    f"{found[name]} and {source} would both be called {name}; give the folder "
                    "that holds both, or a list of paths"
                )
    return found


def check_output(output: str | pathlib.Path, video: str) -> None:
    """Raises `UserError` where `output` would replace a video, or lie in its folder."""
    if video.startswith((CAMERA, RENDERED)):
        return
    path, source = (reading.expanded(each).resolve() for each in (output, video))
    if path == source and not source.is_dir():
        raise UserError(f"{output} is the video itself; give the output another name")
    if source.is_dir() and path.is_relative_to(source):
        raise UserError(f"{output} is inside the folder of videos or frames; give another one")


def _expand(value: str, notes: list[str]) -> Iterator[tuple[str, str]]:
    if value.startswith((CAMERA, RENDERED)):
        yield value.replace(":", "_"), value
        return
    path = reading.expanded(value)
    if path.is_dir():
        for each in _inside(path, notes):
            yield (path.name if each == path else each.relative_to(path).as_posix()), str(each)
    elif path.suffix.lower() in _LISTS:
        yield from _listed(path)
    elif is_pattern(path):
        matches = sorted(glob.glob(str(path)))
        if not matches:
            raise UserError(f"{value}: no file matches this pattern")
        yield from ((pathlib.Path(match).name, match) for match in matches)
    else:
        yield path.name, str(path)


def is_pattern(path: str | pathlib.Path) -> bool:
    """Whether it has wildcards and is no file or folder by that name."""
    path = reading.expanded(path)
    return glob.has_magic(str(path)) and not path.exists()


def _inside(folder: pathlib.Path, notes: list[str]) -> Iterator[pathlib.Path]:
    """The video files and the folders of frames at or below a folder, by name.

    A folder of frames has images, but no video and no subfolder with frames or videos; images
    beside these are left out, with a note.
    """
    entries = [(entry, pathlib.Path(entry.path)) for entry in folders.list_entries(folder)]
    suffixes = [path.suffix.lower() for entry, path in entries if entry.is_file()]
    below = {path: list(_inside(path, notes)) for entry, path in entries if entry.is_dir()}
    if pictures := sum(suffix in folders.IMAGES for suffix in suffixes):
        if _VIDEOS.isdisjoint(suffixes) and not any(below.values()):
            yield folder
            return
        what = f"{pictures} picture(s) beside videos or folders of frames are left out"
        notes.append(f"{folder}: {what}")
    for _, path in entries:
        if path in below:
            yield from below[path]
        elif path.suffix.lower() in _VIDEOS:
            yield path


def _listed(path: pathlib.Path) -> Iterator[tuple[str, str]]:
    """The lines of a list of videos."""
    lines = (line.strip() for line in reading.read_text(path).splitlines())
    # The name of a file may hold a #: only behind a space, or first, it begins a comment.
    plain = lambda line: re.split(r"(?:^|\s)#", line)[0].strip()
    there = lambda line: (path.parent / reading.expanded(line)).exists()
    named = [found for line in lines if (found := line if there(line) else plain(line))]
    if not named:
        raise UserError(f"{path}: the list names no video")
    for line in named:
        if line.startswith((CAMERA, RENDERED)):
            yield from _expand(line, [])
            continue
        source = path.parent / reading.expanded(line)
        name = os.path.abspath(source)
        inside = os.path.relpath(name, path.parent.absolute())
        outside = inside == os.pardir or inside.startswith(os.pardir + os.sep)
        name = name if outside else inside
        yield pathlib.Path(name).as_posix().lstrip("/"), str(source)
