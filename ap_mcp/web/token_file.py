"""Lets callers in by the tokens of a file, which is read again when it changes; a broken one lets nobody in."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

from anyio import Lock, to_thread

from ap_mcp.errors import SettingsError, UnknownPrincipal
from ap_mcp.principals import Rights
from ap_mcp.private_files import stamp_of
from ap_mcp.web.grants import Grant
from ap_mcp.web.signed_in import NO_PROFILE, NotSignedIn, SignedIn, access_of
from ap_mcp.web.tokens import Token, digest_of, read_tokens

LOOK_EVERY = 1.0
"""Seconds after which the file is checked again."""
NOT_KNOWN = "This token is not known here, or was withdrawn."
OUT_OF_ORDER = "Nobody can sign in with a token now: the log of the server says why."

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Read:
    """What the file said when it was read.

    Attributes:
        by_digest: the tokens, and what each gives.
        stamps: of the file, and of the policies that it names.
        problem: why it cannot be used; empty if it can.
    """

    by_digest: Mapping[str, tuple[Token, Rights | None]] = field(default_factory=dict)
    stamps: Mapping[Path, tuple[int, ...]] = field(default_factory=dict)
    problem: str = ""


class FileTokens:
    """The tokens that a file holds.

    Args:
        path: of the file.
        rights_for: makes the rights of a grant, None if there are none here; or raises `SettingsError`.
        now: by which tokens expire.
        seconds: a clock that never goes back.
    """

    def __init__(
        self,
        path: Path,
        rights_for: Callable[[Grant], Rights | None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        seconds: Callable[[], float] = monotonic,
    ) -> None:
        self._path = path
        self._rights_for = rights_for
        self._now = now
        self._seconds = seconds
        self._looked = seconds()
        self._looking = Lock()
        self._read = self._read_now()

    @property
    def trouble(self) -> str:
        """Why the file cannot be used; empty if it can."""
        return self._read.problem

    @property
    def tokens(self) -> tuple[Token, ...]:
        """The tokens that the file holds."""
        return tuple(token for token, _ in self.granted)

    @property
    def granted(self) -> tuple[tuple[Token, Rights | None], ...]:
        """The tokens that the file holds, each with what it gives here."""
        return tuple(self._read.by_digest.values())

    async def signed_in(self, secret: str) -> SignedIn:
        """Return whose token it is.

        Raises:
            NotSignedIn: it is nobody's, does not count any more, or cannot be judged now.
        """
        digest = digest_of(secret)
        async with self._looking:
            if self._is_due():
                await to_thread.run_sync(self._look)
        if self._read.problem:
            raise NotSignedIn(OUT_OF_ORDER, 503, "")
        # A dictionary may take longer for one digest than for another, which tells nothing about any token.
        token, rights = self._read.by_digest.get(digest, (None, None))
        if token is None:
            raise NotSignedIn(NOT_KNOWN)
        state = token.state(self._now())
        if state == "expired":
            raise NotSignedIn("This token has expired.")
        if state == "withdrawn":
            raise NotSignedIn(NOT_KNOWN)
        if rights is None:
            raise NotSignedIn(NO_PROFILE, 403, "")
        return access_of(token.principal, lambda: self._rights(token.principal, digest), client_id=token.name)

    async def look(self) -> None:
        """Read the file again if it has changed."""
        async with self._looking:
            await to_thread.run_sync(self._look)

    def _rights(self, principal: str, digest: str) -> Rights:
        """Return what a token gives now; a call that was held for a while may come back after its end."""
        if self._is_due():
            self._look()
        token, rights = self._read.by_digest.get(digest, (None, None))
        if token is None or rights is None or token.principal != principal or token.state(self._now()) != "active":
            raise UnknownPrincipal(principal)
        return rights

    def _is_due(self) -> bool:
        return self._seconds() - self._looked >= LOOK_EVERY

    def _look(self) -> None:
        self._looked = self._seconds()
        if not self._read.problem and self._read.stamps == {path: stamp_of(path) for path in self._read.stamps}:
            return
        before = self._read.problem
        self._read = self._read_now()
        if self._read.problem != before:
            self._report()

    def _read_now(self) -> _Read:
        stamp = stamp_of(self._path)
        try:
            tokens = read_tokens(self._path)
            files = {token.grant.policy_file for token in tokens if token.grant.policy_file is not None}
            stamps = {self._path: stamp, **{path: stamp_of(path) for path in files}}
            return _Read({token.digest: (token, self._rights_for(token.grant)) for token in tokens}, stamps)
        except SettingsError as error:
            return _Read(problem=str(error))

    def _report(self) -> None:
        if self._read.problem:
            logger.error("Nobody can sign in with a token. %s", self._read.problem)
        else:
            logger.warning("Tokens count again: %s can be used.", self._path)
