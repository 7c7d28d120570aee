"""Releases: charts installed in clusters, with revisions, upgrades, rollbacks and removal that take time.

What they install shows in the Kubernetes API of their cluster (`kubernetes/stand_ins.py`). Failures can be tried out:
an image tag of `broken` (in `image.tag` of the values) cannot be pulled, so that the release fails; with `crashing` it
is deployed, and its pods end at once (`kubernetes/programs.py`).
"""

import copy
import itertools
import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from jsonschema.exceptions import SchemaError
from jsonschema.validators import validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

from ap_mcp.simulator.archives import as_json
from ap_mcp.simulator.chart_seed import STORED_RELEASES, Revision, StoredRelease
from ap_mcp.simulator.charts import SERVICE, find_chart
from ap_mcp.simulator.kubernetes.programs import BROKEN_TAG
from ap_mcp.simulator.kubernetes.stand_ins import objects_of_release
from ap_mcp.simulator.registry import SimulatedError, SimulatedRequest, fetch, handles, invalid, not_found, reacts_to
from ap_mcp.simulator.world import Row, World

INSTALL_SECONDS, UPGRADE_SECONDS, ROLLBACK_SECONDS, DELETE_SECONDS = 30.0, 25.0, 15.0, 10.0
HOOK_SECONDS = 10.0
BUSY = {
    "PENDING_INSTALL": "is being installed",
    "PENDING_UPGRADE": "is being upgraded",
    "PENDING_ROLLBACK": "is being rolled back",
    "DELETING": "is being removed",
}
MOST_REVISIONS = 10
LONGEST_NAME = 53
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_LOCAL_ZONE = timezone(timedelta(hours=8))


def seed_releases(world: World) -> None:
    """Install what the seed account runs; its charts and clusters must be there."""
    for stored in STORED_RELEASES:
        row = _seeded(world, stored)
        world.table("releases")[_key(stored.cluster_id, stored.namespace, stored.name)] = row


@handles("list_releases")
def list_releases(world: World, request: SimulatedRequest) -> list[Row]:
    """Answer a cluster's releases, of one namespace or one chart if asked."""
    cluster_id = _cluster(world, request)["metadata"]["uid"]
    rows = [row for row in world.table("releases").values() if row["cluster_id"] == cluster_id]
    if "namespace" in request.query:
        rows = [row for row in rows if row["namespace"] == request.query["namespace"]]
    if "chart_id" in request.query:
        rows = [row for row in rows if row["_chart_id"] == request.query["chart_id"]]
    return sorted(rows, key=lambda row: (row["namespace"], row["name"]))


@handles("get_release")
def get_release(world: World, request: SimulatedRequest) -> Row:
    """Answer a release at its newest revision, with its objects if they are asked for."""
    row = _release(world, request)
    return {**row, "resources": _as_kubectl(world, row)} if request.query.get("show_resources") == "true" else row


@handles("get_release_history")
def get_release_history(world: World, request: SimulatedRequest) -> list[Row]:
    """Answer the kept revisions of a release, the oldest first."""
    row = _release(world, request)
    return [*row["_history"], row]


@handles("create_release")
def create_release(world: World, request: SimulatedRequest) -> Row:
    """Install a chart; a taken name needs `replace`, and `dry_run` only verifies."""
    body = request.body
    options = body.get("parameters") or {}
    cluster = _available_cluster(world, request)
    chart = find_chart(world, body["chart_id"])
    if body["version"] != chart["version"]:
        reason = f"the chart {chart['name']} has version {chart['version']}, not {body['version']}"
        raise invalid(reason, service=SERVICE)
    key = _free_key(world, cluster, body, replace=options.get("replace", False))
    row = _new_row(cluster, body["namespace"], body["name"], world.now(), body.get("description", ""))
    row |= _installed(chart, body["values"])
    _enter(world, row, "PENDING_INSTALL", "Initial install underway")
    if options.get("dry_run"):
        return {**row, "status_description": "Dry run complete"}
    world.table("releases")[key] = row
    world.fire("release.applied", key=key)
    hooks = 0 if options.get("no_hooks") else chart["_hooks"]
    _settle(world, key, row, INSTALL_SECONDS + hooks * HOOK_SECONDS, "Install complete")
    return row


@handles("update_release")
def update_release(world: World, request: SimulatedRequest) -> Row:
    """Upgrade a release or roll it back; either makes a new revision."""
    row = _release(world, request)
    _available_cluster(world, request)
    _refuse_busy(row)
    body = request.body
    options = body.get("parameters") or {}
    changed = (_upgraded if body["action"] == "upgrade" else _rolled_back)(world, row, body, options)
    if options.get("dry_run"):
        return {**changed, "status_description": "Dry run complete"}
    key = _key(row["cluster_id"], row["namespace"], row["name"])
    past = {**row, "status_description": f"Superseded by revision {changed['version']}"}
    past.pop("_history")
    past.pop("_ticket", None)
    changed["_history"] = [*row["_history"], past][-MOST_REVISIONS:]
    world.table("releases")[key] = changed
    world.fire("release.applied", key=key)
    seconds, done = UPGRADE_SECONDS, "Upgrade complete"
    if body["action"] == "rollback":
        seconds, done = ROLLBACK_SECONDS, changed["status_description"].replace("Rolling back", "Rollback")
    hooks = changed["_hooks"] if options.get("include_hooks") else 0
    _settle(world, key, changed, seconds * (2 if options.get("recreate") else 1) + hooks * HOOK_SECONDS, done)
    return changed


@handles("delete_release")
def delete_release(world: World, request: SimulatedRequest) -> str:
    """Start to remove a release; once that is done it is not known any more."""
    row = _release(world, request)
    if row["status"] != "DELETING":
        _enter(world, row, "DELETING", "Deletion in progress")
        row["_ticket"] = world.new_id()
        key = _key(row["cluster_id"], row["namespace"], row["name"])
        world.schedule(DELETE_SECONDS, "release.gone", key=key, ticket=row["_ticket"])
    return "success"


@reacts_to("release.settled")
def _settled(world: World, key: str, ticket: str, done: str) -> None:
    row = world.table("releases").get(key)
    if row is None or row.get("_ticket") != ticket:
        return
    del row["_ticket"]
    image = row["_values"].get("image")
    if isinstance(image, dict) and image.get("tag") == BROKEN_TAG:
        said = f"timed out waiting for the condition: ImagePullBackOff, tag {BROKEN_TAG} not found"
        _enter(world, row, "FAILED", said)
    else:
        _enter(world, row, "DEPLOYED", done)


@reacts_to("release.gone")
def _gone(world: World, key: str, ticket: str) -> None:
    row = world.table("releases").get(key)
    if row is not None and row.get("_ticket") == ticket:
        del world.table("releases")[key]
        about = {name: row[name] for name in ("cluster_id", "namespace", "name")}
        world.fire("release.removed", **about)


def _as_kubectl(world: World, row: Row) -> str:
    """Write the objects of a release as kubectl prints them: a heading for each kind, a line for each object."""
    lines: list[str] = []
    found = [(f"==> {api}/{kind}", name) for api, kind, name in objects_of_release(row)]
    days = max(0, (world.now() - datetime.fromisoformat(row["create_at"])).days)
    for title in dict.fromkeys(title for title, _ in found):
        names = [name for each, name in found if each == title]
        lines += [title, f"{'NAME':<40}AGE", *(f"{name:<40}{days}d" for name in names), ""]
    return "\n".join(lines)


def _free_key(world: World, cluster: Row, body: Mapping[str, Any], *, replace: bool) -> str:
    """Return the key of a new release; one that has it already must be idle and may be replaced."""
    namespace, name = body["namespace"], body["name"]
    if not _NAMESPACE.fullmatch(namespace) or len(name) > LONGEST_NAME:
        reason = f"a namespace is lower-case letters, digits and hyphens, a name has at most {LONGEST_NAME} characters"
        raise invalid(reason, service=SERVICE)
    key = _key(cluster["metadata"]["uid"], namespace, name)
    old = world.table("releases").get(key)
    if old is not None and not replace:
        reason = f"the name {name!r} is taken in the namespace {namespace!r}"
        raise SimulatedError(409, f"CCE.{SERVICE}409001", "The resource already exists", reason=reason)
    if old is not None:
        _refuse_busy(old)
    return key


def _new_row(cluster: Row, namespace: str, name: str, moment: datetime, note: str) -> Row:
    return {
        "cluster_id": cluster["metadata"]["uid"],
        "cluster_name": cluster["metadata"]["name"],
        "name": name,
        "namespace": namespace,
        "create_at": _timestamp(moment),
        "parameters": "",
        "resources": "",
        "version": 1,
        "_history": [],
        "_note": note,
    }


def _settle(world: World, key: str, row: Row, seconds: float, done: str) -> None:
    row["_ticket"] = world.new_id()
    world.schedule(seconds, "release.settled", key=key, ticket=row["_ticket"], done=done)


def _upgraded(world: World, row: Row, body: Mapping[str, Any], options: Mapping[str, Any]) -> Row:
    chart = find_chart(world, body["chart_id"])
    if chart["name"] != row["chart_name"]:
        raise invalid(f"the release was made from {row['chart_name']!r}, not from {chart['name']!r}", service=SERVICE)
    keep = not body["values"] and not options.get("reset_values")
    overrides = row["_overrides"] if keep else body["values"]
    changed = _next_revision(row) | _installed(chart, overrides)
    _enter(world, changed, "PENDING_UPGRADE", "Preparing upgrade")
    return changed


def _rolled_back(world: World, row: Row, _body: Mapping[str, Any], options: Mapping[str, Any]) -> Row:
    wanted = options.get("release_version") or row["version"] - 1
    past = next((each for each in [*row["_history"], row] if each["version"] == wanted), None)
    if past is None:
        raise not_found("revision", str(wanted), service=SERVICE)
    taken = ("chart_name", "chart_version", "chart_public", "values", "_chart_id", "_hooks", "_objects", "_values")
    changed = _next_revision(row) | {key: copy.deepcopy(past[key]) for key in (*taken, "_overrides")}
    _enter(world, changed, "PENDING_ROLLBACK", f"Rolling back to {wanted}")
    return changed


def _next_revision(row: Row) -> Row:
    return {**copy.deepcopy(row), "version": row["version"] + 1}


def _installed(chart: Row, overrides: Mapping[str, Any]) -> Row:
    """Return what a release has from its chart and its values, after verifying these.

    Its values are reported with the nulls that remove a default of the chart.
    """
    values = merged(chart["_values"], overrides)
    _verify(chart, values)
    return {
        "chart_name": chart["name"],
        "chart_version": chart["version"],
        "chart_public": chart["public"],
        "values": as_json(_with_nulls(values, overrides)),
        "_chart_id": chart["id"],
        "_hooks": chart["_hooks"],
        "_objects": chart.get("_objects", []),
        "_values": values,
        "_overrides": copy.deepcopy(dict(overrides)),
    }


def merged(defaults: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Merge values over a chart's defaults: maps merge, null removes, anything else replaces."""
    result = copy.deepcopy(dict(defaults))
    for key, value in overrides.items():
        base = result.get(key)
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            result[key] = merged(base if isinstance(base, dict) else {}, value)
        else:
            result[key] = copy.deepcopy(value)
    return result


def _with_nulls(values: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return values with the nulls of the overrides that they were made of."""
    result = dict(values)
    for key, value in overrides.items():
        if value is None:
            result[key] = None
        elif isinstance(value, dict):
            result[key] = _with_nulls(result.get(key, {}), value)
    return result


def _verify(chart: Row, values: Mapping[str, Any]) -> None:
    """Check values by the chart's own schema, which may not fetch anything."""
    schema = chart["_schema"]
    if schema is None:
        return
    try:
        kind = validator_for(schema)
        kind.check_schema(schema)
        validator = kind(schema, registry=Registry())
        error = next(iter(sorted(validator.iter_errors(values), key=lambda each: list(map(str, each.path)))), None)
    except (SchemaError, Unresolvable, re.error, ValueError, TypeError, RecursionError) as broken:
        raise invalid(
            f"values.schema.json of {chart['name']} cannot be used: {type(broken).__name__}", service=SERVICE
        ) from broken
    if error is not None:
        where = ".".join(str(part) for part in error.path) or "the values"
        raise invalid(f"{where} breaks the rule {error.validator!r} of the chart's schema", service=SERVICE)


def _enter(world: World, row: Row, status: str, said: str) -> None:
    """Put a release into a status; its description is the caller's own, if one was given."""
    row |= {"status": status, "status_description": said, "description": row["_note"] or said}
    row["update_at"] = _timestamp(world.now())


def _timestamp(moment: datetime) -> str:
    """Write a time as releases do: `2023-11-14T20:30:57+08:00`."""
    return moment.astimezone(_LOCAL_ZONE).isoformat(timespec="seconds")


def _key(cluster_id: str, namespace: str, name: str) -> str:
    return f"{cluster_id}/{namespace}/{name}"


def _cluster(world: World, request: SimulatedRequest) -> Row:
    return fetch(world, "clusters", request.path["cluster_id"], "cluster", service=SERVICE)


def _available_cluster(world: World, request: SimulatedRequest) -> Row:
    cluster = _cluster(world, request)
    phase = cluster["status"]["phase"]
    if phase != "Available":
        reason = f"the cluster {cluster['metadata']['name']!r} is {phase}; releases need one that is Available"
        raise invalid(reason, service=SERVICE)
    return cluster


def _release(world: World, request: SimulatedRequest) -> Row:
    cluster_id = _cluster(world, request)["metadata"]["uid"]
    namespace, name = request.path["namespace"], request.path["name"]
    row = world.table("releases").get(_key(cluster_id, namespace, name))
    if row is None:
        raise not_found("release", f"{namespace}/{name}", service=SERVICE)
    return row


def _refuse_busy(row: Row) -> None:
    if row["status"] in BUSY:
        reason = f"{row['namespace']}/{row['name']} {BUSY[row['status']]}; wait until it is done"
        raise SimulatedError(403, f"CCE.{SERVICE}403001", "Update release is forbidden", reason=reason)


def _seeded(world: World, stored: StoredRelease) -> Row:
    cluster = fetch(world, "clusters", stored.cluster_id, "cluster", service=SERVICE)
    name = find_chart(world, stored.chart_id)["name"]
    charts = {row["version"]: row for row in world.table("charts").values() if row["name"] == name}
    first = world.now() - timedelta(days=stored.revisions[0].days)
    base = _new_row(cluster, stored.namespace, stored.name, first, "")
    rows = [
        base | _seeded_revision(world, charts[each.chart_version], number, each)
        for number, each in enumerate(stored.revisions, 1)
    ]
    for older, newer in itertools.pairwise(rows):
        older["status_description"] = f"Superseded by revision {newer['version']}"
    return {**rows[-1], "_history": rows[:-1]}


def _seeded_revision(world: World, chart: Row, number: int, revision: Revision) -> Row:
    moment = world.now() - timedelta(days=revision.days)
    return {
        **_installed(chart, revision.overrides),
        "version": number,
        "status": revision.status,
        "status_description": revision.description,
        "description": revision.description,
        "update_at": _timestamp(moment),
    }
