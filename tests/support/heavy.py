"""Answers of many megabytes, as stored charts and releases have them, and how long a client waits beside them."""

import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
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
    """Return the longest time in seconds that a ping took while something else was done for the same client."""
    longest, is_done = 0.0, False

    async def beat() -> None:
        nonlocal longest
        while not is_done:
            before = time.perf_counter()
            await client.send_ping()
            longest = max(longest, time.perf_counter() - before)
            await anyio.sleep(BETWEEN_PINGS)

    async with anyio.create_task_group() as group:
        group.start_soon(beat)
        await work()
        is_done = True
    return longest
