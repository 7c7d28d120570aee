"""A cluster that a rule closes to reading is named to nobody who does not know it, and that it is left out is said."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from agent import Agent, connected
from canaries import leaving

from ap_mcp.completion import completed
from ap_mcp.simulator.chart_seed import PAYMENTS_API
from ap_mcp.simulator.constants import PAYMENTS_PROD, SHOP_PROD

pytestmark = pytest.mark.anyio

CLOSED = {PAYMENTS_PROD: "payments-prod", SHOP_PROD: "shop-prod"}
LINE = "2 clusters are not shown because a rule of the operator closes them to reading."
RULES = {
    "by name": 'effects = ["read", "write", "disrupt", "destroy", "secret"]\nclusters = ["*-prod"]',
    "by tag": 'effects = ["read"]\ntags = {env = "prod"}',
    "by tool": 'tools = ["get_*", "list_*"]\nclusters = ["*-PROD"]',
}
by_each_rule = pytest.mark.parametrize("rule", RULES.values(), ids=RULES)


@asynccontextmanager
async def closed(tmp_path: Path, rule: str) -> AsyncIterator[Agent]:
    path = tmp_path / "policy.toml"
    path.write_text(f'[[rules]]\ndecision = "deny"\nreason = "by order"\n{rule}\n')
    path.chmod(0o600)
    async with connected(tmp_path, policy_file=path) as agent:
        yield agent


def named(text: str) -> list[str]:
    return [each for pair in CLOSED.items() for each in pair if each in text]


@by_each_rule
async def test_no_list_problem_suggestion_job_or_completion_names_it(tmp_path: Path, rule: str) -> None:
    async with closed(tmp_path, rule) as agent:
        texts: dict[str, str] = {}
        for tool, arguments in (
            ("list_clusters", {}),
            ("list_clusters", {"with_addons": True}),
            ("list_problems", {}),
            ("list_jobs", {}),
            ("get_cluster", {"cluster_id": "shop-prd"}),
            ("get_cluster", {"cluster_id": "no-such-cluster"}),
        ):
            texts[json.dumps([tool, arguments])] = await leaving(agent, await agent.run(tool, arguments))
        assert {key: found for key, text in texts.items() if (found := named(text))} == {}
        said = [text for key, text in texts.items() if "list_jobs" not in key]
        assert all(LINE in text for text in said)
        assert (await agent.call("list_clusters"))["total"] == 5
        offered, count = await completed(agent.autopilot.reads(agent.autopilot.view()), "cluster", "", {})
        assert (named(" ".join(offered)), count > 0) == ([], True)


@by_each_rule
async def test_who_names_it_is_refused_by_the_rule_and_who_has_an_id_does_not_learn_the_name(
    tmp_path: Path, rule: str
) -> None:
    async with closed(tmp_path, rule) as agent:
        for uid, name in CLOSED.items():
            assert "by order" in await agent.fail("get_cluster", cluster_id=name)
            said = await agent.fail("get_cluster", cluster_id=uid)
            assert "by order" in said
            assert name not in said
        jobs: list[dict[str, Any]] = list(agent.world.table("jobs").values())
        about = [each["metadata"]["uid"] for each in jobs if each["spec"].get("clusterUID") in CLOSED]
        for job in about:
            said = await agent.fail("get_job", job_id=job)
            assert named(said.replace(job, "")) == []
        assert "payments-prod" not in agent.said


@by_each_rule
async def test_an_impact_says_that_something_was_not_read_there_and_not_its_name(tmp_path: Path, rule: str) -> None:
    async with closed(tmp_path, rule) as agent:
        shown = json.dumps(await agent.call("delete_chart", chart_id=PAYMENTS_API, dry_run=True))
        assert named(shown) == []
        assert "a cluster closed to reading" in shown


async def test_without_such_a_rule_nothing_is_left_out_and_nothing_more_is_read(tmp_path: Path) -> None:
    async with closed(tmp_path, 'effects = ["destroy"]\nclusters = ["*-prod"]') as agent:
        listed = await agent.call("list_clusters")
        assert (listed["total"], agent.sent) == (7, ["list_clusters"])
        assert "not shown" not in agent.said
        await agent.call("list_jobs")
        assert agent.sent == ["list_clusters", "list_jobs"]
