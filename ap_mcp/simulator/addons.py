"""Add-ons of the simulated clusters: install, upgrade, roll back, remove, and what becomes of each."""

import contextlib
from collections.abc import Mapping
from typing import Any

from ap_mcp.simulator import addon_templates
from ap_mcp.simulator.addon_outcomes import Outcome, outcome_of
from ap_mcp.simulator.clock import parse_timestamp
from ap_mcp.simulator.constants import PAYMENTS_PROD, PROJECT_ID, SEARCH_DEV, SHOP_PROD
from ap_mcp.simulator.lifecycle import move, touch
from ap_mcp.simulator.registry import (
    Answer,
    SimulatedError,
    SimulatedRequest,
    fetch,
    handles,
    invalid,
    not_found,
    reacts_to,
)
from ap_mcp.simulator.world import Row, World

ADDONS = "03"
"""The two digits of this service in error codes."""

INSTALL_SECONDS, UPGRADE_SECONDS, ROLLBACK_SECONDS, DELETE_SECONDS = 25, 30, 20, 10
STANDARD = ("coredns", "metrics-server")
"""What every cluster gets by default."""

SETTLED = ("running", "available", "abnormal", "upgradeFailed", "rollbackFailed")
"""States from which an add-on can be upgraded or rolled back."""

SEEDED: Mapping[str, Mapping[str, str]] = {
    SHOP_PROD: {"coredns": "1.29.4", "nginx-ingress": "2.1.5", "cie-collector": "3.11.0"},
    PAYMENTS_PROD: {"coredns": "1.30.6", "nginx-ingress": "2.6.32", "cie-collector": "3.11.0", "log-agent": "1.6.0"},
    SEARCH_DEV: {"log-agent": "1.6.0"},
}
"""Versions that differ from the newest one, and add-ons beyond the standard ones."""


@handles("list_addon_templates")
def list_addon_templates(_world: World, request: SimulatedRequest) -> Row:
    """Answer with every template, or with the one of a name or alias; an unknown name finds nothing."""
    found = addon_templates.templates(request.query.get("addon_template_name", ""))
    return {"kind": "Addon", "apiVersion": "v3", "items": found}


@handles("list_addons")
def list_addons(world: World, request: SimulatedRequest) -> Answer:
    """Answer with a cluster's add-ons; a list leaves the values out, as the service does."""
    cluster_id = request.query["cluster_id"]
    fetch(world, "clusters", cluster_id, "cluster", service=ADDONS)
    rows = [shown(world, row) for row in addons_of(world, cluster_id)]
    for row in rows:
        row["spec"]["values"] = None
    return Answer({"kind": "Addon", "apiVersion": "v3", "items": rows}, verbatim=True)


@handles("get_addon")
def get_addon(world: World, request: SimulatedRequest) -> Answer:
    """Answer with one add-on, with its values."""
    return _answer(world, _find(world, request.path["id"], request.query.get("cluster_id")))


@handles("install_addon")
def install_addon(world: World, request: SimulatedRequest) -> Answer:
    """Begin to install an add-on."""
    spec = request.body["spec"]
    cluster = _ready_cluster(world, spec["clusterID"])
    return _answer(world, install(world, cluster, spec["addonTemplateName"], spec.get("version"), spec["values"]))


@handles("update_addon")
def update_addon(world: World, request: SimulatedRequest) -> Answer:
    """Begin to upgrade an add-on or to change its values."""
    spec = request.body["spec"]
    row = _find(world, request.path["id"], spec["clusterID"])
    _ready_cluster(world, spec["clusterID"])
    if spec["addonTemplateName"] != row["spec"]["addonTemplateName"]:
        raise invalid(f"the add-on was not made from the template {spec['addonTemplateName']!r}", service=ADDONS)
    upgrade(world, row, spec["version"], spec["values"])
    return _answer(world, row)


@handles("rollback_addon")
def rollback_addon(world: World, request: SimulatedRequest) -> Answer:
    """Begin to put an add-on back to the version and values before its last upgrade."""
    row = _find(world, request.path["id"], request.body["clusterID"])
    _must_be_settled(row, "rolled back")
    if not row["status"].get("isRollbackable"):
        raise invalid("status.isRollbackable is false: there is no version to go back to", service=ADDONS)
    left, before = row["spec"]["version"], row.pop("_before")
    _set_release(row, before["version"], before["values"])
    row["status"] |= {"status": "rollbacking", "Reason": "Rollback to 1", "message": ""}
    row["status"] |= {"isRollbackable": False, "previousVersion": left}
    _settle_later(world, row, ROLLBACK_SECONDS, Outcome("running"), {"isRollbackable": False})
    world.fire("addon.applied", addon_id=row["metadata"]["uid"])
    return _answer(world, row)


@handles("delete_addon")
def delete_addon(world: World, request: SimulatedRequest) -> str:
    """Begin to remove an add-on; asking twice is no error."""
    row = _find(world, request.path["id"], request.query.get("cluster_id"))
    if row["status"]["status"] != "deleting":
        row["status"] |= {"status": "deleting", "Reason": "", "message": "", "isRollbackable": False}
        touch(world, row)
        gone = {"addon_id": row["metadata"]["uid"]}
        status = [(DELETE_SECONDS, "deleteSuccess")]
        move(world, "addons", row["metadata"]["uid"], "/status/status", status, then="addon.gone", payload=gone)
    return "success"


def addons_of(world: World, cluster_id: str) -> list[Row]:
    """List the rows of a cluster's add-ons, in the order of their installation."""
    return [row for row in world.table("addons").values() if row["spec"]["clusterID"] == cluster_id]


def unfit_addons(world: World, cluster_id: str, target_version: str) -> list[Row]:
    """List the rows of a cluster's add-ons whose version does not run on another cluster version."""
    return [
        row
        for row in addons_of(world, cluster_id)
        if not addon_templates.fits(row["spec"]["addonTemplateName"], row["spec"]["version"], target_version)
    ]


def install(
    world: World, cluster: Row, name: str, version: str | None = None, values: Mapping[str, Any] | None = None
) -> Row:
    """Begin to install an add-on on a cluster and return its row.

    Raises:
        SimulatedError: unknown template or version, a version that does not fit the cluster, or installed already.
    """
    cluster_id, cluster_version = cluster["metadata"]["uid"], cluster["spec"]["version"]
    name, version = _installable(name, version, cluster_version)
    if any(row["spec"]["addonTemplateName"] == name for row in addons_of(world, cluster_id)):
        message = "Addon instance has installed."
        raise SimulatedError(409, "CCE.03409001", message, reason=f"{name} is installed in the cluster {cluster_id}")
    row = _new_row(world, cluster, name, version, values or {})
    world.table("addons")[row["metadata"]["uid"]] = row
    _run(world, row, INSTALL_SECONDS, outcome_of("install", name, row["spec"]["values"]), {})
    return row


def upgrade(world: World, row: Row, version: str, values: Mapping[str, Any]) -> None:
    """Begin to move an add-on to a version and a whole set of values; what is not in the set is as in the template.

    Raises:
        SimulatedError: the add-on is busy or broken, or the version is none it can go to.
    """
    _must_be_settled(row, "upgraded")
    name, old = row["spec"]["addonTemplateName"], row["spec"]["version"]
    targets = addon_templates.fitting(name, _cluster_version(world, row), above=old)
    if version != old and version not in targets:
        raise invalid(
            f"{name} {old} cannot go to {version!r}; possible: {', '.join(targets) or 'none'}", service=ADDONS
        )
    if version != old:
        row["_before"] = {"version": old, "values": row["spec"]["values"]}
        row["status"]["previousVersion"] = old
    cluster = world.table("clusters")[row["spec"]["clusterID"]]
    _set_release(row, version, _effective(cluster, name, version, values))
    row["status"] |= {"status": "upgrading", "Reason": "addon upgrading", "message": "", "isRollbackable": False}
    outcome = outcome_of("upgrade", name, row["spec"]["values"])
    _run(world, row, UPGRADE_SECONDS, outcome, {"isRollbackable": "_before" in row})


def shown(world: World, row: Row) -> Row:
    """Copy a row as the service shows it now: without hidden facts, with the versions it can go to."""
    spec, status = dict(row["spec"]), dict(row["status"])
    targets = addon_templates.fitting(spec["addonTemplateName"], _cluster_version(world, row), above=spec["version"])
    status["targetVersions"] = (targets or None) if status["status"] in SETTLED else None
    current = addon_templates.version_of(spec["addonTemplateName"], spec["version"])
    status["currentVersion"] = {**current, "supportVersions": None}
    return {**{key: row[key] for key in ("kind", "apiVersion", "metadata")}, "spec": spec, "status": status}


def seed_addons(world: World) -> None:
    """Give every finished cluster its add-ons: all running, but for one failed installation."""
    for cluster in list(world.table("clusters").values()):
        if cluster["status"]["phase"] != "Available":
            continue
        cluster_id = cluster["metadata"]["uid"]
        versions = {**dict.fromkeys(STANDARD), **SEEDED.get(cluster_id, {})}
        for name, version in versions.items():
            _place(world, cluster, name, version)
        if cluster_id == SEARCH_DEV:
            _place(world, cluster, "dew-provider", values={"custom": {"rotation_enable": True}})
        born = world.iso_timestamp(parse_timestamp(cluster["metadata"]["creationTimestamp"]))
        for row in addons_of(world, cluster_id):
            row["metadata"] |= {"creationTimestamp": born, "updateTimestamp": born}


@reacts_to("cluster.created")
def _cluster_created(world: World, cluster_id: str, **_: Any) -> None:
    """Give a new cluster the standard add-ons, and those its creator asked for.

    What the cluster cannot have is left out: the service does not fail a cluster for an add-on.
    """
    cluster = world.table("clusters")[cluster_id]
    asked = {each["addonTemplateName"]: each for each in cluster.get("_addons", ())}
    for name in dict.fromkeys((*STANDARD, *asked)):
        given = asked.get(name, {})
        with contextlib.suppress(SimulatedError):
            _place(world, cluster, name, given.get("version"), given.get("values"))


@reacts_to("cluster.deleted")
def _cluster_deleted(world: World, cluster_id: str, **_: Any) -> None:
    for row in addons_of(world, cluster_id):
        del world.table("addons")[row["metadata"]["uid"]]


@reacts_to("addon.settled")
def _settled(world: World, addon_id: str, changes: Row) -> None:
    row = world.table("addons").get(addon_id)
    if row is not None:
        row["status"] |= changes


@reacts_to("addon.gone")
def _gone(world: World, addon_id: str) -> None:
    row = world.table("addons").pop(addon_id, None)
    if row is not None:
        world.fire("addon.removed", row=row)


def _place(
    world: World, cluster: Row, name: str, version: str | None = None, values: Mapping[str, Any] | None = None
) -> None:
    """Put an add-on into a cluster in the state in which it would end."""
    name, version = _installable(name, version, cluster["spec"]["version"])
    row = _new_row(world, cluster, name, version, values or {})
    outcome = outcome_of("install", name, row["spec"]["values"])
    row["status"] |= {"status": outcome.status, "Reason": outcome.reason, "message": outcome.message}
    world.table("addons")[row["metadata"]["uid"]] = row


def _installable(name: str, version: str | None, cluster_version: str) -> tuple[str, str]:
    """Return the template's own name and the version to install.

    Raises:
        SimulatedError: if there is no such template or version, or none for this cluster version.
    """
    product = addon_templates.product_named(name)
    if product is None:
        raise not_found("add-on template", name, service=ADDONS)
    known = [release.version for release in product.releases]
    if version is not None and version not in known:
        raise not_found(f"version of the add-on template {product.name}", version, service=ADDONS)
    chosen = version or addon_templates.newest(product.name, cluster_version)
    if chosen is None or not addon_templates.fits(product.name, chosen, cluster_version):
        possible = ", ".join(addon_templates.fitting(product.name, cluster_version)) or "none"
        what = f"{product.name} {version}" if version else product.name
        raise invalid(f"{what} does not run on cluster version {cluster_version}; possible: {possible}", service=ADDONS)
    return product.name, chosen


def _new_row(world: World, cluster: Row, name: str, version: str, values: Mapping[str, Any]) -> Row:
    template = addon_templates.templates(name)[0]
    now = world.iso_timestamp()
    about = template["spec"]
    return {
        "kind": "Addon",
        "apiVersion": "v3",
        "metadata": {
            "uid": world.new_id(),
            "name": name,
            "alias": template["metadata"]["alias"],
            "creationTimestamp": now,
            "updateTimestamp": now,
        },
        "spec": {
            "clusterID": cluster["metadata"]["uid"],
            "version": version,
            "addonTemplateName": name,
            "addonTemplateType": about["type"],
            "addonTemplateLogo": about["logoURL"],
            "addonTemplateLabels": about["labels"],
            "description": about["description"],
            "values": _effective(cluster, name, version, values),
        },
        "status": {"status": "installing", "Reason": "", "message": "", "isRollbackable": False},
    }


def _set_release(row: Row, version: str, values: Row) -> None:
    row["spec"] |= {"version": version, "values": values}


def _effective(cluster: Row, name: str, version: str, values: Mapping[str, Any]) -> Row:
    """Return the values an add-on runs with: those sent over the template's defaults, and what the service adds."""
    injected = {
        "cluster": {
            "clusterID": cluster["metadata"]["uid"],
            "clusterNetworkMode": "eni",
            "clusterVersion": cluster.get("_version", cluster["spec"]["version"]),
        },
        "user": {"projectID": PROJECT_ID},
    }
    return {**_laid_over(addon_templates.default_values(name, version), values), "systemAutoInject": injected}


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> Row:
    """Merge objects at every depth; anything else that is sent replaces the value it meets."""
    merged = dict(below)
    for key, value in above.items():
        lower = below.get(key)
        if isinstance(lower, Mapping) and isinstance(value, Mapping):
            merged[key] = _laid_over(lower, value)
        else:
            merged[key] = value
    return merged


def _settle_later(world: World, row: Row, seconds: float, outcome: Outcome, changes: Mapping[str, Any]) -> None:
    touch(world, row)
    changed = {"Reason": outcome.reason, "message": outcome.message, **changes}
    payload = {"addon_id": row["metadata"]["uid"], "changes": changed}
    status = [(seconds, outcome.status)]
    move(world, "addons", row["metadata"]["uid"], "/status/status", status, then="addon.settled", payload=payload)


def _run(world: World, row: Row, seconds: float, outcome: Outcome, changes: Mapping[str, Any]) -> None:
    """Let an installation or upgrade settle; its objects are there at once unless it fails before it makes any."""
    _settle_later(world, row, seconds, outcome, changes)
    if outcome.status in SETTLED[:3]:
        world.fire("addon.applied", addon_id=row["metadata"]["uid"])


def _answer(world: World, row: Row) -> Answer:
    """Answer with an add-on as it is; values are the caller's own, also where a key starts with `_`."""
    return Answer(shown(world, row), verbatim=True)


def _find(world: World, addon_id: str, cluster_id: str | None) -> Row:
    row = fetch(world, "addons", addon_id, "add-on", service=ADDONS)
    if cluster_id and row["spec"]["clusterID"] != cluster_id:
        raise not_found(f"in the cluster {cluster_id} an add-on", addon_id, service=ADDONS)
    return row


def _ready_cluster(world: World, cluster_id: str) -> Row:
    cluster = fetch(world, "clusters", cluster_id, "cluster", service=ADDONS)
    phase = cluster["status"]["phase"]
    if phase != "Available":
        raise invalid(f"the cluster is {phase}, add-ons need one that is Available", service=ADDONS)
    return cluster


def _must_be_settled(row: Row, done: str) -> None:
    status = row["status"]["status"]
    if status not in SETTLED:
        raise invalid(f"an add-on that is {status} cannot be {done}; it must be {', '.join(SETTLED)}", service=ADDONS)


def _cluster_version(world: World, row: Row) -> str:
    return str(world.table("clusters")[row["spec"]["clusterID"]]["spec"]["version"])
