"""Records what the official SDK sends and what we send for the same case, in one comparable form; no network."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

import anyio

from ap_mcp.arguments import check_arguments
from ap_mcp.binding import FilePart, HttpCall, bind
from ap_mcp.cloud.signing import encode_query
from ap_mcp.errors import CallRefused
from ap_mcp.filling import fill_in
from ap_mcp.specs import FILE, Catalog, Operation, Schema

PROJECT = "0a1b2c3d4e5f60718293a4b5c6d7e8f9"
HOST = "cce.oracle.test"
CLUSTER = "8b2c1d4e-5f60-4a7b-9c8d-0e1f2a3b4c5d"
OTHER = "5d4c3b2a-1f0e-4d8c-8b7a-605f4e3d2c1b"
RESERVED = "a b/../c%2f..;d?e#é~+&=\u4e2d\u0007"
VALUES: dict[str, Any] = {
    "replicas": 2,
    "ratio": 0.5,
    "on": True,
    "off": False,
    "none": None,
    "text": "",
    "list": [],
    "map": {},
    "multi line": "a: 'b'\n\"c\"\té\u4e2d\U0001f680",
    "nested": {"a/b~c": [{"x": [1, "2", None]}]},
}
# Set by the transport, the signature or the identity; the tests of signing and of the client compare these.
ENVELOPE = re.compile(
    r"host|user-agent|accept|accept-encoding|connection|content-length|content-type"
    r"|authorization|x-sdk-date|x-sdk-content-sha256|x-project-id"
)
SDK_TYPES = {"str": "string", "int": "integer", "bool": "boolean", "object": "any", "date": "string", "file": "string"}


@dataclass(frozen=True, slots=True)
class Case:
    """One input: flat arguments of our tool, and the SDK's request object that means the same.

    Attributes:
        request: makes the request out of the SDK's module of models; its class names the SDK's method.
        answers: what the reads of the operation's `fill` would answer, by operation.
        file: name and content of the file that a file argument leads to.
    """

    operation: str
    title: str
    arguments: Mapping[str, Any]
    request: Callable[[Any], Any]
    answers: Mapping[str, Any] = field(default_factory=dict)
    file: tuple[str, bytes] | None = None

    def __str__(self) -> str:
        return f"{self.operation}, {self.title}"


def plain(operation: str, request: str, **arguments: str) -> Case:
    """Return the case of an operation whose arguments are all required, texts, and called the same in the SDK."""
    return Case(operation, "everything", arguments, lambda v3: getattr(v3, f"{request}Request")(**arguments))


@dataclass(frozen=True, slots=True)
class Wire:
    """A request as the service sees it: path and query raw, body parsed, multipart free of its boundary."""

    method: str
    path: str
    query: str
    content_type: str
    headers: Mapping[str, str]
    body: Any


class Sdk:
    """The official SDK's client over an adapter that keeps each request instead of sending it."""

    def __init__(self) -> None:
        from huaweicloudsdkcce import v3
        from huaweicloudsdkcore.auth.credentials import BasicCredentials

        self.models = v3
        credentials = BasicCredentials("an-access-key", "a-secret-key", PROJECT)
        builder = v3.CceClient.new_builder().with_credentials(credentials).with_endpoint(f"https://{HOST}")
        self.client = builder.build()
        self._recorder = _recorder()
        session = self.client.get_http_client()._session
        session.trust_env = False
        session.mount("https://", self._recorder)

    def send(self, case: Case) -> Wire:
        """Call the SDK's method for a case and return what went out."""
        request = case.request(self.models)
        getattr(self.client, self.method(request))(request)
        (sent,) = self._recorder.take()
        url = urlsplit(sent.url)
        assert url.netloc == HOST
        body = sent.body.read() if hasattr(sent.body, "read") else sent.body
        return _wire(sent.method, url.path, url.query, dict(sent.headers), body)

    def method(self, request: Any) -> str:
        """Return the name of the client's method that takes a request, from the request's class."""
        name = type(request).__name__.removesuffix("Request")
        return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()

    def fields(self, request: Any) -> dict[str, str]:
        """Return the JSON type of everything the SDK could put into a request, by place on the wire."""
        found: dict[str, str] = {}
        for name, kind in type(request).openapi_types.items():
            if name == "body":
                found |= self._model_fields(kind, "")
            else:
                found[f"parameter {type(request).attribute_map[name]}"] = SDK_TYPES[kind]
        return found

    def close(self) -> None:
        """End the SDK's threads."""
        self.client.close()
        self.client.get_http_client().executor.shutdown()

    def _model_fields(self, name: str, place: str) -> dict[str, str]:
        model = getattr(self.models, name)
        found: dict[str, str] = {}
        for attribute, kind in model.openapi_types.items():
            wire = model.attribute_map[attribute].replace("~", "~0").replace("/", "~1")
            found |= self._type_fields(kind, f"{place}/{wire}")
        return found

    def _type_fields(self, kind: str, place: str) -> dict[str, str]:
        if kind in SDK_TYPES:
            return {place: SDK_TYPES[kind]}
        if match := re.fullmatch(r"list\[(.+)\]", kind):
            return {place: "array"} | self._type_fields(match[1], f"{place}/*")
        if match := re.fullmatch(r"dict\(str, ?(.+)\)", kind):
            return {place: "object"}
        if not getattr(self.models, kind).openapi_types:
            return {place: "string"}
        return {place: "object"} | self._model_fields(kind, place)


def our_call(catalog: Catalog, case: Case) -> HttpCall:
    """Check and bind a case the way the server does."""
    operation = catalog[case.operation]
    check_arguments(operation, case.arguments)
    files = {}
    if case.file:
        (name,) = (name for name in case.arguments if name.endswith("_path"))
        files[name] = FilePart(*case.file)
    return bind(operation, case.arguments, project_id=PROJECT, filled=_filled(operation, case), files=files)


def our_wire(call: HttpCall) -> Wire:
    """Return a call of ours in the form in which it is compared."""
    headers = {**call.headers, "Content-Type": call.content_type}
    return _wire(call.method, call.path, encode_query(call.query), headers, call.body)


def our_fields(operation: Operation) -> dict[str, str]:
    """Return the JSON type of everything our spec lets into a request, by place on the wire."""
    found = {
        f"parameter {parameter['name']}": str(operation.follow(parameter["schema"])["type"])
        for parameter in operation.parameters
        if parameter["name"] != "project_id"
    }
    return found | (dict(_schema_fields(operation, operation.body, "")) if operation.body else {})


def differences(ours: Wire, theirs: Wire) -> dict[str, str]:
    """Return what differs between two requests: where, and both sides."""
    compared = ("method", "path", "query", "content_type", "headers", "body")
    return {
        where: said
        for name in compared
        for where, said in _differences(name, getattr(ours, name), getattr(theirs, name))
    }


def form_file(name: str, content: bytes) -> Any:
    """Return a file for the SDK's multipart bodies; it takes only a file opened for reading, or its like."""
    from huaweicloudsdkcore.http.formdata import FormFile

    class Archive(BytesIO):
        mode = "rb"

    file = Archive(content)
    file.name = name
    return FormFile(file)


def packed(value: Any) -> str:
    """Return JSON for a field whose text is JSON; the SDK leaves this to its caller."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _recorder() -> Any:
    from requests import PreparedRequest, Response
    from requests.adapters import BaseAdapter

    class Recorder(BaseAdapter):
        """Stands where the network would be; keeps requests and answers each with an empty object."""

        def __init__(self) -> None:
            super().__init__()
            self.sent: list[PreparedRequest] = []

        def send(self, request: PreparedRequest, *_: Any, **__: Any) -> Response:
            self.sent.append(request)
            response = Response()
            response.status_code, response.raw, response.encoding = 200, BytesIO(b"{}"), "utf-8"
            response.request, response.url = request, request.url or ""
            return response

        def take(self) -> list[PreparedRequest]:
            sent, self.sent = self.sent, []
            return sent

        def close(self) -> None:
            self.sent = []

    return Recorder()


def _filled(operation: Operation, case: Case) -> Mapping[str, Any]:
    async def read(tool: str, **_: Any) -> Any:
        if tool not in case.answers:
            raise CallRefused(f"{tool} is not answered here")
        return case.answers[tool]

    return anyio.run(partial(fill_in, operation, case.arguments, read)).values


def _wire(method: str, path: str, query: str, headers: dict[str, str], body: bytes | str | None) -> Wire:
    content_type = next(value for name, value in headers.items() if name.lower() == "content-type")
    media_type, _, boundary = content_type.partition("; boundary=")
    others = {name.lower(): value for name, value in headers.items() if not ENVELOPE.fullmatch(name.lower())}
    content = body.encode() if isinstance(body, str) else body
    parsed = _parts(content or b"", boundary) if boundary else json.loads(content) if content else None
    return Wire(method, path, query, media_type, others, parsed)


def _parts(body: bytes, boundary: str) -> dict[str, Any]:
    """Parse multipart/form-data, strict about its framing; parts that are no files hold JSON in this API."""
    start, *chunks, end = body.split(f"--{boundary}".encode())
    assert (start, end) == (b"", b"--\r\n")
    parts: dict[str, Any] = {"order": []}
    for chunk in chunks:
        assert chunk.startswith(b"\r\n")
        assert chunk.endswith(b"\r\n")
        head, _, content = chunk[2:-2].partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        name = re.fullmatch(r'form-data; name="([^"]+)"(?:; filename="([^"]*)")?', headers.pop("Content-Disposition"))
        assert name
        parts["order"].append(name[1])
        parts[name[1]] = {"filename": name[2], "content": content if name[2] else json.loads(content), **headers}
    return parts


def _differences(where: str, ours: Any, theirs: Any) -> Iterator[tuple[str, str]]:
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        for key in sorted({*ours, *theirs}):
            yield from _differences(f"{where}/{key}", ours.get(key, ...), theirs.get(key, ...))
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for index, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from _differences(f"{where}/{index}", mine, other)
    elif type(ours) is not type(theirs) or ours != theirs:  # True is no 1
        yield where, f"ours {ours!r}, the SDK's {theirs!r}"


def _schema_fields(operation: Operation, node: Schema, place: str) -> Iterator[tuple[str, str]]:
    node = operation.follow(node)
    if place:
        yield place, str(node.get("type", "any"))
    if node.get("contentMediaType") == FILE or "contentSchema" in node:
        return
    for name, child in node.get("properties", {}).items():
        yield from _schema_fields(operation, child, f"{place}/{name.replace('~', '~0').replace('/', '~1')}")
    if "items" in node:
        yield from _schema_fields(operation, node["items"], f"{place}/*")
