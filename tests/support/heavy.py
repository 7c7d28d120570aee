"""Large answers, as stored charts and releases have them, large calls, and how long a client waits beside them."""

import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import anyio
import httpx
from mcp import Client

from ap_mcp.simulator.app import Simulator
from ap_mcp.simulator.chart_seed import REDIS
from ap_mcp.simulator.constants import SEARCH_DEV

MIB = 1024 * 1024
BETWEEN_PINGS = 0.005
_CHUNK = 64 * 1024
_DEPLOYMENT = """---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web-{number}
  labels: {{app.kubernetes.io/name: web}}
spec:
  replicas: {number}
  template:
    spec:
      containers:
      - name: web
        image: swr.example/shop/web:{number}.2.1
        env:
        - name: DB_PASSWORD
          value: s3cr3t-of-web-{number}
        - name: MODE
          value: fast
        args: ["--listen=:8080", "--config=/etc/app/config.yaml"]
        resources:
          limits: {{cpu: 500m, memory: 512Mi}}
"""


def manifest(size: int) -> str:
    """Return the manifest of a release, a secret in every document."""
    one = len(_DEPLOYMENT)
    return "".join(_DEPLOYMENT.format(number=number) for number in range(size // one + 1))


def releases(size: int, count: int) -> list[dict[str, Any]]:
    """Return releases with their manifests, of so many bytes together."""
    text = manifest(size // count)
    row = {"namespace": "default", "status": "DEPLOYED", "chart_name": "web", "chart_version": "1.2.3", "version": 3}
    more = {"cluster_id": SEARCH_DEV, "values": "replicas: 1\n", "manifest": text, "parameters": "{}"}
    return [{"name": f"web-{number}", **row, **more} for number in range(count)]


def heavy_answers(size: int) -> dict[str, tuple[str, dict[str, Any], bytes]]:
    """Return tools whose answers have so many bytes: what is called, with which arguments, and the answer."""
    which = {"cluster_id": SEARCH_DEV, "namespace": "default", "name": "web-0"}
    values = {f"part{number}": {"text": manifest(20_000), "password": "hunter2"} for number in range(size // 20_000)}
    found: dict[str, tuple[str, dict[str, Any], Any]] = {
        "30 releases with manifests": ("list_releases", {"cluster_id": SEARCH_DEV}, releases(size, 30)),
        "a release with one manifest": ("get_release", which, releases(size, 1)[0]),
        "settings of a chart in many parts": ("get_chart_values", {"chart_id": REDIS}, {"values": values}),
        "settings of a chart in one text": ("get_chart_values", {"chart_id": REDIS}, {"values": {"a": manifest(size)}}),
    }
    return {name: (tool, given, json.dumps(body).encode()) for name, (tool, given, body) in found.items()}


def heavy_calls(size: int, calls: Mapping[str, Any]) -> dict[str, tuple[str, dict[str, Any], str]]:
    """Return calls whose arguments have about so many bytes: the tool, its arguments, and what it answers.

    Args:
        size: how many.
        calls: good arguments of each guarded tool.
    """
    some = range(size // 20)
    settings = {f"setting{number}": number for number in some}
    keys = {f"key{number}": "value" for number in some}
    maps = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"large-{number}"}, "data": data}
        for number, data in enumerate([keys, *([dict.fromkeys(list(keys)[: len(keys) // 50], "value")] * 50)])
    ]
    asked, only_shown, unknown = "a person would have to read", "Dry run", "is no argument"
    values: dict[str, tuple[str, Any, str]] = {
        "many settings": ("update_release", settings, asked),
        "deep settings": ("update_release", _deep(settings), only_shown),
        "settings as JSON in a text": ("update_release", json.dumps({"secrets": settings}), only_shown),
        "a long list of objects": ("create_release", {"env": [{"name": f"E{at}", "value": at} for at in some]}, asked),
        "names that are hidden": (
            "create_release",
            {f"https://user:Xk29f{at}@host.example": at for at in range(size // 50)},
            only_shown,
        ),
        "one long text": ("update_addon", {"text": manifest(size)}, only_shown),
    }
    found = {name: (tool, {**calls[tool], "values": given}, end) for name, (tool, given, end) in values.items()}
    where = {name: calls["k8s_apply"][name] for name in ("cluster_id",)} | {"namespace": "shop"}
    found |= {
        "an object of many keys": ("k8s_apply", {**where, "manifest": json.dumps(maps[0])}, only_shown),
        "many documents": ("k8s_apply", {**where, "manifest": "\n---\n".join(map(json.dumps, maps[1:]))}, only_shown),
        "many unknown arguments": ("list_clusters", settings, unknown),
        "a long list of names": (
            "delete_cluster_tags",
            {**calls["delete_cluster_tags"], "keys": [f"key{at}" for at in some]},
            only_shown,
        ),
    }
    return {
        name: (tool, {**given, "dry_run": True} if end == only_shown else given, end)
        for name, (tool, given, end) in found.items()
    }


def _deep(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings spread over fifty levels."""
    found: dict[str, Any] = {}
    for level in range(50):
        found = {"below": found, **dict(list(settings.items())[level::50])}
    return found


@dataclass
class Elsewhere(httpx.AsyncBaseTransport):
    """Leads into a simulator that works in threads of its own, so that it keeps no event loop busy."""

    app: Simulator

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        content = await request.aread()
        return await anyio.to_thread.run_sync(partial(anyio.run, self._answered, request, content))

    async def _answered(self, request: httpx.Request, content: bytes) -> httpx.Response:
        asked = httpx.Request(request.method, request.url, headers=request.headers, content=content)
        answer = await httpx.ASGITransport(self.app).handle_async_request(asked)
        return httpx.Response(answer.status_code, headers=answer.headers, content=await answer.aread())


@dataclass
class Heavy(httpx.AsyncBaseTransport):
    """Leads into a simulator; reads of releases and settings are answered with `content`, bit by bit."""

    app: Simulator
    content: bytes

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith("/values") and "/releases" not in request.url.path:
            return await httpx.ASGITransport(self.app).handle_async_request(request)
        return httpx.Response(200, headers={"content-type": "application/json"}, content=self._chunks())

    async def _chunks(self) -> Any:
        for start in range(0, len(self.content), _CHUNK):
            yield self.content[start : start + _CHUNK]
            await anyio.lowlevel.checkpoint()


async def longest_ping(client: Client, work: Callable[[], Awaitable[object]]) -> float:
    """Return the longest time in seconds from when a ping was due to its answer, while something else was done.

    One that could not even be sent, for nothing else was done meanwhile, is late as well.
    """
    longest, is_done = 0.0, False

    async def beat() -> None:
        nonlocal longest
        due = time.perf_counter()
        while not is_done:
            await client.send_ping()
            longest = max(longest, time.perf_counter() - due)
            due = time.perf_counter() + BETWEEN_PINGS
            await anyio.sleep(BETWEEN_PINGS)

    async with anyio.create_task_group() as group:
        group.start_soon(beat)
        await work()
        is_done = True
    return longest
