"""Several profiles behind one server: each call goes to the one that it names, and nothing of one reaches another."""

import json
from pathlib import Path
from typing import Any

import pytest
from agent import connected
from guarded import Person
from hypothesis import given
from hypothesis import strategies as st
from mcp_types import PromptReference, TextContent
from two_clouds import PROJECTS, connected_to_two, two

from ap_mcp.addressing import addressed, leading_back, with_profiles
from ap_mcp.errors import ApprovalRequired, CallRefused, CredentialsMissing, DeniedByPolicy, InvalidArguments, ReadOnly
from ap_mcp.guard.callers import Caller
from ap_mcp.guard.policy import Rule
from ap_mcp.principals import Everybody, Rights, rights_from
from ap_mcp.server import Autopilot
from ap_mcp.simulator.constants import SEARCH_DEV, TEAM_SANDBOX
from ap_mcp.summaries import NextCall, Result
from ap_mcp.toolbox import known_to_rules
from ap_mcp.web.grants import Grant
from ap_mcp.web.signed_in import rights_within

pytestmark = pytest.mark.anyio

TAGS = {"cluster_id": "search-dev", "tags": {"a": "b"}}
ALICE, BOT = Caller("alice"), Caller("token:bot")


class Some:
    """Gives each principal the profiles of its own."""

    def __init__(self, server: Autopilot, **profiles: tuple[str, ...]) -> None:
        self._every = rights_from(server.settings, ask=False)
        self._profiles = profiles

    def rights_of(self, principal: str) -> Rights:
        return self._every._replace(profiles=self._profiles[principal])


async def test_every_tool_takes_one_more_argument_that_names_the_profiles_and_nothing_else_changes(
    tmp_path: Path,
) -> None:
    async with connected(tmp_path) as alone, connected_to_two(tmp_path) as (agent, _):
        single = {tool.name: tool for tool in (await alone.client.list_tools()).tools}
        for tool in (await agent.client.list_tools()).tools:
            properties = dict(tool.input_schema["properties"])
            profile = properties.pop("profile")
            assert profile == {
                "type": "string",
                "enum": ["eu", "asia"],
                "description": "Account and region",
                "default": "eu",
            }
            assert tool.model_copy(
                update={"input_schema": {**tool.input_schema, "properties": properties}}
            ) == single.pop(tool.name)
        assert single == {}


async def test_a_call_goes_to_the_profile_that_it_names_and_without_one_to_the_first(tmp_path: Path) -> None:
    async with connected_to_two(tmp_path) as (agent, both):
        await agent.call("add_cluster_tags", **TAGS, profile="asia")
        assert (both.changed("eu"), both.changed("asia")) == ([], ["add_cluster_tags"])
        await agent.call("add_cluster_tags", **TAGS, profile=None)
        await agent.call("list_clusters")
        assert both.changed("eu") == ["add_cluster_tags"]
        assert {each.path.split("/")[4] for each in both.apps["asia"].state.log} == {PROJECTS["asia"]}
        said = await agent.fail("list_clusters", profile="aisa")
        assert 'profile: must be one of eu, asia, not "aisa". Did you mean asia?' in said


async def test_whoever_has_one_profile_has_no_argument_for_it(tmp_path: Path) -> None:
    async with connected_to_two(tmp_path, profiles={"asia": {}}) as (agent, both):
        tools = (await agent.client.list_tools()).tools
        assert not any("profile" in tool.input_schema["properties"] for tool in tools)
        assert "profile" not in (agent.client.instructions or "")
        await agent.call("list_clusters")
        assert both.sent("asia") == ["list_clusters"]
        assert "profile" in await agent.fail("list_clusters", profile="asia")


async def test_the_instructions_name_the_profiles_their_regions_and_what_is_only_read(tmp_path: Path) -> None:
    async with connected_to_two(tmp_path, profiles={"eu": {"read_only": True}, "asia": {}}) as (agent, _):
        said = agent.client.instructions or ""
        assert "profile chooses the account and region: eu (eu-west-101, only reads), asia (ap-southeast-1)." in said
        assert "The first is the default." in said
        assert "This server only reads" not in said


async def test_a_tool_that_the_default_does_not_offer_wants_its_profile_and_is_refused_there(tmp_path: Path) -> None:
    async with connected_to_two(tmp_path, profiles={"eu": {"read_only": True}, "asia": {}}) as (agent, both):
        tools = {tool.name: tool.input_schema for tool in (await agent.client.list_tools()).tools}
        assert tools["add_cluster_tags"]["properties"]["profile"]["enum"] == ["asia"]
        assert "profile" in tools["add_cluster_tags"]["required"]
        assert "profile" not in tools["get_cluster"]["required"]
        said = await agent.fail("add_cluster_tags", **TAGS)
        assert "this profile is read-only" in said
        assert said.endswith("Profile: eu (there are also: asia)")
        await agent.call("add_cluster_tags", **TAGS, profile="asia")
        assert both.changed("eu") == []


async def test_read_only_for_a_profile_holds_at_its_gateway_too(tmp_path: Path) -> None:
    both = two(tmp_path, profiles={"eu": {}, "asia": {"read_only": True}})
    async with both.autopilot as server:
        with pytest.raises(ReadOnly):
            await server.call("add_cluster_tags", {**TAGS, "profile": "asia"})
        assert server.clouds["asia"].gateway._read_only
        assert not server.clouds["eu"].gateway._read_only


async def test_a_principal_has_the_profiles_of_its_rights_and_no_other(tmp_path: Path) -> None:
    both = two(tmp_path)
    async with both.autopilot as server:
        server.principals = Some(server, alice=("asia", "eu"), bot=("eu",))
        assert both.autopilot.view("alice").cloud.profile == "asia"
        with pytest.raises(CallRefused, match="profile"):
            await server.call("list_clusters", {"profile": "asia"}, caller=Caller("bot"))
        assert both.sent("asia") == []
        await server.call("list_clusters", {}, caller=ALICE)
        assert both.sent("asia") == ["list_clusters"]
        enums = {name: "profile" in server.offered(name)[0].input_schema["properties"] for name in ("alice", "bot")}
        assert enums == {"alice": True, "bot": False}
        assert server.offered("alice") is server.offered("alice")


async def test_a_kept_answer_is_read_only_with_the_profile_that_it_came_from(tmp_path: Path) -> None:
    both = two(tmp_path)
    async with both.autopilot as server:
        server.principals = Some(server, alice=("eu", "asia"), bot=("asia",))
        result = await server.call("list_clusters", {"profile": "asia"}, caller=ALICE)
        assert isinstance(result, Result)
        assert result.raw
        assert await server.kept_answer("alice", result.raw)
        assert await server.kept_answer("bot", result.raw) is None
        server.principals = Some(server, alice=("eu",))
        assert await server.kept_answer("alice", result.raw) is None


async def test_next_calls_carry_the_profile_wherever_they_stand(tmp_path: Path) -> None:
    async with connected_to_two(tmp_path) as (agent, _):
        for tool, given_ in (("get_upgrade_info", {"cluster_id": "search-dev"}), ("list_problems", {})):
            found = await agent.call(tool, **given_, profile="asia")
            calls = list(_calls(found))
            assert calls
            assert {each["arguments"].get("profile") for each in calls} == {"asia"}
            assert 'profile="asia"' in agent.said


def _calls(value: Any) -> Any:
    if isinstance(value, dict):
        if value.keys() >= {"tool", "arguments", "why"}:
            yield value
        for each in value.values():
            yield from _calls(each)
    elif isinstance(value, list):
        for each in value:
            yield from _calls(each)


async def test_a_name_that_only_one_profile_knows_is_not_found_in_another(tmp_path: Path) -> None:
    async with connected_to_two(tmp_path) as (agent, both):
        clusters = both.apps["asia"].state.world.table("clusters")
        clusters[SEARCH_DEV]["metadata"]["name"] = "only-in-asia"
        assert (await agent.call("get_cluster", cluster_id="only-in-asia", profile="asia"))["id"] == SEARCH_DEV
        said = await agent.fail("get_cluster", cluster_id="only-in-asia")
        assert "only-in-asia" in said
        assert said.endswith("Profile: eu (there are also: asia)")


async def test_what_was_changed_a_moment_ago_in_one_profile_is_no_matter_in_another(tmp_path: Path) -> None:
    async with connected_to_two(tmp_path) as (agent, both):
        await agent.call("add_cluster_tags", **TAGS, profile="asia")
        recent = {name: len(cloud.clocks.recent._changed) for name, cloud in both.autopilot.clouds.items()}
        assert recent == {"eu": 0, "asia": 1}


async def test_what_clusters_of_one_profile_serve_is_not_taken_for_another(tmp_path: Path) -> None:
    async with connected_to_two(tmp_path) as (agent, both):
        await agent.call("k8s_discover", cluster_id=TEAM_SANDBOX, profile="asia")
        kept = {name: dict(cloud.kinds._kept) for name, cloud in both.autopilot.clouds.items()}
        assert (list(kept["eu"]), list(kept["asia"])) == ([], [TEAM_SANDBOX])


async def test_a_person_agrees_to_a_call_of_one_profile_which_they_read_first(tmp_path: Path) -> None:
    person = Person()
    async with connected_to_two(tmp_path, person, unasked=False) as (agent, both):
        found = await agent.call("delete_cluster", cluster_id="team-sandbox", profile="asia")
        assert found["consent"]
        assert person.read[0].startswith("SIMULATED (asia): ")
        assert "profile asia, region ap-southeast-1, project " + PROJECTS["asia"] in person.read[0]
        assert (both.changed("eu"), both.changed("asia")) == ([], ["delete_cluster"])
        lines = [json.loads(line) for line in both.autopilot.audit.path.read_text().splitlines()]
        assert [line.get("profile") for line in lines if line["event"] == "decided"] == ["asia"]


async def test_a_question_about_one_profile_is_another_one_in_the_other(tmp_path: Path) -> None:
    both = two(tmp_path, unasked=False, confirm="approval")
    async with both.autopilot as server:
        codes: dict[str, set[str]] = {}
        for profile in ("eu", "asia", "eu"):
            with pytest.raises(ApprovalRequired) as asked:
                await server.call("delete_cluster", {"cluster_id": "team-sandbox", "profile": profile}, caller=ALICE)
            codes.setdefault(profile, set()).add(asked.value.code)
        assert {name: len(found) for name, found in codes.items()} == {"eu": 1, "asia": 1}
        assert not codes["eu"] & codes["asia"]
        waiting = await server.confirmer.store.pending(server.confirmer.now())
        assert {(each.profile, each.region, each.project) for each in waiting} == {
            ("eu", "eu-west-101", PROJECTS["eu"]),
            ("asia", "ap-southeast-1", PROJECTS["asia"]),
        }


async def test_rules_of_a_profile_and_rules_that_name_it_hold_there_alone(tmp_path: Path) -> None:
    own = Rule("deny", tools=("add_cluster_tags",), source="the rule of eu")
    path = tmp_path / "policy.toml"
    path.write_text('[[rules]]\ndecision = "deny"\ntools = ["delete_cluster_tags"]\nprofiles = ["as*"]\n')
    both = two(tmp_path, rules={"eu": (own,)}, policy_file=path)
    gone = {"cluster_id": "search-dev", "keys": ["a"]}
    async with both.autopilot as server:
        with pytest.raises(DeniedByPolicy, match="the rule of eu"):
            await server.call("add_cluster_tags", TAGS)
        await server.call("add_cluster_tags", {**TAGS, "profile": "asia"})
        with pytest.raises(DeniedByPolicy, match=r"policy\.toml rule 1"):
            await server.call("delete_cluster_tags", {**gone, "profile": "asia"})
        await server.call("add_cluster_tags", {**TAGS, "profile": "asia"})
        assert both.changed("eu") == []


async def test_rules_of_a_caller_that_name_a_profile_hold_there_alone(tmp_path: Path) -> None:
    path = tmp_path / "bot.toml"
    path.write_text('[[rules]]\ndecision = "deny"\ntools = ["add_cluster_tags"]\nprofiles = ["asia"]\n')
    both = two(tmp_path)
    async with both.autopilot as server:
        everybody = server.rights_of("anybody")
        rights = rights_within(everybody, Grant(read_only=False, policy_file=path), known_to_rules(server.catalog))
        assert rights
        server.principals = Everybody(rights)
        await server.call("add_cluster_tags", TAGS)
        with pytest.raises(DeniedByPolicy, match=r"bot\.toml rule 1"):
            await server.call("add_cluster_tags", {**TAGS, "profile": "asia"})
        assert (both.changed("eu"), both.changed("asia")) == (["add_cluster_tags"], [])


async def test_a_profile_without_credentials_fails_by_itself(tmp_path: Path) -> None:
    both = two(tmp_path)

    async def without() -> Any:
        raise CredentialsMissing(["ASIA_HUAWEICLOUD_SDK_AK and ASIA_HUAWEICLOUD_SDK_SK: not set"])

    both.autopilot.clouds["asia"].gateway._connect = without
    async with both.autopilot as server:
        with pytest.raises(CredentialsMissing) as missing:
            await server.call("list_clusters", {"profile": "asia"})
        assert "ASIA_HUAWEICLOUD_SDK_AK" in missing.value.report()
        assert missing.value.report().endswith("Profile: asia (there are also: eu)")
        await server.call("list_clusters", {})


async def test_prompts_let_a_person_choose_the_profile_and_complete_from_it(tmp_path: Path) -> None:
    async with connected_to_two(tmp_path) as (agent, both):
        both.apps["asia"].state.world.table("clusters")[SEARCH_DEV]["metadata"]["name"] = "only-in-asia"
        prompts = {each.name: each for each in (await agent.client.list_prompts()).prompts}
        assert [each.name for each in prompts["clean-up"].arguments or ()] == ["cluster", "profile"]
        got = await agent.client.get_prompt("clean-up", {"profile": "asia"})
        assert isinstance(got.messages[0].content, TextContent)
        assert 'profile (give it in every call): "asia"' in got.messages[0].content.text
        ref = PromptReference(name="clean-up")
        names = await agent.client.complete(ref, {"name": "profile", "value": "a"})
        assert names.completion.values == ["asia"]
        for profile, values in (("asia", ["only-in-asia"]), ("eu", [])):
            found = await agent.client.complete(
                ref, {"name": "cluster", "value": "only"}, context_arguments={"profile": profile}
            )
            assert found.completion.values == values
        with pytest.raises(Exception, match="must be one of eu, asia"):
            await agent.client.get_prompt("clean-up", {"profile": "africa"})


async def test_a_file_of_a_result_names_its_profile(tmp_path: Path) -> None:
    async with connected_to_two(tmp_path) as (agent, _):
        found = await agent.call("get_cluster_certificate", cluster_id="team-sandbox", duration_days=1, profile="asia")
        assert Path(found["file"]).name.startswith("asia-")


async def test_a_wait_reads_where_it_is_asked_to(tmp_path: Path) -> None:
    async with connected_to_two(tmp_path) as (agent, both):
        await agent.call("wait_for", kind="cluster", id="search-dev", wait_s=0, profile="asia")
        assert both.sent("eu") == []
        assert both.sent("asia")


PROFILES = st.lists(st.sampled_from("abcde"), min_size=2, unique=True).map(tuple)


@given(PROFILES, st.one_of(st.none(), st.integers(), st.text(max_size=2), st.sampled_from("abcde")))
def test_only_a_profile_of_the_caller_is_ever_chosen(profiles: tuple[str, ...], wanted: Any) -> None:
    given_ = {"cluster_id": "x", "profile": wanted}
    if wanted is None:
        assert addressed(given_, profiles) == (profiles[0], {"cluster_id": "x"})
    elif wanted in profiles:
        assert addressed(given_, profiles) == (wanted, {"cluster_id": "x"})
    else:
        with pytest.raises(InvalidArguments):
            addressed(given_, profiles)


def test_a_result_without_next_calls_is_the_same_object() -> None:
    plain = Result(summary="x")
    assert leading_back(plain, "eu") is plain
    led = leading_back(Result(summary="x", next=[NextCall(tool="t", arguments={"profile": "old"}, why="w")]), "eu")
    assert led.next[0].arguments == {"profile": "eu"}
    assert with_profiles({"eu": [], "asia": []}) == []
