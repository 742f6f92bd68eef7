"""A folder that one process at a time may write to."""

import fcntl
import pathlib
from typing import IO

from mer_jax.problems import UserError


def take(path: pathlib.Path, refusal: str) -> IO[str]:
    """An open file that one process can hold; the system lets go of it when the process dies.

    path: the lock's file, made where it is not there, and left there. Raises `UserError(refusal)`
    where another process, or another call in this one, holds it. Closing the file lets go.
    """
    file = open(path, "w")  # noqa: SIM115 - held for as long as the caller works
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise UserError(refusal) from None
    return file
