"""Two servers over HTTP behind one Redis: asked on one, approved in a terminal, carried out by the other, once."""

from collections.abc import Iterator
from typing import Any

import pytest
from mcp import Client
from mcp_types import CallToolResult, ResourceLink, TextResourceContents
from replicas import Team, said, team_in

pytestmark = [pytest.mark.redis, pytest.mark.anyio]

TOOL = "delete_cluster"


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    with team_in(tmp_path_factory.mktemp("team"), AP_MCP_APPROVAL_WAIT="0") as team:
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
