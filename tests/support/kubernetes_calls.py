"""Sends requests to the Kubernetes API of a simulated cluster, signed, through its gateway host name."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from simulation import HOST, Caller, signed_headers, simulate, world_in

from ap_mcp.simulator.constants import TEAM_SANDBOX
from ap_mcp.simulator.world import World

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
MERGE, STRATEGIC = "application/merge-patch+json", "application/strategic-merge-patch+json"
JSON_PATCH, APPLY = "application/json-patch+json", "application/apply-patch+yaml"
CORE, APPS, BATCH = "/api/v1", "/apis/apps/v1", "/apis/batch/v1"
SHOP = f"{CORE}/namespaces/shop"
DEPLOYMENTS, JOBS = f"{APPS}/namespaces/shop/deployments", f"{BATCH}/namespaces/shop/jobs"
_kept: list[Mapping[str, Any]] = []
"""The state of an account with that namespace, once some test has needed it."""


@dataclass
class Cluster:
    """One cluster of a simulator, in-process."""

    caller: Caller
    id: str = TEAM_SANDBOX
    host: str = HOST

    @property
    def world(self) -> World:
        return self.caller.app.state.world

    async def send(
        self, method: str, path: str, body: Any = None, *, type: str = "application/json",  # noqa: A002 - a media type
        accept: str = "application/json", agent: str = "tester/1.0", **query: str,
    ) -> httpx.Response:  # fmt: skip
        """Send a request; `body` is bytes as they are, or JSON."""
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        pairs = list(query.items())
        own = {"Content-Type": type, "Accept": accept, "User-Agent": agent}
        headers = signed_headers(method, path, pairs, content, host=f"{self.id}.{self.host}", headers=own)
        return await self.caller.send_as_is(method, path, content, query=pairs, headers=headers)

    async def ok(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """Return the answer's JSON; it must be a success."""
        answer = await self.send(method, path, body, **options)
        assert answer.status_code < 300, answer.text
        return answer.json()

    async def refused(self, method: str, path: str, body: Any = None, **options: Any) -> Mapping[str, Any]:
        """Return the Status object of a refusal."""
        answer = await self.send(method, path, body, **options)
        status: Mapping[str, Any] = answer.json()
        assert (status["kind"], status["status"], status["code"]) == ("Status", "Failure", answer.status_code)
        assert answer.status_code >= 400
        return status

    async def names(self, path: str, **options: Any) -> list[str]:
        """Return the names of what a list has."""
        return [each["metadata"]["name"] for each in (await self.ok("GET", path, **options))["items"]]

    async def table(self, path: str, **options: Any) -> list[list[Any]]:
        """Return the cells of a list as a Table."""
        return [row["cells"] for row in (await self.ok("GET", path, accept=TABLE, **options))["rows"]]

    async def states(self, namespace: str, app: str) -> list[str]:
        """Return readiness and state of the pods of an application as kubectl shows them, sorted."""
        rows = await self.table(f"{CORE}/namespaces/{namespace}/pods", labelSelector=f"app={app}")
        return sorted(f"{row[1]} {row[2]}" for row in rows)

    async def shop(self) -> None:
        """Make the namespace that these tests use."""
        await self.ok("POST", f"{CORE}/namespaces", {"metadata": {"name": "shop"}})


def cluster(**settings: Any) -> Cluster:
    """Return a healthy cluster of a fresh account."""
    return Cluster(Caller(simulate(**settings)))


def deployment(name: str = "web", replicas: int = 2, image: str = "nginx:1.27", **spec: Any) -> dict[str, Any]:
    """Make a manifest."""
    labels = {"app": name}
    pod = {"containers": [{"name": "app", "image": image, "ports": [{"name": "http", "containerPort": 8080}]}], **spec}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def job(name: str = "once", image: str = "tool:1", **spec: Any) -> dict[str, Any]:
    """Make a manifest."""
    pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": image}]}
    return {"metadata": {"name": name}, "spec": {"template": {"spec": pod}, **spec}}


def config_map(name: str, **labels: str) -> dict[str, Any]:
    """Make a manifest."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}, "data": {"a": "1"}}


async def cluster_with_shop() -> Cluster:
    """Return such a cluster with the namespace that these tests use, which is made once."""
    if not _kept:
        made = cluster()
        await made.shop()
        _kept.append(made.world.to_json())
    return Cluster(Caller(simulate(world_in(_kept[0]))))
