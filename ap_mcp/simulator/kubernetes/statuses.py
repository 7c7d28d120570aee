"""Refusals as a Kubernetes API server words them: Status objects with code, reason, message and causes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ap_mcp.simulator.kubernetes.kinds import Kind

Row = dict[str, Any]


class StatusError(Exception):
    """A request that is refused; `body` is what the server answers."""

    def __init__(self, code: int, reason: str, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(f"{code} {reason}: {message}")
        self.code = code
        self.reason = reason
        self.message = message
        self.details = dict(details or {})

    def body(self) -> Row:
        """Return the Status object."""
        failure = {"status": "Failure", "message": self.message, "reason": self.reason, "code": self.code}
        details = {"details": self.details} if self.details else {}
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, **failure, **details}


@dataclass(frozen=True, slots=True)
class Cause:
    """What is wrong with one field; `reason` is one of the server's `FieldValue…` words."""

    reason: str
    field: str
    detail: str
    value: Any = None

    @property
    def said(self) -> str:
        """The cause without its field, as it stands in a message."""
        head = _HEADS[self.reason]
        if self.reason in ("FieldValueRequired", "FieldValueForbidden", "FieldValueTooMany"):
            return f"{head}: {self.detail}" if self.detail else head
        return f"{head}: {_shown(self.value)}" + (f": {self.detail}" if self.detail else "")


_HEADS = {
    "FieldValueRequired": "Required value",
    "FieldValueInvalid": "Invalid value",
    "FieldValueNotSupported": "Unsupported value",
    "FieldValueForbidden": "Forbidden",
    "FieldValueDuplicate": "Duplicate value",
    "FieldValueNotFound": "Not found",
    "FieldValueTooLong": "Too long",
    "FieldValueTooMany": "Too many",
}


def required(field: str, detail: str = "") -> Cause:
    """Name a field that must be set."""
    return Cause("FieldValueRequired", field, detail)


def wrong(field: str, value: Any, detail: str) -> Cause:
    """Name a field whose value cannot be."""
    return Cause("FieldValueInvalid", field, detail, value)


def unsupported(field: str, value: Any, possible: Sequence[str]) -> Cause:
    """Name a field whose value is none of those that there are."""
    listed = ", ".join(json.dumps(each) for each in sorted(possible))
    return Cause("FieldValueNotSupported", field, f"supported values: {listed}", value)


def not_allowed(field: str, detail: str) -> Cause:
    """Name a field that may not be set or changed."""
    return Cause("FieldValueForbidden", field, detail)


def immutable(field: str, value: Any) -> Cause:
    """Name a field whose value stays as it is."""
    return wrong(field, value, "field is immutable")


def invalid(kind: Kind, name: str, causes: Sequence[Cause]) -> StatusError:
    """Make the 422 for an object with wrong fields."""
    said = [f"{cause.field}: {cause.said}" for cause in causes]
    text = said[0] if len(said) == 1 else f"[{', '.join(said)}]"
    listed = [{"reason": cause.reason, "message": cause.said, "field": cause.field} for cause in causes]
    details = {"name": name, "group": kind.group, "kind": kind.kind, "causes": listed}
    return StatusError(422, "Invalid", f'{kind.qualified_kind} "{name}" is invalid: {text}', details)


def not_found(kind: Kind, name: str) -> StatusError:
    """Make the 404 for an object."""
    return StatusError(404, "NotFound", f'{kind.qualified} "{name}" not found', _about(kind, name))


def no_such_path() -> StatusError:
    """Make the 404 for a path that means no resource."""
    return StatusError(404, "NotFound", "the server could not find the requested resource")


def already_exists(kind: Kind, name: str) -> StatusError:
    """Make the 409 for a name that is taken."""
    return StatusError(409, "AlreadyExists", f'{kind.qualified} "{name}" already exists', _about(kind, name))


def conflict(kind: Kind, name: str, why: str) -> StatusError:
    """Make the 409 for an object that is not what the sender takes it for."""
    message = f'Operation cannot be fulfilled on {kind.qualified} "{name}": {why}'
    return StatusError(409, "Conflict", message, _about(kind, name))


def modified(kind: Kind, name: str) -> StatusError:
    """Make the 409 for a resourceVersion that is not the newest."""
    why = "the object has been modified; please apply your changes to the latest version and try again"
    return conflict(kind, name, why)


def forbidden(kind: Kind, name: str, why: str) -> StatusError:
    """Make the 403 for something that is not allowed."""
    named = f'"{name}" ' if name else ""
    return StatusError(403, "Forbidden", f"{kind.qualified} {named}is forbidden: {why}", _about(kind, name))


def bad_request(message: str) -> StatusError:
    """Make the 400 for a request that cannot be understood."""
    return StatusError(400, "BadRequest", message)


def expired(message: str) -> StatusError:
    """Make the 410 for a resourceVersion or a continue token that is too old."""
    return StatusError(410, "Expired", message)


def not_acceptable(offered: Sequence[str]) -> StatusError:
    """Make the 406 for an Accept header that nothing fits."""
    message = f"only the following media types are accepted: {', '.join(offered)}"
    return StatusError(406, "NotAcceptable", message)


def unsupported_media_type(offered: Sequence[str]) -> StatusError:
    """Make the 415 for a body of another type."""
    message = "the body of the request was in an unknown format - accepted media types include: "
    return StatusError(415, "UnsupportedMediaType", message + ", ".join(offered))


def method_not_allowed(kind: Kind) -> StatusError:
    """Make the 405 for a verb that a resource does not have."""
    message = "the server does not allow this method on the requested resource"
    return StatusError(405, "MethodNotAllowed", message, {"group": kind.group, "kind": kind.plural})


def unauthorized() -> StatusError:
    """Make the 401 for somebody unknown."""
    return StatusError(401, "Unauthorized", "Unauthorized")


def _about(kind: Kind, name: str) -> Row:
    named = {"name": name} if name else {}
    return {**named, **({"group": kind.group} if kind.group else {}), "kind": kind.plural}


def _shown(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return str(value)
