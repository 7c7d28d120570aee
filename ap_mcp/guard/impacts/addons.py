"""What guarded calls on add-ons would do: changing, rolling back and removing them."""

from typing import Any

from ap_mcp.filling import fill_in
from ap_mcp.guard.impacts.base import (
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
)
from ap_mcp.guard.impacts.merges import about_merge, sorted_out
from ap_mcp.masking import mask
from ap_mcp.rules import settings_diff
from ap_mcp.rules.addons import (
    addon_name_of,
    defaults_of,
    needs_reinstall,
    runs_in_full,
    runs_on,
    size_line,
    state_of,
    states_to_roll_back,
    template_of,
    version_entry,
    why_no_rollback,
)
from ap_mcp.rules.clusters import not_available
from ap_mcp.rules.phases import ADDON, under_way, verdict
from ap_mcp.rules.sayings import addon_says
from ap_mcp.rules.settings import settings
from ap_mcp.rules.wait_hints import how_to_wait
from ap_mcp.specs.waits import DELETING
from ap_mcp.vendor import SAID_LIMIT, flag, get, moment, quoted, strings, text, word
from ap_mcp.wording import age, few, plural

STANDARD = frozenset({"coredns", "metrics-server"})

_BREAKS = {
    "coredns": "name resolution: no pod can find a Service or an outside host by its name",
    "metrics-server": "kubectl top, and autoscaling by CPU and memory",
    "nginx-ingress": "the traffic that comes in through its Ingresses, and its load balancer",
    "cie-collector": "metrics of the cluster, and the alarms and dashboards made of them",
    "log-agent": "collecting logs and events",
    "cert-manager": "renewal of TLS certificates: they run out one day",
    "dew-provider": "mounting of secrets: new pods that need one do not start",
    "gatekeeper": "the policies it enforces: what they forbid is let in",
    "cce-hpa-controller": "its autoscaling: workloads stay at the size they have",
    "vertical-pod-autoscaler": "its autoscaling: requests stay as they are",
}


@impact_of("update_addon")
async def update_addon(case: Case) -> Impact:
    """Say where an add-on goes and which of its settings change."""
    cluster, addon = await _read(case)
    name, version = addon_name_of(addon), text(get(addon, "/spec/version"))
    target = text(case.arguments.get("target_version")) or version
    _refuse_busy(addon)
    _refuse_beyond_update(addon)
    _refuse_unless_offered(addon, target)
    merge = (await fill_in(case.operation, case.arguments, case.read)).merges["/spec/values"]
    found = settings_diff.changes(merge.current or {}, merge.sent, merge.given, merge.asked)
    named, following, left_out = sorted_out(found, merge)
    count = len(named) + len(left_out)
    draft = _draft(case, cluster, addon, f"{_doing(addon, target, count)} in cluster {name_of(cluster)}.")
    draft.deed = f"{'Changes' if target == version else 'Upgrades'} add-on {word(name)} in {name_of(cluster)}."
    draft.changes += [f"version: {word(version)} becomes {word(target)}"] if target != version else []
    entry = await _version_entry(draft, name, target)
    if target != version:
        _about_target(draft, entry, cluster, target)
    elif not found and merge.current is not None:
        draft.warnings.append("Neither its version nor a setting would change.")
    size = text(get(merge.current, "/flavor/name"))
    defaults = defaults_of(entry, size) or {}
    shown = mask(defaults)
    fallbacks = {each.path: settings_diff.shown_at(shown, each.keys) or "its default" for each in found}
    draft.changes += settings_diff.every_line(named, fallbacks)
    draft.changes += [f"{line} (left out of the call)" for line in settings_diff.every_line(left_out, fallbacks)]
    draft.changes += [
        f"{line} (untouched, so it follows {word(target)})" for line in settings_diff.every_line(following)
    ]
    draft.goes.append("its pods may restart")
    about_merge(draft, merge, f"the defaults of {word(target)}", wanted=defaults)
    _about_way_back(draft, addon, upgrade=target != version)
    draft.stable |= {"target": target}
    return draft.impact()


@impact_of("rollback_addon")
async def rollback_addon(case: Case) -> Impact:
    """Say to which version an add-on goes back; refuse where the service would."""
    cluster, addon = await _read(case)
    name, version = addon_name_of(addon), text(get(addon, "/spec/version"))
    previous = text(get(addon, "/status/previousVersion"))
    _refuse_unless_rollbackable(addon)
    where = f"from {word(version)} to {word(previous) if previous else 'the version before its last upgrade'}"
    draft = _draft(case, cluster, addon, f"Rolls back add-on {word(name)} {where} in cluster {name_of(cluster)}.")
    draft.deed = f"Rolls back add-on {word(name)} in {name_of(cluster)}."
    draft.changes.append(
        f"version: {word(version)} becomes {word(previous) if previous else 'one that is not reported'}"
    )
    if previous:
        entry = await _version_entry(draft, name, previous)
        if runs_on(entry, text(get(cluster, "/spec/version"))) is False:
            draft.warnings.append(f"{word(previous)} does not run on this cluster's version.")
    else:
        draft.warnings.append("The version it goes back to is not reported.")
        draft.unknown.append("which version it goes back to")
    draft.goes += ["the settings made since the last upgrade", "its pods may restart"]
    draft.fact("upgrade again", f"update_addon, if {word(version)} is offered then")
    draft.unknown.append("which settings it goes back to: the service keeps them and does not show them")
    draft.stable |= {"previous": previous, "values": settings_diff.digest(get(addon, "/spec/values"))}
    return draft.impact()


@impact_of("delete_addon")
async def delete_addon(case: Case) -> Impact:
    """Say what an add-on is for, and what goes with it."""
    cluster, addon = await _read(case)
    name, status = addon_name_of(addon), _status(addon)
    if verdict(ADDON, status) == DELETING:
        raise refused(f"add-on {word(name)} is being deleted already", _wait_for(addon))
    draft = _draft(case, cluster, addon, f"Removes add-on {word(name)} from cluster {name_of(cluster)}.")
    draft.deed = f"Deletes add-on {word(name)} of {name_of(cluster)}."
    if under_way(ADDON, status):
        draft.warnings.append(f"It is {word(status)}: something is under way.")
    if about := get(addon, "/spec/description"):
        draft.fact("is for", quoted(about, 200))
    mandatory = await _mandatory(draft, name)
    if mandatory:
        draft.warnings.append("It is mandatory: clusters are not meant to be without it.")
    elif name in STANDARD:
        draft.warnings.append("It is a standard add-on: every cluster gets it from the start.")
    if breaks := _BREAKS.get(name):
        draft.goes.append(breaks)
    _about_own_settings(draft, addon)
    draft.unknown += [
        "which workloads rely on it",
        "what of it stays behind and may keep costing: volumes, load balancers, custom resources",
    ]
    draft.stable |= {"mandatory": mandatory, "values": settings_diff.digest(get(addon, "/spec/values"))}
    return draft.impact()


async def _read(case: Case) -> tuple[Any, Any]:
    """Read the cluster and the add-on, which must be the one that is named and of that cluster."""
    addon_id = str(case.arguments["addon_id"])
    answers = await gather(
        case,
        cluster=read("get_cluster", cluster_id=case.cluster_id),
        addon=read("get_addon", cluster_id=case.cluster_id, addon_id=addon_id),
    )
    cluster, addon = answers.needed("cluster"), answers.needed("addon")
    must_belong(case, addon, "/spec/clusterID", "add-on")
    uid = text(get(addon, "/metadata/uid"))
    if uid and uid.lower() != addon_id.lower():
        raise refused(f"asked for add-on {word(addon_id)}, the service answered with {word(uid)}")
    return cluster, addon


def _draft(case: Case, cluster: Any, addon: Any, sentence: str) -> ImpactDraft:
    """Begin an impact with what the add-on is now, and where."""
    draft = ImpactDraft(case, addon_name_of(addon), sentence)
    uid, version, status = text(get(addon, "/metadata/uid")), text(get(addon, "/spec/version")), _status(addon)
    fine = runs_in_full(status) or under_way(ADDON, status)
    says = "" if fine else addon_says(addon)
    because = f", the service says {quoted(says, 2 * SAID_LIMIT)}" if says else ""
    draft.fact("add-on", f"{word(addon_name_of(addon))} {word(version)}, id {word(uid)}")
    draft.fact("status", f"{word(status)}{because}")
    draft.fact("age", age(moment(get(addon, "/metadata/creationTimestamp")), case.now))
    about_cluster(draft, cluster, whole=False)
    draft.fact("cluster version", word(get(cluster, "/spec/version")))
    if unavailable := not_available(cluster):
        draft.warnings.append(unavailable)
    if needs_reinstall(status):
        draft.warnings.append(f"The add-on is {word(status)}: deleting and installing it anew is the usual way out.")
    draft.stable["addon"] = {"id": uid, "name": addon_name_of(addon), "version": version, "status": status}
    return draft


def _status(addon: Any) -> str:
    return state_of(addon) or "not reported"


def _wait_for(addon: Any) -> str:
    where = {"cluster_id": text(get(addon, "/spec/clusterID")), "addon_id": text(get(addon, "/metadata/uid"))}
    return how_to_wait("get_addon", addon, **where) if under_way(ADDON, state_of(addon)) else ""


def _refuse_busy(addon: Any) -> None:
    if under_way(ADDON, state_of(addon)):
        raise refused(
            f"add-on {word(addon_name_of(addon))} is {_status(addon)}, so it cannot be changed now", _wait_for(addon)
        )


def _refuse_beyond_update(addon: Any) -> None:
    """Refuse to change what only a new installation fixes: the service would."""
    status = _status(addon)
    if needs_reinstall(status):
        name, says = addon_name_of(addon), addon_says(addon)
        because = f", the service says {quoted(says, 2 * SAID_LIMIT)}" if says else ""
        raise refused(
            f"add-on {word(name)} is {word(status)}{because}: no update leads out of that",
            "delete_addon, then install_addon again, with values that fit.",
        )


def _refuse_unless_rollbackable(addon: Any) -> None:
    """Refuse what the service would refuse: there is no version to go back to, or the state forbids it."""
    what, obstacle = f"add-on {word(addon_name_of(addon))} cannot be rolled back", why_no_rollback(addon)
    if obstacle == "state":
        wanted = ", ".join(states_to_roll_back())
        raise refused(f"{what}: it is {word(_status(addon))} and must be one of: {wanted}", _wait_for(addon))
    if obstacle:
        why = "the service does not say that there is a version to go back to"
        raise refused(f"{what}: {why}")


def _refuse_unless_offered(addon: Any, target: str) -> None:
    offered, version = strings(addon, "/status/targetVersions"), text(get(addon, "/spec/version"))
    if target not in {version, *offered}:
        ways = few([word(each) for each in offered]) if offered else "none"
        what = f"add-on {word(addon_name_of(addon))} {word(version)} cannot go to {word(target)}"
        raise refused(f"{what}; offered for this cluster: {ways}")


def _doing(addon: Any, target: str, count: int) -> str:
    name, version = word(addon_name_of(addon)), word(get(addon, "/spec/version"))
    if target == text(get(addon, "/spec/version")):
        return f"Changes {plural(count, 'setting') if count else 'no setting'} of add-on {name} {version}"
    also = f" and changes {plural(count, 'setting')}" if count else ""
    return f"Upgrades add-on {name} from {version} to {word(target)}{also}"


async def _templates(draft: ImpactDraft, name: str, what: str) -> Any:
    """Return what list_addon_templates answers about an add-on; None if it could not be read, which is said."""
    answers = await gather(draft.case, templates=read("list_addon_templates", template_name=name))
    body = draft.answer(answers, "templates", what)
    if body is not None and template_of(body, name) is None:
        draft.unknown.append(f"{what}: its template is not listed any more")
        return None
    return body


async def _mandatory(draft: ImpactDraft, name: str) -> bool | None:
    what = "whether it is mandatory"
    body = await _templates(draft, name, what)
    mandatory = flag(get(template_of(body, name), "/spec/require"))
    if body is not None and mandatory is None:
        draft.unknown.append(what)
    return mandatory


async def _version_entry(draft: ImpactDraft, name: str, version: str) -> Any:
    """Return what the template says of one version; None if it says nothing, which is said."""
    what = f"on which cluster versions {word(name)} {word(version)} runs"
    body = await _templates(draft, name, what)
    entry = version_entry(body, name, version)
    if body is not None and entry is None:
        draft.unknown.append(f"{what}: its template does not list this version")
    return entry


def _about_target(draft: ImpactDraft, entry: Any, cluster: Any, target: str) -> None:
    """Say whether the version fits the cluster; refuse one that does not."""
    version = get(cluster, "/spec/version")
    fits = runs_on(entry, text(version))
    if fits is False:
        raise refused(f"{word(draft.name)} {word(target)} does not run on cluster version {word(version)}")
    if entry is not None and fits is None:
        draft.unknown.append(f"whether {word(target)} runs on cluster version {word(version)}; the service offers it")
    if flag(get(entry, "/stable")) is False:
        draft.warnings.append(f"{word(target)} is not marked as stable.")


def _about_way_back(draft: ImpactDraft, addon: Any, *, upgrade: bool) -> None:
    version, previous = text(get(addon, "/spec/version")), text(get(addon, "/status/previousVersion"))
    can_now = flag(get(addon, "/status/isRollbackable")) is True
    if upgrade:
        draft.fact("rollback", f"rollback_addon, to {word(version)}, while the service allows it")
        if can_now and previous:
            draft.goes.append(f"the rollback to {word(previous)}, which rollback_addon can do now")
    else:
        draft.fact("rollback", "set the old values again: rollback_addon undoes an upgrade, not a change of settings")
    draft.stable["rollback"] = [can_now, previous]


def _about_own_settings(draft: ImpactDraft, addon: Any) -> None:
    """Name the settings that differ from the defaults: a new installation needs them again."""
    values, form = get(addon, "/spec/values"), get(addon, "/status/currentVersion/input")
    if settings(values) is None or settings(form) is None:
        draft.goes.append("its settings")
        draft.unknown.append("which of its settings differ from the defaults: the service did not report them")
        return
    defaults = {"basic": get(form, "/basic", {}), "custom": get(form, "/parameters/custom", {})}
    found = settings_diff.changes(defaults, {key: get(values, f"/{key}", {}) for key in defaults})
    own = ", ".join(each.path for each in found)
    draft.goes.append(
        "its settings" + (f"; these differ from the defaults: {own}" if own else ", all of them defaults")
    )
    draft.fact("size", text(size_line(get(values, "/flavor"))))
