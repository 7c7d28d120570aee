"""Compares requests and answers with the specs, strictly, and names every place that does not fit."""

import json
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend

from ap_mcp.schemas import strict
from ap_mcp.specs import JSON, Operation, Schema

MOST_PROBLEMS = 20
DEEPEST_JSON = 64
LARGEST_JSON = 2 * 1024 * 1024
MOST_KEPT = 512
"""Validators that are kept once they were made: a few for each operation."""

Problems = list[str]
"""Each names a place and what is wrong there."""


def wrong_parameters(operation: Operation, place: str, given: Mapping[str, str]) -> Problems:
    """Check path or query parameters: unknown ones, missing ones, and values."""
    declared = {str(parameter["name"]): parameter for parameter in operation.parameters if parameter["in"] == place}
    problems = [f"{place}.{name}: is not a parameter of this operation" for name in given if name not in declared]
    for name, parameter in declared.items():
        if name not in given:
            problems += [f"{place}.{name}: is required"] if parameter.get("required") else []
            continue
        value = _typed(given[name], operation.follow(parameter["schema"]).get("type"))
        errors = _validator(operation, f"{place}.{name}").iter_errors(value)
        problems += [f"{place}.{name}: {_shortened(error)}" for error in errors]
    return problems


def wrong_body(operation: Operation, body: Any) -> Problems:
    """Check a request body, with JSON inside its strings (None means there is none)."""
    if operation.body is None:
        return [] if body is None else ["$: this operation takes no body"]
    if body is None:
        return ["$: a body is required"] if operation.body_required else []
    return _listed(_validator(operation, "body").iter_errors(body))


@lru_cache(MOST_KEPT)
def wrong_answer(operation: Operation, status: int, media_type: str | None, content: bytes) -> Problems:
    """Check what is about to be answered: status, media type and every property; the same answer only once."""
    problems = []
    if status != operation.status:
        problems.append(f"status {status}, the spec says {operation.status}")
    if media_type != operation.response_type:
        problems.append(f"media type {media_type}, the spec says {operation.response_type}")
    if not problems and media_type == JSON and operation.response is not None:
        problems = _listed(_validator(operation, "answer").iter_errors(json.loads(content)))
    return problems


@lru_cache(MOST_KEPT)
def _validator(operation: Operation, part: str) -> Any:
    """Return the validator of an operation's `body`, of its `answer`, or of a parameter such as `query.limit`."""
    place, _, name = part.partition(".")
    if name:
        parameter = operation.parameter(place, name) or {}
        return _Validator(strict(operation, operation.follow(parameter["schema"])))
    return _Validator(strict(operation, (operation.body if part == "body" else operation.response) or {}))


def parse_json(text: bytes) -> Any:
    """Parse JSON as a guarded service does.

    Raises:
        ValueError: if it is too long, too deep, no JSON, has a key twice or a number JSON does not know.
    """
    if len(text) > LARGEST_JSON:
        raise ValueError(f"the JSON text is longer than {LARGEST_JSON} bytes")
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError(f"the JSON text is nested deeper than {DEEPEST_JSON} levels") from error
    if _depth_exceeds(value, DEEPEST_JSON):
        raise ValueError(f"the JSON text is nested deeper than {DEEPEST_JSON} levels")
    return value


def _content_schema(validator: Any, schema: Schema, instance: Any, _node: Schema) -> Iterator[ValidationError]:
    """Check JSON inside a string; plain JSON Schema would let anything pass."""
    if not isinstance(instance, str):
        return
    try:
        value = parse_json(instance.encode())
    except ValueError as error:
        yield ValidationError(f"holds no JSON: {error}")
        return
    yield from validator.descend(value, schema)


_extend: Callable[..., Any] = extend
_Validator = _extend(Draft202012Validator, {"contentSchema": _content_schema})


def _typed(value: str, type_: Any) -> Any:
    """Read a parameter's text as the type its schema names; what does not fit stays text and fails there."""
    if type_ == "boolean" and value in {"true", "false"}:
        return value == "true"
    if type_ == "integer" and value.removeprefix("-").isdecimal() and len(value) < 20:
        return int(value)
    return value


def _listed(errors: Iterator[ValidationError]) -> Problems:
    listed = [f"{error.json_path}: {_shortened(error)}" for error in errors]
    more = len(listed) - MOST_PROBLEMS
    return listed[:MOST_PROBLEMS] + ([f"and {more} more"] if more > 0 else [])


def _shortened(error: ValidationError) -> str:
    return error.message if len(error.message) <= 200 else f"{error.message[:120]} … {error.message[-70:]}"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return value


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _depth_exceeds(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [child for item in level if isinstance(item, dict | list) for child in _children(item)]
        if not level:
            return False
    return True


def _children(item: dict[str, Any] | list[Any]) -> list[Any]:
    return list(item.values()) if isinstance(item, dict) else item
