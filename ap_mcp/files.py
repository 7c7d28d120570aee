"""Local files: what a tool saves for the user and what it may upload, inside configured folders only."""

import errno
import hashlib
import os
import secrets
import stat
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from ap_mcp.errors import FileRefused
from ap_mcp.late_patterns import later
from ap_mcp.private_files import check_own_folder, make_folders
from ap_mcp.wording import NAME_LIMIT, in_quotes

NAME_LENGTH = 100
TRIES = 1000

_UNPORTABLE = later(r"[^A-Za-z0-9._-]+")
_RESERVED = later(r"(?i)(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?")
_DOUBLE_SUFFIXES = (".tar.gz", ".tar.bz2", ".tar.xz")
# Names a link cannot be made for: file systems without hard links answer one of these.
_NO_LINKS = frozenset({errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EMLINK, errno.ENOTSUP, errno.EOPNOTSUPP})
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)
_BINARY = getattr(os, "O_BINARY", 0)


class SavedFile(NamedTuple):
    """A result that went to a file instead of the conversation."""

    path: Path
    bytes: int
    sha256: str


class KeptFile(NamedTuple):
    """A result that is a file, kept for a caller on another machine, to be read as a resource."""

    uri: str
    bytes: int
    sha256: str


class Upload(NamedTuple):
    """A local file that may be sent to the cloud."""

    filename: str
    content: bytes


def save_result(folder: Path, suggested_name: str, data: bytes) -> SavedFile:
    """Save a result for its owner only, under a free name close to the suggested one.

    Nothing is overwritten, and the name appears only once the whole content is on disk.

    Raises:
        FileRefused: the folder cannot be made or written, or others could change what lies in it.
    """
    name = safe_name(suggested_name)
    try:
        make_folders(folder)
        check_own_folder(folder)
        path = _save(folder.resolve(), name, data)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise FileRefused(
            f"The result could not be saved in {folder}: {reason}. Nothing was left half written. "
            "Correct the folder, or choose another one with AP_MCP_FILES_DIR."
        ) from None
    return SavedFile(path, len(data), hashlib.sha256(data).hexdigest())


def read_upload(path: str, roots: Sequence[Path], limit: int) -> Upload:
    """Read a file that is about to be sent; it must lie below one of `roots`, also after every link.

    Args:
        path: absolute, or relative to one of the roots; `~` is the home folder.
        roots: folders that uploads may come from.
        limit: largest size in bytes.

    Raises:
        FileRefused: outside the roots, missing, no plain file, empty, too large, or unreadable.
    """
    allowed = _allowed(roots)
    shown = in_quotes(path, 2 * NAME_LIMIT)
    root, inside = _located(path, roots, shown, allowed)
    try:
        content = _read_below(root, inside.parts, limit)
    except FileNotFoundError:
        raise FileRefused(f"There is no file {shown}. {allowed}") from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise FileRefused(f"{shown} cannot be read: {reason}. {allowed}") from None
    if content is None:
        raise FileRefused(f"{shown} is no plain file. Give the path of the file itself. {allowed}")
    if not content:
        raise FileRefused(f"{shown} is empty. Nothing was sent.")
    if len(content) > limit:
        raise FileRefused(f"{shown} is larger than {_size(limit)}, the most that may be sent. Nothing was sent.")
    return Upload(inside.name, content)


def safe_name(suggested: str) -> str:
    """Return a file name that is one plain, visible, portable name whatever was suggested."""
    plain = unicodedata.normalize("NFKD", suggested.replace("\\", "/").rsplit("/", 1)[-1]).encode("ascii", "ignore")
    name = _UNPORTABLE.sub("-", plain.decode("ascii")).strip("-. ")
    stem, suffix = _split(name)
    name = stem[: NAME_LENGTH - len(suffix)].rstrip("-.") + suffix
    return f"result-{name}" if _RESERVED.fullmatch(name) else name or "result"


def _split(name: str) -> tuple[str, str]:
    double = next((each for each in _DOUBLE_SUFFIXES if name.lower().endswith(each)), "")
    suffix = name[-len(double) :] if double else Path(name).suffix
    return (name[: -len(suffix)], suffix) if 0 < len(suffix) <= 10 else (name, "")


def _names(name: str) -> Iterator[str]:
    stem, suffix = _split(name)
    yield name
    yield from (f"{stem}-{number}{suffix}" for number in range(2, TRIES))
    yield f"{stem}-{secrets.token_hex(8)}{suffix}"


def _save(folder: Path, name: str, data: bytes) -> Path:
    with _written(folder, data) as temporary:
        for each in _names(name):
            with suppress(FileExistsError):
                _publish(temporary, folder / each)
                return folder / each
    raise FileExistsError(errno.EEXIST, "every name is taken")


@contextmanager
def _written(folder: Path, data: bytes) -> Iterator[Path]:
    """Write a hidden file that is gone again afterwards, whatever happens."""
    path = folder / f".{secrets.token_hex(8)}.part"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW | _BINARY, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield path
    finally:
        path.unlink(missing_ok=True)


def _publish(temporary: Path, path: Path) -> None:
    """Give the finished file its name, in one step; fails if the name is taken."""
    try:
        os.link(temporary, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
    else:
        return
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW, 0o600))
    try:
        temporary.replace(path)
    except OSError:
        path.unlink(missing_ok=True)
        raise


def _allowed(roots: Sequence[Path]) -> str:
    if not roots:
        return "No folder is open for uploads; the operator names some with AP_MCP_CHART_ROOTS."
    return f"Files may be read below: {', '.join(str(root) for root in roots)} (AP_MCP_CHART_ROOTS)."


def _located(path: str, roots: Sequence[Path], shown: str, allowed: str) -> tuple[Path, Path]:
    """Return the real root and the way from it to the real file, without a link on it."""
    try:
        given = Path(path).expanduser()
        for root in roots:
            real_root = Path(os.path.realpath(root))
            real = Path(os.path.realpath(real_root / given))
            if real != real_root and real.is_relative_to(real_root) and (given.is_absolute() or real.exists()):
                return real_root, real.relative_to(real_root)
    except (OSError, ValueError, RuntimeError):
        raise FileRefused(f"{shown} is no path this machine understands. {allowed}") from None
    raise FileRefused(f"{shown} does not lie in a folder that uploads may come from, or is missing there. {allowed}")


def _read_below(root: Path, parts: Sequence[str], limit: int) -> bytes | None:
    """Open a file step by step from its root, following no link, and read at most one byte over the limit.

    The path had no links when it was checked; opening it like this keeps it so if somebody swaps one in.
    """
    if not stat.S_ISREG((root / Path(*parts)).lstat().st_mode):
        return None
    descriptor = _opened(root, parts)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return None
        return file.read(limit + 1)


def _opened(root: Path, parts: Sequence[str]) -> int:
    if os.open not in os.supports_dir_fd:  # Windows: no stepwise opening, but no links for plain users either
        return os.open(root / Path(*parts), os.O_RDONLY | _BINARY)
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in parts[:-1]:
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | _NO_FOLLOW, dir_fd=folder)
            os.close(folder)
            folder = inner
        return os.open(parts[-1], os.O_RDONLY | _NO_FOLLOW | _NO_WAIT, dir_fd=folder)
    finally:
        os.close(folder)


def _size(limit: int) -> str:
    return f"{limit / 1024 / 1024:g} MiB" if limit >= 1024 * 1024 else f"{limit} bytes"
