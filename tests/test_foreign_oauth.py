"""OAuth clients that nobody here wrote sign in: those of the official SDKs, at an authorization server on real HTTP.

The TypeScript SDK comes from npm, see `test_foreign_clients.py`. One server for all, which demands a scope, and one
whose tokens are for something else than its address.
"""

import json
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import from_npm
import httpx
import httpx2
import pytest
from agent import text_of
from authorization_server import AuthorizationServer, authorizing
from from_npm import FOREIGN
from mcp import Client, MCPError
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata, OAuthToken
from over_http import request
from pydantic import AnyUrl
from serving_alone import serving_alone

from ap_mcp.web.oauth import LEEWAY

pytestmark = [pytest.mark.foreign, pytest.mark.anyio]

SECONDS = 60
SCOPE = "autopilot"
CALLBACK = "http://localhost:1/callback"
OTHER_AUDIENCE = "api://autopilot"
TYPESCRIPT = ("sdk-1", "@modelcontextprotocol/client")
SIGNED_IN = ["register", "authorize", "token", "authorization_code"]
AGAIN = ["authorize", "token", "authorization_code"]
REFRESHED = ["token", "refresh_token"]
DEAD = -int(LEEWAY) - 1
"""Seconds that a token lives which no clock takes for valid."""


@dataclass(frozen=True)
class Site:
    """A server of ours, and the authorization server whose tokens it takes."""

    url: str
    login: AuthorizationServer

    @property
    def asked(self) -> list[str]:
        """What clients asked the authorization server for; documents, which both they and we fetch, left out."""
        return [each for each in self.login.asked if each != "keys" and ".well-known" not in each]


@contextmanager
def serving(folder: Path, login: AuthorizationServer, **settings: str) -> Iterator[Site]:
    """Serve the simulator to whom the authorization server vouches for."""
    with serving_alone(folder, "localhost", AP_MCP_OAUTH_ISSUER=login.issuer, **settings) as address:
        yield Site(f"http://localhost:{urlsplit(address).port}/mcp", login)


@pytest.fixture(scope="module")
def login() -> Iterator[AuthorizationServer]:
    with authorizing() as found:
        yield found


@pytest.fixture(scope="module")
def served(login: AuthorizationServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with serving(tmp_path_factory.mktemp("served"), login, AP_MCP_OAUTH_SCOPES=SCOPE) as found:
        yield found


@pytest.fixture
def site(served: Site) -> Site:
    served.login.usual()
    return served


@dataclass
class Person:
    """Keeps what the Python SDK's client has, and opens the pages that it is led to."""

    tokens: OAuthToken | None = None
    client: OAuthClientInformationFull | None = None
    back: AuthorizationCodeResult | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info

    async def visits(self, page: str) -> None:
        async with httpx.AsyncClient() as browser:
            answer = await browser.get(page)
        said = parse_qs(urlsplit(answer.headers["location"]).query)
        self.back = AuthorizationCodeResult(**{name: said[name][0] for name in ("code", "state", "iss")})

    async def comes_back(self) -> AuthorizationCodeResult:
        assert self.back
        return self.back

    def provider(self, url: str) -> OAuthClientProvider:
        about = OAuthClientMetadata(redirect_uris=[AnyUrl(CALLBACK)], client_name="a foreign client")
        return OAuthClientProvider(url, about, self, self.visits, self.comes_back)


@asynccontextmanager
async def agent(site: Site, person: Person, mode: Any = "auto") -> AsyncIterator[Client]:
    """The Python SDK's client, which signs in by itself."""
    async with (
        httpx2.AsyncClient(auth=person.provider(site.url), timeout=SECONDS) as sends,
        Client(streamable_http_client(site.url, http_client=sends), mode=mode) as client,
    ):
        yield client


async def works(client: Client) -> None:
    assert "list_clusters" in {tool.name for tool in (await client.list_tools()).tools}
    assert "shop-prod" in text_of(await client.call_tool("list_clusters", {}))


def typescript(site: Site, package: str) -> "subprocess.CompletedProcess[str]":
    """A session of the TypeScript SDK's client, which signs in by itself."""
    command = [from_npm.node(), "sign_in.mjs", package, site.url]
    return subprocess.run(command, cwd=FOREIGN, capture_output=True, text=True, timeout=SECONDS, check=False)


def has_worked(done: "subprocess.CompletedProcess[str]") -> None:
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert "list_clusters" in found["tools"]
    assert "shop-prod" in found["text"]


async def test_whoever_has_no_token_learns_where_to_get_one(site: Site) -> None:
    async with httpx.AsyncClient() as http:
        refused = await http.post(site.url, **request("tools/list"))
        assert refused.status_code == 401
        said = refused.headers["www-authenticate"]
        place = said.partition('resource_metadata="')[2].rstrip('"')
        assert f'scope="{SCOPE}"' in said
        found = (await http.get(place)).json()
    assert found["resource"] == site.url
    assert found["authorization_servers"] == [site.login.issuer]


# The official Python SDK


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_the_python_sdk_signs_in_by_itself_in_both_eras(site: Site, mode: str) -> None:
    person = Person()
    async with agent(site, person, mode) as client:
        await works(client)
        assert person.tokens
        assert person.tokens.access_token not in repr(client)
    assert site.asked == SIGNED_IN
    async with agent(site, person, mode) as client:
        await works(client)
    assert site.asked == SIGNED_IN, "who has a token signs in again"


async def test_the_python_sdk_gets_a_new_token_before_the_old_one_ends(site: Site) -> None:
    site.login.first_life = 0
    person = Person()
    async with agent(site, person) as client:
        await works(client)
    assert site.asked == [*SIGNED_IN, *REFRESHED]


async def test_the_python_sdk_asks_for_the_scope_that_its_token_lacks(site: Site) -> None:
    site.login.withheld = {SCOPE}
    person = Person()
    async with agent(site, person) as client:
        await works(client)
    assert person.tokens
    assert person.tokens.scope == SCOPE
    assert site.asked == [*SIGNED_IN, *AGAIN]


async def test_a_token_for_another_server_gets_the_python_sdk_nowhere(site: Site) -> None:
    site.login.audience = "https://other.example/mcp"
    with pytest.RaisesGroup(MCPError, flatten_subgroups=True, allow_unwrapped=True):
        async with agent(site, Person()):
            pass


# The official TypeScript SDK


@pytest.mark.parametrize("package", TYPESCRIPT)
def test_the_typescript_sdk_signs_in_by_itself(site: Site, package: str) -> None:
    has_worked(typescript(site, package))
    assert site.asked == SIGNED_IN


def test_the_typescript_sdk_gets_a_new_token_once_the_old_one_has_ended(site: Site) -> None:
    site.login.first_life = DEAD
    has_worked(typescript(site, TYPESCRIPT[-1]))
    assert site.asked == [*SIGNED_IN, *REFRESHED]


def test_the_typescript_sdk_asks_for_the_scope_that_its_token_lacks(site: Site) -> None:
    site.login.withheld = {SCOPE}
    has_worked(typescript(site, TYPESCRIPT[-1]))
    assert site.asked == [*SIGNED_IN, *AGAIN]


def test_a_token_for_another_server_gets_the_typescript_sdk_nowhere(site: Site) -> None:
    site.login.audience = "https://other.example/mcp"
    done = typescript(site, TYPESCRIPT[-1])
    assert done.returncode == 1
    assert done.stdout == ""
    assert "401" in done.stderr


# Tokens that are for something else than the address


async def test_an_issuer_whose_tokens_are_for_a_name_of_its_own_lets_both_sdks_in(
    login: AuthorizationServer, tmp_path: Path
) -> None:
    login.usual()
    login.audience = OTHER_AUDIENCE
    with serving(tmp_path, login, AP_MCP_OAUTH_AUDIENCE=OTHER_AUDIENCE) as site:
        async with agent(site, Person()) as client:
            await works(client)
        has_worked(typescript(site, TYPESCRIPT[-1]))
