"""Files that only their owner may change: keys, consents, settings, results; written whole or not at all."""

import codecs
import errno
import os
import secrets
import stat
from pathlib import Path

APPROVERS_FILE = "approvers.json"
OTHERS_WRITE = 0o022
OTHERS_READ = 0o044
OTHERS_AT_ALL = 0o077

_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_BINARY = getattr(os, "O_BINARY", 0)


def make_private_folder(folder: Path) -> None:
    """Make a folder for its owner only, with those above it that are missing; one that exists must not be open.

    Raises:
        OSError: it cannot be made, or others could put files into it.
    """
    make_folders(folder)
    check_private_folder(folder)


def make_folders(folder: Path) -> None:
    """Make a folder and those above it that are missing, each for its owner only whatever the umask.

    `mkdir(parents=True)` would make those above it as the umask lets it: open to everybody if that is 0.

    Raises:
        OSError: one cannot be made, or something else stands in its place.
    """
    missing = [each for each in (folder, *folder.parents) if not each.is_dir()]
    for each in reversed(missing):
        each.mkdir(mode=0o700, exist_ok=True)


def read_own_text(path: Path) -> str:
    """Return the text of a file that says what this program does; only its user, or root, may be able to change it.

    A link is followed: mounted secrets are links. The byte order mark that programs of Windows write is taken.

    Raises:
        OSError: it cannot be read, or others may change or replace it.
        UnicodeError: it is no text.
    """
    _check(path.stat(), path, OTHERS_WRITE)
    check_own_folder(path.resolve().parent)
    return text_of(path.read_bytes())


def check_own_folder(folder: Path) -> None:
    """Check that nobody else can replace what this user has in a folder, as `check_private_folder` does; /tmp passes.

    Raises:
        OSError: it is missing, another user's, or others could replace what lies in it.
    """
    status = folder.stat()
    # Where the sticky bit is set, others can neither remove nor rename what is not theirs.
    _check(status, folder, 0 if status.st_mode & stat.S_ISVTX else OTHERS_WRITE)


def text_of(content: bytes) -> str:
    """Return the text of a file: UTF-8, or whatever its byte order mark says.

    Raises:
        UnicodeError: it is no text.
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16")
    return content.decode("utf-8-sig")


def check_private_folder(folder: Path) -> None:
    """Check that a folder is this user's (or root's) and that others cannot put files into it.

    Raises:
        OSError: it is missing, another user's, or writable for others.
    """
    _check(folder.stat(), folder, OTHERS_WRITE)


def stamp_of(path: Path) -> tuple[int, ...]:
    """Return what differs once a file, or who may replace it, has changed; empty if it cannot be asked for.

    A link is followed: mounted secrets are links, and change by leading elsewhere.
    """
    try:
        found, folder = path.stat(), path.parent.stat()
    except OSError:
        return ()
    times = found.st_mtime_ns, found.st_ctime_ns
    return (*times, found.st_ino, found.st_size, found.st_mode, found.st_uid, folder.st_mode, folder.st_uid)


def others_may_read(path: Path) -> bool:
    """Say whether users other than its owner may read a file; unknown on Windows, which counts as no."""
    return hasattr(os, "getuid") and bool(path.stat().st_mode & OTHERS_READ)


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
