"""The SQLite file that the servers of one user share: opened privately, checked whole, and noticed when restored.

A random text, the generation, stands in the file and in one beside it, and changes with each consent that is taken.
Where the two differ, the file was deleted, truncated or replaced by an older copy: then no consent in it is open any
more, and people are asked again. An old pair of both files put back together is not noticed here by a server that
starts afterwards; the audit log remembers what was used.
"""

import errno
import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from ap_mcp.errors import ApprovalsUnusable
from ap_mcp.private_files import check_private_file, make_private_file, make_private_folder, write_private_file
from ap_mcp.wording import in_quotes

BUSY_SECONDS = 5.0
"""How long a call waits for another program to release the file."""

_APPLICATION_ID = 0x61706D63
_VERSION = 7
_CLOCK = "CREATE TABLE clock (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), seen INTEGER NOT NULL)"
_GENERATION = "CREATE TABLE generation (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), value TEXT NOT NULL)"
_OPEN = (
    "CREATE TABLE open (consent TEXT PRIMARY KEY, digest TEXT NOT NULL, principal TEXT NOT NULL,"
    " asked_elsewhere INTEGER NOT NULL, expires INTEGER NOT NULL)"
)
_QUESTIONS = (
    "CREATE TABLE questions (code TEXT PRIMARY KEY, tool TEXT NOT NULL, arguments TEXT NOT NULL,"
    " arguments_digest TEXT NOT NULL, principal TEXT NOT NULL, client TEXT NOT NULL, region TEXT NOT NULL,"
    " project TEXT NOT NULL, effect TEXT NOT NULL, name TEXT NOT NULL, impact_text TEXT NOT NULL,"
    " fingerprint TEXT NOT NULL, created INTEGER NOT NULL, expires INTEGER NOT NULL,"
    " other_approver INTEGER NOT NULL, simulated INTEGER NOT NULL, profile TEXT NOT NULL, approver TEXT,"
    " approved INTEGER, decided INTEGER, signature BLOB, client_data BLOB, authenticator_data BLOB, withdrawn_by TEXT,"
    " withdrawn INTEGER, announced TEXT)"
)
_SCHEMA = (_CLOCK, _GENERATION, _OPEN, _QUESTIONS)
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_DAMAGED = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)
_AFRESH = "Move it away: a new one is made, and what waited is asked again."


class Database:
    """One file; safe between threads and processes. Each transaction opens it anew.

    So nothing of it outlives a fork, or a file that was moved away.

    Args:
        path: of the file; it and its folder are made for their owner only when first used.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.generation_file = path.with_name(f"{path.name}.generation")

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Yield the database in a transaction that no other one can interrupt.

        Raises:
            ApprovalsUnusable: instead of whatever SQLite or the file system says.
        """
        try:
            with closing(self._connect()) as db:
                db.execute("BEGIN IMMEDIATE")
                with db:
                    self._close_all_if_restored(db)
                    yield db
        except (sqlite3.Error, OSError) as error:
            raise ApprovalsUnusable(f"The approvals store {self.path} cannot be used: {_reason(error)}") from error

    def renew(self, db: sqlite3.Connection) -> None:
        """Start a new generation, so that no copy of the file from before passes for the file itself.

        The file beside is written first: if this is interrupted, the two differ, and people are asked again.
        """
        value = secrets.token_hex(16)
        write_private_file(self.generation_file, value.encode())
        db.execute("INSERT OR REPLACE INTO generation VALUES (1, ?)", (value,))

    def _close_all_if_restored(self, db: sqlite3.Connection) -> None:
        row = db.execute("SELECT value FROM generation").fetchone()
        if row is not None and row[0] == self._generation_beside():
            return
        for stray in self.path.parent.glob(f".{self.generation_file.name}.*"):
            stray.unlink(missing_ok=True)
        db.execute("DELETE FROM open")
        self.renew(db)

    def _generation_beside(self) -> str | None:
        if not os.path.lexists(self.generation_file):
            return None
        check_private_file(self.generation_file)
        return self.generation_file.read_bytes().decode("ascii", "replace")

    def _connect(self) -> sqlite3.Connection:
        make_private_folder(self.path.parent)
        make_private_file(self.path)
        check_private_file(self.path)
        db = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            _prepare(db)
        except BaseException:
            db.close()
            raise
        return db


def _prepare(db: sqlite3.Connection) -> None:
    """Make the tables in a new file; refuse a file that holds anything else, triggers planted in ours included."""
    db.execute("PRAGMA trusted_schema = OFF")
    db.execute("PRAGMA synchronous = FULL")
    if _identity(db) == (0, 0, ()):
        db.execute("BEGIN IMMEDIATE")
        with db:
            _create(db)
    application, version, schema = _identity(db)
    if application == _APPLICATION_ID and 0 < version < _VERSION:
        db.execute("BEGIN IMMEDIATE")
        with db:
            _begin_anew(db)
        application, version, schema = _identity(db)
    if application == _APPLICATION_ID and version > _VERSION:
        raise OSError(errno.EINVAL, "a newer ap-mcp made it; use that version, or another AP_MCP_APPROVALS_DB.")
    if (application, version, schema) != (_APPLICATION_ID, _VERSION, _SCHEMA):
        raise OSError(errno.EINVAL, f"it is a database, but not as ap-mcp makes it. {_AFRESH}")
    with suppress(sqlite3.OperationalError):  # somebody is using it as it is; a later caller will get it
        db.execute("PRAGMA journal_mode = WAL")


def _begin_anew(db: sqlite3.Connection) -> None:
    """Drop what an older version kept: it lives for minutes, and what is not there cannot be used; people are asked."""
    application, version, _ = _identity(db)
    if application != _APPLICATION_ID or not 0 < version < _VERSION:  # another process was faster
        return
    tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND substr(name, 1, 7) <> 'sqlite_'"
    for (table,) in db.execute(tables).fetchall():
        db.execute(f'DROP TABLE "{table.replace(chr(34), 2 * chr(34))}"')
    db.execute("PRAGMA application_id = 0")
    db.execute("PRAGMA user_version = 0")
    _create(db)


def _create(db: sqlite3.Connection) -> None:
    if _identity(db) != (0, 0, ()):  # another process was faster
        return
    for statement in _SCHEMA:
        db.execute(statement)
    db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {_VERSION}")


def _identity(db: sqlite3.Connection) -> tuple[int, int, tuple[str, ...]]:
    rows = db.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name").fetchall()
    application, version = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version"))
    return application, version, tuple(row[0] for row in rows)


def _reason(error: sqlite3.Error | OSError) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _BUSY:
        return f"another program has kept it locked for {BUSY_SECONDS:g} seconds. Nothing was changed; try again."
    if code in _DAMAGED:
        return f"it is damaged, or no database at all. {_AFRESH}"
    return f"SQLite says {in_quotes(str(error), 200)}."
