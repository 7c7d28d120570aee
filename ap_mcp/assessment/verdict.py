"""Weighs all that a person would read before an upgrade: may it go ahead, and if not, what comes first."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from ap_mcp.assessment.addons import LIST as ADDONS
from ap_mcp.assessment.addons import Fitness, about_addons, fitness_of
from ap_mcp.assessment.model import DETAILED, Assessment, AssessmentDraft, UpgradeReads, id_of
from ap_mcp.rules.clusters import phase_of, standing
from ap_mcp.rules.findings import Failure, Findings, count_of, findings_of, not_known, skippable
from ap_mcp.rules.phases import BACKUP, CLUSTER, broken, succeeded, verdict
from ap_mcp.rules.phases import UPGRADE as TASK
from ap_mcp.rules.sayings import task_says
from ap_mcp.rules.upgrades import (
    CANCELLED,
    FAILED,
    RUNNING,
    SUCCEEDED,
    Judged,
    backup_said,
    is_fresh,
    judge_checks,
    latest_backup,
    spoken,
    tasks_of,
    under_way,
    upgrade_verdicts,
    verdict_of,
    workflow_verdict,
)
from ap_mcp.rules.versions import meant_by, order
from ap_mcp.rules.wait_hints import DELETED, UNTIL, WAIT_FOR
from ap_mcp.specs.waits import DELETING
from ap_mcp.summaries.base import FULL
from ap_mcp.summaries.findings import UNNAMED, Room, finding
from ap_mcp.vendor import SAID_LIMIT, because, get, items, mapping, moment, quoted, said, text, word
from ap_mcp.wording import NAMED, age, few, plural, span

GO, NOT_YET, UP_TO_DATE = "go", "not_yet", "up_to_date"
TASKS, CHECKS, BACKUPS, WORKFLOWS = "list_upgrade_tasks", "list_prechecks", "list_backups", "list_upgrade_workflows"
LISTS = (TASKS, CHECKS, BACKUPS, WORKFLOWS, ADDONS)
UPGRADE = "upgrade_cluster"
CHANGES = (
    *(UPGRADE, "run_precheck", "update_addon", "delete_addon", "install_addon"),
    *("backup_cluster", "run_postcheck", "retry_upgrade"),
)
"""Tools that an assessment proposes and a rule may forbid."""
ROOM, WHERE, WHY = Room(12, 4, 300), 600, 1500
"""How much is shown of a finding, and characters of it; get_precheck shows all."""
ALL = "Shows all that the check found; what fixes it stands here"
SHORT = timedelta(minutes=10)
"""A check that counts no longer than this may have expired when a person has agreed to the upgrade."""
ACCEPTED = "skip_items only if a person accepts those risks; else fix them and leave it out"


NOTHING_FOUND = Findings((), None, ())


def assessment(reads: UpgradeReads) -> Assessment:
    """Say whether an upgrade can go ahead, and which calls come next, in their order."""
    draft = AssessmentDraft(reads)
    held = _about_cluster(draft)
    if reads.upgrade_path:
        judged = judge_checks(reads.listed(CHECKS), reads.way, reads.at)
        held = _about_unread(draft) or held
        held = _about_running_check(draft, judged) or held
        first = list(draft.steps)
        _about_way(draft, judged)
        draft.steps = first if held else draft.steps
    else:
        _about_no_target(draft)
    # Without a change in between it would say the same.
    changes = any(each.tool == WAIT_FOR or each.tool in CHANGES for each in draft.steps)
    if held and changes and verdict(CLUSTER, phase_of(reads.cluster)) != DELETING:
        draft.step("assess_upgrade", "Then assess again", **_target(reads))
    is_missing = bool(reads.upgrade_path) and UPGRADE in reads.absent
    decision = NOT_YET if draft.blockers else GO if reads.upgrade_path else UP_TO_DATE
    gates = mapping(reads.answers.get("get_upgrade_feature_gates"), "/upgradeFeatureGates")
    return Assessment(
        summary=_said(draft, decision),
        verdict=decision,
        cluster_id=reads.cluster_id,
        name=text(get(reads.cluster, "/metadata/name")),
        from_version=reads.now,
        to_version=reads.upgrade_path[0] if reads.upgrade_path else None,
        upgrade_path=list(reads.upgrade_path) if len(reads.upgrade_path) > 1 else [],
        precheck_id=draft.precheck_id or None,
        blockers=draft.blockers,
        risks=draft.risks,
        passed=draft.passed,
        unknown=list(_unknown(reads, decision)),
        gates=dict(list(gates.items())[:NAMED]),
        warnings=[f"{UPGRADE} is not offered by this server."] if is_missing else [],
        next=draft.steps,
    )


def _unknown(reads: UpgradeReads, decision: str) -> Iterator[str]:
    """Yield what could not be read, and what nobody can read."""
    yield from (f"{operation} could not be read: {why}." for operation, why in reads.errors.items())
    # What was done once can be done again.
    if decision != UP_TO_DATE and reads.needs and not reads.listed(TASKS):
        yield f"Whether this account may upgrade through the API. {reads.needs}"


def unlisted(answers: Mapping[str, Any]) -> list[str]:
    """Name the reads whose answers are not the lists they should be."""
    return [each for each in LISTS if each in answers and tasks_of(answers[each]) is None]


def _said(draft: AssessmentDraft, decision: str) -> str:
    reads = draft.reads
    name = word(get(reads.cluster, "/metadata/name")) or word(reads.cluster_id)
    if decision == UP_TO_DATE:
        more = f"It can go to {few([word(each) for each in reads.offered])}." if reads.offered else "Nothing is newer."
        return f"Up to date: {name} runs {word(reads.now)}. {more}"
    if not reads.upgrade_path:
        return f"Not yet: {name} cannot be upgraded. {draft.blockers[0]}"
    way = f"{name} from {word(reads.now)} to {word(reads.upgrade_path[0])}"
    steps = plural(len(reads.upgrade_path), "upgrade")
    onward = f" {word(reads.upgrade_path[-1])} is {steps} away." if len(reads.upgrade_path) > 1 else ""
    risks = _risks(draft)
    if decision == GO:
        return f"Go: nothing blocks upgrading {way}.{risks}{onward}"
    count = len(draft.blockers) + draft.more_blockers
    stands = f"{plural(count, 'thing')} {'blocks' if count == 1 else 'block'} upgrading {way}"
    listed = "; next lists the calls in their order" if draft.steps else ""
    return f"Not yet: {stands}{listed}.{risks}{onward}"


def _risks(draft: AssessmentDraft) -> str:
    """Return how many risks there are; those that a check found are counted as it counts them."""
    if not draft.risks:
        return ""
    found = f", {draft.found_risks} of them found by the check" if draft.found_risks else ""
    return f" {plural(len(draft.risks) + draft.more_risks, 'risk')} to weigh{found}."


def _target(reads: UpgradeReads) -> dict[str, str]:
    return {"target_version": reads.wanted} if reads.wanted else {}


def _about_no_target(draft: AssessmentDraft) -> None:
    """Say why there is no version to go to, if one was asked for or that is not known."""
    reads = draft.reads
    if not reads.now:
        draft.blockers.append("Which version it runs, and what is offered to it, is not reported.")
        draft.step("get_upgrade_info", "What it says, or why it fails")
        return
    wanted = reads.wanted or ""
    if not wanted or meant_by(wanted, [reads.now]):
        return
    if order(wanted) and order(wanted) < order(reads.now):
        draft.blockers.append(f"It runs {word(reads.now)}; it cannot go back to {word(wanted)}.")
        return
    choice = few([word(each) for each in reads.offered]) or "nothing"
    if several := meant_by(wanted, reads.offered):
        draft.blockers.append(f"{word(wanted)} could be any of {few([word(each) for each in several])}.")
        draft.step("assess_upgrade", "If that is what is meant", target_version=max(several, key=order))
        return
    draft.blockers.append(f"{word(wanted)} is not offered, and no way to it is known. Offered: {choice}.")
    if reads.offered:
        draft.step("assess_upgrade", "For the newest version that is offered")


def _about_cluster(draft: AssessmentDraft) -> bool:
    """Say whether the cluster is idle; return whether something must end, or be fixed, before all else."""
    reads, cluster = draft.reads, draft.reads.cluster
    tasks, phase = reads.listed(TASKS), phase_of(cluster)
    verdicts = upgrade_verdicts(tasks, reads.info)
    latest = id_of(tasks[-1]) if tasks else ""
    if busy := under_way(verdicts):
        draft.blockers.append(f"An upgrade {spoken(busy)}.{because(task_says(tasks[-1], TASK) if tasks else '')}")
        if busy != RUNNING or not draft.wait("upgrade_task", latest, "It must end first"):
            draft.step("get_upgrade_task", "Its state", task_id=latest) or draft.step(TASKS, "Its state")
        return True
    if not succeeded(CLUSTER, phase):
        why = said(get(cluster, "/status"))
        service = f": {quoted(why, 2 * SAID_LIMIT)}" if why else ""
        failed = latest if verdicts[:1] == [FAILED] else ""
        opening = "The last upgrade failed, and the cluster" if failed else "The cluster"
        draft.blockers.append(f"{opening} {standing(phase)}{service}.")
        _follow(draft, phase, failed)
        return True
    if id_of(cluster).lower() != reads.cluster_id.lower() or not text(get(cluster, "/metadata/name")):
        draft.blockers.append("What get_cluster answered does not name this cluster, so a person cannot agree to it.")
        draft.step("get_cluster", "What it says")
        return True
    if TASKS not in reads.errors:
        draft.passed.append("The cluster is Available, and no upgrade is running.")
    return False


def _follow(draft: AssessmentDraft, phase: str, failed_upgrade: str) -> None:
    """Add the calls that say why a cluster is not Available, and fix it if a retry may do that."""
    job = text(get(draft.reads.cluster, "/status/jobID"))
    if failed_upgrade:
        draft.step("get_upgrade_task", "Why the last upgrade failed", task_id=failed_upgrade)
        draft.step("retry_upgrade", "Once the cause is fixed")
    elif broken(CLUSTER, phase):
        draft.call("get_job", "Why it is not Available", job_id=job) or draft.step("get_cluster", "Its reason")
    elif verdict(CLUSTER, phase) == DELETING:
        draft.step(WAIT_FOR, "Until it is deleted", kind="job", id=job, **{UNTIL: DELETED})
    elif not draft.wait("job", job, "What is done to it must end first"):
        draft.step("get_cluster", "Why it is not Available")


def _about_unread(draft: AssessmentDraft) -> bool:
    """Say which reads failed without which it is not known whether the upgrade is allowed; return whether some did."""
    unread = [each for each in (TASKS, CHECKS) if each in draft.reads.errors]
    for each in unread:
        draft.blockers.append(f"{each} could not be read, so it is not known whether the upgrade is allowed.")
        draft.step(each, "What it says, or why it fails")
    return bool(unread)


def _about_running_check(draft: AssessmentDraft, judged: Judged) -> bool:
    """Say that a check for this upgrade is running, and return whether: what it finds decides what comes next."""
    if judged.state != RUNNING:
        return False
    way = draft.reads.way
    between = f"from {word(way.now)} to {word(way.target)}"
    draft.blockers.append(f"The pre-upgrade check {between} is still running.")
    draft.wait("precheck", id_of(judged.check), "It takes about a minute") or draft.step(CHECKS, "Its state")
    return True


def _about_workflows(draft: AssessmentDraft) -> None:
    """Say which upgrade workflows are open: their stages count for one target only."""
    rows = [
        (workflow_verdict(text(get(each, "/status/phase"))), each) for each in reversed(draft.reads.listed(WORKFLOWS))
    ]
    open_ = [
        f"to {word(get(each, '/spec/targetVersion'))} {spoken(state)}"
        for state, each in rows
        if state not in (SUCCEEDED, CANCELLED)
    ]
    if open_:
        listed = few([f"one {each}" for each in open_], DETAILED)
        draft.risks.append(f"Of its upgrade workflows, {listed}: {WORKFLOWS} shows them.")


def _about_way(draft: AssessmentDraft, judged: Judged) -> None:
    """Say what check, add-ons and backups say about the upgrade, and add the calls that lead to it."""
    reads, way = draft.reads, draft.reads.way
    _about_workflows(draft)
    if UPGRADE in reads.closed:
        draft.blockers.append(reads.closed[UPGRADE])
    check, passed = judged.check, judged.state == "passed"
    draft.precheck_id = id_of(check)
    found = findings_of(check) if judged.state in ("passed", "not passed") else NOTHING_FOUND
    addons = fitness_of(reads.listed(ADDONS), reads)
    about_addons(draft, addons, _by_addon(found.every), passed=passed)
    if passed:
        _about_passed(draft, check, found)
    elif CHECKS not in reads.errors and judged.state != RUNNING:
        _about_check(draft, judged.state, check, found, addons)
    saved = _about_backups(draft)
    along = {"addons": draft.along} if draft.along else {}
    first = [*([] if passed else ["the check has passed"]), *([] if saved else ["the backup has ended"])]
    why = f"Once {' and '.join(first)}" if first else "The check has passed"
    if draft.step(UPGRADE, why, target_version=way.target, **along):
        draft.step("run_postcheck", "Once the upgrade has ended", from_version=way.now)
        if len(reads.upgrade_path) > 1:
            draft.step("assess_upgrade", "Then the next upgrade", target_version=reads.upgrade_path[-1])


def _about_passed(draft: AssessmentDraft, check: Any, found: Findings) -> None:
    """Say how long a check that has passed counts, and which risks it leaves."""
    expires = moment(get(check, "/status/expireTimeStamp"))
    left = expires - draft.reads.at if expires else timedelta()
    if left > SHORT:
        draft.passed.append(f"The pre-upgrade check has passed; it counts for another {span(left)}.")
    else:
        draft.risks.append(f"The pre-upgrade check has passed, but counts for only {span(left)} more.")
    skipped = sorted({text(get(each, "/name")) for each in items(check, "/spec/skippedCheckItemList")} - {""})
    if skipped:
        draft.risks.append(f"The check skipped these risks, which remain: {few([word(each) for each in skipped])}.")
    draft.risks += [f"Although the check passed, it found {line}" for line in _findings(found.every)]
    draft.found_risks, draft.more_risks = count_of(found.every), _unlisted(found.every)
    _lead_to_all(draft, found.every)
    draft.risks += [f"Although the check passed: {not_known(found)}"] if found.unknown else []


def _about_check(draft: AssessmentDraft, state: str, check: Any, found: Findings, addons: Sequence[Fitness]) -> None:
    """Say why no check allows the upgrade, and add the call that makes one."""
    way, expires = draft.reads.way, moment(get(check, "/status/expireTimeStamp"))
    between = f"from {word(way.now)} to {word(way.target)}"
    reasons = {
        "none": f"There is no pre-upgrade check {between}.",
        "undated": f"The pre-upgrade check {between} has passed, but does not say until when it counts.",
        "expired": f"The pre-upgrade check {between} has passed, but expired {age(expires, draft.reads.at)} ago.",
    }
    if state == "none" and check:
        why = quoted(_own_words(check) or "no reason given", 2 * SAID_LIMIT)
        reasons[state] = f"The pre-upgrade check {between} broke off: {why}."
    left = _about_findings(draft, check, found, addons) if state == "not passed" else []
    if state in reasons:
        draft.blockers.append(reasons[state])
    else:
        ended, since = verdict_of(text(get(check, "/status/phase"))), moment(get(check, "/metadata/creationTimestamp"))
        how = "did not pass" if ended == FAILED else spoken(ended)
        ago = f", {age(since, draft.reads.at)} ago" if since else ""
        again = "run it again once that is fixed" if left else "run it again"
        draft.blockers += [f"The check failed. {not_known(found)}"] if found.unknown else []
        draft.blockers.append(f"The pre-upgrade check {between} {how}{ago}: {again}.{because(_own_words(check))}")
    _lead_to_all(draft, left, found.risks)
    skip = [] if found.unknown else skippable(found.every, get(check, "/spec/skippedCheckItemList", []))
    skip = skip if len(skip) <= NAMED else []
    why = ACCEPTED if skip else "Without a passed check an upgrade is refused"
    draft.step("run_precheck", why, target_version=way.target, **({"skip_items": skip} if skip else {}))


def _about_findings(draft: AssessmentDraft, check: Any, found: Findings, addons: Sequence[Fitness]) -> list[Failure]:
    """Say what a check found beside what is said of add-ons; return what of it must be fixed and is not yet."""
    checked = moment(get(check, "/metadata/creationTimestamp"))
    fixed = [each for each in found.blocking if checked and _is_fixed(each, addons, checked)]
    left = [each for each in found.blocking if each not in fixed]
    covered = {each.name for each in addons if each.stands_out}
    others = [each for each in left if not (names := each.addons) or set(names) - covered]
    draft.blockers += [f"The check found {line}" for line in _findings(others)]
    draft.risks += [f"The check found {line}" for line in _findings(found.risks)]
    draft.found_risks, draft.more_risks = count_of(found.risks), _unlisted(found.risks)
    draft.more_blockers = _unlisted(others)
    if fixed:
        settled = few([word(each.name) for each in fixed])
        draft.passed.append(f"Probably fixed since the check, as the add-on has been changed: {settled}.")
    return left


def _is_fixed(failure: Failure, addons: Sequence[Fitness], checked: datetime) -> bool:
    """Say whether what a check found is about add-ons that have been changed since, and are healthy now."""
    about = [[each for each in addons if each.name == name] for name in failure.addons]
    return bool(about) and all(
        same and all(each.healthy and each.changed and each.changed > checked for each in same) for same in about
    )


def _by_addon(found: Sequence[Failure]) -> dict[str, list[str]]:
    """Return the names of the items that a check found, by the add-on they are about."""
    named: dict[str, list[str]] = {}
    for each in found:
        for name in each.addons:
            named.setdefault(name, []).append(each.name)
    return named


def _own_words(check: Any) -> str:
    return said(get(check, "/status"), leave_out=("itemsStatus", "nodeStageStatus"))


def _findings(found: Sequence[Failure]) -> Iterator[str]:
    """Yield the first findings one by one, of the others only the names."""
    for each in found[:DETAILED]:
        shown, _ = finding(each, ROOM)
        where = f" ({quoted(shown.where, WHERE)})" if shown.where else ""
        yield f"{word(shown.name)}{where}: {quoted(shown.why, WHY) if shown.why else 'no reason given'}."
    rest = [word(each.name) if each.name else UNNAMED for each in found[DETAILED:]]
    if rest:
        yield f"also: {few(rest, len(rest))}; get_precheck shows all."


def _lead_to_all(draft: AssessmentDraft, *found: Sequence[Failure]) -> None:
    """Add the call that shows the findings of which only the names are shown."""
    if any(len(each) > DETAILED for each in found):
        draft.step("get_precheck", ALL, task_id=draft.precheck_id, detail=FULL)


def _unlisted(found: Sequence[Failure]) -> int:
    """Return how many findings have no line of their own, beside the line that names them."""
    return max(len(found) - DETAILED - 1, 0)


def _about_backups(draft: AssessmentDraft) -> bool:
    """Say how old the latest backup is, and add the call that makes one; return whether it is recent enough."""
    reads = draft.reads
    rows = reads.listed(BACKUPS)
    latest = latest_backup(rows)
    making = [id_of(each) for each in rows if verdict_of(text(get(each, "/status/phase")), BACKUP) == RUNNING]
    if is_fresh(latest, reads.at):
        draft.passed.append(f"{backup_said(rows, reads.at)}.")
        return True
    if making:
        draft.risks.append("A backup is still being made.")
        draft.wait("backup", making[-1], "An upgrade cannot be undone")
        return False
    if BACKUPS not in reads.errors:
        failed = rows[-1:] if rows and verdict_of(text(get(rows[-1], "/status/phase")), BACKUP) == FAILED else []
        why = "".join(because(task_says(each, BACKUP)) for each in failed)
        also = "" if not why else " Another has failed since." if latest else " The last one has failed."
        draft.risks.append(f"{backup_said(rows, reads.at)}.{also}{why}")
    draft.step("backup_cluster", "An upgrade cannot be undone")
    return False
