"""What the simulator does with the path, query, body and answer of a request that was accepted."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
from simulation import Caller, segment, simulate
from starlette.types import Message

from ap_mcp.simulator import constants, registry
from ap_mcp.simulator.registry import Answer, SimulatedRequest
from ap_mcp.simulator.validation import wrong_parameters
from ap_mcp.specs import Catalog

pytestmark = pytest.mark.anyio

CHARTS = "/autopilot/v2/charts"
MULTIPART = {"Content-Type": "multipart/form-data; boundary=edge"}


@pytest.fixture
async def caller() -> AsyncIterator[Caller]:
    async with Caller(simulate()) as sender:
        yield sender


@pytest.fixture
def answering(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Any], None]:
    """Let an operation answer something else; called as `answering(operation, answer or exception)`."""

    def replace(operation: str, answer: Any) -> None:
        def handler(_world: Any, request: Any) -> Any:
            if isinstance(answer, Exception):
                raise answer
            return answer(request) if callable(answer) else answer

        monkeypatch.setitem(registry._HANDLERS, operation, handler)

    return replace


def form(*parts: tuple[str, str | None, bytes]) -> bytes:
    """A multipart body of (name, file name or None, content)."""
    body = b""
    for name, filename, content in parts:
        file = f'; filename="{filename}"' if filename is not None else ""
        body += f'--edge\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + content + b"\r\n"
    return body + b"--edge--\r\n"


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("GET", "/nothing"), ("PATCH", CHARTS), ("GET", f"{CHARTS}/"), ("GET", f"{CHARTS}/a//values")],
)
async def test_an_unknown_route_is_a_404_in_json(caller: Caller, method: str, path: str) -> None:
    answer = await caller.send(method, path)
    assert (answer.status_code, answer.json()["error_code"]) == (404, "APIGW.0101")
    assert caller.app.state.log[-1].operation == ""


@pytest.mark.parametrize("value", ["a/b", "a%2Fb", "../charts", "é ü", "a?b#c", "x%", "a+b"])
async def test_a_path_value_is_decoded_once_and_never_changes_the_route(
    caller: Caller, answering: Callable[[str, Any], None], value: str
) -> None:
    received: list[str] = []

    def values(request: SimulatedRequest) -> Answer:
        received.append(request.path["chart_id"])
        return Answer({"values": {}})

    answering("get_chart_values", values)
    answer = await caller.send("GET", f"{CHARTS}/{segment(value)}/values")
    assert (answer.status_code, received) == (200, [value])


@pytest.mark.parametrize("path", [f"{CHARTS}/%2E%2E/values", f"{CHARTS}/%2e", f"{CHARTS}/%FF"])
async def test_dot_segments_and_broken_text_in_a_path_are_refused(caller: Caller, path: str) -> None:
    answer = await caller.send("GET", path)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "APIGW.0201")


async def test_every_problem_of_a_body_is_named_by_its_place(caller: Caller) -> None:
    body = {"kind": "Klaster", "apiVersion": "v3", "metadata": {"name": 7}, "spec": {"surprise": 1}}
    answer = await caller.send("POST", f"{caller.project}/clusters", body)
    error = answer.json()
    assert (answer.status_code, error["errorCode"], error["error_code"]) == (400, "CCE.01400001", "CCE_CM.0004")
    for place in ("$.kind", "$.metadata.name", "$.spec"):
        assert place in error["message"]
    assert "surprise" in error["message"]
    assert (error["errorMessage"], error["reason"]) == ("Invalid request.", "BadRequest")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ((("colour", "red"),), "query.colour"),
        ((("status", "Asleep"),), "query.status"),
        ((("detail", "true"), ("detail", "true")), "given twice"),
    ],
)
async def test_wrong_query_parameters_are_refused(
    caller: Caller, query: tuple[tuple[str, str], ...], said: str
) -> None:
    answer = await caller.send("GET", f"{caller.project}/clusters", query=query)
    assert answer.status_code == 400
    assert said in answer.json()["message"]


async def test_a_query_that_is_no_text_is_refused(caller: Caller) -> None:
    answer = await caller.client.get(f"{caller.base_url}{CHARTS}?x=%FF", headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["error_code"]) == (400, "APIGW.0201")


def test_parameters_are_read_as_the_type_their_schema_names(catalog: Catalog) -> None:
    schemas = {"count": {"type": "integer", "maximum": 9}, "deep": {"type": "boolean"}}
    parameters = tuple({"name": name, "in": "query", "schema": schema} for name, schema in schemas.items())
    operation = replace(catalog["list_charts"], parameters=parameters)
    assert wrong_parameters(operation, "query", {"count": "9", "deep": "true"}) == []
    assert len(wrong_parameters(operation, "query", {"count": "10", "deep": "yes"})) == 2


async def test_a_missing_query_parameter_is_refused_with_the_services_code(caller: Caller) -> None:
    answer = await caller.send("GET", "/autopilot/v3/addons")
    assert (answer.status_code, answer.json()["errorCode"]) == (400, "CCE.03400001")
    assert "query.cluster_id: is required" in answer.json()["message"]


@pytest.mark.parametrize("content_type", ["text/plain", "", "application/x-www-form-urlencoded"])
async def test_another_content_type_is_refused_also_on_a_read(caller: Caller, content_type: str) -> None:
    answer = await caller.send("GET", CHARTS, headers={"Content-Type": content_type})
    assert (answer.status_code, answer.json()["errorCode"]) == (400, "CCE.01400006")


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"\xff",
        b'{"tags": NaN}',
        b'{"tags": [], "tags": []}',
        b"[" * 100 + b"]" * 100,
        b"[" * 100_000,
        b'"' + b"x" * (2 * 1024 * 1024) + b'"',
    ],
    ids=["cut off", "no text", "NaN", "key twice", "deep", "very deep", "long"],
)
async def test_a_body_that_is_no_sound_json_is_refused(caller: Caller, body: bytes) -> None:
    answer = await caller.send("POST", f"{caller.project}/clusters/{constants.SEARCH_DEV}/tags/create", body)
    assert (answer.status_code, answer.json()["errorCode"]) == (400, "CCE.01400001")
    assert "cannot be read" in answer.json()["message"]


@pytest.mark.parametrize(("text", "said"), [("{", "holds no JSON"), ('[{"addonTemplateName": 7}]', "is not of type")])
async def test_json_inside_a_string_is_checked_too(caller: Caller, text: str, said: str) -> None:
    body = {"metadata": {"name": "inner", "annotations": {"cluster.install.addons/install": text}}}
    answer = await caller.send("POST", f"{caller.project}/clusters", body)
    assert answer.status_code == 400
    assert "$.metadata.annotations" in answer.json()["message"]
    assert said in answer.json()["message"]


async def test_of_many_problems_the_first_are_named_and_the_rest_counted(caller: Caller) -> None:
    body = {"tags": [{"key": number, "value": "x" * 300} for number in range(20)]}
    answer = await caller.send("POST", f"{caller.project}/clusters/{constants.SEARCH_DEV}/tags/create", body)
    assert "and 20 more" in answer.json()["message"]
    assert len(answer.json()["message"]) < 6000


async def test_a_body_too_large_is_refused(caller: Caller) -> None:
    answer = await caller.send("POST", f"{caller.project}/clusters", b" " * (12 * 1024 * 1024 + 1))
    assert (answer.status_code, answer.json()["error_code"]) == (413, "APIGW.0201")


async def test_a_missing_body_and_one_too_many_are_refused(caller: Caller) -> None:
    missing = await caller.send("POST", f"{caller.project}/clusters")
    surplus = await caller.send("GET", CHARTS, {})
    assert [answer.status_code for answer in (missing, surplus)] == [400, 400]
    assert "a body is required" in missing.json()["message"]
    assert "takes no body" in surplus.json()["message"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (form(("content", "a.tgz", b"x"), ("parameters", None, b"no json")), "cannot be read"),
        (form(("content", None, b"x")), "'content' must carry a file name"),
        (form(("parameters", "p.json", b"{}")), "'parameters' must not carry a file name"),
        (form(("content", "a.tgz", b"x"), ("content", "b.tgz", b"x")), "cannot be read"),
        (form(("content", "a.tgz", b"x"), ("colour", None, b'"red"')), "colour"),
        (form(("content", "a.tgz", b"x"), ("parameters", None, b'{"colour": 1}')), "colour"),
        (form(("parameters", None, b"{}")), "content"),
        (b"no form at all", "cannot be read"),
    ],
)
async def test_a_wrong_form_is_refused(caller: Caller, body: bytes, said: str) -> None:
    answer = await caller.send("POST", CHARTS, body, headers=MULTIPART)
    assert (answer.status_code, answer.json()["errorCode"]) == (400, "CCE.02400001")
    assert said in answer.json()["message"]


async def test_a_form_reaches_its_handler_parsed(caller: Caller, answering: Callable[[str, Any], None]) -> None:
    received: list[Any] = []

    def upload(request: SimulatedRequest) -> Answer:
        received.append(request.body)
        return Answer(empty=True)

    answering("upload_chart", upload)
    body = form(("parameters", None, b'{"override": true}'), ("content", "web.tgz", b"\x00\xff\r\n"))
    assert (await caller.send("POST", CHARTS, body, headers=MULTIPART)).status_code == 201
    assert received == [{"parameters": {"override": True}, "content": b"\x00\xff\r\n", "filename": "web.tgz"}]


async def test_an_answer_that_does_not_fit_the_spec_is_a_500_and_recorded(
    caller: Caller, answering: Callable[[str, Any], None]
) -> None:
    answering("list_charts", [{"id": 7, "colour": "red"}])
    answer = await caller.send("GET", CHARTS)
    assert answer.status_code == 500
    assert "$[0]" in answer.json()["message"]
    assert any("colour" in violation for violation in caller.app.state.violations)


@pytest.mark.parametrize("answer", ["text", None, b"bytes", Answer([], status=202)])
async def test_an_answer_of_another_kind_than_the_specs_is_a_500(
    caller: Caller, answering: Callable[[str, Any], None], answer: Any
) -> None:
    answering("list_charts", answer)
    assert (await caller.send("GET", CHARTS)).status_code == 500


async def test_a_lenient_simulator_sends_what_its_handler_answers(answering: Callable[[str, Any], None]) -> None:
    answering("list_charts", [{"colour": "red", "_hidden": 1}])
    async with Caller(simulate(strict_answers=False)) as caller:
        assert (await caller.send("GET", CHARTS)).json() == [{"colour": "red"}]


async def test_a_handler_that_breaks_is_a_500_and_the_simulator_goes_on(
    caller: Caller, answering: Callable[[str, Any], None], caplog: pytest.LogCaptureFixture
) -> None:
    answering("list_charts", KeyError("oops"))
    answer = await caller.send("GET", CHARTS)
    assert (answer.status_code, answer.json()["errorCode"]) == (500, "CCE.01500001")
    assert "oops" in caplog.text
    assert (await caller.send("GET", "/v3/projects")).status_code == 200


async def test_a_long_log_keeps_its_later_half(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ap_mcp.simulator.app.LONGEST_LOG", 4)
    for number in range(5):
        await caller.send("GET", f"/{number}")
    assert [entry.path for entry in caller.app.state.log] == ["/2", "/3", "/4"]


async def test_the_simulator_starts_and_stops_under_any_asgi_server(caller: Caller) -> None:
    sent: list[Message] = []
    messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def receive() -> Message:
        return next(messages)

    async def send(message: Message) -> None:
        sent.append(message)

    await caller.app({"type": "lifespan"}, receive, send)
    assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    with pytest.raises(ValueError, match="HTTP only"):
        await caller.app({"type": "websocket"}, receive, send)


async def test_an_operation_without_a_handler_says_so(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(registry._HANDLERS, "list_charts")
    answer = await caller.send("GET", CHARTS)
    assert (answer.status_code, answer.json()["message"]) == (501, "list_charts has no handler yet")
