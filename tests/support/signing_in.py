"""A server over HTTP to which callers sign in, by tokens of ours or of an issuer; time passes as a test has it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from agent import Agent
from issuing import AUDIENCE, Issuer, Time
from over_http import Served, served
from simulation import simulate

from ap_mcp.guard.policy import Policy
from ap_mcp.principals import Rights
from ap_mcp.simulator.app import Simulator
from ap_mcp.specs import load_catalog
from ap_mcp.toolbox import known_to_rules
from ap_mcp.web.grants import Grant
from ap_mcp.web.oauth import EVERYBODY_READS, OAuth, PeopleRule
from ap_mcp.web.options import PATH, HttpOptions
from ap_mcp.web.sign_in import SignIn
from ap_mcp.web.signed_in import rights_within
from ap_mcp.web.token_file import FileTokens
from ap_mcp.web.tokens import Token, add_token, digest_of, new_secret, withdraw_token

USUAL = HttpOptions()
PUBLIC_URL = AUDIENCE.removesuffix(PATH)
SERVER = Rights(Policy(), ("all",), "approval", remote=True)


@dataclass
class Door:
    """The way into a server: a file of tokens, an issuer, and what they open.

    Attributes:
        folder: of the tokens file.
        people: rules about whom the issuer vouches for.
        scopes: what tokens of the issuer must have.
        public_url: of the server.
        audience: what tokens of the issuer are for, if not that.
        server: the rights that nobody goes beyond.
        kinds: of tokens that are taken.
    """

    folder: Path
    people: Sequence[PeopleRule] = EVERYBODY_READS
    scopes: tuple[str, ...] = ()
    public_url: str = PUBLIC_URL
    audience: str = ""
    server: Rights = SERVER
    kinds: tuple[str, ...] = ("tokens", "oauth")
    issuer: Issuer = field(default_factory=Issuer)
    time: Time = field(default_factory=Time)

    def __post_init__(self) -> None:
        self.path = self.folder / "tokens.toml"
        self.bot = self.give("bot")
        self.time = self.issuer.time
        self.sign_in = SignIn(
            self.public_url,
            PATH,
            FileTokens(self.path, self._grantable, self.time.now, self.time.seconds)
            if "tokens" in self.kinds
            else None,
            self._oauth() if "oauth" in self.kinds else None,
        )

    def give(self, name: str, **grant: Any) -> str:
        """Give somebody a token of ours."""
        secret = new_secret()
        add_token(self.path, Token(name, digest_of(secret), Grant(**grant)))
        self.time.pass_by(1)
        return secret

    def withdraw(self, name: str) -> None:
        withdraw_token(self.path, name, datetime.now(UTC))
        self.time.pass_by(1)

    def _oauth(self) -> OAuth:
        people = [(rule, self._grantable(rule.grant)) for rule in self.people]
        made = self.issuer.oauth(*people, scopes=self.scopes)
        made.audience = self.audience or self.public_url + PATH
        return made

    @property
    def _grantable(self) -> Any:
        return partial(rights_within, self.server, known=known_to_rules(load_catalog()))


@dataclass
class Guarded:
    """A served account, and the way into it."""

    door: Door
    served: Served

    @asynccontextmanager
    async def agent(self, token: str, mode: str = "auto", **more: Any) -> AsyncIterator[Agent]:
        """The SDK's client, signed in."""
        async with self.served.client(mode, bearing(token), **more) as agent:
            yield agent


def bearing(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


@asynccontextmanager
async def guarded(
    folder: Path, door: Door | None = None, app: Simulator | None = None, **settings: Any
) -> AsyncIterator[Guarded]:
    """Serve a simulated account to those who sign in."""
    door = door or Door(folder)
    public = door.public_url.removeprefix("https://").partition("/")
    options = replace(USUAL, hosts=USUAL.hosts | {public[0]}, base_path=f"/{public[2]}" if public[2] else "")
    async with served(app or simulate(), folder, options, door.sign_in, **settings) as found:
        yield Guarded(door, found)
