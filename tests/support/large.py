"""A very large account, made by the simulator, for what must stay small and must not lose a fact."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from ap_mcp.simulator.archives import build_chart
from ap_mcp.simulator.backups import past_backup
from ap_mcp.simulator.chart_seed import REDIS
from ap_mcp.simulator.cluster_rows import Blueprint, Network, make_available, new_row
from ap_mcp.simulator.constants import (
    CHECKOUT_STAGING,
    HOST_SUBNET_ID,
    SEARCH_DEV,
    SHOP_PROD,
    SUBNET_IDS,
    TEAM_SANDBOX,
    VPC_ID,
)
from ap_mcp.simulator.handlers import handler_of
from ap_mcp.simulator.lifecycle import Step, start_job
from ap_mcp.simulator.prechecks import add_findings, past_check
from ap_mcp.simulator.registry import Answer as Answered
from ap_mcp.simulator.registry import SimulatedRequest, public
from ap_mcp.simulator.seed import seeded_world
from ap_mcp.simulator.versions import NEWEST_PATCHES, OLDER_PATCHES
from ap_mcp.simulator.workflows import new_workflow
from ap_mcp.simulator.world import World
from ap_mcp.specs import load_catalog
from ap_mcp.summaries import Observation

CLUSTERS, NODES, FINDINGS, RELEASES, TASKS, CHARTS, REVISIONS = 200, 50, 400, 100, 30, 40, 10
STAGES, STEPS, STEP_SECONDS = 12, 10, 20
TARGET = "v1.29.13-r0"
NO_ROOM = f"subnet {SUBNET_IDS[0]} has no free IP address; add a larger subnet to the VPC and use that one"
RELEASE: Mapping[str, str] = MappingProxyType({"cluster_id": SEARCH_DEV, "namespace": "default", "name": "query-cache"})
_TEAMS = ("shop", "payments", "search", "ml", "platform", "logistics", "catalogue")
_STAGES = ("dev", "test", "staging", "prod")
_EVERY = 25
"""One cluster of so many is in trouble, and one release."""


def large_world() -> World:
    """Make an account with 200 clusters, an old one of 50 nodes with 400 findings, 100 releases and long histories."""
    world = seeded_world()
    for number in range(CLUSTERS - len(world.table("clusters"))):
        _add_cluster(world, number)
    add_findings(world, SHOP_PROD, nodes=NODES, findings=FINDINGS)
    _add_history(world)
    for number in range(CHARTS - len(world.table("charts"))):
        chart = build_chart(f"service-{number:02d}", _chart_files(number))
        ask(world, "upload_chart", body={"content": chart, "filename": "chart.tgz", "parameters": {}})
    installed = len(ask(world, "list_releases", {"cluster_id": SEARCH_DEV}))
    for number in range(RELEASES - installed):
        _add_release(world, number)
    world.advance(60)
    for replicas in range(2, 2 + REVISIONS):
        values = {**_values("query-cache"), "replicas": replicas}
        ask(world, "update_release", RELEASE, body={"action": "upgrade", "chart_id": REDIS, "values": values})
        world.advance(60)
    return world


def deep_job(world: World, *, fails: bool = True) -> str:
    """Let a job of three levels run into its failure, or half-way; return its id."""
    stages = [
        Step(f"Stage{stage:02d}", steps=[Step(f"Step{stage:02d}x{step}", STEP_SECONDS) for step in range(STEPS)])
        for stage in range(STAGES)
    ]
    job_id = start_job(
        world,
        "CreateCluster",
        world.table("clusters")[TEAM_SANDBOX],
        stages,
        fails_at=f"Step{STAGES // 2:02d}x{STEPS // 2}" if fails else None,
        reason=NO_ROOM if fails else "",
    )
    world.advance(STEP_SECONDS * STAGES * STEPS * (1 if fails else 0.5))
    return job_id


def ask(world: World, operation: str, path: Mapping[str, str] = MappingProxyType({}), **request: Any) -> Any:
    """Return what the simulator answers to a request, as JSON; nothing is sent anywhere."""
    handler = handler_of(operation)
    assert handler is not None
    answer = handler(world, SimulatedRequest(operation, path, **request))
    return public(answer.body if isinstance(answer, Answered) else answer)


def large_answers() -> Iterator[tuple[str, Observation]]:
    """Yield the five large inputs, each with its name: answers of the cloud, secrets masked."""
    world = large_world()
    job = {"job_id": deep_job(world)}
    yield "a check of 50 nodes with 400 items", _answer(world, "get_precheck", _newest(world, "prechecks"))
    yield "200 clusters", _answer(world, "list_clusters")
    yield "the add-on template catalogue", _answer(world, "list_addon_templates")
    yield "a job of three levels", _answer(world, "get_job", job)
    yield "100 releases with big values", _answer(world, "list_releases", {"cluster_id": SEARCH_DEV})


def _newest(world: World, table: str) -> dict[str, str]:
    task = [row for row in world.table(table).values() if row["_clusterID"] == SHOP_PROD][-1]
    return {"cluster_id": SHOP_PROD, "task_id": task["metadata"]["uid"]}


def _answer(world: World, operation: str, arguments: Mapping[str, str] = MappingProxyType({})) -> Observation:
    return Observation(load_catalog()[operation], arguments, ask(world, operation, arguments), now=world.now())


def _add_cluster(world: World, number: int) -> None:
    team, stage = _TEAMS[number % len(_TEAMS)], _STAGES[number % len(_STAGES)]
    version = (*NEWEST_PATCHES.values(), *OLDER_PATCHES)[number % 6]
    plan = Blueprint(
        name=f"{team}-{stage}-{number:03d}",
        version=version,
        network=Network(VPC_ID, HOST_SUBNET_ID, SUBNET_IDS),
        description=f"Cluster {number} of the team {team} for {stage}",
        tags={"env": stage, "team": team, "cost-centre": f"cc-{1000 + number}"},
    )
    row = new_row(world, plan, created=world.now() - timedelta(days=3 + number))
    make_available(row)
    if number % _EVERY == 0:
        row["status"] = {"phase": "Error", "reason": "CreateFailed", "message": f"The cluster was not made: {NO_ROOM}"}


def _add_history(world: World) -> None:
    """Give the old cluster checks and backups of a month, and another one as many workflows."""
    clusters = world.table("clusters")
    for days in range(TASKS, 0, -1):
        ended = world.now() - timedelta(days=days)
        past_check(world, clusters[SHOP_PROD], TARGET, ended)
        past_backup(world, SHOP_PROD, world.timestamp(ended))
        new_workflow(world, clusters[CHECKOUT_STAGING], "v1.30.10-r0")["status"]["phase"] = "Cancel"


def _add_release(world: World, number: int) -> None:
    name = f"{_TEAMS[number % len(_TEAMS)]}-cache-{number:02d}"
    values = _values(name) | ({"image": {"tag": "broken"}} if number % _EVERY == 0 else {})
    body = {"chart_id": REDIS, "version": "18.6.1", "namespace": "default", "name": name, "values": values}
    ask(world, "create_release", {"cluster_id": SEARCH_DEV}, body=body)


def _values(name: str) -> dict[str, Any]:
    """Make some five thousand bytes of settings."""
    env = [{"name": f"SETTING_{each:02d}", "value": f"{name}-value-of-the-setting-{each:02d}"} for each in range(40)]
    lines = [f"section_{each}.limit = {each * 100}  # as agreed with the owners of {name}" for each in range(30)]
    return {"env": env, "config": {"application.properties": "\n".join(lines)}, "nodeSelector": {"pool": name}}


def _chart_files(number: int) -> dict[str, str]:
    settings = "\n".join(f"setting{each}: {{enabled: true, limit: {each}, unit: Mi}}" for each in range(60))
    return {
        "Chart.yaml": f"apiVersion: v2\nname: service-{number:02d}\nversion: 1.{number}.0\ndescription: Serves\n",
        "values.yaml": settings + "\n",
        "README.md": f"# service-{number:02d}\n\n" + "How it is set up, in many words.\n" * 40,
        "templates/service.yaml": "kind: Service\n",
    }
