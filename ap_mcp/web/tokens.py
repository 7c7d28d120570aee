"""The file of bearer tokens, which holds no token but their hashes; what changes it keeps the operator's comments."""

import os
import re
import secrets
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from hashlib import sha256
from pathlib import Path
from typing import Any

from ap_mcp.errors import CallRefused, SettingsError
from ap_mcp.guard.file_lock import lock
from ap_mcp.private_files import make_private_file, make_private_folder, read_own_text, write_private_file
from ap_mcp.web.grants import Grant, read_grant
from ap_mcp.wording import NAME_LIMIT, closest, in_quotes

TABLE = "tokens"
PREFIX = "apm_"
"""What every token of ours begins with, so that it is found where it should not be, and no JWT is taken for one."""
RANDOM_BYTES = 32
SHOWN = 8
"""Characters of a hash that are shown, by which tokens are known apart."""
HEAD = """\
# Who may call this server over HTTP with a token. Made by `ap-mcp token new`; the tokens themselves are kept nowhere.
# A change counts within seconds, without a restart. A file with a mistake in it lets nobody in.
"""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@+-]{0,63}")
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Token:
    """An entry of the file.

    Attributes:
        name: of its holder; the principal is `token:NAME`.
        digest: SHA-256 of the token, in hex.
        grant: what its holder may use.
        created: when it was made, if that is known.
        expires: until when it counts; None for ever.
        withdrawn: since when it does not count any more.
    """

    name: str
    digest: str = field(repr=False)
    grant: Grant = field(default_factory=Grant)
    created: datetime | None = None
    expires: datetime | None = None
    withdrawn: datetime | None = None

    @property
    def principal(self) -> str:
        """For whom its calls are made."""
        return f"token:{self.name}"

    def state(self, now: datetime) -> str:
        """Return `active`, `expired` or `withdrawn`."""
        if self.withdrawn is not None:
            return "withdrawn"
        return "expired" if self.expires is not None and self.expires <= now else "active"


def new_secret() -> str:
    """Return a token that nobody can guess."""
    return PREFIX + secrets.token_urlsafe(RANDOM_BYTES)


def digest_of(token: str) -> str:
    """Return the hash that stands for a token; it is as hard to guess as the token, so a plain one is enough."""
    return sha256(token.encode()).hexdigest()


def check_name(name: str) -> str:
    """Return the name of a token.

    Raises:
        ValueError: it will not do as one.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{in_quotes(name, NAME_LIMIT)} is no name for a token, which has "
            "up to 64 letters, digits and . _ @ + -, without spaces"
        )
    return name


def read_tokens(path: Path) -> tuple[Token, ...]:
    """Return the tokens of a file.

    Raises:
        SettingsError: it cannot be read, others may change it, or it names every mistake in it.
    """
    try:
        text = read_own_text(path)
    except OSError as error:
        raise SettingsError(f"The tokens file {path} cannot be used: {error.strerror}") from None
    except UnicodeError:
        raise SettingsError(f"The tokens file {path} cannot be used: it is no UTF-8 text") from None
    return parse_tokens(text, str(path))


def parse_tokens(text: str, place: str) -> tuple[Token, ...]:
    """Return the tokens in the text of a file.

    Args:
        text: TOML.
        place: the path of the file, for what is wrong.

    Raises:
        SettingsError: names every mistake.
    """
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise _wrong(place, [f"it is no valid TOML: {error}"]) from None
    problems = [
        f"{in_quotes(key, NAME_LIMIT)} is unknown here; the file holds tables [{TABLE}.NAME] only"
        for key in document
        if key != TABLE
    ]
    tables = document.get(TABLE, {})
    if not isinstance(tables, Mapping):
        problems.append(f"{TABLE} must be tables: start each with a line [{TABLE}.NAME]")
        tables = {}
    found = []
    for name, table in tables.items():
        token, wrong = _token(name, table)
        problems += [f"token {in_quotes(name, NAME_LIMIT)}: {each}" for each in wrong]
        found += [token] if token else []
    for values, what in (([each.name.casefold() for each in found], "name"), ([each.digest for each in found], "hash")):
        if len(set(values)) < len(values):
            problems.append(f"two tokens have the same {what}, so that it is not known who calls")
    if problems:
        raise _wrong(place, problems)
    return tuple(found)


def add_token(path: Path, token: Token) -> None:
    """Enter a token into the file, which is made if there is none.

    Raises:
        CallRefused: the name is taken, also by a token that does not count any more.
        SettingsError: the file cannot be used.
    """

    def add(text: str, known: tuple[Token, ...]) -> str:
        taken = next((each for each in known if each.name.casefold() == token.name.casefold()), None)
        if taken is not None:
            raise CallRefused(
                f"There is a token {taken.name} already ({taken.state(datetime.now(UTC))}). What was asked and allowed "
                "is bound to its name, so no other token gets it: choose another name. Nothing was made."
            )
        head = text or HEAD
        return head + ("" if head.endswith("\n") else "\n") + "\n" + _table(token)

    with _open_for_change(path) as change:
        change(add)


def withdraw_token(path: Path, name: str, now: datetime) -> Token:
    """Mark a token as withdrawn; return it as it was before.

    Raises:
        CallRefused: there is no such token, or its table is written in a way that only its author can change.
        SettingsError: the file cannot be used.
    """
    found: list[Token] = []

    def withdraw(text: str, known: tuple[Token, ...]) -> str:
        token = next((each for each in known if each.name == name), None)
        if token is None:
            near = closest(name, [each.name for each in known], most=1)
            hint = f"Did you mean {near[0]}?" if near else "`ap-mcp token list` shows all."
            raise CallRefused(f"There is no token {in_quotes(name, NAME_LIMIT)} in {path}. {hint}")
        found.append(token)
        return text if token.withdrawn else _marked(text, path, token, now)

    with _open_for_change(path) as change:
        change(withdraw)
    return found[0]


@contextmanager
def _open_for_change(path: Path) -> "Iterator[Callable[[Callable[[str, tuple[Token, ...]], str]], None]]":
    """Yield what changes the text of the file; until the end, no other process changes it."""
    try:
        make_private_folder(path.parent)
        # A link is followed, as reading does: the file behind it is replaced, not the link.
        real = path.resolve()
        beside = real.with_name(f".{real.name}.lock")
        make_private_file(beside)
        with beside.open("rb+") as held:
            lock(held.fileno())
            yield lambda edit: _change(path, real, edit)
    except OSError as error:
        why = f"{error.strerror}. Nothing was changed"
        raise SettingsError(f"The tokens file {path} cannot be changed: {why}.") from None


def _change(path: Path, real: Path, edit: Callable[[str, tuple[Token, ...]], str]) -> None:
    try:
        text = read_own_text(real) if os.path.lexists(real) else ""
    except UnicodeError:
        raise SettingsError(f"The tokens file {path} cannot be used: it is no UTF-8 text") from None
    changed = edit(text, parse_tokens(text, str(path)))
    if changed != text:
        parse_tokens(changed, str(path))
        write_private_file(real, changed.encode())


def _token(name: str, table: Any) -> tuple[Token | None, list[str]]:
    """Return the token of a table, or None and what is wrong with it."""
    if not isinstance(table, Mapping):
        return None, [f"must be a table: start it with a line [{TABLE}.NAME]"]
    grant, given, problems = read_grant(
        table, {"sha256": _digest, "created": _moment, "expires": _moment, "withdrawn": _moment}
    )
    try:
        check_name(name)
    except ValueError as error:
        problems.append(str(error))
    if "sha256" not in table:
        problems.append("sha256 is missing: the hash of the token, as `ap-mcp token new` writes it")
    if problems:
        return None, problems
    return Token(name, given.pop("sha256"), grant, **given), []


def _digest(value: Any) -> str:
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        # The value is not repeated: somebody may have written the token itself there.
        raise ValueError("must be 64 digits 0-9a-f, the SHA-256 of the token; never the token itself")
    return value


def _moment(value: Any) -> datetime:
    """Return a moment of TOML: without an offset it is meant in UTC; a day means its start."""
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return datetime.combine(value, time(), UTC)
    raise ValueError("must be a moment without quotation marks, like 2027-03-01T00:00:00Z")


def _table(token: Token) -> str:
    """Return the table of a token, as TOML."""
    grant = token.grant
    lines = [f'[{TABLE}."{token.name}"]', f'sha256 = "{token.digest}"']
    lines += [f"created = {_written(token.created)}"] if token.created else []
    lines += [f"expires = {_written(token.expires)}"] if token.expires else []
    lines += [f"read_only = {'true' if grant.read_only else 'false'}", f"toolsets = {_list(grant.toolsets)}"]
    lines += [f"profiles = {_list(grant.profiles)}"] if grant.profiles else []
    lines += [f"policy_file = {_text(str(grant.policy_file))}"] if grant.policy_file else []
    return "\n".join(lines) + "\n"


def _marked(text: str, path: Path, token: Token, now: datetime) -> str:
    """Return the text of the file with one line more, below the head of a token's table; the rest is as it was."""
    bare, quoted = re.escape(token.name), "[\"']"
    head = re.compile(
        rf"^[ \t]*\[[ \t]*{TABLE}[ \t]*\.[ \t]*(?:{bare}|{quoted}{bare}{quoted})[ \t]*\][^\n]*\n?", re.MULTILINE
    )
    wanted = tomllib.loads(text)
    wanted[TABLE][token.name]["withdrawn"] = now.replace(microsecond=0)
    for found in head.finditer(text):
        line = found.group()
        ended = line if line.endswith("\n") else line + "\n"
        changed = text[: found.start()] + ended + f"withdrawn = {_written(now)}\n" + text[found.end() :]
        # What looks like a head may be a line of a text: only a change that says exactly this is one.
        if _says(changed, wanted):
            return changed
    raise CallRefused(
        f"{path} is not written as `ap-mcp token new` writes it, so nothing was changed. "
        f"Delete the lines of the token {token.name} yourself: that withdraws it, too."
    )


def _says(text: str, wanted: dict[str, Any]) -> bool:
    try:
        return tomllib.loads(text) == wanted
    except tomllib.TOMLDecodeError:
        return False


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _list(values: tuple[str, ...]) -> str:
    return f"[{', '.join(map(_text, values))}]"


def _text(value: str) -> str:
    """Return a text as TOML has it."""
    escaped = (f"\\U{ord(char):08x}" if not char.isprintable() or char in '"\\' else char for char in value)
    return '"' + "".join(escaped) + '"'


def _wrong(place: str, problems: list[str]) -> SettingsError:
    return SettingsError("\n".join([f"Wrong tokens file {place}:", *(f"- {each}" for each in problems)]))
