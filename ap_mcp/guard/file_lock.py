"""A lock between processes, and between the threads of one, that ends with its holder."""

import errno
import os
import sys
import time

WAIT_SECONDS = 10.0
PAUSE_SECONDS = 0.005

if sys.platform == "win32":  # pragma: no cover
    import msvcrt

    _BEYOND = 1 << 30  # locks of Windows keep others from reading what they cover

    def _try_lock(descriptor: int, *, shared: bool) -> None:
        del shared
        os.lseek(descriptor, _BEYOND, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)

else:
    import fcntl

    def _try_lock(descriptor: int, *, shared: bool) -> None:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)


def lock(descriptor: int, *, shared: bool = False, wait: float = WAIT_SECONDS) -> None:
    """Lock an open file until it is closed; a lock that is shared keeps only exclusive ones out.

    Args:
        descriptor: of the file, opened for this lock alone.
        shared: others may share it.
        wait: how many seconds to wait for the holder.

    Raises:
        TimeoutError: another holder kept it all the time.
        OSError: the file system knows no locks.
    """
    end = time.monotonic() + wait
    while True:
        try:
            _try_lock(descriptor, shared=shared)
        except (BlockingIOError, PermissionError):
            if time.monotonic() >= end:
                raise TimeoutError(
                    errno.ETIMEDOUT, f"another program has kept it locked for {wait:g} seconds"
                ) from None
            time.sleep(PAUSE_SECONDS)
        else:
            return
