"""Drives the simulator in tests the way a client would: signed requests, in-process or over a socket."""

import json
import pickle
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any, Self
from urllib.parse import quote

import httpx

from ap_mcp.cloud.signing import encode_query, format_date, is_payload_signed, sign_request
from ap_mcp.simulator.access import SIMULATED_CREDENTIALS, SimulatedCredentials
from ap_mcp.simulator.app import Simulator, build_app
from ap_mcp.simulator.seed import seeded_world
from ap_mcp.simulator.world import World, copied

HOST = "simulator.test"
_packed: deque[tuple[Mapping[str, Any], dict[str, bytes]]] = deque(maxlen=8)
"""The states that worlds were made in last."""
Query = Sequence[tuple[str, str]]


def simulate(world: World | None = None, **settings: Any) -> Simulator:
    """Make a simulator whose cut connections are to httpx like those of a socket."""
    settings.setdefault("connection_lost", httpx.RemoteProtocolError)
    return build_app(world or fresh_world(), **settings)


def fresh_world() -> World:
    """Return the account that the simulator starts with: a copy, which takes a tenth of the time of making it."""
    return world_in(_seed())


def world_in(state: Mapping[str, Any]) -> World:
    """Return a world of its own in a state that stays as it is, and is packed once where several worlds are made."""
    packed = next((packed for known, packed in _packed if known is state), None)
    if packed is None:
        packed = {name: pickle.dumps(rows, pickle.HIGHEST_PROTOCOL) for name, rows in state["tables"].items()}
        _packed.append((state, packed))
    world = World.from_json(copied({**state, "tables": {}}))
    world._tables = _Tables(packed)
    return world


def touched(world: World) -> dict[str, Any]:
    """Return the tables that somebody has asked for: the others are as they were."""
    return dict(world._tables)


class _Tables(dict[str, Any]):
    """The tables of a world, each unpacked once somebody asks for it: most tests need few, and some are large."""

    def __init__(self, packed: Mapping[str, bytes]) -> None:
        super().__init__()
        self.packed = dict(packed)

    def setdefault(self, name: str, default: Any = None) -> Any:
        if packed := self.packed.pop(name, None):
            self[name] = pickle.loads(packed)  # noqa: S301 - packed here
        return super().setdefault(name, default)

    def __reduce__(self) -> tuple[Any, ...]:
        for name in list(self.packed):
            self.setdefault(name)
        return dict, (dict(self),)


@cache
def _seed() -> dict[str, Any]:
    return seeded_world().to_json()


def segment(value: str) -> str:
    """Percent-encode a path value."""
    return quote(value, safe="~")


def signed_headers(
    method: str,
    path: str,
    query: Query = (),
    body: bytes = b"",
    *,
    host: str = HOST,
    credentials: SimulatedCredentials = SIMULATED_CREDENTIALS,
    date: datetime | None = None,
    headers: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return the headers of a properly signed request."""
    signed = {
        "Host": host,
        "Content-Type": "application/json",
        "X-Sdk-Date": format_date(date or datetime.now(UTC)),
        "X-Project-Id": credentials.project_id,
        **({"X-Security-Token": credentials.security_token} if credentials.security_token else {}),
        **(headers or {}),
    }
    if not is_payload_signed(signed["Content-Type"]):
        signed["X-Sdk-Content-Sha256"] = "UNSIGNED-PAYLOAD"
    keys = {"access_key": credentials.access_key, "secret_key": credentials.secret_key}
    return signed | {"Authorization": sign_request(method, path, query, signed, body, **keys)}


@dataclass
class Caller:
    """Sends signed requests to a simulator, in-process unless a base URL is given."""

    app: Simulator
    base_url: str = f"http://{HOST}"
    credentials: SimulatedCredentials = SIMULATED_CREDENTIALS
    client: httpx.AsyncClient = field(init=False)

    def __post_init__(self) -> None:
        local = self.base_url == f"http://{HOST}"
        transport = httpx.ASGITransport(self.app) if local else httpx.AsyncHTTPTransport()
        self.client = httpx.AsyncClient(transport=transport, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.client.aclose()

    @property
    def project(self) -> str:
        """The path of the credentials' project."""
        return f"/autopilot/v3/projects/{self.credentials.project_id}"

    async def send(
        self, method: str, path: str, body: Any = None, *, query: Query = (), **signing: Any
    ) -> httpx.Response:
        """Sign and send; `body` is bytes as they are, or JSON."""
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        host = self.base_url.removeprefix("http://")
        settings = {"host": host, "credentials": self.credentials, **signing}
        headers = signed_headers(method, path, query, content, **settings)
        return await self.send_as_is(method, path, content, query=query, headers=headers)

    async def send_as_is(
        self, method: str, path: str, body: bytes = b"", *, query: Query = (), headers: Mapping[str, str]
    ) -> httpx.Response:
        """Send a request without signing it."""
        target = f"{self.base_url}{path}" + (f"?{encode_query(query)}" if query else "")
        return await self.client.request(method, target, content=body, headers=dict(headers))
