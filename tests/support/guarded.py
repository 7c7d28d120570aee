"""A good call of every guarded tool, doing its worst, on a simulated account where each of them would go through."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, TypeAlias

from agent import READS, Agent, connected
from kubernetes_calls import CORE, Cluster
from mcp.client import ClientRequestContext
from mcp_types import ElicitRequestFormParams, ElicitRequestParams, ElicitResult
from simulation import Caller, simulate, world_in

from ap_mcp.guard.form_answers import FIELD
from ap_mcp.simulator.addons import addons_of
from ap_mcp.simulator.app import Simulator
from ap_mcp.simulator.archives import build_chart
from ap_mcp.simulator.chart_seed import PAYMENTS_API, REDIS
from ap_mcp.simulator.constants import (
    CHECKOUT_STAGING,
    EIP_ID,
    LEGACY_IMPORT,
    PAYMENTS_PROD,
    SEARCH_DEV,
    SHOP_PROD,
    SUBNET_IDS,
    TEAM_SANDBOX,
)
from ap_mcp.simulator.maintenance import PLANS
from ap_mcp.simulator.world import copied

SHOP = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: cart, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: cart}}
  template:
    metadata: {labels: {app: cart}}
    spec: {containers: [{name: web, image: "nginx:1.25"}]}
"""
TILL = SHOP.replace("cart", "till")
IN_SHOP = {"cluster_id": TEAM_SANDBOX, "namespace": "shop", "name": "cart"}
IN_CLUSTERS = ("k8s_apply", "k8s_delete", "k8s_patch", "k8s_rollout", "k8s_scale")
"""The guarded tools that are no operation."""
NAMING = {"auth": {"existingSecret": "login"}}
RELEASE = {"cluster_id": SEARCH_DEV, "namespace": "default", "name": "query-cache"}
SANDBOX = {"cluster_id": TEAM_SANDBOX}
WINDOW: dict[str, Any] = {"weekdays": ["Sunday"], "start_time": "03:30", "duration_hours": 2, "upgrade_scope": "patch"}
CHART = "redis-18.6.1.tgz"
SECRET = "hunter22-of-the-release"
_FILES = {
    "Chart.yaml": "apiVersion: v2\nname: redis\nversion: 18.6.1\n",
    "values.yaml": "replicas: 1\n",
    "templates/service.yaml": "kind: Service\n",
}
_LONG_ENOUGH = 300
_made: list[tuple[dict[str, Any], dict[str, dict[str, Any]]]] = []
"""The account and the calls, once some test has needed them."""
Action: TypeAlias = Literal["accept", "decline", "cancel"]


CALLS: dict[str, dict[str, Any]] = {
    "update_cluster": {**SANDBOX, "eni_subnet_ids": [SUBNET_IDS[-1]]},
    "delete_cluster": {**SANDBOX, "delete_obs": "try"},
    "get_cluster_certificate": {**SANDBOX, "duration_days": 1},
    "set_cluster_public_access": {**SANDBOX, "action": "bind", "eip_id": EIP_ID},
    "add_cluster_tags": {"cluster_id": SEARCH_DEV, "tags": {"env": "test"}},
    "delete_cluster_tags": {"cluster_id": SEARCH_DEV, "keys": ["env"]},
    "upgrade_cluster": {"cluster_id": CHECKOUT_STAGING, "target_version": "v1.31", "batch_size": 10},
    "retry_upgrade": {"cluster_id": PAYMENTS_PROD},
    "create_maintenance_window": {**SANDBOX, **WINDOW},
    "update_maintenance_window": {"cluster_id": SHOP_PROD, **WINDOW},
    "upload_chart": {"chart_path": CHART, "override": True},
    "update_chart": {"chart_id": REDIS, "chart_path": CHART, "override": True},
    "delete_chart": {"chart_id": REDIS},
    "create_release": {**RELEASE, "chart_id": REDIS, "version": "18.6.1", "replace": True, "values": NAMING},
    "update_release": {
        **RELEASE,
        "action": "upgrade",
        "chart_id": REDIS,
        "values": {"replicas": 9, "auth": {"password": SECRET, **NAMING["auth"]}},
    },
    "delete_release": RELEASE,
    "k8s_apply": {**SANDBOX, "manifest": SHOP.replace("1.25", "1.27")},
    "k8s_delete": {**IN_SHOP, "kind": "deployment"},
    "k8s_patch": {**IN_SHOP, "kind": "deploy", "patch": "spec: {template: {spec: {priorityClassName: high}}}"},
    "k8s_rollout": {**IN_SHOP, "action": "restart"},
    "k8s_scale": {**IN_SHOP, "replicas": 0},
}
"""A good call of each guarded tool that needs no id which only the account knows."""
OTHERWISE: dict[str, dict[str, Any]] = {
    "update_cluster": {"eni_subnet_ids": [SUBNET_IDS[0]]},
    "delete_cluster": {"delete_obs": "skip"},
    "get_cluster_certificate": {"cluster_id": SEARCH_DEV},
    "set_cluster_public_access": {"cluster_id": SEARCH_DEV},
    "add_cluster_tags": {"tags": {"env": "staging"}},
    "delete_cluster_tags": {"keys": ["team"]},
    "update_addon": {"values": {"flavor": {"replicas": 5}}},
    "upgrade_cluster": {"batch_size": 20},
    "create_maintenance_window": {"duration_hours": 6},
    "update_maintenance_window": {"start_time": "04:00"},
    "update_upgrade_plan": {"not_before": "2025-07-14T05:00:00Z"},
    "upload_chart": {"skip_lint": True},
    "update_chart": {"skip_lint": True},
    "delete_chart": {"chart_id": PAYMENTS_API},
    "create_release": {"no_hooks": True},
    "update_release": {"recreate": True},
    "delete_release": {"namespace": "search", "name": "search-api"},
    "k8s_apply": {"manifest": SHOP.replace("1.25", "1.28")},
    "k8s_delete": {"name": "till"},
    "k8s_patch": {"patch": "spec: {minReadySeconds: 5}"},
    "k8s_rollout": {"name": "till"},
    "k8s_scale": {"replicas": 1},
}
"""What makes of the good call of a guarded tool another one, which a person could also be asked about.

Where that takes more than other arguments, `another_call` of `consenting.py` sees to it.
"""


POD = "canary"
"""A pod of SHOP_PROD that runs and writes a log."""


async def guarded_account(tmp_path: Path) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Bring an account into a state in which every guarded call would go through.

    Returns:
        The state, for `account`; and arguments by tool. The chart to upload is below `tmp_path`.
    """
    (tmp_path / CHART).write_bytes(build_chart("redis", _FILES))
    if not _made:
        _made.append(await _guarded_account(tmp_path))
    state, calls = _made[0]
    return copied(state), copied(calls)


async def _guarded_account(tmp_path: Path) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    async with connected(tmp_path / "preparing", chart_roots=(tmp_path,)) as agent:
        workflow = await agent.call("create_upgrade_workflow", cluster_id=SEARCH_DEV, target_version="v1.31")
        await _prepare_upgrades(agent)
        manifest = {"metadata": {"name": POD}, "spec": {"containers": [{"name": "app", "image": "nginx:1.27"}]}}
        async with Caller(agent.app) as caller:
            await Cluster(caller, SHOP_PROD).ok("POST", f"{CORE}/namespaces/default/pods", manifest)
        shop = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n"
        await agent.call("k8s_apply", **SANDBOX, manifest=f"{shop}---\n{SHOP}---\n{TILL}")
        addon = next(row for row in addons_of(agent.world, SEARCH_DEV) if row["metadata"]["name"] == "log-agent")
        which = {"cluster_id": SEARCH_DEV, "addon_id": addon["metadata"]["uid"]}
        await agent.call("update_addon", **which, target_version="1.7.1")
        agent.world.advance(_LONG_ENOUGH)
        state = agent.world.to_json()
        plan = next(row for row in agent.world.table(PLANS).values() if row["_clusterID"] == SHOP_PROD)
        failed_job = agent.world.table("clusters")[LEGACY_IMPORT]["status"]["jobID"]
    return state, CALLS | {
        "update_addon": {**which, "values": {"flavor": {"replicas": 3}, "auth": {"password": SECRET}}},
        "delete_addon": which,
        "rollback_addon": which,
        "update_upgrade_plan": {
            "cluster_id": SHOP_PROD,
            "upgrade_plan_id": plan["metadata"]["uid"],
            "not_before": plan["spec"]["notBeforeDeadline"].replace("T01", "T00"),
        },
        "delete_job_record": {"job_id": failed_job},
        "cancel_upgrade_workflow": {"cluster_id": SEARCH_DEV, "upgrade_workflow_id": workflow["upgrade_workflow_id"]},
    }


def account(state: Mapping[str, Any], **settings: Any) -> Simulator:
    """Return a simulator of its own with an account in a given state; settings as for `simulate`."""
    return simulate(world_in(state), **settings)


def unchecked(state: Mapping[str, Any], **settings: Any) -> Simulator:
    """Return an account whose answers are changed on their way; whether they fit the specs is tested elsewhere."""
    return account(state, strict_answers=False, **settings)


async def _prepare_upgrades(agent: Agent) -> None:
    """Leave one cluster checked and ready for its upgrade, and one whose upgrade has failed."""
    for cluster_id in (CHECKOUT_STAGING, PAYMENTS_PROD):
        await agent.call("run_precheck", cluster_id=cluster_id, target_version="v1.31")
    agent.world.advance(_LONG_ENOUGH)
    await agent.call("upgrade_cluster", cluster_id=PAYMENTS_PROD, target_version="v1.31")
    agent.world.advance(_LONG_ENOUGH)


class Person:
    """Acts for the person at the client: reads what a form says, and types what it asks for, or something else."""

    def __init__(self, action: Action = "accept", typed: str | None = None, reads_for: timedelta = READS) -> None:
        self.action = action
        self.typed = typed
        self.reads_for = reads_for
        self.read: list[str] = []
        """What they were shown, in order."""

    async def __call__(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        assert isinstance(params, ElicitRequestFormParams)
        self.read.append(params.message)
        if self.action != "accept":
            return ElicitResult(action=self.action)
        assert params.requested_schema["required"] == [FIELD]
        named = params.message.rpartition('exactly: "')[2].removesuffix('"')
        return ElicitResult(action="accept", content={FIELD: named if self.typed is None else self.typed})
