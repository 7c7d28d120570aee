"""The frame round the protocol over HTTP: what gets through it, and what is answered before anything reads it."""

import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from over_http import ORIGIN, Served, request, served
from simulation import simulate
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from ap_mcp import __version__
from ap_mcp.web.gate import MOST_REPORTED
from ap_mcp.web.health import Check
from ap_mcp.web.options import OWN_NAMES, HttpOptions

pytestmark = pytest.mark.anyio

ERAS = ("2026-07-28", "2025-11-25")
PUBLIC = HttpOptions(
    hosts=OWN_NAMES | {"mcp.example.com", "10.1.2.3:9000", "web.example.com:443"},
    origins=frozenset({"https://mcp.example.com", "https://[::1]:8000"}),
    base_path="/team/cce",
    body_limit=2000,
    body_seconds=0.05,
)


async def echoes(asked: Request) -> PlainTextResponse:
    return PlainTextResponse(f"{asked.url.path} {len(await asked.body())}")


OWN = Route("/own", echoes, methods=["GET", "POST"])


@pytest.fixture
async def frame(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(simulate(), tmp_path, PUBLIC, routes=[OWN]) as found:
        yield found


@pytest.mark.parametrize("version", ERAS)
async def test_both_eras_are_served_without_a_session(frame: Served, version: str) -> None:
    async with frame.by_hand() as http:
        answer = await http.post("/mcp", **request("tools/list", version=version))
        assert answer.status_code == 200
        assert '"list_clusters"' in answer.text
        assert "mcp-session-id" not in answer.headers


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_the_official_client_works_in_both_eras(frame: Served, mode: str) -> None:
    async with frame.client(mode) as agent:
        found = await agent.call("list_clusters")
        assert found["clusters"]
        kept = await agent.client.read_resource(found["raw"])
        assert "shop-prod" in str(kept.contents[0])


@pytest.mark.parametrize("version", ERAS)
async def test_what_is_no_message_is_answered_with_what_to_send(frame: Served, version: str) -> None:
    made = request("tools/list", version=version)
    good, headers = made["json"], {**made["headers"], "content-type": "application/json"}
    wrong: list[tuple[Any, int | None, str]] = [
        *((good | {"id": None}, None, '"id" must be'), (good | {"id": True}, None, '"id" must be')),
        *(
            (good | {"params": []}, 1, '"params" must be an object'),
            (good | {"jsonrpc": "1.0"}, 1, '"jsonrpc" must be'),
        ),
        *(([good, good], None, "a request of its own"), ("x", None, "must be an object"), (..., None, "Parse error")),
    ]
    async with frame.by_hand() as http:
        for body, answered, said in wrong:
            sent = "{nope" if body is ... else json.dumps(body)
            answer = await http.post("/mcp", content=sent, headers=headers)
            assert answer.status_code == 400
            assert answer.json()["id"] == answered
            assert said in answer.json()["error"]["message"]
        for name, status in (("Accept", 406), ("Content-Type", 415)):
            other = headers | {name.lower(): "text/html"}
            answer = await http.post("/mcp", content=json.dumps(good), headers=other)
            assert answer.status_code == status
            assert f"the header {name} must" in answer.json()["error"]["message"]
        marked = await http.post("/mcp", content="\ufeff" + json.dumps(good), headers=headers)
        assert marked.status_code == 200
        heard = await http.post("/mcp", json={"jsonrpc": "2.0", "method": "notifications/x"}, headers=headers)
        assert heard.status_code in {202, 400}
        assert 'Invalid request: "' not in heard.text


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "OPTIONS", "HEAD"])
async def test_only_post_is_taken_where_the_protocol_is(frame: Served, method: str) -> None:
    async with frame.by_hand() as http:
        for path in ("/mcp", "/team/cce/mcp"):
            answer = await http.request(method, path)
            assert answer.status_code == 405
            assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize("path", ["/mcp", "/own", "/nothing"])
@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "mcp.example.com.evil.example", "mcp.example.com..", "evil.example:8000", "", ":", ":8000"),
        *("10.1.2.3", "10.1.2.3:9001", "10.1.2.3:", "web.example.com:80", "web.example.com:8443"),
        *("localhost::", "localhost:x", "localhost:1:2", "[::2]", "[::1", "::1", "[localhost]"),
    ],
)
async def test_a_request_for_another_host_is_refused_on_every_route(frame: Served, path: str, host: str) -> None:
    async with frame.by_hand() as http:
        answer = await http.post(path, content=b"{}", headers={"host": host})
        assert answer.status_code == 421
        assert "AP_MCP_HTTP_HOSTS" in answer.text


@pytest.mark.parametrize(
    "host",
    [
        *("mcp.example.com", "MCP.example.com:443", "mcp.example.com.", "Mcp.Example.Com.:8443", "10.1.2.3:9000"),
        *("localhost", "localhost:", "localhost:1", "LOCALHOST.:1", "localhost.:", "127.0.0.1:"),
        *("[::1]", "[::1]:", "[::1]:8000", "[0:0:0:0:0:0:0:1]:8000", "[0000::0001]"),
        *("web.example.com", "web.example.com:", "web.example.com:443", "WEB.example.com."),
    ],
)
async def test_a_request_for_one_of_its_names_is_served(frame: Served, host: str) -> None:
    async with frame.by_hand() as http:
        assert (await http.get("/own", headers={"host": host})).text == "/own 0"


async def test_a_request_with_two_hosts_is_refused(frame: Served) -> None:
    async with frame.by_hand() as http:
        twice = [("host", "mcp.example.com"), ("host", "evil.example")]
        assert (await http.get("/own", headers=twice)).status_code == 421


@pytest.mark.parametrize("path", ["/mcp", "/own", "/nothing"])
@pytest.mark.parametrize(
    "origin",
    [
        *("null", "", "https://evil.example", "https://mcp.example.com.evil.example", ORIGIN),
        *("http://mcp.example.com", "http://mcp.example.com:443", "https://mcp.example.com:8443"),
        *("https://mcp.example.com:80", "https://mcp.example.com/", "mcp.example.com", "https://[::1]:8001"),
    ],
)
async def test_a_request_of_a_foreign_page_is_refused_on_every_route(frame: Served, path: str, origin: str) -> None:
    async with frame.by_hand() as http:
        answer = await http.post(path, content=b"{}", headers={"origin": origin})
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "origin",
    [
        *("https://mcp.example.com", "HTTPS://MCP.example.com", "https://mcp.example.com:443"),
        *("https://mcp.example.com:", "https://mcp.example.com.", "https://[::1]:8000", "https://[0:0::0:1]:8000"),
    ],
)
async def test_a_request_of_its_own_page_is_served(frame: Served, origin: str) -> None:
    async with frame.by_hand() as http:
        asked = request("tools/list")
        asked["headers"]["origin"] = origin
        assert (await http.post("/mcp", **asked)).status_code == 200


async def test_what_watches_the_process_may_ask_by_any_name(frame: Served) -> None:
    async with frame.by_hand({"host": "10.9.8.7:8000", "origin": "null"}) as http:
        assert (await http.get("/healthz")).status_code == 200
        assert (await http.get("/readyz")).status_code in {200, 503}


@pytest.mark.parametrize("path", ["/own", "/team/cce/own"])
async def test_a_proxy_may_pass_the_base_path_on_or_take_it_off(frame: Served, path: str) -> None:
    async with frame.by_hand() as http:
        assert (await http.get(path)).text == f"{path} 0"
        assert (await http.get(f"/other{path}")).status_code == 404


@pytest.mark.parametrize("path", ["/mcp", "/mcp/mcp"])
async def test_the_base_path_may_be_what_the_protocol_has_itself(tmp_path: Path, path: str) -> None:
    async with served(simulate(), tmp_path, HttpOptions(base_path="/mcp")) as frame, frame.by_hand() as http:
        assert '"list_clusters"' in (await http.post(path, **request("tools/list"))).text


async def test_an_address_that_is_almost_right_leads_nowhere(frame: Served) -> None:
    async with frame.by_hand() as http:
        for path in ("/mcp/", "/team/cce/mcp/", "//mcp", "/own/", "/team/ccemcp", "/mcp%0A", "/team/cce/mcp%0a"):
            answer = await http.post(path, content=b"{}")
            assert answer.status_code == 404
            assert "location" not in answer.headers


async def test_a_person_with_a_browser_reads_what_this_is_and_where_to_go(frame: Served) -> None:
    async with frame.by_hand() as http:
        for path in ("/", "/team/cce/"):
            answer = await http.get(path)
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("text/plain")
            assert "MCP clients connect to /team/cce/mcp" in answer.text
            assert "approvals" not in answer.text
            assert not [each for each in (__version__, "cluster", "region", "simulated") if each in answer.text.lower()]
        posted = await http.post("/", content=b"{}")
        assert (posted.status_code, "MCP clients connect to" in posted.text) == (404, True)
        assert (await http.get("/nothing")).status_code == 404


async def test_people_are_led_to_the_page_for_approvers_where_there_is_one(tmp_path: Path) -> None:
    async def page(_: Request) -> PlainTextResponse:
        return PlainTextResponse("page")

    routes = [Route("/approvals", page)]
    async with served(simulate(), tmp_path, routes=routes) as frame, frame.by_hand() as http:
        assert "People approve at /approvals." in (await http.get("/")).text


async def test_a_body_that_is_too_large_is_refused_whether_or_not_its_size_is_said(frame: Served) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x" * 1000

    async with frame.by_hand() as http:
        for path in ("/mcp", "/own"):
            for body in (b"x" * 2001, pieces()):
                answer = await http.post(path, content=body)
                assert answer.status_code == 413
                assert "2000 bytes" in answer.text
        assert (await http.post("/own", content=b"x" * 2000)).text == "/own 2000"


async def test_a_body_that_does_not_come_to_its_end_is_given_up(frame: Served) -> None:
    async def stalls() -> AsyncIterator[bytes]:
        yield b"{"
        await anyio.sleep_forever()

    async with frame.by_hand() as http:
        with anyio.fail_after(5):
            answer = await http.post("/mcp", content=stalls())
        assert answer.status_code == 408
        assert answer.headers["connection"] == "close"


async def test_a_client_that_leaves_before_its_body_is_whole_is_not_answered(frame: Served) -> None:
    sent: list[object] = []
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/own",
        "headers": [(b"host", b"localhost")],
        "query_string": b"",
    }

    async def receive() -> dict[str, object]:
        return {"type": "http.disconnect"}

    async def send(message: object) -> None:
        sent.append(message)

    await frame.asgi(scope, receive, send)
    assert sent == []


async def test_made_up_names_do_not_fill_the_log(frame: Served, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    async with frame.by_hand() as http:
        for number in range(MOST_REPORTED + 5):
            for _ in range(2):
                await http.get("/own", headers={"host": f"evil{number}.example"})
    assert len([each for each in caplog.records if each.name == "ap_mcp.web.gate"]) == MOST_REPORTED


async def test_ready_means_that_every_check_that_decides_finds_nothing(tmp_path: Path) -> None:
    found = {"store": "", "far": "is down"}

    async def store() -> str:
        return found["store"]

    async def far() -> str:
        return found["far"]

    checks = [Check("store", store, kept=0), Check("far", far, decides=False, kept=0)]
    async with served(simulate(), tmp_path, checks=checks) as frame, frame.by_hand() as http:
        answer = await http.get("/readyz")
        assert answer.status_code == 200
        assert answer.json()["checks"] | {"cloud": ""} == {
            "running": "ok",
            "credentials": "ok",
            "audit": "ok",
            "cloud": "",
            "store": "ok",
            "far": "is down",
        }
        found["store"] = "it does not answer"
        answer = await http.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["checks"]["store"] == "it does not answer"
        found["store"] = ""
        frame.autopilot.draining = True
        answer = await http.get("/readyz")
        assert answer.status_code == 503
        assert "about to end" in answer.json()["checks"]["running"]
        assert (await http.get("/healthz")).text == "ok\n"


async def test_a_server_without_credentials_or_a_place_for_the_audit_is_not_ready(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("no folder")
    nowhere = tmp_path / "file" / "audit.jsonl"
    half = {"HUAWEICLOUD_SDK_AK": "x"}
    async with served(simulate(), tmp_path, environment=half, audit_log=nowhere) as frame, frame.by_hand() as http:
        for _ in range(2):
            answer = await http.get("/readyz")
            assert answer.status_code == 503
            found = answer.json()["checks"]
            assert found["credentials"] == "it failed; the log of the server says why"
            assert "audit log cannot be written" in found["audit"]
    assert [each.message for each in caplog.records if "HUAWEICLOUD_SDK_SK" in each.message]
    assert len([each for each in caplog.records if each.message.startswith("Not ready")]) == 1
