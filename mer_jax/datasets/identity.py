"""What the frames of a clip depend on, without reading them where that is possible."""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from mer_jax.clips import Clip, source
from mer_jax.errors import UserError
from mer_jax.io import saving
from mer_jax.recordings import Recording

_BLOCK = 256  # frames that are read at a time


def metadata(clip: Clip) -> list[Any]:
    """All fields of a clip but its frames, in JSON's types; landmarks to a thousandth of a px."""
    landmarks = None if clip.landmarks is None else np.asarray(clip.landmarks).round(3).tolist()
    fields = [f.name for f in dataclasses.fields(Clip) if f.name not in ("read", "landmarks")]
    return [*(getattr(clip, name) for name in fields), landmarks]


def file_stats(read: Callable[..., np.ndarray]) -> list[tuple[str, int, int]]:
    """Name, bytes and time of change (ns) of each file that a clip or recording is read from.

    Empty for frames that lie in no file of their own, such as rendered ones. Raises `UserError` for
    a file that is not there any more.
    """
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
    read = source(item.read)
    parts = [repr(metadata(item) if isinstance(item, Clip) else (item.key, item.length))]
    parts += [repr(crop)] if (crop := getattr(read, "crop", None)) else []
    parts += [repr(step)] if (step := getattr(read, "step", 1)) != 1 else []
    if type(read).__module__.startswith("mer_jax."):
        if stats := file_stats(read):
            return saving.digest(*parts, repr((stats, getattr(read, "gray", None))))
        if hasattr(read, "digest"):
            return saving.digest(*parts, read.digest())
    blocks = [item.frames] if isinstance(item, Clip) else (x for _, x in item.blocks(_BLOCK))
    for block in blocks:
        parts += [repr(block.shape), saving.digest(block)]
    return saving.digest(*parts)
