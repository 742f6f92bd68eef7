"""The one writer: files and directories are written under a temporary name and then renamed.

`mer_jax.io.reading` reads them back.
"""

import contextlib
import csv
import hashlib
import io
import json
import math
import os
import pathlib
import secrets
import shutil
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from mer_jax.errors import report_write_errors
from mer_jax.io import reading


@contextlib.contextmanager
def atomic(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """A temporary path beside `path`, with its suffix, that is renamed to `path` after the block.

    The block creates a file or a directory there; `path` may exist only if it is a file. After an
    error the temporary one is removed and `path` is as before. The parent folder is created.

    Raises:
      UserError: for an `OSError` in the block or when renaming.
    """
    path = reading.expanded(path)
    # Processes in two containers have the same number.
    temporary = path.with_name(f".part-{os.getpid()}-{secrets.token_hex(4)}-{path.name}")
    with report_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            os.replace(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            with contextlib.suppress(OSError):
                temporary.unlink()


def write(path: str | os.PathLike, content: str | bytes) -> pathlib.Path:
    """Writes `content` (text as UTF-8, line ends unchanged). Raises `UserError` as `atomic`."""
    if isinstance(content, str):  # it may name a path whose bytes are not UTF-8
        content = content.encode(errors="backslashreplace")
    with atomic(path) as temporary:
        temporary.write_bytes(content)
    return reading.expanded(path)


def csv_text(
    rows: Iterable[Sequence[object]], *, comments: Iterable[str] = (), end: str = "\n"
) -> str:
    """A table as CSV, its lines of comments after a #.

    >>> csv_text([("clip", "label"), ("a,b", 1)], comments=["two columns"])
    '# two columns\\nclip,label\\n"a,b",1\\n'
    """
    out = io.StringIO()
    out.writelines(f"# {line}\n" for line in comments)
    csv.writer(out, lineterminator=end).writerows(rows)
    return out.getvalue()


def write_png(path: str | os.PathLike, picture: np.ndarray) -> pathlib.Path:
    """Writes a picture, [H, W, 3] uint8 RGB, as a PNG file."""
    import cv2

    _, data = cv2.imencode(".png", np.ascontiguousarray(picture[..., ::-1]))
    return write(path, data.tobytes())


def write_json(path: str | os.PathLike, content: Any) -> pathlib.Path:
    """Writes `content` as JSON; NumPy numbers and arrays become numbers and lists, NaN null."""
    text = json.dumps(to_builtins(content), indent=1, ensure_ascii=False, allow_nan=False)
    return write(path, text + "\n")


def to_builtins(content: Any) -> Any:
    """`content` in JSON's types: dict, list, str, bool, int, finite float, None.

    >>> to_builtins({"uf1": np.float64("nan"), "classes": ("a", "b"), "counts": np.array([1, 2])})
    {'uf1': None, 'classes': ['a', 'b'], 'counts': [1, 2]}
    """
    if isinstance(content, dict):
        return {str(key): to_builtins(value) for key, value in content.items()}
    if isinstance(content, np.ndarray | np.generic):
        return to_builtins(content.tolist())
    if isinstance(content, list | tuple | set | frozenset):
        return [to_builtins(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return None
    if content is None or isinstance(content, str | bool | int | float):
        return content
    return str(content)


def digest(*parts: str | bytes | np.ndarray) -> str:
    """SHA-256 of all parts in a row, 64 hexadecimal digits: text as UTF-8, arrays as their bytes.

    >>> digest("ab", b"c")[:12]
    'ba7816bf8f01'
    """
    sha = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            part = part.encode()
        elif not isinstance(part, bytes):
            part = np.ascontiguousarray(part).reshape(-1).view(np.uint8).data
        sha.update(part)
    return sha.hexdigest()
