"""What a guarded call would do, and the exact requests it would send, for one that only asks."""

import json
from collections.abc import Sequence
from typing import Any

from pydantic import Field

from ap_mcp.binding import HttpCall
from ap_mcp.masking import mask
from ap_mcp.specs import JSON
from ap_mcp.summaries.base import Ours, Part, Result

WHOLE = (JSON, "application/apply-patch+yaml")
"""Types of bodies that hold whole objects, whose secrets are known by their names; ours are all JSON."""


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
        size = f"{len(call.body)} bytes of {call.content_type.partition(';')[0]}"
        request["body"] = mask(json.loads(call.body)) if call.content_type in WHOLE else size
    return request
