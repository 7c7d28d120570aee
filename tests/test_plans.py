"""Any tool is a plan: reads, then writes in order, one consent for all and a permit for each."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from agent import Agent, connected
from guarded import Person

from ap_mcp.binding import bind
from ap_mcp.errors import AuditFailed, CallRefused, ConfirmationRequired, InvalidArguments, PartlyDone, Problem
from ap_mcp.guard.impacts.base import Impact
from ap_mcp.guard.subject import Subject
from ap_mcp.plans import Draft, Plan, ReadTool, ToolContext
from ap_mcp.reads import Reads
from ap_mcp.simulator.access import SIMULATED_CREDENTIALS
from ap_mcp.simulator.constants import SEARCH_DEV, SHOP_PROD, TEAM_SANDBOX
from ap_mcp.specs import CLUSTER, Effect, load_catalog
from ap_mcp.summaries import Result
from ap_mcp.vendor import get, items

if TYPE_CHECKING:
    from ap_mcp.cloud.client import CloudResponse

pytestmark = pytest.mark.anyio


class Tagged(Result):
    """How many clusters were tagged."""

    count: int = 0


@dataclass
class TagAll:
    """Sets a tag on several clusters: a tool of several requests that is no operation."""

    effect: Effect = "destroy"
    name: str = "tag_all"
    title: str = "Tag clusters"
    description: str = "Sets a tag on several clusters."
    toolsets: frozenset[str] = frozenset({"tags"})
    idempotent: bool = True
    result: type[Result] = Tagged
    input_schema: dict[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {"cluster_ids": {}}})

    def checked(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        if not isinstance(arguments.get("cluster_ids"), list):
            raise InvalidArguments([Problem("cluster_ids", "is required")])
        return dict(arguments)

    def subject(self, _: Mapping[str, Any]) -> Subject:
        return Subject(self.name, frozenset({self.effect}), self.effect)

    def is_dry_run(self, arguments: Mapping[str, Any]) -> bool:
        return bool(arguments.get("dry_run"))

    async def plan(self, arguments: Mapping[str, Any], _: ToolContext) -> Plan:
        ids = arguments["cluster_ids"]

        async def draft(reads: Reads, effect: Effect | None, at: datetime | None = None) -> Draft:
            named = [get(await reads.read("get_cluster", cluster_id=each), "/metadata/name") for each in ids]
            operation = load_catalog()["add_cluster_tags"]
            project = SIMULATED_CREDENTIALS.project_id
            calls = [bind(operation, {CLUSTER: each, "tags": {"a": "b"}}, project_id=project) for each in ids]
            steps = tuple(f"tag {name}" for name in named)
            impact = Impact(self.name, effect, "all", f"Tags {len(ids)} clusters.") if effect else None
            return Draft(tuple(calls), impact, steps)

        async def finish(responses: "Sequence[CloudResponse]") -> Result:
            return Tagged(summary=f"{len(responses)} clusters tagged.", count=len(responses))

        return Plan(self.subject(arguments), arguments, draft=draft, finish=finish, dry_run=self.is_dry_run(arguments))


def add(agent: Agent, tool: Any) -> None:
    box = agent.autopilot.view().toolbox
    assert box.shown  # made before, for no schema of results is known of a tool that a test adds
    tools: Any = box.tools
    tools[tool.name] = tool


IDS = [SEARCH_DEV, TEAM_SANDBOX, SHOP_PROD]


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "state" / "audit.jsonl").read_text().splitlines()]


async def test_several_writes_have_one_consent_and_a_permit_each_in_order(tmp_path: Path) -> None:
    person = Person()
    async with connected(tmp_path, mode="legacy", person=person, unasked=False) as agent:
        add(agent, TagAll())
        result = await agent.client.call_tool("tag_all", {"cluster_ids": IDS})
        assert result.structured_content.pop("consent").endswith("3.00 s after it was sent")
        assert result.structured_content == {"summary": "3 clusters tagged.", "count": 3}
        assert len(person.read) == 1
        assert agent.changed == ["add_cluster_tags"] * 3
        paths = [each.path for each in agent.app.state.log if each.method != "GET"]
        assert [next(uid for uid in IDS if uid in path) for path in paths] == IDS
    events = [line["event"] for line in lines(tmp_path)]
    assert events == ["decided", "finished"] * 3
    assert len({line["request"] for line in lines(tmp_path) if line["event"] == "decided"}) == 3


async def test_writes_stop_at_the_first_failure_and_say_what_was_done(tmp_path: Path) -> None:
    async with connected(tmp_path) as agent:
        add(agent, TagAll())
        with pytest.raises(PartlyDone) as caught:
            await failing_at_second(agent, IDS)
        said = caught.value.render()
        assert caught.value.done == 1
        assert said.startswith(
            "tag_all stopped after 1 of its requests; what was done stays.\n- done: tag search-dev\n"
        )
        assert "- not done: tag team-sandbox\n- not done: tag shop-prod\n" in said
        assert "HTTP 403" in said
    assert [line["result"] for line in lines(tmp_path) if line["event"] == "finished"] == ["succeeded", "failed"]


async def test_a_write_of_unknown_outcome_is_not_called_undone(tmp_path: Path) -> None:
    async with connected(tmp_path) as agent:
        add(agent, TagAll())
        with pytest.raises(PartlyDone) as caught:
            await failing_at_second(agent, IDS, "lost", None)
        said = caught.value.render()
        assert "\n- may be done, read it before you repeat it: tag team-sandbox\n- not done: tag shop-prod" in said
    assert [line["result"] for line in lines(tmp_path) if line["event"] == "finished"] == ["succeeded", "unknown"]


async def test_what_could_not_be_recorded_of_earlier_writes_is_said_with_a_later_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connected(tmp_path) as agent:
        add(agent, TagAll())
        log, count = agent.autopilot.audit, 0
        finished = type(log).finished

        def failing(self: Any, number: int, outcome: Any) -> None:
            nonlocal count
            count += 1
            if count == 1:
                raise AuditFailed("The audit log cannot be written.")
            finished(self, number, outcome)

        monkeypatch.setattr(type(log), "finished", failing)
        with pytest.raises(PartlyDone) as caught:
            await failing_at_second(agent, IDS)
        assert "\nWarning: The audit log cannot be written." in caught.value.render()


async def failing_at_second(agent: Agent, ids: list[str], fault: Any = "html", value: int | None = 403) -> None:
    original, count = agent.autopilot.gateway.send, 0

    async def send(call: Any, permit: Any = None, may_repeat: Any = None) -> Any:
        nonlocal count
        count += call.operation_id == "add_cluster_tags"
        if count == 2 and call.operation_id == "add_cluster_tags":
            agent.app.state.faults.inject(fault, "add_cluster_tags", times=None, value=value)
        return await original(call, permit, may_repeat)

    agent.autopilot.gateway.send = send  # type: ignore[method-assign]
    await agent.autopilot.call("tag_all", {"cluster_ids": ids})


async def test_without_consent_none_of_several_writes_is_sent(tmp_path: Path) -> None:
    async with connected(tmp_path, mode="legacy", person=Person("decline"), unasked=False) as agent:
        add(agent, TagAll())
        assert (await agent.client.call_tool("tag_all", {"cluster_ids": IDS})).is_error
        assert agent.changed == []


async def test_several_writes_are_shown_by_a_dry_run(tmp_path: Path) -> None:
    async with connected(tmp_path, unasked=False) as agent:
        add(agent, TagAll())
        shown = (await agent.client.call_tool("tag_all", {"cluster_ids": IDS, "dry_run": True})).structured_content
        assert shown["impact"]["sentence"] == "Tags 3 clusters."
        assert [each["method"] for each in shown["requests"]] == ["POST"] * 3
        assert "request" not in shown
        assert agent.changed == []


async def test_writes_that_need_no_consent_are_recorded_all_the_same(tmp_path: Path) -> None:
    async with connected(tmp_path, unasked=False) as agent:
        add(agent, TagAll(effect="write"))
        await agent.client.call_tool("tag_all", {"cluster_ids": IDS[:1]})
    (decided, finished) = lines(tmp_path)
    assert (decided["tool"], decided["effect"], decided["decision"]) == ("tag_all", "write", "no consent is needed")
    assert finished["result"] == "succeeded"


async def test_a_plan_that_turns_out_graver_than_its_arguments_said_is_decided_again(tmp_path: Path) -> None:
    class Graver(TagAll):
        async def plan(self, arguments: Mapping[str, Any], context: ToolContext) -> Plan:
            return replace(await super().plan(arguments, context), subject=grave)

    grave = Subject("tag_all", frozenset({"destroy"}), "write")
    async with connected(tmp_path, mode="legacy", person=Person("decline"), unasked=False) as agent:
        add(agent, Graver(effect="write"))
        assert (await agent.client.call_tool("tag_all", {"cluster_ids": IDS})).is_error
        assert agent.changed == []


async def test_a_tool_outside_the_catalog_is_subject_to_rules(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text('[[rules]]\ndecision = "deny"\ntools = ["tag_*"]\n')
    async with connected(tmp_path, policy_file=path) as agent:
        add(agent, TagAll(effect="write"))
        with pytest.raises(CallRefused, match="tag_all is denied"):
            await agent.autopilot.call("tag_all", {"cluster_ids": IDS})
        assert agent.sent == []


async def test_a_tool_of_several_reads_needs_a_function_and_nothing_else(tmp_path: Path) -> None:
    async def run(arguments: Mapping[str, Any], context: ToolContext) -> Result:
        wanted = await context.reads.resolve(arguments)
        addons = items(await context.reads.read("list_addons", **wanted), "/items")
        releases = items(await context.reads.read("list_releases", **wanted))
        return Tagged(summary=f"{len(addons)} add-ons, {len(releases)} releases.")

    tool = ReadTool(
        name="count_things",
        title="Count",
        description="Counts.",
        toolsets=frozenset({"clusters"}),
        input_schema={"type": "object", "properties": {CLUSTER: {"type": "string"}}, "required": [CLUSTER]},
        run=run,
    )
    path = tmp_path / "policy.toml"
    path.write_text('[[rules]]\ndecision = "deny"\ntools = ["list_releases"]\n')
    async with connected(tmp_path) as agent:
        add(agent, tool)
        counted = (await agent.client.call_tool("count_things", {CLUSTER: "search-dev"})).structured_content
        assert "add-ons" in counted["summary"]
        assert agent.sent == ["list_clusters", "list_addons", "list_releases"]
        assert "is required" in (await agent.client.call_tool("count_things", {})).model_dump_json()
    async with connected(tmp_path, policy_file=path) as agent:
        add(agent, tool)
        with pytest.raises(CallRefused, match="list_releases is denied"):
            await agent.autopilot.call("count_things", {CLUSTER: SEARCH_DEV})
    path.write_text('[[rules]]\ndecision = "deny"\ntools = ["count_*"]\nclusters = ["search-*"]\n')
    async with connected(tmp_path, policy_file=path) as agent:
        add(agent, tool)
        with pytest.raises(CallRefused, match='count_things on cluster "search-dev" is denied'):
            await agent.autopilot.call("count_things", {CLUSTER: "search-dev"})
        await agent.autopilot.call("count_things", {CLUSTER: "shop-prod"})
    path.write_text('[[rules]]\ndecision = "ask"\ntools = ["count_*"]\n')
    async with connected(tmp_path, policy_file=path, unasked=False) as agent:
        add(agent, tool)
        with pytest.raises(ConfirmationRequired):
            await agent.autopilot.call("count_things", {CLUSTER: SEARCH_DEV})
        assert agent.sent == []
