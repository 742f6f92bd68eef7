"""What the frames of a clip depend on, without reading them where that is possible."""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from mer_jax.clips import Clip, source
from mer_jax.errors import UserError
from mer_jax.io import saving
from mer_jax.recordings import Part, Recording

_BLOCK = 256  # frames that are read at a time


def metadata(clip: Clip) -> list[Any]:
    """All fields of a clip but its frames, in JSON's types; landmarks to a thousandth of a px."""
    landmarks = None if clip.landmarks is None else np.asarray(clip.landmarks).round(3).tolist()
    fields = [f.name for f in dataclasses.fields(Clip) if f.name not in ("read", "landmarks")]
    return [*(getattr(clip, name) for name in fields), landmarks]


def file_stats(read: Callable[..., np.ndarray]) -> list[tuple[str, int, int]]:
    """Name, bytes and time of change (ns) of each file that a clip or recording is read from.

    Empty for frames that lie in no file of their own, such as rendered ones, and for those that a
    function of the user's gives, whatever it reads. Raises `UserError` for a file that is not there
    any more.
    """
    if not _is_own(_sources(read)[-1]):
        return []
    read = source(read)
    paths = getattr(read, "files", None) or ([read.path] if hasattr(read, "path") else [])
    found = []
    for path in map(pathlib.Path, paths):
        try:
            stat = path.stat()
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}; load the database again") from None
        found.append((path.name, stat.st_size, stat.st_mtime_ns))
    return found


def digest(item: Clip | Recording) -> str:
    """64 hexadecimal digits that change when a clip's frames or metadata change; a recording's
    when its frames or its key do.

    Of image files the name, the size and the time of change stand for their content, as they do for
    make (of prepared clips those of their manifest): a database is not decoded to find that nothing
    changed. Rendered clips and recordings have a digest of what is rendered. Frames that a function
    of the user's gives are read.
    """
    reads = _sources(item.read)
    read, innermost = reads[0], reads[-1]
    parts = [repr(metadata(item) if isinstance(item, Clip) else (item.key, item.length))]
    parts += [repr(crop)] if (crop := getattr(read, "crop", None)) else []
    parts += [repr(step)] if (step := getattr(read, "step", 1)) != 1 else []
    parts += [repr((each.start, each.stop)) for each in reads if isinstance(each, Part)]
    if stats := file_stats(read):
        return saving.digest(*parts, repr((stats, getattr(read, "gray", None))))
    if _is_own(innermost) and hasattr(innermost, "digest"):
        return saving.digest(*parts, innermost.digest())
    blocks = [item.frames] if isinstance(item, Clip) else (x for _, x in item.blocks(_BLOCK))
    for block in blocks:
        parts += [repr(block.shape), saving.digest(block)]
    return saving.digest(*parts)


def _sources(read: Callable[..., np.ndarray]) -> list[Any]:
    """`read`, what it takes its frames from, and so on to the one that reads or renders them."""
    found = [source(read)]
    while _is_own(found[-1]) and hasattr(found[-1], "frames_from"):
        found.append(source(found[-1].frames_from))
    return found


def _is_own(read: Any) -> bool:
    """Whether a `read` is of this package, whose attributes say what its frames depend on."""
    return type(read).__module__.startswith("mer_jax.")
