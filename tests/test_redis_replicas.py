"""Two servers over HTTP behind one Redis: asked on one, approved anywhere, carried out by the other, once."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from approval_desk import made, signed_by
from mcp import Client, MCPError
from mcp.client import ClientRequestContext
from mcp_types import (
    CallToolResult,
    ElicitRequestParams,
    ElicitResult,
    InputRequiredResult,
    ResourceLink,
    TextResourceContents,
)
from redis_server import free_port
from replicas import REPLICAS, Team, said, team_in
from soft_authenticator import SoftPasskey

from ap_mcp.web.enrolment import Invitation

pytestmark = [pytest.mark.redis, pytest.mark.anyio]

TOOL = "delete_cluster"
PAGE = f"http://localhost:{free_port()}"
"""What a balancer in front of them would be called."""
OTHER_KEY = "another key than that of the servers"


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    with team_in(tmp_path_factory.mktemp("team"), AP_MCP_APPROVAL_WAIT="0", AP_MCP_PUBLIC_URL=PAGE) as team:
        yield team


async def call(team: Team, number: int, tool: str, arguments: dict[str, Any], mode: Any = "auto") -> CallToolResult:
    async with Client(team.place(number), mode=mode) as client:
        result = await client.call_tool(tool, arguments)
        assert isinstance(result, CallToolResult)
        return result


@pytest.mark.parametrize(("mode", "cluster"), [("auto", "team-sandbox"), ("legacy", "search-dev")])
async def test_a_question_of_one_server_is_approved_and_carried_out_by_the_other_once(
    team: Team, mode: str, cluster: str
) -> None:
    arguments = {"cluster_id": cluster}
    asked = await call(team, 0, TOOL, arguments, mode)
    assert "approval_required" in said(asked), said(asked)
    assert "approval_required" in said(await call(team, 1, TOOL, arguments, mode))
    await team.approve_all()
    done = await call(team, 1, TOOL, arguments, mode)
    assert not done.is_error, said(done)
    assert "alice" in said(done)
    for number in range(2):
        assert (await call(team, number, TOOL, arguments, mode)).is_error
    sent = [each for each in team.audited(cluster) if each["outcome"]["result"] == "succeeded"]
    assert [(each["tool"], each["approver"]) for each in sent] == [(TOOL, "alice")]


async def test_a_person_becomes_an_approver_signs_in_and_decides_whichever_server_each_step_meets(team: Team) -> None:
    team.renew()
    places = [team.place(number).removesuffix("/mcp") for number in range(REPLICAS)]
    passkey = SoftPasskey(id=b"bob's laptop", origin=PAGE)
    arguments = {"cluster_id": "search-dev"}
    link, _, secret = team.run(0, "approvals", "enrol", "bob").stdout.strip().partition("#bob.")
    async with httpx.AsyncClient(headers={"Origin": PAGE}, timeout=20) as browser:

        async def post(number: int, path: str, body: dict[str, Any]) -> httpx.Response:
            return await browser.post(f"{places[number]}{path}", json=body)

        new = made(Invitation("bob", secret), passkey)
        line = (await post(1, link.removeprefix(PAGE), new)).json()["command"].split()[-1]
        assert (await post(0, link.removeprefix(PAGE), new)).status_code == 410
        accepted = team.run(1, "approvals", "accept", line, typed="bob\n")
        assert accepted.returncode == 0, accepted.stderr

        asked = said(await call(team, 0, TOOL, arguments))
        question = next(word.rstrip(".,;:") for word in asked.split() if "/approvals/" in word).removeprefix(PAGE)
        assert "Approve with a passkey" in (await browser.get(f"{places[1]}{question}")).text
        wanted = {"answer": "approve", "name": "search-dev"}
        challenge = (await post(1, f"{question}/challenge", wanted)).json()
        decided = signed_by(passkey, {**wanted, **challenge})
        assert (await post(0, question, decided)).json() == {"done": "approve", "by": "bob"}
        assert (await post(1, question, decided)).status_code == 409

        signed = signed_by(passkey, (await post(0, "/approvals/sign-in/challenge", {})).json())
        assert (await post(1, "/approvals/sign-in", signed)).status_code == 200
        assert (await post(0, "/approvals/sign-in", signed)).status_code == 403
        for place in places:
            listed = (await browser.get(f"{place}/approvals")).text
            assert "Signed in as bob" in listed
            assert "approved by bob" in listed
    done = await call(team, 1, TOOL, arguments)
    assert '"bob" approved' in said(done)
    assert team.sent(TOOL) == 1


async def test_a_server_with_another_state_key_does_not_start_beside_the_others(team: Team) -> None:
    refused = team.run(1, "serve", "--http", "127.0.0.1:0", AP_MCP_STATE_KEY=OTHER_KEY)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "AP_MCP_STATE_KEY: Redis at " in refused.stderr
    assert "is shared by 2 other servers with another key" in refused.stderr
    assert "Traceback" not in refused.stderr


async def test_what_one_server_sealed_counts_at_none_with_another_key(team: Team) -> None:
    """Redis could not say at the start that the keys differ: it had lost who shares it."""

    async def opens(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        raise AssertionError("this client answers by hand")

    arguments = {"cluster_id": "ml-batch"}
    team.renew()
    team.stop(1)
    with team.hanging(0):
        team.redis.do("DEL", "ap-mcp:1:servers")
        team.start(1, AP_MCP_STATE_KEY=OTHER_KEY)
    async with (
        Client(team.place(0), elicitation_callback=opens) as one,
        Client(team.place(1), elicitation_callback=opens) as other,
    ):
        asked = await one.session.call_tool(TOOL, arguments, allow_input_required=True)
        assert isinstance(asked, InputRequiredResult)
        assert asked.input_requests
        await team.approve_all()
        opened = {name: ElicitResult(action="accept") for name in asked.input_requests}
        came_back: dict[str, Any] = {"input_responses": opened, "request_state": asked.request_state}
        with pytest.raises(MCPError, match=r"sealed by another server.* need the same AP_MCP_STATE_KEY") as refused:
            await other.session.call_tool(TOOL, arguments, allow_input_required=True, **came_back)
        assert "Nothing was sent" in str(refused.value)
        assert team.sent(TOOL) == 0
    await team.withdraw_all()
    assert team.stop(1) == 0
    team.start(1)


async def test_a_whole_answer_of_one_server_is_read_from_the_other(team: Team) -> None:
    result = await call(team, 0, "list_clusters", {})
    [link] = [each for each in result.content if isinstance(each, ResourceLink)]
    async with Client(team.place(1)) as client:
        [contents] = (await client.read_resource(str(link.uri))).contents
        assert isinstance(contents, TextResourceContents)
        assert "shop-prod" in contents.text


async def test_while_redis_is_gone_guarded_calls_are_refused_and_afterwards_people_are_asked_again(team: Team) -> None:
    arguments = {"cluster_id": "checkout-staging"}
    assert "approval_required" in said(await call(team, 0, TOOL, arguments))
    await team.approve_all()
    team.redis.kill()
    for number in range(2):
        refused = await call(team, number, TOOL, arguments)
        assert refused.is_error
        assert "Redis at " in said(refused)
        assert not (await call(team, number, "list_clusters", {})).is_error
    team.redis.start()
    assert "approval_required" in said(await call(team, 1, TOOL, arguments))
    assert {each["outcome"]["result"] for each in team.audited("checkout-staging")} <= {"refused"}


async def test_a_log_that_is_lost_as_a_whole_is_reported(team: Team) -> None:
    assert team.run(0, "audit", "verify").returncode == 0
    for each in team.log(0).path.parent.glob("audit*"):
        each.unlink()
    done = team.run(0, "audit", "verify")
    assert done.returncode == 1
    assert "another log stood here" in done.stdout
