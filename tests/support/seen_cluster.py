"""A cluster whose Kubernetes API answers reads with the objects of a test: lists, selectors, pages, names, logs."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from agent import Agent, connected
from broken import Json, Seen
from simulation import simulate

from ap_mcp.kubernetes.spec import known_kinds
from ap_mcp.simulator.constants import SHOP_PROD

BY_PLURAL = {(each.group, each.plural): each for each in known_kinds()}


@dataclass
class SeenCluster(httpx.AsyncBaseTransport):
    """Answers for one cluster; whatever is sent elsewhere goes to the simulated account.

    Attributes:
        forbidden: plurals that the cluster refuses to show.
        page: most objects in one page.
        asked: what was asked of the cluster, in order.
    """

    seen: Seen
    elsewhere: httpx.AsyncBaseTransport
    forbidden: frozenset[str] = frozenset()
    page: int = 500
    cluster: str = SHOP_PROD
    asked: list[httpx.URL] = field(default_factory=list)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if not request.headers["host"].startswith(self.cluster):
            return await self.elsewhere.handle_async_request(request)
        assert request.method == "GET"
        self.asked.append(request.url)
        group, namespace, plural, name, below = _taken_apart(request.url.path)
        query = dict(request.url.params)
        if plural in self.forbidden:
            return _status(403, "Forbidden", f"{plural} is forbidden: User cannot list resource {plural}")
        if (resource := BY_PLURAL.get((group, plural))) is None:
            return _status(404, "NotFound", "the server could not find the requested resource")
        every = [each for each in [*self.seen.objects, *self.seen.events] if each["kind"] == resource.kind]
        every = [each for each in every if namespace in ("", each["metadata"].get("namespace", ""))]
        if below == "log":
            return self._log(namespace, name, query)
        if name:
            found = [each for each in every if each["metadata"]["name"] == name]
            return _json(found[0]) if found else _status(404, "NotFound", f'{plural} "{name}" not found')
        return self._page([each for each in every if _fits(each, query)], query, request.headers["accept"])

    def _page(self, every: list[Json], query: Mapping[str, str], accept: str) -> httpx.Response:
        start, size = int(query.get("continue", 0)), min(int(query.get("limit", 500)), self.page)
        some, more = every[start : start + size], start + size < len(every)
        # A list does not say of its entries what kind they are.
        some = [{key: value for key, value in each.items() if key != "kind"} for each in some]
        if "PartialObjectMetadata" in accept:
            some = [{"metadata": each["metadata"]} for each in some]
        return _json({"kind": "List", "metadata": {"continue": str(start + size)} if more else {}, "items": some})

    def _log(self, namespace: str, name: str, query: Mapping[str, str]) -> httpx.Response:
        key = (namespace, name, query["container"], query.get("previous") == "true")
        if key in self.seen.logs:
            return httpx.Response(200, text=self.seen.logs[key])  # type: ignore[index]
        return _status(400, "BadRequest", "previous terminated container not found")


def _taken_apart(path: str) -> tuple[str, str, str, str, str]:
    parts = path.strip("/").split("/")
    group, rest = ("", parts[2:]) if parts[0] == "api" else (parts[1], parts[3:])
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    return (group, namespace, *(*rest, "", "")[:3])  # type: ignore[return-value]


def _fits(item: Json, query: Mapping[str, str]) -> bool:
    labels = item["metadata"].get("labels", {})
    for part in filter(None, query.get("labelSelector", "").split(",")):
        key, is_equal, value = part.partition("=")
        if (labels.get(key) != value) if is_equal else (key not in labels):
            return False
    for part in filter(None, query.get("fieldSelector", "").split(",")):
        key, _, value = part.replace("!=", "=").partition("=")
        if ("!=" in part) == (str(_at(item, key)) == value):
            return False
    return True


def _at(item: Any, place: str) -> Any:
    for step in place.split("."):
        item = item.get(step, "") if isinstance(item, dict) else ""
    return item


def _json(body: Any) -> httpx.Response:
    return httpx.Response(200, content=json.dumps(body), headers={"content-type": "application/json"})


def _status(code: int, reason: str, message: str) -> httpx.Response:
    body = {"kind": "Status", "status": "Failure", "reason": reason, "message": message, "code": code}
    return httpx.Response(code, json=body)


@asynccontextmanager
async def seeing(tmp_path: Path, seen: Seen, **settings: Any) -> AsyncIterator[tuple[Agent, SeenCluster]]:
    """Connect an agent to an account in which the API of shop-prod, or another cluster, shows what a test gives."""
    of_cluster = {key: settings.pop(key) for key in ("forbidden", "page", "cluster") if key in settings}
    app = simulate()
    cluster = SeenCluster(seen, httpx.ASGITransport(app), **of_cluster)
    async with connected(tmp_path, app=app, transport=cluster, **settings) as agent:
        yield agent, cluster
