"""Says which groups, versions and resources a cluster serves: the older lists one by one, the newer ones at once."""

import hashlib
from collections.abc import Mapping
from typing import Any

from ap_mcp.simulator.kubernetes.kinds import EXTERNAL_SUBRESOURCES, Kind, Served
from ap_mcp.simulator.world import Row

AGGREGATED = "apidiscovery.k8s.io"


def aggregated(served: Served, *, legacy: bool, version: str) -> Row:
    """List every group with its resources.

    Args:
        served: what the cluster serves.
        legacy: only the group without a name; else all others.
        version: of the list, `v2` or `v2beta1`.
    """
    items = []
    for group, versions in served.groups().items():
        if (group == "") != legacy:
            continue
        listed = [
            {
                "version": each,
                "resources": [
                    _aggregated(kind) for kind in served.kinds if (kind.group, kind.version) == (group, each)
                ],
                "freshness": "Current",
            }
            for each in versions
        ]
        items.append({"metadata": {"name": group, "creationTimestamp": None}, "versions": listed})
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"{AGGREGATED}/{version}",
        "metadata": {},
        "items": items,
    }


def legacy_versions(address: str) -> Row:
    """List the versions of the group without a name."""
    where = [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": where}


def groups(served: Served) -> Row:
    """List the groups and their versions."""
    listed = [group(served, name) for name in served.groups() if name]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}


def group(served: Served, name: str) -> Row:
    """Describe one group, without its own kind and version."""
    versions = [{"groupVersion": f"{name}/{each}", "version": each} for each in served.groups()[name]]
    return {"name": name, "versions": versions, "preferredVersion": versions[0]}


def resources(served: Served, group_name: str, version: str) -> Row | None:
    """List the resources of one version of a group; None if it is not served."""
    kinds = [each for each in served.kinds if (each.group, each.version) == (group_name, version)]
    if not kinds:
        return None
    listed: list[Row] = []
    for kind in kinds:
        listed.append(_resource(kind))
        listed += [_subresource(kind, name) for name in kind.subresources]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{group_name}/{version}" if group_name else version,
        "resources": listed,
    }


def etag(body: Mapping[str, Any]) -> str:
    """Return a name for a list that changes with it."""
    return f'"{hashlib.sha256(repr(body).encode()).hexdigest().upper()}"'


def _aggregated(kind: Kind) -> Row:
    made: Row = {
        "resource": kind.plural,
        "responseKind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": list(kind.verbs),
    }
    if kind.short_names:
        made["shortNames"] = list(kind.short_names)
    if kind.categories:
        made["categories"] = list(kind.categories)
    if kind.subresources:
        made["subresources"] = [
            {"subresource": name, "responseKind": _kind_of(kind, name), "verbs": list(kind.verbs_of(name))}
            for name in kind.subresources
        ]
    return made


def _kind_of(kind: Kind, subresource: str) -> Row:
    own = EXTERNAL_SUBRESOURCES.get(subresource)
    group_name, version, name = own or (kind.group, kind.version, kind.kind)
    return {"group": group_name, "version": version, "kind": name}


def _resource(kind: Kind) -> Row:
    made: Row = {
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": list(kind.verbs),
    }
    if kind.short_names:
        made["shortNames"] = list(kind.short_names)
    if kind.categories:
        made["categories"] = list(kind.categories)
    return made


def _subresource(kind: Kind, name: str) -> Row:
    about = _kind_of(kind, name)
    own = {key: about[key] for key in ("group", "version")} if name in EXTERNAL_SUBRESOURCES else {}
    return {
        "name": f"{kind.plural}/{name}",
        "singularName": "",
        "namespaced": kind.namespaced,
        **own,
        "kind": about["kind"],
        "verbs": list(kind.verbs_of(name)),
    }
