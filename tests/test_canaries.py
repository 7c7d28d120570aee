"""No secret leaves: planted in every answer and call, it is found in no channel but the files made for it."""

from pathlib import Path

import pytest
import stamina
from agent import connected
from canaries import IN_TEXT, Meddling, Planter, harmless_calls, leaving, secrets_found
from consenting import Prepared, prepare
from guarded import account

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepare(tmp_path_factory.mktemp("prepared"))


@pytest.fixture(autouse=True)
def no_waiting():
    with stamina.set_testing(True, attempts=1):
        yield


@pytest.mark.parametrize("reckless", [False, True])
async def test_no_secret_of_an_answer_is_told_by_a_tool_that_anybody_may_call(tmp_path, prepared, reckless) -> None:
    calls = harmless_calls(prepared.state, tmp_path)
    found = {}
    for turn in range(len(IN_TEXT)):
        app = account(prepared.state)
        meddling = Meddling(app, Planter(turn, reckless=reckless))
        async with connected(tmp_path, app=app, transport=meddling) as agent:
            for tool, arguments in calls.items():
                result = await agent.run(tool, arguments)
                if result.is_error: print(tool, agent.said)
                if leaks := secrets_found(await leaving(agent, result)):
                    found[tool, turn] = leaks
    assert found == {}


from consenting import Scene, TOOLS, scene_of
from guarded import Person
from agent import Agent
import logging

WAYS = ("dry_run", "form", "approval", "token")

def with_secrets(planter, arguments):
    more = dict(arguments)
    if "namespace" in more and "chart_id" in more:
        more |= {"values": {**more.get("values", {}), "notes": planter.text("x y z w"), "more": planter({"a": {}})}}
    return more

@pytest.mark.parametrize("era", ["auto", "legacy"])
async def test_guarded(tmp_path, prepared, era, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    found = {}
    for number, tool in enumerate(TOOLS):
      for t, way in enumerate(WAYS):
        planter = Planter(number + 5*t)
        folder = tmp_path / tool / way
        scene = scene_of(prepared, tool, era, folder)
        scene.arguments = with_secrets(planter, scene.arguments)
        person = Person() if way == "form" else None
        confirm = {"form": "human", "dry_run": "human"}.get(way, way)
        async with scene.connect(person, transport=Meddling(scene.app, planter), confirm=confirm) as agent:
            more = {"dry_run": True} if way == "dry_run" else {}
            result = await agent.run(tool, {**scene.arguments, **more})
            left = await leaving(agent, result)
            if way in ("form", "dry_run") and result.is_error: print(tool, way, agent.said)
            if way == "approval" and "approval_req" not in agent.said: print(tool, way, agent.said)
            if person: left += "".join(person.read)
            if leaks := secrets_found(left): found[tool, way] = leaks
            for path in folder.glob("**/*"):
                if path.is_file() and (leaks := secrets_found(path.read_bytes())):
                    if path.parent.name == "files": continue
                    found[tool, way, path.name] = leaks
    if leaks := secrets_found(caplog.text): found["log"] = leaks
    for k, v in found.items(): print(k, v)
    assert found == {}

import httpx, json
from dataclasses import dataclass, field
from ap_mcp.simulator.access import SimulatedCredentials
from simulation import simulate
from canaries import MARK
from ap_mcp.simulator.world import World

def echo(request):
    return "\n".join(f"{name}: {value}" for name, value in request.headers.items())

def shapes(request, planter):
    import re
    content = request.content
    body = content.decode("utf-8", "replace")
    told = f"cannot accept {request.method} {request.url} with\n{echo(request)}\n\n{body}"
    prose = "\n".join(form(planter.secret()) for form in IN_TEXT)
    flat = " ".join(form(planter.secret()) for form in IN_TEXT)
    yield 400, {"errorCode": "CCE.01400001", "errorMessage": told, "reason": prose, "error_code": flat, "request_id": flat}
    yield 403, {"error_code": "APIGW.0302", "error_msg": prose, "request_id": IN_TEXT[0]("x")}
    yield 401, {"error": {"code": 401, "message": told, "title": flat}}
    yield 500, {"kind": "Status", "status": "Failure", "code": 500, "message": told, "reason": told}
    yield 404, {"message": {"request": {"headers": dict(request.headers), "password": planter.secret()}}}
    yield 409, planter({"a": {"b": ["c d e f g h"]}})
    yield 502, f"<html><title>Bad Gateway</title><body>{told} {prose}</body></html>"
    yield 429, told + prose
    yield 200, {"errorCode": "CCE.01400001", "errorMessage": told, "reason": flat}
    yield 200, json.dumps(planter({"items": [{"a": "x y z w a"}] * 3}))[:-9]
    yield 302, told

@dataclass
class Refusing(httpx.AsyncBaseTransport):
    inner: Meddling
    only: str
    number: int
    async def handle_async_request(self, request):
        response = await self.inner.handle_async_request(request)
        if self.inner.app.state.log[-1].operation != self.only:
            return response
        every = list(shapes(request, Planter(self.number)))
        status, body = every[self.number % len(every)]
        raw = body if isinstance(body, str) else json.dumps(body)
        headers = {"x-request-id": f"password={MARK} r", "content-type": "application/json" if raw[0] == "{" else "text/html", "retry-after": "0"}
        return httpx.Response(status, headers=headers, content=raw.encode())

KEY = SimulatedCredentials("SIMULATEDACCESSKEY00", f"{MARK}-the-sk", f"{MARK}-the-security-token")

async def test_errors(tmp_path, prepared, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    found = {}
    calls = harmless_calls(prepared.state, tmp_path) | dict(prepared.calls)
    for n, (tool, arguments) in enumerate(calls.items()):
      for k in range(11):
        app = simulate(World.from_json(json.loads(json.dumps(prepared.state))), credentials=KEY)
        folder = tmp_path / tool / str(k)
        only = {"wait_for": "get_job"}.get(tool, tool)
        env = KEY.exports("http://127.0.0.1:1")
        async with connected(folder, app=app, transport=Refusing(Meddling(app, lambda x: x), only, k), environment=env, chart_roots=(tmp_path, prepared.folder)) as agent:
            result = await agent.run(tool, arguments)
            if not result.is_error: print(tool, k, agent.said[:200])
            elif n % 10 == 0: print(agent.said)
            left = await leaving(agent, result)
            if leaks := secrets_found(left): found[tool, k] = leaks
            for path in folder.glob("**/*"):
                if path.is_file() and (leaks := secrets_found(path.read_bytes())):
                    if path.parent.name == "files": continue
                    found[tool, k, path.name] = leaks
    if leaks := secrets_found(caplog.text): found["log"] = leaks
    for k, v in found.items(): print(k, v)
    assert found == {}
