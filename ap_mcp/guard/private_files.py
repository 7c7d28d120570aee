"""Files that hold keys and consents: their owner's only, and written whole or not at all."""

import errno
import os
import secrets
import stat
from pathlib import Path

APPROVERS_FILE = "approvers.json"
OTHERS_WRITE = 0o022
OTHERS_AT_ALL = 0o077

_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_BINARY = getattr(os, "O_BINARY", 0)


def make_private_folder(folder: Path) -> None:
    """Make a folder for its owner only; one that exists must not be writable for others.

    Raises:
        OSError: it cannot be made, or others could put files into it.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_private_folder(folder)


def check_private_folder(folder: Path) -> None:
    """Check that a folder is this user's (or root's) and that others cannot put files into it.

    Raises:
        OSError: it is missing, another user's, or writable for others.
    """
    _check(folder.stat(), folder, OTHERS_WRITE)


def make_private_file(path: Path) -> None:
    """Make an empty file for its owner only, unless one is there."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW, 0o600))
    except FileExistsError:
        return


def check_private_file(path: Path, forbidden: int = OTHERS_AT_ALL) -> None:
    """Check that a file is a plain one of this user (or of root) that others may not touch.

    Args:
        path: of the file.
        forbidden: permission bits that it must not have.

    Raises:
        OSError: it is missing, a link or no file at all, another user's, or open to others.
    """
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, f"{path} is no plain file")
    _check(status, path, forbidden)


def write_private_file(path: Path, content: bytes) -> None:
    """Write a file for its owner only, replacing the old one in one step.

    Raises:
        OSError: it could not be written; the old one is untouched.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW | _BINARY, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _check(status: os.stat_result, path: Path, forbidden: int) -> None:
    if not hasattr(os, "getuid"):  # Windows: the user's folders are closed by their access lists
        return
    if status.st_uid not in (os.getuid(), 0):
        raise PermissionError(errno.EPERM, f"{path} belongs to another user")
    if stat.S_IMODE(status.st_mode) & forbidden:
        do = "read or change" if forbidden == OTHERS_AT_ALL else "change"
        mode = "go-rwx" if forbidden == OTHERS_AT_ALL else "go-w"
        raise PermissionError(errno.EPERM, f"other users may {do} {path}; close it with: chmod {mode} {path}")
