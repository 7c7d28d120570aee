"""A Kubernetes API in a test: answers from a dictionary of objects, and misbehaves as the test wants.

The simulator's own is the one that tools are tried on from end to end; this one is for answers that no healthy server
gives, and for pure questions about what was asked.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import import_module
from typing import Any
from urllib.parse import unquote

import httpx
from pydantic import SecretStr

from ap_mcp.cloud.client import CloudClient
from ap_mcp.credentials import AccessKey, Credentials
from ap_mcp.gateway import Gateway
from ap_mcp.guard.policy import NO_RULES, Policy
from ap_mcp.kubernetes.discovery import KnownKinds
from ap_mcp.kubernetes.spec import known_kinds
from ap_mcp.plans import ToolContext
from ap_mcp.reads import Reads
from ap_mcp.settings import Settings
from ap_mcp.specs import load_catalog
from ap_mcp.summaries import Result

UID = "6f2b8f0e-9d3c-11ee-8c1d-0255ac10003a"
NOW = datetime(2026, 11, 29, 6, 0, 0, tzinfo=UTC)
TOOLS = {"k8s_list": "lists", "k8s_get": "show", "k8s_logs": "logs", "k8s_discover": "served"}
Answer = Callable[[httpx.Request], httpx.Response | None]


def ago(**time: float) -> str:
    """A time before now, as objects have it."""
    return f"{NOW - timedelta(**time):%Y-%m-%dT%H:%M:%SZ}"


def made(kind: str, name: str, namespace: str = "", **parts: Any) -> dict[str, Any]:
    """An object of a well-known kind, an hour old."""
    of = next(each for each in known_kinds() if each.kind == kind)
    metadata = {"name": name, "uid": f"uid-{kind.lower()}-{name}", "creationTimestamp": ago(hours=1)}
    if namespace:
        metadata["namespace"] = namespace
    metadata |= parts.pop("metadata", {})
    return {"apiVersion": of.api_version, "kind": kind, "metadata": metadata, **parts}


def owned(owner: Mapping[str, Any]) -> dict[str, Any]:
    """What the metadata of an object says whose owner another one is."""
    reference = {"kind": owner["kind"], "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"]}
    return {"ownerReferences": [{"apiVersion": owner["apiVersion"], "controller": True, **reference}]}


def event(about: Mapping[str, Any], reason: str, message: str, **more: Any) -> dict[str, Any]:
    """An event about an object."""
    thing = {"kind": about["kind"], "apiVersion": about["apiVersion"], **about["metadata"]}
    involved = {key: thing[key] for key in ("kind", "apiVersion", "name", "namespace", "uid") if key in thing}
    place = involved.get("namespace", "default")
    name = f"{involved['name']}.{reason}.{len(message)}"
    found = {"involvedObject": involved, "reason": reason, "message": message, "type": "Normal", "count": 1}
    return made("Event", name, place, **{"lastTimestamp": ago(minutes=5), **found, **more})


def status(code: int, reason: str, message: str) -> httpx.Response:
    """A refusal as Kubernetes writes it."""
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": message}
    return httpx.Response(code, json={**body, "code": code, "metadata": {}, "details": {}})


@dataclass
class FakeCluster:
    """The Kubernetes API of one cluster.

    Attributes:
        objects: what there is.
        columns: of the table of a kind, by its plural: title, and what makes a cell of an object.
        logs: texts, by `pod/container`, and `pod/container/previous`.
        first: is asked before anything else; None leaves the answer to the rest.
        paths: what discovery answers, by path.
        phase: of the cluster.
        seen: what was asked of the Kubernetes API: method and path with its query.
    """

    objects: list[dict[str, Any]] = field(default_factory=list)
    columns: dict[str, list[tuple[str, Callable[[Any], Any]]]] = field(default_factory=dict)
    logs: dict[str, Any] = field(default_factory=dict)
    first: Answer = lambda _: None
    paths: dict[str, Any] = field(default_factory=dict)
    phase: str = "Available"
    knows_tables: bool = True
    seen: list[str] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)

    @property
    def paths_seen(self) -> list[str]:
        """The paths that were asked for, without their queries."""
        return [each.split(" ", 1)[1].partition("?")[0] for each in self.seen]

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if not request.headers["host"].startswith(UID):
            tags = {"metadata": {"name": "shop-prod", "uid": UID}, "status": {"phase": self.phase}}
            return self._dated(httpx.Response(200, json={"kind": "Cluster", **tags}))
        self.seen.append(f"{request.method} {unquote(request.url.raw_path.decode())}")
        if request.content:
            self.bodies.append(json.loads(request.content))
        return self._dated(self.first(request) or self._answer(request))

    @staticmethod
    def _dated(response: httpx.Response) -> httpx.Response:
        response.headers["Date"] = f"{NOW:%a, %d %b %Y %H:%M:%S} GMT"
        return response

    def _answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path in self.paths:
            return httpx.Response(200, json=self.paths[path])
        parts = path.strip("/").split("/")
        parts = parts[2:] if parts[0] == "api" else parts[3:]
        namespace = ""
        if parts[:1] == ["namespaces"] and len(parts) > 2:
            namespace, parts = parts[1], parts[2:]
        resource = next((each for each in known_kinds() if parts and each.plural == parts[0]), None)
        if resource is None:
            return httpx.Response(404, text="404 page not found\n")
        there = [
            each
            for each in self.objects
            if each["kind"] == resource.kind and namespace in ("", each["metadata"].get("namespace", ""))
        ]
        if len(parts) == 1:
            return self._list(request, resource.kind, resource.plural, there)
        found = next((each for each in there if each["metadata"]["name"] == parts[1]), None)
        if found is None:
            group = f".{resource.group}" if resource.group else ""
            return status(404, "NotFound", f'{resource.plural}{group} "{parts[1]}" not found')
        if parts[2:] == ["log"]:
            return self._log(request, parts[1], found)
        return httpx.Response(200, json=found)

    def _list(self, request: httpx.Request, kind: str, plural: str, there: list[dict[str, Any]]) -> httpx.Response:
        query = dict(request.url.params)
        there = [each for each in there if _labelled(each, query.get("labelSelector", ""))]
        there = [each for each in there if _fits(each, query.get("fieldSelector", ""))]
        start, size = int(query.get("continue") or 0), int(query.get("limit") or len(there) or 1)
        page, left = there[start : start + size], len(there) - start - size
        metadata = {"continue": str(start + size), "remainingItemCount": left} if left > 0 else {}
        accept = request.headers["accept"]
        if "as=Table" in accept and self.knows_tables:
            columns = self.columns.get(plural, [("Name", lambda each: each["metadata"]["name"])])
            defined = [
                {"name": name.rstrip("+"), "type": "string", "priority": int(name.endswith("+"))} for name, _ in columns
            ]
            bare = query.get("includeObject") == "None"
            rows = [
                {
                    "cells": [cell(each) for _, cell in columns],
                    **({} if bare else {"object": {"kind": "PartialObjectMetadata", "metadata": each["metadata"]}}),
                }
                for each in page
            ]
            body = {"kind": "Table", "columnDefinitions": defined, "rows": rows}
        else:
            body = {"kind": f"{kind}List", "apiVersion": "v1", "items": page}
        return httpx.Response(200, json={**body, "metadata": metadata})

    def _log(self, request: httpx.Request, pod: str, found: Mapping[str, Any]) -> httpx.Response:
        query = dict(request.url.params)
        container = query.get("container") or found["spec"]["containers"][0]["name"]
        where = f"{pod}/{container}" + ("/previous" if query.get("previous") == "true" else "")
        if where not in self.logs:
            what = f'container "{container}" in pod "{pod}" is waiting to start: ContainerCreating'
            if query.get("previous") == "true":
                what = f'previous terminated container "{container}" in pod "{pod}" not found'
            return status(400, "BadRequest", what)
        said = self.logs[where]
        raw = said.encode() if isinstance(said, str) else said
        lines = raw.splitlines(keepends=True)[-int(query.get("tailLines", "1000000")) :]
        raw = b"".join(lines)[: int(query.get("limitBytes", "1000000000"))]
        return httpx.Response(200, content=raw, headers={"Content-Type": "text/plain"})


def _labelled(thing: Mapping[str, Any], selector: str) -> bool:
    labels = thing["metadata"].get("labels", {})
    parts = [each.partition("=") for each in selector.split(",") if each]
    return all(labels.get(key) == value for key, _, value in parts)


def _fits(thing: Mapping[str, Any], selector: str) -> bool:
    for each in filter(None, selector.split(",")):
        pointer, _, value = each.partition("=")
        node: Any = thing
        for step in pointer.split("."):
            node = node.get(step, "") if isinstance(node, Mapping) else ""
        if node != value:
            return False
    return True


@cache
def _settings() -> Settings:
    return Settings(endpoint="http://127.0.0.1:1", iam_endpoint="http://127.0.0.1:1")


async def ask(
    cluster: FakeCluster, tool: str, *, rules: Policy = NO_RULES, kinds: KnownKinds | None = None, **arguments: Any
) -> Any:
    """Call a reading tool on a cluster, without what stands around it: its schema, consent, and next calls."""
    credentials = Credentials(AccessKey("AKEXAMPLE", SecretStr("secret")), "a test", project_id="p1")

    async def connect() -> CloudClient:
        return CloudClient(_settings(), credentials, httpx.MockTransport(cluster))

    gateway = Gateway(load_catalog(), connect)
    nothing: Any = None
    context = ToolContext(Reads(gateway, load_catalog(), rules), nothing, nothing, nothing)
    run = import_module(f"ap_mcp.kubernetes.{TOOLS[tool]}").run
    try:
        result: Result = await run({"cluster_id": UID, **arguments}, context, kinds or KnownKinds(lambda: 0.0))
    finally:
        await gateway.close()
    return result


def pods(names: Iterable[str], namespace: str = "shop", **parts: Any) -> list[dict[str, Any]]:
    """Pods of one container each that run and are ready."""
    return [pod(name, namespace, **parts) for name in names]


def pod(name: str, namespace: str = "shop", *, labels: Mapping[str, str] | None = None, **parts: Any) -> dict[str, Any]:
    """A pod of one container that runs and is ready, unless `status` or `spec` say otherwise."""
    running = {"running": {"startedAt": ago(minutes=50)}}
    healthy = {"name": "app", "ready": True, "restartCount": 0, "state": running}
    found = {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [healthy],
    }
    spec = {"containers": [{"name": "app", "image": "shop/app:1"}]}
    metadata = {"labels": dict(labels or {}), **parts.pop("metadata", {})}
    status = {**found, **parts.pop("status", {})}
    return made("Pod", name, namespace, **{"spec": spec, "status": status, "metadata": metadata, **parts})
