"""What a guarded call would do, and the exact requests it would send, for one that only asks."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from ap_mcp.binding import HttpCall
from ap_mcp.masking import mask, mask_text
from ap_mcp.masking.supplied import Unshown
from ap_mcp.specs import tokens
from ap_mcp.summaries.base import Ours, Part, Result

IS_JSON = ("json", "+yaml")
"""How the types of bodies end that are JSON; ours that are called YAML are."""
OF_SECRETS = "/secrets/"
NAMELESS = ("value", "-")
"""Last steps of a path that do not say what stands there: the name of it stands beside it, in the object."""


class ShownImpact(Part):
    """What a call would do, as a person would be shown it."""

    operation: str
    effect: str
    name: str
    sentence: Ours
    facts: dict[str, Ours] = Field(default_factory=dict)
    changes: list[Ours] = Field(default_factory=list)
    goes: list[Ours] = Field(default_factory=list)
    stays: list[Ours] = Field(default_factory=list)
    unknown: list[Ours] = Field(default_factory=list)


class DryRun(Result):
    """The impact of a call that was not made, and its requests, secrets masked: `requests` if there are several."""

    impact: ShownImpact
    request: dict[str, Any] | None = None
    requests: list[dict[str, Any]] = Field(default_factory=list)

    def structured(self) -> dict[str, Any]:
        """Return it as JSON; what is empty is left out."""
        shown = {key: value for key, value in super().structured().items() if key != "requests" or value}
        return shown | {"impact": {key: value for key, value in shown["impact"].items() if value}}


def dry_run(impact: dict[str, Any], calls: Sequence[HttpCall]) -> DryRun:
    """Return what is reported instead of making a call.

    Args:
        impact: what the call would do, as JSON.
        calls: the requests that were not sent.
    """
    shown = [_request(call) for call in calls]
    return DryRun(
        summary=f"Dry run: nothing was sent. {impact['sentence']}",
        warnings=list(impact.get("warnings", [])),
        impact=ShownImpact.model_validate({name: impact[name] for name in ShownImpact.model_fields if name in impact}),
        request=shown[0] if len(shown) == 1 else None,
        requests=shown if len(shown) > 1 else [],
    )


def _request(call: HttpCall) -> dict[str, Any]:
    request: dict[str, Any] = {"method": call.method, "path": call.path}
    if call.query:
        request["query"] = mask(dict(call.query))
    if call.body is not None:
        form = call.content_type.partition(";")[0]
        is_secret = OF_SECRETS in call.path
        request["body"] = (
            _body(json.loads(call.body), is_secret=is_secret)
            if form.endswith(IS_JSON)
            else f"{len(call.body)} bytes of {form}"
        )
    return request


def _body(body: Any, *, is_secret: bool) -> Any:
    """Return the body of a request without secrets: a whole object, some fields of one, or a list of operations.

    Args:
        body: as it would be sent.
        is_secret: it is about a Secret, which not every part of one says.
    """
    if isinstance(body, list):
        return [_operation(each, is_secret=is_secret) for each in body]
    if not is_secret or "kind" in body:
        return mask(body)
    return {name: each for name, each in mask({"kind": "Secret", **body}).items() if name != "kind"}


def _operation(operation: Mapping[str, Any], *, is_secret: bool) -> dict[str, Any]:
    """Return an operation of a JSON patch; its value is masked as what stands under the names of its path."""
    shown = {name: mask_text(each) for name, each in operation.items() if name != "value"}
    if "value" in operation:
        shown["value"] = _value_at(operation["path"], operation["value"], is_secret=is_secret)
    return shown


def _value_at(pointer: str, value: Any, *, is_secret: bool) -> Any:
    way = tokens(pointer)
    if isinstance(value, str) and way and (way[-1] in NAMELESS or way[-1].isdecimal()):
        return Unshown(len(value))
    held: Any = value
    for step in reversed(way):
        held = {step: held}
    shown = mask({"kind": "Secret", **held} if is_secret and isinstance(held, Mapping) else held)
    for _ in way:
        shown = list(shown.values())[-1] if isinstance(shown, Mapping) else shown
    return shown
