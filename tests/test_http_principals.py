"""Many principals of one server over HTTP: each sees what is theirs, in both eras, also all at once."""

import base64
import tarfile
from collections.abc import AsyncIterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import anyio
import pytest
from consenting import ERAS
from mcp.shared.exceptions import MCPError
from mcp_types import BlobResourceContents, PromptReference, ResourceLink
from over_http import ORIGIN, Served, request, served
from simulation import simulate

from ap_mcp.errors import UnknownPrincipal
from ap_mcp.principals import Rights, rights_from
from ap_mcp.settings import Settings
from ap_mcp.web.options import PATH
from ap_mcp.web.sign_in import SignIn
from ap_mcp.web.signed_in import NotSignedIn, SignedIn, access_of

pytestmark = pytest.mark.anyio

PRINCIPALS = {"reader": ("all",), "tagger": ("tags", "clusters"), "owner": ("all",)}
ALL_AT_ONCE = 40


class Names(SignIn):
    """A sign-in by which the token is the name."""

    def __init__(self, rights: Rights) -> None:
        super().__init__(ORIGIN, PATH)
        self.rights = rights
        self.withdrawn: frozenset[str] = frozenset()

    async def signed_in(self, token: str) -> SignedIn:
        if token not in PRINCIPALS:
            raise NotSignedIn("It is nobody's.")
        principal = f"token:{token}"
        return access_of(principal, lambda: self.rights_of(principal))

    def rights_of(self, principal: str) -> Rights:
        name = principal.removeprefix("token:")
        if name not in PRINCIPALS or name in self.withdrawn:
            raise UnknownPrincipal(principal)
        policy = replace(self.rights.policy, read_only=name == "reader")
        return self.rights._replace(policy=policy, toolsets=PRINCIPALS[name])


def signed(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer {name}"}


@pytest.fixture
async def team(tmp_path: Path) -> AsyncIterator[Served]:
    rights = rights_from(Settings(region="ap-southeast-1", confirm="approval"), remote=True)
    async with served(simulate(), tmp_path, sign_in=Names(rights), approval_wait=0) as found:
        yield found


async def test_who_does_not_sign_in_gets_nothing(team: Served) -> None:
    async with team.by_hand() as http:
        for headers in ({}, signed("nobody"), {"authorization": "Basic reader"}, {"authorization": "Bearer"}):
            asked = request("tools/list")
            answer = await http.post("/mcp", json=asked["json"], headers={**asked["headers"], **headers})
            assert answer.status_code == 401
            assert "resource_metadata=" in answer.headers["www-authenticate"]
    assert team.simulator.state.log == []


@pytest.mark.parametrize("mode", ERAS)
async def test_each_has_the_tools_instructions_and_prompts_of_their_rights(team: Served, mode: str) -> None:
    seen = {}
    for name in PRINCIPALS:
        async with team.client(mode, signed(name)) as agent:
            tools = {tool.name for tool in (await agent.client.list_tools()).tools}
            prompts = {prompt.name for prompt in (await agent.client.list_prompts()).prompts}
            seen[name] = (tools, prompts, agent.client.instructions or "")
    assert "delete_cluster" in seen["owner"][0]
    assert "add_cluster_tags" in seen["tagger"][0]
    assert "list_addons" not in seen["tagger"][0]
    assert not {name for name in seen["reader"][0] if name.startswith(("delete_", "add_", "create_"))}
    assert [("only reads" in said) for _, _, said in seen.values()] == [True, False, False]
    assert seen["tagger"][1] < seen["owner"][1]


@pytest.mark.parametrize("mode", ERAS)
async def test_no_list_that_differs_between_principals_may_be_kept_for_others(team: Served, mode: str) -> None:
    async with team.client(mode, signed("owner")) as agent:
        listed = (await agent.client.list_tools()).model_dump(by_alias=True)
        assert mode == "legacy" or listed["cacheScope"] == "private"


@pytest.mark.parametrize("mode", ERAS)
async def test_nobody_reads_what_is_kept_for_another(team: Served, mode: str) -> None:
    async with team.client(mode, signed("owner")) as owner, team.client(mode, signed("reader")) as reader:
        raw = (await owner.call("list_clusters"))["raw"]
        assert (await owner.client.read_resource(raw)).contents
        with pytest.raises(MCPError, match="no answer is kept there"):
            await reader.client.read_resource(raw)


@pytest.mark.parametrize("mode", ERAS)
async def test_a_question_is_about_the_call_of_one_principal(team: Served, mode: str) -> None:
    codes = []
    async with team.client(mode, signed("owner")) as owner, team.client(mode, signed("tagger")) as tagger:
        for agent in (owner, tagger, owner):
            said = await agent.fail("delete_cluster", cluster_id="search-dev")
            codes.append(said.partition("Code: ")[2][:9])
        assert "for token:tagger" in await tagger.fail("delete_cluster", cluster_id="search-dev")
    assert codes[0] == codes[2] != codes[1]


async def test_a_right_that_is_taken_away_counts_from_the_next_request(team: Served) -> None:
    async with team.client("auto", signed("tagger")) as agent:
        await agent.call("list_clusters")
        sign_in = team.autopilot.principals
        assert isinstance(sign_in, Names)
        sign_in.withdrawn = frozenset({"tagger"})
        assert "token:tagger may not use this server" in await agent.fail("list_clusters")
        for ask in (
            agent.client.list_tools(cache_mode="bypass"),
            agent.client.list_prompts(cache_mode="bypass"),
            agent.client.complete(PromptReference(name="prepare_upgrade"), {"name": "cluster", "value": "s"}),
        ):
            with pytest.raises(MCPError, match="may not use this server"):
                await ask


async def test_completion_is_for_the_principal(team: Served) -> None:
    async with team.client("auto", signed("owner")) as agent:
        prompt = next(each for each in (await agent.client.list_prompts()).prompts if each.arguments)
        named = next(each.name for each in prompt.arguments or () if "cluster" in each.name)
        found = await agent.client.complete(PromptReference(name=prompt.name), {"name": named, "value": "shop"})
        assert "shop-prod" in found.completion.values


@pytest.mark.parametrize("mode", ERAS)
async def test_calls_of_many_at_once_are_each_for_who_made_them(team: Served, mode: str) -> None:
    found: dict[str, list[str]] = {name: [] for name in ("owner", "tagger")}

    async with team.client(mode, signed("owner")) as owner, team.client(mode, signed("tagger")) as tagger:
        agents = {"owner": owner, "tagger": tagger}
        for agent in agents.values():
            await agent.client.list_tools()

        async def ask(name: str) -> None:
            result = await agents[name].client.call_tool("delete_cluster", {"cluster_id": "search-dev"})
            found[name].append(str(result.content[0]))

        async with anyio.create_task_group() as group:
            for number in range(ALL_AT_ONCE):
                group.start_soon(ask, ("owner", "tagger")[number % 2])
    for name, said in found.items():
        assert len(said) == ALL_AT_ONCE // 2
        assert [each for each in said if f"for token:{name}" not in each and "calls are under way" not in each] == []


@pytest.mark.parametrize("tool", ["get_cluster_certificate", "upload_chart", "update_chart"])
async def test_what_works_with_files_of_the_server_is_refused_with_what_to_do(team: Served, tool: str) -> None:
    async with team.client("auto", signed("owner")) as agent:
        assert tool not in {each.name for each in (await agent.client.list_tools()).tools}
        said = await agent.fail(tool, cluster_id="shop-prod", chart_path="haproxy.cfg")
        assert "not done over HTTP" in said
        assert f"ap-mcp call {tool}" in said
    assert agent.sent == []


async def test_a_token_of_a_service_account_is_not_made_for_somebody_elsewhere(team: Served) -> None:
    document = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "metadata": {"name": "default", "namespace": "shop"},
        "spec": {},
    }
    async with team.client("auto", signed("owner")) as agent:
        said = await agent.fail("k8s_apply", cluster_id="shop-prod", manifest=document, mode="create", namespace="shop")
        assert "leaves credentials on the machine" in said
        assert agent.changed == []


@pytest.mark.parametrize("mode", ERAS)
async def test_the_archive_of_a_chart_is_read_as_a_resource_by_who_asked_for_it(
    team: Served, tmp_path: Path, mode: str
) -> None:
    async with team.client(mode, signed("owner")) as owner, team.client(mode, signed("reader")) as reader:
        result = await owner.run("download_chart", {"chart_id": "redis"})
        (link,) = [each for each in result.content if isinstance(each, ResourceLink)]
        assert f"read {link.uri}" in owner.said
        (contents,) = (await owner.client.read_resource(link.uri)).contents
        assert isinstance(contents, BlobResourceContents)
        assert contents.mime_type == "application/gzip"
        with tarfile.open(fileobj=BytesIO(base64.b64decode(contents.blob))) as archive:
            assert "redis/Chart.yaml" in archive.getnames()
        with pytest.raises(MCPError, match="no answer is kept there"):
            await reader.client.read_resource(link.uri)
    assert not (tmp_path / "files").exists()


async def test_an_archive_that_cannot_be_kept_is_refused_with_what_to_do(team: Served) -> None:
    async def full(principal: str, text: str) -> None:
        del principal, text

    team.autopilot.kept.keep = full  # type: ignore[method-assign]
    async with team.client("auto", signed("owner")) as agent:
        assert "too large to be kept" in await agent.fail("download_chart", chart_id="redis")


async def test_no_call_waits_longer_than_what_lies_between_lets_it(team: Served) -> None:
    async with team.client("auto", signed("owner")) as agent:
        said = await agent.fail("wait_for", kind="cluster", id="shop-prod", wait_s=51)
        assert "wait_s" in said
        assert "50" in said


async def test_a_client_that_does_not_say_its_name_is_called_by_its_user_agent(team: Served) -> None:
    agent_named = {**signed("owner"), "user-agent": "bot/1 \t" + "x" * 500}
    async with team.client("legacy", agent_named) as agent:
        said = await agent.fail("delete_cluster", cluster_id="search-dev")
        assert 'client "User-Agent bot/1' in said
        assert "x" * 200 not in said


@pytest.mark.parametrize("method", ["initialize", "server/discover", "tools/list", "resources/read"])
async def test_who_signs_in_and_may_use_nothing_is_told_so_at_once(team: Served, method: str) -> None:
    sign_in = team.autopilot.principals
    assert isinstance(sign_in, Names)
    sign_in.withdrawn = frozenset({"tagger"})
    hello: dict[str, Any] = {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "a test", "version": "1"},
    }
    modern = method == "server/discover"
    given = {"initialize": hello, "resources/read": {"uri": "autopilot://responses/x"}}.get(method, {})
    asked = request(method, given, "2026-07-28" if modern else "2025-11-25")
    async with team.by_hand(signed("tagger")) as http:
        with anyio.fail_after(5):
            answer = await http.post("/mcp", **asked)
        assert "may not use this server" in answer.text
