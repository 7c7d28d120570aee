"""Of a bad answer to a call for credentials nothing is quoted: no status, form or cut lets a part of it out."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from agent import Agent, connected
from canaries import leaving
from simulation import simulate

from ap_mcp.simulator.app import Simulator
from ap_mcp.simulator.constants import SEARCH_DEV
from ap_mcp.specs import Catalog

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_waiting")]

TOOL = "get_cluster_certificate"
# What masking by form and name would overlook: words, digits, a hash, half of a key.
MARKS = ("correct-horse-battery", "48151623", "9f2c4b7ad1e84f0a", "MIIEowIBAAKCAQEA", "shop-admin")
KUBECONFIG = {
    "kind": "Config",
    "users": [{"name": MARKS[4], "user": {"client-key-data": MARKS[3], "x": MARKS[0], "pin": MARKS[1]}}],
    "clusters": [{"cluster": {"certificate-authority-data": MARKS[2]}}],
}
WHOLE = json.dumps(KUBECONFIG)
BODIES: dict[str, tuple[str, str]] = {
    "cut": ("application/json", WHOLE[:-20]),
    "cut early": ("application/json", WHOLE[: WHOLE.index(MARKS[0]) + 8]),
    "text": ("text/plain", f"key {MARKS[0]} pin {MARKS[1]} {MARKS[2]}"),
    "html": ("text/html", f"<html><title>{MARKS[0]}</title><body>{WHOLE}</body></html>"),
    "html without its type": ("application/json", f"<!DOCTYPE html><p>{MARKS[0]} {MARKS[1]}"),
    "list": ("application/json", json.dumps([KUBECONFIG])),
    "string": ("application/json", json.dumps(WHOLE)),
    "yaml": ("application/yaml", f"users:\n- name: {MARKS[4]}\n  user:\n    x: {MARKS[0]}\n"),
    "error in its words": ("application/json", json.dumps({"error_code": "CCE.1", "error_msg": f"x: {MARKS[3] * 4}"})),
    "error beside it": ("application/json", json.dumps({**KUBECONFIG, "error": {"message": MARKS[0]}})),
    "error around it": ("application/json", json.dumps({"error_code": "CCE.1", "error_msg": WHOLE})),
}
SAVED = ("list", "error beside it")
"""What may be the file that was asked for: nobody reads it here."""
STATUSES = (200, 302, 400, 401, 403, 404, 408, 409, 413, 429, 500, 502, 503, 504)


PROSE = {
    "refused": (403, {"error_code": "CCE.01403001", "error_msg": "No permission for cce:cluster:get."}),
    "not found": (404, {"errorCode": "CCE.01404001", "errorMessage": "Resource not found."}),
}


class Answering(httpx.AsyncBaseTransport):
    """Leads into the simulator, but answers itself where credentials are asked for, with what is set."""

    def __init__(self, app: Simulator) -> None:
        self.inner = httpx.ASGITransport(app)
        self.answer: tuple[int, str, str] = (200, "", "")

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith("/clustercert"):
            return await self.inner.handle_async_request(request)
        status, media_type, text = self.answer
        headers = {"Content-Type": media_type, "X-Request-Id": "r1", "Location": f"https://h/{MARKS[1]}?x={MARKS[0]}"}
        return httpx.Response(status, headers=headers, content=text.encode())


@pytest.fixture
async def answering(tmp_path: Path) -> AsyncIterator[tuple[Agent, Answering]]:
    app = simulate()
    transport = Answering(app)
    async with connected(tmp_path, app=app, transport=transport) as agent:
        yield agent, transport


def test_there_is_one_tool_that_returns_credentials(catalog: Catalog) -> None:
    assert [each.id for each in catalog.values() if each.effect == "secret"] == [TOOL]


@pytest.mark.parametrize("form", BODIES)
async def test_nothing_of_it_is_quoted(
    answering: tuple[Agent, Answering], tmp_path: Path, caplog: pytest.LogCaptureFixture, form: str
) -> None:
    agent, transport = answering
    caplog.set_level("DEBUG", logger="ap_mcp")
    leaks = []
    for status in STATUSES:
        transport.answer = (status, *BODIES[form])
        result = await agent.run(TOOL, {"cluster_id": SEARCH_DEV, "duration_days": 1})
        assert result.is_error or (status == 200 and form in SAVED)
        left = [await leaving(agent, result), caplog.text]
        left += [path.read_text() for path in (tmp_path / "state").glob("*.jsonl")]
        leaks += [f"{status}: {mark}" for mark in MARKS if mark in "".join(left)]
    assert leaks == []
    assert (tmp_path / "files").exists() is (form in SAVED)


@pytest.mark.parametrize("which", PROSE)
async def test_what_the_service_says_in_words_is_quoted(answering: tuple[Agent, Answering], which: str) -> None:
    agent, transport = answering
    status, body = PROSE[which]
    transport.answer = (status, "application/json", json.dumps(body))
    said = await agent.fail(TOOL, cluster_id=SEARCH_DEV, duration_days=1)
    assert all(each in said for each in body.values())
