"""Principals who share a server share nothing that is one's own: tools, answers, questions, consents."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from agent import Agent
from approving import ALICE, APPROVERS
from over_http import ORIGIN, living, request
from signing_in import SERVER, Door, Guarded, bearing, guarded
from simulation import simulate
from two_clouds import two

from ap_mcp.guard.keys import sign
from ap_mcp.simulator.app import Simulator
from ap_mcp.web.app import http_app
from ap_mcp.web.grants import Grant
from ap_mcp.web.oauth import PeopleRule
from ap_mcp.web.options import HttpOptions

pytestmark = pytest.mark.anyio

TAGS = {"cluster_id": "search-dev", "tags": {"by": "test"}}


async def names(agent: Agent) -> set[str]:
    return {tool.name for tool in (await agent.client.list_tools()).tools}


async def asked(http: httpx.AsyncClient, token: str, method: str, params: dict[str, Any], version: str) -> Any:
    """Make one request of the protocol by hand, which many of are quicker so."""
    given = request(method, params, version)
    named = {"mcp-name": params["uri"]} if "uri" in params else {}
    answer = await http.post("/mcp", json=given["json"], headers={**given["headers"], **bearing(token), **named})
    assert answer.status_code in {200, 400}, answer.text
    found = re.search(r"^(?:data: )?(\{.*\})\r?$", answer.text, re.MULTILINE)
    assert found
    return json.loads(found[1])


async def test_each_is_offered_what_their_own_token_gives(tmp_path: Path) -> None:
    door = Door(tmp_path, people=(PeopleRule(Grant(False, ("tags", "clusters")), scopes=("write",)), PeopleRule()))
    async with guarded(tmp_path, door) as site:
        alice, writer = door.issuer.token(), door.issuer.token(scope="write")
        tags = door.give("tags", toolsets=("tags",), read_only=False)
        async with site.agent(alice) as reads, site.agent(writer) as writes, site.agent(tags) as tagging:
            assert "delete_cluster" not in await names(reads)
            assert "list_addons" in await names(reads)
            assert "delete_cluster" in await names(writes)
            assert "list_addons" not in await names(writes)
            assert "add_cluster_tags" in await names(tagging)
            assert "list_clusters" not in await names(tagging)
            # The same person, by two tokens: each call has the rights of its own.
            said = await reads.fail("add_cluster_tags", **TAGS)
            assert "read-only" in said
            await writes.call("add_cluster_tags", **TAGS)
            assert "read-only" in await reads.fail("add_cluster_tags", **TAGS)


async def test_nothing_is_offered_beyond_what_the_server_offers(tmp_path: Path) -> None:
    door = Door(tmp_path, server=SERVER._replace(toolsets=("essential",)))
    async with guarded(tmp_path, door) as site:
        upgrades = door.give("upgrades", toolsets=("upgrades", "kubernetes"), read_only=False)
        async with site.agent(upgrades) as agent:
            offered = await names(agent)
        assert {"upgrade_cluster", "run_precheck"} <= offered
        assert not offered & {"list_clusters", "cancel_upgrade_workflow", "k8s_delete", "create_maintenance_window"}


@pytest.mark.parametrize(("version", "rounds"), [("2026-07-28", 20), ("2025-11-25", 5)])
async def test_of_two_who_call_at_once_nobody_sees_what_is_the_others(
    tmp_path: Path, version: str, rounds: int
) -> None:
    door = Door(tmp_path)
    tool = {"one": "get_quotas", "other": "list_charts"}
    kept: dict[str, list[str]] = {"one": [], "other": []}
    async with guarded(tmp_path, door, calls_at_once=64, rate=1000, burst=1000) as site, site.served.by_hand() as http:
        # Neither has the toolset of the other, so that an answer to the other's call could not be their own.
        tokens = {"one": door.give("one", toolsets=("quotas",)), "other": door.give("other", toolsets=("charts",))}

        async def call(name: str) -> None:
            called = {"name": tool[name], "arguments": {}}
            answer = (await asked(http, tokens[name], "tools/call", called, version))["result"]
            assert ("quotas" in answer["structuredContent"]) == (name == "one"), answer
            kept[name].append(answer["structuredContent"]["raw"])
            refused = {"name": tool["other" if name == "one" else "one"], "arguments": {}}
            answer = (await asked(http, tokens[name], "tools/call", refused, version))["result"]
            assert "is not offered here" in answer["content"][0]["text"]

        for _ in range(rounds):
            async with anyio.create_task_group() as group:
                for _ in range(5):
                    group.start_soon(call, "one")
                    group.start_soon(call, "other")
        assert [len(set(each)) for each in kept.values()] == [5 * rounds, 5 * rounds]
        for reader, whose in (("one", "one"), ("one", "other"), ("other", "one"), ("other", "other")):
            answer = await asked(http, tokens[reader], "resources/read", {"uri": kept[whose][-1]}, version)
            assert ("result" in answer) == (reader == whose), answer
            assert "result" in answer or "Resource not found" in answer["error"]["message"]
        for name in tokens:
            listed = (await asked(http, tokens[name], "tools/list", {}, version))["result"]
            offered = {each["name"] for each in listed["tools"]}
            assert tool[name] in offered
            assert not offered & (set(tool.values()) - {tool[name]})
            assert listed.get("cacheScope", "private") == "private"


async def approve(site: Guarded, code: str) -> None:
    """Have Alice agree to what is asked."""
    store = site.served.autopilot.confirmer.store
    found = await store.find(code)
    assert found is not None
    await store.decide(code, sign(ALICE, found.question, True, found.question.created))


def trust_alice(site: Guarded) -> None:
    autopilot = site.served.autopilot
    autopilot.confirmer = replace(autopilot.confirmer, approvers=APPROVERS)


def changes(app: Simulator) -> list[str]:
    return [each.operation for each in app.state.log if each.method != "GET"]


async def test_a_question_and_its_answer_are_for_the_one_who_asked(tmp_path: Path) -> None:
    app, door = simulate(), Door(tmp_path)
    async with guarded(tmp_path, door, app=app) as site:
        trust_alice(site)
        one, other = (door.give(name, read_only=False) for name in ("one", "other"))
        async with site.agent(one) as first, site.agent(other) as second:
            codes = []
            for agent in (first, second):
                said = await agent.fail("delete_cluster", cluster_id="search-dev")
                assert said.startswith("approval_required: code ")
                codes.append(said.partition("Code: ")[2].partition(". ")[0])
            assert codes[0] != codes[1]
            await approve(site, codes[0])
            assert codes[1] in await second.fail("delete_cluster", cluster_id="search-dev")
            assert changes(app) == []
            done = await first.call("delete_cluster", cluster_id="search-dev")
            assert "alice" in done["consent"]
            assert changes(app) == ["delete_cluster"]
            recorded = (tmp_path / "state" / "audit.jsonl").read_text()
            assert '"principal":"token:one"' in recorded
            assert one not in recorded


@pytest.mark.parametrize("meanwhile", ["withdrawn", "only reads"])
async def test_a_call_that_was_held_is_judged_by_what_its_caller_may_use_in_the_end(
    tmp_path: Path, meanwhile: str
) -> None:
    app, door = simulate(), Door(tmp_path)
    token = door.give("one", read_only=False)
    passed = 0.0

    async def passes(seconds: float) -> None:
        nonlocal passed
        if not passed:
            (code,) = site.served.autopilot.holds._held
            await approve(site, code)
            if meanwhile == "withdrawn":
                door.withdraw("one")
            else:
                text = door.path.read_text()
                door.path.write_text(text.replace("read_only = false", "read_only = true"))
                door.time.pass_by(1)
        passed += seconds

    clock = {"sleep": passes, "now": lambda: passed}
    async with guarded(tmp_path, door, app=app, approval_wait=50, clock=clock) as site:
        trust_alice(site)
        async with site.agent(token) as agent:
            said = await agent.fail("delete_cluster", cluster_id="search-dev")
    assert passed > 0
    assert changes(app) == []
    assert "Nothing was sent" in said
    assert ("may not use this server" if meanwhile == "withdrawn" else "has changed while this call waited") in said


async def test_a_token_leads_to_the_profiles_that_it_gives_and_to_no_other(tmp_path: Path) -> None:
    accounts = two(tmp_path)
    door = Door(tmp_path, server=accounts.autopilot.rights_of("local"))
    app = http_app(accounts.autopilot, HttpOptions(), door.sign_in)
    asia, both = door.give("asia", profiles=("asia",)), door.give("both", profiles=("asia", "eu"))
    called: dict[str, Any] = {"name": "list_clusters", "arguments": {}}
    to_eu = {"name": "list_clusters", "arguments": {"profile": "eu"}}
    async with (
        accounts.autopilot,
        living(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ORIGIN) as http,
    ):
        for token in (asia, both):
            assert not (await asked(http, token, "tools/call", called, "2026-07-28"))["result"].get("isError")
        assert (accounts.sent("asia"), accounts.sent("eu")) == (["list_clusters"] * 2, [])
        refused = (await asked(http, asia, "tools/call", to_eu, "2026-07-28"))["result"]
        assert refused["isError"]
        assert accounts.sent("eu") == []
        assert not (await asked(http, both, "tools/call", to_eu, "2026-07-28"))["result"].get("isError")
        assert accounts.sent("eu") == ["list_clusters"]
