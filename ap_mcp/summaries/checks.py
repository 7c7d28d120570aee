"""Shapes answers about the checks before and after a cluster upgrade."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import Field

from ap_mcp.rules.findings import (
    NODE_IDS,
    Failure,
    Findings,
    count_of,
    counted,
    findings_of,
    nodes_of,
    not_known,
    skippable,
)
from ap_mcp.rules.phases import PRECHECK, phases_of, verdict
from ap_mcp.rules.upgrades import RUNNING, UNKNOWN, CheckState, spoken, state_of_check, way
from ap_mcp.specs.waits import FAILURE, SUCCESS
from ap_mcp.summaries.base import CURSOR, DETAIL, FULL, NextCall, Observation, Part, Result, summarises
from ap_mcp.summaries.findings import Finding, shown
from ap_mcp.summaries.pages import whole_answer
from ap_mcp.summaries.upgrade_common import call, history_page, read_or_wait
from ap_mcp.vendor import SAID_LIMIT, TEXT_LIMIT, because, get, items, moment, named, quoted, said, stamp, text, word
from ap_mcp.wording import few, plural, span

READY, RISKY, BLOCKED, ERROR, EXPIRED = "ready", "ready_with_risks", "blocked", "error", "expired"
_SKIPPED = "/spec/skippedCheckItemList"
_DEEPEST = 8
_SECTIONS = ("itemsStatus", "nodeStageStatus")
"""Fields of a status that hold items; the rest says how the check itself went."""
UNDATED = "undated"
"""It passed, but does not say until when it counts: an upgrade on the strength of it is refused."""
_VERDICTS: Mapping[CheckState, str] = {"passed": READY, "undated": UNDATED, "expired": EXPIRED, RUNNING: RUNNING}


class Precheck(Result):
    """A pre-upgrade check: may the cluster be upgraded, and if not, why."""

    verdict: str = ""
    task_id: str = ""
    cluster_version: str = ""
    target_version: str = ""
    expires: str | None = None
    problem: str | None = None
    passed: int | None = None
    failed: dict[str, int] | None = None
    blocking: list[Finding] | None = None
    risks: list[Finding] | None = None
    also_failed: list[str] | None = None
    skipped: list[str] | None = None
    skip_items: list[dict[str, Any]] | None = None


class PrecheckLine(Part):
    """One check in a list."""

    task_id: str
    verdict: str
    target_version: str = ""
    created: str | None = None
    expires: str | None = None
    problem: str | None = None


class PrecheckList(Result):
    """A cluster's checks, the newest first."""

    checks: list[PrecheckLine] = Field(default_factory=list)
    shown: int | None = None
    total: int | None = None


class Postcheck(Result):
    """A post-upgrade check."""

    verdict: str = ""
    task_id: str = ""
    from_version: str | None = None
    to_version: str | None = None
    problem: str | None = None


@summarises("precheck")
def precheck(answer: Observation) -> Precheck:
    """Say whether a cluster may be upgraded, what blocks that, and what to do."""
    body = answer.body
    found = findings_of(body)
    blocking, risks = found.blocking, found.risks
    state = _check_verdict(answer, body, found)
    already = get(body, _SKIPPED, [])
    skip_items = skippable(risks, already) if risks else []
    problem, listed = _problem(body, state), shown(blocking, risks)
    return Precheck(
        summary=_said(answer, state, found, problem),
        verdict=state,
        task_id=text(get(body, "/metadata/uid")),
        cluster_version=text(get(body, "/spec/clusterVersion")),
        target_version=text(get(body, "/spec/targetVersion")),
        expires=stamp(get(body, "/status/expireTimeStamp")),
        problem=problem or None,
        passed=found.passed,
        failed=counted(found.every) if found.reported else None,
        blocking=listed.blocking if found.reported else None,
        risks=listed.risks if found.reported else None,
        also_failed=listed.also if found.reported else None,
        skipped=None if (before := named(body, _SKIPPED, "/name")) is None else sorted(set(before)),
        skip_items=skip_items if found.reported else None,
        warnings=list(_doubts(body, state, found, problem)),
        next=[*_next(answer, state, found, skip_items), *(_rest(answer) if listed.is_cut else [])],
    )


@summarises("prechecks", section="items")
def prechecks(answer: Observation) -> PrecheckList:
    """List a cluster's checks."""
    page = history_page(answer, lambda each: _check_line(answer, each))
    first = page.items[:1] if CURSOR not in answer.own else []
    latest = [f"; the latest, for {word(line.target_version)}, {spoken(line.verdict)}" for line in first]
    why = "Findings of the latest check"
    reads = [
        read_or_wait(answer, "precheck", "get_precheck", why, task_id=line.task_id, verdict=line.verdict)
        for line in first
    ]
    return PrecheckList(
        summary=f"{plural(page.total, 'pre-upgrade check')}{''.join(latest)}.",
        checks=page.items,
        shown=page.shown,
        total=page.total,
        warnings=page.warnings,
        next=[*reads, *page.next],
    )


@summarises("postcheck")
def postcheck(answer: Observation) -> Postcheck:
    """Say whether a cluster is healthy after its upgrade."""
    phase = text(get(answer.body, "/status/phase"))
    state = _postcheck_verdict(phase)
    problem = "" if state == "passed" else said(_not_passed(get(answer.body, "/status")))
    silent = "" if problem else " The service names no item that failed: list_problems shows what is wrong now."
    sentences = {
        "passed": "The cluster passed the post-upgrade check. What it checked is not reported.",
        "failed": f"The cluster did not pass the post-upgrade check.{silent}",
        "error": "The post-upgrade check could not be carried out.",
        UNKNOWN: "The service answered, but not how the post-upgrade check ended.",
    }
    return Postcheck(
        summary=sentences.get(state, f"The post-upgrade check answered {quoted(phase)}.") + because(problem),
        verdict=state,
        task_id=text(get(answer.body, "/metadata/uid")),
        from_version=text(get(answer.body, "/spec/clusterVersion")) or None,
        to_version=text(get(answer.body, "/spec/targetVersion")) or None,
        problem=problem or None,
        next=[] if state == "passed" else [call(answer, "get_upgrade_info", "The state of the upgrade itself")],
    )


def _check_verdict(answer: Observation, body: Any, found: Findings | None = None) -> str:
    """Return how a check ended; what it found is read only where that depends on it, unless it was read already."""
    if state := _VERDICTS.get(state_of_check(body, answer.now)):
        return state
    phase = text(get(body, "/status/phase"))
    if verdict(PRECHECK, phase) != FAILURE:
        return phase or UNKNOWN
    if phases_of(PRECHECK).holds("broke_off", phase):
        return ERROR
    found = found or findings_of(body)
    return RISKY if found.risks and not found.blocking and not found.unknown else BLOCKED


def _postcheck_verdict(phase: str) -> str:
    """Return how a post-upgrade check ended; its phases are those of the check before the upgrade."""
    if phases_of(PRECHECK).holds("broke_off", phase):
        return ERROR
    return {SUCCESS: "passed", FAILURE: "failed"}.get(verdict(PRECHECK, phase) or "", phase or UNKNOWN)


def _not_passed(value: Any, depth: int = 0) -> Any:
    """Return what a check reports without the items that have passed, which say so in a text of their own."""
    if depth > _DEEPEST or not isinstance(value, (dict, list)):
        return value
    if isinstance(value, dict):
        return {key: _not_passed(each, depth + 1) for key, each in value.items()}
    return [
        _not_passed(each, depth + 1)
        for each in value
        if verdict(PRECHECK, get(each, "/phase", get(each, "/status"))) != SUCCESS
    ]


def _problem(body: Any, state: str, limit: int = SAID_LIMIT) -> str:
    """Return what the check says of itself beside its items; empty unless something is wrong with it."""
    return "" if state in (*_VERDICTS.values(), UNDATED) else said(get(body, "/status"), limit, _SECTIONS)


def _rest(answer: Observation) -> list[NextCall]:
    """Return the call that shows all that the check found, unless this was it."""
    if answer.own.get(DETAIL) == FULL:
        return []
    why = "shows what is left out here"
    if DETAIL in answer.operation.options:
        return [whole_answer(answer, why)]
    return [call(answer, "get_precheck", why, task_id=text(get(answer.body, "/metadata/uid")), detail=FULL)]


def _counted(noun: str, found: Sequence[Failure]) -> str:
    """Return how many findings there are, and on how many nodes."""
    nodes = nodes_of(found)
    where = f" (on {plural(nodes, 'node')})" if nodes else ""
    return f"{plural(count_of(found), noun)}{where}"


def _said(answer: Observation, state: str, found: Findings, problem: str) -> str:
    body = answer.body
    between = way(get(body, "/spec/clusterVersion"), get(body, "/spec/targetVersion"))
    expires = moment(get(body, "/status/expireTimeStamp"))
    counts = f" The result counts for another {span(expires - answer.now)}." if expires and expires > answer.now else ""
    skip = _counted("risk", found.risks)
    also = f" {skip} could be skipped." if found.risks else ""
    why = quoted(problem or "no reason given", 2 * SAID_LIMIT)
    them = "it" if count_of(found.risks) == 1 else "them"
    sentences = {
        READY: f"Ready: nothing blocks an upgrade {between}.{counts}",
        RISKY: f"Ready but for {skip}: fix {them}, or run the check {between} again with skip_items.{counts}",
        BLOCKED: f"Blocked: {_obstacle(found)} before an upgrade {between}.{also}{counts}",
        RUNNING: f"The check {between} is still running.",
        EXPIRED: f"The check {between} passed, but has expired: run it again before the upgrade.",
        UNDATED: f"The check {between} {spoken(UNDATED)}: run it again, an upgrade is refused without that.",
        ERROR: f"The check {between} could not be completed: {why}.",
    }
    how = "is in a state that is not reported" if state == UNKNOWN else f"is in the unknown state {quoted(state)}"
    sentence = sentences.get(state, f"The check {between} {how}.")
    return sentence if state == ERROR else f"{sentence}{because(problem)}"


def _obstacle(found: Findings) -> str:
    """Return what must be done about a check that failed and cannot be passed by skipping risks."""
    if found.blocking:
        return f"{_counted('item', found.blocking)} must be fixed"
    if found.unknown:
        return f"the result of {plural(len(found.unknown), 'item')} must be found out"
    return "the check failed without a finding and must be run again"


def _doubts(body: Any, state: str, found: Findings, problem: str) -> Iterator[str]:
    if state == BLOCKED and not found.every and not found.unknown and not problem:
        yield "The check failed, but reports no failed item; see the raw answer."
    if state in (READY, UNDATED, EXPIRED) and found.every:
        yield f"Although the check passed, {_counted('item', found.every)} failed."
    before = {text(get(each, "/name")) for each in items(body, _SKIPPED)}
    if found.risks and (kept := before - {each.name for each in found.risks} - {""}):
        yield f"skip_items holds, beside the risks of this check, what it skipped already: {few(sorted(kept))}."
    if any(len(each.nodes) > NODE_IDS for each in found.risks):
        yield "skip_items without node_ids skip an item on every node."
    if found.unknown:
        yield not_known(found, most=len(found.unknown))
    if state == READY and get(body, _SKIPPED):
        yield "Passed with skipped items: their risks remain."


def _next(answer: Observation, state: str, found: Findings, skip_items: list[dict[str, Any]]) -> list[NextCall]:
    body = answer.body
    target = {"target_version": text(get(body, "/spec/targetVersion"))}
    if state == READY and not all(get(body, f"/spec/{key}") for key in ("clusterVersion", "targetVersion")):
        return [call(answer, "assess_upgrade", "The check does not say for which upgrade it is")]
    if state == READY:
        backup = call(answer, "list_backups", "An upgrade cannot be undone: one of the last day is wanted")
        return [backup, call(answer, "upgrade_cluster", "The check has passed", **target)]
    if state == RISKY:
        return [call(answer, "run_precheck", "If the risks are acceptable", **target, skip_items=skip_items)]
    again = call(answer, "run_precheck", "Once that is fixed", **target)
    # Who reads all of it comes from an answer that named this call.
    if state == BLOCKED and answer.own.get(DETAIL) != FULL and any(each.addons for each in found.every):
        return [call(answer, "assess_upgrade", "What fixes it", **target), again]
    if state in (UNDATED, EXPIRED):
        return [call(answer, "run_precheck", "An upgrade is refused without a check that counts", **target)]
    return [again] if state in (BLOCKED, ERROR) else []


def _check_line(answer: Observation, body: Any) -> PrecheckLine:
    state = _check_verdict(answer, body)
    return PrecheckLine(
        task_id=text(get(body, "/metadata/uid")),
        verdict=state,
        target_version=text(get(body, "/spec/targetVersion")),
        created=stamp(get(body, "/metadata/creationTimestamp")),
        expires=stamp(get(body, "/status/expireTimeStamp")),
        problem=_problem(body, state, TEXT_LIMIT) or None,
    )
