"""A cluster for tests of the tools that change something in it: what is sent there, and what happens meanwhile."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from agent import Agent, connected
from kubernetes_calls import Cluster
from simulation import Caller, simulate, world_in

from ap_mcp.kubernetes.manifests import read_manifest
from ap_mcp.kubernetes.spec import known_kinds
from ap_mcp.permits import DRY_RUN
from ap_mcp.simulator.app import Simulator

SANDBOX = "team-sandbox"
VOLUME = """
apiVersion: v1
kind: PersistentVolume
metadata: {name: old-disk}
spec:
  accessModes: [ReadWriteOnce]
  capacity: {storage: 10Gi}
  storageClassName: %s
  csi: {driver: disk.csi.everest.io, volumeHandle: x}
"""
"""A volume that exists already, of a storage class."""
SHOP = """
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: cart, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: cart}}
  template:
    metadata: {labels: {app: cart}}
    spec:
      containers:
      - {name: web, image: "nginx:1.25"}
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {selector: {app: cart}, ports: [{port: 80}]}
"""
DEPLOYMENT = SHOP.split("---")[1]
LONG_ENOUGH = 120
CART = "/apis/apps/v1/namespaces/shop/deployments/cart"
_kept: list[Mapping[str, Any]] = []
"""The state of an account with a shop, once some test has needed it."""


@dataclass
class Watched(httpx.AsyncBaseTransport):
    """The way into the simulator, on which every request to a cluster is noted, and something can happen before one."""

    app: Simulator
    sent: list[httpx.Request] = field(default_factory=list)
    before: Callable[[httpx.Request], Awaitable[httpx.Response | None]] | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.headers["host"].startswith("127.0.0.1"):
            return await httpx.ASGITransport(self.app).handle_async_request(request)
        self.sent.append(request)
        if self.before is not None and (answer := await self.before(request)) is not None:
            return answer
        return await httpx.ASGITransport(self.app).handle_async_request(request)

    @property
    def changes(self) -> list[str]:
        """What was sent that changes something, as method and path, in order."""
        return [f"{each.method} {each.url.path}" for each in self.sent if each.method != "GET" and not is_check(each)]

    @property
    def checks(self) -> list[str]:
        """What was sent to be checked only."""
        return [f"{each.method} {each.url.path}" for each in self.sent if is_check(each)]


def is_check(request: httpx.Request) -> bool:
    """Say whether a request is a dry run; a deletion must say so in its body as well."""
    asked = request.url.params.get(DRY_RUN[0]) == DRY_RUN[1]
    if asked and request.method == "DELETE":
        assert json.loads(request.content)["dryRun"] == ["All"]
    return bool(asked)


@dataclass
class Scene:
    """An agent at a cluster with a small shop in it."""

    agent: Agent
    way: Watched
    cluster: Cluster

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool that must succeed."""
        return await self.agent.call(tool, cluster_id=SANDBOX, **arguments)

    async def fail(self, tool: str, **arguments: Any) -> str:
        """Call a tool that must fail; return what it says."""
        return await self.agent.fail(tool, cluster_id=SANDBOX, **arguments)

    async def apply(self, manifest: str, **arguments: Any) -> dict[str, Any]:
        """Apply a manifest."""
        return await self.call("k8s_apply", manifest=manifest, **arguments)


@asynccontextmanager
async def shop(tmp_path: Path, *, person: Any = None, mode: str = "legacy", **settings: Any) -> AsyncIterator[Scene]:
    """Connect an agent to an account whose sandbox has a shop; with a person, guarded calls are asked about."""
    app = simulate(world_in(await _stocked()))
    cluster = Cluster(Caller(app))
    way = Watched(app)
    asked = {"person": person, "unasked": False} if person is not None else {}
    async with connected(tmp_path, app=app, mode=mode, transport=way, **{**asked, **settings}) as agent:
        yield Scene(agent, way, cluster)


async def _stocked() -> Mapping[str, Any]:
    """Return the state of an account whose sandbox has a shop, which is made once."""
    if not _kept:
        cluster = Cluster(Caller(simulate()))
        for text in SHOP.split("---"):
            await made(cluster, text)
        cluster.world.advance(LONG_ENOUGH)
        _kept.append(cluster.world.to_json())
    return _kept[0]


async def made(cluster: Cluster, text: str) -> Any:
    """Create an object as our own field manager applies it."""
    (document,) = read_manifest(text)
    resource = next(each for each in known_kinds() if each.kind == document.kind)
    path = "/" + "/".join(resource.parts(document.namespace, document.name))
    query = {"fieldManager": "ap-mcp"}
    return await cluster.ok("PATCH", path, document.body, type="application/apply-patch+yaml", **query)
