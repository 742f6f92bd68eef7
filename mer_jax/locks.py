"""A folder that one process at a time may write to."""

import pathlib

import filelock

from mer_jax.errors import UserError


def take(path: pathlib.Path, refusal: str) -> filelock.AcquireReturnProxy:
    """Holds a lock until `.lock.release()`, or the end of a `with` block over what is returned.

    path: the lock's file, made where it is not there, and left there. Raises `UserError(refusal)`
    at once where another process, or another call in this one, holds it. The system releases the
    lock of a process that dies.
    """
    try:
        # Any thread may release it: jobs save, and end, in others than the one that began.
        return filelock.FileLock(path, thread_local=False, blocking=False).acquire()
    except filelock.Timeout:
        raise UserError(refusal) from None
