"""The history of upgrades, checks and backups in the simulated account, and what its next checks will find."""

from datetime import datetime, timedelta

from ap_mcp.simulator.backups import past_backup
from ap_mcp.simulator.check_items import make_nodes
from ap_mcp.simulator.constants import CHECKOUT_STAGING, PAYMENTS_PROD, SHOP_PROD
from ap_mcp.simulator.prechecks import past_check
from ap_mcp.simulator.upgrade_state import UPGRADES, WORKFLOWS, facts_of, new_task
from ap_mcp.simulator.workflows import new_workflow
from ap_mcp.simulator.world import Row, World

NODES = {SHOP_PROD: ("shop", 6), PAYMENTS_PROD: ("payments", 4), CHECKOUT_STAGING: ("checkout", 3)}
RISKY_NODES = 3
"""How many of the old cluster's nodes have findings about an upgrade."""
DEPRECATED = [
    {
        "url": "/apis/flowcontrol.apiserver.k8s.io/v1beta2/flowschemas",
        "userAgent": "argocd-application-controller/v2.4.11",
        "removedIn": 29,
    },
    {
        "url": "/apis/flowcontrol.apiserver.k8s.io/v1beta2/prioritylevelconfigurations",
        "userAgent": "argocd-application-controller/v2.4.11",
        "removedIn": 29,
    },
]


def seed_upgrades(world: World) -> None:
    """Give the seeded clusters a past and, some of them, obstacles."""
    for cluster_id, (prefix, count) in NODES.items():
        facts_of(world, cluster_id)["nodes"] = make_nodes(f"autopilot-{prefix}", count)
    old = facts_of(world, SHOP_PROD)
    old["deprecatedAPIs"] = [dict(each) for each in DEPRECATED]
    old["nodeFindings"] = [
        {"uid": node["uid"], "name": "ContainerdPodRestartRisk"} for node in old["nodes"][:RISKY_NODES]
    ]
    facts_of(world, PAYMENTS_PROD)["upgradeFailures"] = 1
    clusters, now = world.table("clusters"), world.now()
    past_check(world, clusters[SHOP_PROD], "v1.29.13-r0", now - timedelta(days=3, hours=2))
    past_backup(world, SHOP_PROD, world.timestamp(now - timedelta(days=20)))
    _past_upgrade(world, clusters[PAYMENTS_PROD], "v1.29.8-r0", now - timedelta(days=46))


def _past_upgrade(world: World, cluster: Row, source: str, began: datetime) -> None:
    """Put a whole workflow that led from `source` to the cluster's version into the past."""
    cluster_id, target = cluster["metadata"]["uid"], cluster["_version"]
    started, ended = began + timedelta(minutes=20), began + timedelta(minutes=52)
    checked, saved = began + timedelta(minutes=2), began + timedelta(minutes=10)
    spec = {"version": source, "targetVersion": target}
    task = new_task(world, UPGRADES, "UpgradeTask", cluster_id, spec=spec, status={})
    task["status"] = {"phase": "Success", "progress": "100.00", "completionTime": world.timestamp(ended)}
    task["metadata"] |= {"creationTimestamp": world.timestamp(started), "updateTimestamp": world.timestamp(ended)}
    task |= {"_addons": [], "_givenUp": False, "_run": 1}
    check = past_check(world, {**cluster, "_version": source}, target, checked)
    past_backup(world, cluster_id, world.timestamp(saved))
    workflow = new_workflow(world, {**cluster, "_version": source}, target)
    workflow["metadata"] |= {
        "creationTimestamp": world.timestamp(began),
        "updateTimestamp": world.timestamp(ended + timedelta(minutes=4)),
    }
    expires = check["status"].get("expireTimeStamp")
    tasks = {
        "PreCheck": (check["metadata"]["uid"], began, checked, {"expireTimeStamp": expires} if expires else {}),
        "Cluster": (task["metadata"]["uid"], started, ended, {}),
        "PostCheck": (world.new_id(), ended + timedelta(minutes=4), ended + timedelta(minutes=4), {}),
    }
    for point in workflow["status"]["pointStatuses"]:
        if point["taskType"] in tasks:
            uid, start, end, more = tasks[point["taskType"]]
            times = {"startTimeStamp": world.timestamp(start), "endTimeStamp": world.timestamp(end)}
            point |= {"taskID": uid, "status": "Success", **times, **more}
    workflow["status"]["phase"] = "Success"
    world.table(WORKFLOWS)[workflow["metadata"]["uid"]] = workflow
