"""What the frames of a clip depend on, without reading them where that is possible."""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from mer_jax.clips import Clip
from mer_jax.io import saving


def metadata(clip: Clip) -> list[Any]:
    """All fields of a clip but its frames, in JSON's types; landmarks to a thousandth of a px."""
    landmarks = None if clip.landmarks is None else np.asarray(clip.landmarks).round(3).tolist()
    fields = [f.name for f in dataclasses.fields(Clip) if f.name not in ("read", "landmarks")]
    return [*(getattr(clip, name) for name in fields), landmarks]


def file_stats(read: Callable[[], np.ndarray]) -> list[tuple[str, int, int]]:
    """Name, bytes and time of change (ns) of each file that a `Clip.read` reads.

    Empty for frames that lie in no file of their own, such as rendered ones.
    """
    read = inspect.unwrap(read)
    paths = getattr(read, "files", None) or ([read.path] if hasattr(read, "path") else [])
    stats = [(path.name, path.stat()) for path in paths]
    return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]


def digest(clip: Clip) -> str:
    """64 hexadecimal digits that change when the clip's frames or metadata do.

    Of image files the name, the size and the time of change stand for their content, as they do for
    make: a database is not decoded to find that nothing changed. Other frames are read.
    """
    stats, read = file_stats(clip.read), inspect.unwrap(clip.read)
    content = repr((stats, getattr(read, "gray", None))) if stats else clip.frames
    shape = repr(content.shape) if isinstance(content, np.ndarray) else ""
    return saving.digest(repr(metadata(clip)), shape, content)
