"""The bodies of errors, in the forms that the gateway, IAM and the service send."""

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from ap_mcp.simulator.registry import SimulatedError
from ap_mcp.specs import JSON

_OLDER_CODES = {400: "CCE_CM.0004", 404: "CCE_CM.0003"}
"""The second code that public bug reports show beside the documented one; other statuses come with one code only."""


class GatewayRefusal(Exception):
    """The API gateway refused the request before any service received it."""

    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers or {}


class IdentityRefusal(Exception):
    """IAM refused the request."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True)
class Sent:
    """A finished HTTP answer, without the headers every answer carries."""

    status: int
    body: bytes
    media_type: str | None
    headers: dict[str, str]


def json_answer(status: int, body: Any, headers: dict[str, str] | None = None) -> Sent:
    """Make an answer of JSON."""
    return Sent(status, json.dumps(body, ensure_ascii=False).encode(), JSON, headers or {})


def unauthenticated(detail: str) -> GatewayRefusal:
    """Make the gateway's 401."""
    return GatewayRefusal(401, "APIGW.0301", f"Incorrect IAM authentication information: {detail}")


def forbidden(detail: str) -> GatewayRefusal:
    """Make the gateway's 403."""
    return GatewayRefusal(403, "APIGW.0302", f"Not authorized to use this API: {detail}")


def throttled(retry_after: float) -> GatewayRefusal:
    """Make the gateway's 429; a negative time leaves Retry-After out."""
    headers = {"Retry-After": f"{retry_after:g}"} if retry_after >= 0 else {}
    return GatewayRefusal(
        429, "APIGW.0308", "The throttling threshold has been reached: policy user over ratelimit", headers
    )


def refusal_answer(error: GatewayRefusal | IdentityRefusal | SimulatedError, request_id: str) -> Sent:
    """Turn an error into what its sender would answer."""
    if isinstance(error, IdentityRefusal):
        title = HTTPStatus(error.status).phrase
        return json_answer(error.status, {"error": {"code": error.status, "message": error.message, "title": title}})
    if isinstance(error, GatewayRefusal):
        body = {"error_code": error.code, "error_msg": error.message, "request_id": request_id}
        return json_answer(error.status, body, error.headers)
    return json_answer(error.status, _status_body(error), error.headers)


def _status_body(error: SimulatedError) -> dict[str, Any]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": error.status,
        "errorCode": error.code,
        "errorMessage": f"{error.message}.",
        "error_code": _OLDER_CODES.get(error.status, error.code),
        "error_msg": error.message,
        "message": error.reason or error.message,
        "reason": HTTPStatus(error.status).phrase.title().replace(" ", ""),
    }
