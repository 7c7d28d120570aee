"""What a guarded call would do, and the exact request it would send, for one that was only tried."""

import json
from collections.abc import Sequence
from typing import Any

from ap_mcp.masking import mask
from ap_mcp.specs import JSON
from ap_mcp.summaries.base import Result


class DryRun(Result):
    """The impact of a call that was not made, and its request, secrets masked."""

    impact: dict[str, Any]
    request: dict[str, Any]


def dry_run(
    impact: dict[str, Any],
    method: str,
    path: str,
    *,
    query: Sequence[tuple[str, str]],
    form: str,
    body: bytes | None,
) -> DryRun:
    """Return what is shown instead of making a call.

    Args:
        impact: what the call would do, as JSON.
        method: of the request that was not sent.
        path: of it, percent-encoded.
        query: of it.
        form: its content type.
        body: its body.
    """
    request: dict[str, Any] = {"method": method, "path": path}
    if query:
        request["query"] = mask(dict(query))
    if body is not None:
        size = f"{len(body)} bytes of {form.partition(';')[0]}"
        request["body"] = mask(json.loads(body)) if form == JSON else size
    return DryRun(
        summary=f"Dry run: nothing was sent. {impact['sentence']}",
        warnings=list(impact.get("warnings", [])),
        impact={key: value for key, value in impact.items() if key not in {"warnings", "fingerprint"}},
        request=request,
    )
