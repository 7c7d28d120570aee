"""What the records of jobs say, as the older API has them: fields in lower case, the phase under `status`."""

from typing import Any

from ap_mcp.rules import phases
from ap_mcp.rules.phases import JOB
from ap_mcp.specs.waits import FAILURE
from ap_mcp.vendor import TEXT_LIMIT, get, items, joined, said, text

_REASONS = 4
"""Reasons of one job that a list tells; `get_job` tells all."""


def listed(body: Any) -> list[dict[str, Any]]:
    """Return the records of an answer: of a list, or of an object with a list in `items`.

    Raises:
        LookupError: it is an object that holds something else, which is no job that could be counted.
    """
    if isinstance(body, dict) and body and "items" not in body:
        raise LookupError("the answer is no list of jobs")
    return items(body, "/items") if isinstance(body, dict) else items(body)


def phase_of_record(body: Any) -> str:
    return text(get(body, "/status/status", get(body, "/status/phase")))


def why_it_failed(body: Any) -> str:
    """Return why a job failed: what its innermost failed steps say; of one that says nothing, the nearest job above."""
    says = _reasons(body)
    left = len(says) - _REASONS
    return joined([*says[:_REASONS], *([f"and {left} more reasons"] if left > 0 else [])], (), TEXT_LIMIT)


def _reasons(body: Any) -> list[str]:
    """Return what the failed steps of a job say, each once, or else what the job itself says."""
    steps = [each for each in items(body, "/spec/subjobs") if phases.verdict(JOB, phase_of_record(each)) == FAILURE]
    found = dict.fromkeys(says for each in steps for says in _reasons(each))
    return list(found) or [says for says in [said(body, TEXT_LIMIT, ("metadata", "spec"))] if says]
