"""What a pre-upgrade check covers, and what it finds in a cluster as it is now."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ap_mcp.simulator.addon_templates import fitting
from ap_mcp.simulator.addons import addons_of, unfit_addons
from ap_mcp.simulator.upgrade_state import facts_of
from ap_mcp.simulator.versions import minor
from ap_mcp.simulator.world import Row, World

CLEAN, SKIPPED = "check item succeed", "check item skipped"
BROKEN_ADDON = frozenset({"abnormal", "installFailed", "upgradeFailed", "rollbackFailed", "deleteFailed"})


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that is checked."""

    name: str
    kind: str
    group: str
    level: str


DEPRECATED_API = Item("DeprecatedApiCheck", "Risk", "LimitCheck", "Warning")
ADDON_STATE = Item("AddonLimit", "Exception", "AddonCheck", "Warning")
ADDON_VERSION = Item("AddonVersionLimit", "Exception", "AddonCheck", "Fatal")
CLUSTER_ITEMS = (
    DEPRECATED_API,
    Item("BlackLimit", "Exception", "LimitCheck", "Fatal"),
    Item("ReleaseLimit", "Exception", "LimitCheck", "Warning"),
    Item("ClusterNoArm", "Exception", "LimitCheck", "Warning"),
    Item("ResiduePackageVersion", "Risk", "LimitCheck", "Info"),
    Item("MasterSSH", "Exception", "MasterCheck", "Fatal"),
    Item("MasterDiskUsage", "Exception", "MasterCheck", "Fatal"),
    Item("EtcdHealth", "Exception", "MasterCheck", "Fatal"),
)
ADDON_ITEMS = (
    ADDON_STATE,
    ADDON_VERSION,
    Item("CoreDNSConfLimit", "Exception", "AddonCheck", "Fatal"),
    Item("EverestLimitHungVersion", "Risk", "AddonCheck", "Fatal"),
)
NODE_ITEMS = {
    "ContainerdPodRestartRisk": "pods restart when containerd {version} on node {node} is replaced",
    "NodeDiskUsageLimit": "node {node} uses 87% of its system disk",
    "NodeMemoryLimit": "node {node} has less than 512 MiB of free memory",
    "KubeletParamsDrift": "kubelet of node {node} runs with parameters changed by hand",
    "NodeClockDrift": "clock of node {node} is 4 s off",
    "ResidualPackages": "node {node} keeps packages of an earlier upgrade",
    "IptablesLeftovers": "node {node} has rules that no Service owns",
    "CgroupDriverMismatch": "container runtime of node {node} uses another cgroup driver",
}
"""Checks of a node with the message of a finding; all are risks, as a node can be skipped."""


class Skips:
    """The items a caller wants skipped; only a risk can be."""

    def __init__(self, listed: Sequence[Mapping[str, Any]]) -> None:
        self._nodes: dict[str, set[str] | None] = {}
        for entry in listed:
            name = str(entry.get("name", ""))
            selector = entry.get("resourceSelector")
            if selector is None or self._nodes.get(name, set()) is None:
                self._nodes[name] = None
            else:
                known = self._nodes.get(name) or set()
                self._nodes[name] = known | set(selector.get("values", []))

    def cover(self, item: Item, node: str | None = None) -> bool:
        """Say whether an item, on a node if one is given, is skipped."""
        if item.kind != "Risk" or item.name not in self._nodes:
            return False
        nodes = self._nodes[item.name]
        return nodes is None or node in nodes


def cluster_results(world: World, cluster_id: str, target: str, skips: Skips) -> list[Row]:
    """Check the cluster itself: limits and control plane."""
    used = [
        {"url": api["url"], "userAgent": api["userAgent"]}
        for api in facts_of(world, cluster_id).get("deprecatedAPIs", [])
        if api["removedIn"] <= minor(target)
    ]
    findings = {}
    if used:
        message = f"{len(used)} APIs in use that {target} no longer serves: {', '.join(each['url'] for each in used)}"
        findings[DEPRECATED_API.name] = (message, {"deprecatedAPIRisks": used})
    return [_result(item, skips, findings.get(item.name)) for item in CLUSTER_ITEMS]


def addon_results(world: World, cluster_id: str, target: str, skips: Skips) -> list[Row]:
    """Check the add-ons installed in the cluster."""
    broken = [each for each in addons_of(world, cluster_id) if each["status"].get("status") in BROKEN_ADDON]
    old = unfit_addons(world, cluster_id, target)
    findings = {}
    if broken:
        names = ", ".join(_template(each) for each in broken)
        findings[ADDON_STATE.name] = (f"add-on {names} is not healthy; repair it and check again", _risks(broken))
    if old:
        findings[ADDON_VERSION.name] = ("; ".join(_outdated(each, target) for each in old), _risks(old))
    return [_result(item, skips, findings.get(item.name)) for item in ADDON_ITEMS]


def node_results(world: World, cluster_id: str, skips: Skips) -> list[Row]:
    """Check every node; empty if the cluster runs none at the moment."""
    facts = facts_of(world, cluster_id)
    found = {(each["uid"], each["name"]) for each in facts.get("nodeFindings", [])}
    return [
        {"nodeInfo": dict(node), "itemsStatus": [_node_result(node, name, skips, found) for name in NODE_ITEMS]}
        for node in facts.get("nodes", [])
    ]


def make_nodes(prefix: str, count: int) -> list[Row]:
    """Make nodes as a check shows them, with ids that follow from their names."""
    return [
        {
            "uid": f"{number:08x}-7a3c-11ef-9b2d-{sum(map(ord, prefix)):012x}",
            "name": f"{prefix}-{number:02d}",
            "status": "Active",
            "nodeType": "VirtualMachine",
        }
        for number in range(1, count + 1)
    ]


def spread_findings(nodes: Sequence[Row], count: int) -> list[Row]:
    """Spread a number of findings over nodes, at most one of each name per node."""
    most = len(nodes) * len(NODE_ITEMS)
    if count > most:
        raise ValueError(f"{len(nodes)} nodes can have {most} findings at most, not {count}")
    pairs = ((node["uid"], name) for name in NODE_ITEMS for node in nodes)
    return [{"uid": uid, "name": name} for (uid, name), _ in zip(pairs, range(count), strict=False)]


def failed(results: Iterable[Row]) -> bool:
    """Say whether an item among results failed."""
    return any(result["phase"] == "Failed" for result in results)


def _node_result(node: Row, name: str, skips: Skips, found: set[tuple[str, str]]) -> Row:
    item = Item(name, "Risk", "NodeCheck", "Warning")
    if (node["uid"], name) not in found:
        return _result(item, skips, None, node["uid"])
    message = NODE_ITEMS[name].format(node=node["name"], version="1.6.14")
    return _result(item, skips, (message, {"nodeRisks": [{"NodeID": node["uid"]}]}), node["uid"])


def _result(item: Item, skips: Skips, finding: tuple[str, Row] | None, node: str | None = None) -> Row:
    result: Row = {"name": item.name, "kind": item.kind, "group": item.group, "level": item.level}
    if finding is None:
        return {**result, "phase": "Success", "message": CLEAN, "riskSource": {}}
    message, source = finding
    if skips.cover(item, node):
        return {**result, "phase": "Success", "message": SKIPPED, "riskSource": source}
    return {**result, "phase": "Failed", "message": message, "riskSource": source}


def _outdated(addon: Row, target: str) -> str:
    name = _template(addon)
    versions = fitting(name, target, above=addon["spec"]["version"])
    cure = f"upgrade it to {versions[0]} or later first" if versions else "uninstall it first"
    return f"add-on {name} {addon['spec']['version']} does not run on {target}, {cure}"


def _template(addon: Row) -> str:
    return str(addon["spec"]["addonTemplateName"])


def _risks(addons: Sequence[Row]) -> Row:
    return {
        "addonRisks": [
            {"addonTemplateName": _template(each), "alias": each["metadata"].get("alias") or _template(each)}
            for each in addons
        ]
    }
