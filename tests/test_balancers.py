"""Two servers, Redis, and haproxy or nginx in front: which of them serves a request makes no difference, ever."""

import ssl
from collections.abc import Iterator

import anyio
import pytest
from approving import ALICE
from balancing import BALANCERS, Front, balancing
from certificates import Authority
from consenting import ERAS
from mcp_types import CallToolResult
from redis_server import free_port
from replicas import REPLICAS, Team, said, team_in
from simulation import fresh_world
from soft_authenticator import SoftPasskey

from ap_mcp.guard.approvers import passkey_entry

pytestmark = [pytest.mark.balancer, pytest.mark.anyio]

TOOL = "delete_cluster"
SECONDS = 30
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
    with team_in(folder, alice, AP_MCP_PUBLIC_URL=front.origin, AP_MCP_APPROVAL_WAIT="20") as team:
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
def team(servers: Team, balancer: str) -> Team:
    """The servers, with the account as it was at first."""
    del balancer
    renew(servers)
    return servers


def renew(team: Team) -> None:
    """Bring back what was deleted, and forget what was sent."""
    team.simulator.state.world = fresh_world()
    team.simulator.state.log.clear()


async def asked(front: Front, mode: str, cluster: str) -> tuple[int, str]:
    """Ask for a deletion, and leave once it is said where that is decided; returns who said it, and the link."""
    links: list[str] = []
    with anyio.CancelScope() as leaving:

        async def waits(progress: float, total: float | None, message: str | None) -> None:
            del progress, total
            links.append(link_in(message))
            leaving.cancel()

        async with front.client(mode) as client:
            result = await client.call_tool(TOOL, {"cluster_id": cluster}, progress_callback=waits)
            raise AssertionError(result)
    return front.served[-1], links[0]


def link_in(message: str | None) -> str:
    return next(word.rstrip(".,;:") for word in (message or "").split() if "/approvals/" in word)


@pytest.mark.parametrize("mode", ERAS)
async def test_asked_on_one_given_on_the_page_of_both_and_used_on_the_other_once(
    team: Team, front: Front, mode: str, balancer: str
) -> None:
    cluster = {"auto": "team-sandbox", "legacy": "search-dev"}[mode]
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
        renew(team)
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
