"""Whole files or none: everything this room writes goes to a temporary name and is renamed.

`mer_jax.io.reading` reads it back.
"""

import contextlib
import json
import math
import os
import pathlib
from typing import Any

import numpy as np

from mer_jax.errors import report_write_errors


def write(path: str | os.PathLike, content: str | bytes) -> pathlib.Path:
    """Writes `content` (text as UTF-8, line ends untouched) and makes the folder where needed.

    Raises `UserError` where the system does not let it; what was there before stays.
    """
    path = pathlib.Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with report_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            if isinstance(content, str):  # it may name a path whose bytes are no UTF-8
                content = content.encode(errors="backslashreplace")
            temporary.write_bytes(content)
            os.replace(temporary, path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()
    return path


def write_json(path: str | os.PathLike, content: Any) -> pathlib.Path:
    """Writes `content` as JSON; NumPy numbers and arrays are taken, NaN becomes null."""
    text = json.dumps(plain(content), indent=1, ensure_ascii=False, allow_nan=False)
    return write(path, text + "\n")


def plain(content: Any) -> Any:
    """`content` as what JSON knows: dict, list, str, bool, int, finite float, None."""
    if isinstance(content, dict):
        return {str(key): plain(value) for key, value in content.items()}
    if isinstance(content, np.ndarray | np.generic):
        return plain(content.tolist())
    if isinstance(content, list | tuple | set | frozenset):
        return [plain(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return None
    if content is None or isinstance(content, str | bool | int | float):
        return content
    return str(content)
