"""What answers propose: calls that can be made as they are, waits for whatever was started, nothing unexpected."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest
from agent import Agent, connected
from canaries import harmless_calls
from guarded import account, guarded_account
from jsonschema import Draft202012Validator

from ap_mcp.finishing import ASKS, SWITCHED_OFF
from ap_mcp.simulator.constants import CHECKOUT_STAGING, SHOP_PROD
from ap_mcp.specs import GUARDED, Catalog
from ap_mcp.toolbox import toolbox
from ap_mcp.wait import WAIT_FOR
from ap_mcp.wait.targets import misfits, waitables

A_WHILE = 60
DATE = re.compile(r"\d{4}-\d\d-\d\d(?:[T ][\d:.]+)?(?: ?(?:Z|UTC|[+-]\d{4})){0,2}(?![\w-])")
ONE_FORM = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
LAST = ("delete_cluster", "delete_chart")
RELEASE = ("cluster_id", "namespace", "name")


@dataclass
class Proposals:
    """Calls that answers proposed, by the tool that did; those that only read were tried at once.

    Attributes:
        answers: what every tool answered.
        refused: what such a call said, if it failed.
    """

    agent: Agent
    catalog: Catalog
    by: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    answers: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Call a tool that must succeed, and note and try what its answer proposes."""
        answer = await self.agent.call(tool, **arguments)
        self.answers.append((tool, answer))
        for each in answer.get("next", []):
            self.by.setdefault(tool, []).append(each)
            await self.try_out(tool, each)
        return answer

    async def try_out(self, by: str, proposed: Mapping[str, Any]) -> None:
        """Make a call that only reads: an id from the wrong place fits the schema as well."""
        tool = proposed["tool"]
        if tool in self.catalog and self.catalog[tool].worst_effect != "read":
            return
        result = await self.agent.run(tool, {**proposed["arguments"], **({"wait_s": 0} if tool == WAIT_FOR else {})})
        if result.is_error:
            self.refused.append(f"{by} proposes {proposed}: {self.agent.said}")

    @property
    def every(self) -> list[tuple[str, dict[str, Any]]]:
        return [(tool, each) for tool, proposed in self.by.items() for each in proposed]


async def collect(folder: Path, catalog: Catalog) -> Proposals:
    """Call every tool, those that delete last, and read what is under way then."""
    state, guarded = await guarded_account(folder)
    async with connected(folder, app=account(state)) as agent:
        proposals = Proposals(agent, catalog)
        for tool, arguments in harmless_calls(state, folder).items():
            answer = await proposals.call(tool, arguments)
            await read_under_way(proposals, tool, arguments, answer)
        for tool in sorted(guarded, key=lambda each: (each in LAST, "delete" in each)):
            agent.world.advance(A_WHILE)
            answer = await proposals.call(tool, guarded[tool])
            await read_under_way(proposals, tool, guarded[tool], answer)
        assert len(agent.done) == len((await agent.client.list_tools()).tools)
    return proposals


async def read_under_way(proposals: Proposals, tool: str, given: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
    """Read what a call has started, while it is under way."""
    this = {"cluster_id": given.get("cluster_id", "")}
    reads: list[tuple[str, dict[str, Any]]] = []
    if tool in ("update_addon", "delete_addon"):
        reads.append(("get_addon", {**this, "addon_id": given["addon_id"]}))
    if tool in ("update_release", "delete_release"):
        reads.append(("get_release", {name: given[name] for name in RELEASE}))
    if tool == "run_precheck":
        reads += [("get_precheck", {**this, "task_id": answer["task_id"]}), ("list_prechecks", this)]
    if tool == "upgrade_cluster":
        workflow = proposals.agent.world.table("upgrade_workflows").values()
        (uid,) = (each["metadata"]["uid"] for each in workflow if each["_clusterID"] == CHECKOUT_STAGING)
        reads += [("get_upgrade_task", {**this, "task_id": answer["task_id"]}), ("list_upgrade_tasks", this)]
        reads += [("get_upgrade_workflow", {**this, "upgrade_workflow_id": uid}), ("get_upgrade_info", this)]
        reads += [("get_cluster", this), ("assess_upgrade", this)]
    if tool in ("create_cluster", "delete_cluster"):
        reads += [("get_cluster", {"cluster_id": answer["cluster_id"]}), ("get_job", {"job_id": answer["job_id"]})]
        reads.append((WAIT_FOR, {"kind": "job", "id": answer["job_id"], "wait_s": 0}))
    for name, arguments in reads:
        await proposals.call(name, arguments)


@pytest.fixture(scope="module")
def proposals(tmp_path_factory: pytest.TempPathFactory, catalog: Catalog) -> Proposals:
    return anyio.run(collect, tmp_path_factory.mktemp("proposals"), catalog)


def test_every_proposed_call_fits_what_its_tool_takes(proposals: Proposals, catalog: Catalog) -> None:
    shown = {tool.name: Draft202012Validator(tool.input_schema) for tool in toolbox(catalog).shown}
    known = waitables(catalog.values(), catalog)
    wrong = []
    for by, each in proposals.every:
        problems = [error.message for error in shown[each["tool"]].iter_errors(each["arguments"])]
        if each["tool"] == WAIT_FOR:
            problems += [str(problem) for problem in misfits(known, each["arguments"])]
        wrong += [f"{by} proposes {each}: {problem}" for problem in problems]
    assert wrong == []


def test_every_proposed_read_finds_what_it_is_for(proposals: Proposals) -> None:
    assert proposals.refused == []


def test_a_proposal_of_a_guarded_tool_says_that_a_person_is_asked(proposals: Proposals, catalog: Catalog) -> None:
    guarded = [each for _, each in proposals.every if each["tool"] in catalog and catalog[each["tool"]].guarded]
    assert {"upgrade_cluster", "retry_upgrade", "set_cluster_public_access"} <= {each["tool"] for each in guarded}
    assert [each for each in guarded if catalog[each["tool"]].effect in GUARDED and ASKS not in each["why"]] == []
    assert [each for _, each in proposals.every if ASKS in each["why"] and each not in guarded] == []


def test_whatever_starts_something_leads_to_the_wait_for_its_end(proposals: Proposals, catalog: Catalog) -> None:
    started = {name: each for name, each in catalog.items() if each.effect != "read" and each.wait and each.wait.kind}
    assert len(started) > 10
    for name, operation in started.items():
        first = proposals.by[name][0]
        assert operation.wait is not None
        assert (first["tool"], first["arguments"]["kind"]) == (WAIT_FOR, operation.wait.kind), name
        assert (first["arguments"].get("until") == "deleted") == operation.deletes, name


def test_what_is_under_way_leads_to_its_end_too(proposals: Proposals) -> None:
    waiting = {by for by, each in proposals.every if each["tool"] == WAIT_FOR}
    tasks = {"get_precheck", "list_prechecks", "get_upgrade_task", "list_upgrade_tasks", "get_upgrade_workflow"}
    assert tasks | {"get_addon", "get_release", "get_cluster", "get_job", "assess_upgrade", WAIT_FOR} <= waiting
    again = [each for by, each in proposals.every if by == each["tool"] and by.startswith(("get_", "list_"))]
    assert [each for each in again if "cursor" not in each["arguments"]] == []


def test_every_time_in_an_answer_has_one_form(proposals: Proposals) -> None:
    found = {(tool, each) for tool, answer in proposals.answers for each in DATE.findall(json.dumps(answer))}
    assert len({tool for tool, _ in found}) > 12
    assert sorted((tool, each) for tool, each in found if not ONE_FORM.fullmatch(each)) == []


@pytest.mark.anyio
async def test_where_guarded_tools_are_switched_off_no_person_is_said_to_be_asked(tmp_path: Path) -> None:
    async with connected(tmp_path, unasked=False, confirm="deny") as agent:
        found = await agent.call("assess_upgrade", cluster_id=SHOP_PROD)
    why = next(each["why"] for each in found["next"] if each["tool"] == "upgrade_cluster")
    assert SWITCHED_OFF in why
    assert ASKS not in why


@pytest.mark.anyio
async def test_what_a_rule_forbids_everywhere_is_not_proposed(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text('[[rules]]\ndecision = "deny"\ntools = ["get_job", "assess_*"]\n')
    async with connected(tmp_path) as agent:
        usual = await agent.call("list_problems")
    async with connected(tmp_path, policy_file=policy) as agent:
        found = await agent.call("list_problems")
    closed = {"get_job", "assess_upgrade"}
    assert {each["tool"] for each in usual["next"]} > closed
    assert [each["tool"] for each in found["next"]] == [
        each["tool"] for each in usual["next"] if each["tool"] not in closed
    ]


@pytest.mark.anyio
@pytest.mark.parametrize("by", ['clusters = ["shop-*"]', 'tags = { env = "prod" }'])
async def test_what_a_rule_forbids_on_a_cluster_that_was_read_is_not_proposed(tmp_path: Path, by: str) -> None:
    calls: list[dict[str, Any]] = [{}, {"cluster_id": SHOP_PROD}]
    policy = tmp_path / "policy.toml"
    policy.write_text(f'[[rules]]\ndecision = "deny"\ntools = ["assess_upgrade", "get_precheck"]\n{by}\n')
    async with connected(tmp_path) as agent:
        usual = [(await agent.call("list_problems", **given))["next"] for given in calls]
    async with connected(tmp_path, policy_file=policy) as agent:
        for given, before in zip(calls, usual, strict=True):
            left = (await agent.call("list_problems", **given)).get("next", [])
            gone = [each for each in before if each not in left]
            assert gone
            for each in before:
                refused = (await agent.run(each["tool"], each["arguments"])).is_error
                assert refused == (each in gone), each
