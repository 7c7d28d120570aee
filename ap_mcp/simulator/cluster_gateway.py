"""How requests reach the Kubernetes API of a simulated cluster: through the gateway's host names, or directly."""

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

import anyio
from starlette.types import Receive, Scope, Send

from ap_mcp.simulator.constants import USER_NAME
from ap_mcp.simulator.error_bodies import GatewayRefusal, Sent
from ap_mcp.simulator.kubernetes.answering import Answered, Streamed
from ap_mcp.simulator.kubernetes.asking import Asked
from ap_mcp.simulator.kubernetes.reviews import User
from ap_mcp.simulator.kubernetes.service import answer, name_of
from ap_mcp.simulator.kubernetes.statuses import unauthorized
from ap_mcp.simulator.kubernetes.watching import Pause
from ap_mcp.simulator.routes import decode
from ap_mcp.simulator.world import World

DIRECT = "ap_mcp.simulator.cluster"
"""Key of `scope["extensions"]` under which a server that speaks TLS names the cluster, and whose certificate it saw."""

NOT_CACHED = {"Cache-Control": "no-cache, private"}
"""Said of every answer: kubectl keeps what discovery answers, and would not ask again."""

_CLUSTER_HOST = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.")


@dataclass(frozen=True, slots=True)
class Entry:
    """Which cluster a request is for; `user` is who a client certificate names, None behind the gateway."""

    cluster_id: str
    direct: bool = False
    user: str | None = None


def entry_of(scope: Scope) -> Entry | None:
    """Return the cluster that a request is for, None if it is for the service itself."""
    direct = scope.get("extensions", {}).get(DIRECT)
    if direct is not None:
        return Entry(direct["cluster_id"], direct=True, user=direct["user"])
    host = next((value for name, value in scope["headers"] if name.lower() == b"host"), b"").decode("latin-1")
    found = _CLUSTER_HOST.match(host.lower())
    return None if found is None else Entry(found[1])


def request_of(entry: Entry, scope: Scope, headers: Mapping[str, str], body: bytes) -> Asked:
    """Read a request for a cluster.

    Raises:
        ValueError: if its path is no UTF-8.
    """
    path = tuple(decode(part) for part in scope["raw_path"].partition(b"?")[0].split(b"/"))
    query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
    return Asked(scope["method"], path, query, headers, body, User(entry.user or USER_NAME))


def name_of_request(scope: Scope) -> str:
    """Return what a request is called in the log and among faults, as `kubernetes_list_pods`."""
    path = scope["raw_path"].partition(b"?")[0].decode("latin-1").split("/")
    query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
    return name_of(Asked(scope["method"], tuple(path), query))


def ask(world: World, entry: Entry, asked: Asked, pause: Pause) -> Answered | Streamed:
    """Let a cluster answer.

    Raises:
        GatewayRefusal: 404 or 503 if there is no such cluster, or it has no API server now.
    """
    cluster = world.table("clusters").get(entry.cluster_id)
    if cluster is None:
        raise GatewayRefusal(404, "APIGW.0101", "The API does not exist or has not been published")
    phase = cluster["status"].get("phase")
    if phase not in ("Available", "Upgrading"):
        raise GatewayRefusal(503, "APIGW.0202", f"Backend unavailable: the cluster is {phase}")
    if entry.direct and entry.user is None:
        refusal = unauthorized()
        return Answered(refusal.body(), refusal.code)
    return answer(world, entry.cluster_id, asked, pause)


def sent(answered: Answered) -> Sent:
    """Return a finished answer as the application sends it."""
    return Sent(answered.status, answered.encoded(), answered.media_type, {**NOT_CACHED, **answered.headers})


async def stream(streamed: Streamed, date: str, receive: Receive, send: Send) -> None:
    """Send an answer part by part until it ends or its reader is gone."""
    headers = [(b"content-type", streamed.media_type.encode()), (b"date", date.encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    async with anyio.create_task_group() as group:

        async def until_gone() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            group.cancel_scope.cancel()

        group.start_soon(until_gone)
        parts: AsyncIterator[bytes] = streamed.parts()
        async for part in parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        group.cancel_scope.cancel()
    await send({"type": "http.response.body", "body": b"", "more_body": False})


__all__ = ["DIRECT", "Entry", "Pause", "ask", "entry_of", "name_of_request", "request_of", "sent", "stream"]
