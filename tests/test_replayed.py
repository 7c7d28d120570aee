"""Typical tasks of an operator take few calls for an agent that only follows what answers propose."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from agent import Agent, connected
from mcp_types import ElicitResult
from replaying import Operator, Task, tasks
from simulation import simulate
from waiting import Hourglass

from ap_mcp.simulator.constants import CHECKOUT_STAGING, SHOP_PROD

pytestmark = pytest.mark.anyio

AT_MOST = 1.3
"""Times the fewest calls."""
SPEED = 40
"""How much faster than a wait simulated time passes: no wait has to be repeated."""


def runs(agent: Agent, cluster_id: str) -> str:
    return str(agent.world.table("clusters")[cluster_id]["_version"])


def release(agent: Agent, name: str) -> dict[str, Any]:
    return next((each for each in agent.world.table("releases").values() if each["name"] == name), {})


def names(agent: Agent) -> set[str]:
    return {str(each["metadata"]["name"]) for each in agent.world.table("clusters").values()}


DONE: Mapping[str, Callable[[Agent], bool]] = {
    "look around": lambda agent: agent.changed == [],
    "a blocked upgrade from end to end": lambda agent: runs(agent, SHOP_PROD).startswith("v1.29"),
    "the rollback of a release": lambda agent: release(agent, "search-api")["status"] == "DEPLOYED",
    "a release that is deployed and crashes": lambda agent: release(agent, "catalog-search")["version"] > 2,
    "a deployment": lambda agent: release(agent, "cache")["status"] == "DEPLOYED",
    "a deletion": lambda agent: "team-sandbox" not in names(agent),
    "tags": lambda agent: "payments" in str(agent.world.table("clusters")[CHECKOUT_STAGING]["spec"]["clusterTags"]),
    "a kubeconfig": lambda agent: bool(list(agent.autopilot.settings.files_dir.iterdir())),
    "a new cluster": lambda agent: "reports-dev" in names(agent),
}
"""What must be so when a task is done."""


async def agrees(context: Any, params: Any) -> ElicitResult:
    """A person who agrees to whatever is asked: types what the form wants typed."""
    del context
    name = re.findall(r'exactly: "([^"]+)"', params.message)[-1]
    return ElicitResult(action="accept", content={"name": name})


@pytest.mark.parametrize("task", tasks(), ids=lambda task: task.name)
async def test_a_task_takes_hardly_more_calls_than_the_fewest(task: Task, tmp_path: Path) -> None:
    app = simulate()
    glass = Hourglass(app.state.world)

    async def sleep(seconds: float) -> None:
        await glass.sleep(seconds)
        app.state.world.advance(seconds * (SPEED - 1))

    clock = {"sleep": sleep, "now": glass.now}
    async with connected(tmp_path, app=app, clock=clock, unasked=False, person=agrees) as agent:
        tools = {tool.name: tool for tool in (await agent.client.list_tools()).tools}
        operator = Operator(agent, task, tools)
        called = await operator.work()
        assert DONE[task.name](agent)
        if agent.changed:
            proposed = {each["tool"] for each in operator.answers[called[-1]].get("next", [])}
            assert not {"upgrade_cluster", "assess_upgrade", *called} & proposed
        assert len(called) <= AT_MOST * len(task.fewest), called
