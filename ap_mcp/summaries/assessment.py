"""Weighs all that a person would look at before an upgrade: may it go ahead, and if not, what comes first."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from pydantic import Field

from ap_mcp.summaries.base import (
    NextCall,
    Result,
    age,
    get,
    items,
    mapping,
    moment,
    plural,
    quoted,
    span,
    text,
    word,
)
from ap_mcp.summaries.findings import Failure, failures, named, skippable, told
from ap_mcp.summaries.upgrade_parts import newest_first, spoken, verdict_of
from ap_mcp.summaries.upgrade_workflows import VERDICTS as WORKFLOW_VERDICTS
from ap_mcp.summaries.versions import Way, judge_checks, order, runs_on

GO, NOT_YET, UP_TO_DATE = "go", "not_yet", "up_to_date"
OLD_BACKUP = timedelta(days=1)
HEALTHY = "running"


class Assessment(Result):
    """Whether a cluster can be upgraded now; what stands in the way, what is risky, what is fine, what nobody knows."""

    verdict: str = ""
    cluster_id: str = ""
    name: str = ""
    from_version: str = ""
    to_version: str | None = None
    route: list[str] = Field(default_factory=list)
    in_the_way: list[str] = Field(default_factory=list)
    risks: list[str] = Field(default_factory=list)
    fine: list[str] = Field(default_factory=list)
    unknown: list[str] = Field(default_factory=list)
    gates: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Seen:
    """What was looked at.

    Attributes:
        cluster_id: the cluster.
        wanted: the version somebody asked for; None for the newest that is offered.
        now: the version it runs; empty if that is not told.
        offered: the versions it can go to.
        route: the versions to go through, the first of which is offered; empty if there is nothing to go to.
        answers: what reads answered, by operation, secrets masked; one that failed is missing.
        errors: why those failed.
        templates: of add-ons that may not fit, by name.
        at: the time to measure ages against.
    """

    cluster_id: str
    wanted: str | None
    now: str
    offered: list[str]
    route: list[str]
    answers: Mapping[str, Any]
    errors: Mapping[str, str]
    templates: Mapping[str, Any]
    at: datetime

    @property
    def way(self) -> Way:
        """The upgrade that is assessed: to the first version of the route."""
        return Way(self.cluster_id, self.now, self.route[0], self.offered)

    def listed(self, operation: str) -> list[dict[str, Any]]:
        """Return the entries that a read answered, the newest first; none if it failed."""
        return newest_first(self.answers.get(operation, {}))


@dataclass
class Draft:
    """An assessment being made; `steps` are the calls to come, in their order."""

    seen: Seen
    in_the_way: list[str] = field(default_factory=list)
    risks: list[str] = field(default_factory=list)
    fine: list[str] = field(default_factory=list)
    steps: list[NextCall] = field(default_factory=list)

    def step(self, tool: str, why: str, **arguments: Any) -> None:
        """Add a call on the cluster."""
        self.steps.append(NextCall(tool=tool, arguments={"cluster_id": self.seen.cluster_id, **arguments}, why=why))

    def wait(self, kind: str, id_: str, why: str) -> None:
        """Add a wait for something in the cluster."""
        self.step("wait_for", why, kind=kind, id=id_)


def assessment(seen: Seen) -> Assessment:
    """Say whether an upgrade can go ahead, and which calls come next, in their order."""
    draft = Draft(seen)
    busy = _about_cluster(draft)
    if seen.route:
        _about_workflows(draft)
        first = list(draft.steps)
        _about_versions(draft)
        draft.steps = first if busy else draft.steps
    else:
        _about_nowhere(draft)
    cluster = seen.answers["get_cluster"]
    verdict = NOT_YET if draft.in_the_way else GO if seen.route else UP_TO_DATE
    return Assessment(
        summary=_said(draft, verdict),
        verdict=verdict,
        cluster_id=seen.cluster_id,
        name=text(get(cluster, "/metadata/name")),
        from_version=seen.now,
        to_version=seen.route[0] if seen.route else None,
        route=seen.route if len(seen.route) > 1 else [],
        in_the_way=draft.in_the_way,
        risks=draft.risks,
        fine=draft.fine,
        unknown=[f"{operation} could not be read: {why}" for operation, why in seen.errors.items()],
        gates=mapping(seen.answers.get("get_upgrade_feature_gates", {}), "/upgradeFeatureGates"),
        next=draft.steps,
    )


def needs_template(addon: Any, target: str) -> bool:
    """Say whether the template of an installed add-on must be looked at to know if, or in which version, it fits."""
    return runs_on(get(addon, "/status/currentVersion", {}), target) is not True


def _said(draft: Draft, verdict: str) -> str:
    seen = draft.seen
    name = word(get(seen.answers["get_cluster"], "/metadata/name"))
    if verdict == UP_TO_DATE:
        return f"{name} runs {word(seen.now)}; there is nothing newer to upgrade to."
    if not seen.route:
        return f"Not yet: {name} cannot be upgraded. {draft.in_the_way[0]}"
    way = f"{name} from {word(seen.now)} to {word(seen.route[0])}"
    onward = f" {word(seen.route[-1])} is {plural(len(seen.route), 'upgrade')} away." if len(seen.route) > 1 else ""
    risks = f" {plural(len(draft.risks), 'risk')} to weigh." if draft.risks else ""
    if verdict == GO:
        return f"Go: nothing stands in the way of upgrading {way}.{risks}{onward}"
    count = plural(len(draft.in_the_way), "thing")
    return f"Not yet: {count} must be done before upgrading {way}; next lists the calls in their order.{risks}{onward}"


def _about_nowhere(draft: Draft) -> None:
    """Tell why there is no version to go to, if somebody asked for one or that is not known."""
    seen = draft.seen
    if not seen.now:
        draft.in_the_way.append("Which version it runs, and what is offered to it, is not told.")
    elif seen.wanted and not _runs_already(seen.now, seen.wanted):
        choice = ", ".join(map(word, seen.offered)) or "nothing"
        draft.in_the_way.append(f"{word(seen.wanted)} is not offered, and no way to it is known. Offered: {choice}.")


def _runs_already(now: str, wanted: str) -> bool:
    return now == wanted or now.startswith(f"{wanted}.")


def _about_cluster(draft: Draft) -> bool:
    """Tell whether the cluster is at rest; return whether something is under way in it that must end first."""
    seen = draft.seen
    phase = text(get(seen.answers["get_cluster"], "/status/phase"))
    latest = next(iter(seen.listed("list_upgrade_tasks")), {})
    states = [text(get(each, "/status/phase")) for each in (latest, seen.answers.get("get_upgrade_info", {}))]
    verdicts = [verdict_of(each) for each in states if each]
    task_id = text(get(latest, "/metadata/uid"))
    if busy := [each for each in verdicts if each not in ("succeeded", "failed")]:
        draft.in_the_way.append(f"An upgrade {spoken(busy[0])}.")
        draft.wait("upgrade_task", task_id, "It must end first")
        return True
    if phase == "Available":
        draft.fine.append("The cluster is Available, and no upgrade is running.")
        return False
    draft.in_the_way.append(f"The cluster is {word(phase) if phase else 'in a phase that is not told'}.")
    if verdicts[:1] == ["failed"]:
        draft.step("get_upgrade_task", "Why the last upgrade failed", task_id=task_id)
        draft.step("retry_upgrade", "Once the cause is mended")
    elif job_id := text(get(seen.answers["get_cluster"], "/status/jobID")):
        draft.steps.append(NextCall(tool="wait_for", arguments={"kind": "job", "id": job_id}, why="How its job stands"))
    else:
        draft.step("get_cluster", "Why it is not Available")
    return True


def _about_workflows(draft: Draft) -> None:
    for each in draft.seen.listed("list_upgrade_workflows"):
        phase, target = text(get(each, "/status/phase")), word(get(each, "/spec/targetVersion"))
        if phase not in ("Success", "Cancel"):
            stands = spoken(WORKFLOW_VERDICTS.get(phase, phase or "idle"))
            draft.risks.append(f"An upgrade workflow to {target} {stands}: get_upgrade_workflow shows it.")


def _about_versions(draft: Draft) -> None:
    """Tell what check, add-ons and backups say about the upgrade, and add the calls that lead to it."""
    seen, way = draft.seen, draft.seen.way
    unread = [each for each in ("list_prechecks", "list_upgrade_tasks") if each in seen.errors]
    draft.in_the_way += [
        f"{each} could not be read, so nobody knows whether the upgrade is allowed." for each in unread
    ]
    judged = judge_checks(seen.listed("list_prechecks"), way, seen.at)
    passed = judged.state == "passed"
    fits = _about_addons(draft, passed=passed)
    if not unread:
        check = judged.check
        if passed:
            _about_passed(draft, check)
        else:
            _about_check(draft, judged.state, check, fits)
    if not _about_backups(draft):
        draft.step("backup_cluster", "An upgrade has no way back")
    why = "The check has passed" if passed and not unread else "Once the check has passed"
    draft.step("upgrade_cluster", why, target_version=way.target)
    draft.step("run_postcheck", "Once the upgrade has ended", from_version=way.now)
    if len(seen.route) > 1:
        draft.step("assess_upgrade", "Then the way on", target_version=seen.route[-1])


def _about_addons(draft: Draft, *, passed: bool) -> Mapping[str, bool | None]:
    """Tell which add-ons do not fit or are not well, and mend the former; return which fit, by name."""
    seen, target = draft.seen, draft.seen.way.target
    fits: dict[str, bool | None] = {}
    for row in sorted(items(seen.answers.get("list_addons", {}), "/items"), key=_name):
        name, version = _name(row), text(get(row, "/spec/version"))
        status = text(get(row, "/status/status")) or "not told"
        what = f"add-on {word(name)} {word(version)}"
        if status != HEALTHY:
            draft.risks.append(f"{what}: {word(status)}, not running: get_addon tells why.")
        versions = _versions(seen.templates.get(name))
        own = next((each for each in versions if get(each, "/version") == version), {})
        fits[name] = runs_on(get(row, "/status/currentVersion", {}), target)
        if fits[name] is None:
            fits[name] = runs_on(own, target)
        if fits[name] is None:
            draft.risks.append(f"{what}: whether it runs on {word(target)} is not told.")
        elif not fits[name]:
            (draft.risks if passed else draft.in_the_way).append(_unfit(draft, row, versions, mend=not passed))
    fine = [name for name, good in fits.items() if good]
    if fine:
        draft.fine.append(f"Add-ons that run on {word(target)}: {', '.join(map(word, fine))}.")
    return fits


def _unfit(draft: Draft, row: Any, versions: list[dict[str, Any]], *, mend: bool) -> str:
    """Tell that an add-on does not run on the target, and add the calls that mend it."""
    way, name, version = draft.seen.way, _name(row), text(get(row, "/spec/version"))
    said = f"add-on {word(name)} {word(version)} does not run on {word(way.target)}"
    newer = [
        each for each in versions if runs_on(each, way.target) and order(text(get(each, "/version"))) > order(version)
    ]
    stable = [each for each in newer if get(each, "/stable") is not False] or newer
    both = [text(get(each, "/version")) for each in stable if runs_on(each, way.now)]
    if both:
        best, uid = max(both, key=order), text(get(row, "/metadata/uid"))
        if mend:
            draft.step("update_addon", f"{word(best)} runs on both versions", addon_id=uid, target_version=best)
            draft.wait("addon", uid, "Until it runs")
        return f"{said}; {word(best)} runs on it and on {word(way.now)}: update it first."
    if stable:
        best = max((text(get(each, "/version")) for each in stable), key=order)
        return f"{said}; {word(best)} does, but not on {word(way.now)}: name it in addons of upgrade_cluster."
    return f"{said}, and no newer version of it that does is known."


def _about_passed(draft: Draft, check: Any) -> None:
    expires = moment(get(check, "/status/expireTimeStamp"))
    left = span(expires - draft.seen.at) if expires else ""
    draft.fine.append(f"The pre-upgrade check has passed; it counts for another {left}.")
    draft.risks += [
        f"The check skipped {word(get(each, '/name'))}: that risk remains."
        for each in items(check, "/spec/skippedCheckItemList")
    ]
    draft.risks += [f"Although the check passed, {line}" for line in _findings(failures(get(check, "/status", {})))]


def _about_check(draft: Draft, state: str, check: Any, fits: Mapping[str, bool | None]) -> None:
    """Tell why no check allows the upgrade, and add the call that makes one."""
    way, check_id = draft.seen.way, text(get(check, "/metadata/uid"))
    name = f"the pre-upgrade check from {word(way.now)} to {word(way.target)}"
    if state == "running":
        draft.in_the_way.append(f"{name} is still running.")
        draft.wait("precheck", check_id, "It takes about a minute")
        return
    reasons = {"none": f"There has been no {name.removeprefix('the ')}.", "undated": f"{name} does not tell an expiry."}
    if state == "expired":
        expired = age(moment(get(check, "/status/expireTimeStamp")), draft.seen.at)
        reasons[state] = f"{name} has passed, but expired {expired} ago."
    skip: dict[str, Any] = {}
    why = "Without a passed check an upgrade is refused"
    if state == "not passed":
        found = failures(get(check, "/status", {}))
        mended = [each for each in found if each.blocks and _is_mended(each, fits)]
        blocking = [each for each in found if each.blocks and each not in mended]
        risks = [each for each in found if not each.blocks]
        draft.in_the_way += [f"The check found {line}" for line in _findings(blocking)]
        draft.risks += [f"The check found {line}" for line in _findings(risks)]
        draft.fine += [f"Mended since the check: {word(each.name)}." for each in mended]
        if not blocking:
            draft.in_the_way.append(f"{name} did not pass: run it again.")
        if risks and not blocking:
            skip = {"skip_items": skippable(risks, get(check, "/spec/skippedCheckItemList", []))}
            why = "skip_items only if a person accepts those risks; else mend them and leave it out"
        draft.step("get_precheck", "All that it found", task_id=check_id)
    else:
        draft.in_the_way.append(reasons[state])
    draft.step("run_precheck", why, target_version=way.target, **skip)


def _is_mended(failure: Failure, fits: Mapping[str, bool | None]) -> bool:
    """Say whether what a check found is about add-ons which all fit by now."""
    addons = [text(get(each, "/addonTemplateName")) for each in items(failure.source, "/addonRisks")]
    return bool(addons) and all(fits.get(each) for each in addons)


def _findings(found: list[Failure]) -> Iterator[str]:
    """Tell findings one by one; beyond the first few, only their names."""
    for each in told(found):
        where = f" ({quoted(each.where)})" if each.where else ""
        yield f"{word(each.name)}{where}: {quoted(each.why) if each.why else 'no reason told'}."
    if rest := named(found):
        yield f"also: {', '.join(map(word, rest))}."


def _about_backups(draft: Draft) -> bool:
    """Tell how old the latest backup is; return whether it will do, or nobody knows."""
    seen = draft.seen
    if "list_backups" in seen.errors:
        return False
    rows = seen.listed("list_backups")
    ends = [get(each, "/status/completionTime") for each in rows if get(each, "/status/phase") == "Success"]
    latest = max((each for each in map(moment, ends) if each), default=None)
    if any(verdict_of(text(get(each, "/status/phase"))) == "running" for each in rows):
        draft.risks.append("A backup is still being made.")
    if latest is None:
        draft.risks.append("There is no backup.")
    elif seen.at - latest > OLD_BACKUP:
        draft.risks.append(f"The latest backup is {age(latest, seen.at)} old.")
    else:
        draft.fine.append(f"The latest backup is {age(latest, seen.at)} old.")
        return True
    return False


def _name(row: Any) -> str:
    return text(get(row, "/spec/addonTemplateName")) or text(get(row, "/metadata/name"))


def _versions(template: Any) -> list[dict[str, Any]]:
    return [each for row in items(template, "/items") for each in items(row, "/spec/versions")]
