"""What guarded calls on releases would do: upgrading, rolling back, replacing and deleting them."""

from collections.abc import Sequence
from typing import Any

from ap_mcp.errors import NotFound
from ap_mcp.filling import Merge, fill_in
from ap_mcp.guard.impacts.base import (
    Answers,
    Case,
    Impact,
    ImpactDraft,
    Read,
    about_cluster,
    gather,
    impact_of,
    must_belong,
    name_of,
    read,
    refused,
)
from ap_mcp.guard.impacts.before_after import about_argument
from ap_mcp.guard.impacts.charts import releases_in, revision_of, the_chart, title
from ap_mcp.guard.impacts.merges import about_merge, sorted_out
from ap_mcp.rules import settings_diff
from ap_mcp.rules.clusters import not_available
from ap_mcp.rules.merging import merge_patch
from ap_mcp.rules.named_secrets import Named, secrets_named
from ap_mcp.rules.phases import RELEASE, broken, succeeded, under_way, verdict
from ap_mcp.rules.release_objects import release_objects
from ap_mcp.rules.sayings import release_says
from ap_mcp.rules.settings import settings
from ap_mcp.rules.settings_diff import SettingChange
from ap_mcp.rules.wait_hints import how_to_wait
from ap_mcp.specs.waits import DELETING
from ap_mcp.vendor import SAID_LIMIT, get, moment, number, quoted, text, word
from ap_mcp.wording import age, few, plural

OBJECTS_IN_LINE = 12
UNKNOWN_SETTINGS = "which settings change: the service did not report {}"


@impact_of("update_release")
async def update_release(case: Case) -> Impact:
    """Say what an upgrade or a rollback of a release changes."""
    return await (_roll_back(case) if case.arguments.get("action") == "rollback" else _upgrade(case))


@impact_of("delete_release")
async def delete_release(case: Case) -> Impact:
    """Say what runs there, and what is lost with it."""
    answers = await gather(case, **_both(case), history=_of_it(case, "get_release_history"))
    cluster, release = _found(case, answers)
    sentence = f"Deletes release {_place(case)} in cluster {name_of(cluster)} for good."
    draft = _draft(case, cluster, sentence, release)
    draft.deed = f"Deletes release {_place(case)} in {name_of(cluster)}."
    revisions = _revisions(draft, answers)
    kept = plural(len(revisions), "revision") if revisions else "all its revisions"
    draft.goes += [
        "what it runs: its workloads, Services and other objects",
        f"its history ({kept}): there is no rolling back afterwards",
        "its settings, the secrets among them: nothing here keeps a copy",
    ]
    draft.stays += ["volumes that its StatefulSets claimed, which may keep costing", "the stored chart"]
    _about_objects(draft, release)
    draft.stable["revisions"] = sorted(revisions)
    return draft.impact()


@impact_of("create_release")
async def create_release(case: Case) -> Impact:
    """Say what would be installed, and which release it would replace, if it may and there is one."""
    chart_id = case.arguments.get("chart_id")
    chart_reads = {"chart": read("get_chart", chart_id=chart_id), "values": read("get_chart_values", chart_id=chart_id)}
    answers = await gather(case, **_both(case), **chart_reads)
    cluster, chart = answers.needed("cluster"), the_chart(answers.needed("chart"), chart_id)
    where = f"release {_place(case)} in cluster {name_of(cluster)}"
    installs, replaces = f"Installs {title(chart)} as {where}", bool(case.arguments.get("replace"))
    draft = _draft(case, cluster, f"Replaces {where} by a new one of {title(chart)}." if replaces else f"{installs}.")
    draft.deed = f"{'Replaces' if replaces else 'Installs'} release {_place(case)} in {name_of(cluster)}."
    draft.destroys = replaces
    _about_chart(draft, chart)
    _about_secrets(draft, case.arguments.get("values"))
    if "description" in case.arguments:
        about_argument(draft, "description")
    if case.arguments.get("version", get(chart, "/version")) != get(chart, "/version"):
        asked = word(case.arguments.get("version"))
        draft.warnings.append(f"The call asks for version {asked}, the stored chart is {title(chart)}.")
    if case.arguments.get("no_hooks"):
        draft.goes.append("nothing of its hooks is run (no_hooks)")
    given = settings(case.arguments.get("values", {}))
    if given is None:
        raise refused("values are nested too deep to be shown")
    if isinstance(answers.error("release"), NotFound):
        draft.deed = f"Installs release {_place(case)} in {name_of(cluster)}."
        draft.changes += [f"chart: new, {title(chart)}", *settings_diff.assignments(given)]
        draft.sentence = _only_verified(case, f"{installs}; none of that name is there yet.")
        draft.fact("replaces", "nothing: there is no such release")
        draft.stable["release"] = None
        return draft.impact()
    release = draft.answer(answers, "release", "whether there is a release of that name, and what it runs")
    if release is not None:
        _must_be_it(case, release)
        if not replaces:
            raise refused(f"release {_place(case)} exists already", "update_release changes it.")
        _about_release(draft, release)
        _warn_of_other_chart(draft, release, chart)
        stays = _chart_of(release) == title(chart)
        draft.changes.append(
            f"chart: {title(chart)}, as now" if stays else f"chart: {_chart_of(release)} becomes {title(chart)}"
        )
        if starred := settings_diff.starred(given):
            draft.warnings.append(f"The call sets to asterisks, which look like a hidden secret: {', '.join(starred)}.")
        current = settings(get(release, "/values"))
        _about_settings(draft, Merge(current, given, given, resets=True), answers)
    else:
        draft.changes.append(f"chart: {title(chart)}")
    if replaces:
        draft.goes += ["what it runs now", "its history: there is no rolling back afterwards"]
        draft.stays.append("volumes that its StatefulSets claimed, which may keep costing")
    return draft.impact()


async def _upgrade(case: Case) -> Impact:
    cluster, release = _found(case, await gather(case, **_both(case)))
    filled = await fill_in(case.operation, case.arguments, case.read)
    chart_id = filled.values.get("/chart_id", case.arguments.get("chart_id"))
    chart_reads = {"chart": read("get_chart", chart_id=chart_id), "values": read("get_chart_values", chart_id=chart_id)}
    answers = await gather(case, **chart_reads)
    chart = the_chart(answers.needed("chart"), chart_id)
    where = f"release {_place(case)} in cluster {name_of(cluster)}"
    what = f"Upgrades {where} from {_chart_of(release)} to {title(chart)}."
    if _chart_of(release) == title(chart):
        what = f"Upgrades {where}: the chart stays {title(chart)}, its settings may change."
    draft = _draft(case, cluster, what, release)
    draft.deed = f"Upgrades release {_place(case)} in {name_of(cluster)}."
    if _chart_of(release) != title(chart):
        draft.changes.append(f"chart: {_chart_of(release)} becomes {title(chart)}")
    _about_chart(draft, chart)
    _warn_of_other_chart(draft, release, chart)
    _about_secrets(draft, case.arguments.get("values"))
    _about_settings(draft, filled.merges["/values"], answers)
    _about_options(draft)
    draft.fact("rollback", f"update_release with action rollback to revision {revision_of(release)}")
    return draft.impact()


async def _roll_back(case: Case) -> Impact:
    answers = await gather(case, **_both(case), history=_of_it(case, "get_release_history"))
    cluster, release = _found(case, answers)
    history = releases_in(answers.needed("history", "says which revisions there are"))
    wanted, known = (
        number(case.arguments.get("revision")),
        {number(get(each, "/version")): each for each in history or []},
    )
    if wanted is None or wanted not in known:
        there = few([str(each) for each in sorted(each for each in known if each is not None)]) or "none"
        raise refused(f"release {_place(case)} has no revision {wanted}; there are: {there}")
    past, now = known[wanted], revision_of(release)
    _must_be_it(case, past)
    what = f"Rolls back release {_place(case)} in cluster {name_of(cluster)} from revision {now} to {wanted}"
    draft = _draft(case, cluster, f"{what} ({_chart_of(past)}).", release)
    draft.deed = f"Rolls back release {_place(case)} in {name_of(cluster)}, revision {now} to {wanted}."
    _about_past(draft, release, past)
    await _about_named_chart(draft, release)
    _about_options(draft)
    draft.fact("rollback", f"update_release with action rollback to revision {now}")
    return draft.impact()


async def _about_named_chart(draft: ImpactDraft, release: Any) -> None:
    """Warn when a rollback names another chart; the service wants one named although it does not need it."""
    case, chart_id = draft.case, draft.case.arguments.get("chart_id")
    if chart_id is None:
        filled = (await fill_in(case.operation, case.arguments, case.read)).values["/chart_id"]
        draft.stable["chart"] = filled
        if not filled:
            name = word(get(release, "/chart_name"))
            draft.unknown.append(f"whether the service goes back without a stored chart: none is called {name}")
        return
    answers = await gather(case, chart=read("get_chart", chart_id=chart_id))
    if (found := draft.answer(answers, "chart", "the chart that the call names")) is not None:
        _warn_of_other_chart(draft, release, the_chart(found, chart_id))


def _both(case: Case) -> dict[str, Read]:
    """Name the reads of the cluster and of the release."""
    return {"cluster": read("get_cluster", cluster_id=case.cluster_id), "release": _of_it(case, "get_release")}


def _of_it(case: Case, operation: str) -> Read:
    named = {key: case.arguments.get(key) for key in ("namespace", "name")}
    return read(operation, cluster_id=case.cluster_id, **named)


def _found(case: Case, answers: Answers) -> tuple[Any, Any]:
    """Return the cluster and the release, without which no person can be asked.

    Raises:
        CallRefused: the release is another one, or is being deleted.
    """
    cluster, release = answers.needed("cluster"), answers.needed("release")
    _must_be_it(case, release)
    return cluster, release


def _must_be_it(case: Case, release: Any) -> None:
    """Check that a release that was read is the one the call names, and idle enough to be touched."""
    must_belong(case, release, "/cluster_id", "release")
    found = (text(get(release, "/namespace")), text(get(release, "/name")))
    if found != (text(case.arguments.get("namespace")), text(case.arguments.get("name"))):
        raise refused(f"asked for release {_place(case)}, the service answered with {word('/'.join(found))}")
    if verdict(RELEASE, text(get(release, "/status"))) == DELETING:
        where = {name: str(case.arguments[name]) for name in ("cluster_id", "namespace", "name")}
        wait = how_to_wait("get_release", release, **where)
        raise refused(f"release {_place(case)} is being deleted already", wait)


def _draft(case: Case, cluster: Any, sentence: str, release: Any = None) -> ImpactDraft:
    """Begin an impact; what a person types is the name in the call, which was found to be the release's own."""
    draft = ImpactDraft(case, text(case.arguments.get("name")), _only_verified(case, sentence))
    if release is not None:
        _about_release(draft, release)
    about_cluster(draft, cluster, whole=False)
    if unavailable := not_available(cluster):
        draft.warnings.append(unavailable)
    return draft


def _only_verified(case: Case, sentence: str) -> str:
    return (
        f"Only verifies (check_only), if the service keeps to it: {sentence}"
        if case.arguments.get("check_only")
        else sentence
    )


def _place(case: Case) -> str:
    return word(f"{text(case.arguments.get('namespace'))}/{text(case.arguments.get('name'))}")


def _chart_of(release: Any) -> str:
    return f"{word(get(release, '/chart_name'))} {word(get(release, '/chart_version'))}"


def _about_release(draft: ImpactDraft, release: Any) -> None:
    """Note what the release is now."""
    status = text(get(release, "/status"))
    says = "" if succeeded(RELEASE, status) else release_says(release)
    because = f", the service says {quoted(says, 2 * SAID_LIMIT)}" if says else ""
    draft.fact("release", f"{_place(draft.case)}, revision {revision_of(release)}, {_chart_of(release)}")
    draft.fact("status", f"{word(status) if status else 'not reported'}{because}")
    changed = age(moment(get(release, "/update_at")), draft.case.now)
    draft.fact("last changed", f"{changed} ago" if changed else "not reported")
    if under_way(RELEASE, status):
        draft.warnings.append(f"It is {status}: another change of it is under way, the service may refuse this one.")
    draft.stable["release"] = {
        **{key: text(get(release, f"/{key}")) for key in ("status", "chart_name", "chart_version", "version")},
        "values": settings_diff.digest(get(release, "/values")),
    }


def _about_chart(draft: ImpactDraft, chart: Any) -> None:
    draft.fact("new chart", f"{title(chart)}, id {word(get(chart, '/id'))}")
    draft.stable["chart"] = {key: text(get(chart, f"/{key}")) for key in ("id", "name", "version", "update_at")}


def _about_secrets(draft: ImpactDraft, given: Any) -> None:
    """Note which existing Secrets the settings of a call hand to the pods, and that the chart may hand over more."""
    _warn_of_secrets(draft, secrets_named(given))
    draft.unknown.append("which other Secrets its pods can read: the chart's templates say that")


def _warn_of_secrets(draft: ImpactDraft, named: Sequence[Named]) -> None:
    draft.warnings += [
        f"Secrets: its pods can read {each.what} ({each.setting}), which logs could show." for each in named
    ]


def _warn_of_other_chart(draft: ImpactDraft, release: Any, chart: Any) -> None:
    if text(get(chart, "/name")) != text(get(release, "/chart_name")):
        draft.warnings.append(f"The release was made from {word(get(release, '/chart_name'))}; this is another chart.")


def _about_objects(draft: ImpactDraft, release: Any) -> None:
    """Name every object that goes; where the service does not report them, that is said."""
    found = release_objects(get(release, "/resources"))
    if found is None:
        draft.unknown.append("which objects it consists of: the service does not report them; and who uses them")
        return
    for kind, names in found.names.items():
        for at in range(0, len(names), OBJECTS_IN_LINE):
            named = ", ".join(map(word, names[at : at + OBJECTS_IN_LINE]))
            draft.goes.append(f"{word(kind)} {named}")
    draft.unknown.append("who uses its objects")
    draft.stable["objects"] = {kind: sorted(names) for kind, names in found.names.items()}


def _revisions(draft: ImpactDraft, answers: Answers) -> list[str]:
    """Return the revisions in a history; where it could not be read, that is said."""
    body = draft.answer(answers, "history", "how many revisions it has")
    return [revision_of(each) for each in releases_in(body) or []]


def _about_settings(draft: ImpactDraft, merge: Merge, answers: Answers) -> None:
    """Say which settings change: those that the call names, apart from those that follow the chart or are left out.

    Args:
        draft: to be added to.
        merge: how what is sent came about.
        answers: with the defaults of the chart.
    """
    wanted = settings(get(draft.answer(answers, "values", "the defaults of the chart"), "/values"))
    installed = merge.defaults.installed if merge.defaults else None
    # Nulls set nothing: in Helm they remove a default.
    before, after = (merge_patch({}, each or {}) for each in (wanted if installed is None else installed, wanted))
    if merge.current is not None:
        sent = merge_patch(after, merge.sent)
        found = settings_diff.changes(merge_patch(before, merge.current), sent, merge.given, merge.asked)
        named, following, left_out = sorted_out(found, merge)
        removing = _removing(merge, found)
        draft.changes += settings_diff.every_line(named) + removing
        draft.stays += [] if named or removing else ["every setting that the call names: they are as given already"]
        draft.changes += [f"{line} (left out of the call)" for line in settings_diff.every_line(left_out)]
        draft.changes += [
            f"{line} (untouched, so it follows the chart)" for line in settings_diff.every_line(following)
        ]
        if left_out:
            paths = ", ".join(each.path for each in left_out)
            draft.warnings.append(f"{plural(len(left_out), 'setting')} would go back to the chart's defaults: {paths}.")
    else:
        draft.changes += settings_diff.assignments(merge.given, merge.asked)
    about_merge(draft, merge, "the chart's defaults", wanted=wanted or {})
    draft.stable["defaults"] = settings_diff.digest(wanted)


def _removing(merge: Merge, found: Sequence[SettingChange]) -> list[str]:
    """Return a line for each null that is sent and shows in no change.

    In Helm it removes a default; those of the charts inside a chart are not among the defaults that can be read.
    """
    shown, current = {each.keys for each in found}, merge.current or {}
    return [
        f"{each.path}: null, which removes what default it has"
        for each in settings_diff.nulls(merge.given, merge.asked)
        if each.keys not in shown
        and settings_diff.at(merge.sent, each.keys) is None
        and settings_diff.at(current, each.keys) is not None
    ]


def _about_past(draft: ImpactDraft, release: Any, past: Any) -> None:
    """Say what an old revision has that the current one has not."""
    status, said = text(get(past, "/status")), text(get(past, "/description"))
    note = f": {quoted(said, 200)}" if said else ""
    draft.fact("goes back to", f"revision {revision_of(past)}, {_chart_of(past)}, {word(status)}{note}")
    if broken(RELEASE, status):
        draft.warnings.append(f"That revision is {word(status)}.")
    if revision_of(past) == revision_of(release):
        draft.warnings.append("That is the revision it has now.")
    if _chart_of(past) != _chart_of(release):
        draft.changes.append(f"chart: {_chart_of(release)} becomes {_chart_of(past)}")
    now, then = (settings(get(each, "/values")) for each in (release, past))
    if now is None or then is None:
        draft.unknown.append(UNKNOWN_SETTINGS.format("those of now" if now is None else "those of that revision"))
    else:
        known = {each.what for each in secrets_named(now)}
        _warn_of_secrets(draft, [each for each in secrets_named(then) if each.what not in known])
        found = settings_diff.changes(now, then)
        draft.changes += settings_diff.every_line(found)
        draft.stays += [] if found else ["all settings: they are the same"]
    draft.stable["past"] = [revision_of(past), _chart_of(past), status, settings_diff.digest(get(past, "/values"))]


def _about_options(draft: ImpactDraft) -> None:
    arguments = draft.case.arguments
    restart = "all its pods are restarted (recreate)" if arguments.get("recreate") else "its pods may restart"
    draft.goes.append(restart)
    if arguments.get("include_hooks"):
        draft.goes.append(
            "hooks of the chart are run (include_hooks): they may do anything, such as migrate a database"
        )
