"""A folder that only one process at a time may write to."""

import pathlib

import filelock

from mer_jax.errors import UserError, report_write_errors


def take(path: pathlib.Path, refusal: str, *, timeout: float = 0.0) -> filelock.AcquireReturnProxy:
    """Locks the file `path` until `.lock.release()` or the end of a `with` block on the result.

    The file is created if missing, and stays. The system releases the lock of a process that dies.

    Raises:
      UserError: with the text `refusal`, where another process or another call in this process
        still holds the lock after `timeout` seconds; or the file cannot be written.
    """
    with report_write_errors(path):
        try:
            # Any thread may release it: checkpoints are written and closed in threads of their own.
            return filelock.FileLock(path, thread_local=False, timeout=timeout).acquire()
        except filelock.Timeout:
            raise UserError(refusal) from None
