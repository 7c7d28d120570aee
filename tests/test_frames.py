"""Lines on standard input that are no message: each is answered, or taken for what it means; none is met by silence."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from forking import python
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCError, JSONRPCNotification, JSONRPCRequest
from test_stdio import HELLO, Pipe, process, said

from ap_mcp.frames import read_anew
from ap_mcp.stdio import MOST_REPORTED

pytestmark = pytest.mark.anyio

NEW, OLD = "2025-11-25", "2025-03-26"
PING = {"jsonrpc": "2.0", "id": 5, "method": "ping"}


def line(**changed: Any) -> bytes:
    return json.dumps({key: value for key, value in (PING | changed).items() if value is not ...}).encode()


def refused(text: bytes, version: str | None = NEW) -> JSONRPCError:
    (found,) = read_anew(text, version)
    assert isinstance(found, JSONRPCError)
    return found


@pytest.mark.parametrize(
    ("text", "named"),
    [
        *((b"{nope", "line 1 column 2"), (line() * 2, "trailing"), (b'{"jsonrpc":"2.0","id":5,', "EOF")),
        *((b"log: started", "expected"), (b"Content-Length: 5\r", "expected"), (b"\xff\xfe{", "expected")),
        *((b'{"a":' + b"[" * 9000 + b"]" * 9000 + b"}", "recursion"), ('{"a":"é"}'.encode("latin-1"), "unicode")),
    ],
)
def test_a_line_that_is_not_one_json_value_is_a_parse_error(text: bytes, named: str) -> None:
    found = refused(text)
    assert (found.id, found.error.code) == (None, -32700)
    assert named in found.error.message
    assert "one JSON-RPC message in UTF-8" in found.error.message


@pytest.mark.parametrize(
    ("text", "answered", "named"),
    [
        *((line(params=[]), 5, '"params" must be an object, not a list'), (line(params="x"), 5, "not a text")),
        *((line(jsonrpc="1.0"), 5, '"jsonrpc" must be "2.0"'), (line(jsonrpc=..., id="a"), "a", '"jsonrpc" must be')),
        *((line(method=...), 5, '"method" is missing'), (line(method=7), 5, '"method" must be a text, not a number')),
        *((line(id=None), None, "not null"), (line(id=1.5), None, "not a number"), (line(id=[]), None, "not a list")),
        *((line(id=True), None, "not true or false"), (b"3", None, "not a number"), (b"null", None, "not null")),
    ],
)
def test_what_is_no_request_is_answered_with_each_fault_under_its_id(
    text: bytes, answered: str | int | None, named: str
) -> None:
    found = refused(text)
    assert (found.id, found.error.code) == (answered, -32600)
    assert named in found.error.message


def test_all_faults_of_a_message_are_said_at_once() -> None:
    said = refused(line(jsonrpc=1, method=..., id=False)).error.message
    assert all(f'"{each}"' in said for each in ("jsonrpc", "method", "id"))


def test_a_byte_order_mark_and_blank_lines_do_no_harm() -> None:
    (found,) = read_anew(b"\xef\xbb\xbf" + line(), None)
    assert isinstance(found, SessionMessage)
    assert isinstance(found.message, JSONRPCRequest)
    assert not list(read_anew(b"\r\n", NEW))


def test_a_notification_that_nobody_knows_is_not_answered() -> None:
    (found,) = read_anew(line(id=...), NEW)
    assert isinstance(found, SessionMessage)
    assert isinstance(found.message, JSONRPCNotification)


def test_whoever_waits_for_an_answer_that_is_none_learns_of_it() -> None:
    (found,) = read_anew(line(method=..., result=None), NEW)
    assert isinstance(found, SessionMessage)
    assert isinstance(found.message, JSONRPCError)
    assert found.message.id == 5
    assert '"result" must be an object' in found.message.error.message


def test_a_batch_is_taken_where_the_protocol_has_batches() -> None:
    batch = b"[" + line() + b"," + line(id="b", params=3) + b"," + line(id=7) + b"]"
    first, second, third = read_anew(batch, OLD)
    assert isinstance(second, JSONRPCError)
    assert second.id == "b"
    assert [each.message.id for each in served((first, third))] == [5, 7]
    assert "empty" in refused(b"[]", OLD).error.message
    assert f"protocol {NEW} has no batches" in refused(batch, NEW).error.message
    assert "handshake" in refused(batch, None).error.message


def served(found: tuple[SessionMessage | JSONRPCError, ...]) -> Iterator[Any]:
    return (each for each in found if isinstance(each, SessionMessage))


async def test_a_server_goes_on_after_such_lines_and_its_log_does_not_grow_with_them(tmp_path: Path) -> None:
    async with process(tmp_path, "-m", "ap_mcp", "serve", "--simulate", by=python()) as started:
        pipe, answered = Pipe(started), list[dict[str, Any]]()
        params = HELLO | {"protocolVersion": OLD}
        hello = json.dumps({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params})
        await pipe.say("\ufeff" + hello)
        await pipe.say("")
        for at in range(2 * MOST_REPORTED):
            await pipe.say(f"{{nope {at} s3cret")
        await pipe.say(line(id=None).decode())
        await pipe.say(f"[{line(id=20).decode()}, {line(id=21).decode()}]")
        while len(answered) < 2 * MOST_REPORTED + 4:
            answered.append(json.loads(await pipe.line()))
        await pipe.stdin.aclose()
        _, log = await said(started)
    ids = [each["id"] for each in answered]
    assert ids[0] == 0
    assert sorted(each for each in ids if each) == [20, 21]
    assert [each["error"]["code"] for each in answered if each["id"] is None] == [-32700] * 2 * MOST_REPORTED + [-32600]
    assert log.count("no message") == MOST_REPORTED
    assert "s3cret" not in log


async def test_wrong_parameters_are_named_and_arguments_may_come_as_one_text(tmp_path: Path) -> None:
    wanted: list[tuple[str, Any, str]] = [
        ("tools/list", {}, "initialize comes before tools/list"),
        ("tools/call", {"name": "get_cluster", "arguments": '["a"]'}, "params.arguments must be an object"),
        ("tools/call", {"name": "get_cluster", "arguments": '{"a": 1, "a": 2}'}, "params.arguments must be an object"),
        ("tools/call", {"name": 3, "_meta": "x"}, "params._meta must be an object; params.name must be a text"),
        ("tools/call", {"_meta": {"progressToken": 1.5}}, "progressToken must be a text or a whole number"),
        ("tools/call", {}, "params.name is missing"),
        ("prompts/get", {"name": "a", "arguments": {"b": 1}}, "params.arguments.b must be a text"),
    ]
    async with process(tmp_path, "-m", "ap_mcp", "serve", "--simulate", by=python()) as started:
        pipe = Pipe(started)
        for at, (method, params, words) in enumerate(wanted):
            error = (await pipe.ask(at, method, params))["error"]
            assert error["code"] == -32602
            assert words in error["message"]
            if not at:
                await pipe.ask(100, "initialize", HELLO)
        read = await pipe.ask(101, "tools/call", {"name": "get_cluster", "arguments": '{"cluster_id": "search-dev"}'})
        assert read["result"]["structuredContent"]["name"] == "search-dev"
        wrong = await pipe.ask(102, "tools/call", {"name": "get_cluster", "arguments": '{"cluster": "search-dev"}'})
        assert "cluster_id: is required" in wrong["result"]["content"][0]["text"]
