"""What is inside a cluster: the tools for it, and their answers against what the API server sends."""

from pathlib import Path

from answers import INSIDE, session
from kubernetes_calls import DEPLOYMENTS, SHOP, Cluster, deployment
from measures import Section, Size, dense, share
from simulation import Caller, simulate

from ap_mcp.simulator.constants import SHOP_PROD, TEAM_SANDBOX
from ap_mcp.simulator.seed import seeded_world
from ap_mcp.specs import load_catalog
from ap_mcp.toolbox import as_json, toolbox

PODS = 100
WHILE = 900
"""Seconds after which all pods run."""
TOOLSET = Size(8_500, 2_000)
LIST, ONE = 3_000, 500
"""Tokens that a list of a hundred pods, and one Deployment, may take."""
HERE = {"cluster_id": TEAM_SANDBOX, "namespace": "shop"}


async def section(folder: Path) -> Section:
    """Measure the ten tools and what they answer about a hundred pods, one Deployment, a log and what is broken."""
    world = seeded_world()
    cluster = Cluster(Caller(simulate(world)))
    await cluster.shop()
    await cluster.ok("POST", DEPLOYMENTS, deployment(replicas=PODS))
    world.advance(WHILE)
    pod = (await cluster.ok("GET", f"{SHOP}/pods"))["items"][0]["metadata"]["name"]
    calls = (
        ("k8s_list", f"{PODS} pods", {**HERE, "kind": "pods", "limit": PODS}, LIST),
        ("k8s_get", "a Deployment", {**HERE, "kind": "deployment", "name": "web"}, ONE),
        ("k8s_get", "a pod", {**HERE, "kind": "pod", "name": pod}, None),
        ("k8s_logs", "of one pod", {**HERE, "name": pod}, None),
        ("k8s_discover", "all kinds", {"cluster_id": TEAM_SANDBOX}, None),
        ("k8s_diagnose", "a healthy workload", {**HERE, "kind": "deployment", "name": "web"}, None),
        ("k8s_diagnose", "a cluster with broken workloads", {"cluster_id": SHOP_PROD}, None),
        ("k8s_scale", "a Deployment", {**HERE, "kind": "deployment", "name": "web", "replicas": PODS + 1}, None),
    )
    tools = [as_json(tool) for tool in toolbox(load_catalog(), ["kubernetes"]).shown if tool.name.startswith(INSIDE)]
    bare = [{key: value for key, value in tool.items() if key != "outputSchema"} for tool in tools]
    size, broken = Size.of(dense(bare)), []
    rows = [[f"the {len(bare)} tools without output schemas", "", *size.cells, share(size.tokens, TOOLSET.tokens)]]
    if size.bytes > TOOLSET.bytes or size.tokens > TOOLSET.tokens:
        broken.append(f"the tools inside a cluster: {size.bytes:,} bytes and {size.tokens:,} tokens")
    async with session(world, folder) as call:
        for tool, what, arguments, most in calls:
            call.measured.clear()
            await call(tool, **arguments)
            found = call.measured[tool]
            text, structured = Size.of(found.text), Size.of(found.structured)
            larger = max(text, structured, key=lambda each: each.tokens)
            of = share(larger.tokens, most) if most else ""
            rows.append([f"{tool}: {what}", f"{len(found.sent):,}", *larger.cells, of])
            if most and larger.tokens > most:
                broken.append(f"{tool}, {what}: {larger.tokens:,} tokens")
    about = (
        "The larger form of each answer, text or structured, beside the bytes that were sent for it, the facts of the "
        "cluster among them; the shares are of what is promised."
    )
    header = ["what", "bytes sent", "bytes", "tokens", "of the tokens"]
    return Section("Inside a cluster", about, header, rows, broken)
