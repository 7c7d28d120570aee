"""Two servers, Redis, and haproxy, nginx or Caddy in front: which of them serves a request never makes a difference."""

import re
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx
import httpx2
import pytest
from approving import ALICE
from balancing import BALANCERS, DOCUMENT, Front, balancing, documented
from certificates import Authority
from consenting import ERAS
from mcp import Client, MCPError
from mcp.client import ClientRequestContext
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, ElicitRequestParams, ElicitRequestURLParams, ElicitResult
from over_http import request
from redis_server import free_port
from replicas import REPLICAS, Team, said, team_in
from serving_alone import serving_alone
from soft_authenticator import SoftPasskey

from ap_mcp.guard.approvers import passkey_entry
from ap_mcp.web.grants import Grant
from ap_mcp.web.tokens import Token, add_token, digest_of, new_secret

pytestmark = [pytest.mark.balancer, pytest.mark.anyio]

TOOL = "delete_cluster"
CLUSTERS = {"auto": "team-sandbox", "legacy": "search-dev"}
VICTIMS = (*CLUSTERS.values(), "ml-batch")
"""One for each balancer, as what is unfinished stays in the log."""
TAGGING = "add_cluster_tags"
VERSIONS = {"auto": "2026-07-28", "legacy": "2025-11-25"}
SECONDS = 60
LONG_ENOUGH = 3.0
"""For a server to be killed while the cloud works for it."""
TWO_LOOKS = 2.2
"""Longer than a held call takes to see that it was decided."""


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    authority = Authority(tmp_path_factory.mktemp("certificates"))
    authority.server_context("localhost")
    return authority


@pytest.fixture(scope="module")
def front(certificates: Authority) -> Front:
    port = free_port()
    trust = ssl.create_default_context(cafile=certificates.file)
    return Front(port, trust, [], SoftPasskey(id=b"alice's phone", origin=f"https://localhost:{port}"))


@pytest.fixture(scope="module")
def servers(front: Front, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    alice = {"key": ALICE.public_text, "passkeys": [passkey_entry(front.passkey.pinned)], "principals": []}
    folder = tmp_path_factory.mktemp("team")
    with team_in(folder, alice, AP_MCP_PUBLIC_URL=front.origin, AP_MCP_APPROVAL_WAIT="20", AP_MCP_RATE="500") as team:
        front.servers = [f"127.0.0.1:{port}" for port in team.ports]
        yield team


@pytest.fixture(scope="module", params=BALANCERS)
def balancer(
    request: pytest.FixtureRequest,
    servers: Team,
    front: Front,
    certificates: Authority,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    certificate = certificates.folder / "localhost.pem"
    with balancing(request.param, tmp_path_factory.mktemp(request.param), front, certificate):
        yield request.param


@pytest.fixture
async def team(servers: Team, front: Front, balancer: str) -> Team:
    """The servers, with the account as it was at first."""
    del balancer
    servers.renew()
    await servers.withdraw_all()
    with anyio.fail_after(SECONDS):
        await front.all_serve()
    return servers


async def asked(front: Front, mode: str, cluster: str) -> tuple[int, str]:
    """Ask for a deletion, and leave once it is said where that is decided.

    Returns:
        Who said it, and the link; what was said, if the call is refused at once.
    """
    links: list[str] = []
    with anyio.CancelScope() as leaving:

        async def waits(progress: float, total: float | None, message: str | None) -> None:
            del progress, total
            links.append(link_in(message))
            leaving.cancel()

        async with front.client(mode) as client:
            result = await client.call_tool(TOOL, {"cluster_id": cluster}, progress_callback=waits)
            assert result.is_error, said(result)
            links.append(said(result))
    return front.served[-1], links[0]


def link_in(message: str | None) -> str:
    return next(word.rstrip(".,;:") for word in (message or "").split() if "/approvals/" in word)


@pytest.mark.parametrize("mode", ERAS)
async def test_asked_on_one_given_on_the_page_of_both_and_used_on_the_other_once(
    team: Team, front: Front, mode: str, balancer: str
) -> None:
    cluster = CLUSTERS[mode]
    with anyio.fail_after(SECONDS):
        first, link = await asked(front, mode, cluster)
        before = len(front.served)
        posted = await front.decide(link, cluster)
        assert set(front.served[before:]) == {0, 1}
        await anyio.sleep(TWO_LOOKS)
        assert team.sent(TOOL) == 0, f"behind {balancer} the call of a client that has left goes on"
        async with front.client(mode) as client:
            await front.turn_to(1 - first)
            done = await client.call_tool(TOOL, {"cluster_id": cluster})
        assert front.served[-1] == 1 - first
        assert isinstance(done, CallToolResult)
        assert not done.is_error
        assert '"alice" approved' in said(done)
        assert team.sent(TOOL) == 1
        team.renew()
        links = set()
        for number in range(REPLICAS):
            async with front.browser() as browser:
                await front.turn_to(number)
                assert (await browser.post(link, json=posted)).status_code == 409
            _, again = await asked(front, mode, cluster)
            links.add(again)
        assert team.sent(TOOL) == 0
        assert len(links) == 1
        assert link not in links


@pytest.mark.parametrize("mode", ERAS)
async def test_a_call_that_one_holds_goes_on_when_the_other_took_the_answer(
    team: Team, front: Front, mode: str
) -> None:
    """A client of 2026 is given the page to open by one server first, and comes back with that to the other."""
    cluster = CLUSTERS[mode]
    links: list[str] = []
    held = anyio.Event()
    results: list[CallToolResult] = []

    async def waits(progress: float, total: float | None, message: str | None) -> None:
        del progress, total
        links.append(link_in(message))
        held.set()

    async def opens(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        del context
        assert isinstance(params, ElicitRequestURLParams)
        links.append(params.url)
        return ElicitResult(action="accept")

    with anyio.fail_after(SECONDS):
        async with front.client(mode, elicitation_callback=opens) as client, anyio.create_task_group() as calls:

            async def call() -> None:
                results.append(await client.call_tool(TOOL, {"cluster_id": cluster}, progress_callback=waits))

            before = len(front.served)
            calls.start_soon(call)
            await held.wait()
            legs = front.served[before:]
            assert sorted(legs) == ([0, 1] if mode == "auto" else legs[-1:])
            await front.decide(links[0], cluster, at=1 - legs[-1])
    assert len(set(links)) == 1
    assert not results[0].is_error
    assert '"alice" approved' in said(results[0])
    assert team.sent(TOOL) == 1


async def test_of_a_server_that_is_killed_nothing_is_sent_again_and_its_log_says_what_is_unfinished(
    team: Team, front: Front, balancer: str
) -> None:
    """Neither what people have approved, nor what needs nobody: the balancer sends nothing again either.

    It could in the era of 2026 alone: in that of 2025 an answer begins before the call is carried out.
    """
    mode, cluster = "auto", dict(zip(BALANCERS, VICTIMS, strict=True))[balancer]
    calls: dict[str, dict[str, Any]] = {
        TOOL: {"cluster_id": cluster},
        TAGGING: {"cluster_id": "checkout-staging", "tags": {"by": "test"}},
    }

    async def call(tool: str) -> None:
        # Which of them the SDK makes of an answer that is cut off is its own affair.
        with pytest.raises((MCPError, ExceptionGroup)) as lost:  # noqa: PT012
            async with front.client(mode) as client:
                await front.turn_to(first)
                await client.call_tool(tool, calls[tool])
        assert not lost.group_contains(AssertionError)

    begun: list[str] = []
    with anyio.fail_after(SECONDS):
        first, link = await asked(front, mode, cluster)
        await front.decide(link, cluster)
        async with anyio.create_task_group() as group:
            for tool in calls:
                team.trouble.inject("delay", tool, value=LONG_ENOUGH)
                group.start_soon(call, tool)
                begun.append(tool)
                await true(lambda: all(map(team.sent, begun)))
            team.kill(first)
        second, again = await asked(front, mode, cluster)
        assert second == 1 - first
        assert again != link
        assert "/approvals/" in again or "being deleted already. Nothing was sent" in again, again
        found = await verified(team, first)
        assert re.search(rf'unfinished: {TOOL} on "{cluster}", .* outcome unknown', found)
        assert f"unfinished: {TAGGING}" in found
        assert f'"{cluster}"' not in await verified(team, second)
    assert [team.sent(tool) for tool in calls] == [1, 1]


async def verified(team: Team, number: int) -> str:
    """What `ap-mcp audit verify` says of the log of a server, which is intact."""
    done = await anyio.to_thread.run_sync(team.run, number, "audit", "verify")
    assert done.returncode == 0, done.stdout
    return str(done.stdout)


async def true(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - another process reports nothing
        await anyio.sleep(0.01)


async def test_a_server_that_ends_while_others_call_loses_no_call(team: Team, front: Front) -> None:
    team.trouble.inject("delay", "list_clusters", times=None, value=0.2)
    answers: list[tuple[int, bool]] = []
    over = anyio.Event()

    async def calls(version: str) -> None:
        asks = request("tools/call", {"name": "list_clusters", "arguments": {}}, version)
        async with front.browser() as http:
            while not over.is_set():
                answer = await http.post(f"{front.origin}/mcp", **asks)
                answers.append((answer.status_code, "shop-prod" in answer.text))

    with anyio.fail_after(SECONDS):
        async with anyio.create_task_group() as group:
            for version in [*VERSIONS.values()] * 2:
                group.start_soon(calls, version)
            await served_by(front, 0)
            assert await anyio.to_thread.run_sync(team.stop, 0) == 0
            await served_by(front, 1)
            over.set()
    assert set(answers) == {(200, True)}


async def test_caddy_leads_to_a_base_path_and_to_where_clients_learn_there_to_sign_in(
    certificates: Authority, tmp_path: Path
) -> None:
    matcher = "@ours path /cce/* /.well-known/oauth-protected-resource/cce/*"
    assert f"`{matcher}`" in DOCUMENT.read_text()
    text = documented("caddy").replace("reverse_proxy ", f"{matcher}\n\treverse_proxy @ours ")
    port, secret = free_port(), new_secret()
    add_token(tmp_path / "tokens.toml", Token("bot", digest_of(secret), Grant()))
    origin, base = f"https://localhost:{port}", f"https://localhost:{port}/cce"
    trust = ssl.create_default_context(cafile=certificates.file)
    settings = {"AP_MCP_TOKENS_FILE": str(tmp_path / "tokens.toml"), "AP_MCP_PUBLIC_URL": base}
    with serving_alone(tmp_path, **settings) as served:
        front = Front(port, trust, [urlsplit(served).netloc] * 2, SoftPasskey())
        with balancing("caddy", tmp_path, front, certificates.folder / "localhost.pem", text):
            async with httpx.AsyncClient(verify=trust, timeout=SECONDS) as http:
                refused = await http.post(f"{base}/mcp", **request("tools/list"))
                assert refused.status_code == 401
                named = refused.headers["www-authenticate"].partition('resource_metadata="')[2].rstrip('"')
                for place in (named, f"{origin}/.well-known/oauth-protected-resource/cce/mcp"):
                    assert (await http.get(place)).json()["resource"] == f"{base}/mcp"
                assert "jsonrpc" not in (await http.post(f"{origin}/mcp", **request("tools/list"))).text
            async with (
                httpx2.AsyncClient(verify=trust, headers={"Authorization": f"Bearer {secret}"}) as sends,
                Client(streamable_http_client(f"{base}/mcp", http_client=sends)) as client,
            ):
                assert "shop-prod" in said(await client.call_tool("list_clusters", {}))


async def served_by(front: Front, number: int) -> None:
    """Wait until a server has answered something more."""
    seen = len(front.served)
    await true(lambda: number in front.served[seen:])
