"""Shapes answers about the checks before and after a cluster upgrade."""

from collections.abc import Iterator
from typing import Any

from pydantic import Field

from ap_mcp.rules.findings import (
    NODE_IDS,
    Failure,
    checked_items,
    counted,
    failures,
    odd_phases,
    skippable,
)
from ap_mcp.rules.upgrades import spoken
from ap_mcp.summaries.base import CURSOR, NextCall, Observation, Part, Result, summarises
from ap_mcp.summaries.findings import Finding, named, told
from ap_mcp.summaries.upgrade_common import call, history_page, look_at, stamp
from ap_mcp.vendor import get, items, moment, quoted, text, word
from ap_mcp.wording import plural, span

READY, RISKY, BLOCKED, RUNNING, ERROR, EXPIRED = "ready", "ready_with_risks", "blocked", "running", "error", "expired"


class Precheck(Result):
    """A pre-upgrade check: may the cluster be upgraded, and if not, why."""

    verdict: str = ""
    task_id: str = ""
    cluster_version: str = ""
    target_version: str = ""
    expires: str | None = None
    passed: int | None = None
    failed: dict[str, int] = Field(default_factory=dict)
    blocking: list[Finding] = Field(default_factory=list)
    risks: list[Finding] = Field(default_factory=list)
    also_failed: list[str] = Field(default_factory=list)
    skipped: list[str] = Field(default_factory=list)
    skip_items: list[dict[str, Any]] = Field(default_factory=list)


class PrecheckLine(Part):
    """One check in a list."""

    task_id: str
    verdict: str
    target_version: str = ""
    created: str | None = None
    expires: str | None = None


class PrecheckList(Result):
    """A cluster's checks, the newest first."""

    checks: list[PrecheckLine] = Field(default_factory=list)
    shown: int = 0
    total: int = 0


class Postcheck(Result):
    """A post-upgrade check."""

    verdict: str = ""
    task_id: str = ""
    from_version: str | None = None
    to_version: str | None = None


@summarises("precheck")
def precheck(answer: Observation) -> Precheck:
    """Tell whether a cluster may be upgraded, what stands in the way, and what to do."""
    body = answer.body
    found = failures(get(body, "/status", {}))
    blocking, risks = [each for each in found if each.blocks], [each for each in found if not each.blocks]
    verdict = _verdict(answer, body, blocking, risks)
    phases = [get(item, "/phase") for item, _ in checked_items(get(body, "/status", {}))]
    already = get(body, "/spec/skippedCheckItemList", [])
    skip_items = skippable(risks, already) if risks else []
    return Precheck(
        summary=_said(answer, verdict, blocking, risks),
        verdict=verdict,
        task_id=text(get(body, "/metadata/uid")),
        cluster_version=text(get(body, "/spec/clusterVersion")),
        target_version=text(get(body, "/spec/targetVersion")),
        expires=stamp(get(body, "/status/expireTimeStamp")),
        passed=phases.count("Success") if phases else None,
        failed=counted(found),
        blocking=told(blocking),
        risks=told(risks),
        also_failed=[*named(blocking), *named(risks)],
        skipped=sorted({text(get(each, "/name")) for each in items(already)} - {""}),
        skip_items=skip_items,
        warnings=list(_doubts(body, verdict, found)),
        next=_next(answer, verdict, found, skip_items),
    )


@summarises("prechecks")
def prechecks(answer: Observation) -> PrecheckList:
    """List a cluster's checks."""
    page = history_page(answer, lambda each: _line(answer, each))
    first = page.items[:1] if CURSOR not in answer.own else []
    latest = [f"; the latest, for {word(line.target_version)}, {spoken(line.verdict)}" for line in first]
    why = "Findings of the latest check"
    looks = [
        look_at(answer, "precheck", "get_precheck", why, task_id=line.task_id, verdict=line.verdict) for line in first
    ]
    return PrecheckList(
        summary=f"{plural(page.total, 'pre-upgrade check')}{''.join(latest)}.",
        checks=page.items,
        shown=page.shown,
        total=page.total,
        warnings=page.warnings,
        next=[*looks, *page.next],
    )


@summarises("postcheck")
def postcheck(answer: Observation) -> Postcheck:
    """Tell whether a cluster is well after its upgrade."""
    phase = text(get(answer.body, "/status/phase"))
    verdict = {"Success": "passed", "Failed": "failed", "Error": "error"}.get(phase, phase or "unknown")
    said = {
        "passed": "The cluster passed the post-upgrade check.",
        "failed": "The cluster did not pass the post-upgrade check.",
        "error": "The post-upgrade check could not be carried out.",
    }
    return Postcheck(
        summary=said.get(verdict, f"The post-upgrade check answered {quoted(phase)}."),
        verdict=verdict,
        task_id=text(get(answer.body, "/metadata/uid")),
        from_version=text(get(answer.body, "/spec/clusterVersion")) or None,
        to_version=text(get(answer.body, "/spec/targetVersion")) or None,
        next=[] if verdict == "passed" else [call(answer, "get_upgrade_info", "How the upgrade itself stands")],
    )


def _verdict(answer: Observation, body: Any, blocking: list[Failure], risks: list[Failure]) -> str:
    phase = get(body, "/status/phase")
    if phase == "Success":
        expires = moment(get(body, "/status/expireTimeStamp"))
        return EXPIRED if expires is not None and expires <= answer.now else READY
    if phase == "Failed":
        return RISKY if risks and not blocking else BLOCKED
    return {"Init": RUNNING, "Running": RUNNING, "Error": ERROR}.get(str(phase), text(phase) or "unknown")


def _said(answer: Observation, verdict: str, blocking: list[Failure], risks: list[Failure]) -> str:
    body = answer.body
    way = f"{word(get(body, '/spec/clusterVersion'))} to {word(get(body, '/spec/targetVersion'))}"
    expires = moment(get(body, "/status/expireTimeStamp"))
    counts = f" The result counts for another {span(expires - answer.now)}." if expires else ""
    skip = plural(_count(risks), "risk")
    also = f" {skip} could be skipped." if risks else ""
    why = quoted(get(body, "/status/message", "no reason told"))
    sentences = {
        READY: f"Ready: nothing stands in the way of an upgrade from {way}.{counts}",
        RISKY: f"Ready but for {skip}: mend them, or run the check from {way} again with skip_items.",
        BLOCKED: f"Blocked: {plural(_count(blocking), 'item')} must be mended before an upgrade from {way}.{also}",
        RUNNING: f"The check from {way} is still running.",
        EXPIRED: f"The check from {way} passed, but has expired: run it again before the upgrade.",
        ERROR: f"The check from {way} could not be completed: {why}.",
    }
    return sentences.get(verdict, f"The check from {way} is in the unknown state {quoted(verdict)}.")


def _doubts(body: Any, verdict: str, found: list[Failure]) -> Iterator[str]:
    if verdict == BLOCKED and not found:
        yield "The check failed, but no failed item is told; look at the raw answer."
    if verdict in (READY, EXPIRED) and found:
        yield f"Although the check passed, {plural(_count(found), 'item')} failed."
    if any(not each.blocks and len(each.nodes) > NODE_IDS for each in found):
        yield "skip_items without node_ids skip an item on every node."
    if odd := odd_phases(get(body, "/status", {})):
        yield f"{plural(len(odd), 'item')} in a phase that is not known: {', '.join(odd)}."
    if verdict == READY and get(body, "/spec/skippedCheckItemList"):
        yield "Passed with skipped items: their risks remain."


def _next(answer: Observation, verdict: str, found: list[Failure], skip_items: list[dict[str, Any]]) -> list[NextCall]:
    body = answer.body
    target = {"target_version": text(get(body, "/spec/targetVersion"))}
    if verdict == READY:
        backup = call(answer, "backup_cluster", "An upgrade cannot be undone")
        return [backup, call(answer, "upgrade_cluster", "The check has passed", **target)]
    if verdict == RISKY:
        return [call(answer, "run_precheck", "If the risks are acceptable", **target, skip_items=skip_items)]
    again = call(answer, "run_precheck", "Once that is mended", **target)
    if verdict == BLOCKED and any(get(each.source, "/addonRisks") for each in found):
        return [call(answer, "assess_upgrade", "What mends it", **target), again]
    return [again] if verdict in (BLOCKED, EXPIRED, ERROR) else []


def _line(answer: Observation, body: Any) -> PrecheckLine:
    found = failures(get(body, "/status", {}))
    blocking, risks = [each for each in found if each.blocks], [each for each in found if not each.blocks]
    return PrecheckLine(
        task_id=text(get(body, "/metadata/uid")),
        verdict=_verdict(answer, body, blocking, risks),
        target_version=text(get(body, "/spec/targetVersion")),
        created=stamp(get(body, "/metadata/creationTimestamp")),
        expires=stamp(get(body, "/status/expireTimeStamp")),
    )


def _count(found: list[Failure]) -> int:
    return sum(each.count for each in found)
