"""What guarded calls on a cluster's upgrade would do: starting one, trying it again, giving it up."""

from collections.abc import Sequence
from typing import Any

from ap_mcp.errors import CallRefused
from ap_mcp.guard.impacts.base import (
    Answers,
    Case,
    Impact,
    ImpactDraft,
    about_cluster,
    gather,
    impact_of,
    must_belong,
    name_of,
    read,
    refused,
    unless_only_asked,
)
from ap_mcp.guard.impacts.precheck import passed_check
from ap_mcp.guard.impacts.skipped import skipped_in
from ap_mcp.guard.impacts.upgrade_addons import about_addons
from ap_mcp.masking import mask
from ap_mcp.masking.supplied import as_supplied
from ap_mcp.rules.clusters import phase_of, standing
from ap_mcp.rules.findings import findings_of, not_known
from ap_mcp.rules.phases import BACKUP, CLUSTER, UPGRADE, WORKFLOW, phases_of, succeeded
from ap_mcp.rules.sayings import task_says
from ap_mcp.rules.settings_diff import shown
from ap_mcp.rules.upgrades import (
    FAILED,
    RUNNING,
    STAGE_TITLES,
    UPGRADE_STAGE,
    Cancelling,
    backup_ends,
    backup_said,
    cancellable,
    is_fresh,
    latest_backup,
    spoken,
    stage_of,
    tasks_of,
    under_way,
    upgrade_verdicts,
    verdict_of,
)
from ap_mcp.rules.versions import offered_to, resolve_target, runs_now
from ap_mcp.rules.wait_hints import how_to_wait
from ap_mcp.vendor import SAID_LIMIT, flattened, get, items, moment, number, quoted, said, text, word
from ap_mcp.wording import age, few, span


@impact_of("upgrade_cluster")
async def upgrade_cluster(case: Case) -> Impact:
    """Say from where to where, what changes with it, and whether all that must come first has been done."""
    named = {"cluster_id": case.cluster_id}
    answers = await gather(
        case,
        cluster=read("get_cluster", **named),
        info=read("get_upgrade_info", **named),
        checks=read("list_prechecks", **named),
        tasks=read("list_upgrade_tasks", **named),
        backups=read("list_backups", **named),
        addons=read("list_addons", **named),
    )
    cluster = answers.needed("cluster")
    info = answers.needed("info", "says which versions are offered")
    tasks = _tasks(answers)
    checks, check = _checks(answers), None
    missing: list[str] = []
    try:
        _must_be_idle(case, cluster, tasks, info)
    except CallRefused as busy:
        missing.append(unless_only_asked(case, busy))
    now, target, offered = _versions(case, cluster, info)
    try:
        check = passed_check(case, checks, now, target, offered)
    except CallRefused as unchecked:
        missing.append(unless_only_asked(case, unchecked))
    name = name_of(cluster)
    draft = ImpactDraft(
        case,
        text(get(cluster, "/metadata/name")),
        f"Upgrades cluster {name} from {word(now)} to {word(target)}. It cannot be undone.",
    )
    draft.deed = f"Upgrades cluster {name}."
    draft.changes.append(f"Kubernetes: {word(now)} becomes {word(target)}")
    about_cluster(draft, cluster)
    draft.stable["from_version"] = now
    draft.settled["target_version"] = target
    draft.warnings += missing
    if check is not None:
        _about_check(draft, check, checks)
    _about_backups(draft, answers)
    await about_addons(draft, answers, target)
    options = {key: case.arguments[key] for key in ("batch_size", "batch_scope") if key in case.arguments}
    draft.fact("batches", ", ".join(f"{key}={shown(as_supplied(value))}" for key, value in options.items()))
    for key, what in (("pool_order", "order of pools"), ("node_order", "order of nodes")):
        draft.fact(what, shown(as_supplied(case.arguments[key])) if key in case.arguments else None)
    draft.goes.append(f"the control plane of {word(now)}: it is replaced by that of {word(target)}")
    draft.unknown.append("how long it takes, and whether what runs in the cluster notices")
    return draft.impact()


@impact_of("retry_upgrade")
async def retry_upgrade(case: Case) -> Impact:
    """Say which upgrade failed and why, and whether it can still be retried."""
    named = {"cluster_id": case.cluster_id}
    answers = await gather(
        case,
        cluster=read("get_cluster", **named),
        tasks=read("list_upgrade_tasks", **named),
        workflows=read("list_upgrade_workflows", **named),
        backups=read("list_backups", **named),
    )
    cluster, tasks = answers.needed("cluster"), _tasks(answers)
    task = _failed_task(cluster, tasks)
    name, phase = name_of(cluster), phase_of(cluster)
    source, target = (text(get(task, f"/spec/{key}")) for key in ("version", "targetVersion"))
    draft = ImpactDraft(
        case,
        text(get(cluster, "/metadata/name")),
        f"Runs the failed upgrade of cluster {name} from {word(source)} to {word(target)} again. It cannot be undone.",
    )
    draft.deed, draft.final = f"Runs the failed upgrade of {name} again.", True
    draft.changes.append(f"Kubernetes: {word(source)} becomes {word(target)}")
    about_cluster(draft, cluster)
    _about_failure(draft, task, cluster)
    _must_not_be_given_up(draft, answers, task)
    if succeeded(CLUSTER, phase):
        draft.warnings.append(f"The cluster {standing(phase)}: the failed upgrade may have been given up already.")
    _about_backups(draft, answers)
    draft.goes.append("the cluster is Upgrading again until that is reached, or fails again")
    draft.unknown.append("whether the cause has been fixed, and whether what runs in the cluster notices")
    return draft.impact()


@impact_of("cancel_upgrade_workflow")
async def cancel_upgrade_workflow(case: Case) -> Impact:
    """Say which workflow ends, and what becomes of an upgrade in it that failed."""
    named = {"cluster_id": case.cluster_id}
    workflow_id = str(case.arguments["upgrade_workflow_id"])
    answers = await gather(
        case,
        cluster=read("get_cluster", **named),
        workflow=read("get_upgrade_workflow", upgrade_workflow_id=workflow_id, **named),
        tasks=read("list_upgrade_tasks", **named),
    )
    workflow, cluster = answers.needed("workflow"), answers.needed("cluster")
    must_belong(case, workflow, "/spec/clusterID", "upgrade workflow")
    _must_be_cancellable(case, workflow, cancellable(workflow))
    name = name_of(cluster)
    way = " to ".join(word(get(workflow, f"/spec/{key}")) for key in ("clusterVersion", "targetVersion"))
    sentence = f"Ends the upgrade workflow of cluster {name} from {way} for good."
    draft = ImpactDraft(case, text(get(cluster, "/metadata/name")), sentence)
    draft.deed, draft.final = f"Ends the upgrade workflow of {name}.", True
    about_cluster(draft, cluster)
    phase = text(get(workflow, "/status/phase"))
    points = items(workflow, "/status/pointStatuses")
    stages = {text(get(each, "/taskType")): text(get(each, "/status")) for each in points}
    draft.fact("workflow", f"{word(workflow_id)}, {word(phase)}")
    draft.fact("stages", few([f"{_title(kind)}: {_stage(status)}" for kind, status in stages.items()]))
    draft.stable["workflow"] = {"id": workflow_id, "phase": phase, "stages": stages}
    _about_upgrade_in(draft, answers, workflow)
    draft.stays.append("the cluster itself and backups that were made")
    return draft.impact()


def _tasks(answers: Answers) -> list[dict[str, Any]]:
    """Return a cluster's upgrades, the oldest first.

    Raises:
        CallRefused: they could not be read.
    """
    found = tasks_of(answers.needed("tasks", "says whether an upgrade is running or has failed"))
    if found is None:
        raise refused("what list_upgrade_tasks answered is no list of upgrades")
    return found


def _checks(answers: Answers) -> list[dict[str, Any]]:
    """Return a cluster's pre-upgrade checks, the oldest first.

    Raises:
        CallRefused: they could not be read.
    """
    found = tasks_of(answers.needed("checks", "says whether the pre-upgrade check passed"))
    if found is None:
        raise refused("what list_prechecks answered is no list of checks")
    return found


def _must_be_idle(case: Case, cluster: Any, tasks: list[dict[str, Any]], info: Any) -> None:
    """Refuse an upgrade of a cluster in which something else is under way.

    Raises:
        CallRefused: naming what, and how to follow it.
    """
    name, phase = name_of(cluster), phase_of(cluster)
    states = upgrade_verdicts(tasks, info)
    if busy := under_way(states):
        named = {"cluster_id": case.cluster_id, "task_id": text(get(tasks[-1], "/metadata/uid")) if tasks else ""}
        wait = how_to_wait("get_upgrade_task", tasks[-1] if tasks else None, **named)
        raise refused(f"an upgrade of cluster {name} {spoken(busy)}", wait or "list_upgrade_tasks shows how far it is.")
    if not succeeded(CLUSTER, phase):
        after = "Its last upgrade failed: retry_upgrade runs it again." if FAILED in states[:1] else ""
        raise refused(
            f"cluster {name} {standing(phase)}; only an Available cluster can be upgraded",
            after or _follow(case, cluster),
        )


def _follow(case: Case, cluster: Any) -> str:
    wait, job = how_to_wait("get_cluster", cluster, cluster_id=case.cluster_id), get(cluster, "/status/jobID")
    more = f'get_job(job_id="{word(job)}") shows what is under way.' if job else "get_cluster says more."
    return f"{wait} {more}".lstrip()


def _versions(case: Case, cluster: Any, info: Any) -> tuple[str, str, list[str]]:
    """Return the version a cluster runs, the offered one that the call means, and all that are offered.

    Raises:
        CallRefused: it is not offered, or the running version is not reported.
    """
    now, offered = runs_now(info), offered_to(info)
    if not now:
        raise refused(f"get_upgrade_info does not say which version cluster {name_of(cluster)} runs")
    wanted = str(case.arguments["target_version"])
    target = resolve_target(wanted, offered)
    if target is None:
        choice = few([word(each) for each in offered]) or "nothing, it has no newer version to go to"
        why = f"{word(wanted)} is not offered to cluster {name_of(cluster)}, which runs {word(now)}"
        raise refused(why, f"Offered: {choice}.")
    return now, target, offered


def _about_check(draft: ImpactDraft, check: Any, every: Sequence[Any]) -> None:
    """Say how long the check counts, and what it skipped or found although it passed."""
    expires = moment(get(check, "/status/expireTimeStamp"))
    rest = f", counts for another {span(expires - draft.case.now)}" if expires else ""
    draft.fact("pre-upgrade check", f"passed for {word(get(check, '/spec/targetVersion'))}{rest}")
    skipped = skipped_in(check, every)
    # Before all else that goes: a person never agreed to these, and the upgrade lets them happen.
    draft.risks += [each.line() for each in skipped]
    for each in skipped:
        draft.warnings.append(f"The check skipped {word(each.name)}{each.where}: that risk remains.")
    found = findings_of(check)
    failed = sorted({each.name for each in found.every})
    if failed:
        draft.warnings.append(f"Although the check passed, these items failed: {', '.join(map(word, failed))}.")
    if found.unknown:
        draft.warnings.append(f"Although the check passed: {not_known(found)}")
    seen = {
        "id": text(get(check, "/metadata/uid")),
        "skipped": [[each.name, each.nodes] for each in skipped],
        "failed": failed,
    }
    draft.stable["check"] = {**seen, "no_result": sorted(found.unknown)}


def _about_backups(draft: ImpactDraft, answers: Answers) -> None:
    """Say how old the latest backup is; none, an old one or one being made is a warning."""
    found = draft.listed(answers, "backups", "/items", "whether there is a backup")
    if found is None:
        return
    now = draft.case.now
    latest = latest_backup(found)
    how, since = backup_said(found, now), age(latest, now)
    unknown = "its age is not reported" if backup_ends(found) else "none"
    draft.fact("latest backup", f"{since} old" if since else unknown)
    if latest is None:
        draft.warnings.append(f"{how}: backup_cluster makes one.")
    elif not is_fresh(latest, now):
        draft.warnings.append(f"{how}: backup_cluster makes a new one.")
    if any(verdict_of(text(get(each, "/status/phase")), BACKUP) == RUNNING for each in found):
        draft.warnings.append("A backup is still being made.")
    draft.stable["has_backup"] = latest is not None


def _failed_task(cluster: Any, tasks: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the latest upgrade, which must have failed.

    Raises:
        CallRefused: there is nothing to retry.
    """
    state = verdict_of(text(get(tasks[-1], "/status/phase"))) if tasks else ""
    if state == FAILED:
        return tasks[-1]
    what = f"its latest {spoken(state)}" if tasks else "it has none"
    raise refused(f"cluster {name_of(cluster)} has no failed upgrade to retry: {what}", "get_upgrade_info shows more.")


def _must_not_be_given_up(draft: ImpactDraft, answers: Answers, task: Any) -> None:
    """Refuse to retry an upgrade whose workflow was cancelled.

    Raises:
        CallRefused: it was.
    """
    found = draft.listed(answers, "workflows", "/items", "whether the failed upgrade was given up")
    task_id = text(get(task, "/metadata/uid"))
    for workflow in found or []:
        tried = [text(get(each, "/taskID")) for each in items(workflow, "/status/pointStatuses")]
        if task_id in tried and phases_of(WORKFLOW).holds("cancelled", get(workflow, "/status/phase")):
            whose = word(get(workflow, "/metadata/uid"))
            raise refused(
                f"the failed upgrade was given up when workflow {whose} was cancelled; it can no longer be retried",
                "Start over with run_precheck and upgrade_cluster.",
            )


def _about_failure(draft: ImpactDraft, task: Any, cluster: Any) -> None:
    ended = age(moment(get(task, "/status/completionTime")), draft.case.now)
    far = number(get(task, "/status/progress"))
    details = flattened(mask(get(task, "/spec/items", {})))
    says = task_says(task, UPGRADE)
    parts = [f"{name}: {value}" for name, value in details.items() if text(value) not in says]
    own = said(get(cluster, "/status"))
    why = "; ".join(each for each in (*parts, says, "" if own in says else own) if each)
    when, at = f" {ended} ago" if ended else "", f" at {far:g} %" if far is not None else ""
    draft.fact("failed", f"upgrade {word(get(task, '/metadata/uid'))}{when}{at}")
    draft.fact("because", quoted(why, 2 * SAID_LIMIT) if why else "no reason is given")
    if not why:
        draft.warnings.append("Nothing says why it failed.")
    draft.stable["task"] = {
        "id": text(get(task, "/metadata/uid")),
        "target": text(get(task, "/spec/targetVersion")),
        "phase": text(get(task, "/status/phase")),
        "why": why,
    }


def _must_be_cancellable(case: Case, workflow: Any, found: Cancelling) -> None:
    """Refuse what the state of a workflow or of its upgrade forbids.

    Raises:
        CallRefused: naming the state.
    """
    if found.obstacle == "workflow":
        state = word(found.phase) if found.phase else "in a state that is not reported"
        named = {name: str(case.arguments[name]) for name in ("cluster_id", "upgrade_workflow_id")}
        wait = how_to_wait("get_upgrade_workflow", workflow, **named)
        after = wait or "get_upgrade_workflow shows its stages."
        raise refused(f"the workflow is {state} and cannot be cancelled now", after)
    if found.obstacle:
        named = {"cluster_id": case.cluster_id, "task_id": found.task_id}
        wait = how_to_wait("get_upgrade_task", {"status": {"phase": found.phase}}, **named)
        what = f"the workflow's upgrade {word(found.task_id)}".rstrip()
        raise refused(f"{what} is {word(found.phase)} and cannot be cancelled now", wait or "Wait for its end.")


def _about_upgrade_in(draft: ImpactDraft, answers: Answers, workflow: Any) -> None:
    """Say what becomes of the workflow's upgrade; the task itself may know better than the workflow.

    Raises:
        CallRefused: the task is under way after all.
    """
    tasks = draft.listed(answers, "tasks", "/items", "how the upgrade in the workflow stands") or []
    found = cancellable(workflow, tasks)
    _must_be_cancellable(draft.case, workflow, found)
    task = next((each for each in tasks if found.task_id and get(each, "/metadata/uid") == found.task_id), {})
    status = text(get(task, "/status/phase")) or text(get(stage_of(workflow, UPGRADE_STAGE), "/status"))
    draft.stable["upgrade"] = status
    if verdict_of(status) == FAILED:
        draft.goes.append("the failed upgrade is given up: retry_upgrade no longer works for it")
        draft.unknown.append("what of the half-done upgrade stays in the cluster")
    else:
        draft.goes.append("its stages no longer count" + ("" if status else "; no upgrade was started in it"))


def _title(kind: str) -> str:
    return STAGE_TITLES.get(kind, word(kind))


def _stage(status: str) -> str:
    return verdict_of(word(status)) if status else "not started"
